"""Profiles, loaders and routing for both model families: small models of the real classes, in the real
layout."""

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from fairdemo.cli import main
from fairdemo.experiments import bench
from fairdemo.models import catalog, hub, pipelines, profiles, routing
from fairdemo.models.generating import PairedGenerator, fitting
from fairdemo.models.gpu import Watch
from fairdemo.models.sampling import Sample, Setting, through
from fairdemo.stats.mix import Source
from tests import small_models
from tests.small_models import ATTENTION, adapter, lora, save_lora, save_profile

FAMILIES = tuple(pipelines.FAMILIES)
SAMPLES = [(), ("one",), ("words",), ("one", "two"), ("two",), ("one", "two", "words")]
TURNS = [Sample(i, Source(names)) for i, names in enumerate(SAMPLES)]


@pytest.fixture(scope="module", params=FAMILIES)
def made(request, tmp_path_factory):
    """A profile of a family with three adapters: attention as published; attention and convolutions in
    PEFT's names; both sorts of network with text encoders."""
    folder, family = tmp_path_factory.mktemp(request.param), request.param
    path = save_profile(folder, family)
    pipe = small_models.pipeline(family)
    encoders = {
        name: lora(getattr(pipe, name), r"(q_proj|k_proj|v_proj|out_proj|fc1)$", 5)
        for name in ("text_encoder", "text_encoder_2")
        if hasattr(pipe, name)
    }
    files = {
        "one": save_lora(folder / "one.safetensors", {"unet": lora(pipe.unet, ATTENTION, 1)}),
        "two": save_lora(
            folder / "two.safetensors",
            {"unet": lora(pipe.unet, ATTENTION + r"|proj_in|resnets\.0\.conv1|time_emb_proj", 2, rank=2)},
            peft=True,
        ),
        "words": save_lora(
            folder / "words.safetensors", {"unet": lora(pipe.unet, r"attn2\.to_k$", 3)} | encoders
        ),
    }
    cells = {"one": ("Asian", "Female"), "two": ("old",), "words": ()}
    with path.open("a") as file:
        for name, f in files.items():
            file.write(
                f'\n[[adapter]]\nname = "{name}"\nbase = "tiny-{family}"\nfile = "{f.name}"\ncell ='
                f' {list(cells[name])}\nweight = 0.8\nlicense = "none"\nsource = "a test"\n'
            )
    return profiles.profile(str(path)), files


def generator(profile) -> PairedGenerator:
    pipe = pipelines.load_pipeline(profile, "cpu")
    router = routing.attach(pipe, catalog.of_profile(profile))
    pipelines.place(pipe, "cpu")
    return PairedGenerator(pipe, router, profile, "cpu")


class Plain:
    """The reference: diffusers' own way, `set_adapters` before a single image."""

    def __init__(self, profile, files):
        self.pipe = pipelines.load_pipeline(profile, "cpu")
        for name, file in files.items():
            self.pipe.load_lora_weights(file.parent, weight_name=file.name, adapter_name=name)
        # It turns an autoencoder that overflows into float32 by itself.
        self.pipe.vae.to(self.pipe.unet.dtype)

    def draw(self, names, slot, seed, steps, guidance):
        if names:
            self.pipe.enable_lora()
            self.pipe.set_adapters(list(names), [0.8] * len(names))
        else:
            self.pipe.disable_lora()
        noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed * 1_000_003 + slot)).to(
            self.pipe.unet.dtype
        )
        return self.pipe(
            "a photo of a doctor",
            latents=noise,
            num_inference_steps=steps,
            guidance_scale=guidance,
            height=64,
            width=64,
        ).images[0]


@pytest.mark.parametrize("dtype, close", [("float32", 1), ("bfloat16", 40), ("float16", 8)])
def test_a_mixed_batch_is_set_adapters_before_each_image(made, dtype, close):
    profile, files = made[0].but(dtype=dtype), made[1]
    ours, plain = generator(profile), Plain(profile, files)
    for guidance in (1.0, 3.0):
        drawn = ours.draw(Setting("a photo of a doctor", 3, 3, guidance), TURNS)
        for slot, names in enumerate(SAMPLES):
            gap = np.abs(
                np.asarray(drawn[slot]).astype(int) - np.asarray(plain.draw(names, slot, 3, 3, guidance))
            )
            assert gap.max() <= close, f"{names} differs by {gap.max()} with guidance {guidance}"
    pictures = [
        np.asarray(im).astype(int)
        for im in ours.draw(Setting("a photo of a doctor", 3, 3, 3.0), through(SAMPLES, 1))
    ]
    assert min(np.abs(a - b).mean() for i, a in enumerate(pictures) for b in pictures[:i]) > 0.5, (
        "every combination draws a picture of its own"
    )


