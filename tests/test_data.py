"""Captioned image sets: every kind is counted right, whatever is wrong in it; findings hold on known
truth; nobody is shown who shouldn't be."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fairdemo.audit import check, dataset, in_set, rows, run, set_report, set_rows, summary
from fairdemo.audit.bridged import bridged
from fairdemo.audit.painter import Painter
from fairdemo.audit.run import series
from fairdemo.audit.study import Study
from fairdemo.cli import main
from fairdemo.data import download, look, opening, tables
from fairdemo.data.captioned import Captioned
from fairdemo.data.item import DAMAGED, TOO_LARGE
from fairdemo.data.people import JOBS, MANY, NOBODY, placed
from fairdemo.readers.labelled import read_labelled
from fairdemo.stats import prompts
from fairdemo.stats.attributes import GENDERS, RACES
from fairdemo.ui import audit_tab, data_tab
from fairdemo.world import corpus
from fairdemo.world.portrait import draw
from fairdemo.world.professions import SKEWS
from tests.conftest import alike
from tests.test_faces import FAIRFACE, needs_photographs

ROOT = Path(__file__).resolve().parents[1]
PEOPLE = corpus.alike(4, 91, "balanced")  # 48 people whom nothing was trained on


@pytest.fixture(scope="module")
def portraits() -> list[bytes]:
    """JPEG files of twelve people."""
    found = []
    for row in PEOPLE.head(12).itertuples():
        buffer = io.BytesIO()
        Image.fromarray(draw(corpus.person(row), 128, row.seed, 1.5)).save(buffer, "JPEG", quality=95)
        found.append(buffer.getvalue())
    return found


def bomb() -> bytes:
    """A small PNG that says it is of 30,000 x 30,000 pixels."""
    buffer = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def server(portraits):
    """A host with everything that a host can do wrong."""
    large = bomb()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind = self.path.strip("/").partition("/")[0]
            if kind == "slow":
                time.sleep(6)
            if kind in ("private", "loop"):
                self.send_response(302)
                self.send_header("Location", "http://10.0.0.1/x.jpg" if kind == "private" else self.path)
                self.end_headers()
                return
            self.send_response(404 if kind == "missing" else 200)
            self.send_header("Content-Type", "text/html" if kind == "html" else "image/jpeg")
            self.end_headers()
            try:
                if kind == "endless":
                    for _ in range(100):
                        self.wfile.write(b"x" * 100)
                        self.wfile.flush()
                        time.sleep(0.2)
                elif kind == "large":
                    for _ in range(30):
                        self.wfile.write(b"x" * 1_000_000)
                else:
                    bad = {"damaged": b"\xff\xd8\xff\xe0 no", "bomb": large, "html": b"<html>"}
                    number = self.path.rpartition("/")[2]
                    self.wfile.write(bad.get(kind) or portraits[int(number) if number.isdigit() else 0])
            except OSError:
                pass  # whoever asked has gone

        def log_message(self, *args) -> None:
            pass

    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_address[1]}"
    served.shutdown()


def rows_of(asked: Captioned, reader: str = "embedded") -> pd.DataFrame:
    """All rows of a set, painted in this process."""
    study = Study(data=(asked,), reader=reader)
    painter = Painter(study)
    made = [
        pd.read_parquet(io.BytesIO(painter.paint(shard, name)))
        for one in series(study)
        for part in one.parts
        for name, shard in part
    ]
    return pd.concat(made, ignore_index=True)


def test_captions_are_placed_at_the_profession_of_one_person():
    assert placed("a portrait of a nurse, sharp focus") == ("professions", "a photo of a nurse")
    assert placed("an old Black woman, an engineer") == ("professions", "a photo of an engineer")
    assert placed("a wealthy person at home") == ("professions", "a photo of a wealthy person")
    assert placed("a man in a hat") == ("person", "a photo of a person")
    assert placed("the doctor's office at night")[1] == NOBODY
    assert placed("two nurses and a doctor")[1] == MANY
    assert placed("sunset over the sea") == ("", NOBODY)
    assert placed("a chef who is a singer")[1] in (JOBS, MANY)


def test_addresses_that_go_wrong_are_counted_as_what_they_are(server):
    kinds = ["good/1", "missing", "slow", "endless", "html", "large", "private", "loop"]
    start = time.monotonic()
    found = download.fetched([f"{server}/{k}" for k in kinds], ["127.0.0.1"], 2.0)
    assert time.monotonic() - start < 20
    told = dict(zip(kinds, found))
    assert isinstance(told.pop("good/1"), bytes)
    assert told == {
        "missing": "HTTP 404",
        "slow": download.TOO_LONG,
        "endless": download.TOO_LONG,
        "html": "not an image (text/html)",
        "large": download.TOO_LARGE,
        "private": download.PRIVATE,
        "loop": "TooManyRedirects",
    }
    refused = download.fetched(
        [
            f"{server}/good",
            "http://localhost/x",
            "http://[::1]/x",
            "http://169.254.169.254/",
            "ftp://a/b",
            "x",
        ],
        [],
        2.0,
    )
    assert refused == [*[download.PRIVATE] * 4, *["not an address"] * 2]
    wrapped = [
        "10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "::10.0.0.1",
        "::ffff:10.0.0.1",
        "224.0.0.1",
        "fe80::1%1",
    ]
    assert not any(map(download.is_public, wrapped))
    assert all(map(download.is_public, ["8.8.8.8", "64:ff9b::808:808", "2001:4860:4860::8888"]))
    assert download.fetched(["http://no-such-host.invalid/x"], [], 5.0) == ["an unknown host"]


def test_few_are_fetched_at_once_from_a_host(server, monkeypatch):
    at_once, most = 0, 0
    true = download.content

    async def counted(*args):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            return await true(*args)
        finally:
            at_once -= 1

    monkeypatch.setattr(download, "content", counted)
    found = download.fetched([f"{server}/good/{k}" for k in range(12)], ["127.0.0.1"], 20.0)
    assert all(isinstance(one, bytes) for one in found) and most == download.OF_A_HOST


def test_a_table_of_addresses_is_read_and_killed_and_resumed(server, tmp_path):
    """100 addresses, some bad; the command is killed as soon as rows are there, and goes on: nothing
    twice."""
    kinds = ["good"] * 7 + ["missing", "html", "bomb", "damaged"]
    table = pd.DataFrame(
        {
            "URL": [f"{server}/{kinds[k % len(kinds)]}/{k % 12}" for k in range(100)],
            "TEXT": [f"a photo of a {('nurse', 'doctor')[k % 2]}" for k in range(100)],
        }
    )
    table.to_csv(tmp_path / "pairs.csv", index=False)
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "fairdemo",
        "data",
        "audit",
        str(tmp_path / "pairs.csv"),
        "--out",
        str(out),
    ]
    command += ["--reader", "embedded", "--allow-host", "127.0.0.1", "--actors", "1", "--include"]
    command += ["near-duplicates", "--drawings"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        while process.poll() is None and not list((out / "rows").glob("*.parquet")):
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    there = {p: p.stat().st_mtime_ns for p in (out / "rows").glob("*.parquet")}
    assert 0 < len(there) < 4, (tmp_path / "log").read_text()[-2000:]
    assert main(command[3:]) == 0
    assert all(p.stat().st_mtime_ns == at for p, at in there.items()), "no finished shard is written again"
    assert check.faults(out) == []
    found = rows.read(out)
    assert sorted(found.slot) == list(range(100))
    asked = table.URL.str.split("/").str[3].value_counts()
    assert found.failed.value_counts().to_dict() == {
        "HTTP 404": asked["missing"],
        "not an image (text/html)": asked["html"],
        TOO_LARGE: asked["bomb"],
        DAMAGED: asked["damaged"],
    }
    assert "HTTP 404" in (out / "report.html").read_text()


def test_a_webdataset_a_parquet_and_a_folder_say_the_same(portraits, tmp_path):
    captions = [f"a photo of a {('nurse', 'doctor', 'chef')[k % 3]}" for k in range(12)]
    with tarfile.open(tmp_path / "shard-000.tar", "w") as tar:
        for k, (image, caption) in enumerate(zip(portraits, captions)):
            told = json.dumps({"caption": caption}).encode() if k % 2 else caption.encode()
            for kind, content in (("jpg", image), ("json" if k % 2 else "txt", told)):
                info = tarfile.TarInfo(f"{k:06d}.{kind}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    images = [{"bytes": image, "path": None} for image in portraits]
    table = pa.table({"image": images, "caption": captions, "other": list(range(12))})
    pq.write_table(table, tmp_path / "data.parquet", row_group_size=5)
    folder = tmp_path / "folder"
    folder.mkdir()
    for k, image in enumerate(portraits):
        (folder / f"{k}.jpg").write_bytes(image)
    own = pd.DataFrame({"file_name": [f"{k}.jpg" for k in range(12)], "text": captions})
    own.to_json(folder / "metadata.jsonl", orient="records", lines=True)
    sets = [str(tmp_path / "shard-000.tar"), str(tmp_path / "data.parquet"), str(folder)]
    found = [rows_of(Captioned(source=s)) for s in sets]
    keys = ["slot", "prompt", "seen", "race", "gender", "age", "faces", "look"]
    for other in found[1:]:
        pd.testing.assert_frame_equal(found[0][keys], other[keys])
    assert found[0].faces.eq(1).all() and found[0].seen.tolist() == captions
    assert opening.opened(Captioned(source=sets[1])).notice.startswith(
        "Images are taken from the column 'image'"
    )
    # Any few rows of a table are the same as all of them.
    some = opening.opened(Captioned(source=sets[1])).items([11, 4, 5])
    assert [item.caption for item in some] == [captions[k] for k in (11, 4, 5)]


def test_a_dataset_of_the_hub_is_read_by_its_parquet_files(portraits, tmp_path, monkeypatch):
    """A stand-in for the Hub's file system; of many files some are read, evenly spread."""
    import fsspec
    import huggingface_hub

    memory = fsspec.filesystem("memory")
    for k in range(70):
        table = pa.table({"image": [{"bytes": portraits[k % 12], "path": ""}], "caption": [f"chef {k}"]})
        with memory.open(f"memory://datasets/somebody/people/data/{k:03d}.parquet", "wb") as file:
            pq.write_table(table, file)

    class Files:
        def glob(self, pattern: str) -> list[str]:
            return [p.lstrip("/") for p in memory.glob(f"/{pattern.replace('**/', 'data/')}")]

        def open(self, path: str, mode: str):
            return memory.open("/" + path.removeprefix("hf://"), mode)

    monkeypatch.setattr(huggingface_hub, "HfFileSystem", Files)
    found = opening.opened(Captioned(source="somebody/people"))
    assert found.count == tables.FILES and "64 of 70 files are read" in found.notice
    assert found.items([0])[0].image is not None and found.items([63])[0].caption == "chef 68"
    with pytest.raises(ValueError, match="no Parquet files"):
        tables.on_hub(Captioned(source="somebody/else"))


