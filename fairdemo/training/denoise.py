"""LoRA by the denoising loss, on pictures of labelled people: one adapter a class of some attributes.
SDXL-Inc and SDXL-Div (arXiv 2402.01002) are two such trainings, on balanced and on varied faces (see `inc`
and `div`).

All adapters are trained in one run: each sample of a mixed batch goes through its own adapters (see
`routing.Router`), so that no step serves one adapter alone."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import DiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from diffusers.utils import make_image_grid
from PIL import Image
from pydantic import Field, field_validator
from safetensors.torch import load_file, save_file
from torch import nn

from fairdemo.checked import Real, Whole
from fairdemo.models import pipelines, profiles
from fairdemo.models.catalog import Adapter
from fairdemo.models.generating import PairedGenerator
from fairdemo.models.precision import autocast, default_device
from fairdemo.models.routing import Factors, Router
from fairdemo.models.sampling import by_default, through
from fairdemo.readers.labelled import Labelled, read_labelled
from fairdemo.readers.vision import to_tensor
from fairdemo.stats.attributes import ATTRIBUTES, TARGET_CLASSES, band
from fairdemo.training import lora, settings
from fairdemo.training.folder import Folder
from fairdemo.training.losses import denoising_loss
from fairdemo.training.settings import Settings
from fairdemo.training.steps import Course, adamw, warm_cosine

Captions = Callable[[np.ndarray, np.random.Generator], list[str]]  # texts for rows


class Config(Settings):
    """A run."""

    by: tuple[str, ...]  # the attributes that an adapter stands for a class of
    # A folder with labels.csv (image, race, gender, age, and prompt if there is one) or a dataset of the Hub;
    # empty: the faces that the model has of its own.
    data: str = ""
    rank: Annotated[Whole, Field(ge=1, le=256)] = 4
    iterations: Annotated[Whole, Field(ge=1, le=10**7)] = 1000
    batch: Annotated[Whole, Field(ge=1, le=4096)] = 8
    learning_rate: Annotated[Real, Field(ge=0, le=1)] = 1e-3  # the highest
    gamma: Annotated[Real, Field(ge=0, le=1000)] = 5.0  # weighs times by min-SNR; 0: all alike
    ema: Annotated[Real, Field(ge=0, le=0.99999)] = 0.0  # the weights' moving average
    strength: Annotated[Real, Field(ge=0, le=10)] = 1.0  # multiplies what was trained when it is saved
    limit: Annotated[Whole, Field(ge=1, le=10**8)] = 20_000  # pictures that are used at most
    seed: Annotated[Whole, Field(ge=0, le=2**31)] = 0

    @field_validator("by")
    @classmethod
    def _attributes(cls, by: tuple[str, ...]) -> tuple[str, ...]:
        if not by or len(set(by)) < len(by) or set(by) - set(ATTRIBUTES):
            raise ValueError(f"by is {list(by)}; expected some of {', '.join(ATTRIBUTES)}")
        return by

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The adapters by name, each with the classes it stands for."""
        return {" ".join(cell): cell for cell in itertools.product(*(TARGET_CLASSES[a] for a in self.by))}


# Of a model of full size: the rate of diffusers' own training of LoRA, and a batch that one GPU holds.
# Neither was tuned by this project.
LARGE = {"learning_rate": 1e-4, "batch": 4, "strength": 1.0}


def read_config(path: Path | None, defaults: Config) -> Config:
    """A run's TOML file over its defaults; ValueError names what is wrong with it."""
    return defaults if path is None else settings.read(path, Config, defaults.model_dump())


def fresh_factors(net: UNet2DConditionModel, names: list[str], rank: int, seed: int) -> dict[str, Factors]:
    """LoRA factors on every attention projection, as the published adapters have them: A random, B zero."""
    generator = torch.Generator().manual_seed(seed)
    layers = {n: m for n, m in net.named_modules() if isinstance(m, nn.Linear) and ".attn" in n}
    return {name: lora.fresh_factors(layers, rank, generator) for name in names}


def dropped(texts: list[str], rng: np.random.Generator) -> tuple[list[str], torch.Tensor]:
    """Captions of which some are dropped, so that guidance works (Ho and Salimans 2022): 2 % become the empty
    string, and 8 % are 0 in the second value (n,), which is 1 for the others."""
    chance = rng.random(len(texts))
    written = ["" if c < 0.02 else t for t, c in zip(texts, chance)]
    return written, torch.from_numpy(((chance < 0.02) | (chance >= 0.10)).astype(np.float32))


