"""LoRA by the denoising loss, on pictures of labelled people: one adapter a class of some attributes. SDXL-Inc and SDXL-Div (arXiv 2402.01002) are two such trainings, on
balanced and on varied faces (see `inc` and `div`).

All adapters are trained in one run: each sample of a mixed batch goes through its own adapters (see `adapters.Router`), so that no step serves one adapter alone.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import DiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from fairdemo import models
from fairdemo.adapters import Adapter, Factors, Router
from fairdemo.attributes import ATTRIBUTES, TARGET_CLASSES, band
from fairdemo.faces.labelled import Labelled, read_labelled
from fairdemo.generate import PairedGenerator
from fairdemo.training import lora, settings
from fairdemo.training.folder import Folder, sheet_of
from fairdemo.training.losses import denoising_loss
from fairdemo.training.steps import Course, warm_cosine
from fairdemo.vision import to_tensor

Captions = Callable[[np.ndarray, np.random.Generator], list[str]]  # texts for rows


@dataclass(frozen=True)
class Config:
    """A run. `by` are the attributes that an adapter stands for a class of. `data` is a folder with labels.csv (image, race, gender, age, and prompt if there is one) or a dataset
    of the Hub; the embedded world draws its own if it is empty. `gamma` weighs times by min-SNR (0: all alike); `ema` is the weights' moving average; `strength` multiplies what
    was trained when it is saved; `limit` pictures are used at most."""

    by: tuple[str, ...]
    data: str = ""
    rank: int = 4
    iterations: int = 1000
    batch: int = 8
    peak: float = 1e-3
    gamma: float = 5.0
    ema: float = 0.0
    strength: float = 1.0
    limit: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.by or len(set(self.by)) < len(self.by) or set(self.by) - set(ATTRIBUTES):
            raise ValueError(f"by is {list(self.by)}; expected some of {', '.join(ATTRIBUTES)}")
        settings.check_bounds(
            self,
            (
                ("rank", 1, 256),
                ("iterations", 1, 10**7),
                ("batch", 1, 4096),
                ("peak", 0, 1),
                ("gamma", 0, 1000),
                ("ema", 0, 0.99999),
                ("strength", 0, 10),
                ("limit", 1, 10**8),
                ("seed", 0, 2**31),
            ),
        )

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The adapters by name, each with the classes it stands for."""
        return {" ".join(cell): cell for cell in itertools.product(*(TARGET_CLASSES[a] for a in self.by))}


def read_config(path: Path | None, defaults: Config) -> Config:
    """A run's TOML file over its defaults; ValueError names what is wrong with it."""
    return defaults if path is None else settings.read(path, Config, partial(replace, defaults))


def fresh_factors(net: UNet2DConditionModel, names: list[str], rank: int, seed: int) -> dict[str, Factors]:
    """LoRA factors on every attention projection, as the published adapters have them: A random, B zero."""
    generator = torch.Generator().manual_seed(seed)
    layers = {n: m for n, m in net.named_modules() if isinstance(m, nn.Linear) and ".attn" in n}
    return {name: lora.fresh_factors(layers, rank, generator) for name in names}


def conditioning(
    pipe: DiffusionPipeline, texts: list[str], rng: np.random.Generator, size: int
) -> tuple[torch.Tensor, dict[str, torch.Tensor] | None]:
    """Text for the U-Net: states (n, 77, d), and for SDXL what is added to its times. So that guidance works, 8 % of the texts become the pipeline's own empty negative
    prompt (Ho and Salimans 2022), and 2 % the empty string."""
    dropped = rng.random(len(texts))
    written = ["" if d < 0.02 else t for t, d in zip(texts, dropped)]
    keep = torch.from_numpy(((dropped < 0.02) | (dropped >= 0.10)).astype(np.float32))
    device = pipe.unet.device
    states, empty, *pooled = pipe.encode_prompt(
        prompt=written, device=device, num_images_per_prompt=1, do_classifier_free_guidance=True
    )
    keep = keep.to(device)
    states = torch.where(keep[:, None, None] > 0, states, empty)
    if not pooled:
        return states, None
    ids = torch.tensor([[size, size, 0, 0, size, size]], dtype=states.dtype, device=device).expand(
        len(texts), -1
    )
    return states, {"text_embeds": torch.where(keep[:, None] > 0, *pooled), "time_ids": ids}


