"""Adjusted against naive direct finetuning on a task with fixed targets, as in figure 1 of arXiv
2311.07604: every image of one prompt, from noise that stays the same, is to be classified as a woman. LoRA
on the text encoders; both ways with the same optimizer, rate, noise and start."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch.nn import functional as F
from tqdm import tqdm

from fairdemo.experiments import naive
from fairdemo.models import pipelines
from fairdemo.models.generating import PairedGenerator, Sample, Setting
from fairdemo.models.profiles import Profile
from fairdemo.models.routing import Router
from fairdemo.stats.attributes import GENDERS
from fairdemo.stats.mix import Source
from fairdemo.training import adjusted, align
from fairdemo.training.align import NAME, pictures
from fairdemo.training.soft_reader import SoftReader
from fairdemo.training.steps import descend

PROMPT = "a photo of a doctor"
WAYS = ("naive", "adjusted")
FALLEN = 0.01  # a loss below this share of where it began has no further to fall; its run ends
COLOURS = {"naive": "#B5367A", "adjusted": "#2A788E"}


@dataclass(frozen=True)
class Trial:
    """How both ways are compared."""

    seeds: tuple[int, ...] = (0, 1, 2)
    iterations: int = 300  # at most; a loss that has `FALLEN` ends a run
    steps: int = 20  # of the sampler
    guidance: float = 7.5
    images: int = 4
    learning_rate: float = 1e-3


Loss = Callable[[torch.Tensor], torch.Tensor]  # of latents z_0 (n, c, h, w)


def women(generator: PairedGenerator, reader: SoftReader) -> Loss:
    """Cross-entropy to "Female" of the faces in images; not a number where no face was found."""

    def loss(z: torch.Tensor) -> torch.Tensor:
        x = generator.pipeline.vae.decode(generator.unscaled(z)).sample.float()
        boxes = reader.boxes(pictures(x))
        has = [i for i, b in enumerate(boxes) if b is not None]
        if not has:
            return z.sum() * torch.nan
        logits = reader.logits(reader.embed(x[has], [box for box in boxes if box is not None]))["gender"]
        return F.cross_entropy(logits, torch.full((len(has),), GENDERS.index("Female")))

    return loss


def gradient(
    way: str, generator: PairedGenerator, loss: Loss, seed: int, trial: Trial
) -> tuple[float, list[float]]:
    """Adds one way's gradient to the adapter's; the loss, and the norm of each sampler step's gradient."""
    pipe, n, side = generator.pipeline, trial.images, generator.profile.size
    routed = lambda: generator.router.routed([(NAME,)] * n)  # noqa: E731
    text = lambda: align.conditioning(generator, PROMPT, n)  # noqa: E731
    if way == "naive":
        noise, generators = zip(*(generator.noise(seed, i) for i in range(n)))
        ids = torch.tensor([[side, side, 0, 0, side, side]], dtype=torch.float32).expand(2 * n, -1)
        with routed():
            z = torch.cat(noise)
            return naive.backward(pipe, text(), trial.steps, loss, z, trial.guidance, ids, list(generators))
    with adjusted.recorded(pipe, range(n), n) as recorded:
        samples = [Sample(i, Source((NAME,))) for i in range(n)]
        z = generator.denoise(Setting(PROMPT, seed, trial.steps, trial.guidance), samples)
        z = z.clone().requires_grad_()
    total = loss(z)
    g = torch.autograd.grad(total, z)[0].float()
    return total.item(), adjusted.backward(pipe, recorded, text, g, trial.guidance, routed)


