"""Distributional alignment (arXiv 2311.07604): finetunes LoRA on the U-Net, on the text encoders, or on both, so that what is drawn has the target distribution.

Each step draws images with the finetuned model and, from the same noise, with the frozen one; reads them; finds each image's target class by expected
optimal transport; and follows the losses' adjusted gradient.
"""

import json
import time
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F
from tqdm import tqdm

from fairdemo import models, targets
from fairdemo.adapters import Router, routable
from fairdemo.attributes import GENDERS, RACES, TARGET_CLASSES, band
from fairdemo.compare import Studio
from fairdemo.comparison import Face
from fairdemo.faces import FaceReader
from fairdemo.faces.embed import Backbone
from fairdemo.generate import PairedGenerator
from fairdemo.subject import SIDE, SubjectReader
from fairdemo.training import adjusted, lora, losses
from fairdemo.training.steps import descend, load_checkpoint, warm_cosine
from fairdemo.training.transport import expected_transport
from fairdemo.world import people
from fairdemo.world.portrait import draw

NAME = "align"  # of the adapter while it is trained
LAYERS = {"unet": (".attn",), "text_encoder": ("q_proj", "k_proj", "v_proj", "out_proj")}


@dataclass(frozen=True)
class Config:
    """A run; the defaults are the paper's (section 5 and appendix), but for what a model of 128 px needs less of. `parts` are what LoRA goes on;
    `prompts` are drawn in turn; `target` is the wanted distribution, over one attribute or several. `threshold` is C; `semantics` are lambda_img,1
    to 3 (no face; class stays; class changes); `realism` is lambda_face; `sampled` sampler steps an iteration are used for the gradient, all if 0."""

    prompts: tuple[str, ...]
    target: targets.Target
    parts: tuple[str, ...] = ("text_encoder", "text_encoder_2")
    rank: int = 50
    images: int = 24
    iterations: int = 300
    peak: float = 1e-3
    threshold: float = 0.8
    semantics: tuple[float, float, float] = (8.0, 8.0, 1.6)
    realism: float = 1.0
    sampled: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        targets.check(self.target)
        if not self.prompts or not self.target:
            raise ValueError("prompts and target of a run must not be empty")
        unknown = set(self.parts) - {"unet", "text_encoder", "text_encoder_2"}
        if unknown or not self.parts:
            raise ValueError(f"parts are {list(self.parts)}; expected some of unet, text_encoder, text_encoder_2")
        for key, low, high in (("rank", 1, 256), ("images", 2, 512), ("iterations", 1, 10**6), ("threshold", 0, 1), ("sampled", 0, 1000)):
            if not low <= getattr(self, key) <= high:
                raise ValueError(f"{key} is {getattr(self, key)}; {low} to {high} are allowed")


def read_config(path: Path) -> Config:
    """A run's TOML file; ValueError names what is wrong with it."""
    try:
        data: dict[str, Any] = tomllib.loads(path.read_text())
        unknown = set(data) - {f.name for f in fields(Config)}
        if unknown:
            raise ValueError(f"unknown key {sorted(unknown)[0]!r}; known are {', '.join(f.name for f in fields(Config))}")
        return Config(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})
    except (OSError, TypeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"config {str(path)!r} can't be used: {error}") from None


