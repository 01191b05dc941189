"""Every training method on small models of the real classes, its files opened by diffusers, and runs that
are killed, resumed, spread over devices or given bad input."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional as F

from fairdemo.__main__ import main
from fairdemo.models import catalog, pipelines, profiles, routing
from fairdemo.models.generating import PairedGenerator
from fairdemo.models.sampling import Setting, through
from fairdemo.stats.attributes import TARGET_CLASSES
from fairdemo.stats.mix import Source
from fairdemo.training import align, denoise, inc
from tests import browser
from tests.small_models import adapter, random_heads, save_profile

NURSE = Setting("a photo of a nurse", 3, 2, 3.0)
EVEN = {"gender": {"Female": 0.5, "Male": 0.5}}
ROOT = Path(__file__).resolve().parent.parent


class Reader:
    """Stands in for MTCNN, which finds no face in what a random model draws."""

    def __init__(self, backbone, every=4):
        self.backbone, self.every = backbone, every  # one image in so many has no face
        self.detector = self

    def detect(self, images):
        from fairdemo.readers.detect import Detection

        return [
            [Detection((12, 12, 52, 52), np.zeros((5, 2)), 1.0)] if (i + 1) % self.every else []
            for i, _ in enumerate(images)
        ]


def aligner(tmp_path, family, live, **keys):
    profile = profiles.profile(str(save_profile(tmp_path, family, steps=2)))
    pipe = pipelines.load_pipeline(profile, "cpu")
    generator = PairedGenerator(pipe, routing.Router(torch.nn.Module(), {}), profile, "cpu")
    config = align.Config(
        prompts=("a photo of a doctor",),
        target=EVEN,
        **{"rank": 2, "images": 4, "iterations": 1, "hold": 1.0, "ema": 0.0, **keys},
    )
    reader = align.SoftReader(Reader(live.reader.backbone), random_heads())
    return align.Aligner(
        generator,
        reader,
        [lambda x: F.normalize(x.mean((2, 3)), dim=-1)],
        torch.eye(128)[:4],
        config,
        align.fresh(generator, config),
    )


@pytest.mark.parametrize("family", ["sdxl", "sd15"])
@pytest.mark.parametrize("parts", [("unet",), ("text_encoder",), ("tokens",)])
def test_one_step_of_alignment(family, parts, live, tmp_path):
    """The file changes what a plain pipeline draws just as the trained generator has it."""
    made = aligner(tmp_path, family, live, parts=parts, learning_rate=0.5)
    before = [f.detach().clone() for f in made.trained.factors]
    ((step, seen, _),) = made.train(tmp_path / "checkpoint.pt")
    assert (
        step == 1
        and seen.faces == 3
        and seen.sure >= 2
        and seen.images == 4
        and np.isfinite([seen.alignment, seen.semantics, seen.realism, seen.hold]).all()
    )
    assert any(not torch.equal(a, b) for a, b in zip(before, made.trained.factors))
    made.trained.save(tmp_path / "adapter.safetensors")
    ours = made.generator.draw(NURSE, through([(align.NAME,), ()], 1))
    tokens = 5 if parts == ("tokens",) else 0
    fresh = pipelines.load_pipeline(made.generator.profile, "cpu")
    same = adapter("align", "x", "adapter.safetensors", method="align", tokens=tokens, home=tmp_path)
    router = routing.attach(fresh, [same])
    theirs = PairedGenerator(fresh, router, made.generator.profile, "cpu").draw(
        NURSE, through([("align",), ()], 1)
    )
    for a, b in zip(ours, theirs):
        assert np.abs(np.asarray(a).astype(int) - np.asarray(b)).max() <= 3, "fp16 weights differ by a little"
    assert np.abs(np.asarray(ours[0]).astype(int) - np.asarray(ours[1])).max() > 3


def test_soft_tokens_are_a_textual_inversion(live, tmp_path):
    """Plain diffusers: `load_textual_inversion` for each text encoder, and the token in the prompt."""
    made = aligner(tmp_path, "sdxl", live, parts=("tokens",), tokens=3)
    made.trained.save(tmp_path / "soft.safetensors")
    pipe = pipelines.load_pipeline(made.generator.profile, "cpu")
    for key, vectors in load_file(tmp_path / "soft.safetensors").items():
        encoder, tokenizer = (getattr(pipe, name) for name in routing.ENCODERS[key])
        pipe.load_textual_inversion({"<fair>": vectors.float()}, tokenizer=tokenizer, text_encoder=encoder)
    theirs = pipe.encode_prompt("<fair> a photo of a nurse", do_classifier_free_guidance=False)[0]
    ours = made.generator.encode("a photo of a nurse", [Source((align.NAME,)), Source()], 1.0)[
        "prompt_embeds"
    ]
    assert torch.allclose(theirs[0], ours[0], atol=1e-3) and not torch.allclose(ours[0], ours[1], atol=1e-2)


@pytest.mark.parametrize("family", ["sdxl", "sd15"])
@pytest.mark.parametrize("what", ["inc", "div"])
def test_one_step_on_photographs(family, what, tmp_path, monkeypatch):
    """`train inc` and `train div` on a folder of labelled pictures, through the command; the catalog's
    adapters draw."""
    groups = [(r, g) for r in TARGET_CLASSES["race"] for g in TARGET_CLASSES["gender"]]
    faces(tmp_path / "faces", groups)
    profile = save_profile(tmp_path, family, steps=2)
    (tmp_path / "run.toml").write_text("iterations = 2\nbatch = 3\nrank = 2\nema = 0.5\n")
    monkeypatch.setattr(inc, "effect", lambda *args: "not measured")
    monkeypatch.setattr("fairdemo.training.div.effect", lambda *args: "not measured")
    out = tmp_path / "out"
    assert (
        main(
            [
                "train",
                what,
                "--profile",
                str(profile),
                "--data",
                str(tmp_path / "faces"),
                "--config",
                str(tmp_path / "run.toml"),
                "--out",
                str(out),
            ]
        )
        == 0
    )
    made = catalog.catalog(f"tiny-{family}", out / "catalog.toml")
    assert len(made) == (12 if what == "inc" else 6) and all(
        a.method == ("" if what == "inc" else "varied faces") for a in made
    )
    assert {p.name for p in out.iterdir()} >= {
        "log.csv",
        "curves.png",
        "card.md",
        "catalog.toml",
        "step_00002.png",
    } and "not measured" in (out / "card.md").read_text()
    chosen = profiles.profile(str(profile))
    pipe = pipelines.load_pipeline(chosen, "cpu")
    images = PairedGenerator(pipe, routing.attach(pipe, made), chosen, "cpu").draw(
        NURSE, through([(made[0].name,), ()], 1)
    )
    assert len(images) == 2


def faces(folder, groups, broken=()):
    (folder / "images").mkdir(parents=True)
    rows = ["image,race,gender,age,prompt"]
    for k, (race, gender) in enumerate(groups):
        path = folder / "images" / f"{k}.png"
        if k in broken:
            path.write_bytes(b"no picture")
        else:
            Image.fromarray(np.random.default_rng(k).integers(0, 255, (70, 90, 3), np.uint8)).save(path)
        rows.append(f"{k}.png,{race},{gender},20-29,a photo of a chef")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")


def test_bad_data_is_named_before_anything_is_trained(tmp_path, capsys):
    profile = str(save_profile(tmp_path, "sd15", steps=2))

    def said(*arguments):
        assert main(["train", *arguments, "--profile", profile, "--out", str(tmp_path / "out")]) == 2
        return capsys.readouterr().err

    assert "has no faces of its own" in said("inc")
    groups = [(r, g) for r in TARGET_CLASSES["race"] for g in TARGET_CLASSES["gender"]]
    faces(tmp_path / "lacking", groups[:-1])
    assert "no picture of White Male" in said("inc", "--data", str(tmp_path / "lacking"))
    faces(tmp_path / "broken", groups, range(len(groups)))
    assert "can be opened" in said("inc", "--data", str(tmp_path / "broken"))
    faces(tmp_path / "odd", [("Martian", "Female")])
    assert "Martian" in said("div", "--data", str(tmp_path / "odd"))
    (tmp_path / "run.toml").write_text("peek = 1\n")
    assert "unknown key 'peek'" in said("inc", "--config", str(tmp_path / "run.toml"))
    (tmp_path / "run.toml").write_text('by = ["height"]\n')
    assert "by is ['height']" in said("inc", "--config", str(tmp_path / "run.toml"))
    (tmp_path / "run.toml").write_text('prompts = ["a doctor"]\n[target.gender]\nFemale = 0.7\nMale = 0.5\n')
    assert "sum to 1" in said("align", "--config", str(tmp_path / "run.toml"))
    (tmp_path / "file").write_text("")
    assert (
        main(
            [
                "train",
                "div",
                "--profile",
                profile,
                "--data",
                str(tmp_path / "broken"),
                "--out",
                str(tmp_path / "file"),
            ]
        )
        == 2
        and "can't be written" in capsys.readouterr().err
    )


def test_broken_pictures_are_left_out(tmp_path):
    groups = [(r, "Female") for r in TARGET_CLASSES["race"]] * 2
    faces(tmp_path / "faces", groups, broken=[2, 7])
    pipe = pipelines.load_pipeline(profiles.profile(str(save_profile(tmp_path, "sd15"))), "cpu")
    config = denoise.Config(by=("race",), data=str(tmp_path / "faces"))
    rows, z = denoise.labelled_faces(pipe, config, 64, tmp_path / "cache.safetensors")
    again, kept = denoise.labelled_faces(pipe, config, 64, tmp_path / "cache.safetensors")
    assert len(rows) == 10 and z.shape == (10, 2, 4, 8, 8) and rows == again and torch.equal(z, kept)
    assert [r["race"] for r in rows] == [r for k, (r, _) in enumerate(groups) if k not in (2, 7)]


def test_a_folder_is_one_runs_alone(tmp_path):
    from accelerate import Accelerator

    from fairdemo.training.folder import Folder

    devices = Accelerator(cpu=True)
    with Folder(tmp_path / "run", {"a": 1}, ("loss",), 3, devices) as folder:
        folder.write(1, {"loss": 2.0})
        with pytest.raises(ValueError, match="in use"):
            Folder(tmp_path / "run", {"a": 1}, ("loss",), 3, devices).__enter__()
    with pytest.raises(ValueError, match="other settings"):
        Folder(tmp_path / "run", {"a": 2}, ("loss",), 3, devices).__enter__()
    with Folder(tmp_path / "run", {"a": 1}, ("loss",), 3, devices) as folder:
        folder.write(2, {"loss": 1.0})
    with Folder(tmp_path / "run", {"a": 1}, ("loss",), 3, devices) as folder:
        folder.write(2, {"loss": 0.5})  # done again after a kill
        with (tmp_path / "run" / "log.csv").open("a") as file:
            file.write("3,0.")  # torn by a kill
    with Folder(tmp_path / "run", {"a": 1}, ("loss",), 9, devices) as folder:
        folder.write(3, {"loss": 0.25})
        whole = (
            tmp_path / "run" / "log.csv"
        ).read_text()  # nothing waits for the run's end: what is logged outlives a kill
    assert whole == (tmp_path / "run" / "log.csv").read_text()
    lines = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert lines[0] == "step,loss,seconds" and [line.split(",")[:2] for line in lines[1:]] == [
        ["1", "2"],
        ["2", "0.5"],
        ["3", "0.25"],
    ]


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_what_there_was(live, tmp_path):
    made = aligner(tmp_path, "sd15", live, parts=("unet",), iterations=30)
    steps = made.train(tmp_path / "checkpoint.pt")
    for _ in range(10):
        next(steps)
    made.bank = made.bank * float("nan")
    with pytest.raises(ValueError, match="iteration 11 is not a number; iteration 10 is kept"):
        next(steps)
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert kept["step"] == 10 and all(f.isfinite().all() for f in kept["factors"])


def test_validation_ends_a_run_that_gets_no_nearer(live, tmp_path):
    made = aligner(
        tmp_path,
        "sd15",
        live,
        parts=("unet",),
        iterations=40,
        validation=("a photo of a chef",),
        validate_every=2,
        patience=2,
    )
    distances = iter([0.4, 0.2, 0.3, 0.25, 0.1])
    made.validated = lambda prompts: {"distance": next(distances)}
    states = {}
    for step, _, found in made.train(tmp_path / "checkpoint.pt"):
        if found:
            states[step] = [f.detach().clone() for f in made.trained.factors]
    assert list(states) == [2, 4, 6, 8]
    assert all(torch.equal(a, b) for a, b in zip(states[4], made.trained.factors)), (
        "the best is left, not the last; without an average they are the live weights"
    )


RUN = """
import sys, torch
torch.set_num_threads(1)
from pathlib import Path
from fairdemo.models import pipelines, profiles, routing
from fairdemo.models.generating import PairedGenerator
from fairdemo.places import SHIPPED
from fairdemo.training import align
from tests.small_models import random_heads
from tests.test_trainers import Reader, EVEN
from fairdemo.readers import embed
import os, random, signal, time
from accelerate import Accelerator
from safetensors.torch import save_file
from torch.nn import functional as F