def test_a_batch_may_hold_other_words_and_edits_beside_adapters(made):
    """Each sample is what it is when drawn alone with its own prompt; an edit that puts in another text's
    embeddings draws that text."""
    ours = generator(made[0].but(dtype="float32"))
    doctor, nurse = Setting("a photo of a doctor", 3, 3, 3.0), Setting("a photo of a nurse", 3, 3, 3.0)
    other = ours.encode("a photo of a nurse", [Source()], 3.0)
    ours.edits["nursed"] = lambda text, chance: other
    ours.writers["nurse"] = lambda prompt, cell: prompt.replace("doctor", "nurse")
    sources = [
        Source(),
        Source(writer="nurse"),
        Source(("one",), writer="nurse"),
        Source(("words",), writer="nurse"),
        Source(edits=("nursed",)),
        Source(("one",), edits=("nursed",)),
    ]
    alone = [
        (doctor, ()),
        (nurse, ()),
        (nurse, ("one",)),
        (nurse, ("words",)),
        (nurse, ()),
        (nurse, ("one",)),
    ]
    together = ours.draw(doctor, [Sample(5, source) for source in sources])
    for image, (setting, names) in zip(together, alone):
        (single,) = ours.draw(setting, [Sample(5, Source(names))])
        assert np.abs(np.asarray(image).astype(int) - np.asarray(single)).max() <= 1
    with pytest.raises(ValueError, match="edit 'gone' is unknown; there are nursed"):
        ours.draw(doctor, [Sample(0, Source(edits=("gone",)))])
    with pytest.raises(ValueError, match="writer 'nobody' is unknown; there are nurse"):
        ours.draw(doctor, [Sample(0, Source(writer="nobody"))])


def test_splitting_overlapping_and_running_out_of_memory_change_nothing(made, monkeypatch):
    profile, _ = made
    wanted = [Sample(i, Source(SAMPLES[i % len(SAMPLES)])) for i in range(10)]
    nurse = Setting("a photo of a nurse", 0, 2, 2.0)
    whole = generator(profile).draw(nurse, wanted)
    other = generator(profile)
    other.decoder = ThreadPoolExecutor(1)  # as on a GPU: decoding beside the next part's denoising
    other.most = 3
    sizes = []
    forward = other.pipeline.unet.forward

    def tight(sample, *args, **kwargs):
        sizes.append(len(sample))
        if len(sample) > 4:  # two images with guidance
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(other.pipeline.unet, "forward", tight)
    decode, tries = other.decode, []

    def decodes(latents):
        tries.append(len(latents))
        if len(tries) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(latents)

    monkeypatch.setattr(other, "decode", decodes)
    shares = []
    split = other.draw(nurse, wanted, Watch(shares.append))
    assert max(sizes) == 6 and sizes[-1] <= 4 and shares == sorted(shares) and shares[-1] == 1
    assert sum(tries) > 10, "what ran out of memory beside the drawing was decoded again"
    assert all(np.abs(np.asarray(a).astype(int) - np.asarray(b)).max() <= 1 for a, b in zip(whole, split))
    monkeypatch.setattr(
        other.pipeline.unet,
        "forward",
        lambda *args, **kwargs: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory")),
    )
    with pytest.raises(ValueError, match="drawing one image of 64 px.*memory ran out"):
        other.draw(nurse, wanted)


def test_batches_are_as_large_as_free_memory_allows():
    assert fitting(24, None, 0, 10) == 10
    assert fitting(24, 8e9, 0, 10) == 2, "learns from two first"
    assert fitting(24, 8e9, 1e9, 10) == 6
    assert fitting(24, 8e9, 1e9, 4) == 4
    assert fitting(3, 8e9, 1e8, 10) == 3
    assert fitting(24, 1e6, 1e9, 10) == 1, "one is always tried"


def test_compiled_models_take_every_mix(made):
    profile, _ = made
    wanted, pilot = TURNS, Setting("a photo of a pilot", 0, 2, 2.0)
    plain = generator(profile).draw(pilot, wanted)
    compiled = generator(profile.but(compile="aot_eager"))
    for part in (wanted[:1], wanted, wanted[::-1], wanted[2:3]):
        for sample, image in zip(part, compiled.draw(pilot, part)):
            assert np.abs(np.asarray(image).astype(int) - np.asarray(plain[sample.slot])).max() <= 2


