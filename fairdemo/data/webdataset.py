"""WebDataset shards: tar files in which an image and its caption share a name."""

import hashlib
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

import pandas as pd

from fairdemo.data.captioned import Captioned
from fairdemo.data.item import Item, item
from fairdemo.data.tables import CAPTIONS, EMPTY, LARGEST_IMAGE, TOO_LARGE

IMAGES = (".jpg", ".jpeg", ".png", ".webp")
LARGEST_TEXT = 100_000  # bytes


@dataclass
class Place:
    """Where a sample's image is in a tar file, and its caption."""

    file: str
    start: int = 0
    size: int = 0  # 0: it has no image
    caption: str = ""


class Shards:
    """Samples of tar files, in their order. Nothing is ever unpacked."""

    drawn, notice = False, ""

    def __init__(self, asked: Captioned, files: Sequence[str]):
        self.places = [p for f in files for p in places(f, asked.caption)]
        self.count = len(self.places)
        if not self.count:
            raise ValueError(f"{asked.source!r} holds no samples; expected images and captions of one name")
        if asked.caption and not any(p.caption for p in self.places):
            raise ValueError(f"{asked.source!r} has no {asked.caption!r} in its JSON files")

    def items(self, numbers: Sequence[int]) -> list[Item]:
        """Images with captions."""
        return [item(p.caption, content(p)) for p in (self.places[n] for n in numbers)]

    def fingerprint(self) -> str:
        """A hash of where everything is, and of the captions."""
        found = (f"{Path(p.file).name} {p.start} {p.size} {p.caption}" for p in self.places)
        return hashlib.sha256("\n".join(found).encode()).hexdigest()

    def truth(self, numbers: Sequence[int]) -> pd.DataFrame | None:
        """Nothing is known."""
        return None


def content(place: Place) -> bytes | str:
    """An image's bytes, or why there are none."""
    if not place.size:
        return EMPTY
    if place.size > LARGEST_IMAGE:
        return TOO_LARGE
    with open(place.file, "rb") as file:
        file.seek(place.start)
        return file.read(place.size)


@lru_cache(64)
def places(file: str, column: str) -> tuple[Place, ...]:
    """A tar file's samples; `column` of a JSON is the caption, else a text file or the usual names;
    ValueError if it can't be read."""
    found: dict[str, Place] = {}
    try:
        with tarfile.open(file, "r:") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                folder, _, name = member.name.rpartition("/")
                base, _, kind = name.partition(".")
                place = found.setdefault(f"{folder}/{base}", Place(file))
                if f".{kind.lower()}" in IMAGES:
                    place.start, place.size = member.offset_data, member.size
                elif kind in ("txt", "json") and member.size <= LARGEST_TEXT:
                    text = told(tar.extractfile(member), kind, column)
                    place.caption = text or place.caption
                # The index is ours; a tar file's own would grow without end.
                tar.members = []  # type: ignore[attr-defined]
    except (OSError, tarfile.TarError) as error:
        raise ValueError(f"{file!r} can't be read: {error}") from None
    return tuple(found.values())


def told(file: IO[bytes] | None, kind: str, column: str) -> str:
    """The caption in a text or in a JSON, if it has one."""
    text = file.read().decode("utf-8", "replace").strip() if file else ""
    if kind == "txt":
        return "" if column else text
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    names = (column,) if column else CAPTIONS
    return next((read[n] for n in names if isinstance(read, dict) and isinstance(read.get(n), str)), "")
