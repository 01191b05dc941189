"""Rows: everything that is read in an image of a study, and how shards of them are kept: one Parquet file
each, under a name that follows from what it holds, whole or not at all."""

import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fairdemo.audit.study import Shard
from fairdemo.pairs import Drawn
from fairdemo.stats.attributes import CLASSES, TARGET_CLASSES
from fairdemo.stats.mix import Source

FOLDER = "rows"
NOTHING_SHOWN = "black or of one colour"  # why an image counts as failed that a model gave
SCHEMA = pa.schema(
    [
        ("id", pa.string()),  # a hash of everything that decides the image
        ("listed", pa.string()),  # the list that the prompt is from
        ("prompt", pa.string()),
        ("seen", pa.string()),  # the prompt as this image's source has it
        ("origin", pa.string()),  # the model, the method, the guidance
        ("method", pa.string()),
        ("seed", pa.int64()),
        ("slot", pa.int32()),  # which of the seed's noises
        ("source", pa.string()),  # what of the method drew it
        *((f"wanted_{a}", pa.string()) for a in TARGET_CLASSES),  # the cell that the source stands for
        ("faces", pa.int16()),  # how many were found; what follows is the largest one's
        ("detection", pa.float32()),
        ("box", pa.list_(pa.float32())),  # left, top, right, bottom in pixels
        *((a, pa.string()) for a in CLASSES),  # as perceived by the classifier
        *((f"p_{a}", pa.list_(pa.float32())) for a in CLASSES),  # of every class, in the order of `CLASSES`
        ("embedding", pa.list_(pa.float32())),
        ("subject", pa.string()),  # the profession that is shown
        ("dtype", pa.string()),  # the numbers that it was computed in; older rows don't say
        ("failed", pa.string()),  # why there is no image, or one that shows nothing; it has no faces then
        ("seconds", pa.float32()),  # that drawing and reading it took
        ("image", pa.binary()),  # WebP, where images are kept
    ]
)
# Of captioned sets.
SET_SCHEMA = pa.schema(
    [
        *SCHEMA,
        ("look", pa.string()),  # a perceptual hash, for near-duplicates
    ]
)


def digest(shard: Shard, decided: str) -> str:
    """A short hash of everything that decides a shard's images: what is asked for, and `decided`, of the
    weights and settings behind its origin."""
    text = json.dumps([asdict(shard), decided], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def row(shard: Shard, digest_: str, k: int, drawn: Drawn | None, source: Source, seen: str) -> dict[str, Any]:
    """What is kept of one image, or of an image that isn't there; `k` is its place in the shard."""
    about = {
        "id": f"{digest_}-{k:03d}",
        "listed": shard.asked.listed,
        "prompt": shard.asked.prompt,
        "seen": seen,
        "origin": shard.origin.name,
        "method": shard.origin.method,
        "seed": shard.asked.seed,
        "slot": shard.first + k,
        "source": source.label,
        **{f"wanted_{a}": source.named(a) for a in TARGET_CLASSES},
        "faces": len(drawn.faces) if drawn else 0,
        "subject": drawn.subject if drawn else None,
        "failed": NOTHING_SHOWN if drawn and drawn.failed else None,
    }
    if not drawn or not drawn.faces:
        return about
    face = drawn.faces[0]
    return about | {
        "detection": face.detection,
        "box": list(face.box),
        **{a: face.label(a) for a in CLASSES},
        **{f"p_{a}": [face.probability[a].get(c, 0.0) for c in CLASSES[a]] for a in CLASSES},
        "embedding": np.asarray(face.embedding, np.float32).tolist(),
    }


def webp(drawn: Drawn) -> bytes:
    """An image's file."""
    buffer = io.BytesIO()
    drawn.image.convert("RGB").save(buffer, "WEBP", quality=90, method=4)
    return buffer.getvalue()


def packed(rows: Sequence[dict[str, Any]], schema: pa.Schema = SCHEMA) -> bytes:
    """A shard's file."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema), buffer, compression="zstd")
    return buffer.getvalue()


def write(folder: Path, name: str, content: bytes) -> None:
    """Writes a shard's file, complete or absent whatever ends the program meanwhile."""
    path = folder / FOLDER / f"{name}.parquet"
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def finished(folder: Path) -> set[str]:
    """The names of the shards that are written."""
    return {path.stem for path in (folder / FOLDER).glob("*.parquet")}


def read(
    folder: Path, names: Sequence[str] | None = None, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """The rows of shards, all or by name; ValueError names a damaged file."""
    chosen = sorted(finished(folder)) if names is None else names
    tables = []
    for name in chosen:
        path = folder / FOLDER / f"{name}.parquet"
        try:
            there = pq.read_schema(path).names  # rows of models lack columns that those of sets have
            tables.append(pq.read_table(path, columns=[c for c in columns or there if c in there]))
        except (OSError, pa.ArrowException) as error:
            raise ValueError(f"{path.name} is damaged ({error}); delete it and run the study again") from None
    if not tables:
        return SCHEMA.empty_table().to_pandas()
    return pa.concat_tables(tables, promote_options="default").to_pandas()
