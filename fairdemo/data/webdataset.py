"""WebDataset shards, tar files in which an image and its caption share a name; and folders like them, as
img2dataset writes them and trainers of LoRAs expect them."""

import hashlib
import json
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import pandas as pd

from fairdemo.data.captioned import Captioned
from fairdemo.data.item import Item, item
from fairdemo.data.tables import CAPTIONS, EMPTY, LARGEST_IMAGE, TOO_LARGE, text
from fairdemo.places import is_inside, is_leftover
from fairdemo.readers.open_image import SUFFIXES

LARGEST_TEXT = 100_000  # bytes


@dataclass
class Place:
    """Where a sample's image is, and its caption."""

    file: str
    start: int = 0
    size: int = 0  # 0: it has no image
    caption: str = ""


class Shards:
    """Samples of tar files or folders, in their order. Nothing is ever unpacked."""

    drawn = False

    def __init__(self, asked: Captioned, files: Sequence[str], notice: str = ""):
        self.notice = notice
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


@dataclass(frozen=True)
class Member:
    """A file of a set: in a tar file, or on its own."""

    name: str  # with its folder
    file: str  # where its bytes are
    start: int
    size: int

    def key(self, short: bool) -> tuple[str, str]:
        """The name that it shares with its caption, and its kind in small letters: what stands before and
        after the first dot of its name, or, where that is too `short`, the last."""
        folder, _, name = self.name.rpartition("/")
        base, _, kind = name.rpartition(".") if short else name.partition(".")
        return f"{folder}/{base}", kind.lower()


@lru_cache(64)
def places(file: str, column: str) -> tuple[Place, ...]:
    """A tar file's samples, or those of a folder in which captions lie beside their images; `column` of a
    JSON is the caption, else a text file or the usual names; ValueError if it can't be read."""
    try:
        members = in_folder(Path(file)) if Path(file).is_dir() else in_tar(file)
        return grouped(members, column)
    except (OSError, tarfile.TarError) as error:
        raise ValueError(f"{file!r} can't be read: {error}") from None


def in_folder(folder: Path) -> list[Member]:
    """The files of a folder, wherever in it."""
    return [
        Member(path.relative_to(folder).as_posix(), str(path), 0, path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and is_inside(path, folder) and not is_leftover(path.name)
    ]


def in_tar(file: str) -> list[Member]:
    """The files of a tar file; a hard link is what it leads to. ValueError if it is compressed."""
    with open(file, "rb") as start:
        if start.read(2) == b"\x1f\x8b":
            raise ValueError(f"{file!r} is compressed; unpack it with gunzip first")
    found: dict[str, Member] = {}
    with tarfile.open(file, "r:") as tar:
        for member in tar:
            if is_leftover(member.name):
                pass
            elif member.isfile():
                found[member.name] = Member(member.name, file, member.offset_data, member.size)
            elif member.islnk() and (true := found.get(member.linkname)):
                found[member.name] = replace(true, name=member.name)
            # The index is ours; a tar file's own would grow without end.
            tar.members = []  # type: ignore[attr-defined]
    return list(found.values())


def grouped(members: Sequence[Member], column: str) -> tuple[Place, ...]:
    """The samples of files. A name ends at its first dot, as webdataset has it; where several images would
    share one then ("photo.v2.0001.jpg"), at its last."""
    images = [m for m in members if Path(m.name).suffix.lower() in SUFFIXES]
    short = len({m.key(False)[0] for m in images}) < len(images)
    found: dict[str, Place] = {}
    texts: dict[str, dict[str, str]] = {}  # captions by key and kind
    for member in members:
        key, kind = member.key(short)
        last = kind.rpartition(".")[2]
        if f".{last}" in SUFFIXES:
            place = found.setdefault(key, Place(member.file))
            place.file, place.start, place.size = member.file, member.start, member.size
        elif last in ("txt", "caption", "json") and member.size <= LARGEST_TEXT:
            found.setdefault(key, Place(member.file))
            texts.setdefault(key, {})[last] = read_caption(member, last, column)
    for key, own in texts.items():  # a text before a JSON, whichever comes first
        found[key].caption = next((own[k] for k in ("txt", "caption", "json") if own.get(k)), "")
    return tuple(place for place in found.values() if place.size or place.caption)


def read_caption(member: Member, kind: str, column: str) -> str:
    """The caption in a text or in a JSON, if it has one."""
    with open(member.file, "rb") as file:
        file.seek(member.start)
        said = file.read(member.size).decode("utf-8-sig", "replace").strip()
    if kind != "json":
        return "" if column else said
    try:
        read = json.loads(said)
    except (ValueError, RecursionError):
        return ""
    names = (column,) if column else CAPTIONS
    found = (text(read.get(n)) for n in names) if isinstance(read, dict) else ()
    return next(filter(None, found), "")