@dataclass
class SoftReader:
    """The classifier made differentiable: the same backbone on crops taken with a gradient, and logistic regressions in place of the machines, fitted to
    the machines' own readings of drawn faces. It is for training; what is measured is read by the classifier itself."""

    reader: FaceReader
    heads: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)  # attribute -> (weights (k, d), bias (k,))

    def fit(self, faces: list[Face], attributes: Iterable[str]) -> None:
        """Learns attributes from labelled faces; ages in bands. ValueError if a class was never drawn."""
        z = np.array([f.embedding for f in faces], float)
        for attribute in attributes:
            classes = TARGET_CLASSES[attribute]
            y = np.array([classes.index(band(f.age) if attribute == "age" else f.label(attribute)) for f in faces])
            if len(set(y)) < len(classes):
                raise ValueError(f"too few faces to learn {attribute} from: {', '.join(c for k, c in enumerate(classes) if k not in y)} were never drawn")
            model = LogisticRegression(C=10.0, max_iter=2000).fit(z, y)
            weights, bias = model.coef_, model.intercept_
            if len(classes) == 2:  # scikit-learn keeps one row for two classes
                weights, bias = np.stack([-weights[0], weights[0]]) / 2, np.array([-bias[0], bias[0]]) / 2
            self.heads[attribute] = (torch.tensor(weights, dtype=torch.float32), torch.tensor(bias, dtype=torch.float32))

    def boxes(self, images: list[Image.Image]) -> list[tuple[float, float, float, float] | None]:
        """The largest face of each image."""
        return [f[0].box if f else None for f in self.reader.detector.detect(images)]

    def embed(self, x: torch.Tensor, boxes: list[tuple[float, float, float, float]]) -> torch.Tensor:
        """Unit vectors (n, d) of the faces in images (n, 3, h, w) in [-1, 1], with a gradient to the pixels."""
        b: Backbone = self.reader.backbone
        h, w = x.shape[2:]
        theta = torch.zeros(len(x), 2, 3)
        for i, (left, top, right, bottom) in enumerate(boxes):
            half = max(right - left, bottom - top) * (0.5 + b.margin)
            theta[i] = torch.tensor([[2 * half / w, 0, (left + right) / w - 1], [0, 2 * half / h, (top + bottom) / h - 1]])
        crops = F.grid_sample(x, F.affine_grid(theta.to(x), [len(x), 3, b.side, b.side], align_corners=False), padding_mode="border", align_corners=False)
        mean, deviation = (torch.tensor(v).view(1, 3, 1, 1).to(x) for v in (b.mean, b.deviation))
        return F.normalize(b.network(((crops + 1) * 127.5 - mean) / deviation), dim=-1)

    def logits(self, z: torch.Tensor, attribute: str) -> torch.Tensor:
        weights, bias = (t.to(z) for t in self.heads[attribute])
        return z @ weights.T + bias


def teach(studio: Studio, config: Config, images: int = 16) -> SoftReader:
    """A soft reader for a profile, from `images` faces of each of its sources, read by its classifier. Reproducible from the seed alone."""
    reader, faces = SoftReader(studio.reader), []
    for k, slot in enumerate(tqdm(studio.sources, desc="reading what each adapter draws")):
        drawn = studio.generator.draw("a photo of a person", 77_000 + k, [(i, slot.adapters) for i in range(images)], studio.profile.steps, studio.profile.guidance)
        faces += [f[0] for f in studio.reader.read(drawn) if f]
    reader.fit(faces, config.target)
    return reader


def drawn_people(reader: FaceReader, n: int = 20) -> torch.Tensor:
    """Unit vectors (m, d) of the embedded world's true faces: n portraits of each race and gender. Real models take photographs instead."""
    rng = np.random.default_rng(5)
    who = [(r, g) for r in RACES for g in GENDERS for _ in range(n)]
    portraits = [Image.fromarray(draw(people.sample(rng, r, g, rng.uniform(22, 75)), 128, 3000 + i, 1.5)) for i, (r, g) in enumerate(tqdm(who, desc="drawing people"))]
    return torch.tensor(np.array([f[0].embedding for f in reader.read(portraits) if f]), dtype=torch.float32)


def joint_classes(target: targets.Target) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The target's attributes, its distribution over their combinations (K,), and each combination's classes (K, attributes)."""
    attributes = [a for a in TARGET_CLASSES if a in target]
    shares = [np.array([target[a][c] for c in TARGET_CLASSES[a]]) for a in attributes]
    whole = shares[0]
    for s in shares[1:]:
        whole = np.multiply.outer(whole, s)
    return attributes, whole.ravel(), np.stack(np.unravel_index(np.arange(whole.size), whole.shape), 1)


def fresh(generator: PairedGenerator, config: Config) -> Router:
    """A router with one adapter to train: A random, B zero."""
    random = torch.Generator().manual_seed(config.seed)
    model = routable(generator.pipeline).requires_grad_(False)
    layers = {name: m for name, m in model.named_modules() if isinstance(m, torch.nn.Linear) and (part := name.split(".")[0]) in config.parts
              and any(key in name for key in LAYERS[part.removesuffix("_2")])}
    router = Router(model, {NAME: lora.fresh_factors(layers, config.rank, random)}).to(generator.device)
    lora.trainable(router)
    return router


def decoded(generator: PairedGenerator, z: torch.Tensor) -> torch.Tensor:
    """Images (n, 3, h, w) in [-1, 1] of latents, with a gradient."""
    return generator.pipeline.vae.decode(generator.unscaled(z)).sample.float()


def pictures(x: torch.Tensor) -> list[Image.Image]:
    return [Image.fromarray(im) for im in ((x.detach().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()]


@dataclass
class Losses:
    """What one iteration saw: the losses, how many images had a face and a sure target, and how even the steps' gradients are."""

    alignment: float
    semantics: float
    realism: float
    faces: int
    sure: int
    norms: list[float]


