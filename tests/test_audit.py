"""The audit: studies, stopping, runs on a real Ray that is killed, checks, findings and their page."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from huggingface_hub import HfApi
from PIL import Image
from pydantic import TypeAdapter

from fairdemo.audit import dataset, elsewhere, findings, folders, report, rows, run, study, summary
from fairdemo.audit.painter import Painter, decided
from fairdemo.audit.study import Asked, Origin, Shard, Study
from fairdemo.cli import main
from fairdemo.models import profiles
from fairdemo.models.sampling import Sample, Setting
from fairdemo.pairs import Drawn
from fairdemo.places import SHIPPED
from fairdemo.report.table import harmless
from fairdemo.stats import measure, stopping
from fairdemo.stats.attributes import AGES, CLASSES, GENDERS, RACES
from fairdemo.stats.confusions import Confusions
from fairdemo.stats.mix import BASELINE as AS_IS
from tests import browser, small_models
from tests.audit_measured import started
from tests.test_axe import violations

TOML = 'prompts = ["a photo of a doctor"]\nimages = 4\n'


def write(folder, text=TOML):
    path = folder / "study.toml"
    path.write_text(text)
    return path


def test_lists_are_as_long_as_they_say_and_each_prompt_keeps_its_noise():
    lists = study.named_lists()
    assert {k: sum(map(len, v.values())) for k, v in lists.items()} == {
        "professions": 40,
        "person": 1,
        "context": 60,
        "control": 40,
    }
    assert all(len(set(texts)) == len(texts) for entry in lists.values() for texts in entry.values())
    whole = Study(lists=("professions", "control"), seed=3)
    one = Study(prompts=("a photo of a doctor",), seed=3)
    assert len(whole.asked) == 80 and one.asked[0].seed in [a.seed for a in whole.asked]
    assert one.asked[0].seed != Study(prompts=("a photo of a doctor",), seed=4).asked[0].seed
    styled = Study(
        lists=("person",), templates=("a photo of {}", "an oil painting of {}"), styles=("", ", smiling")
    )
    assert [a.prompt for a in styled.asked][1] == "a photo of a person, smiling" and len(styled.asked) == 4


@pytest.mark.parametrize(
    "text, message",
    [
        ("images = 4", "asks for nothing; it needs prompts, lists"),
        ('lists = ["jobs"]', "list 'jobs' isn't known; known are professions, person, context, control"),
        (TOML + "colour = 1", "has an unknown key 'colour'; known are prompts, lists"),
        (TOML.replace("4", "0"), "images is 0; 1 to 100000 are allowed|expected a whole number"),
        (TOML + 'templates = ["a photo"]', "template 'a photo' needs one {}"),
        (TOML + "half_width = 0.01", "half_width is 0.01"),
        (TOML + 'target = "nobody"', "nobody"),
        (TOML.replace("doctor", "soldier") + 'methods = ["mix"]\ntarget = "workforce"', "soldier"),
        (TOML + f'styles = [", {"very " * 250}old"]', "prompt has 1,2.. characters"),
        (TOML + 'methods = ["llm"]', "method 'llm' needs a language model"),
        (TOML + 'folders = ["a/b", "c/b"]\nreader = "embedded"', "two origins are called 'b'"),
        (TOML + 'methods = ["magic"]', "method is 'magic'; allowed are mix, "),
        (TOML + 'profiles = ["sdxx"]', "sdxx"),
        (TOML + 'folders = ["nowhere"]', "lacks 'reader': the profile whose classifiers read them"),
        (TOML + 'folders = ["nowhere"]\nreader = "embedded"', "folder 'nowhere' has no table of prompts"),
        ("prompts = [", "study .*study.toml.* can't be read"),
    ],
)
def test_bad_studies_are_told_in_a_line(tmp_path, capsys, text, message):
    assert main(["audit", "plan", str(write(tmp_path, text))]) == 2
    said = capsys.readouterr().err.strip()
    assert re.search(message, said) and said.count("\n") == 0


def test_looks_end_narrow_and_cover_and_save_images():
    """For 10 points 32, 64 and 108 images. Over 2,000 simulated prompts the interval at the end covers, and a
    quarter of the images is saved on shares as skewed as professions' are."""
    plan = stopping.looks(0.1)
    assert [look.n for look in plan] == [32, 64, 108]
    assert sum(look.miss for look in plan) == pytest.approx(measure.MISS)
    random, covered, seen = np.random.default_rng(5), 0, []
    for p in random.beta(0.15, 0.15, 2000):
        women = np.cumsum(random.random(108) < p)
        look = next(
            one
            for one in plan
            if one is plan[-1] or stopping.narrow(int(women[one.n - 1]), one.n, one.miss, 0.1)
        )
        low, high = measure.interval(int(women[look.n - 1]), look.n, look.miss)
        assert (high - low) / 2 <= 0.1 + 1e-9
        covered += low <= p <= high
        seen.append(look.n)
    assert covered / 2000 >= 0.94
    fixed = 96  # images for ± 10 points at one half
    assert np.mean(seen) <= 0.75 * fixed and max(seen) == 108


