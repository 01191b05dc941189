"""Adjusted against naive direct finetuning on a task with fixed targets, as in figure 1 of arXiv 2311.07604: every image of one prompt, from noise that stays the same, is to be
classified as a woman. LoRA on the text encoders; both ways with the same optimizer, rate, noise and start."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch.nn import functional as F
from tqdm import tqdm

from fairdemo import models
from fairdemo.adapters import Router
from fairdemo.attributes import GENDERS
from fairdemo.generate import PairedGenerator
from fairdemo.models import Profile
from fairdemo.training import adjusted, align, naive
from fairdemo.training.align import NAME, pictures
from fairdemo.training.soft_reader import SoftReader
from fairdemo.training.steps import descend

PROMPT = "a photo of a doctor"
WAYS = ("naive", "adjusted")
FALLEN = 0.01  # a loss below this share of where it began has no further to fall; its run ends
COLOURS = {"naive": "#B5367A", "adjusted": "#2A788E"}


def finetune(
    way: str,
    seed: int,
    profile: Profile,
    reader: SoftReader,
    iterations: int,
    steps: int,
    guidance: float,
    images: int,
    peak: float,
) -> tuple[list[float], list[list[float]]]:
    """The loss of each iteration (not a number where no face was found), and each iteration's gradient norms by sampler step. Ends early once the mean of ten losses has `FALLEN`."""
    profile = replace(profile, guidance=guidance)
    generator = PairedGenerator(
        models.load_pipeline(profile, "cpu"), Router(torch.nn.Module(), {}), profile, "cpu"
    )
    pipe = generator.pipeline
    trained = align.fresh(
        generator, align.Config((PROMPT,), {"gender": {"Female": 0.5, "Male": 0.5}}, rank=8, seed=seed)
    )
    rule = torch.optim.AdamW(trained.factors, peak, betas=(0.9, 0.99), weight_decay=0.0)
    samples: list[tuple[str, ...]] = [(NAME,)] * images
    target = torch.full((images,), GENDERS.index("Female"))
    ids = torch.tensor(
        [[profile.size, profile.size, 0, 0, profile.size, profile.size]], dtype=torch.float32
    ).expand(2 * images, -1)

    def loss(z: torch.Tensor) -> torch.Tensor:
        x = pipe.vae.decode(generator.unscaled(z)).sample.float()
        boxes = reader.boxes(pictures(x))
        has = [i for i, b in enumerate(boxes) if b is not None]
        if not has:
            return z.sum() * torch.nan
        return F.cross_entropy(
            reader.logits(reader.embed(x[has], [boxes[i] for i in has]))["gender"], target[has]
        )

    values, norms = [], []
    for _ in tqdm(range(iterations), desc=f"{way}, seed {seed}"):
        rule.zero_grad(set_to_none=True)
        with torch.autocast("cpu", generator.dtype, enabled=generator.mixed):
            if way == "naive":
                noise, generators = zip(*(generator.noise(seed, i) for i in range(images)))
                with generator.router.routed(samples):
                    value, scale = naive.backward(
                        pipe,
                        align.conditioning(generator, PROMPT, samples),
                        steps,
                        loss,
                        torch.cat(noise),
                        profile.guidance,
                        ids,
                        list(generators),
                    )
            else:
                with adjusted.recorded(pipe, range(images), images) as recorded:
                    z = (
                        generator.denoise(PROMPT, seed, list(enumerate(samples)), steps, profile.guidance)
                        .clone()
                        .requires_grad_()
                    )
                total = loss(z)
                value, g = total.item(), torch.autograd.grad(total, z)[0].float()
                scale = adjusted.backward(
                    pipe,
                    recorded,
                    lambda: align.conditioning(generator, PROMPT, samples),
                    g,
                    profile.guidance,
                    lambda: generator.router.routed(samples),
                )
        values.append(value)
        norms.append(scale)
        if np.isfinite(value) and all(f.grad is None or f.grad.isfinite().all() for f in trained.factors):
            descend([rule], peak)
        if len(values) >= 10 and np.nanmean(values[-10:]) < FALLEN * values[0]:
            break
    return values, norms


def compare(
    profile: Profile,
    reader: SoftReader,
    table: Path,
    picture: Path,
    seeds: tuple[int, ...] = (0, 1, 2),
    iterations: int = 300,
    steps: int = 20,
    guidance: float = 7.5,
    images: int = 4,
    peak: float = 1e-3,
) -> dict:
    """Runs both ways with each seed, keeps their rows in the CSV file `table`, draws `picture`, and returns the mean losses of the first and last ten iterations and how many there were, and each way's median
    size of the first and the last sampler step's gradient. A run whose rows are there isn't repeated."""
    rows: list[dict[str, str]] = list(csv.DictReader(table.open(newline=""))) if table.is_file() else []
    for seed in seeds:
        for way in WAYS:
            if not any(r["way"] == way and int(r["seed"]) == seed for r in rows):
                values, norms = finetune(
                    way, seed, profile, reader, iterations, steps, guidance, images, peak
                )
                rows += [
                    {
                        "way": way,
                        "seed": str(seed),
                        "iteration": str(k + 1),
                        "loss": f"{v:.5g}",
                        "norms": " ".join(f"{x:.3g}" for x in scale),
                    }
                    for k, (v, scale) in enumerate(zip(values, norms))
                ]
                with table.open("w", newline="") as file:
                    writer = csv.DictWriter(file, rows[0])
                    writer.writeheader()
                    writer.writerows(rows)
    runs = {
        (way, seed): [r for r in rows if r["way"] == way and int(r["seed"]) == seed]
        for way in WAYS
        for seed in seeds
    }
    draw(runs).savefig(picture, dpi=110)
    result = {}
    for (way, seed), found in runs.items():
        values, norms = losses_and_norms(found)
        result[f"{way}, seed {seed}"] = {
            "iterations": len(values),
            "first_10": round(float(np.nanmean(values[:10])), 3),
            "last_10": round(float(np.nanmean(values[-10:])), 4),
            "norm_first_step": float(f"{np.median(norms[:, 0]):.3g}"),
            "norm_last_step": float(f"{np.median(norms[:, -1]):.3g}"),
        }
    return {"steps": steps, "guidance": guidance, "images": images, **result}


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
