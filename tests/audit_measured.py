"""What the audit promises and takes too long for a test: python -m tests.audit_measured kills|speed|portraits

Two cores; nothing else running."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import psutil
from PIL import Image
from tqdm import tqdm

from fairdemo.audit import painter, rows, run, summary
from fairdemo.audit.study import Study
from fairdemo.models.sampling import Sample
from fairdemo.stats.attributes import ADULT_AGES, CLASSES

KILLS = 20
LABELS = ["id", "origin", "prompt", "slot", "source", "faces", *CLASSES, "subject"]
TWO_THOUSAND = 'lists = ["professions"]\nimages = 50\n'
MIXED = 'lists = ["professions"]\nmethods = ["mix"]\nimages = 32\n'
LAW = {
    "gender": {"Male": 0.7, "Female": 0.3},
    "race": dict(zip(CLASSES["race"], (0.30, 0.20, 0.05, 0.10, 0.05, 0.30))),
    "age": {age: 1 / len(ADULT_AGES) for age in ADULT_AGES},
}


def started(study: Path, out: Path, *more: str) -> subprocess.Popen:
    """`audit run` in a session of its own."""
    command = [
        sys.executable,
        "-m",
        "fairdemo",
        "audit",
        "run",
        str(study),
        "--out",
        str(out),
        "--drawings",
        *more,
    ]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    return subprocess.Popen(command, env={**os.environ, "RAY_worker_niceness": "0"}, **quiet)


def actors_of(process: subprocess.Popen) -> list[psutil.Process]:
    """The processes of a run that hold models."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [p for p in children if "Painter" in p.name() + "".join(p.cmdline()[:1])]


def ended(process: subprocess.Popen) -> None:
    """SIGKILL to all of a run."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def kills(place: Path) -> None:
    """A run of 2,000 images that is killed twenty times at random, its driver or an actor, against one that
    nothing ends."""
    path = place / "study.toml"
    path.write_text(TWO_THOUSAND)
    whole, killed = place / "whole", place / "killed"
    started(path, whole).wait()
    dice = random.Random(0)
    done, files, process = {"driver": 0, "actor": 0}, {}, started(path, killed)
    with tqdm(total=KILLS, desc="kills") as bar:
        while sum(done.values()) < KILLS:
            there = len(rows.finished(killed)) if killed.exists() else 0
            deadline = time.monotonic() + 120
            while len(rows.finished(killed)) < there + 2 and time.monotonic() < deadline:
                time.sleep(0.2)
            time.sleep(dice.uniform(0, 4))
            if process.poll() is not None:
                break
            what = dice.choice(("driver", "actor"))
            actors = actors_of(process)
            if what == "actor" and actors:
                dice.choice(actors).kill()
            else:
                what = "driver"
                ended(process)
                process = started(path, killed)
            now = {f: f.stat().st_mtime_ns for f in (killed / rows.FOLDER).glob("*.parquet")}
            assert all(now.get(f) == then for f, then in files.items()), "a finished shard was written again"
            files, done[what] = now, done[what] + 1
            bar.update()
    assert process.wait() == 0
    tables = [rows.read(folder)[LABELS].sort_values("id", ignore_index=True) for folder in (whole, killed)]
    assert tables[0].id.is_unique and tables[1].id.is_unique
    same = tables[0].equals(tables[1])
    print(
        f"{len(tables[1]):,} rows after {done} kills, none twice; the same as of {len(tables[0]):,}: {same}"
    )


def rate(study: Path, out: Path, *more: str) -> float:
    """Images a second of a run, from its first written shards on, when models are loaded."""
    assert started(study, out, *more).wait() == 0
    written = sorted(f.stat().st_mtime for f in (out / rows.FOLDER).glob("*.parquet"))
    skipped = 2
    return 32 * (len(written) - 1 - skipped) / (written[-1] - written[skipped])


def speed(place: Path) -> None:
    """Images a second of a study on two actors and on one, against the same batches without Ray."""
    path = place / "study.toml"
    path.write_text(MIXED)
    start = time.perf_counter()
    with run.cluster(run.Place()):
        print(f"Ray starts in {time.perf_counter() - start:.1f} s")
    os.environ["OMP_NUM_THREADS"] = "1"
    two, one = rate(path, place / "two", "--actors=2"), rate(path, place / "one", "--actors=1")
    del os.environ["OMP_NUM_THREADS"]
    study = Study(lists=("professions",), methods=("mix",), images=32)
    own, live = painter.Painter(study), painter.live("embedded")
    live.load()
    plans = [own.plan(study.origins[0], asked) for asked in study.asked[:9]]
    for k, (setting, slots) in enumerate(plans):
        start = time.perf_counter() if k == 1 else start
        live.fresh(setting, [Sample(i, s) for i, s in enumerate(slots[:32])])
    plain = 32 * (len(plans) - 1) / (time.perf_counter() - start)
    print(f"images a second: two actors {two:.2f}, one {one:.2f}, one process without Ray {plain:.2f}")
    print(f"two actors against no Ray {two / plain:.2f}; two against one {two / one:.2f}")


def portraits(place: Path, n: int = 1200) -> None:
    """Drawn portraits of a known law, read as a folder: corrected shares beside the law."""
    from fairdemo.world import corpus

    images = place / "portraits"
    images.mkdir()
    table = corpus.distributed(LAW, n, 12)
    drawn = corpus.draw_all(table, place / "shards", 128, lambda done, of: None)
    for k, image in enumerate(drawn):
        Image.fromarray(image).save(images / f"{k:04d}.png")
    names = [f"{k:04d}.png" for k in range(n)]
    prompts = [f"a photo of a {s}" for s in table.subject]
    columns = {"file_name": names, "prompt": prompts, "gender": table.gender, "race": table.race}
    pd.DataFrame(columns).to_csv(images / "metadata.csv", index=False)
    path = place / "study.toml"
    path.write_text(f'folders = ["{images}"]\nreader = "embedded"\n')
    assert started(path, place / "out").wait() == 0
    _, _, found = summary.found_in(place / "out")
    held = 0
    for t in found.truth:
        law = LAW[t.attribute][t.name]
        held += t.interval[0] <= law <= t.interval[1]
        print(
            f"{t.name:16} law {law:.3f}, of these {t.true:.3f}, observed {t.observed.share:.3f},"
            f" corrected {t.corrected:.3f} ({t.interval[0]:.3f} to {t.interval[1]:.3f})"
        )
    print(f"intervals that hold the law: {held} of {len(found.truth)}; {n:,} portraits")


if __name__ == "__main__":
    chosen = {"kills": kills, "speed": speed, "portraits": portraits}
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or chosen:
            chosen[name](Path(folder))
