"""Routing must equal plain `set_adapters` per image, on a small SDXL made here and on the shipped model."""

import re
from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file

from fairdemo.__main__ import main
from fairdemo.models import catalog, pipelines, profiles, routing
from fairdemo.models.routing import Router
from fairdemo.stats import mix
from fairdemo.training import denoise
from tests import small_models
from tests.small_models import save_lora


def small_unet() -> UNet2DConditionModel:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(32, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=2,
        cross_attention_dim=16,
        norm_num_groups=8,
        use_linear_projection=True,
    )


def random_factors(net, names):
    factors = denoise.fresh_factors(net, names, 4, 1)
    torch.manual_seed(2)
    return {
        n: {layer: (a, torch.randn_like(b) * 0.3) for layer, (a, b) in f.items()} for n, f in factors.items()
    }


def plain(net, factors, names, x, t, e):
    """The same adapters merged into the weights of a copy: the reference."""
    copy = small_unet()
    copy.load_state_dict(net.state_dict())
    modules = dict(copy.named_modules())
    with torch.no_grad():
        for name in names:
            for layer, (a, b) in factors[name].items():
                modules[layer].weight += b @ a
        return copy(x, t, e).sample


def test_mixed_batch_equals_merged_weights_per_sample():
    net = small_unet()
    factors = random_factors(net, ["one", "two", "three"])
    x, t, e = torch.randn(5, 4, 8, 8), torch.tensor(10), torch.randn(5, 7, 16)
    with torch.no_grad():
        before = net(x, t, e).sample
        router = Router(net, factors)
        samples = [(), ("one",), ("three",), ("two", "three"), ("one",)]
        with router.routed(samples):
            mixed = net(x, t, e).sample
            doubled = net(torch.cat([x, x]), t, torch.cat([e, e])).sample
        after = net(x, t, e).sample
    for i, names in enumerate(samples):
        want = plain(net, factors, names, x[i : i + 1], t, e[i : i + 1])
        assert torch.allclose(mixed[i : i + 1], want, atol=1e-4)
        assert torch.allclose(doubled[5 + i : 6 + i], want, atol=1e-4)
    assert not torch.allclose(mixed[1], mixed[2], atol=1e-2)
    assert torch.equal(before, after), "outside of routed() the model is the baseline"


def test_training_touches_only_the_adapters_in_the_batch():
    net = small_unet().requires_grad_(False)
    router = Router(net, random_factors(net, ["one", "two"]))
    a, b = next(iter(router.stacks.values()))
    a.requires_grad_(), b.requires_grad_()
    with router.routed([("two",), ("two",)]):
        net(torch.randn(2, 4, 8, 8), torch.tensor(3), torch.randn(2, 7, 16)).sample.sum().backward()
    assert b.grad[2].abs().sum() > 0 and b.grad[1].abs().sum() == 0


def test_weight_scales_what_an_adapter_adds():
    net = small_unet()
    factors = random_factors(net, ["one"])
    layer, (a, b) = next(iter(factors["one"].items()))
    scaled = routing.weighted(factors["one"], 0.5)[layer]
    assert torch.equal(scaled[0], a) and torch.allclose(scaled[1] @ scaled[0], 0.5 * b @ a)


def test_unknown_and_foreign_adapters_are_named():
    net = small_unet()
    router = Router(net, random_factors(net, ["one"]))
    with pytest.raises(ValueError, match="'six' is unknown; loaded are one"):
        router.routed([("six",)])
    with pytest.raises(ValueError, match="other base model|another base model"):
        Router(small_unet(), {"x": {"no.such.layer": (torch.zeros(4, 8), torch.zeros(8, 4))}})
    layer = next(iter(denoise.fresh_factors(net, ["a"], 4, 0)["a"]))
    with pytest.raises(ValueError, match="wrong shape"):
        Router(small_unet(), {"x": {layer: (torch.zeros(4, 7), torch.zeros(32, 4))}})


