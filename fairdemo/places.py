"""Where things lie: what is shipped with the program, and what it writes."""

import os
from pathlib import Path

from platformdirs import user_data_path

PACKAGE = Path(__file__).resolve().parent
INSTALLED = (PACKAGE / "shipped").is_dir()  # a wheel carries weights and catalog inside the package
SHIPPED = PACKAGE / "shipped" if INSTALLED else PACKAGE.parent  # has assets/ and adapters/; read only


def home() -> Path:
    """The folder for what the program writes: FAIRDEMO_HOME, else fairdemo's folder in the user's data."""
    return Path(os.environ.get("FAIRDEMO_HOME") or user_data_path("fairdemo", appauthor=False))


def made() -> Path:
    """The folder for what is shipped when it is made again: a checkout's own, else `home()`."""
    return home() if INSTALLED else SHIPPED


def work() -> Path:
    """The folder for intermediate results of the embedded world: `build/world` of a checkout, else in
    `home()`."""
    return home() / "world" if INSTALLED else SHIPPED / "build" / "world"


def replace(path: Path, text: str) -> None:
    """Writes a file whole, or leaves what was there; its folder is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    os.replace(part, path)
