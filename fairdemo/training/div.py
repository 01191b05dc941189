"""SDXL-Div (arXiv 2402.01002): one LoRA per race on faces that vary widely, against the sameness inside a race. What it does is measured as the cosine similarity of face
embeddings within a race: the lower, the more the faces differ."""

from pathlib import Path

import numpy as np
from diffusers import DiffusionPipeline

from fairdemo import models
from fairdemo.adapters import Router
from fairdemo.attributes import TARGET_CLASSES, band
from fairdemo.faces import FaceReader
from fairdemo.generate import PairedGenerator
from fairdemo.measure import likeness
from fairdemo.prompts import photo_of
from fairdemo.training import denoise
from fairdemo.training.denoise import Config

DEFAULTS = Config(("race",), iterations=2000, batch=40, peak=3e-3, ema=0.995, strength=1.0, seed=23)


def run(profile: str, config: Config, out: Path, work: Path) -> list[Path]:
    """A whole run, see `denoise.run`; the embedded world's faces are those of its wide corpus, drawn into `work`."""
    return denoise.run(profile, config, out, "varied faces", lambda pipe: wide_corpus(pipe, work), effect)


def wide_corpus(pipe: DiffusionPipeline, work: Path) -> tuple:
    """Labels, latents and captions of the embedded world's people as varied as their groups are. Half of the captions name the race, so that the adapters vary both "a photo of a
    doctor" and "a photo of an Indian doctor"."""
    from fairdemo.world import build, corpus

    table, z = build.latents(pipe.vae, "balanced", work)
    rows = list(table.itertuples())
    labels = [{"race": r.race, "gender": r.gender, "age": band(build.age_group(r.age))} for r in rows]
    return (
        labels,
        z,
        lambda picked, rng: [
            corpus.caption(rows[i], rng, ("race",) if rng.random() < 0.5 else ()) for i in picked
        ],
    )


def effect(
    profile: models.Profile,
    pipe: DiffusionPipeline,
    router: Router,
    cells: dict[str, tuple[str, ...]],
    n: int = 32,
) -> str:
    """Within-race similarity of faces drawn for "a photo of a <race> person", before and after, in words."""
    generator, reader = (
        PairedGenerator(pipe, router, profile, str(pipe.unet.device)),
        FaceReader(profile.source("classifier"), str(pipe.unet.device)),
    )
    lines = [
        "Cosine similarity of face embeddings within a race (95 % intervals), as perceived by the classifier, of generated faces:",
        "",
        "| | baseline | adapter | faces | race right |",
        "| --- | --- | --- | --- | --- |",
    ]
    for k, race in enumerate(TARGET_CLASSES["race"]):
        names = [name for name, cell in cells.items() if race in cell]
        faces = []
        for route in ([()], [(name,) for name in names]):
            images = generator.draw(
                photo_of(f"{race} person"),
                600_000 + k,
                [(i, route[i % len(route)]) for i in range(n)],
                profile.steps,
                profile.guidance,
            )
            faces.append([f[0] for f in reader.read(images) if f])
        alike = [likeness(np.array([f.embedding for f in found])) for found in faces]
        shown = [f"{e.value:.3f} ({e.interval[0]:.3f} to {e.interval[1]:.3f})" for e in alike]
        lines.append(
            f"| {race} | {shown[0]} | {shown[1]} | {len(faces[1])} of {n} | {sum(f.race == race for f in faces[1])} |"
        )
    return "\n".join(lines)