def build(profile, devices=None, iterations=1):
    profile = profiles.profile(profile)
    pipe = pipelines.load_pipeline(profile, "cpu")
    generator = PairedGenerator(pipe, routing.Router(torch.nn.Module(), {}), profile, "cpu")
    config = align.Config(prompts=("a photo of a doctor", "a photo of a chef"), target=EVEN,
        parts=("unet", "text_encoder"), rank=2, images=4, iterations=iterations, hold=1.0,
        learning_rate=0.01)
    backbone = embed.embedded(SHIPPED / "assets" / "classifier")
    reader = align.SoftReader(Reader(backbone, 1000), random_heads())
    looks = [lambda x: F.normalize(x.mean((2, 3)), dim=-1)]
    trained = align.fresh(generator, config)
    faces = torch.eye(128)[:4]
    return align.Aligner(generator, reader, looks, faces, config, trained, devices or Accelerator(cpu=True))

def run(profile, folder, iterations):
    made = build(profile, iterations=iterations)
    for step, *_ in made.train(Path(folder) / "checkpoint.pt"):
        print(step, flush=True)
    made.trained.save(Path(folder) / "adapter.safetensors")
"""


@pytest.mark.parametrize("times, iterations", [(1, 12), pytest.param(5, 60, marks=pytest.mark.long)])
def test_a_run_that_is_killed_ends_with_the_same_weights(tmp_path, times, iterations):
    """SIGKILL at random moments; each time the run begins anew from its checkpoint. A process forks the
    runs, so that imports are paid once."""
    profile = save_profile(tmp_path, "sd15", steps=2)
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    code = (
        RUN
        + """