def gradient(generator: PairedGenerator, reader: SoftReader, subjects: SubjectReader, bank: torch.Tensor, config: Config, prompt: str, seed: int) -> Losses:
    """Adds one iteration's adjusted gradient to the adapter's factors."""
    pipe, n, profile = generator.pipeline, config.images, generator.profile
    wanted = [(i, (NAME,)) for i in range(n)] + [(i, ()) for i in range(n)]
    with adjusted.recorded(pipe, range(n), 2 * n) as steps:
        z = generator.denoise(prompt, seed, wanted, profile.steps, profile.guidance).detach()
    z0 = z[:n].clone().requires_grad_()
    with torch.autocast(generator.device.type, generator.dtype, enabled=generator.mixed):
        with torch.no_grad():
            before = decoded(generator, z[n:])
        x = decoded(generator, z0)
        boxes, old = reader.boxes(pictures(x)), reader.boxes(pictures(before))
        has = [i for i in range(n) if boxes[i] is not None]
        vectors = reader.embed(x[has], [boxes[i] for i in has]) if has else x.new_zeros(0, bank.shape[1])
        attributes, target, classes = joint_classes(config.target)
        logits = {a: reader.logits(vectors.float(), a) for a in attributes}

        def joint(table: dict[str, torch.Tensor]) -> np.ndarray:
            p = np.ones((len(next(iter(table.values()))), 1))
            for a in attributes:
                p = (p[:, :, None] * torch.softmax(table[a].detach().float(), 1).double().cpu().numpy()[:, None]).reshape(len(p), -1)
            return p / p.sum(1, keepdims=True)

        wanted_class = np.full(n, losses.IGNORED)
        was = np.full(n, losses.IGNORED - 1)
        if has:
            wanted_class[has] = losses.dynamic_targets(expected_transport(joint(logits), target, seed=seed), config.threshold)
        seen = [i for i in range(n) if old[i] is not None]
        if seen:
            with torch.no_grad():
                earlier = reader.embed(before[seen], [old[i] for i in seen]).float()
                was[seen] = joint({a: reader.logits(earlier, a) for a in attributes}).argmax(1)
        sure = torch.tensor(wanted_class[has], dtype=torch.long)
        align = sum(losses.alignment_loss(logits[a], torch.where(sure == losses.IGNORED, sure, torch.tensor(classes[:, k])[sure])) for k, a in enumerate(attributes)) if has else x.sum() * 0
        weights = torch.tensor(losses.semantic_weights(wanted_class, was, np.array([b is not None for b in boxes]), config.semantics), dtype=torch.float32)
        looks, twins = (subjects.network(F.interpolate(im, (SIDE, SIDE), mode="area"))[0].float() for im in (x, before))
        meaning = losses.semantics_loss([looks], [twins], weights)
        real = losses.realism_loss(vectors.float(), bank)
        total = align + meaning + config.realism * real
    g = torch.autograd.grad(total, z0)[0].float()
    chosen = steps if not config.sampled else [steps[i] for i in sorted(np.random.default_rng([config.seed, seed]).choice(len(steps), min(config.sampled, len(steps)), replace=False))]
    samples: list[tuple[str, ...]] = [(NAME,)] * n

    with torch.autocast(generator.device.type, generator.dtype, enabled=generator.mixed):
        norms = adjusted.backward(pipe, chosen, lambda: conditioning(generator, prompt, samples), g * len(steps) / len(chosen), profile.guidance, lambda: generator.router.routed(samples))
    return Losses(align.item(), meaning.item(), real.item(), len(has), int((wanted_class != losses.IGNORED).sum()), norms)


def conditioning(generator: PairedGenerator, prompt: str, samples: list[tuple[str, ...]]) -> adjusted.Text:
    """The U-Net's text for each sample, with a graph to the adapter."""
    encoded = generator.encode(prompt, samples, generator.profile.guidance)
    guided = generator.profile.guidance > 1

    def whole(name: str) -> torch.Tensor | None:
        if encoded.get(name) is None:
            return None
        return torch.cat([encoded[f"negative_{name}"], encoded[name]]) if guided else encoded[name]

    return adjusted.Text(whole("prompt_embeds"), whole("pooled_prompt_embeds"))


