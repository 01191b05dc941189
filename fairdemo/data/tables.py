"""Captioned image sets that are tables: Parquet files here or on the Hub, CSV, TSV and JSONL, and folders
with one of them. Images are files in the table, paths beside it, or addresses."""

import base64
import binascii
import csv
import hashlib
import math
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fairdemo.data.captioned import Captioned
from fairdemo.data.download import fetched
from fairdemo.data.item import Item, item
from fairdemo.places import is_inside
from fairdemo.readers.open_image import SUFFIXES as IMAGE_SUFFIXES
from fairdemo.stats.attributes import CLASSES

CAPTIONS = ("caption", "text", "TEXT", "prompt", "alt_text", "title", "description", "top_caption", "txt")
IMAGES = ("image", "img", "jpg", "png", "images", "file_name", "image_path", "path", "url", "image_url")
SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl")
FOLDER_TABLES = tuple(f"metadata{suffix}" for suffix in SUFFIXES)
FILES = 64  # of the Hub that are read, evenly spread
GROUPS = 2  # groups of rows that are kept open
LARGEST_TABLE = 2_000_000_000  # bytes of a table that is read whole
LARGEST_IMAGE = 50_000_000  # bytes
# Why there is no image.
MISSING, OUTSIDE, EMPTY, UNREADABLE = "no such file", "outside the folder", "none", "can't be opened"
LINKED = "a link that leads out of the folder"
UNFETCHED = "not fetched by img2dataset"
TOO_LARGE = "larger than 50 MB"
# How base64 of a PNG, JPEG, WebP or GIF file begins; names of files aren't that long.
IN_TEXT = re.compile(r"(?:data:image/[\w.+-]+;base64,)?(?=(?:iVBORw0K|/9j/|UklGR|R0lGOD).{100})", re.DOTALL)
# A cell of a table that names an image.
NAMES_IMAGE = re.compile(
    rf"https?://|(?:{'|'.join(map(re.escape, IMAGE_SUFFIXES))})\s*(?:,|$)", re.IGNORECASE
)


@dataclass(frozen=True)
class Group:
    """Some rows of a file that are read together."""

    file: str
    number: int  # of the group in its file
    first: int  # number of its first row in the set
    count: int