def train(
    pipe: DiffusionPipeline,
    names: list[str],
    latents: torch.Tensor,
    adapters_of: list[list[tuple[str, ...]]],
    captions: Captions,
    config: Config,
    checkpoint: Path,
    dtype: torch.dtype = torch.bfloat16,
) -> Iterator[tuple[int, int, float, Router]]:
    """Trains the adapters `names`; yields (step, steps, loss, router), the last one with averaged weights if the config has an average.

    `latents` (n, 2, c, h, w) holds images and mirror images; `adapters_of[row]` lists the combinations of adapters that may draw a row; `captions` gives texts for rows.
    `checkpoint` is written every 100 steps and resumed from if it exists. ValueError if the loss is not a number.
    """
    net, scheduler = pipe.unet.requires_grad_(False).train(), pipe.scheduler
    device = net.device
    if device.type == "cpu":
        net.set_attn_processor(AttnProcessor())  # faster than fused attention for so few tokens on a CPU
    router = Router(net, fresh_factors(net, names, config.rank, config.seed))
    course = Course(lora.trainable(router), config.peak, config.ema, checkpoint)
    size = latents.shape[-1] * pipe.vae_scale_factor
    alpha_bar = scheduler.alphas_cumprod
    for step in range(
        min(course.step, config.iterations - 1), config.iterations
    ):  # at least one, so that a finished training still ends with its router
        rng = np.random.default_rng([config.seed, step])
        torch.manual_seed(config.seed * 1_000_003 + step)
        rows = rng.integers(len(latents), size=config.batch)
        z = latents[rows, rng.integers(2, size=config.batch)].float().to(device)
        routes = [adapters_of[r][rng.integers(len(adapters_of[r]))] for r in rows]
        texts = captions(rows, rng)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32), router.routed(routes):
            with torch.no_grad():
                states, added = conditioning(pipe, texts, rng, size)
            t = torch.from_numpy(rng.integers(0, len(alpha_bar), config.batch))
            a, noise = alpha_bar[t].float().to(device), torch.randn(z.shape).to(device)
            noisy = a.sqrt().view(-1, 1, 1, 1) * z + (1 - a).sqrt().view(-1, 1, 1, 1) * noise
            out = net(noisy.to(states.dtype), t.to(device), states, added_cond_kwargs=added).sample
        loss = denoising_loss(out.float(), z, noise, a, scheduler.config.prediction_type, config.gamma).mean()
        if not loss.isfinite():
            raise ValueError(
                f"the loss of step {step + 1} is not a number; step {course.kept} is kept in {str(checkpoint)!r}. Try a lower peak than {config.peak}"
            )
        loss.backward()
        course.descend(config.peak * warm_cosine(step, config.iterations))
        if (step + 1) % 100 == 0 or step + 1 == config.iterations:
            course.keep()
        if step + 1 == config.iterations:
            course.finish()
        yield step + 1, config.iterations, loss.item(), router
    net.eval()


@torch.no_grad()
def encoded(pipe: DiffusionPipeline, images: np.ndarray, batch: int = 16) -> torch.Tensor:
    """Posterior means, at the scale that the sampler works in, of uint8 images (n, h, w, 3) and their mirror images: float16 (n, 2, c, h / 8, w / 8)."""
    vae, parts = pipe.vae, []
    for i in range(0, len(images), batch):
        x = to_tensor(images[i : i + batch]).to(vae.device, vae.dtype)
        parts.append(
            torch.stack([vae.encode(side).latent_dist.mean for side in (x, x.flip(-1))], 1)
            * vae.config.scaling_factor
        )
    return torch.cat(parts).half().cpu()


def photographs(data: Labelled, size: int) -> tuple[list[int], np.ndarray]:
    """The rows whose picture could be opened, and their middles as uint8 (n, size, size, 3)."""
    rows, images = [], []
    for i, image in enumerate(data.images()):
        if image is not None:
            side = min(image.size)
            box = (
                (image.width - side) // 2,
                (image.height - side) // 2,
                (image.width + side) // 2,
                (image.height + side) // 2,
            )
            rows.append(i)
            images.append(np.asarray(image.resize((size, size), Image.Resampling.LANCZOS, box=box)))
    return rows, np.stack(images) if images else np.empty((0, size, size, 3), np.uint8)


