"""Distributional alignment (arXiv 2311.07604): finetunes LoRA, or soft tokens before the prompt, so that
what is drawn has the target distribution.

Each iteration draws images with the finetuned model and, from the same noise, with the frozen one; reads
them; finds each image's target class by expected optimal transport; and follows the losses' adjusted
gradient."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from accelerate import Accelerator
from diffusers.utils import make_image_grid
from PIL import Image
from pydantic import Field, ValidationInfo, field_validator, model_validator
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from fairdemo.checked import Real, Whole
from fairdemo.models import pipelines
from fairdemo.models.catalog import Adapter
from fairdemo.models.generating import PairedGenerator
from fairdemo.models.precision import default_device
from fairdemo.models.profiles import Profile
from fairdemo.models.routing import Router, read_factors, read_tokens, routable
from fairdemo.models.sampling import Sample, Setting, by_default, through
from fairdemo.readers.open_image import open_image
from fairdemo.readers.read import FaceReader
from fairdemo.readers.vision import to_pixels
from fairdemo.stats import measure
from fairdemo.stats.attributes import TARGET_CLASSES
from fairdemo.stats.mix import Source
from fairdemo.studio.live import Live
from fairdemo.training import adjusted, lora, losses, settings, soft_tokens
from fairdemo.training.folder import Folder
from fairdemo.training.joint import Target, joint_of
from fairdemo.training.looks import Look, eased_on_faces, looks_of
from fairdemo.training.moved_words import MovedWords
from fairdemo.training.settings import Settings
from fairdemo.training.soft_reader import Box, SoftReader, bank, teach
from fairdemo.training.steps import Course, adamw, warm_cosine
from fairdemo.training.transport import expected_transport

NAME = "align"  # of the adapter while it is trained
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")
# What LoRA goes on: in which model, and what its layers' names contain.
LAYERS = {
    "unet": ("unet", (".attn",)),
    "text_reading": ("unet", (".attn2.to_k", ".attn2.to_v", "add_embedding.linear_1")),
    "text_encoder": ("text_encoder", PROJECTIONS),
    "text_encoder_2": ("text_encoder_2", PROJECTIONS),
}


def ranged(low: float, high: float) -> Any:
    """A number within its bounds."""
    return Field(ge=low, le=high)


Share = Annotated[Real, ranged(0, 1)]


class Config(Settings):
    """A run. Where a comment names them, defaults are the paper's (section 5 and appendix B) or its code's;
    others are this project's."""

    prompts: tuple[str, ...]  # drawn in turn, `batch` of them an iteration
    target: Target  # the wanted shares, over one attribute or several; "middle + old" counts as one class
    # What LoRA of `rank` goes on (see `LAYERS`), or "tokens" for soft tokens.
    parts: tuple[str, ...] = ("text_encoder", "text_encoder_2")
    rank: Annotated[Whole, ranged(1, 256)] = 50  # the paper's
    tokens: Annotated[Whole, ranged(1, 50)] = 5  # soft tokens; the paper's number
    words: str = "person"  # where soft tokens begin
    # By how many standard deviations words that tell the prompts apart are moved (`moved_words.py`).
    moved: Annotated[Real, ranged(0, 10)] = 0.0
    images: Annotated[Whole, ranged(2, 512)] = 24  # of each prompt
    batch: Annotated[Whole, ranged(1, 64)] = 1  # prompts an iteration
    # The paper's: 10,000 iterations at a rate of 5e-5 (15,000 with age). Ours are for a tiny model.
    iterations: Annotated[Whole, ranged(1, 10**6)] = 300
    learning_rate: Annotated[Real, Field(ge=0, le=1)] = 1e-3  # the highest
    threshold: Annotated[Real, ranged(0, 1)] = 0.8  # the paper's C, from which on a target counts as sure
    semantics: Annotated[Real, ranged(0, 100)] = 8.0  # the authors' lambda_img,1: of an image that is to stay
    # The authors', too. What of it is left where an attribute is to change, [around the face, and of that
    # on the face]: so lambda_img,2 and 3 are 1.6 and 0.32 for gender, 4.8 and 1.44 for the others.
    eased: dict[str, tuple[Share, Share]] = {"gender": (0.2, 0.2), "race": (0.6, 0.3), "age": (0.6, 0.3)}
    realism: Annotated[Real, ranged(0, 100)] = 1.0  # the authors' lambda_face for gender; 0.1 for several
    # Whether a face whose class stays is pulled to its twin's, as in the authors' code; else every face is
    # pulled to the nearest real one.
    twin_faces: bool = True
    # ours: keeps attributes outside the target as the twin has them
    hold: Annotated[Real, ranged(0, 100)] = 0.0
    steps: Annotated[Whole, ranged(0, 100)] = 0  # of the sampler; 0: the profile's
    sampled: Annotated[Whole, ranged(0, 1000)] = 0  # steps that the gradient uses; 0: all
    ema: Annotated[Real, ranged(0, 0.99999)] = 0.98  # the weights' moving average (ours)
    # How far from where the run began to its weights the saved ones lie; less than 1 is more robust to
    # prompts never seen (Wortsman and others 2021, arXiv 2109.01903, equation 1).
    blend: Annotated[Real, ranged(0, 1)] = 1.0
    validation: tuple[str, ...] = ()  # prompts that are measured while the run goes on
    validate_every: Annotated[Whole, Field(ge=0, le=10**6)] = 0  # iterations; 0: never
    # the run ends after as many validations without progress
    patience: Annotated[Whole, ranged(1, 10**6)] = 4
    at_once: Annotated[Whole, ranged(1, 512)] = 16  # images in memory
    seed: Annotated[Whole, ranged(0, 2**31 // 10**6)] = 0
    start: str = ""  # an adapter of the same parts, of this rank or a lower one, to go on from
    faces: str = ""  # a folder of photographs for the realism loss; the embedded world has its own
    dino: str = "facebook/dinov2-base"  # a model of the Hub

    @field_validator("prompts", "validation")
    @classmethod
    def _texts(cls, prompts: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not all(p.strip() for p in prompts) or (info.field_name == "prompts" and not prompts):
            raise ValueError("prompts of a run must be texts, and at least one")
        return prompts

    @field_validator("target", mode="before")
    @classmethod
    def _joint(cls, target: Any) -> Any:
        joint_of(target)
        return target

    @field_validator("parts")
    @classmethod
    def _known(cls, parts: tuple[str, ...]) -> tuple[str, ...]:
        if not parts or (set(parts) - set(LAYERS) and parts != ("tokens",)):
            known = ", ".join(LAYERS)
            raise ValueError(f'parts are {list(parts)}; expected some of {known}, or "tokens" alone')
        return parts

    @model_validator(mode="after")
    def _validated(self) -> "Config":
        if self.validate_every and not self.validation:
            raise ValueError("validate_every is set, but there are no validation prompts")
        if missing := set(self.target) - set(self.eased):
            raise ValueError(f"eased names {', '.join(self.eased)}; expected also {', '.join(missing)}")
        return self


def read_config(path: Path) -> Config:
    """A run's TOML file; ValueError names what is wrong with it."""
    return settings.read(path, Config)


@dataclass
class Trained:
    """What is trained: its tensors, how they are written down, and which words are moved meanwhile."""

    factors: list[torch.Tensor]
    save: Callable[[Path], None]
    moved_words: MovedWords | None


def fresh(generator: PairedGenerator, config: Config) -> Trained:
    """Puts one adapter to train into the generator: the config's `start`, or LoRA whose A is random and B
    zero, or soft tokens near a word. ValueError if `start` can't be used, or there are no words to move."""
    random = torch.Generator().manual_seed(config.seed)
    pipe = generator.pipeline
    model = routable(pipe).requires_grad_(False)
    moved_words = MovedWords(pipe, config.prompts, config.moved) if config.moved else None
    if config.parts == ("tokens",):
        start = Path(config.start).resolve()
        begun = read_tokens(pipe, start, config.tokens) if config.start else None
        soft = soft_tokens.SoftTokens(pipe, NAME, config.tokens, config.words, random, begun)
        generator.router = Router(model, {NAME: {}}, {NAME: soft.token})
        return Trained(soft.rows, soft.save, moved_words)
    wanted = [LAYERS[part] for part in config.parts]
    layers = {
        name: m
        for name, m in model.named_modules()
        if isinstance(m, torch.nn.Linear)
        and any(name.split(".")[0] == part and any(key in name for key in keys) for part, keys in wanted)
    }
    factors = (
        lora.widened(read_factors(pipe, Path(config.start).resolve()), config.rank, random)
        if config.start
        else lora.fresh_factors(layers, config.rank, random)
    )
    if set(factors) != set(layers):
        raise ValueError(f"start is {config.start!r}; it isn't LoRA on {', '.join(config.parts)}")
    generator.router = Router(model, {NAME: factors}).to(generator.device)
    return Trained(
        lora.trainable(generator.router), lambda path: save(generator.router, path, pipe), moved_words
    )


def save(router: Router, path: Path, pipeline: Any) -> None:
    """Writes the adapter as fp16 safetensors in diffusers' layout, which `load_lora_weights` opens."""
    layers: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in lora.tensors(router, NAME).items():
        part, name = key.split(".", 1)
        layers.setdefault(part, {})[name] = tensor
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {
        "unet": "unet_lora_layers",
        "text_encoder": "text_encoder_lora_layers",
        "text_encoder_2": "text_encoder_2_lora_layers",
    }
    pipeline.save_lora_weights(
        path.parent, weight_name=path.name, **{named[part]: tensors for part, tensors in layers.items()}
    )


def pictures(x: torch.Tensor) -> list[Image.Image]:
    """Images of pixels (n, 3, h, w) in [-1, 1]."""
    return [Image.fromarray(im) for im in to_pixels(x)]


@dataclass
class Losses:
    """What one iteration saw: the losses, of how many images, how many had a face and a sure target, and
    the size of each sampler step's gradient."""

    alignment: float = 0.0
    semantics: float = 0.0
    realism: float = 0.0
    hold: float = 0.0
    images: int = 0
    faces: int = 0
    sure: float = 0.0
    norms: list[float] = field(default_factory=list)


@dataclass
class Drawn:
    """Slots drawn with the finetuned model, and the frozen model's twins: latents and what was seen in
    them."""

    slots: list[int]
    steps: list[adjusted.Step]
    z: torch.Tensor  # (n, c, h, w)
    twins: torch.Tensor  # images (n, 3, h, w)
    boxes: list[Box | None]
    twin_boxes: list[Box | None]
    logits: dict[str, torch.Tensor]  # (n, classes), not a number where no face was found
    twin_logits: dict[str, torch.Tensor]
    twin_vectors: torch.Tensor  # (n, d), zeros where the twin has no face


@dataclass
class Aligner:
    """A run's parts: who draws, who reads, the looks that are kept, the real faces `bank` (m, d), and the
    devices."""

    generator: PairedGenerator
    reader: SoftReader
    looks: list[Look]
    bank: torch.Tensor
    config: Config
    trained: Trained
    devices: Accelerator = field(default_factory=lambda: Accelerator(cpu=True))

    def __post_init__(self) -> None:
        self.joint = joint_of(self.config.target)
        self.begun = [f.detach().clone() for f in self.trained.factors]
        self.held = [a for a in TARGET_CLASSES if a not in self.joint.groups] if self.config.hold else []
        if self.config.images % self.devices.num_processes:
            raise ValueError(
                f"images is {self.config.images}; expected a multiple of the {self.devices.num_processes}"
                " devices"
            )
        for a, groups in self.joint.groups.items():
            missing = set(itertools.chain(*groups)) - set(self.reader.read(a))
            if missing:
                raise ValueError(
                    f"too few faces to learn {a} from: {', '.join(sorted(missing))} were never drawn"
                )

    def autocast(self) -> torch.autocast:
        """The precision that the model is run in."""
        return torch.autocast(self.generator.device.type, self.generator.dtype, enabled=self.generator.mixed)

    def decoded(self, z: torch.Tensor) -> torch.Tensor:
        """Images (n, 3, h, w) in [-1, 1] of latents, with a gradient."""
        with self.autocast():
            return self.generator.pipeline.vae.decode(self.generator.unscaled(z)).sample.float()

    def logits(
        self, x: torch.Tensor, boxes: list[Box | None]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Unit vectors (f, d) of the f faces found, and each image's logits, not a number where there is no
        face."""
        has = [i for i, b in enumerate(boxes) if b is not None]
        if not has:
            return x.new_zeros(0, self.bank.shape[1]), {
                a: x.new_full((len(x), len(c)), torch.nan) for a, c in TARGET_CLASSES.items()
            }
        with self.autocast():
            vectors = self.reader.embed(x[has], [b for b in boxes if b is not None]).float()
        return vectors, {
            a: t.new_full((len(x), t.shape[1]), torch.nan).index_put((torch.tensor(has, device=t.device),), t)
            for a, t in self.reader.logits(vectors).items()
        }

    @torch.no_grad()
    def draw(self, prompt: str, seed: int, slots: list[int]) -> Drawn:
        """Slots drawn without a graph, with the adapter and without."""
        n, profile = len(slots), self.generator.profile
        wanted = [Sample(i, Source(names)) for names in ((NAME,), ()) for i in slots]
        with adjusted.recorded(self.generator.pipeline, range(n), 2 * n) as steps:
            k = self.config.steps or profile.steps
            z = self.generator.denoise(Setting(prompt, seed, k, profile.guidance), wanted)
        x = self.decoded(z)
        boxes = self.reader.boxes(pictures(x))
        found, twin_logits = self.logits(x[n:], boxes[n:])
        vectors = found.new_zeros(n, self.bank.shape[1])
        vectors[[i for i, b in enumerate(boxes[n:]) if b is not None]] = found
        return Drawn(
            slots,
            steps,
            z[:n],
            x[n:],
            boxes[:n],
            boxes[n:],
            self.logits(x[:n], boxes[:n])[1],
            twin_logits,
            vectors,
        )

    def goals(self, drawn: list[Drawn], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The target group in each attribute of every image drawn here (n, attributes), its twin's, and how
        sure the reader is of that; `losses.IGNORED` where the target is unsure, and -2 where the twin has no
        face. All devices' images are transported together, over the combinations of all attributes; each
        attribute counts where the transport is sure of it."""
        corners = self.joint.corners
        shape = sum(len(d.slots) for d in drawn), corners.shape[1]
        p, twins = (np.full(shape, np.nan) for _ in range(2))
        for table, name in ((p, "logits"), (twins, "twin_logits")):
            both = {a: torch.cat([getattr(d, name)[a] for d in drawn]) for a in TARGET_CLASSES}
            has = ~torch.isnan(both["gender"][:, 0]).cpu().numpy()
            table[has] = (
                self.joint.probabilities({a: t[torch.from_numpy(has)] for a, t in both.items()})
                if has.any()
                else np.nan
            )
        gathered: Any = self.devices.gather(torch.tensor(p, device=self.devices.device, dtype=torch.float32))
        everywhere = gathered.cpu().double().numpy()
        has = ~np.isnan(everywhere[:, 0])
        goal = np.full((len(everywhere), len(self.joint.groups)), losses.IGNORED)
        if has.any():
            several = corners if len(self.joint.groups) > 1 else None
            q = expected_transport(everywhere[has], self.joint.shares, several, seed=seed)
            goal[has] = np.stack(
                [losses.dynamic_targets(m, self.config.threshold) for m in self.joint.marginals(q)], 1
            )
        was, certainty = self.joint.likeliest(np.nan_to_num(twins))
        was[np.isnan(twins[:, 0])] = -2
        first = self.devices.process_index * len(p)
        return goal[first : first + len(p)], was, certainty

    def loss(
        self, drawn: Drawn, z: torch.Tensor, goal: np.ndarray, was: np.ndarray, certainty: np.ndarray
    ) -> tuple[torch.Tensor, Losses]:
        """Eq. 6 to 8 of some images, as their share of the mean over all, and as numbers."""
        c, n = self.config, len(drawn.slots)
        x = self.decoded(z)
        vectors, logits = self.logits(x, drawn.boxes)
        has = np.array([b is not None for b in drawn.boxes])
        align = hold = x.sum() * 0
        if has.any():
            seen, sure = torch.from_numpy(has), torch.from_numpy(goal[has])
            for k, grouped in enumerate(self.joint.logits({a: t[seen] for a, t in logits.items()}).values()):
                align = align + losses.alignment_loss(grouped, sure[:, k].to(grouped.device)) * len(sure) / n
            both = torch.from_numpy(has & (was[:, 0] != -2))
            for a in self.held if both.any() else ():
                hold = (
                    hold
                    + F.cross_entropy(
                        logits[a][both], torch.softmax(drawn.twin_logits[a][both], 1), reduction="sum"
                    )
                    / n
                )
        eased = [losses.Eased(*c.eased[a]) for a in self.joint.groups]
        weights, on_face = losses.semantic_weights(goal, was, has, eased)
        with self.autocast():
            shown = eased_on_faces(x, drawn.boxes, drawn.twin_boxes, on_face)
            meaning = self.likeness(shown, drawn.twins, c.semantics * weights)
        stays, counted = (of[has] for of in losses.realism_targets(goal, was, certainty))
        if not c.twin_faces:
            stays, counted = np.zeros_like(stays), np.ones_like(counted)
        own = drawn.twin_vectors[torch.from_numpy(has)]
        real = losses.realism_loss(vectors, self.bank.to(vectors), own, stays, counted) / n
        total = (align + meaning + c.realism * real + c.hold * hold) * n / c.images
        return total, Losses(
            alignment=align.item() * n,
            semantics=meaning.item() * n,
            realism=real.item() * n,
            hold=hold.item() * n,
            images=n,
            faces=int(has.sum()),
            sure=float((goal != losses.IGNORED).mean(1).sum()),
        )

    def likeness(self, x: torch.Tensor, twins: torch.Tensor, weights: np.ndarray) -> torch.Tensor:
        """Eq. 7: how unlike images are to their twins, weighted (n,), summed over the looks."""
        with torch.no_grad():
            before = [look(twins) for look in self.looks]
        return losses.semantics_loss(
            [look(x) for look in self.looks],
            before,
            torch.tensor(weights, dtype=torch.float32, device=x.device),
        )

    def gradient(self, prompt: str, seed: int) -> Losses:
        """Adds the adjusted gradient of one prompt's images to the adapter's, for this device's share of
        the slots."""
        c, pipe, guidance = self.config, self.generator.pipeline, self.generator.profile.guidance
        mine = range(
            self.devices.process_index * c.images // self.devices.num_processes,
            (self.devices.process_index + 1) * c.images // self.devices.num_processes,
        )
        drawn = [
            self.draw(prompt, seed, list(mine[i : i + c.at_once])) for i in range(0, len(mine), c.at_once)
        ]
        goals = self.goals(drawn, seed)
        whole, first = Losses(), 0
        for part in drawn:
            n = len(part.slots)
            z = part.z.clone().requires_grad_()
            total, seen = self.loss(part, z, *(of[first : first + n] for of in goals))
            g = torch.autograd.grad(total, z)[0].float()
            steps = part.steps
            if c.sampled and c.sampled < len(steps):
                picked = np.random.default_rng([c.seed, seed]).choice(len(steps), c.sampled, replace=False)
                steps, g = [steps[i] for i in sorted(picked)], g * len(steps) / c.sampled
            with self.autocast():
                seen.norms = adjusted.backward(
                    pipe,
                    steps,
                    lambda n=n: conditioning(self.generator, prompt, n),
                    g,
                    guidance,
                    lambda n=n: self.generator.router.routed([(NAME,)] * n),
                )
            whole, first = added(whole, seen), first + n
        return whole

    def train(self, checkpoint: Path) -> Iterator[tuple[int, Losses, dict[str, float] | None]]:
        """Trains; yields (iteration, losses, what validation found). `checkpoint` is written every 10
        iterations, and a run that was killed goes on from it with the same numbers that it would have had.
        At the end the adapter holds its averaged weights, or the best that validation saw, blended with
        those that it began with."""
        c = self.config
        course = Course(
            self.trained.factors, [adamw(self.trained.factors, c.learning_rate)], c.ema, checkpoint
        )
        for step in range(course.step, c.iterations):
            if course.waited >= c.patience:
                break
            order = np.random.default_rng([c.seed, step * c.batch // len(c.prompts)]).permutation(
                len(c.prompts)
            )
            seen = Losses()
            for k in range(c.batch):
                place = step * c.batch + k
                if k and place % len(c.prompts) == 0:
                    order = np.random.default_rng([c.seed, place // len(c.prompts)]).permutation(
                        len(c.prompts)
                    )
                seed = c.seed * 1_000_000 + place
                with self.trained.moved_words.moved(seed) if self.trained.moved_words else nullcontext():
                    seen = added(seen, self.gradient(c.prompts[order[place % len(c.prompts)]], seed))
            for f in self.trained.factors:
                if f.grad is not None:
                    reduced: Any = self.devices.reduce(f.grad, "sum")
                    f.grad = reduced / c.batch
            if not all(f.grad is None or f.grad.isfinite().all() for f in self.trained.factors):
                raise ValueError(
                    f"the gradient of iteration {step + 1} is not a number; iteration {course.kept} is kept"
                    f" in {str(checkpoint)!r}. Try a lower learning_rate than {c.learning_rate}"
                )
            course.descend(c.learning_rate * warm_cosine(step, c.iterations, min(20, c.iterations // 10 + 1)))
            found = None
            if c.validate_every and (step + 1) % c.validate_every == 0:
                with course.averaged():
                    found = self.validated(c.validation)
                    course.compare(found["distance"])
            if ((step + 1) % 10 == 0 or step + 1 == c.iterations or found) and self.devices.is_main_process:
                course.keep()
            yield step + 1, seen, found
        course.finish()
        with torch.no_grad():
            for f, begun in zip(self.trained.factors, self.begun):
                f.copy_(torch.lerp(begun, f, c.blend))

    def validated(
        self, prompts: tuple[str, ...], route: tuple[str, ...] = (NAME,), n: int = 16
    ) -> dict[str, float]:
        """How far what is drawn is from the target, as perceived by the classifier: the mean over prompts
        and attributes of half the sum of differences (total variation), each attribute's mean bias(P), and
        the share of images with one face. n images a prompt, the same noise each time."""
        profile, reader = self.generator.profile, self.reader.reader
        distances, biases, one = [], {a: [] for a in self.joint.groups}, []
        for k, prompt in enumerate(prompts):
            setting = by_default(profile, prompt, 900_000 + k)
            found = reader.read(self.generator.draw(setting, through([route], n)))
            faces = [f[0] for f in found if f]
            one += [len(f) == 1 for f in found]
            for a, groups in self.joint.groups.items():
                counts = np.array([sum(f.banded(a) in group for f in faces) for group in groups])
                wanted = np.array(
                    [
                        self.joint.shares[self.joint.members[:, list(self.joint.groups).index(a)] == g].sum()
                        for g in range(len(groups))
                    ]
                )
                distances.append(np.abs(counts / max(1, counts.sum()) - wanted).sum() / 2)
                biases[a].append(measure.bias({"+".join(g): int(v) for g, v in zip(groups, counts)}))
        return {
            "distance": float(np.mean(distances)),
            **{f"bias {a}": measure.mean(b).value for a, b in biases.items()},
            "one face": float(np.mean(one)),
            "images": float(n * len(prompts)),
        }


def added(one: Losses, other: Losses) -> Losses:
    """Two parts' losses together."""
    return Losses(*(getattr(one, f.name) + getattr(other, f.name) for f in fields(Losses)))


def conditioning(generator: PairedGenerator, prompt: str, n: int) -> adjusted.Text:
    """The U-Net's text for n samples through the trained adapter, with a graph to it."""
    encoded = generator.encode(prompt, [Source((NAME,))] * n, generator.profile.guidance)
    guided = generator.profile.guidance > 1

    def whole(name: str) -> torch.Tensor | None:
        text = encoded.get(name)
        if text is None or not guided:
            return text
        negative = encoded[f"negative_{name}"]
        assert negative is not None
        return torch.cat([negative, text])

    states = whole("prompt_embeds")
    assert states is not None
    return adjusted.Text(states, whole("pooled_prompt_embeds"))


COLUMNS = ("alignment", "semantics", "realism", "hold", "faces", "sure", "distance")


Faces = Callable[[FaceReader], torch.Tensor]  # a model's own real faces (m, d)


def run(profile: str, config: Config, out: Path, own_faces: Faces | None = None) -> Path:
    """A whole run into the folder `out`, resumed if it was started: `log.csv`, `curves.png`, pictures of
    twins, and at the end the adapter with its card and catalog. `own_faces` are the real faces of a model
    that has some, where the config names no photographs. Returns the adapter's file."""
    devices = Accelerator(cpu=default_device() == "cpu", log_with="all", project_dir=out)
    live = Live(profile, str(devices.device))
    kept = {**config.model_dump(), "profile": live.profile.name}
    with Folder(out, kept, COLUMNS, config.iterations, devices) as folder:
        live.load()
        pipeline = pipelines.load_pipeline(live.profile, live.device)
        generator = PairedGenerator(pipeline, Router(torch.nn.Module(), {}), live.profile, live.device)
        pipelines.place(pipeline, live.device)
        trained = fresh(generator, config)  # before the reader is taught: bad input is named at once
        reader, faces = prepared(live, config, out / "reader.safetensors", own_faces)
        aligner = Aligner(generator, reader, looks_of(live, config.dino), faces, config, trained, devices)
        for step, seen, found in aligner.train(out / "checkpoint.pt"):
            row = {k: getattr(seen, k) / seen.images for k in COLUMNS[:-1]}
            folder.write(step, {**row, "distance": found["distance"] if found else None})
            if step % 20 == 0 or step == config.iterations:
                folder.picture(step, lambda: twins(generator, config.prompts[0]))
        if devices.is_main_process:
            trained.save(out / "adapter.safetensors")
            tokens = config.tokens if config.parts == ("tokens",) else 0
            made = adapter_of(live.profile, out.name, out, "fairdemo train align", tokens)
            folder.card(live.profile, [made], card(config, aligner, config.validation or config.prompts[:8]))
    return out / "adapter.safetensors"


def adapter_of(profile: Profile, name: str, out: Path, source: str, tokens: int = 0) -> Adapter:
    """The catalog's entry for an adapter with a distribution in it that a run made."""
    return Adapter(
        name=name,
        base=profile.adapters,
        file="adapter.safetensors",
        cell=(),
        weight=1.0,
        license="Apache-2.0",
        source=source,
        method=name,
        tokens=tokens,
        home=out.resolve(),
    )


def prepared(
    live: Live, config: Config, path: Path, own_faces: Faces | None
) -> tuple[SoftReader, torch.Tensor]:
    """The soft reader and the real faces, kept in a file so that a resumed run begins at once."""
    if path.is_file():
        kept = load_file(path)
        heads = {a: (kept[f"{a}.weights"], kept[f"{a}.bias"]) for a in TARGET_CLASSES}
        return SoftReader(live.reader, heads), kept["faces"]
    faces, reader = real_faces(live, config, own_faces), teach(live)
    tensors = {
        f"{a}.{name}": t.contiguous()
        for a, pair in reader.heads.items()
        for name, t in zip(("weights", "bias"), pair)
    }
    save_file({**tensors, "faces": faces.contiguous()}, path)
    return reader, faces


def real_faces(live: Live, config: Config, own_faces: Faces | None) -> torch.Tensor:
    """The bank of the realism loss (m, d): photographs in the config's folder, or the model's own;
    ValueError if there is none."""
    if not config.faces:
        if own_faces is not None:
            return own_faces(live.reader)
        raise ValueError(
            'the realism loss needs real faces: name a folder of photographs as faces = "..." in the config,'
            " or set realism = 0"
        )
    endings = (".jpg", ".jpeg", ".png", ".webp")
    images = []
    for path in sorted(p for p in Path(config.faces).glob("*") if p.suffix.lower() in endings):
        try:
            images.append(open_image(path))
        except ValueError as error:
            raise ValueError(f"picture {str(path)!r} of the real faces can't be opened: {error}") from None
    if not images:
        raise ValueError(f"faces is {config.faces!r}; expected a folder with photographs")
    return bank(live.reader, images)


def twins(generator: PairedGenerator, prompt: str, n: int = 8) -> Image.Image:
    """The frozen model's images above the finetuned one's, from the same noise."""
    images = generator.draw(by_default(generator.profile, prompt, 1), through([(), (NAME,)], n))
    return make_image_grid(images, 2, n)


def card(config: Config, aligner: Aligner, prompts: tuple[str, ...]) -> str:
    """The model card's words on what was trained and what it does, measured on `prompts`."""
    before, after = aligner.validated(prompts, ()), aligner.validated(prompts)
    what = (
        f"{config.tokens} soft tokens before the prompt"
        if config.parts == ("tokens",)
        else f"LoRA of rank {config.rank} on {', '.join(config.parts)}"
    )
    rows = "\n".join(
        f"| {name} | {before[name]:.3f} | {after[name]:.3f} |" for name in before if name != "images"
    )
    images = f"{config.batch} x {config.images} images"
    kind = "validation" if config.validation else "training"
    return f"""Distributional alignment (arXiv 2311.07604): {what},
{config.iterations} iterations of {images}, seed {config.seed}.

Target: {config.target}. No data set: the model's own images of {len(config.prompts)} prompts, read by its
classifier.

Measured on {len(prompts)} {kind} prompts, {int(after["images"])} generated images a side, as perceived by the
classifier:

| | baseline | adapter |
| --- | --- | --- |
{rows}

The distance is the mean total variation from the target; bias(P) of a few images a prompt is above 0 even for
an even model."""