def forked(folder):
    pid = os.fork()
    if not pid:
        try:
            run(sys.argv[1], folder, iterations)
            os._exit(0)
        except BaseException as error:
            print(error, flush=True)
            os._exit(1)
    return pid

times, iterations = int(sys.argv[4]), int(sys.argv[5])
start = time.time()
_, status = os.waitpid(forked(sys.argv[2]), 0)
assert status == 0
took = time.time() - start
rng, kills = random.Random(4), 0
while True:
    pid, ended = forked(sys.argv[3]), 0
    limit = time.time() + (rng.uniform(0.2, 0.6) * took if kills < times else 1e9)
    while time.time() < limit and not ended:
        ended, status = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)
    if ended:
        assert status == 0
        break
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    kills += 1
    print("killed", kills, flush=True)
"""
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(profile), str(tmp_path / "whole"), str(tmp_path / "killed")]
        + [str(times), str(iterations)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]
    assert f"killed {1 if times == 1 else 3}" in done.stdout
    one, two = (load_file(tmp_path / name / "adapter.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(one[key], two[key]) for key in one) and any(
        v.abs().max() > 0 for key, v in one.items() if "lora_B" in key
    )


def test_two_devices_are_one(tmp_path):
    """Two processes with half of the images each have the gradient of one with all of them: probabilities
    are gathered before the transport."""
    profile = save_profile(tmp_path, "sd15", steps=2)
    code = (
        RUN
        + """
