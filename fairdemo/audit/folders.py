"""Folders of images that were made elsewhere, with the prompt of each: `metadata.csv`, `.jsonl` or
`.parquet` with file_name and prompt, as `datasets` has image folders. They are untrusted."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from fairdemo.data.item import SIDE
from fairdemo.readers.open_image import open_image
from fairdemo.stats.attributes import CLASSES

TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


@lru_cache(8)
def table(folder: str) -> tuple[Path, pd.DataFrame]:
    """A folder's table of prompts; ValueError says what is wrong with it."""
    root = Path(folder)
    path = next((root / name for name in TABLES if (root / name).is_file()), None)
    if path is None:
        raise ValueError(f"folder {folder!r} has no table of prompts; expected {' or '.join(TABLES)}")
    try:
        read = {".csv": pd.read_csv, ".parquet": pd.read_parquet}.get(path.suffix)
        found = read(path) if read else pd.read_json(path, lines=True)
    except Exception as error:  # pandas' readers raise many kinds
        raise ValueError(f"{str(path)!r} can't be read: {type(error).__name__}: {error}") from None
    if lacking := [c for c in ("file_name", "prompt") if c not in found.columns]:
        raise ValueError(f"{str(path)!r} lacks the column {lacking[0]!r}; needed are file_name and prompt")
    return path, found


@lru_cache(8)
def prompts(folder: str) -> dict[str, list[Path]]:
    """A folder's images by prompt, in the order of its table; ValueError says what is wrong with it."""
    root, (listed, found) = Path(folder), table(folder)
    result: dict[str, list[Path]] = {}
    for name, prompt in zip(found["file_name"].astype(str), found["prompt"].astype(str)):
        path = (root / name).resolve()
        if not path.is_relative_to(root.resolve()) or path.suffix.lower() not in SUFFIXES:
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
            found.update(f"{prompt} {path.relative_to(Path(folder).resolve())} ".encode())
            found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def opened(path: Path) -> Image.Image:
    """An image, at most `SIDE` px wide and high; ValueError names it if it is damaged or too large."""
    try:
        return open_image(path, SIDE)
    except ValueError as error:
        raise ValueError(f"image {path.name!r} can't be opened: {error}") from None
