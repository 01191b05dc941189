"""Labels a folder of images for training: `labels.csv` as `train inc` and `train div` read it, made by a
classifier
(arXiv 2402.01002 labels FFHQ so for SDXL-Div, and for SDXL-Inc keeps the model's own images of explicit
prompts whose face is read as what the prompt says)."""

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fairdemo.data.item import decoded
from fairdemo.pairs import Face
from fairdemo.places import is_inside, replace
from fairdemo.readers.open_image import SUFFIXES
from fairdemo.readers.read import FaceReader
from fairdemo.stats.attributes import ATTRIBUTES

AT_ONCE = 32
READINGS, LABELS, DRAWN = "readings.csv", "labels.csv", "drawn.csv"
COLUMNS = ["image", "bytes", "classifier", "failed", "faces", *ATTRIBUTES, *(f"sure_{a}" for a in ATTRIBUTES)]
DRAWN_COLUMNS = ["image", "prompt", "race", "gender", "profile"]
NO_FACE, SEVERAL, OTHER = "no face", "several faces", "another face than the prompt says"


@dataclass(frozen=True)
class Labelling:
    """How a folder is labelled."""

    classifier: str  # its name, for the record
    threshold: float = 0.7  # the least probability of a label that counts
    sure_of: tuple[str, ...] = ("race", "gender")  # the attributes that it must be sure of


@dataclass(frozen=True)
class Labels:
    """What became of a folder's images."""

    images: int
    labelled: int
    aside: dict[str, int]  # why images aren't labelled, and how many


def known_by(classifier: Path | str) -> str:
    """What readings know a classifier by: its name, and of a folder what is in it."""
    if isinstance(classifier, str):
        return classifier
    files = sorted(p for p in classifier.iterdir() if p.is_file()) if classifier.is_dir() else []
    found = hashlib.sha256(b"".join(hashlib.sha256(p.read_bytes()).digest() for p in files))
    return f"{classifier.name} {found.hexdigest()[:12]}"


def images_in(folder: Path) -> list[Path]:
    """A folder's images, wherever in it; ValueError if there are none."""
    if not folder.is_dir():
        raise ValueError(f"folder {str(folder)!r} isn't there")
    found = sorted(
        p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file() and is_inside(p, folder)
    )
    if not found:
        raise ValueError(f"folder {str(folder)!r} has no images ({', '.join(SUFFIXES)})")
    return found


def label(folder: Path, reader: FaceReader, how: Labelling, told: Callable[[int, int], None]) -> Labels:
    """Writes a folder's labels.csv; `told` hears of images that are read and of all. Readings are kept, so
    that a
    killed run goes on, and another threshold reads nothing again. ValueError if there are no images."""
    if (folder / LABELS).is_file() and not (folder / READINGS).is_file():
        raise ValueError(
            f"{str(folder / LABELS)!r} isn't by this command (there is no {READINGS} beside it), and would be"
            " overwritten; give it another name first"
        )
    paths = images_in(folder)
    sizes = {str(p.relative_to(folder)): p.stat().st_size for p in paths}
    there = read_before(folder, how.classifier, sizes)
    missing = [name for name in sizes if name not in there]
    told(len(there), len(sizes))
    keep(folder, there.values())
    with (folder / READINGS).open("a", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.DictWriter(file, COLUMNS)
        for start in range(0, len(missing), AT_ONCE):
            names = missing[start : start + AT_ONCE]
            for row in read(folder, names, reader):
                row |= {"bytes": sizes[row["image"]], "classifier": how.classifier}
                writer.writerow(row)
                there[row["image"]] = {k: str(row.get(k, "")) for k in COLUMNS}
            file.flush()
            told(len(there), len(sizes))
    return written(folder, [there[name] for name in sizes], how)


def read_before(folder: Path, classifier: str, sizes: dict[str, int]) -> dict[str, dict[str, str]]:
    """The readings that an earlier run kept of images that are still there as they were."""
    path = folder / READINGS
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = [r for r in csv.DictReader(file) if r.get(COLUMNS[-1]) is not None]  # a kill may tear the last
    return {
        r["image"]: r
        for r in rows
        if r["classifier"] == classifier and r["bytes"] == str(sizes.get(r["image"], ""))
    }


def keep(folder: Path, rows: Sequence[dict[str, str]] | object) -> None:
    """Writes readings anew, whole or not at all."""
    part = folder / f"{READINGS}.part"
    with part.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)  # type: ignore[arg-type]
    os.replace(part, folder / READINGS)


def read(folder: Path, names: Sequence[str], reader: FaceReader) -> list[dict]:
    """What a classifier reads in images."""
    opened = [decoded((folder / name).read_bytes()) for name in names]
    images = [image for image in opened if not isinstance(image, str)]
    faces = iter(reader.read(images) if images else [])
    return [
        {"image": name, "failed": image}
        if isinstance(image, str)
        else {"image": name, "failed": "", **reading(next(faces))}
        for name, image in zip(names, opened)
    ]


def reading(faces: Sequence[Face]) -> dict:
    """The largest face's labels and how sure the classifier is of each."""
    if not faces:
        return {"faces": 0}
    first = faces[0]
    labels = {a: first.label(a) for a in ATTRIBUTES}
    return {"faces": len(faces), **labels} | {
        f"sure_{a}": round(first.probability[a][labels[a]], 4) for a in ATTRIBUTES
    }


def written(folder: Path, rows: Sequence[dict[str, str]], how: Labelling) -> Labels:
    """Writes labels.csv from readings."""
    drawn = {}
    if (folder / DRAWN).is_file():
        table = drawn_before(folder)
        drawn = table.set_index("image").to_dict("index")
    kept, aside = [], Counter()
    for row in rows:
        asked = drawn.get(row["image"])
        if why := doubt(row, how, asked):
            aside[why] += 1
        else:
            prompt = {"prompt": asked["prompt"]} if asked else {}
            kept.append({"image": row["image"], **{a: row[a] for a in ATTRIBUTES}, **prompt})
    columns = ["image", *ATTRIBUTES, *(["prompt"] if drawn else [])]
    replace(folder / LABELS, pd.DataFrame(kept, columns=columns).to_csv(index=False))
    return Labels(len(rows), len(kept), dict(aside.most_common()))


def drawn_before(folder: Path) -> pd.DataFrame:
    """What a folder's drawn images were to show; ValueError if its table isn't one that we wrote."""
    try:
        table = pd.read_csv(folder / DRAWN, dtype=str)
    except (OSError, ValueError) as error:
        raise ValueError(f"{str(folder / DRAWN)!r} can't be read: {str(error).splitlines()[0]}") from None
    if lacking := [c for c in DRAWN_COLUMNS if c not in table.columns]:
        raise ValueError(f"{str(folder / DRAWN)!r} lacks the column {lacking[0]!r}")
    return table


def doubt(row: dict[str, str], how: Labelling, asked: dict[str, str] | None) -> str:
    """Why an image isn't labelled, or nothing; `asked` is what a drawn one was to show."""
    if row["failed"]:
        return f"not an image ({row['failed']})"
    if row["faces"] in ("", "0"):
        return NO_FACE
    if row["faces"] != "1":
        return SEVERAL
    unsure = [a for a in how.sure_of if float(row[f"sure_{a}"]) < how.threshold]
    if unsure:
        return f"not sure of {' and '.join(unsure)}"
    return OTHER if asked and any(row[a] != asked[a] for a in ("race", "gender")) else ""