@pytest.mark.parametrize(
    ("write", "match"),
    [
        ({}, "has no captions"),
        ({"metadata.csv": "file_name,said\na.jpg,x\n"}, "no usual column of captions"),
        ({"metadata.csv": "file_name,caption\n"}, "has no rows"),
        ({"metadata.jsonl": "{"}, "can't be read"),
        ({"a.parquet": "PAR1 nothing"}, "can't be read"),
        ({"a.tar": "nothing"}, "can't be read"),
        ({"metadata.csv": "file_name,caption\n0.jpg,a nurse, smiling\n"}, "can't be read"),
    ],
)
def test_a_source_that_is_wrong_is_named(write, match, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, text in write.items():
        (folder / name).write_text(text)
    with pytest.raises(ValueError, match=match):
        opening.opened(Captioned(source=str(folder)))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["nowhere.csv"], "isn't there"),
        (["./nowhere"], "isn't there"),
        (["embedded", "--include", "cats"], "expected 'several faces'"),
        (["embedded", "--limit", "0"], "limit is 0"),
        (["embedded", "--seconds", "0"], "seconds"),
        (["embedded", "--reader", "nobody"], "nobody"),
    ],
)
def test_bad_input_of_the_command_is_one_line(arguments, match, tmp_path, capsys):
    assert main(["data", "audit", *arguments, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert match in told and told.startswith("fairdemo: ")
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_files_outside_the_folder_are_never_read(tmp_path, portraits):
    (tmp_path / "secret.jpg").write_bytes(portraits[0])
    folder = tmp_path / "folder"
    folder.mkdir()
    names = ["../secret.jpg", str(tmp_path / "secret.jpg"), "there.jpg", "missing.jpg", "x" * 300, ""]
    (folder / "there.jpg").write_bytes(portraits[1])
    pd.DataFrame({"file_name": names, "caption": ["a chef"] * 6}).to_csv(folder / "metadata.csv", index=False)
    found = opening.opened(Captioned(source=str(folder))).items(range(6))
    told = [tables.OUTSIDE, tables.OUTSIDE, "", tables.MISSING, tables.UNREADABLE, tables.EMPTY]
    assert [item.failed for item in found] == told


def test_what_is_aside_is_counted(portraits, tmp_path):
    """The same person again, smaller and saved worse; several people, nobody, a child, a damaged file."""
    small = io.BytesIO()
    Image.open(io.BytesIO(portraits[0])).resize((101, 101)).save(small, "JPEG", quality=55)
    both = np.hstack([np.asarray(Image.open(io.BytesIO(p))) for p in portraits[1:3]])
    two = io.BytesIO()
    Image.fromarray(both).save(two, "PNG")
    images = [portraits[0], small.getvalue(), portraits[3], portraits[4], portraits[5], two.getvalue(), b"no"]
    captions = ["a nurse", "a nurse", "two nurses", "a house", "a young boy, a singer", "a chef", "a chef"]
    table = pa.table({"image": images, "caption": captions})
    pq.write_table(table, tmp_path / "data.parquet")
    asked = Captioned(source=str(tmp_path / "data.parquet"))
    found = set_rows.told(rows_of(asked), Study(data=(asked,), reader="embedded"))
    assert found.aside.fillna("").tolist() == [
        "", "near-duplicates", MANY, NOBODY, "children", "several faces", f"no image: {DAMAGED}",
    ]  # fmt: skip
    study = Study(data=(asked,), reader="embedded")
    assert set_rows.kept(found, study).slot.tolist() == [0]
    two = Captioned(source=asked.source, leave_out=("children", "several faces"))
    counted = set_rows.told(rows_of(two), Study(data=(two,), reader="embedded"))
    assert counted.slot[~counted.left].tolist() == [0, 1], "nothing else comes in with near-duplicates"
    all_ = Captioned(source=asked.source, leave_out=())
    every = Study(data=(all_,), reader="embedded")
    assert set_rows.kept(set_rows.told(rows_of(all_), every), every).slot.tolist() == [0, 1, 4, 5]


def test_near_duplicates_are_found_among_many():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (500, 256))
    again = bits[:50].copy()
    for row in again:
        row[rng.choice(256, rng.integers(0, look.NEAR + 1), replace=False)] ^= 1
    every = [np.packbits(row).tobytes().hex() for row in [*bits, *again]]
    assert look.repeated([*every, None]) == [False] * 500 + [True] * 50 + [False]


def test_bits_are_log_ratios_of_what_is_expected():
    assert in_set.bits(np.array([[4.0, 0.5], [4.0, 8.5]]))[0, 0] == pytest.approx(np.log2(4 * 17 / (4.5 * 8)))
    assert in_set.bits(np.outer([1.0, 3.0], [2.0, 5.0])) == pytest.approx(np.zeros((2, 2)))


@pytest.fixture(scope="module")
def shipped() -> summary.Summary:
    return audit_tab.opened("embedded", summary.DATA_SETS)


def test_the_embedded_corpus_is_found_as_it_is(shipped):
    """7,864 portraits of known people: corrected shares, their intervals against the corpus's law,
    captions."""
    assert shipped.in_set is not None and shipped.in_set.images == 7864 == shipped.in_set.kept
    for attribute in ("gender", "race"):
        own = [r for r in shipped.in_set.right if r.attribute == attribute and r.observed.n >= 100]
        assert len({r.prompt for r in own}) >= 40
        assert np.mean([abs(r.corrected - (r.true or 0)) for r in own]) <= 0.02
        laws = [(r, law(r)) for r in own if r.name != "Male"]
        assert np.mean([r.interval[0] <= wanted <= r.interval[1] for r, wanted in laws]) >= 0.93
    said = [placed(corpus.training_caption(r, np.random.default_rng(k))) for k, r in enumerate(people())]
    right = [p == wanted(r) for (_, p), r in zip(said, people())]
    assert np.mean(right) >= 0.99


def people() -> list:
    return list(corpus.biased(20, 5).itertuples())


def wanted(row) -> str:
    """The prompt that a row of a corpus belongs to."""
    if row.subject in prompts.PROFESSIONS or row.subject == "person":
        return prompts.photo_of(row.subject)
    return f"{prompts.photo_of(row.subject)} person"


def law(right: in_set.Right) -> float:
    """A class's share in the corpus's law."""
    plain = right.prompt.removeprefix("a photo of a ").removeprefix("a photo of an ")
    skew = SKEWS[plain if plain in SKEWS else plain.removesuffix(" person")]
    return skew.women if right.name == "Female" else float(skew.races[RACES.index(right.name)])


def test_the_bridge_says_that_the_model_exaggerates(shipped):
    audit = audit_tab.opened("professions")
    plain, mixed = (
        next(b for b in bridged(shipped.found.cells, "embedded", audit.found.cells) if b.origin == o)
        for o in ("embedded, baseline", "embedded, mix")
    )
    assert plain.line and plain.line.slope.interval[0] > 1 and plain.line.explained.value > 0.9
    assert mixed.line and abs(mixed.line.slope.value) < 0.1
    assert len(plain.points) == 32
    guided = audit_tab.opened("guidance")
    slopes = [
        b.line.slope.value for b in bridged(shipped.found.cells, "embedded", guided.found.cells) if b.line
    ]
    assert len(slopes) == 3


def test_a_report_of_a_set_and_of_a_model_open_alike(shipped, tmp_path):
    """The same command, the same form: both have rows, a map and sentences."""
    for name, path in {**summary.offered(), **summary.offered(summary.DATA_SETS)}.items():
        if name in ("professions", "embedded"):
            shutil.copytree(path, tmp_path / name)
            assert main(["audit", "report", str(tmp_path / name)]) == 0
            page = " ".join((tmp_path / name / "report.html").read_text().split())
            assert "<b>as perceived by the classifier</b>" in page and "a photo of a nurse" in page
            assert len((tmp_path / name / "findings.csv").read_text().splitlines()) > 8 * 40
    told = (tmp_path / "embedded" / "report.html").read_text()
    assert "Who is in the data?" in told and "the wish" in told and "All people are drawn." in told
    found = summary.found_in(shipped.folder)[2]
    assert alike(asdict(found), asdict(shipped.found)), "made again from the rows"


def test_drawn_people_are_drawn_again_and_photographs_are_blurred(shipped, portraits, tmp_path, live):
    cell = {"prompt": "a photo of a nurse", "group": "women"}
    of = audit_tab.behind(shipped, "embedded", cell, 0)
    faces = data_tab.images_of(of, "en", True)
    assert [f.slot for f in faces] == list(of.rows.slot[: audit_tab.AT_ONCE])
    assert all(f.chip and f.chip.gender == "F" for f in faces)
    asked = set_of(tmp_path, portraits, ["a nurse"] * 12)
    (plain,), (blurred,) = (data_tab.PICTURES.of(asked, [3], b) for b in (False, True))
    assert plain and blurred
    sharp = [np.abs(np.diff(np.asarray(one.image, float), axis=1)).mean() for one in (plain, blurred)]
    assert sharp[1] < sharp[0] / 3


def set_of(folder: Path, images: list[bytes], captions: list[str]) -> Captioned:
    """A folder with captions."""
    for k, image in enumerate(images):
        (folder / f"{k}.jpg").write_bytes(image)
    names = [f"{k}.jpg" for k in range(len(images))]
    pd.DataFrame({"file_name": names, "caption": captions}).to_csv(folder / "metadata.csv", index=False)
    return Captioned(source=str(folder))


@needs_photographs
def test_photographs_are_detected_as_before_and_blurred(tmp_path, live):
    """60 photographs with captions of ours: faces as the detector finds them, failures and several faces
    counted."""
    with (FAIRFACE / "labels.csv").open() as file:
        names = [row["image"] for row in csv.DictReader(file)][::3]
    images = [(FAIRFACE / "images" / name).read_bytes() for name in names]
    asked = set_of(tmp_path, images, [f"a {('doctor', 'nurse')[k % 2]}" for k in range(len(images))])
    found = rows_of(asked)
    opened = [item.image for item in opening.opened(asked).items(range(len(images)))]
    alone = [len(f) for k in range(0, 60, 30) for f in live.reader.detector.detect(opened[k : k + 30])]
    assert found.faces.tolist() == alone and found.failed.isna().all()
    told = set_rows.told(found, Study(data=(asked,), reader="embedded"))
    several = int(((told.faces > 1) & told.aside.isna()).sum())
    assert several == 0 and (told.aside == "several faces").sum() <= (told.faces > 1).sum()
    blurred = data_tab.PICTURES.of(asked, range(0, 60, 3), True)
    seen = live.reader.detector.detect([one.image for one in blurred if one])
    assert sum(bool(f) for f in seen) <= 1, "nobody can be found in what is shown"


def test_a_folder_is_labelled_for_training_and_goes_on(portraits, tmp_path, live, capsys):
    for k, image in enumerate(portraits):
        (tmp_path / f"{k:02d}.jpg").write_bytes(image)
    (tmp_path / "broken.png").write_bytes(b"nothing")
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "grey.png")
    command = ["data", "label", str(tmp_path), "--classifier", str(ROOT / "assets" / "classifier")]
    assert main([*command, "--threshold", "0.5"]) == 0
    labelled = pd.read_csv(tmp_path / "labels.csv")
    true = PEOPLE.head(12)
    assert len(labelled) >= 10
    place = labelled.image.str[:2].astype(int)
    assert (labelled.gender.to_numpy() == true.gender.to_numpy()[place]).mean() >= 0.9
    assert len(read_labelled(str(tmp_path))) == len(labelled)
    before = (tmp_path / "readings.csv").read_text()
    torn = before[: before.rindex("11.jpg") + 20]  # a kill tears the last line
    (tmp_path / "readings.csv").write_text(torn)
    assert main([*command, "--threshold", "0.99"]) == 0
    again = pd.read_csv(tmp_path / "readings.csv")
    assert sorted(again.image) == sorted(pd.read_csv(io.StringIO(before)).image)
    assert len(pd.read_csv(tmp_path / "labels.csv")) <= len(labelled)
    assert main([*command, "--threshold", "2"]) == 2
    (tmp_path / "readings.csv").unlink()
    table = (tmp_path / "labels.csv").read_text()
    assert main(command) == 2 and "would be overwritten" in capsys.readouterr().err
    assert (tmp_path / "labels.csv").read_text() == table, "somebody's own table isn't overwritten"
    assert main(["data", "label", str(tmp_path / "none"), *command[3:]]) == 2