def test_a_confidence_sequence_covers_at_every_number_at_once():
    """Known by hand: of 10 of 10 the lower end solves p^10 = 0.05 / 11."""
    assert stopping.confidence_sequence(10, 10)[0] == pytest.approx((0.05 / 11) ** 0.1, abs=1e-6)
    assert stopping.confidence_sequence(0, 0) == (0, 1)
    random, always = np.random.default_rng(6), 0
    for p in (0.05, 0.5, 0.8):
        for _ in range(100):
            counts = np.cumsum(random.random(150) < p)
            ends = [stopping.confidence_sequence(int(counts[n - 1]), n) for n in range(1, 151, 3)]
            always += all(low <= p <= high for low, high in ends)
    assert always >= 0.94 * 300
    with pytest.raises(ValueError, match="count must lie in 0 to n, got 3 of 2"):
        stopping.confidence_sequence(3, 2)


def test_shards_never_span_a_look():
    parts = study.shards(
        Study(prompts=("a",), half_width=0.1), Origin(study.PROFILE, "embedded"), Asked("a", "", 0, 108)
    )
    assert [[(s.first, s.end) for s in part] for part in parts] == [
        [(0, 32)],
        [(32, 64)],
        [(64, 96), (96, 108)],
    ]


def drawn_rows(asked, origin, women, n=96, like=0.0, listed="professions", twins=None):
    """Rows of one prompt as a shard has them: a share of women, races alike, faces at random."""
    random = np.random.default_rng(zlib.crc32(f"{asked} {origin}".encode()))
    method = origin.split(", ")[1]
    found = []
    for k in range(n):
        gender = GENDERS[int(random.random() >= women)]
        race, age = RACES[int(random.integers(6))], AGES[int(random.integers(1, 6))]
        if twins is not None and method != "baseline":
            gender, race = twins[k]["gender"], twins[k]["race"]
        base = np.ones(32) * like + random.normal(size=32)
        sure = {a: [float(c == v) for c in CLASSES[a]] for a, v in zip(CLASSES, (race, gender, age))}
        found.append(
            {
                "id": f"{asked}{origin}-{k:03d}",
                "listed": listed,
                "prompt": asked,
                "seen": asked,
                "origin": origin,
                "method": method,
                "seed": 1,
                "slot": k,
                "source": method,
                "faces": 1 if k else 0,
                "subject": asked.removeprefix("a photo of a "),
                "seconds": 0.1,
                "race": race if k else None,
                "gender": gender if k else None,
                "age": age if k else None,
                **{f"p_{a}": sure[a] for a in CLASSES},
                "embedding": (base / np.linalg.norm(base)).astype(np.float32).tolist(),
            }
        )
    return found


def table(*parts):
    return pa.Table.from_pylist([row for part in parts for row in part], rows.SCHEMA).to_pandas()


JOBS = ("doctor", "nurse", "chef", "judge", "librarian", "pilot")


def study_table():
    """Six professions, the baseline skewed and a method even; one control prompt that a method changes, one
    that it leaves."""
    shares = (0.1, 0.95, 0.1, 0.2, 0.9, 0.05)
    base = [drawn_rows(f"a photo of a {j}", "embedded, baseline", s) for j, s in zip(JOBS, shares)]
    even = [drawn_rows(f"a photo of a {j}", "embedded, mix", 0.5, like=0.5) for j in JOBS]
    control = []
    for prompt, keeps in (("a portrait of Marie Curie", True), ("a photo of a woman", False)):
        own = drawn_rows(prompt, "embedded, baseline", 1.0, listed="control")
        control += [
            own,
            drawn_rows(prompt, "embedded, mix", 0.3, listed="control", twins=own if keeps else None),
        ]
    return table(*base, *even, *control)


STUDY = Study(lists=("professions", "control"), methods=("baseline", "mix"), images=96)


