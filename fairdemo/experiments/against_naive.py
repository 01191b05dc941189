"""Adjusted against naive direct finetuning on a small task, as in figure 1 of arXiv 2311.07604: five soft
tokens before one prompt are fitted to one fixed image by semantics alone, from new noise each iteration.
Three gradients: the naive one, through the whole sampler; the adjusted one with the sampler's own weights
A_t; and the adjusted one with these standardised, which `train align` takes."""

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from tqdm import tqdm

from fairdemo.experiments import naive
from fairdemo.models import pipelines
from fairdemo.models.generating import PairedGenerator
from fairdemo.models.profiles import Profile
from fairdemo.models.routing import Router
from fairdemo.models.sampling import Sample, Setting, by_default
from fairdemo.readers.vision import to_tensor
from fairdemo.stats.mix import Source
from fairdemo.training import adjusted, align
from fairdemo.training.align import NAME
from fairdemo.training.looks import Look
from fairdemo.training.steps import descend

PROMPT = "a photo of a doctor"
FIXED = "a photo of a firefighter"  # what the image shows that the tokens are fitted to
WAYS = ("naive", "adjusted, A_t kept", "adjusted")
COLOURS = {"naive": "#B5367A", "adjusted, A_t kept": "#D98C21", "adjusted": "#2A788E"}


@dataclass(frozen=True)
class Trial:
    """How the three ways are compared; the number of iterations and of tokens is the paper's."""

    seeds: tuple[int, ...] = (0, 1, 2)
    iterations: int = 1000
    steps: int = 12  # of the sampler
    guidance: float = 7.5
    images: int = 1  # an iteration
    learning_rate: float = 1e-3


TRIALS = (Trial(), Trial(seeds=(0,), steps=50))
Loss = Callable[[torch.Tensor], torch.Tensor]  # of latents z_0 (n, c, h, w)


def unlike(generator: PairedGenerator, looks: list[Look], image: torch.Tensor) -> Loss:
    """1 less the cosine similarity to one image (1, 3, h, w) in [-1, 1], averaged over images and `looks`."""
    with torch.no_grad():
        wanted = [look(image) for look in looks]

    def loss(z: torch.Tensor) -> torch.Tensor:
        x = generator.pipeline.vae.decode(generator.unscaled(z)).sample.float()
        return 1 - torch.stack([(look(x) * goal).sum(-1).mean() for look, goal in zip(looks, wanted)]).mean()

    return loss


def gradient(
    way: str, generator: PairedGenerator, loss: Loss, seed: int, slots: range, trial: Trial
) -> tuple[float, list[float]]:
    """Adds one way's gradient to what is trained; the loss, and the norm of each sampler step's gradient."""
    pipe, n, side = generator.pipeline, len(slots), generator.profile.size
    routed = lambda: generator.router.routed([(NAME,)] * n)  # noqa: E731
    text = lambda: align.conditioning(generator, PROMPT, n)  # noqa: E731
    if way == "naive":
        noise, generators = zip(*(generator.noise(seed, i) for i in slots))
        ids = torch.tensor([[side, side, 0, 0, side, side]], dtype=torch.float32).expand(2 * n, -1)
        with routed():
            z = torch.cat(noise)
            return naive.backward(pipe, text(), trial.steps, loss, z, trial.guidance, ids, list(generators))
    with adjusted.recorded(pipe, range(n), n) as recorded:
        samples = [Sample(i, Source((NAME,))) for i in slots]
        z = generator.denoise(Setting(PROMPT, seed, trial.steps, trial.guidance), samples)
        z = z.clone().requires_grad_()
    total = loss(z)
    g = torch.autograd.grad(total, z)[0].float()
    if way != "adjusted":
        kept = naive.weights(pipe.scheduler, trial.steps)
        recorded = [replace(step, scale=-a) for step, a in zip(recorded, kept, strict=True)]
    return total.item(), adjusted.backward(pipe, recorded, text, g, trial.guidance, routed)