def test_a_models_own_images_are_labelled_by_what_they_were_to_show(tmp_path, capsys):
    command = ["data", "label", str(tmp_path), "--classifier", str(ROOT / "assets" / "classifier")]
    assert main([*command, "--from-model", "embedded", "--each", "1"]) == 0
    labelled = pd.read_csv(tmp_path / "labels.csv")
    assert 8 <= len(labelled) <= 12 and set(labelled.prompt) == {"a photo of an accountant"}
    named = [f"{r}_{g}_0000.png".replace(" ", "_") for r, g in zip(labelled.race, labelled.gender)]
    assert labelled.image.tolist() == named
    assert len(list(tmp_path.glob("*.png"))) == len(RACES) * len(GENDERS)


def test_what_a_browser_asks_that_isnt_there_is_named(shipped):
    with pytest.raises(ValueError, match="data 'nothing' is unknown"):
        audit_tab.opened("nothing", summary.DATA_SETS)
    with pytest.raises(ValueError, match="prompt 'x' isn't in this audit"):
        audit_tab.behind(shipped, "embedded", {"prompt": "x", "group": "women"}, 0)


def test_the_story_goes_from_the_data_to_the_wish(shipped):
    first = next(iter(set_report.bridging()))
    assert first == "professions", "an audit with methods comes first: it has a way to the wish"
    audit = audit_tab.opened(first)
    found = set_report.on_model(shipped.found, shipped.study, audit)
    assert found.story and len(found.story.lines) == 32 and found.story.wish == 50
    nurse = next(line for line in found.story.lines if line.name.startswith("nurse"))
    assert nurse.points[0][1] < 30 and abs(nurse.points[-1][1] - 50) < 15


