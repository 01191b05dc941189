"""LoRA files in the layouts that people bring, each read as what its factors say, or refused in one line with
the true reason."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fairdemo.models import routing
from tests import small_models

ATTENTION = r"attn\d\.to_(k|q|v|out\.0)$"
TEXT = r"(q_proj|k_proj|v_proj|out_proj|fc1|fc2)$"
PREFIX = {"unet": "lora_unet_", "text_encoder": "lora_te1_", "text_encoder_2": "lora_te2_"}
Pairs = dict[str, tuple[torch.Tensor, torch.Tensor]]


@pytest.fixture(scope="module")
def pipelines():
    return {family: small_models.pipeline(family) for family in ("sdxl", "sd15")}


def pairs(pipeline, part: str, pattern: str, seed: int = 1) -> Pairs:
    """Random factors for the layers of a part, ranks 1 to 4."""
    made, model = torch.Generator().manual_seed(seed), getattr(pipeline, part)
    layers = {n: m for n, m in model.named_modules() if hasattr(m, "weight") and re.search(pattern, n)}
    found = {}
    for k, (name, module) in enumerate(layers.items()):
        rank, (out, into, *pixels) = 1 + k % 4, module.weight.shape
        down = torch.randn(rank, into, *pixels, generator=made)
        found[name] = down, torch.randn(out, rank, *[1] * len(pixels), generator=made)
    assert found
    return found


def differences(own: Pairs, part: str, scale=lambda name, rank: 1.0) -> dict[str, torch.Tensor]:
    """What pairs of factors change of the weights, by layer."""
    return {
        f"{part}.{n}": scale(n, len(a)) * torch.tensordot(b.flatten(1), a.flatten(1), 1)
        for n, (a, b) in own.items()
    }


def reads(pipeline, path: Path, wanted: dict[str, torch.Tensor]) -> None:
    """Asserts that a file is read as what is wanted."""
    found = routing.read_factors(pipeline, path)
    assert set(found) == set(wanted)
    for layer, (down, up) in found.items():
        torch.testing.assert_close(up @ down.flatten(1), wanted[layer], rtol=1e-4, atol=1e-4)


def refused(pipeline, path: Path, why: str) -> None:
    with pytest.raises(ValueError, match=why) as error:
        routing.read_factors(pipeline, path)
    told = str(error.value)
    assert path.name in told and "\n" not in told and "damaged" not in told


def write(folder: Path, state: dict, **header: str) -> Path:
    path = folder / "file.safetensors"
    save_file({k: v.contiguous().clone() for k, v in state.items()}, path, metadata=header or None)
    return path


def peft(own: Pairs, before: str) -> dict[str, torch.Tensor]:
    return {f"{before}{n}.lora_{x}.weight": t for n, both in own.items() for x, t in zip("AB", both)}


def kohya(
    own: Pairs, part: str, alphas: dict[str, float], named=lambda name: name
) -> dict[str, torch.Tensor]:
    state = {}
    for name, (down, up) in own.items():
        key = PREFIX[part] + named(name).replace(".", "_")
        state |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}
        state |= {f"{key}.alpha": torch.tensor(alphas[name])} if name in alphas else {}
    return state


def test_every_layer_has_its_own_scale(pipelines, tmp_path):
    """sd-scripts after `resize_lora`: ranks and alphas by layer, some without; in text encoders, too."""
    pipe, state, wanted = pipelines["sdxl"], {}, {}
    for part, pattern in (("unet", ATTENTION), ("text_encoder", TEXT), ("text_encoder_2", TEXT)):
        own = pairs(pipe, part, pattern)
        alphas = {n: (0.5, 2.0, 3.0)[k % 3] for k, n in enumerate(own) if k % 4}
        spelt = (lambda n: n) if part == "unet" else (lambda n: f"text_model.{n.removeprefix('text_model.')}")
        state |= kohya(own, part, alphas, spelt)
        wanted |= differences(own, part, lambda n, rank, alphas=alphas: alphas.get(n, rank) / rank)
    reads(pipe, write(tmp_path, state), wanted)


BLOCK = "transformer_blocks.0.attn1.to_q"
ORIGINAL = {  # some layers of the small SDXL in the original code's names, worked out by hand
    f"down_blocks.1.attentions.0.{BLOCK}": f"input_blocks.3.1.{BLOCK}",
    "down_blocks.0.resnets.0.conv1": "input_blocks.1.0.in_layers.2",
    "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
    f"mid_block.attentions.0.{BLOCK}": f"middle_block.1.{BLOCK}",
    "mid_block.resnets.1.time_emb_proj": "middle_block.2.emb_layers.1",
    f"up_blocks.0.attentions.1.{BLOCK}": f"output_blocks.1.1.{BLOCK}",
    "up_blocks.0.upsamplers.0.conv": "output_blocks.1.2.conv",
    "up_blocks.1.resnets.0.conv_shortcut": "output_blocks.2.0.skip_connection",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "conv_in": "input_blocks.0.0",
}


def test_layers_may_have_the_names_of_the_original_code(pipelines, tmp_path):
    pipe = pipelines["sdxl"]
    own = pairs(pipe, "unet", "|".join(f"^{re.escape(name)}$" for name in ORIGINAL))
    assert set(own) == set(ORIGINAL)
    state = kohya(own, "unet", dict.fromkeys(own, 2.0), ORIGINAL.__getitem__)
    reads(pipe, write(tmp_path, state), differences(own, "unet", lambda n, rank: 2 / rank))


@pytest.mark.parametrize("family", ["sdxl", "sd15"])
def test_text_layers_alone_and_without_some_of_them(pipelines, tmp_path, family):
    pipe = pipelines[family]
    own = pairs(pipe, "text_encoder", r"(q_proj|v_proj|fc1)$")
    wanted = differences(own, "text_encoder")
    bare = {n.removeprefix("text_model."): both for n, both in own.items()}
    for state in (
        {k.replace("lora_te1_", "lora_te_"): v for k, v in kohya(own, "text_encoder", {}).items()},
        kohya({f"text_model.{n}": both for n, both in bare.items()}, "text_encoder", {}),
        peft(bare, "text_encoder.text_model."),
        peft(bare, "text_encoder."),
        peft(bare, "text_model."),
    ):
        reads(pipe, write(tmp_path, state), wanted)


def test_layouts_of_diffusers_and_peft(pipelines, tmp_path):
    pipe = pipelines["sdxl"]
    own = pairs(pipe, "unet", ATTENTION)
    wanted = differences(own, "unet")
    old = {}
    for name, (down, up) in own.items():
        key = re.sub(r"\.to_(\w+?)(\.0)?$", r".processor.to_\1_lora", name)
        old |= {f"{key}.down.weight": down, f"{key}.up.weight": up}
    for state in (
        peft(own, "unet."),
        peft(own, ""),
        peft(own, "unet.base_model.model."),
        {k.replace(".weight", ".default.weight"): v for k, v in peft(own, "unet.").items()},
        old,
        {f"unet.{k}": v for k, v in old.items()},
    ):
        reads(pipe, write(tmp_path, state), wanted)


def test_what_a_header_says_of_scales_counts(pipelines, tmp_path):
    pipe = pipelines["sdxl"]
    own = pairs(pipe, "unet", ATTENTION)
    said = {"lora_alpha": 16, "alpha_pattern": {"attn2.to_k": 4}}

    def scale(name: str, rank: int) -> float:
        return (4 if name.endswith("attn2.to_k") else 16) / rank

    for state, settings in (
        (peft(own, ""), said),  # `unet.save_lora_adapter`
        (peft(own, "unet."), {f"unet.{k}": v for k, v in said.items()}),  # `save_lora_weights`
    ):
        path = write(tmp_path, state, lora_adapter_metadata=json.dumps(settings))
        reads(pipe, path, differences(own, "unet", scale))
    rooted = json.dumps({"unet.lora_alpha": 16, "unet.use_rslora": True})
    path = write(tmp_path, peft(own, "unet."), lora_adapter_metadata=rooted)
    reads(pipe, path, differences(own, "unet", lambda n, rank: 16 / rank**0.5))
    # PEFT's own `save_pretrained`
    (tmp_path / "adapter_config.json").write_text(json.dumps(said), encoding="utf-8")
    path = write(tmp_path, peft(own, "base_model.model.")).rename(tmp_path / "adapter_model.safetensors")
    reads(pipe, path, differences(own, "unet", scale))


def test_a_convolution_of_one_pixel_is_a_linear_layer(pipelines, tmp_path):
    for family, as_saved in (("sdxl", lambda t: t[..., None, None]), ("sd15", lambda t: t.flatten(1))):
        own = pairs(pipelines[family], "unet", "proj_(in|out)$")
        state = peft({n: (as_saved(a), as_saved(b)) for n, (a, b) in own.items()}, "unet.")
        reads(pipelines[family], write(tmp_path, state), differences(own, "unet"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_numbers_of_any_width(pipelines, tmp_path, dtype):
    own = {n: (a.to(dtype), b.to(dtype)) for n, (a, b) in pairs(pipelines["sdxl"], "unet", ATTENTION).items()}
    wanted = differences({n: (a.float(), b.float()) for n, (a, b) in own.items()}, "unet")
    reads(pipelines["sdxl"], write(tmp_path, peft(own, "unet.")), wanted)


def test_all_of_a_file_is_used_or_none(pipelines, tmp_path):
    pipe = pipelines["sdxl"]
    own = pairs(pipe, "unet", ATTENTION)
    deeper = {n.replace("transformer_blocks.0", "transformer_blocks.7"): both for n, both in own.items()}
    some = len(set(deeper) - set(own))
    fit = rf"{some} of its {len(own | deeper)} layers don't fit this one, e\.g\. 'unet\..*blocks\.7"
    refused(pipe, write(tmp_path, peft(own | deeper, "unet.")), fit)
    foreign = {n: both for n, both in deeper.items() if n not in own}
    refused(pipe, write(tmp_path, peft(foreign, "unet.")), f"none of its {some} layers fits")
    other = kohya(pairs(pipelines["sd15"], "unet", ATTENTION), "unet", {})
    refused(pipe, write(tmp_path, other), "another base model")
    clip = peft(pairs(pipe, "text_encoder", TEXT), "text_encoder.")
    flux = {f"transformer.blocks.0.attn.to_q.lora_{x}.weight": torch.zeros(4, 4) for x in "AB"}
    refused(pipe, write(tmp_path, clip | flux), "1 of its")


@pytest.mark.parametrize(
    "more, why",
    [
        ({"lora_unet_x.hada_w1_a": torch.zeros(2)}, "LoHa"),
        ({"unet.x.lokr_w1": torch.zeros(2)}, "LoKr"),
        ({"lora_unet_x.lora_mid.weight": torch.zeros(2)}, "Tucker"),
        ({"lora_unet_x.dora_scale": torch.zeros(2)}, "DoRA"),
        ({"unet.x.lora_magnitude_vector": torch.zeros(2)}, "DoRA"),
        ({"lora_unet_x.diff": torch.zeros(2)}, "whole differences"),
        ({"unet.x.lora.diff_b": torch.zeros(2)}, "whole differences"),
        ({"unet.x.lora_B.bias": torch.zeros(2)}, "biases"),
        ({"text_encoder.x.lora_embedding_A": torch.zeros(2)}, "token embeddings"),
        ({"bundle_emb.elder.string_to_param.*": torch.zeros(2)}, "bundled"),
        ({"unet.x.lora_A.weight": torch.full((2, 2), torch.nan)}, "no numbers"),
        ({"unet.x.lora_A.weight": torch.full((2, 2), torch.inf)}, "no numbers"),
        ({"unet.x.lora_A.weight": torch.zeros(2, 2)}, "only one of two factors for 'unet.x'"),
        ({"lora_unet_x.alpha": torch.tensor(2.0)}, "alpha for 'lora_unet_x'"),
        ({"something.else": torch.zeros(2)}, "a tensor 'something.else'"),
    ],
)
def test_what_isnt_a_lora_alone_is_named(pipelines, tmp_path, more, why):
    own = peft(pairs(pipelines["sdxl"], "unet", ATTENTION), "unet.")
    refused(pipelines["sdxl"], write(tmp_path, own | more), why)


def test_damaged_files_are_called_so(pipelines, tmp_path):
    path = write(tmp_path, peft(pairs(pipelines["sdxl"], "unet", ATTENTION), "unet."))
    whole = path.read_bytes()
    for broken in (b"", whole[: len(whole) // 2], b"version https://git-lfs.github.com/spec/v1\n"):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="file.safetensors is damaged"):
            routing.read_factors(pipelines["sdxl"], path)