def conditioning(
    pipe: DiffusionPipeline, texts: list[str], rng: np.random.Generator, size: int
) -> tuple[torch.Tensor, dict[str, torch.Tensor] | None]:
    """Text for the U-Net: states (n, 77, d), and for SDXL what is added to its times. Dropped texts become
    the pipeline's own empty negative prompt."""
    written, keep = dropped(texts, rng)
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


@dataclass(frozen=True)
class TrainingSet:
    """Pictures and who they may train."""

    adapters: list[str]  # names of those to train
    latents: torch.Tensor  # (n, 2, c, h, w): each picture and its mirror image
    routes: list[list[tuple[str, ...]]]  # of each picture, the combinations of adapters that may draw it
    captions: Captions


def train(
    pipe: DiffusionPipeline,
    data: TrainingSet,
    config: Config,
    checkpoint: Path,
) -> Iterator[tuple[int, int, float, Router]]:
    """Trains adapters; yields (step, steps, loss, router), the last one with averaged weights if the config
    has an average. `checkpoint` is written every 100 steps and resumed from if it exists. ValueError if the
    loss is not a number."""
    net, scheduler = pipe.unet.requires_grad_(False).train(), pipe.scheduler
    device = net.device
    if device.type == "cpu":
        net.set_attn_processor(AttnProcessor())  # faster than fused attention for so few tokens on a CPU
    router = Router(net, fresh_factors(net, data.adapters, config.rank, config.seed))
    factors = lora.trainable(router)
    course = Course(factors, [adamw(factors, config.learning_rate)], config.ema, checkpoint)
    latents, size = data.latents, data.latents.shape[-1] * pipe.vae_scale_factor
    alpha_bar = scheduler.alphas_cumprod
    # At least one step, so that a finished training still ends with its router.
    for step in range(min(course.step, config.iterations - 1), config.iterations):
        rng = np.random.default_rng([config.seed, step])
        torch.manual_seed(config.seed * 1_000_003 + step)
        rows = rng.integers(len(latents), size=config.batch)
        z = latents[rows, rng.integers(2, size=config.batch)].float().to(device)
        routes = [data.routes[r][rng.integers(len(data.routes[r]))] for r in rows]
        texts = data.captions(rows, rng)
        with autocast(device.type), router.routed(routes):
            with torch.no_grad():
                states, added = conditioning(pipe, texts, rng, size)
            t = torch.from_numpy(rng.integers(0, len(alpha_bar), config.batch))
            a, noise = alpha_bar[t].float().to(device), torch.randn(z.shape).to(device)
            noisy = a.sqrt().view(-1, 1, 1, 1) * z + (1 - a).sqrt().view(-1, 1, 1, 1) * noise
            out = net(noisy.to(states.dtype), t.to(device), states, added_cond_kwargs=added).sample
        loss = denoising_loss(out.float(), z, noise, a, scheduler.config.prediction_type, config.gamma).mean()
        if not loss.isfinite():
            raise ValueError(
                f"the loss of step {step + 1} is not a number; step {course.kept} is kept in"
                f" {str(checkpoint)!r}. Try a lower learning_rate than {config.learning_rate}"
            )
        loss.backward()
        course.descend(config.learning_rate * warm_cosine(step, config.iterations))
        if (step + 1) % 100 == 0 or step + 1 == config.iterations:
            course.keep()
        if step + 1 == config.iterations:
            course.finish()
        yield step + 1, config.iterations, loss.item(), router
    net.eval()