def test_damaged_files_are_named(live, tmp_path):
    pipe = live.generator.pipeline
    gone = live.adapters[0].but(file="gone.safetensors", home=tmp_path)
    assert routing.attach(pipe, [gone]).faults == {gone.name: "adapter file gone.safetensors is missing"}
    (tmp_path / "cut.safetensors").write_bytes(b"12345678 this is no safetensors file")
    with pytest.raises(ValueError, match="cut.safetensors is damaged"):
        routing.read_factors(pipe, tmp_path / "cut.safetensors")
    save_file({"other.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="other.safetensors"):
        routing.read_factors(pipe, tmp_path / "other.safetensors")
    (tmp_path / "catalog.toml").write_text("[[adapter]]\nname = 3")
    with pytest.raises(ValueError, match="catalog.toml is damaged"):
        catalog.catalog("embedded", tmp_path / "catalog.toml")
    (tmp_path / "catalog.toml").write_text(
        catalog.CATALOG.read_text().replace("weight = 1.0", 'weight = "heavy"')
    )
    with pytest.raises(ValueError, match="catalog.toml is damaged"):
        catalog.catalog("embedded", tmp_path / "catalog.toml")


def test_shipped_adapters_open_with_diffusers_own_loader_and_agree(live):
    """`load_lora_weights` and `set_adapters` with the catalog's weights before an image give what routing
    gives, in float32."""
    plain_pipe = pipelines.load_pipeline(live.profile, "cpu")
    weights = {a.name.replace(" ", "_"): a.weight for a in live.adapters}
    for a in (a for a in live.adapters if a.name in ("Black Female", "old")):
        plain_pipe.load_lora_weights(
            catalog.CATALOG.parent / a.file.split("/")[0],
            weight_name=a.file.split("/")[1],
            adapter_name=a.name.replace(" ", "_"),
        )
    pipe, router = live.generator.pipeline, live.generator.router
    x, e = torch.randn(2, 16, 16, 16), torch.randn(2, 77, 128)
    extra = {"text_embeds": torch.randn(2, 64), "time_ids": torch.zeros(2, 6)}
    with torch.no_grad(), router.routed([("Black Female",), ("Black Female", "old")]):
        mixed = pipe.unet(x, 500, e, added_cond_kwargs=extra).sample
    with torch.no_grad():
        for i, names in enumerate((["Black_Female"], ["Black_Female", "old"])):
            plain_pipe.set_adapters(names, [weights[name] for name in names])
            want = plain_pipe.unet(
                x[i : i + 1], 500, e[i : i + 1], added_cond_kwargs={k: v[i : i + 1] for k, v in extra.items()}
            ).sample
            assert torch.allclose(mixed[i : i + 1], want, atol=1e-3)


def test_an_adapter_of_ones_own(tmp_path, monkeypatch, capsys):
    mine_too = tmp_path / "mine.toml"
    file = save_lora(tmp_path / "hat.safetensors", {"unet": {"a": (torch.zeros(4, 8), torch.zeros(8, 4))}})
    loha = tmp_path / "loha.safetensors"
    save_file({"lora_unet_x.hada_w1_a": torch.zeros(2, 2)}, loha)
    assert (
        main(
            [
                "adapters",
                "add",
                str(file),
                "--name",
                "with a hat",
                "--base",
                "sdxl",
                "--catalog",
                str(mine_too),
            ]
        )
        == 0
    )
    assert (
        main(
            [
                "adapters",
                "add",
                str(file),
                "--name",
                "elders",
                "--base",
                "sdxl",
                "--cell",
                "old",
                "--weight",
                "0.5",
                "--catalog",
                str(mine_too),
            ]
        )
        == 0
    )
    monkeypatch.setenv("FAIRDEMO_CATALOG", str(mine_too))
    mine = {a.name: a for a in catalog.of_profile(profiles.profile("sdxl"))}
    assert (
        len(mine) == 14
        and mine["with a hat"].cell == ()
        and mine["elders"].cell == ("old",)
        and mine["elders"].weight == 0.5
        and mine["elders"].path == file
    )
    labels = [s.label for s in mix.sources((a.name, a.cell) for a in mine.values())]
    assert "Asian Female + elders" in labels and not [
        label for label in labels if "with a hat +" in label or "+ with a hat" in label
    ]
    capsys.readouterr()
    assert main(["adapters", "list"]) == 0
    assert "with a hat" in capsys.readouterr().out
    for arguments, message in (
        ([str(file), "--name", "elders", "--base", "sdxl"], "has an adapter 'elders'"),
        ([str(file), "--name", "x", "--cell", "Martian"], "'x': cell is ['Martian']"),
        ([str(tmp_path / "gone.safetensors"), "--name", "x"], "gone.safetensors is missing"),
        ([str(file), "--name", "x", "--cell", "Asian, Black"], "at most one class"),
        ([str(file), "--name", "Asian Female"], "of the program has an adapter 'Asian Female'"),
        ([str(file), "--name", "baseline"], "name is 'baseline'"),
        ([str(file), "--name", "old + young"], "name is 'old + young'"),
        ([str(file), "--name", " "], "name is ' '"),
        ([str(file), "--name", "two\nlines"], "name is 'two\\nlines'"),
        ([str(file), "--name", "x", "--tokens", "4"], "holds no soft tokens"),
        ([str(loha), "--name", "x"], "holds LoHa factors"),
    ):
        before = mine_too.read_text()
        assert main(["adapters", "add", *arguments, "--catalog", str(mine_too)]) == 2
        assert message in capsys.readouterr().err
        assert mine_too.read_text() == before


def test_soft_tokens_of_any_name_have_words_of_their_own(tmp_path):
    pipe = small_models.pipeline("sd15")
    names = ("老人", "女", "Old!", "old?")
    rows = {"clip_l": torch.ones(2, pipe.text_encoder.get_input_embeddings().weight.shape[1])}
    words = [routing.add_tokens(pipe, name, rows) for name in names]
    assert len(set(words)) == 4 and all(re.fullmatch(r"<[a-z0-9-]+>", word) for word in words)
    save_file({"clip_l": rows["clip_l"] * torch.nan}, tmp_path / "nan.safetensors")
    with pytest.raises(ValueError, match="no numbers"):
        routing.read_tokens(pipe, tmp_path / "nan.safetensors", 2)


def test_pinning_writes_the_commits(tmp_path, monkeypatch):
    path = tmp_path / "catalog.toml"
    path.write_text(catalog.CATALOG.read_text())
    monkeypatch.setattr(
        catalog.HfApi, "model_info", lambda self, repo: SimpleNamespace(sha=f"{abs(hash(repo)):040x}"[:40])
    )
    assert len(catalog.pin(path)) == 12 and catalog.pin(path) == []
    assert (
        all(len(a.revision) == 40 for a in catalog.catalog("sdxl", path))
        and catalog.catalog("embedded", path)[0].revision is None
    )
