"""Proving the chain on weights that come from the Hub: small models of the real classes in a stand-in."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from fairdemo.models.fetching import told
from fairdemo.places import SHIPPED as ROOT
from fairdemo.stats.attributes import CLASSES
from tests import small_models, stand_in_hub

PROFILE = f"""
name = "tiny"
family = "sdxl"
model = "someone/tiny-sdxl"
revision = "{stand_in_hub.COMMIT}"
vae = "someone/tiny-vae"
vae_revision = "{stand_in_hub.COMMIT}"
classifier = "{ROOT}/assets/classifier"
adapters = "tiny"
size = 64
steps = 3
guidance = 3.0
first = 1
batch = 2
dtype = "float32"
"""
ADAPTER = """
[[adapter]]
name = "{race} {gender}"
base = "tiny"
repo = "someone/{repo}"
revision = "{commit}"
file = "lora.safetensors"
cell = ["{race}", "{gender}"]
weight = 1.0
license = "x"
source = "tests"
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory) -> Path:
    """Repositories of a small SDXL, another autoencoder for it, and two adapters."""
    root = tmp_path_factory.mktemp("hub")
    own = root / "someone"
    pipe = small_models.pipeline("sdxl")
    pipe.save_pretrained(own / "tiny-sdxl")
    pipe.vae.save_pretrained(own / "tiny-vae")
    (own / "tiny-sdxl" / "unet" / "unused.bin").write_bytes(b"a pickle that nobody fetches")
    for k, name in enumerate(("first", "second")):
        layers = small_models.lora(pipe.unet, small_models.ATTENTION, k)
        small_models.save_lora(own / name / "lora.safetensors", {"unet": layers})
    return root


@pytest.fixture
def asked(tmp_path, hub) -> list[str]:
    """The command that proves the small profile, with a few photographs."""
    adapters = [("Black", "Female", "first"), ("White", "Male", "second")]
    text = "".join(
        ADAPTER.format(race=r, gender=g, repo=repo, commit=stand_in_hub.COMMIT) for r, g, repo in adapters
    )
    (tmp_path / "tiny.toml").write_text(PROFILE + text)
    faces = tmp_path / "faces"
    faces.mkdir()
    rows = [
        {"image": f"{k}.png", "race": r, "gender": "Male", "age": "30-39"}
        for k, r in enumerate(CLASSES["race"])
    ]
    pd.DataFrame(rows).to_csv(faces / "labels.csv", index=False)
    for row in rows:
        Image.new("RGB", (80, 80), "grey").save(faces / row["image"])
    command = [sys.executable, "-m", "fairdemo", "prove", "--profile", str(tmp_path / "tiny.toml")]
    return [*command, "--out", str(tmp_path / "proof"), "--faces", str(faces), "--quick"]


def ran(command: list[str], address: str, home: Path, **more: str) -> subprocess.CompletedProcess:
    """What a command says when the Hub is at an address."""
    own = {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    env = {**os.environ, **own, "FAIRDEMO_DEVICE": "cpu", **more}
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env, timeout=400)


def test_the_whole_chain_is_proved_from_the_hub_and_goes_on_where_it_stopped(asked, hub, tmp_path):
    home, out = tmp_path / "hf", tmp_path / "proof"
    with stand_in_hub.hub(hub) as (address, fetched):
        refused = ran(asked, address, home)
        assert refused.returncode == 2 and "nothing is fetched without being asked for" in refused.stderr
        assert "To be fetched for" in refused.stdout and not [f for f in fetched if "safetensors" in f]
        done = ran([*asked, "--yes"], address, home)
        assert done.returncode == 0, done.stderr[-3000:]
        assert "unet/diffusion_pytorch_model.safetensors" in fetched and "unused.bin" not in str(fetched)
        assert fetched.count("lora.safetensors") == 2
    proof = json.loads((out / "proof.json").read_text())
    results = proof["results"]
    assert list(results) == ["files", "routing", "performance", "classifier", "responses", "study", "pairs"]
    routed = results["routing"]["found"]["adapters"]["Black Female"]
    assert routed["routed_to_published"] <= 0.5 < routed["adapter_to_baseline"]
    read = results["classifier"]["found"]["report"]
    assert read["pictures"] == 6 and read["found"]["count"] == 0, "grey squares have no faces"
    own = results["responses"]["found"]["adapters"]["White Male"]
    assert own["images"] == 1 and own["right"] <= own["faces"] <= own["images"]
    assert results["study"]["found"]["images"] == 4 * len(results["study"]["found"]["bias"])
    page = (out / "proof.html").read_text()
    assert page.count("data:image/webp") == 8 and "as perceived by the classifier" in page
    assert (out / "study" / "report.html").is_file()
    for secret in (os.uname().nodename, str(home)):
        assert secret not in json.dumps(results), "nothing says whose machine it was"
    # A part that is missing is measured again, offline, and nothing else.
    before = {k: v["seconds"] for k, v in results.items()}
    del results["responses"]
    (out / "proof.json").write_text(json.dumps(proof))
    again = ran(asked, "http://127.0.0.1:9", home, HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stderr[-3000:]
    assert again.stdout.count("measured before") == 6
    after = json.loads((out / "proof.json").read_text())["results"]
    assert {k: after[k]["seconds"] for k in before if k != "responses"} == {
        k: v for k, v in before.items() if k != "responses"
    }
    other = ran(
        [*(a for a in asked if a != "--quick"), "--yes"], "http://127.0.0.1:9", home, HF_HUB_OFFLINE="1"
    )
    assert other.returncode == 2 and "another profile or other amounts" in other.stderr


def test_a_hub_that_cannot_be_reached_or_lacks_something_is_named(asked, hub, tmp_path):
    unreached = ran([*asked, "--yes"], "http://127.0.0.1:9", tmp_path / "none")
    assert unreached.returncode == 2 and "the Hub can't be reached" in unreached.stderr
    less = tmp_path / "less"
    shutil.copytree(hub, less)
    shutil.rmtree(less / "someone" / "second")
    with stand_in_hub.hub(less) as (address, _):
        lacking = ran([*asked, "--yes"], address, tmp_path / "half")
    assert lacking.returncode == 2 and "'someone/second': there is no such repository" in lacking.stderr
    assert not (tmp_path / "proof").exists()


def test_sizes_are_told_with_their_time():
    assert told(7.2e9) == "7.2 GB, about 10 minutes at 100 Mbit/s"
    assert told(4e8) == "0.4 GB, about a minute at 100 Mbit/s"