def test_findings_by_hand():
    found = findings.of(findings.seen(study_table(), STUDY), STUDY, findings.Known())
    assert found.images == 16 * 96 and found.no_face == 16
    by = {(c.origin, c.prompt): c for c in found.cells}
    nurse = by["embedded, baseline", "a photo of a nurse"]
    assert nurse.women.n == 95 and nurse.no_face == 1 and nurse.women.share > 0.85
    assert nurse.bias["gender"] == pytest.approx(abs(2 * nurse.women.share - 1))
    assert sum(r.count for r in nurse.races.values()) == 95
    assert {o for o, _ in found.discoveries} == {"embedded, baseline"} and len(found.discoveries) == 6
    base, mix = found.by_origin
    assert base.change is None and mix.change is not None and mix.change.interval[1] < -0.4
    assert mix.bias["gender"].value < 0.2 < base.bias["gender"].value
    assert mix.likeness.value > base.likeness.value + 0.1, "the method makes everybody alike"
    changed, kept = found.control
    assert (kept.changed.count, kept.p) == (0, 1.0) and changed.p < 0.001 and changed.changed.share > 0.5
    assert kept.as_asked is None and changed.as_asked_before.count == 95
    assert changed.as_asked.share == pytest.approx(0.3, abs=0.15), "a woman is asked for"
    (summed,) = findings.control_of(found.control)
    assert (summed.prompts, summed.distributions, summed.as_asked.n) == (2, 1, 1)
    assert summed.changed.value == pytest.approx(changed.changed.share / 2)
    steep, flat = found.beside
    assert (
        steep.slope.n == 6
        and steep.slope.value > 0.5
        and steep.slope.interval[0] > 0
        and flat.slope.interval[0] < 0 < flat.slope.interval[1]
    )
    assert findings.discovered([0.01, 0.04, 0.03, 0.5]) == [True, False, False, False]
    assert findings.anytime(findings.Share(5, 10, (0, 1))) == 1.0
    assert findings.anytime(findings.Share(10, 10, (0, 1))) == pytest.approx(11 / 1024)


def test_what_is_known_stands_beside_what_was_found():
    """Professions in the training data with half of the spread that is generated; faces of known class."""
    seen = findings.seen(study_table(), STUDY)
    women = {
        c.prompt.rsplit(" ", 1)[1]: c.women.share
        for c in findings.of(seen, STUDY, findings.Known()).cells
        if c.origin == "embedded, baseline" and c.listed != "control"
    }
    sure = {a: {c: {d: 100 * (c == d) for d in CLASSES[a]} for c in CLASSES[a]} for a in ("gender", "race")}
    known = findings.Known(
        {"embedded, mix": Confusions(sure)},
        {"embedded, baseline": {job: 0.25 + share / 2 for job, share in women.items()}},
        {"embedded, mix": {"gender": {"Female": 0.5, "Male": 0.5}, "race": {"White": 0.9, "Black": 0.1}}},
    )
    found = findings.of(seen, STUDY, known)
    (learned,) = [b for b in found.beside if b.reference == findings.TRAINING]
    assert learned.origin == "embedded, baseline" and learned.slope.value == pytest.approx(2)
    assert learned.ranks.value == pytest.approx(1)
    assert any("Beside its training data, differences" in s for s in report.sentences(STUDY, found))
    held = {(t.attribute, t.name): t.held for t in found.truth}
    assert held == {
        ("gender", "Female"): True,
        ("gender", "Male"): True,
        ("race", "White"): False,
        ("race", "Black"): False,
    }
    base, mix = found.by_origin
    assert all(mix.by_race[r].value > base.by_race[r].value for r in RACES)


def test_a_summary_says_the_same_without_embeddings(tmp_path, monkeypatch):
    folder = saved(tmp_path / "one")
    monkeypatch.setenv("FAIRDEMO_HOME", str(tmp_path / "home"))
    assert main(["audit", "show", str(folder)]) == 0
    own = summary.opened(summary.offered()["one"])
    study_, _, found = summary.found_in(folder)
    assert (own.study, own.found) == (study_, found)
    assert summary.found_in(own.folder)[2] == found, "made again from the summary's own rows"
    assert not {"embedding", "image"} & set(own.rows.columns)
    women = own.cell("embedded, mix", "a photo of a nurse", "women")
    cell = next(c for c in found.cells if (c.origin, c.prompt) == ("embedded, mix", "a photo of a nurse"))
    assert len(women) == cell.women.count and set(women.gender) == {"Female"}
    for group, one in (("White", cell.races["White"]), ("from 40", cell.old)):
        assert len(own.cell("embedded, mix", "a photo of a nurse", group)) == one.count
    with pytest.raises(ValueError, match="holds another study"):
        summary.write(folder, small_study(tmp_path / "two"))
    (own.folder / summary.FINDINGS).write_text("{}")
    with pytest.raises(ValueError, match="holds no summary, or an older one"):
        summary.opened(own.folder)