def test_distilled_weights_and_another_sampler(tmp_path):
    path = save_profile(tmp_path, "sdxl", unet="./fast", unet_file="fast.safetensors", guidance=1.0, steps=4)
    fast = small_models.pipeline("sdxl", seed=9).unet
    (tmp_path / "fast").mkdir()
    save_file(fast.state_dict(), tmp_path / "fast" / "fast.safetensors")
    with path.open("a") as file:
        file.write('scheduler = {name = "EulerDiscreteScheduler", timestep_spacing = "trailing"}\n')
    pipe = pipelines.load_pipeline(profiles.profile(str(path)), "cpu")
    assert (
        torch.equal(pipe.unet.conv_in.weight, fast.conv_in.weight)
        and pipe.scheduler.config.timestep_spacing == "trailing"
    )
    (tmp_path / "fast" / "fast.safetensors").write_bytes(
        (tmp_path / "fast" / "fast.safetensors").read_bytes()[:5000]
    )
    with pytest.raises(ValueError, match="fast.safetensors.*damaged or incomplete$"):
        pipelines.load_pipeline(profiles.profile(str(path)), "cpu")


def test_half_precision_keeps_the_autoencoder_that_overflows_in_float32(tmp_path):
    path = save_profile(tmp_path, "sdxl", dtype="float16")
    pipe = pipelines.load_pipeline(profiles.profile(str(path)), "cpu")
    assert pipe.unet.dtype == torch.float16 and pipe.vae.dtype == torch.float32


def test_the_published_adapters_have_the_layout_that_is_tested():
    """23.4 MB at rank 4 on every attention projection of the full-size U-Net, as the published files are."""
    with torch.device("meta"):
        unet = bench.full_size_unet()
        factors = lora(unet, ATTENTION, 0)
    assert len(factors) == 560
    assert sum(4 * f.numel() for pair in factors.values() for f in pair) == pytest.approx(23.2e6, rel=0.02)


def test_kohya_files_with_alphas_open_too(made, tmp_path):
    profile, _ = made
    if profile.family != "sd15":
        pytest.skip("one family is enough")
    pipe = pipelines.load_pipeline(profile, "cpu")
    layers = lora(pipe.unet, r"attn1\.to_q$", 1)
    state = {}
    for layer, (down, up) in layers.items():
        key = "lora_unet_" + layer.replace(".", "_")
        state |= {
            f"{key}.lora_down.weight": down,
            f"{key}.lora_up.weight": up,
            f"{key}.alpha": torch.tensor(2.0),
        }
    save_file(state, tmp_path / "kohya.safetensors")
    read = routing.read_factors(pipe, tmp_path / "kohya.safetensors")
    assert set(read) == {f"unet.{layer}" for layer in layers}
    for layer, (down, up) in layers.items():
        a, b = read[f"unet.{layer}"]
        assert torch.allclose(b @ a, 0.5 * up @ down, atol=1e-6), "alpha 2 at rank 4 halves it"


@pytest.mark.parametrize("part", ["text_encoder", "unet"])
def test_the_aligned_adapters_of_their_authors_open_as_anybodys_file(tmp_path, capsys, part):
    """Rank 4 in the layout of their exported checkpoints, which don't say what part of the model they are of;
    the .pth itself is refused, with how to make it safe."""
    path = save_profile(tmp_path, "sd15")
    profile = profiles.profile(str(path))
    pipe = pipelines.load_pipeline(profile, "cpu")
    state = {}
    if part == "text_encoder":
        layers = lora(pipe.text_encoder, r"(q_proj|k_proj|v_proj|out_proj|fc1|fc2)$", 1)
        names = {
            layer: f"text_model.{layer.removeprefix('text_model.')}.lora_linear_layer" for layer in layers
        }
    else:
        layers = lora(pipe.unet, ATTENTION, 1)
        names = {layer: re.sub(r"\.to_(\w+)(\.0)?$", r".processor.to_\1_lora", layer) for layer in layers}
    for layer, (down, up) in layers.items():
        state |= {
            f"{names[layer]}.down.weight": down.contiguous(),
            f"{names[layer]}.up.weight": up.contiguous(),
        }
    save_file(state, tmp_path / f"{part}_lora_EMA.safetensors")
    read = routing.read_factors(pipe, tmp_path / f"{part}_lora_EMA.safetensors")
    assert set(read) == {f"{part}.{layer}" for layer in layers}
    for layer, (down, up) in layers.items():
        a, b = read[f"{part}.{layer}"]
        assert torch.allclose(b @ a, up @ down, atol=1e-6)
    torch.save(state, tmp_path / f"{part}_lora_EMA.pth")
    own = tmp_path / "mine.toml"
    command = ["adapters", "add", str(tmp_path / f"{part}_lora_EMA.safetensors"), "--base", str(path)]
    command += ["--name", "published", "--method", "published: gender", "--catalog", str(own)]
    assert main(command) == 0, capsys.readouterr().err
    assert 'method = "published: gender"' in own.read_text()
    assert main([*command[:2], str(tmp_path / f"{part}_lora_EMA.pth"), *command[3:]]) == 2
    assert "pickle files can run code and are never loaded" in capsys.readouterr().err


