"""Profiles whose parts don't go together, and catalogs with entries that don't load: each is said in one
line, and ends nothing else."""

import json
import shutil

import pytest
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import save_file

from fairdemo.cli import main
from fairdemo.models import catalog, hub, pipelines, profiles, routing
from fairdemo.studio.live import Live
from fairdemo.studio.studio import Studio
from tests import small_models
from tests.conftest import asked
from tests.small_models import save_profile


def refusal(path) -> str:
    """Why a profile's model isn't loaded, in a line."""
    with pytest.raises(ValueError) as error:
        pipelines.load_pipeline(profiles.profile(str(path)), "cpu")
    assert "\n" not in str(error.value) and "damaged" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("family, other", [("sdxl", "sd15"), ("sd15", "sdxl")])
def test_a_model_of_another_family_is_called_so(tmp_path, family, other):
    path = save_profile(tmp_path, other)
    path.write_text(path.read_text().replace(f"family = '{other}'", f"family = '{family}'"))
    assert f"and family is '{family}'; expected Stable" in refusal(path)


@pytest.mark.parametrize(
    "scheduler, why",
    [
        ("EulerDiscreteScheduler, timestep_spaceing=trailing", "did you mean 'timestep_spacing'?"),
        ("EulerDiscreteScheduler, karras=yes", "has no setting 'karras'"),
        ("FlowMatchEulerDiscreteScheduler", "is of another kind than this model needs"),
        ("EulerScheduler", "expected a scheduler of diffusers, e.g. EulerDiscreteScheduler"),
        ("DPMSolverMultistepScheduler, use_karras_sigmas=yes", "can't be made so"),
    ],
)
def test_a_scheduler_that_cannot_be_meant_is_named(tmp_path, scheduler, why):
    """diffusers leaves a misspelt setting out without a word."""
    name, *settings = scheduler.split(", ")
    table = "".join(f", {key} = '{value}'" for key, value in (one.split("=") for one in settings))
    path = save_profile(tmp_path, "sdxl")
    path.write_text(path.read_text() + f"scheduler = {{name = '{name}'{table}}}\n")
    assert why in refusal(path)


def test_an_autoencoder_of_another_kind_is_named(tmp_path):
    blocks = (8, 8, 8, 8)
    AutoencoderTiny(encoder_block_out_channels=blocks, decoder_block_out_channels=blocks).save_pretrained(
        tmp_path / "tiny"
    )
    path = save_profile(tmp_path, "sdxl", vae="./tiny")
    assert "is an AutoencoderTiny; expected an AutoencoderKL" in refusal(path)


def test_a_refiner_is_named(tmp_path):
    path = save_profile(tmp_path, "sdxl")
    index = tmp_path / "model" / "model_index.json"
    parts = json.loads(index.read_text()) | {"text_encoder": [None, None], "tokenizer": [None, None]}
    index.write_text(json.dumps(parts))
    for part in ("text_encoder", "tokenizer"):
        shutil.rmtree(tmp_path / "model" / part)
    assert "as SDXL's refiner" in refusal(path)


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda k, v: (k, v) if "attn2" in k else None, "they lack "),
        (lambda k, v: (f"model.diffusion_model.{k}", v), "they have 'model.diffusion_model."),
        (lambda k, v: (k, v[:1]), "has another shape"),
    ],
    ids=["part", "another layout", "another size"],
)
def test_weights_that_do_not_fit_the_unet_are_named(tmp_path, change, why):
    path = save_profile(tmp_path, "sdxl", unet="./own", unet_file="own.safetensors")
    state = small_models.pipeline("sdxl").unet.state_dict().items()
    (tmp_path / "own").mkdir()
    kept = dict(found for k, v in state if (found := change(k, v.contiguous())))
    save_file({k: v.clone() for k, v in kept.items()}, tmp_path / "own" / "own.safetensors")
    told = refusal(path)
    assert "don't fit its U-Net" in told and why in told


def test_a_local_file_is_nobodys_to_fetch_again(tmp_path):
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(ValueError, match="is damaged or incomplete$"):
        hub.weights_file(tmp_path, "cut.safetensors")


def write_lora(path, name="mid_block.attentions.0.transformer_blocks.0.attn1.to_q", rows=8, value=1.0):
    """A LoRA of one layer."""
    factors = {"lora_A": torch.full((1, rows), value), "lora_B": torch.full((rows, 1), value)}
    save_file({f"unet.{name}.{key}.weight": factor for key, factor in factors.items()}, path)
    return path


ENTRY = """
[[adapter]]
name = "{name}"
base = "embedded"
file = "{file}"
cell = []
weight = 1.0
license = "own"
source = "own"
"""


@pytest.fixture
def own_catalog(tmp_path, monkeypatch):
    """A catalog with an entry that isn't there, one that is no LoRA, and one for another model."""
    write_lora(tmp_path / "nan.safetensors", value=float("nan"))
    write_lora(tmp_path / "foreign.safetensors", name="no.such.layer")
    path = tmp_path / "own.toml"
    names = {"absent": "none.safetensors", "no number": "nan.safetensors", "foreign": "foreign.safetensors"}
    path.write_text("".join(ENTRY.format(name=name, file=file) for name, file in names.items()))
    monkeypatch.setenv("FAIRDEMO_CATALOG", str(path))
    return path


def test_entries_that_do_not_load_end_no_grid_that_does_without_them(own_catalog, capsys):
    live = Live("embedded", "cpu")
    assert set(live.faults) == {"absent", "no number"}
    studio = Studio(live)
    request = asked("a photo of a doctor", "gender:Female=1", 2, 1, steps=2, steering=False)
    with_foreign = studio.plan(request)
    comparison = list(studio.run(with_foreign))[-1]
    assert len(comparison.pairs) == 2
    assert set(live.faults) == {"absent", "no number", "foreign"}
    assert any(
        "Adapter 'absent' isn't used: adapter file none.safetensors is missing" in n
        for n in comparison.notices
    )
    assert not {"absent", "no number", "foreign"} & {a.name for a in live.adapters}
    with pytest.raises(ValueError, match="adapter 'foreign' can't be used: .*made for another base model"):
        live.generator.router.routed([("foreign",)])
    assert main(["adapters", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum("can't be used: adapter file" in line for line in lines) == 2


@pytest.mark.parametrize(
    "file, why", [("foreign.safetensors", "made for another base model"), ("nan.safetensors", "no numbers")]
)
def test_an_adapter_is_opened_with_its_model_before_it_is_added(own_catalog, tmp_path, capsys, file, why):
    before = own_catalog.read_text()
    command = ["adapters", "add", str(tmp_path / file), "--name", "mine", "--base", "embedded"]
    assert main([*command, "--catalog", str(own_catalog)]) == 2
    assert why in capsys.readouterr().err and own_catalog.read_text() == before


def test_attached_adapters_leave_out_what_does_not_fit(tmp_path):
    pipeline = small_models.pipeline("sdxl")
    path = write_lora(tmp_path / "foreign.safetensors", name="no.such.layer")
    table = {
        "name": "foreign",
        "base": "x",
        "file": path.name,
        "cell": [],
        "weight": 1.0,
        "license": "",
        "source": "",
    }
    router = routing.attach(pipeline, [catalog.entry(table, tmp_path)])
    assert not router.names and "made for another base model" in router.faults["foreign"]