def test_images_that_show_nothing_are_counted_as_failed(tmp_path):
    """Those of a model that breaks are black; of them alone there is no number in JSON."""
    black = Drawn(Image.new("RGB", (16, 16)), [], "person", np.ones(4) / 2)
    shard = Shard(Origin(study.PROFILE, "embedded", "mix"), STUDY.asked[0], 0, 3)
    file = rows.packed([rows.row(shard, "x", k, black, AS_IS, "") for k in range(3)])
    table_ = pq.read_table(io.BytesIO(file)).to_pandas()
    found = findings.of(findings.seen(table_, STUDY), STUDY, findings.Known())
    assert (found.images, found.no_face, found.failed) == (3, 3, {"embedded, mix": 3})
    assert any(
        said.startswith("3 of 3 images of embedded, mix failed (damaged, black or of one colour)")
        for said in report.sentences(STUDY, found)
    )
    text = summary.to_json(found)
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert TypeAdapter(findings.Findings).validate_json(text).failed == found.failed


def small_study(folder):
    folder.mkdir()
    run.keep(Study(prompts=("a photo of a chef",)), folder)
    return folder


def test_folders_tell_who_they_show_where_their_table_does(tmp_path):
    for k in range(4):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{k}.png")
    pd.DataFrame(
        {
            "file_name": [f"{k}.png" for k in range(4)],
            "prompt": "a photo of a chef",
            "gender": ["Female", "Male", "Male", "Male"],
            "race": ["White", "Black", "Black", "unknown"],
        }
    ).to_csv(tmp_path / "metadata.csv", index=False)
    assert folders.truth(str(tmp_path)) == {"gender": {"Male": 0.75, "Female": 0.25}}


def saved(folder, found=None):
    """A study's folder with rows in its shards' files."""
    (folder / rows.FOLDER).mkdir(parents=True)
    run.keep(STUDY, folder)
    table_ = study_table() if found is None else found
    for one in run.series(STUDY):
        own = table_[(table_.origin == one.origin.name) & (table_.prompt == one.asked.prompt)]
        for name, shard in one.parts[0]:
            part = own[(own.slot >= shard.first) & (own.slot < shard.end)]
            if len(part):
                part = part.assign(id=[f"{name}-{k:03d}" for k in range(len(part))])
                path = folder / rows.FOLDER / f"{name}.parquet"
                pq.write_table(pa.Table.from_pandas(part, rows.SCHEMA, preserve_index=False), path)
    return folder


def test_the_report_says_only_what_the_rows_carry(tmp_path, capsys):
    folder = saved(tmp_path / "one")
    assert main(["audit", "report", str(folder)]) == 0
    page = (folder / "report.html").read_text()
    assert "://" not in page.replace("arXiv", "") and "as perceived by the classifier" in page
    assert "In 6 of 6 prompts of embedded, baseline women and men aren&#39;t equally likely" in page
    assert "most: “a photo of a nurse”" in page
    assert "Of the methods that allot who is shown (1), embedded, mix has the lowest estimate" in page
    assert "No face was found in 16 of 1,536 images" in page
    assert "<p>1 of 2 prompts and methods together" in page, "one of two control prompts changed"
    assert "isn&#39;t finished" in page.split("<li>")[1], "most of its prompts have no images"
    lines = (folder / "findings.csv").read_text().splitlines()
    assert len(lines) == 1 + 16 * 8 and lines[0].startswith("list,prompt,origin,group,count")


def test_a_check_names_what_is_wrong(tmp_path, capsys):
    folder = saved(tmp_path / "one")
    assert main(["audit", "check", str(folder)]) == 0
    assert "1,536 images of 15,360 at most, all whole" in capsys.readouterr().out
    first, second, third = sorted((folder / rows.FOLDER).glob("*.parquet"))[:3]
    first.write_bytes(first.read_bytes()[:-20])
    second.rename(second.with_name("f" * 24 + ".parquet"))
    third.with_name("e" * 24 + ".parquet").write_bytes(third.read_bytes())
    assert main(["audit", "check", str(folder)]) == 2
    said = capsys.readouterr().err
    assert f"{first.name} is damaged" in said and "holds rows of another shard" in said
    assert "has an image that" in said and f"{'f' * 24}.parquet isn't of the study as it is now" in said
    assert main(["audit", "check", str(tmp_path)]) == 2 and "holds no study" in capsys.readouterr().err
    assert main(["audit", "report", str(folder)]) == 2
    assert "is damaged" in capsys.readouterr().err


