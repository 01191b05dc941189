"""Folders of images that were made elsewhere, with the prompt of each: `metadata.csv`, `.jsonl` or
`.parquet` with file_name and prompt, as `datasets` has image folders. They are untrusted."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from fairdemo.data.item import SIDE
from fairdemo.places import is_inside
from fairdemo.readers.open_image import SUFFIXES, open_image
from fairdemo.stats.attributes import CLASSES

TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")


@lru_cache(8)
def table(folder: str) -> tuple[Path, pd.DataFrame]:
    """A folder's table of prompts; ValueError says what is wrong with it."""
    root = Path(folder)
    path = next((root / name for name in TABLES if (root / name).is_file()), None)
    if path is None:
        raise ValueError(f"folder {folder!r} has no table of prompts; expected {' or '.join(TABLES)}")
    try:
        found = read_table(path)
    except Exception as error:  # pandas' readers raise many kinds
        raise ValueError(f"{str(path)!r} can't be read: {type(error).__name__}: {error}") from None
    if lacking := [c for c in ("file_name", "prompt") if c not in found.columns]:
        raise ValueError(f"{str(path)!r} lacks the column {lacking[0]!r}; needed are file_name and prompt")
    return path, found


def read_table(path: Path) -> pd.DataFrame:
    """A table of texts, empty where a cell is."""
    if path.suffix == ".csv":
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    if path.suffix == ".parquet":
        return pd.read_parquet(path).fillna("")
    found = pd.read_json(path, lines=True, dtype=False, encoding="utf-8-sig")  # type: ignore[arg-type]
    return found.fillna("")


@lru_cache(8)
def prompts(folder: str) -> dict[str, list[Path]]:
    """A folder's images by prompt, in the order of its table; ValueError says what is wrong with it."""
    root, (listed, found) = Path(folder), table(folder)
    result: dict[str, list[Path]] = {}
    for row, (name, prompt) in enumerate(zip(found["file_name"].astype(str), found["prompt"].astype(str)), 1):
        if not name.strip() or not prompt.strip():
            lacks = "prompt" if name.strip() else "file_name"
            raise ValueError(f"{str(listed)!r} has no {lacks} in row {row}")
        path = root / name
        if not is_inside(path, root) or path.suffix.lower() not in SUFFIXES:
            raise ValueError(f"{str(listed)!r} names {name!r}; expected an image inside the folder")
        if not path.is_file():
            raise ValueError(f"{str(listed)!r} names {name!r}, which isn't there")
        result.setdefault(prompt.strip(), []).append(path)
    if not result:
        raise ValueError(f"{str(listed)!r} has no images")
    return result


def truth(folder: str) -> dict[str, dict[str, float]]:
    """The shares of classes in the table's columns gender and race, where it has them for every image: what
    is known of the faces, to hold what is read in them against."""
    found: Any = table(folder)[1]
    known = {a: found[a] for a in ("gender", "race") if a in found.columns}
    return {
        a: {name: float((column == name).mean()) for name in CLASSES[a]}
        for a, column in known.items()
        if column.isin(CLASSES[a]).all()
    }


def fingerprint(folder: str) -> str:
    """A hash of a folder's prompts and its images' bytes."""
    found = hashlib.sha256()
    for prompt, own in prompts(folder).items():
        for path in own:
            found.update(f"{prompt} {path.relative_to(folder)} ".encode())
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def opened(path: Path) -> Image.Image | str:
    """An image, at most `SIDE` px wide and high; or why it can't be opened."""
    try:
        return open_image(path, SIDE)
    except ValueError as error:
        return f"{path.name} can't be opened: {error}"