def finetune(
    way: str, seed: int, profile: Profile, reader: SoftReader, trial: Trial
) -> tuple[list[float], list[list[float]]]:
    """The loss of each iteration (not a number where no face was found), and each iteration's gradient
    norms by sampler step. Ends early once the mean of ten losses has `FALLEN`."""
    profile = profile.but(guidance=trial.guidance)
    pipe = pipelines.load_pipeline(profile, "cpu")
    generator = PairedGenerator(pipe, Router(torch.nn.Module(), {}), profile, "cpu")
    even = {"gender": {"Female": 0.5, "Male": 0.5}}
    trained = align.fresh(generator, align.Config(prompts=(PROMPT,), target=even, rank=8, seed=seed))
    optimizer = torch.optim.AdamW(trained.factors, trial.learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
    loss = women(generator, reader)
    values, norms = [], []
    for _ in tqdm(range(trial.iterations), desc=f"{way}, seed {seed}"):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", generator.dtype, enabled=generator.mixed):
            value, scale = gradient(way, generator, loss, seed, trial)
        values.append(value)
        norms.append(scale)
        if np.isfinite(value) and all(f.grad is None or f.grad.isfinite().all() for f in trained.factors):
            descend([optimizer], trial.learning_rate)
        if len(values) >= 10 and np.nanmean(values[-10:]) < FALLEN * values[0]:
            break
    return values, norms


def compare(profile: Profile, reader: SoftReader, table: Path, picture: Path, trial: Trial = Trial()) -> dict:
    """Runs both ways with each seed, keeps their rows in the CSV file `table`, draws `picture`, and returns
    the mean losses of the first and last ten iterations and how many there were, and each way's median size
    of the first and the last sampler step's gradient. A run whose rows are there isn't repeated."""
    rows: list[dict[str, str]] = list(csv.DictReader(table.open(newline=""))) if table.is_file() else []
    for seed in trial.seeds:
        for way in WAYS:
            if not any(r["way"] == way and int(r["seed"]) == seed for r in rows):
                rows += rows_of(way, seed, *finetune(way, seed, profile, reader, trial))
                with table.open("w", newline="") as file:
                    writer = csv.DictWriter(file, rows[0])
                    writer.writeheader()
                    writer.writerows(rows)
    runs = {
        (way, seed): [r for r in rows if r["way"] == way and int(r["seed"]) == seed]
        for way in WAYS
        for seed in trial.seeds
    }
    draw(runs).savefig(picture, dpi=110)
    result = {f"{way}, seed {seed}": summary(found) for (way, seed), found in runs.items()}
    return {"steps": trial.steps, "guidance": trial.guidance, "images": trial.images, **result}


def rows_of(way: str, seed: int, values: list[float], norms: list[list[float]]) -> list[dict[str, str]]:
    """A run as rows of the table."""
    return [
        {
            "way": way,
            "seed": str(seed),
            "iteration": str(k),
            "loss": f"{value:.5g}",
            "norms": " ".join(f"{x:.3g}" for x in scale),
        }
        for k, (value, scale) in enumerate(zip(values, norms), 1)
    ]


def summary(rows: list[dict[str, str]]) -> dict[str, float]:
    """What a run came to."""
    values, norms = losses_and_norms(rows)
    return {
        "iterations": len(values),
        "first_10": round(float(np.nanmean(values[:10])), 3),
        "last_10": round(float(np.nanmean(values[-10:])), 4),
        "norm_first_step": float(f"{np.median(norms[:, 0]):.3g}"),
        "norm_last_step": float(f"{np.median(norms[:, -1]):.3g}"),
    }


def losses_and_norms(rows: list[dict[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    """A run's losses (iterations,) and gradient norms (iterations, steps)."""
    return np.array([float(r["loss"]) for r in rows]), np.array(
        [[float(x) for x in r["norms"].split()] for r in rows]
    )


def draw(runs: dict[tuple[str, int], list[dict[str, str]]]) -> Figure:
    """Left the losses, right the size of each sampler step's gradient, by way; one line a seed."""
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for (way, seed), rows in runs.items():
        values, norms = losses_and_norms(rows)
        smooth = [np.nanmean(values[max(0, i - 9) : i + 1]) for i in range(len(values))]
        left.plot(smooth, color=COLOURS[way], alpha=0.85, label=way if seed == 0 else None)
        right.plot(
            range(1, norms.shape[1] + 1),
            np.median(norms, 0),
            color=COLOURS[way],
            alpha=0.85,
            marker=".",
            label=way if seed == 0 else None,
        )
    left.set(title="Loss (cross-entropy to “Female”), mean of 10", xlabel="iteration", ylim=(0, None))
    right.set(
        title="Median size of each step's gradient", xlabel="sampler step, from noise to image", yscale="log"
    )
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return figure