WALLS = SHIPPED / "assets" / "walls" / "embedded" / "data"


def some(folder, n=160):
    """A folder of generated images with their prompts, those of the shipped walls at half their size: five
    shards, each of which is read in about a second."""
    table = pd.read_parquet(WALLS / "metadata.parquet").head(n)
    for name in table.file_name:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with Image.open(WALLS / name) as image:
            image.reduce(2).save(folder / name, "WEBP", quality=95)
    table[["file_name", "prompt"]].to_csv(folder / "metadata.csv", index=False)
    return folder


def kill_an_actor(out, shards):
    """Kills this process's painter once there are so many shards."""
    browser.until(lambda: len(rows.finished(out)) >= shards)
    children = psutil.Process().children(recursive=True)
    (actor,) = [p for p in children if "Painter" in p.name() + "".join(p.cmdline()[:1])]
    actor.kill()


def run_here(path, out, *more) -> int:
    """A run that this process drives, which has imported everything already."""
    return main(["audit", "run", str(path), "--out", str(out), "--actors", "1", "--drawings", *more])


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of images with their prompts."""
    return some(tmp_path_factory.mktemp("some") / "images")


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    """The folder of a run that nothing ended."""
    folder = tmp_path_factory.mktemp("whole")
    assert run_here(write(folder, reading(images)), folder / "out") == 0
    return folder / "out"


READ = ["prompt", "slot", "faces", *CLASSES, "subject"]


def reading(images) -> str:
    """A study of a folder."""
    return f'folders = ["{images}"]\nreader = "embedded"\n'


def times(out) -> dict[Path, int]:
    """When each shard's file was written."""
    return {f: f.stat().st_mtime_ns for f in (out / rows.FOLDER).glob("*.parquet")}


def test_a_run_goes_on_where_it_stopped(tmp_path, images, whole, capsys):
    """What a run leaves that was killed while it wrote its third shard; another study refuses the folder."""
    path, out = write(tmp_path, reading(images)), tmp_path / "stopped"
    shutil.copytree(whole, out)
    _, _, third, *others = sorted(times(out))
    third.with_suffix(".part").write_bytes(third.read_bytes()[:100])
    for file in (third, *others):
        file.unlink()
    before = times(out)
    assert len(before) == 2
    assert run_here(path, out) == 0
    assert times(out).items() >= before.items(), "nothing is read again"
    assert main(["audit", "check", str(out)]) == 0
    pd.testing.assert_frame_equal(rows.read(out)[READ], rows.read(whole)[READ])
    capsys.readouterr()
    assert run_here(write(tmp_path, reading(images) + "seed = 1\n"), out) == 2
    assert capsys.readouterr().err.strip().endswith(f"{str(out)!r} holds another study; name a new folder")


@pytest.mark.long
def test_a_run_that_is_killed_goes_on_and_loses_nothing(tmp_path, images, whole):
    """Images from a folder, on a real Ray: the driver is killed, then an actor; the rows are those of a run
    that nothing ended, none is there twice, and at most the shard in hand is read again."""
    path, out = write(tmp_path, reading(images)), tmp_path / "killed"
    first = started(path, out, "--actors=1")
    browser.until(lambda: len(rows.finished(out)) >= 2)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    before = times(out)
    assert len(before) >= 2
    with ThreadPoolExecutor(1) as beside:
        killed = beside.submit(kill_an_actor, out, len(before) + 1)
        assert run_here(path, out) == 0 and killed.result() is None
    assert times(out).items() >= before.items(), "nothing is read again"
    assert main(["audit", "check", str(out)]) == 0
    found, wanted = rows.read(out), folders.prompts(str(images))
    assert len(found) == sum(map(len, wanted.values())) and found.id.is_unique
    pd.testing.assert_frame_equal(found[READ], rows.read(whole)[READ])


def test_a_worker_without_memory_is_told_and_the_run_goes_on(tmp_path, monkeypatch, capsys):
    """Ray's own guard ends workers, since it is told that this machine's memory is full."""
    path, out = write(tmp_path, 'prompts = ["a photo of a doctor"]\nimages = 2\n'), tmp_path / "out"
    with monkeypatch.context() as full:
        full.setenv("RAY_memory_usage_threshold", "0.001")
        full.setenv("RAY_memory_monitor_refresh_ms", "100")
        assert run_here(path, out) == 2
    told = capsys.readouterr().err
    assert "a worker ran out of memory; fewer --actors" in told
    assert told.strip().endswith("1 shards failed; the same command tries them again")
    assert run_here(path, out) == 0
    assert len(rows.read(out)) == 2


