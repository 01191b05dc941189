"""What the audit of captioned sets promises and takes too long for a test: python -m tests.data_measured
speed|memory

Two cores; nothing else running."""

import io
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from scipy.stats import theilslopes
from tqdm import tqdm

from fairdemo.audit import painter
from fairdemo.audit.run import series
from fairdemo.audit.study import AT_ONCE, Study
from fairdemo.data import opening
from fairdemo.data.captioned import Captioned
from fairdemo.world import corpus
from fairdemo.world.portrait import draw

PEOPLE = 64
FEW, MANY = 640, 10_000


def portraits(side: int) -> list[bytes]:
    """JPEG files of a few people."""
    found = []
    for row in corpus.alike(6, 92, "balanced").head(PEOPLE).itertuples():
        buffer = io.BytesIO()
        Image.fromarray(draw(corpus.person(row), side, row.seed, 1.5)).save(buffer, "JPEG")
        found.append(buffer.getvalue())
    return found


def study_of(place: Path, images: list[bytes], n: int) -> Study:
    """A study of a Parquet file with n rows."""
    rows = [images[k % len(images)] for k in range(n)]
    table = pa.table({"image": rows, "caption": [f"a photo of a nurse, number {k}" for k in range(n)]})
    pq.write_table(table, place / "set.parquet", row_group_size=500)
    return Study(data=(Captioned(source=str(place / "set.parquet")),), reader="embedded")


def speed(place: Path) -> None:
    """Images a second of shards against the bare readers on images that are open already."""
    study = study_of(place, portraits(256), FEW)
    own, shards = painter.live("embedded"), tasks(study)
    images = [i.image for i in opening.opened(study.data[0]).items(range(FEW))]
    batches = [[i for i in images[k : k + AT_ONCE] if i] for k in range(0, FEW, AT_ONCE)]
    paints = painter.Painter(study)
    own.reader.read(batches[0]), own.subjects.read(batches[0])
    paints.paint(*shards[0])
    spent = {"bare": 0.0, "shards": 0.0}
    order = [(kind, k) for k in range(len(batches)) for kind in ("bare", "shards")]
    random.Random(0).shuffle(order)
    for kind, k in tqdm(order, desc="reading"):
        start = time.perf_counter()
        if kind == "bare":
            own.reader.read(batches[k]), own.subjects.read(batches[k])
        else:
            paints.paint(*shards[k])
        spent[kind] += time.perf_counter() - start
    bare, mine = (FEW / spent[kind] for kind in ("bare", "shards"))
    print(f"bare readers {bare:.1f} images a second, shards {mine:.1f}: {mine / bare:.2f}")


def tasks(study: Study) -> list:
    """A study's shards as a painter takes them."""
    return [(s, name) for one in series(study) for part in one.parts for name, s in part]


def memory(place: Path) -> None:
    """What a process holds while it reads many small images: its slope over the last half."""
    study = study_of(place, portraits(64), MANY)
    paints, process, held = painter.Painter(study), psutil.Process(), []
    for shard, name in tqdm(tasks(study), desc="reading"):
        paints.paint(shard, name)
        held.append(process.memory_info().rss / 2**20)
    last = held[len(held) // 2 :]
    slope = theilslopes(last, np.arange(len(last)) * AT_ONCE / 1000)[0]
    print(f"{held[0]:.0f} MB at first, {last[0]:.0f} in the middle, {held[-1]:.0f} at the end;")
    print(f"slope of the last half {slope:+.2f} MB per 1,000 images")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        {"speed": speed, "memory": memory}[sys.argv[1]](Path(folder))
