"""Unified concept editing (Gandikota et al. 2023, arXiv 2308.14761): a closed form instead of a training,
written exactly as a LoRA.

Every projection W that reads the text becomes W' with W' M = W M + sum_i (v_i - W c_i) c_i^T, where
M = ridge + sum_i c_i c_i^T + lambda sum_j k_j k_j^T: concepts c_i are read as v_i, and kept words k_j as
before. There are two forms of it by the same authors. That of the paper (`train-scripts/train_debias.py`)
edits all places of a prompt from its subject's last token on, and adds a class's words at the length of the
concept's own; rounds build on one another, a concept that has reached its shares is kept from then on, and so
are other professions, at all places. Its later rewrite (`trainscripts/uce_sd_debias.py`) edits the one place,
adds the class's words as they are, and begins each round at the model as it was, with all that was missing so
far. SDXL's pooled vector is read by one more projection, which neither form edits; ours can."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from pydantic import Field, PlainValidator

from fairdemo.checked import Real, Whole
from fairdemo.methods.texts import encoded
from fairdemo.models import pipelines
from fairdemo.models.generating import PairedGenerator
from fairdemo.models.precision import default_device
from fairdemo.models.routing import Factors, Router, routable
from fairdemo.models.sampling import Sample, by_default
from fairdemo.readers.read import FaceReader
from fairdemo.stats import targets, wording
from fairdemo.stats.attributes import TARGET_CLASSES
from fairdemo.stats.mix import Source
from fairdemo.stats.targets import Target
from fairdemo.studio.live import Live
from fairdemo.training.align import NAME, adapter_of, save, twins
from fairdemo.training.folder import Folder
from fairdemo.training.settings import Settings

READERS = (".attn2.to_k", ".attn2.to_v")  # projections that read the text
POOLED = "unet.add_embedding.linear_1"
# As a share of the vectors' mean squared length; the published 0.5 is that of CLIP ViT-L's.
RIDGE = 0.0006
KEPT = {"paper": 0.1, "rewrite": 1.0}  # lambda, the weight of what is to be read as before
REACHED = 0.05  # a concept whose shares are all this near to the wanted ones is left as it is
Weights = dict[str, torch.Tensor]  # a layer's projection (out, d), in double precision


class Config(Settings):
    """What is edited, and how its shares are found."""

    prompts: tuple[str, ...]  # with one person's noun each, the concept
    # the wanted shares of one or more attributes, each by itself
    target: Annotated[Target, PlainValidator(targets.check)]
    kept: tuple[str, ...] = ()  # prompts that are to be read as before
    form: Literal["paper", "rewrite"] = "paper"
    pooled: bool = True  # whether SDXL's pooled vector is edited, too
    images: Annotated[Whole, Field(ge=1, le=512)] = 16  # of each prompt and round
    rounds: Annotated[Whole, Field(ge=1, le=100)] = 30
    step: Annotated[Real, Field(gt=0, le=100)] = 0.1  # how much of a class's words a missing share adds
    seed: Annotated[Whole, Field(ge=0, le=2**31 // 10**6)] = 0


@dataclass(frozen=True)
class Concept:
    """What is edited of a prompt in one space: its vectors (places, d), and those of each class's words at
    the places that match (classes, places, d)."""

    own: torch.Tensor
    classes: torch.Tensor


@dataclass(frozen=True)
class Space:
    """One input space of projections: the concepts in it, and each concept's and other prompts' vectors that
    may be kept (m, d)."""

    layers: tuple[str, ...]
    concepts: tuple[Concept, ...]
    converged: tuple[torch.Tensor, ...]  # of each concept, once it is kept
    kept: torch.Tensor


def read_as(w: torch.Tensor, concept: Concept, added: torch.Tensor, scaled: bool) -> torch.Tensor:
    """What a projection w (out, d) is to make of a concept (places, out): what it makes of it now, and of
    each class's words as much as `added` (classes,) says, each at the length of the concept's own if
    `scaled`."""
    own, classes = concept.own @ w.T, concept.classes @ w.T
    if scaled:
        lengths = classes.flatten(1).norm(dim=1).clamp_min(1e-12)
        classes = classes * (own.norm() / lengths)[:, None, None]
    return own + torch.einsum("k,kpo->po", added, classes)


def edit_projection(
    w: torch.Tensor, c: torch.Tensor, wanted: torch.Tensor, kept: torch.Tensor, weight: float
) -> torch.Tensor:
    """W' (out, d) of a projection w (out, d) under which vectors c (n, d) are read as `wanted` (n, out), and
    `kept` (m, d) as before, at `weight` (the paper's equation 7)."""
    ridge = RIDGE * c.pow(2).sum(1).mean() * torch.eye(c.shape[1], dtype=c.dtype)
    before = ridge + weight * kept.T @ kept
    return (wanted.T @ c + w @ before) @ torch.linalg.inv(c.T @ c + before)


def edit_round(start: Weights, found: list[Space], added: np.ndarray, done: np.ndarray, form: str) -> Weights:
    """All projections after a round that adds to each concept so much of every class's words (concepts,
    classes); concepts that are `done` (concepts,) are kept as well."""
    edited: Weights = {}
    for space in found:
        c = torch.cat([one.own for one in space.concepts])
        kept = torch.cat([space.kept, *(v for v, is_done in zip(space.converged, done) if is_done)])
        for layer in space.layers:
            w = start[layer]
            wanted = [
                read_as(w, one, torch.from_numpy(row), form == "paper")
                for one, row in zip(space.concepts, added)
            ]
            edited[layer] = edit_projection(w, c, torch.cat(wanted), kept, KEPT[form])
    return edited


def as_factors(change: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A (r, d) and B (out, r) with B A = `change` (out, d), r the smaller of both."""
    u, s, v = torch.linalg.svd(change.double(), full_matrices=False)
    root = s.sqrt()
    return (root[:, None] * v).float(), (u * root).float()


def classes_of(target: Target) -> list[tuple[str, str]]:
    """All classes of a target's attributes, in order."""
    return [(a, c) for a in TARGET_CLASSES if a in target for c in TARGET_CLASSES[a]]


def last_place(generator: PairedGenerator, prompt: str) -> int:
    """The place of the last token of a prompt's noun; ValueError if it isn't about one person."""
    found = wording.read(prompt)
    match = None if found.place is None else wording.NOUN.match(prompt, found.place)
    if match is None:
        raise ValueError(f"prompt {prompt!r} can't be edited: {found.why}")
    tokens = generator.pipeline.tokenizer(prompt[: match.end()], add_special_tokens=False).input_ids
    return len(tokens)  # the first place is the text's beginning


def spaces(generator: PairedGenerator, config: Config) -> list[Space]:
    """The model's input spaces with their vectors: what reads the text place by place, and SDXL's projection
    of the pooled vector."""
    words = [wording.written("a photo of a person", (c,)) for _, c in classes_of(config.target)]
    plain, classes = encoded(generator, config.prompts), encoded(generator, words)
    kept = encoded(generator, config.kept) if config.kept else {}
    layers = [
        name
        for name, m in routable(generator.pipeline).named_modules()
        if name.startswith("unet.") and name.endswith(READERS) and isinstance(m, torch.nn.Linear)
    ]
    found = [place_by_place(generator, config, words, tuple(layers), (plain, classes, kept))]
    if config.pooled and plain.get("pooled_prompt_embeds") is not None:
        found.append(pooled_space(generator, config, (plain, classes, kept)))
    return found


def place_by_place(
    generator: PairedGenerator,
    config: Config,
    words: list[str],
    layers: tuple[str, ...],
    texts: tuple[Mapping[str, torch.Tensor], ...],
) -> Space:
    """The space of the text's places. Those that match are as many from the subject's last token on, in a
    prompt and in the classes' words."""
    plain, classes, kept = (text.get("prompt_embeds", torch.empty(0)).double() for text in texts)
    own, theirs = ([last_place(generator, p) for p in prompts] for prompts in (config.prompts, words))
    concepts = []
    for states, start in zip(plain, own):
        n = 1 if config.form == "rewrite" else plain.shape[1] - max(start, *theirs)
        same = torch.stack([s[place : place + n] for s, place in zip(classes, theirs)])
        concepts.append(Concept(states[start : start + n], same))
    if config.form == "rewrite":
        stay = [states[last_place(generator, p)] for p, states in zip(config.kept, kept)]
        rows = torch.stack(stay) if stay else plain.new_zeros(0, plain.shape[-1])
        return Space(layers, tuple(concepts), tuple(one.own[:0] for one in concepts), rows)
    return Space(layers, tuple(concepts), tuple(plain), kept.reshape(-1, plain.shape[-1]))


def pooled_space(
    generator: PairedGenerator, config: Config, texts: tuple[Mapping[str, torch.Tensor], ...]
) -> Space:
    """The input of SDXL's projection: the pooled vector with the size's embedding, which classes' words say
    nothing of."""
    unet, side = generator.pipeline.unet, generator.profile.size
    ids = torch.tensor([side, side, 0, 0, side, side], dtype=torch.float32, device=generator.device)
    with torch.no_grad():
        size = unet.add_time_proj(ids).flatten().double().cpu()
    plain, classes, kept = (text.get("pooled_prompt_embeds", torch.empty(0)).double() for text in texts)

    def whole(pooled: torch.Tensor) -> torch.Tensor:
        return torch.cat([pooled, size.expand(len(pooled), -1)], 1)

    same = torch.cat([classes, torch.zeros(len(classes), len(size), dtype=torch.float64)], 1)[:, None]
    rows = whole(plain)
    stay = whole(kept) if len(kept) else rows[:0]
    own = tuple(row[None] for row in rows)
    converged = own if config.form == "paper" else tuple(row[:0] for row in own)
    return Space((POOLED,), tuple(Concept(row, same) for row in own), converged, stay)


def projections(generator: PairedGenerator, found: list[Space]) -> Weights:
    """Each layer's own projection."""
    modules: dict[str, Any] = dict(routable(generator.pipeline).named_modules())
    return {layer: modules[layer].weight.detach().double().cpu() for space in found for layer in space.layers}


def edit(
    generator: PairedGenerator, reader: FaceReader, config: Config
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rounds of drawing, reading and adding what is missing, each with noise of its own, until all concepts
    have reached their shares; yields the concepts' shares of each class that were seen (concepts, classes),
    and how much of each class's words the round adds. The generator is left with the edit as its only
    adapter."""
    found = spaces(generator, config)
    before = projections(generator, found)
    now, total = before, np.zeros((len(config.prompts), len(classes_of(config.target))))
    wanted = np.array([config.target[a][c] for a, c in classes_of(config.target)])
    done = np.zeros(len(config.prompts), bool)
    seen = np.full(total.shape, np.nan)
    generator.router = Router(routable(generator.pipeline), {NAME: factors(before, now)})
    for turn in range(config.rounds):
        for i in np.flatnonzero(~done):
            seen[i] = shares(generator, reader, config, turn, int(i))
        missing = np.nan_to_num(wanted - seen)
        done |= np.isfinite(seen).all(1) & (np.abs(missing) < REACHED).all(1)
        added = config.step * np.where(done[:, None], 0, missing)
        yield np.where(np.isnan(seen), wanted, seen), added
        if done.all():
            return
        total += added
        paper = config.form == "paper"
        now = edit_round(now if paper else before, found, added if paper else total, done, config.form)
        put(generator.router, factors(before, now))


def factors(before: Weights, now: Weights) -> Factors:
    """The LoRA that makes edited projections of those before."""
    return {layer: as_factors(now[layer] - w) for layer, w in before.items()}


def shares(generator: PairedGenerator, reader: FaceReader, config: Config, turn: int, i: int) -> list[float]:
    """What a concept's images show of each class now; not numbers where no face was found."""
    setting = by_default(generator.profile, config.prompts[i], config.seed * 10**6 + 1000 * turn + i)
    images = generator.draw(setting, [Sample(k, Source((NAME,))) for k in range(config.images)])
    faces = [found[0] for found in reader.read(images) if found]
    named = classes_of(config.target)
    return [float(np.mean([f.banded(a) == c for f in faces])) if faces else np.nan for a, c in named]


def put(router: Router, new: Factors) -> None:
    """Exchanges the one adapter's factors in place."""
    for layer, (down, up) in new.items():
        a, b = router.stacks[layer]
        a[1].copy_(down.T)
        b[1].copy_(up.T)


COLUMNS = ("distance",)


def run(profile: str, config: Config, out: Path) -> Path:
    """A whole edit into the folder `out`: `log.csv`, the adapter with its card and catalog, and a picture of
    twins. Returns the adapter's file."""
    devices = Accelerator(cpu=default_device() == "cpu", log_with="all", project_dir=out)
    live = Live(profile, str(devices.device))
    kept = {**config.model_dump(), "profile": live.profile.name}
    with Folder(out, kept, COLUMNS, config.rounds, devices) as folder:
        pipeline = pipelines.load_pipeline(live.profile, live.device)
        pipelines.place(pipeline, live.device)
        generator = PairedGenerator(pipeline, Router(torch.nn.Module(), {}), live.profile, live.device)
        wanted = np.array([config.target[a][c] for a, c in classes_of(config.target)])
        far = []
        for step, (seen, _) in enumerate(edit(generator, live.reader, config), 1):
            far.append(float(np.abs(seen - wanted).sum(1).mean() / 2))
            folder.write(step, {"distance": far[-1]})
        save(generator.router, out / "adapter.safetensors", pipeline)
        folder.picture(config.rounds, lambda: twins(generator, config.prompts[0]))
        made = adapter_of(live.profile, out.name, out, "fairdemo train uce")
        folder.card(live.profile, [made], card(config, far))
    return out / "adapter.safetensors"


def card(config: Config, far: list[float]) -> str:
    """The model card's words."""
    where = "its noun's last place" if config.form == "rewrite" else "all places from its noun on"
    pooled = ", and of the pooled vector" if config.pooled else ""
    return f"""Unified concept editing (arXiv 2308.14761) of {len(config.prompts)} prompts at {where}{pooled},
in the form of the {config.form}, written as a LoRA. Nothing was trained: shares were found in {len(far)}
rounds of {config.images} generated images a prompt, as perceived by the classifier.

Target: {config.target}. Mean distance from it, over the attributes' classes together, in the first round
{far[0]:.3f}, in the last {far[-1]:.3f}; each round has noise of its own, and few images are never even."""