CLUSTER = """
import sys
from ray.cluster_utils import Cluster
from fairdemo.cli import main
three = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
for _ in range(2):
    three.add_node(num_cpus=1)
command = ["audit", "run", sys.argv[1], "--out", sys.argv[2], "--drawings"]
code = main([*command, "--ray", three.address, "--actors", "2"])
three.shutdown()
sys.exit(code)
"""


@pytest.mark.long
def test_a_cluster_of_three_nodes_makes_the_same_rows(tmp_path, images, whole):
    command = [sys.executable, "-c", CLUSTER, str(write(tmp_path, reading(images))), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(rows.read(tmp_path / "out")[READ], rows.read(whole)[READ])


def test_a_study_is_drawn_with_twins_from_the_same_noise(tmp_path, live):
    """Three images of the baseline and three with words in the prompt; what is drawn is what a wall has."""
    text = 'prompts = ["a photo of a doctor"]\nmethods = ["baseline", "words"]\nimages = 3\nkeep = true\n'
    path = write(tmp_path, text + 'target = "gender:Female=1"\n')
    assert run_here(path, tmp_path / "out", "--limit=2") == 0
    found = rows.read(tmp_path / "out").set_index(["method", "slot"]).sort_index()
    assert len(found) == 6 and (found.faces == 1).all() and (found.subject == "doctor").all()
    assert (
        "female doctor" in " ".join(found.loc["words"].seen) and found.loc["words"].gender.eq("Female").all()
    )
    setting = Setting(
        "a photo of a doctor",
        study.seed_of(0, "a photo of a doctor"),
        profiles.profile("embedded").steps,
        profiles.profile("embedded").guidance,
    )
    live.load()
    (own,) = live.fresh(setting, [Sample(1)])
    kept = Image.open(io.BytesIO(found.loc["baseline", 1].image)).convert("RGB")
    assert np.abs(np.asarray(kept, int) - np.asarray(own.image.convert("RGB"), int)).mean() < 4


def test_photographs_are_not_read_by_who_learnt_from_drawings(tmp_path, images, capsys):
    """A folder of who knows what: one line says what to do, and nothing is written."""
    out = tmp_path / "out"
    assert main(["audit", "run", str(write(tmp_path, reading(images))), "--out", str(out)]) == 2
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0 and "trained on drawn faces" in said and "--drawings" in said
    command = ["data", "audit", str(images), "--out", str(out), "--reader", "embedded"]
    assert main(command) == 2 and "trained on drawn faces" in capsys.readouterr().err
    assert not out.exists()


def painted(asked, origin, n):
    """A shard's file as an actor makes it."""
    shard = Shard(origin, asked.asked[0], 0, n)
    return Painter(asked).paint(shard, rows.digest(shard, decided(asked, origin)))


def test_a_pipeline_that_no_profile_knows_is_drawn_with_words(tmp_path):
    """A tiny Stable Diffusion of the real class from its folder: each image from its own seed, whichever
    batch it is in, and with words for the wanted cell."""
    small_models.pipeline("sd15").save_pretrained(tmp_path / "tiny")
    asked = Study(
        prompts=("a photo of a doctor",),
        profiles=(),
        pipelines=(str(tmp_path / "tiny"),),
        methods=("baseline", "words"),
        images=6,
        target="gender:Female=0.5",
        reader="embedded",
    )
    made = [pd.read_parquet(io.BytesIO(painted(asked, o, 6))) for o in asked.origins]
    plain, worded = made
    assert set(plain.seen) == {"a photo of a doctor"}
    assert sorted(worded.seen) == ["a photo of a female doctor"] * 3 + ["a photo of a male doctor"] * 3
    assert worded.wanted_gender.value_counts().to_dict() == {"Female": 3, "Male": 3}
    name, seed = str(tmp_path / "tiny"), asked.asked[0].seed
    with pytest.raises(RuntimeError, match="are others here than when it began"):
        Painter(asked).paint(Shard(asked.origins[0], asked.asked[0], 0, 6), "x" * 24)
    ((alone, _),) = elsewhere.piped(name, ["a photo of a doctor"], [seed + 4], None)
    batch = elsewhere.piped(name, ["a photo of a doctor"] * 6, [seed + k for k in range(6)], None)
    assert np.abs(np.asarray(alone, int) - np.asarray(batch[4][0], int)).max() <= 2
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="pipeline '.*none'"):
        elsewhere.pipeline(str(tmp_path / "none"))