def test_rows_of_people_arent_published(portraits, tmp_path):
    asked = set_of(tmp_path, portraits, ["a nurse"] * 12)
    out = tmp_path / "out"
    out.mkdir()
    run.keep(Study(data=(asked,), reader="embedded"), out)
    with pytest.raises(ValueError, match="aren't published"):
        dataset.write(out, tmp_path / "dataset")


def test_options_of_telling_dont_make_another_study(tmp_path, portraits):
    asked = set_of(tmp_path, portraits, ["a nurse"] * 12)
    out = tmp_path / "out"
    out.mkdir()
    for changes in ({}, {"leave_out": ()}, {"seconds": 3.0}):
        run.keep(Study(data=(asked.model_copy(update=changes),), reader="embedded"), out)
    assert run.study_in(out).data[0].seconds == 3
    with pytest.raises(ValueError, match="another study"):
        run.keep(Study(data=(asked.model_copy(update={"caption": "other"}),), reader="embedded"), out)
    with pytest.raises(ValueError, match="a study of their own"):
        Study(data=(asked,), prompts=("a photo of a nurse",), reader="embedded")
    before = opening.opened(asked).fingerprint()
    (tmp_path / "metadata.csv").write_text((tmp_path / "metadata.csv").read_text().replace("nurse", "judge"))
    tables.whole.cache_clear()
    assert tables.Tabled(asked, [str(tmp_path / "metadata.csv")], tmp_path).fingerprint() != before


def test_long_captions_take_no_time():
    for words in ("Judge ", "nurse ", "a ", "a-", "the her "):
        placed(words * 20_000)


def test_a_limit_is_of_the_same_shards_again():
    waiting = series(Study(data=(Captioned(source="embedded"),), reader="embedded"))
    chosen = [
        {name for one in run.few(waiting, n) for part in one.parts for name, _ in part} for n in (3, 3, 9)
    ]
    assert chosen[0] == chosen[1] < chosen[2] and len(chosen[0]) == 3