def gradient(file):
    devices = Accelerator(cpu=True)
    made = build(sys.argv[1], devices)
    made.gradient("a photo of a doctor", 3)
    grads = [devices.reduce(f.grad, "sum") for f in made.trained.factors if f.grad is not None]
    if devices.is_main_process:
        save_file({str(k): g.contiguous() for k, g in enumerate(grads)}, file)
    devices.wait_for_everyone()
    devices.end_training()

def forked(file, **environment):
    pid = os.fork()
    if not pid:
        try:
            os.environ.update(environment)
            gradient(file)
            os._exit(0)
        except BaseException as error:
            print(error, flush=True)
            os._exit(1)
    return pid

both = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "ACCELERATE_USE_CPU": "true"}
runs = [forked(sys.argv[2])]
runs += [forked(sys.argv[3], RANK=str(k), LOCAL_RANK=str(k), **both) for k in range(2)]
assert [os.waitpid(pid, 0)[1] for pid in runs] == [0, 0, 0]
"""
    )
    files = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    own = {"MASTER_PORT": str(browser.free_port()), "MASTER_ADDR": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(profile), *map(str, files)],
        env={**os.environ, **own},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]
    one, two = (torch.cat([g.flatten() for g in load_file(file).values()]) for file in files)
    assert one.norm() > 0 and (one - two).norm() < 1e-3 * one.norm()