def labelled_faces(
    pipe: DiffusionPipeline, config: Config, size: int, cache: Path
) -> tuple[list[dict[str, str]], torch.Tensor]:
    """Labels (race, gender, age band, prompt) and latents (n, 2, c, h, w) of the config's data; ValueError if no picture opens, or a class has none."""
    data = read_labelled(config.data, config.limit)
    rows = [{**row, "age": band(row["age"])} for row in data.table.to_dict("records")]
    seen = {" ".join(row[a] for a in config.by) for row in rows}
    missing = [name for name in config.groups if name not in seen]
    if missing:
        raise ValueError(
            f"{config.data!r} has no picture of {', '.join(missing)}; every class that gets an adapter needs some"
        )
    if cache.is_file():
        kept = load_file(cache)
        return [rows[i] for i in kept["rows"].tolist()], kept["z"]
    opened, images = photographs(data, size)
    if not opened:
        raise ValueError(f"none of the {len(rows)} pictures of {config.data!r} can be opened")
    z = encoded(pipe, images)
    save_file({"z": z, "rows": torch.tensor(opened)}, cache)
    return [rows[i] for i in opened], z


def run(
    profile: str,
    config: Config,
    out: Path,
    method: str,
    drawn: Callable[[DiffusionPipeline], tuple[list[dict[str, str]], torch.Tensor, Captions]],
    effect: Callable[[models.Profile, DiffusionPipeline, Router, dict[str, tuple[str, ...]]], str],
) -> list[Path]:
    """A whole run into the folder `out`, resumed if it was started: log, curves, a picture of every adapter's faces, and at the end the adapters with card and catalog. `drawn` makes
    the embedded world's people (labels, latents and captions) where the config has no data; `effect` measures what was trained, for the card. `method` is what the app calls the
    adapters together, empty for the mix. Returns the adapters' files."""
    chosen, device = models.profile(profile), models.default_device()
    devices = Accelerator(cpu=device == "cpu", log_with="all", project_dir=out)
    with Folder(
        out, {**asdict(config), "profile": chosen.name}, ("loss",), config.iterations, devices
    ) as folder:
        pipe = models.load_pipeline(chosen, device)
        models.place(pipe, device)
        if config.data:
            rows, z = labelled_faces(pipe, config, chosen.size, out / "latents.safetensors")
            captions: Captions = lambda picked, rng: [
                rows[i].get("prompt") or "a photo of a person" for i in picked
            ]  # noqa: E731
        elif chosen.name == "embedded":
            rows, z, captions = drawn(pipe)
        else:
            raise ValueError(
                f"profile {profile!r} has no faces of its own to train on; name a folder with labels.csv, or a dataset of the Hub, with --data"
            )
        routes = [[(" ".join(row[a] for a in config.by),)] for row in rows]
        dtype = models.compute_dtype(torch.device(device).type)
        names = list(config.groups)
        for step, _, loss, router in train(
            pipe, names, z, routes, captions, config, out / "checkpoint.pt", dtype
        ):
            folder.write(step, {"loss": loss})
            if step % 200 == 0 or step == config.iterations:
                pipe.unet.eval()
                folder.picture(step, lambda: sheet(chosen, pipe, router))
                pipe.unet.train(step < config.iterations)
        layers = {name: lora.tensors(router, name, config.strength) for name in names}
        files = {name: f"{name.replace(' ', '_')}.safetensors" for name in names}
        for name in names:
            pipe.save_lora_weights(out, unet_lora_layers=layers[name], weight_name=files[name])
        prefix = f"{out.name}: " if method else ""
        made = [
            Adapter(
                prefix + name,
                chosen.adapters,
                files[name],
                config.groups[name],
                1.0,
                "Apache-2.0",
                "fairdemo train",
                method=method,
                home=out.resolve(),
            )
            for name in names
        ]
        folder.card(
            chosen,
            made,
            f"LoRA of rank {config.rank} on the U-Net's attention, by {' and '.join(config.by)}; {config.iterations} steps of {config.batch} samples, denoising loss "
            f"(min-SNR {config.gamma:g}), seed {config.seed}. Trained on {len(rows)} pictures: {config.data or 'people drawn by this project'}.\n\n{effect(chosen, pipe, router, config.groups)}",
        )
    return [out / file for file in files.values()]


def sheet(profile: models.Profile, pipe: DiffusionPipeline, router: Router, n: int = 6) -> Image.Image:
    """A row of n faces of each adapter, under one of the baseline's, from the same noise."""
    generator = PairedGenerator(pipe, router, profile, str(pipe.unet.device))
    rows = [(), *((name,) for name in router.names)]
    images = generator.draw(
        "a photo of a person",
        3,
        [(i, names) for names in rows for i in range(n)],
        profile.steps,
        profile.guidance,
    )
    return sheet_of(images, n)
