"""Labelled photographs: a folder with a CSV, or FairFace from the Hub. What classifiers are trained and
judged on."""

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from fairdemo.models import hub
from fairdemo.places import is_inside
from fairdemo.readers.open_image import check_size, open_image, turn_upright
from fairdemo.stats.attributes import ATTRIBUTES, CLASSES

FAIRFACE = "HuggingFaceM4/FairFace"
DISTRIBUTED = "fairface_label_*.csv"  # as FairFace itself is distributed
# FairFace's classes (Karkkainen and Joo 2021) as ours: seven races to six, nine age groups to six.
_RACES = {
    "East Asian": "Asian",
    "Southeast Asian": "Asian",
    "Latino_Hispanic": "Latinx",
    "Latino Hispanic": "Latinx",
}
_AGES = {"0-2": "0-19", "3-9": "0-19", "10-19": "0-19", "60-69": "60+", "more than 70": "60+", "70+": "60+"}


@dataclass(frozen=True)
class Labelled:
    """`table` has a row a picture: race, gender, age, and the prompt where there is one. `images` yields
    them in its order, upright and in RGB; None where one can't be opened."""

    name: str
    table: pd.DataFrame
    pictures: Iterable[Any]  # paths or a dataset's column of images

    def __len__(self) -> int:
        return len(self.table)

    @property
    def first(self) -> str:
        """The first picture's place, for messages."""
        first = next(iter(self.pictures), "")
        return str(first) if isinstance(first, Path) else "that of the dataset"

    def images(self) -> Iterator[Image.Image | None]:
        """Every picture, None where one can't be opened."""
        for picture in self.pictures:
            try:
                if isinstance(picture, Image.Image):
                    check_size(picture)
                    yield turn_upright(picture)
                else:
                    yield open_image(picture)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                yield None

    def batches(self, size: int) -> Iterator[list[Image.Image | None]]:
        """The same, `size` at a time."""
        images = self.images()
        while batch := list(itertools.islice(images, size)):
            yield batch


def labels(race: str, gender: str, age: str) -> dict[str, str]:
    """FairFace's labels or ours as ours; ValueError that names one which is neither."""
    race, gender, age = race.strip(), gender.strip(), age.strip()
    row = {"race": _RACES.get(race, race), "gender": gender.capitalize(), "age": _AGES.get(age, age)}
    for attribute, label in row.items():
        if label not in CLASSES[attribute]:
            excel = "; Excel makes dates of 3-9 and 10-19" if re.search(r"[A-Z][a-z]{2}", age) else ""
            raise ValueError(
                f"{attribute} is {label!r}; allowed are {', '.join(CLASSES[attribute])}, and"
                f" FairFace's own{excel if attribute == 'age' else ''}"
            )
    return row


def read_labelled(source: str, limit: int | None = None, split: str = "train") -> Labelled:
    """A folder with `labels.csv` (columns image, race, gender, age, and prompt if you like; images in it or
    in `images/`), or a dataset of the Hub with FairFace's columns. `limit` pictures, evenly spread.
    ValueError says what is wrong with it."""
    folder = Path(source)
    if not folder.is_dir():
        return _from_hub(hub.repository(source, "labelled pictures"), limit, split)
    path = next((p for p in (folder / "labels.csv", *sorted(folder.glob(DISTRIBUTED))) if p.is_file()), None)
    if path is None:
        raise ValueError(f"{source!r} holds no labels.csv, nor FairFace's own {DISTRIBUTED}")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ValueError(f"{source!r} holds no readable labels.csv: {str(error).splitlines()[0]}") from None
    table.columns = [column.strip().lower() for column in table.columns]
    if "image" not in table.columns and "file" in table.columns:
        table = table.rename(columns={"file": "image"})
    missing = {"image", *ATTRIBUTES} - set(table.columns)
    if missing:
        raise ValueError(
            f"{path} lacks the columns {', '.join(sorted(missing))}; expected image, race, gender, age"
        )
    table = table.iloc[_spread(len(table), limit)].reset_index(drop=True)
    paths = []
    for row, name in enumerate(table.image, 1):
        if not name.strip():
            raise ValueError(f"{path} has no image in row {row}")
        name = name.strip().replace("\\", "/")
        inside = [base / name for base in (folder, folder / "images")]
        if not all(is_inside(p, folder) for p in inside):
            raise ValueError(f"{path} names {name!r}, which lies outside of its folder")
        paths.append(next((p for p in inside if p.is_file()), inside[-1]))
    known = []
    for image, *row in zip(table.image, *(table[a] for a in ATTRIBUTES)):
        try:
            known.append(labels(*row))
        except ValueError as error:
            raise ValueError(f"{path}, {image}: {error}") from None
    known = pd.DataFrame(known)
    if "prompt" in table.columns:
        known["prompt"] = table["prompt"]
    return Labelled(folder.name, known, paths)


def _from_hub(source: str, limit: int | None, split: str) -> Labelled:
    from datasets import load_dataset  # heavy, and only needed here

    try:
        data = load_dataset(source, "1.25" if source == FAIRFACE else None, split=split)
        data = data.select(_spread(len(data), limit))
        columns = [
            [data.features[a].int2str(v) if hasattr(data.features[a], "int2str") else str(v) for v in data[a]]
            for a in ATTRIBUTES
        ]
    except Exception as error:  # datasets, the Hub and the network each raise their own kinds
        raise ValueError(hub.explain(error, f"labelled pictures {source!r}")) from error
    return Labelled(source, pd.DataFrame([labels(*row) for row in zip(*columns)]), data["image"])


def _spread(n: int, limit: int | None) -> list[int]:
    count = n if limit is None else min(n, limit)
    return [i * n // count for i in range(count)]