def train(generator: PairedGenerator, reader: SoftReader, subjects: SubjectReader, bank: torch.Tensor, config: Config, checkpoint: Path) -> Iterator[tuple[int, Losses]]:
    """Trains the adapter in `generator.router` (see `fresh`); yields (iteration, losses). `checkpoint` is written every 10 iterations, and a run that was
    killed goes on from it with the same numbers that it would have had."""
    factors = lora.trainable(generator.router)
    rule = torch.optim.AdamW(factors, config.peak, betas=(0.9, 0.99), weight_decay=0.0)
    for step in range(lora.resume(checkpoint, factors, rule), config.iterations):
        prompt = config.prompts[np.random.default_rng([config.seed, step]).integers(len(config.prompts))]
        rule.zero_grad(set_to_none=True)
        seen = gradient(generator, reader, subjects, bank, config, prompt, config.seed * 1_000_000 + step)
        descend([rule], config.peak * warm_cosine(step, config.iterations, min(20, config.iterations // 10 + 1)))
        if (step + 1) % 10 == 0 or step + 1 == config.iterations:
            lora.keep(checkpoint, step + 1, factors, rule)
        yield step + 1, seen


COLUMNS = ("iteration", "alignment", "semantics", "realism", "faces", "sure", "seconds")


def run(studio: Studio, config: Config, out: Path, faces: torch.Tensor | None = None) -> Path:
    """A whole run into the folder `out`, resumed if it was started: `log.csv`, a picture of twins every 20 iterations, and at the end the adapter.
    `faces` are unit vectors of real faces; drawn people's if None, for the embedded world."""
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**asdict(config), "profile": studio.profile.name}, indent=1) + "\n"
    kept = out / "config.json"
    if kept.is_file() and kept.read_text() != text:
        raise ValueError(f"folder {str(out)!r} holds another run; name a new one, or the same config")
    kept.write_text(text)
    studio.load()
    reader = teach(studio, config)
    bank = drawn_people(studio.reader) if faces is None else faces
    generator = PairedGenerator(models.load_pipeline(studio.profile, studio.device), Router(torch.nn.Module(), {}), studio.profile, studio.device)
    models.place(generator.pipeline, studio.device)
    generator.router = fresh(generator, config)
    log = out / "log.csv"
    start = time.perf_counter()
    done = (load_checkpoint(out / "checkpoint.pt") or {"step": 0})["step"]
    old = [line for line in log.read_text().splitlines()[1:] if int(line.split(",")[0]) <= done] if log.is_file() else []
    log.write_text("\n".join([",".join(COLUMNS), *old]) + "\n")
    with tqdm(total=config.iterations, initial=done, desc="aligning") as bar, log.open("a") as file:
        for step, seen in train(generator, reader, studio.subjects, bank, config, out / "checkpoint.pt"):
            file.write(f"{step},{seen.alignment:.5f},{seen.semantics:.5f},{seen.realism:.5f},{seen.faces},{seen.sure},{time.perf_counter() - start:.1f}\n")
            file.flush()
            bar.set_postfix(loss=f"{seen.alignment:.2f}", sure=seen.sure)
            bar.update()
            if step % 20 == 0 or step == config.iterations:
                twins(generator, config.prompts[0]).save(out / f"twins_{step:05d}.png")
    save(generator.router, out / "adapter.safetensors", generator.pipeline)
    return out / "adapter.safetensors"


def twins(generator: PairedGenerator, prompt: str, n: int = 8) -> Image.Image:
    """The frozen model's images above the finetuned one's, from the same noise."""
    images = generator.draw(prompt, 1, [(i, names) for names in ((), (NAME,)) for i in range(n)], generator.profile.steps, generator.profile.guidance)
    side = generator.profile.size
    grid = Image.new("RGB", (n * side, 2 * side))
    for k, image in enumerate(images):
        grid.paste(image, (k % n * side, k // n * side))
    return grid


def save(router: Router, path: Path, pipeline: Any) -> None:
    """Writes the adapter as fp16 safetensors in diffusers' layout, which `load_lora_weights` opens."""
    layers: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in lora.tensors(router, NAME).items():
        part, name = key.split(".", 1)
        layers.setdefault(part, {})[name] = tensor
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {"unet": "unet_lora_layers", "text_encoder": "text_encoder_lora_layers", "text_encoder_2": "text_encoder_2_lora_layers"}
    pipeline.save_lora_weights(path.parent, weight_name=path.name, **{named[part]: tensors for part, tensors in layers.items()})