@torch.no_grad()
def encoded(pipe: DiffusionPipeline, images: np.ndarray, batch: int = 16) -> torch.Tensor:
    """Posterior means, at the scale that the sampler works in, of uint8 images (n, h, w, 3) and their
    mirror images: float16 (n, 2, c, h / 8, w / 8)."""
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
    """Labels (race, gender, age band, prompt) and latents (n, 2, c, h, w) of the config's data; ValueError
    if no picture opens, or a class has none."""
    data = read_labelled(config.data, config.limit)
    rows = [{**row, "age": band(row["age"])} for row in data.table.to_dict("records")]
    seen = {" ".join(row[a] for a in config.by) for row in rows}
    missing = [name for name in config.groups if name not in seen]
    if missing:
        raise ValueError(
            f"{config.data!r} has no picture of {', '.join(missing)}; every class that gets an adapter needs"
            " some"
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


@dataclass(frozen=True)
class Kind:
    """What sets one training apart from another."""

    method: str  # what the app calls its adapters together; empty: they join the mix
    # what was trained, measured in words
    effect: Callable[[PairedGenerator, dict[str, tuple[str, ...]]], str]


People = tuple[list[dict[str, str]], torch.Tensor, Captions]  # labels, latents (n, 2, c, h, w), captions
OwnPeople = Callable[[DiffusionPipeline], People]  # the faces that a model has of its own


def run(profile: str, config: Config, out: Path, kind: Kind, own: OwnPeople | None = None) -> list[Path]:
    """A whole run into the folder `out`, resumed if it was started: log, curves, a picture of every
    adapter's faces, and at the end the adapters with card and catalog. `own` are the people of a model that
    has some, where the config has no data. Returns the adapters' files."""
    chosen, device = profiles.profile(profile), default_device()
    devices = Accelerator(cpu=device == "cpu", log_with="all", project_dir=out)
    kept = {**config.model_dump(), "profile": chosen.name}
    with Folder(out, kept, ("loss",), config.iterations, devices) as folder:
        pipe = pipelines.load_pipeline(chosen, device)
        pipelines.place(pipe, device)
        people = people_of(pipe, config, chosen, out, own)
        generator = trained(pipe, people, config, chosen, folder)
        made = saved(generator, config, out, kind.method)
        folder.card(chosen, made, card(config, len(people[0]), kind.effect(generator, config.groups)))
    return [out / adapter.file for adapter in made]


def people_of(
    pipe: DiffusionPipeline, config: Config, profile: profiles.Profile, out: Path, own: OwnPeople | None
) -> People:
    """Labelled faces to train on; ValueError if there are none."""
    if config.data:
        rows, z = labelled_faces(pipe, config, profile.size, out / "latents.safetensors")
        return rows, z, lambda picked, rng: [rows[i].get("prompt") or "a photo of a person" for i in picked]
    if own is None:
        raise ValueError(
            f"profile {profile.name!r} has no faces of its own to train on; name a folder with labels.csv, or"
            " a dataset of the Hub, with --data"
        )
    return own(pipe)


def trained(
    pipe: DiffusionPipeline, people: People, config: Config, profile: profiles.Profile, folder: Folder
) -> PairedGenerator:
    """Trains all adapters; what draws with them."""
    rows, z, captions = people
    routes = [[(" ".join(row[a] for a in config.by),)] for row in rows]
    data = TrainingSet(list(config.groups), z, routes, captions)
    router = Router(pipe.unet, {})
    for step, _, loss, router in train(pipe, data, config, folder.path / "checkpoint.pt"):
        folder.write(step, {"loss": loss})
        if step % 200 == 0 or step == config.iterations:
            pipe.unet.eval()
            generator = PairedGenerator(pipe, router, profile, str(pipe.unet.device))
            folder.picture(step, lambda generator=generator: sheet(generator))
            pipe.unet.train(step < config.iterations)
    return PairedGenerator(pipe, router, profile, str(pipe.unet.device))


def saved(generator: PairedGenerator, config: Config, out: Path, method: str) -> list[Adapter]:
    """Writes each adapter's file; the catalog's entries."""
    made = []
    for name, cell in config.groups.items():
        file = f"{name.replace(' ', '_')}.safetensors"
        layers = lora.tensors(generator.router, name, config.strength)
        generator.pipeline.save_lora_weights(out, unet_lora_layers=layers, weight_name=file)
        made.append(
            Adapter(
                name=f"{out.name}: {name}",  # a catalog may have one of the same name
                base=generator.profile.adapters,
                file=file,
                cell=cell,
                weight=1.0,
                license="Apache-2.0",
                source="fairdemo train",
                method=method,
                home=out.resolve(),
            )
        )
    return made


def card(config: Config, pictures: int, effect: str) -> str:
    """The model card's words on what was trained and what it does."""
    return (
        f"LoRA of rank {config.rank} on the U-Net's attention, by {' and '.join(config.by)};"
        f" {config.iterations} steps of {config.batch} samples, denoising loss (min-SNR {config.gamma:g}),"
        f" seed {config.seed}. Trained on {pictures} pictures:"
        f" {config.data or 'people drawn by this project'}.\n\n{effect}"
    )


def sheet(generator: PairedGenerator, n: int = 6) -> Image.Image:
    """A row of n faces of each adapter, under one of the baseline's, from the same noise."""
    routes = [(), *((name,) for name in generator.router.names)]
    setting = by_default(generator.profile, "a photo of a person", 3)
    return make_image_grid(generator.draw(setting, through(routes, n)), len(routes), n)
