"""What the embedded world hands to trainings: its people, and its true faces."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from tqdm import tqdm

from fairdemo.readers.read import FaceReader
from fairdemo.stats.attributes import GENDERS, RACES, age_group, band
from fairdemo.training.denoise import OwnPeople, People
from fairdemo.training.soft_reader import bank
from fairdemo.world import build, corpus, people
from fairdemo.world.portrait import draw


def balanced_professions(work: Path) -> OwnPeople:
    """The balanced people, without the professions that adapters are measured on; drawn into `work`."""

    def made(pipe: DiffusionPipeline) -> People:
        table, z = build.latents(pipe.vae, "balanced", work)
        seen = ~table.subject.isin(build.HELD_OUT).to_numpy()
        rows = list(table[seen].itertuples())
        captions = lambda picked, rng: [corpus.caption(rows[i], rng) for i in picked]  # noqa: E731
        return labels(rows), z[torch.from_numpy(seen)], captions

    return made


def wide_corpus(work: Path) -> OwnPeople:
    """People as varied as their groups are, drawn into `work`. Half of the captions name the race, so that
    adapters vary both "a photo of a doctor" and "a photo of an Indian doctor"."""

    def made(pipe: DiffusionPipeline) -> People:
        table, z = build.latents(pipe.vae, "balanced", work)
        rows = list(table.itertuples())

        def captions(picked: np.ndarray, rng: np.random.Generator) -> list[str]:
            return [corpus.caption(rows[i], rng, ("race",) if rng.random() < 0.5 else ()) for i in picked]

        return labels(rows), z, captions

    return made


PEOPLE: dict[str, Callable[[Path], OwnPeople]] = {"inc": balanced_professions, "div": wide_corpus}


def labels(rows: list) -> list[dict[str, str]]:
    """Who people are."""
    return [{"race": r.race, "gender": r.gender, "age": band(age_group(r.age))} for r in rows]


def true_faces(reader: FaceReader, n: int = 20) -> torch.Tensor:
    """Unit vectors (m, d) of true faces: n portraits of each race and gender."""
    rng = np.random.default_rng(5)
    who = [(r, g) for r in RACES for g in GENDERS for _ in range(n)]
    portraits = [
        Image.fromarray(draw(people.sample(rng, r, g, rng.uniform(22, 75)), 128, 3000 + i, 1.5))
        for i, (r, g) in enumerate(tqdm(who, desc="drawing people"))
    ]
    return bank(reader, portraits)