class Tabled:
    """A table of images with captions."""

    drawn = False

    def __init__(self, asked: Captioned, files: Sequence[str], root: Path | None, notice: str = ""):
        self.asked, self.root = asked, root
        self.files = list(files)
        self.rows = lru_cache(GROUPS)(self._rows)
        self.known_columns = lru_cache(1)(self._known_columns)
        columns = self.groups_and_columns[1]
        self.caption = chosen(asked.caption, CAPTIONS, columns, "caption", asked.source)
        usual = [c for c in columns if c.lower() in IMAGES]
        numbers = [
            c for c in usual if len(usual) > 1 and self.is_number(c)
        ]  # an image's number, not its place
        left = [c for c in columns if c not in numbers]
        self.image = chosen(asked.image, IMAGES, columns if asked.image else left, "image", asked.source)
        self.status = "status" if {"status", "key", "url"} <= set(columns) else ""  # as img2dataset has it
        self.count = sum(g.count for g in self.groups)
        self.known = [c for c in ("race", "gender") if c in columns]
        if self.image == self.caption:
            raise ValueError(f"{asked.source!r}: images and captions can't both be the column {self.image!r}")
        guessed = [n for n in ("image", "caption") if not getattr(asked, n)]
        told = ", ".join(f"{n}s are taken from the column {getattr(self, n)!r}" for n in guessed)
        lost = " ".join(filter(None, (find_swallowed(f) for f in self.files)))
        self.notice = " ".join(filter(None, (notice, f"{told}.".capitalize() if told else "", lost)))
        if not self.count:
            raise ValueError(f"{asked.source!r} has no rows")

    @cached_property
    def groups_and_columns(self) -> tuple[list[Group], list[str]]:
        """All groups of rows, and the columns that all files have."""
        groups, columns, first = [], None, 0
        for file in self.files:
            sizes, own = opened(file)
            for number, n in enumerate(sizes):
                groups.append(Group(file, number, first, n))
                first += n
            columns = own if columns is None else [c for c in columns if c in own]
        return groups, columns or []

    @property
    def groups(self) -> list[Group]:
        """All groups of rows, in order."""
        return self.groups_and_columns[0]

    def is_number(self, column: str) -> bool:
        """Whether all that a column says in its first rows are numbers."""
        file = self.groups[0].file if self.groups else ""
        if file.endswith(".parquet"):  # images aren't to be fetched for it
            with stream(file) as source:
                kind = pq.ParquetFile(source).schema_arrow.field(column).type
            return pa.types.is_integer(kind)
        first = self.columns(self.groups[0], [column]).slice(0, 20).to_pylist() if self.groups else []
        return bool(first) and all(str(row[column]).strip().isdigit() for row in first)

    def _rows(self, group: Group) -> pa.Table:
        """A group's images and captions."""
        return self.columns(group, [self.image, self.caption, *filter(None, [self.status])])

    def columns(self, group: Group, names: list[str]) -> pa.Table:
        """Some columns of a group's rows."""
        if not group.file.endswith(".parquet"):
            found = whole(group.file).loc[:, names]
            # A JSONL file's cells may be of many kinds, which a column of Arrow's may not.
            caption = getattr(self, "caption", None)
            return pa.table(
                {c: [text(v) if c == caption else read_cell(v) for v in found[c]] for c in names},
                schema=pa.schema([(c, pa.string()) for c in names]),
            )
        with stream(group.file) as file:
            return pq.ParquetFile(file).read_row_group(group.number, columns=names)

    def at(self, numbers: Sequence[int]) -> list[tuple[Any, Any]]:
        """Image and caption of some numbers."""
        starts = [g.first for g in self.groups]
        found = []
        for number in numbers:
            group = self.groups[int(np.searchsorted(starts, number, "right")) - 1]
            (row,) = self.rows(group).slice(number - group.first, 1).to_pylist()
            failed = self.status and row[self.status] != "success"
            found.append((UNFETCHED if failed else row[self.image], row[self.caption]))
        return found

    def items(self, numbers: Sequence[int]) -> list[Item]:
        """Images with captions; addresses are fetched."""
        rows = self.at(numbers)
        images = [self.content(v) for v, _ in rows]
        addresses = [k for k, v in enumerate(images) if isinstance(v, Address)]
        for k, content in zip(
            addresses,
            fetched([str(images[k]) for k in addresses], self.asked.allow_hosts, self.asked.seconds),
        ):
            images[k] = content
        return [item(text(c), v) for (_, c), v in zip(rows, images)]

    def content(self, value: Any) -> "bytes | str":
        """An image's bytes, its address, or why there is none."""
        value = first(value)
        if value == UNFETCHED:
            return UNFETCHED
        if isinstance(value, dict):  # as datasets has images
            value = value.get("bytes") or value.get("path")
        if isinstance(value, bytes):
            return value
        if isinstance(value, (int, np.integer)):
            value = str(value)
        if not isinstance(value, str) or not value.strip():
            return EMPTY
        if value.lower().startswith(("http://", "https://")):
            return Address(value)
        if written := IN_TEXT.match(value):
            return decode_base64(value[written.end() :])
        return MISSING if self.root is None else beside(self.root, value)

    def fingerprint(self) -> str:
        """A hash of its columns and of its files: of a table that is read whole what is in it, and when each
        image beside it was changed; of Parquet files the size, and when they were changed."""
        found = [self.image, self.caption, *(f"{Path(g.file).name} {g.first} {g.count}" for g in self.groups)]
        for file in map(Path, (f for f in self.files if Path(f).is_file())):
            if file.suffix == ".parquet":
                found.append(f"{file.stat().st_size} {file.stat().st_mtime_ns}")
            else:
                found.append(hashlib.sha256(file.read_bytes()).hexdigest())
                found += [changed(self.root or file.parent, v) for v in whole(str(file))[self.image]]
        return hashlib.sha256("\n".join(found).encode("utf-8", "surrogatepass")).hexdigest()

    def truth(self, numbers: Sequence[int]) -> pd.DataFrame | None:
        """What its columns race and gender say, if all they say are our classes."""
        known = self.known_columns()
        return None if known is None else known.iloc[list(numbers)].reset_index(drop=True)

    def _known_columns(self) -> pd.DataFrame | None:
        """The columns race and gender, if it has them and all they say are our classes."""
        if self.known != ["race", "gender"]:
            return None
        found: Any = pa.concat_tables([self.columns(g, self.known) for g in self.groups]).to_pandas()
        return found if all(found[a].isin(CLASSES[a]).all() for a in self.known) else None


def decode_base64(written: str) -> bytes | str:
    """The bytes of an image that a table has as base64, or why they can't be had."""
    if len(written) > LARGEST_IMAGE * 4 / 3:
        return TOO_LARGE
    try:
        return base64.b64decode("".join(written.split()), validate=True)
    except binascii.Error:
        return UNREADABLE


def beside(root: Path, name: str) -> bytes | str:
    """The bytes of a file in a folder, or why they can't be had."""
    try:
        path = root / name
        if "\\" in name and not path.is_file():  # a table that was made on Windows
            path = root / name.replace("\\", "/")
        if not is_inside(path, root):
            return LINKED if path.is_symlink() else OUTSIDE
        if not path.is_file():
            return MISSING
        return path.read_bytes() if path.stat().st_size <= LARGEST_IMAGE else TOO_LARGE
    except (OSError, ValueError):  # a name that no file can have, or one that mayn't be read
        return UNREADABLE


def changed(root: Path, name: Any) -> str:
    """When a file beside a table was changed, and its size; empty where there is none."""
    try:
        found = (root / str(name)).stat()
        return f"{found.st_size} {found.st_mtime_ns}"
    except (OSError, ValueError):
        return ""