def test_adapters_for_another_base_are_refused_and_leave_nothing_behind(tmp_path):
    sdxl, sd15 = small_models.pipeline("sdxl"), small_models.pipeline("sd15")
    before = {k: v.clone() for k, v in sdxl.unet.state_dict().items()}
    wrong = save_lora(tmp_path / "wrong.safetensors", {"unet": lora(sd15.unet, ATTENTION, 1)})
    with pytest.raises(ValueError, match="wrong.safetensors was made for another base model"):
        routing.read_factors(sdxl, wrong)
    foreign = save_lora(
        tmp_path / "foreign.safetensors",
        {"unet": {"no.such.attn1.to_q": (torch.zeros(4, 8), torch.zeros(8, 4))}},
    )
    with pytest.raises(ValueError, match="foreign.safetensors was made for another base model"):
        routing.read_factors(sdxl, foreign)
    after = sdxl.unet.state_dict()
    assert set(after) == set(before) and all(torch.equal(after[k], v) for k, v in before.items())


def test_weights_that_are_no_safetensors_are_refused(tmp_path):
    for name in ("adapter.bin", "adapter.ckpt", "adapter.pt", "adapter.pth"):
        (tmp_path / name).write_bytes(b"\x80\x04")
        with pytest.raises(ValueError, match="pickle files can run code"):
            hub.weights_file(tmp_path, name)
    good = save_lora(tmp_path / "good.safetensors", {"unet": {"a": (torch.zeros(4, 80), torch.zeros(80, 4))}})
    good.write_bytes(good.read_bytes()[:-100])
    with pytest.raises(ValueError, match="damaged or incomplete"):
        _ = adapter("x", "sdxl", "good.safetensors", home=tmp_path).path
    with pytest.raises(ValueError, match="gone.safetensors is missing"):
        _ = adapter("x", "sdxl", "gone.safetensors", home=tmp_path).path


@pytest.mark.parametrize(
    "line, message",
    [
        ('family = "flux"', "family is 'flux'; allowed are sdxl, sd15"),
        ("size = 1000000", "size is 1000000; 64 to 2048"),
        ("size = 100", "a multiple of 8"),
        ('steps = "many"', "steps is 'many'; expected a whole number from 2 to 100"),
        ("colour = 3", "unknown key 'colour'"),
        ('model = "someone/model"', "revision is None; a model from the Hub is pinned"),
        ('name = "../up"', "name is '../up'"),
        ("= =", "can't be read"),
    ],
)
def test_profiles_say_what_is_wrong_with_them(tmp_path, line, message):
    path = save_profile(tmp_path, "sdxl")
    key = line.split(" = ")[0]
    path.write_text(
        "\n".join([*(old for old in path.read_text().splitlines() if not old.startswith(f"{key} =")), line])
    )
    with pytest.raises(ValueError, match=message):
        profiles.profile(str(path))
    with pytest.raises(ValueError, match="can't be read"):
        profiles.profile(str(tmp_path / "gone.toml"))


def test_our_profiles_are_pinned_and_their_adapters_known():
    assert list(profiles.PROFILES) == ["embedded", "sdxl", "sdxl-lightning", "sd15"]
    published = catalog.of_profile(profiles.profile("sdxl"))
    assert len(published) == 12 and len({a.cell for a in published}) == 12
    assert all(a.repo.startswith("NYUAD-ComNets/") and a.file.endswith(".safetensors") for a in published)


def test_too_little_memory_is_said_before_loading(tmp_path, monkeypatch):
    profile = profiles.profile(str(save_profile(tmp_path, "sdxl")))
    monkeypatch.setattr(pipelines.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1000})())
    with pytest.raises(
        ValueError, match="needs about .* GB of memory and 0.0 GB are free.*profile embedded works"
    ):
        pipelines.load_pipeline(profile, "cpu")


def test_the_full_size_bench_runs_on_a_small_model(capsys):
    profile = profiles.profile("sdxl").but(size=64, steps=3, dtype="float32", suffix="")
    bench.real(lambda: small_models.pipeline("sdxl"), profile, pairs=2)
    printed = capsys.readouterr().out
    assert (
        "3 steps, guidance 5" in printed
        and "4 steps, guidance 1" in printed
        and "times the published way" in printed
    )
    assert float(printed.split("published way by ")[1].split(" of")[0]) < 0.01, "equal images"
    assert float(printed.split("no adapter by ")[1].split()[0]) > 0.5, "which adapters change"