def test_an_images_api_is_asked_with_prompt_and_seed(tmp_path, monkeypatch):
    """A local stand-in: good images, then an error, which is that shard's."""
    sent, wall = [], next((WALLS / "images").rglob("*.webp")).read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            body = wall if len(sent) <= 3 else b"busy"
            self.send_response(200 if len(sent) <= 3 else 503)
            self.send_header("Content-Type", "image/webp")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/models/x"
    asked = Study(prompts=("a photo of a doctor",), profiles=(), apis=(address,), images=3, reader="embedded")
    (origin,) = asked.origins
    found = pd.read_parquet(io.BytesIO(painted(asked, origin, 3)))
    assert len(found) == 3 and (found.faces == 1).all()
    seed = asked.asked[0].seed
    assert [(s["inputs"], s["parameters"]["seed"]) for s in sent] == [
        ("a photo of a doctor", (seed + k) % 2**31) for k in range(3)
    ]
    with pytest.raises(Exception, match="503"):
        painted(asked, origin, 3)
    server.shutdown()


def test_a_dataset_opens_anywhere_and_gives_the_same_findings(tmp_path, monkeypatch, capsys):
    """`datasets` opens it with class labels and images; the findings are those of the rows."""
    table = study_table()
    image = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(image, "WEBP")
    table["image"] = image.getvalue()
    folder = saved(tmp_path / "one", table)
    made = dataset.write(folder, tmp_path / "made")
    found = datasets.load_dataset(str(made), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(found) == len(table) and found.features["gender"].names == list(GENDERS)
    assert found[1]["image"].size == (8, 8) and found.features["race"].int2str(found[1]["race"]) in RACES
    parquet = pq.ParquetFile(next((made / "data").glob("*.parquet")))
    assert parquet.metadata.row_group(0).num_rows == 100
    again = findings.of(findings.seen(dataset.opened(made), STUDY), run.study_in(made), findings.Known())
    assert again == findings.of(findings.seen(rows.read(folder), STUDY), STUDY, findings.Known())
    assert "as perceived by a classifier" in (made / "README.md").read_text()
    with pytest.raises(ValueError, match="exists already"):
        dataset.write(folder, made)
    sent = []
    monkeypatch.setattr(HfApi, "create_repo", lambda self, name, **more: sent.append(name))
    monkeypatch.setattr(
        HfApi,
        "upload_folder",
        lambda self, **more: sent.append(sorted(p.name for p in more["folder_path"].iterdir())),
    )
    assert main(["audit", "push", str(folder), "somebody/audit"]) == 0
    assert sent == ["somebody/audit", ["README.md", "data", "study.json"]]
    monkeypatch.undo()
    assert "Dataset somebody/audit has the rows" in capsys.readouterr().out


def test_only_what_is_known_is_called_ended_early():
    """Of a study that ends early: 32 images that are known, 32 that aren't, 108, and 20 of a stopped run."""
    grows = Study(lists=("professions",), half_width=0.1)
    parts = [
        drawn_rows("a photo of a nurse", "embedded, baseline", 1.0, 32),
        drawn_rows("a photo of a chef", "embedded, baseline", 0.5, 32),
        drawn_rows("a photo of a judge", "embedded, baseline", 0.5, 108),
        drawn_rows("a photo of a pilot", "embedded, baseline", 0.0, 20),
    ]
    found = findings.of(findings.seen(table(*parts), grows), grows, findings.Known())
    ended = {c.prompt.rsplit(" ", 1)[1]: c.ended for c in found.cells}
    assert ended["nurse"] == "early" and ended["chef"] == ended["pilot"] == "unfinished"
    assert ended["judge"] in ("", "unfinished"), "one face wasn't found"
    assert found.by_origin[0].prompts == 4 and 0.1 < found.chance["gender"] < 0.17, "compared on 32 images"


def test_slopes_are_told_as_they_are():
    def told(value, low, high):
        slope, ranks = measure.Estimate(value, (low, high), 9), measure.Estimate(0.9, (0.8, 1), 9)
        return report.told(findings.Beside("m, baseline", findings.WORKFORCE, [], slope, ranks))

    assert "are reversed in m, baseline" in told(-1.1, -1.9, -0.4) and "-11 points (-19 to -4; 9" in told(
        -1.1, -1.9, -0.4
    )
    assert (
        "softened" in told(0.5, 0.2, 0.9)
        and "exaggerated" in told(1.5, 1.1, 2)
        and "about as large" in told(1, 0.5, 2)
    )
    assert "don't show clearly" in told(0.3, -0.1, 0.7)
    x = np.array([0.1, 0.3, 0.5, 0.8, 0.9])
    assert findings.slope(x, 0.5 + 0.5 * x).value == pytest.approx(0.5)
    assert findings.ranks(x, x**3).value == pytest.approx(1) and findings.ranks(x, -x).value == pytest.approx(
        -1
    )


def test_a_control_prompt_changes_where_people_come_into_it():
    """No face before, a woman in each image after: what should have stayed didn't."""
    before = drawn_rows("a bowl of fruit on a table", "embedded, baseline", 1.0, 24, listed="control")
    after = drawn_rows("a bowl of fruit on a table", "embedded, mix", 1.0, 24, listed="control")
    for row in before:
        row.update(faces=0, race=None, gender=None, age=None)
    (found,) = findings.of(findings.seen(table(before, after), STUDY), STUDY, findings.Known()).control
    assert found.holds and found.changed.count == 23 and found.p < 0.001 and found.as_asked is None


def test_what_is_said_of_a_control_prompt_depends_on_its_own_method_alone():
    """p-values are adjusted within a method; another noise changes as many images as two images of the
    baseline differ; people of other classes than the words name are counted."""
    prompt, other = "a photo of an old Black man", "a portrait of Marie Curie"
    base = drawn_rows(prompt, "embedded, baseline", 0.0, 16, listed="control")
    weak = drawn_rows(prompt, "embedded, aligned: gender", 0.0, 16, listed="control")
    for k, (before, after) in enumerate(zip(base, weak)):
        before.update(race="Black", gender="Male", age="60+", faces=1)
        after.update(race="Black" if k < 6 else "White", gender="Male", age="60+", faces=1)
    kept = drawn_rows(other, "embedded, baseline", 1.0, 16, listed="control")
    same = drawn_rows(other, "embedded, aligned: gender", 1.0, 16, listed="control", twins=kept)
    many = [drawn_rows(f"{other} {k}", "embedded, mix", 1.0, 16, listed="control") for k in range(20)]
    twins = [
        drawn_rows(f"{other} {k}", "embedded, baseline", 1.0, 16, listed="control", twins=own)
        for k, own in enumerate(many)
    ]
    methods = ("baseline", "aligned: gender", "mix")
    for more in ([], [*many, *twins]):
        seen = findings.seen(table(base, weak, kept, same, *more), STUDY)
        found = findings.touched(seen.rows, [f"embedded, {m}" for m in methods])
        (one,) = (t for t in found if t.prompt == prompt)
        assert (one.as_asked.count, one.as_asked_before.count, one.by_noise) == (6, 16, 0.0)
        assert one.p == pytest.approx(0.002, abs=0.002) and one.adjusted == pytest.approx(2 * one.p)
        assert one.holds and report.disobeyed(one) == pytest.approx(10 / 16)


def test_repeats_are_drawn_once_and_old_rows_are_put_aside(tmp_path, capsys):
    assert len(Study(prompts=("a",), methods=("baseline", "baseline"), guidance=(2.0, 2.0)).origins) == 1
    folder = saved(tmp_path / "one")
    names = rows.finished(folder)
    run.aside(folder, names - {min(names)})
    assert rows.finished(folder) == names - {min(names)}
    assert (folder / rows.FOLDER / "stale" / f"{min(names)}.parquet").is_file()
    assert main(["audit", "check", str(folder)]) == 0
    (folder / run.STUDY).write_text("")
    assert main(["audit", "report", str(folder)]) == 2
    assert capsys.readouterr().err.strip().count("\n") == 0
    with pytest.raises(ValueError, match="can't be reached"):
        run.reachable("127.0.0.1:1")
    assert harmless("=1+1") == "'=1+1" and harmless("a photo") == "a photo"


@pytest.mark.skipif(browser.CHROMIUM is None, reason="needs a Chromium: apt-get install chromium")
@pytest.mark.parametrize("scheme, width", [("light", 1366), ("dark", 390)])
def test_the_report_can_be_read_by_everybody(tmp_path, chromium, scheme, width):
    """No serious or critical violation of axe, nothing wider than the screen, and no address on the net."""
    folder = saved(tmp_path / "one")
    report.write(folder)
    page = chromium.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"file://{folder / 'report.html'}")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert len(asked) == 1