class Address(str):
    """Where an image is to be fetched."""


def first(value: Any) -> Any:
    """Of several the first; None of none."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return value[0] if len(value) else None
    return value


def read_cell(value: Any) -> str | None:
    """A cell of a table that is read whole, as text; None where it is empty."""
    value = first(value)
    if isinstance(value, dict):  # as datasets has images
        value = value.get("path")
    return None if value is None or isinstance(value, float) and math.isnan(value) else str(value)


def text(value: Any) -> str:
    """A caption, whatever a table has there; of several the first, of several languages the English one."""
    value = first(value)
    if isinstance(value, dict):
        value = first(value.get("en", next(iter(value.values()), "")))
    return value if isinstance(value, str) else ""


def chosen(named: str, usual: Sequence[str], columns: Sequence[str], what: str, source: str) -> str:
    """The column that is named, or the first usual one; ValueError if there is none."""
    by_name = {c.lower(): c for c in reversed(columns)}
    if named:
        found = named if named in columns else by_name.get(named.strip().lower(), "")
    else:
        found = next((by_name[c] for c in map(str.lower, usual) if c in by_name), "")
    if not found:
        raise ValueError(
            f"{source!r} has no column {named!r}"
            if named
            else f"{source!r} has no usual column of {what}s; it has {', '.join(columns) or 'none'}"
        )
    return found


def stream(file: str) -> Any:
    """A file here or on the Hub, opened."""
    if file.startswith("hf://"):
        from huggingface_hub import HfFileSystem

        return HfFileSystem().open(file, "rb")
    return open(file, "rb")


@lru_cache(64)
def opened(file: str) -> tuple[list[int], list[str]]:
    """The sizes of a file's groups of rows, and its columns; ValueError if it can't be read."""
    if not file.endswith(".parquet"):
        table = whole(file)
        return [len(table)], [str(c) for c in table.columns]
    try:
        with stream(file) as source:
            read = pq.ParquetFile(source)
            sizes = [read.metadata.row_group(k).num_rows for k in range(read.num_row_groups)]
            return sizes, list(read.schema_arrow.names)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{file!r} can't be read: {str(error).splitlines()[0]}") from None


@lru_cache(4)
def whole(file: str) -> pd.DataFrame:
    """A table that is read whole; ValueError if it can't be."""
    path = Path(file)
    try:
        if path.stat().st_size > LARGEST_TABLE:
            raise ValueError("it is larger than 2 GB; Parquet files may be")
        if path.suffix == ".jsonl":
            return stripped(pd.read_json(path, lines=True, dtype=False, encoding="utf-8-sig"))  # type: ignore
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row with more cells than the head
            tabs = path.suffix == ".tsv"
            return stripped(
                pd.read_csv(
                    path,
                    sep="\t" if tabs else ",",
                    dtype=str,
                    keep_default_na=False,
                    index_col=False,
                    encoding="utf-8-sig",
                    # Between tabs a quote is a part of its caption: a lone one would swallow what follows.
                    quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
                )
            )
    except Exception as error:  # pandas' readers raise many kinds
        raise ValueError(f"{file!r} can't be read: {str(error).splitlines()[0]}") from None


def find_swallowed(file: str) -> str:
    """What to say of a CSV file in which a quotation mark that isn't closed has swallowed rows: one of its
    cells has several lines, a later one of which names an image; empty where there is none."""
    if not file.endswith(".csv"):
        return ""
    for row, cells in enumerate(whole(file).itertuples(index=False), 1):
        if any(NAMES_IMAGE.search(line) for cell in cells for line in text(cell).split("\n")[1:]):
            name = Path(file).name
            return (
                f"{name!r}: row {row} has swallowed others; does it open a quotation mark without closing it?"
            )
    return ""


def stripped(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose columns' names have no blanks around them."""
    return table.rename(columns=lambda name: str(name).strip())


def on_hub(asked: Captioned) -> Tabled:
    """A dataset of the Hub, by its Parquet files or those that the Hub has made of it; ValueError says
    what is wrong."""
    from huggingface_hub import HfFileSystem

    from fairdemo.models import hub

    try:
        files = HfFileSystem()
        found = files.glob(f"datasets/{asked.source}/**/*.parquet") or files.glob(
            f"datasets/{asked.source}@refs%2Fconvert%2Fparquet/**/*.parquet"
        )
    except Exception as error:  # the Hub's client and the network each raise their own kinds
        raise ValueError(hub.explain(error, f"dataset {asked.source!r}")) from error
    if not found:
        raise ValueError(f"dataset {asked.source!r} has no Parquet files, and the Hub has made none of it")
    some = [found[k * len(found) // FILES] for k in range(FILES)] if len(found) > FILES else found
    notice = f"{FILES} of {len(found):,} files are read, evenly spread." if len(found) > FILES else ""
    return Tabled(asked, [f"hf://{f}" for f in some], None, notice)
