"""Unified concept editing (Gandikota et al. 2023, arXiv 2308.14761): a closed form instead of a training,
written exactly as a LoRA.

Every projection W that reads the text becomes W' with W' M = W M + sum_i (v_i - W c_i) c_i^T, where
M = lambda sum_j k_j k_j^T + sum_i c_i c_i^T + ridge: concepts c_i are read as v_i, and kept words k_j as
before. So W' - W = sum_i (v_i - W c_i) (M^-1 c_i)^T, whose factors have at most as many rows as there are
edited vectors. SDXL's pooled vector is read by one more projection, which is edited in the same way."""

from collections.abc import Iterator
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
from fairdemo.models.generating import PairedGenerator, Sample, by_default
from fairdemo.models.routing import Factors, Router, routable
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
KEPT = 1.0  # lambda, the weight of what is to be read as before
# As a share of the vectors' mean squared length; the published 0.5 is that of CLIP ViT-L's.
RIDGE = 0.0006
POOLED = "unet.add_embedding.linear_1"


class Config(Settings):
    """What is edited, and how its shares are found."""

    prompts: tuple[str, ...]  # with one person's noun each, the concept
    # the wanted shares of one or more attributes, each by itself
    target: Annotated[Target, PlainValidator(targets.check)]
    kept: tuple[str, ...] = ()  # prompts that are to be read as before
    # Which of a prompt's places are edited: its noun's last, as published, or all from there on.
    places: Literal["last", "all"] = "last"
    pooled: bool = True  # whether SDXL's pooled vector is edited, too (not in the published code)
    images: Annotated[Whole, Field(ge=1, le=512)] = 16  # of each prompt and round
    rounds: Annotated[Whole, Field(ge=2, le=100)] = 10
    # How much of a class's vector a missing share adds in the first round; less in later ones.
    step: Annotated[Real, Field(gt=0, le=100)] = 0.3
    seed: Annotated[Whole, Field(ge=0, le=2**31 // 10**6)] = 0


@dataclass(frozen=True)
class Space:
    """One input space of projections, and what is edited in it: vectors (n, d) with the concept each of them
    belongs to (n,), what each class adds to a vector (n, k, d), and kept vectors (m, d)."""

    layers: tuple[str, ...]
    concepts: torch.Tensor
    of: torch.Tensor
    classes: torch.Tensor
    kept: torch.Tensor


def read_before(c: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """What is to be read as before, as M has it (d, d): kept vectors (m, d), and a little of everything."""
    ridge = RIDGE * c.pow(2).sum(1).mean() * torch.eye(c.shape[1], dtype=c.dtype)
    return KEPT * kept.T @ kept + ridge


def closed_form(w: torch.Tensor, c: torch.Tensor, wanted: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """W' (out, d) of a projection w (out, d) under which concepts c (n, d) are read as `wanted` (n, out), as
    the paper writes it (equation 7)."""
    w, c, wanted, kept = (t.double() for t in (w, c, wanted, kept))
    before = read_before(c, kept)
    return (wanted.T @ c + w @ before) @ torch.linalg.inv(c.T @ c + before)


def as_factors(
    w: torch.Tensor, c: torch.Tensor, wanted: torch.Tensor, kept: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A (r, d) and B (out, r) with B A = W' - W, r at most d."""
    w, c, wanted, kept = (t.double() for t in (w, c, wanted, kept))
    down = c @ torch.linalg.inv(c.T @ c + read_before(c, kept))
    up = (wanted - c @ w.T).T
    if len(down) > down.shape[1]:  # more edited vectors than the space has dimensions
        q, r = torch.linalg.qr(down.T)
        down, up = q.T, up @ r.T
    return down.float(), up.float()


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


def word_vectors(generator: PairedGenerator, named: list[tuple[str, str]]) -> torch.Tensor:
    """Each class's own word as the text encoders read it, at its last token (k, d)."""
    rows = []
    for _, c in named:
        prompt = wording.written("a photo of a person", (c,))
        before = prompt[: prompt.index("person")].strip()
        place = len(generator.pipeline.tokenizer(before, add_special_tokens=False).input_ids)
        states = encoded(generator, [prompt])["prompt_embeds"]
        rows.append(states[0, place])
    return torch.stack(rows)


def spaces(generator: PairedGenerator, config: Config) -> list[Space]:
    """The model's input spaces with their vectors: what reads the text place by place, and SDXL's projection
    of the pooled vector."""
    named = classes_of(config.target)
    plain, kept = encoded(generator, config.prompts), encoded(generator, config.kept) if config.kept else {}
    states = plain["prompt_embeds"]
    rows, of = [], []
    for i, prompt in enumerate(config.prompts):
        start = last_place(generator, prompt)
        places = range(start, states.shape[1] if config.places == "all" else start + 1)
        rows += [states[i, place] for place in places]
        of += [i] * len(places)
    layers = [
        name
        for name, m in routable(generator.pipeline).named_modules()
        if name.startswith("unet.") and name.endswith(READERS) and isinstance(m, torch.nn.Linear)
    ]
    stay = [kept["prompt_embeds"][i, last_place(generator, p)] for i, p in enumerate(config.kept)]
    classes = word_vectors(generator, named).expand(len(rows), -1, -1)
    kept_rows = torch.stack(stay) if stay else states.new_zeros(0, states.shape[-1])
    found = [Space(tuple(layers), torch.stack(rows), torch.tensor(of), classes, kept_rows)]
    if config.pooled and plain.get("pooled_prompt_embeds") is not None:
        found.append(pooled_space(generator, plain, config, kept))
    return found


def pooled_space(generator: PairedGenerator, plain: Any, config: Config, kept: Any) -> Space:
    """The input of SDXL's projection: the pooled vector with the size's embedding, which classes leave
    alone. A class adds what its word adds to the prompts' pooled vectors on average."""
    worded = [
        encoded(generator, [wording.written(p, (c,)) for p in config.prompts])
        for _, c in classes_of(config.target)
    ]
    unet, side = generator.pipeline.unet, generator.profile.size
    ids = torch.tensor([side, side, 0, 0, side, side], dtype=torch.float32, device=generator.device)
    with torch.no_grad():
        size = unet.add_time_proj(ids).flatten().float().cpu()

    def whole(text: Any) -> torch.Tensor:
        pooled = text["pooled_prompt_embeds"]
        return torch.cat([pooled, size.expand(len(pooled), -1)], 1)

    rows = whole(plain)
    classes = torch.stack([(whole(w) - rows).mean(0) for w in worded])
    stay = whole(kept) if kept else rows[:0]
    return Space((POOLED,), rows, torch.arange(len(rows)), classes.expand(len(rows), -1, -1), stay)


def factors(generator: PairedGenerator, found: list[Space], shares: np.ndarray) -> Factors:
    """The LoRA that lets each concept be read with `shares` (concepts, classes) of every class's vector
    added."""
    modules, result = dict(routable(generator.pipeline).named_modules()), {}
    for space in found:
        weight = torch.from_numpy(shares).float()[space.of]
        shifted = space.concepts + torch.einsum("nk,nkd->nd", weight, space.classes)
        for layer in space.layers:
            w: Any = modules[layer].weight
            w = w.detach().float().cpu()
            result[layer] = as_factors(w, space.concepts, shifted @ w.T, space.kept)
    return result


def edit(
    generator: PairedGenerator, reader: FaceReader, config: Config
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rounds of drawing, reading and adding more of what is missing (the paper's iteration for debiasing),
    each with noise of its own; yields the concepts' shares of each class that were seen (concepts, classes),
    and how much of each class's vector had been added. The generator is left with the mean edit of the
    second half of the rounds as its only adapter, since single rounds see few images."""
    found, named = spaces(generator, config), classes_of(config.target)
    wanted = np.array([config.target[a][c] for a, c in named])
    added, kept = np.zeros((len(config.prompts), len(named))), []
    generator.router = Router(routable(generator.pipeline), {NAME: factors(generator, found, added)})
    for turn in range(config.rounds):
        seen = np.array([shares(generator, reader, config, turn, i) for i in range(len(config.prompts))])
        yield np.where(np.isnan(seen), wanted, seen), added.copy()
        added = added + config.step / (1 + turn / 3) * np.nan_to_num(wanted - seen)
        kept += [added] if turn >= config.rounds // 2 else []
        put(generator.router, factors(generator, found, added))
    put(generator.router, factors(generator, found, np.mean(kept, 0)))


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
    devices = Accelerator(cpu=pipelines.default_device() == "cpu", log_with="all", project_dir=out)
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
    where = "its noun's last place" if config.places == "last" else "all places from its noun on"
    pooled = ", and of the pooled vector" if config.pooled else ""
    return f"""Unified concept editing (arXiv 2308.14761) of {len(config.prompts)} prompts at {where}{pooled},
written as a LoRA. Nothing was trained: shares were found in {config.rounds} rounds of {config.images}
generated images a prompt, as perceived by the classifier.

Target: {config.target}. Mean distance from it, over the attributes' classes together, in the first round
{far[0]:.3f}, in the last {far[-1]:.3f}; each round has noise of its own, and few images are never even."""