def finetune(
    way: str, seed: int, profile: Profile, looks: list[Look], trial: Trial
) -> tuple[list[float], list[list[float]]]:
    """The loss of each iteration and its gradient norms by sampler step. The fixed image is drawn from a
    noise of the seed's own."""
    profile = profile.but(guidance=trial.guidance)
    pipe = pipelines.load_pipeline(profile, "cpu")
    generator = PairedGenerator(pipe, Router(torch.nn.Module(), {}), profile, "cpu")
    [fixed] = generator.draw(by_default(profile, FIXED, 70_000 + seed), [Sample(0, Source())])
    even = {"gender": {"Female": 0.5, "Male": 0.5}}
    soft = align.Config(prompts=(PROMPT,), target=even, parts=("tokens",), seed=seed)
    trained = align.fresh(generator, soft)
    optimizer = torch.optim.AdamW(trained.factors, trial.learning_rate, betas=(0.9, 0.99), weight_decay=0.0)
    loss = unlike(generator, looks, to_tensor(np.asarray(fixed)[None]))
    values, norms = [], []
    for k in tqdm(range(trial.iterations), desc=f"{way}, {trial.steps} steps, seed {seed}"):
        optimizer.zero_grad(set_to_none=True)
        slots = range(k * trial.images, (k + 1) * trial.images)
        with torch.autocast("cpu", generator.dtype, enabled=generator.mixed):
            value, scale = gradient(way, generator, loss, seed, slots, trial)
        values.append(value)
        norms.append(scale)
        if all(f.grad is None or f.grad.isfinite().all() for f in trained.factors):
            descend([optimizer], trial.learning_rate)
    return values, norms


Rows = list[dict[str, str]]


def compare(profile: Profile, looks: list[Look], table: Path, picture: Path) -> dict:
    """Runs all ways of `TRIALS` with each seed, keeps their rows in the CSV file `table`, draws `picture`,
    and returns each run's mean losses of the first and last fifty iterations, and the median size of the
    first and the last sampler step's gradient. A run whose rows are there isn't repeated."""
    rows: Rows = list(csv.DictReader(table.open(newline="", encoding="utf-8"))) if table.is_file() else []
    runs: dict[tuple[str, int, int], Rows] = {}
    for trial in TRIALS:
        for seed in trial.seeds:
            for way in WAYS:
                key = (way, trial.steps, seed)
                runs[key] = [r for r in rows if (r["way"], int(r["steps"]), int(r["seed"])) == key]
                if not runs[key]:
                    runs[key] = rows_of(*key, *finetune(way, seed, profile, looks, trial))
                    rows += runs[key]
                    with table.open("w", newline="", encoding="utf-8") as file:
                        writer = csv.DictWriter(file, rows[0])
                        writer.writeheader()
                        writer.writerows(rows)
    draw(runs).savefig(picture, dpi=110)
    result = {f"{way}, {steps} steps, seed {seed}": summary(r) for (way, steps, seed), r in runs.items()}
    return {"guidance": TRIALS[0].guidance, "images": TRIALS[0].images, **result}


def rows_of(way: str, steps: int, seed: int, values: list[float], norms: list[list[float]]) -> Rows:
    """A run as rows of the table."""
    return [
        {
            "way": way,
            "steps": str(steps),
            "seed": str(seed),
            "iteration": str(k),
            "loss": f"{value:.5g}",
            "norms": " ".join(f"{x:.3g}" for x in scale),
        }
        for k, (value, scale) in enumerate(zip(values, norms), 1)
    ]


def summary(rows: Rows) -> dict[str, float]:
    """What a run came to."""
    values, norms = losses_and_norms(rows)
    return {
        "iterations": len(values),
        "first_50": round(float(np.mean(values[:50])), 4),
        "last_50": round(float(np.mean(values[-50:])), 4),
        "norm_first_step": float(f"{np.median(norms[:, 0]):.3g}"),
        "norm_last_step": float(f"{np.median(norms[:, -1]):.3g}"),
    }


def losses_and_norms(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """A run's losses (iterations,) and gradient norms (iterations, steps)."""
    return np.array([float(r["loss"]) for r in rows]), np.array(
        [[float(x) for x in r["norms"].split()] for r in rows]
    )


def draw(runs: dict[tuple[str, int, int], Rows]) -> Figure:
    """A row for each number of sampler steps: left the losses, right the size of each step's gradient, by
    way; one line a seed."""
    counts = sorted({steps for _, steps, _ in runs})
    figure = Figure(figsize=(10, 3.6 * len(counts)), layout="constrained")
    grid = figure.subplots(len(counts), 2, squeeze=False)
    for (way, steps, seed), rows in runs.items():
        left, right = grid[counts.index(steps)]
        values, norms = losses_and_norms(rows)
        smooth = [values[max(0, i - 49) : i + 1].mean() for i in range(len(values))]
        look = {"color": COLOURS[way], "alpha": 0.85, "label": way if seed == 0 else None}
        left.plot(smooth, **look)
        right.plot(range(1, steps + 1), np.median(norms, 0), marker=".", **look)
    for steps, (left, right) in zip(counts, grid):
        left.set(
            title=f"Distance to the image, {steps} steps, mean of 50", xlabel="iteration", ylim=(0, None)
        )
        right.set(
            title="Median size of each step's gradient",
            xlabel="sampler step, from noise to image",
            yscale="log",
        )
        for axes in (left, right):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False)
    return figure
