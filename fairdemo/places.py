"""Where things lie: what is shipped with the program, and what it writes."""

import atexit
import hashlib
import os
import shutil
import stat
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from platformdirs import user_data_path

PACKAGE = Path(__file__).resolve().parent
INSTALLED = (PACKAGE / "shipped").is_dir()  # a wheel carries weights and catalog inside the package
SHIPPED = PACKAGE / "shipped" if INSTALLED else PACKAGE.parent  # has assets/ and adapters/; read only

UMASK = os.umask(0o022)
os.umask(UMASK)
LEFTOVERS = (".DS_Store", "Thumbs.db", "desktop.ini")
HALF_MADE = 60.0  # seconds in which an empty folder may get its file


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


def writable(folder: Path) -> bool:
    """Whether a file can be written there."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def is_leftover(name: str) -> bool:
    """Whether a file is what Finder or Explorer put beside others, by its name with folders."""
    parts = name.replace("\\", "/").split("/")
    return "__MACOSX" in parts or parts[-1].startswith("._") or parts[-1] in LEFTOVERS


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a file lies in a folder, links followed; links of the Hub's cache from a snapshot into its own
    blobs count as inside."""
    real, snapshots = path.resolve(), folder.absolute().parent
    if real.is_relative_to(folder.resolve()):
        return True
    blobs = snapshots.parent / "blobs"
    return snapshots.name == "snapshots" and blobs.is_dir() and real.is_relative_to(blobs.resolve())


def own_folder(name: str = "") -> Path:
    """A folder of `home()`, or that itself; where it can't be written to, one of the system's, gone when the
    program ends."""
    folder = home() / name
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return folder if writable(folder) else stand_in(folder)


@cache
def stand_in(folder: Path) -> Path:
    """A temporary folder for one that can't be written to, which a line on standard error says."""
    made = Path(tempfile.mkdtemp(prefix="fairdemo-"))
    print(f"fairdemo: {folder} can't be written to; {made} stands in until the program ends", file=sys.stderr)
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def passing() -> Path:
    """The folder for visitors' files, that are fetched soon and then go: uploads, zips, reports, tables."""
    return own_folder("passing")


def passing_file(name: str) -> Path:
    """Where to write a file of this name that a visitor fetches soon."""
    return Path(tempfile.mkdtemp(dir=passing())) / name


def passing_text(name: str, text: str) -> Path:
    """A file of this name with this text that a visitor fetches soon; the same text is one file."""
    path = passing() / hashlib.blake2b(text.encode(), digest_size=16).hexdigest() / name
    try:
        os.utime(path)  # it stays
    except FileNotFoundError:
        replace(path, text)
    return path


def tidy(folder: Path, quota: float, age: float) -> int:
    """Deletes files that weren't touched for `age` seconds, then the oldest until all are at most `quota`
    bytes together; and folders that are empty since. How many files went."""
    kept: list[tuple[float, int, Path]] = []
    for path in folder.rglob("*"):
        try:
            told = path.lstat()
        except OSError:  # gone meanwhile
            continue
        if stat.S_ISREG(told.st_mode):
            kept.append((told.st_mtime, told.st_size, path))
    kept.sort(reverse=True)
    total, gone = 0, 0
    for at, size, path in kept:
        total += size
        if total > quota or at < time.time() - age:
            path.unlink(missing_ok=True)
            gone += 1
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and path.stat().st_mtime < time.time() - HALF_MADE:
            with suppress(OSError):  # not empty
                path.rmdir()
    return gone


def replace(path: Path, text: str) -> None:
    """Writes a file whole, or leaves what was there; its folder is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, part = tempfile.mkstemp(".part", path.name, path.parent)  # two writers have one each
    with open(number, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(part, 0o666 & ~UMASK)
    os.replace(part, path)
