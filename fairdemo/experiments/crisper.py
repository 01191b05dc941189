"""What the decoder of twice the size gives, against the autoencoder's own image enlarged: sharpness, labels,
likeness to drawings, time."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy.linalg import sqrtm
from tqdm import tqdm

from fairdemo.models.generating import PairedGenerator
from fairdemo.models.sampling import by_default, through
from fairdemo.pairs import Face
from fairdemo.readers import embed
from fairdemo.readers.read import FaceReader
from fairdemo.stats.attributes import ATTRIBUTES, GENDERS, RACES
from fairdemo.stats.prompts import PROFESSIONS, photo_of
from fairdemo.studio.live import Live
from fairdemo.world import build, corpus, parts, tiny

SEED = 90_000  # of the first prompt; training's are 70,000 and on
GRID = 10  # faces in a row and in a column of the card's picture
HEAD = (slice(24, 184), slice(48, 208))  # rows and columns of a face in it
LARGEST = 300_000  # bytes of the picture


@dataclass(frozen=True)
class Twofold:
    """The same faces at both sizes, uint8 (n, side, side, 3)."""

    small: np.ndarray
    large: np.ndarray

    @property
    def enlarged(self) -> np.ndarray:
        """What was shown before: the small image enlarged."""
        size = self.large.shape[1:3]
        return np.stack(
            [np.asarray(Image.fromarray(x).resize(size, Image.Resampling.BICUBIC)) for x in self.small]
        )


def decoded(generator: PairedGenerator, latents: torch.Tensor) -> Twofold:
    """Latents (n, c, h, w) at both sizes."""
    pairs = [pair for z in latents.float().split(32) for pair in generator.decode_twofold(z)]
    small, large = (np.stack([np.asarray(image) for image in side]) for side in zip(*pairs))
    return Twofold(small, large)


def kept(path: Path, make: Callable[[], torch.Tensor]) -> torch.Tensor:
    """Latents from a file, made if it isn't there."""
    if not path.exists():
        save_file({"z": make().half()}, path)
    return load_file(path)["z"]


def same_cells(generator: PairedGenerator, table) -> torch.Tensor:
    """Latents of the baseline for people of the ages, races and genders in a table, named in the prompt."""
    nouns = dict(zip(GENDERS, ("woman", "man")))
    people = Counter(f"{corpus.age_word(r.age)} {r.race} {nouns[r.gender]}" for r in table.itertuples())
    return torch.cat(
        [
            generator.denoise(by_default(generator.profile, photo_of(who), SEED + k), through([()], n))
            for k, (who, n) in enumerate(tqdm(sorted(people.items()), desc="people of the same cells"))
        ]
    )


def walls(generator: PairedGenerator) -> torch.Tensor:
    """Latents of each profession at the baseline and through every adapter of a race and gender."""
    routes = [(), *((f"{race} {gender}",) for race in RACES for gender in GENDERS)]
    return torch.cat(
        [
            generator.denoise(by_default(generator.profile, photo_of(p), SEED + 500 + k), through(routes, 1))
            for k, p in enumerate(tqdm(PROFESSIONS, desc="walls"))
        ]
    )


def gradient(images: np.ndarray) -> float:
    """Mean difference of neighbouring pixels, in [0, 1]."""
    x = (image.astype(np.float32) / 255 for image in images)
    return float(
        np.mean([(np.abs(np.diff(i, axis=0)).mean() + np.abs(np.diff(i, axis=1)).mean()) / 2 for i in x])
    )


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Frechet distance of two sets of vectors (n, d), as Gaussians."""
    (m, s), (k, t) = ((v.mean(0), np.cov(v.T)) for v in (a.astype(float), b.astype(float)))
    return float(((m - k) ** 2).sum() + np.trace(s + t - 2 * np.real(sqrtm(s @ t))))


def read(reader: FaceReader, images: np.ndarray) -> list[list[Face]]:
    """The faces in each image."""
    pictures = [Image.fromarray(x) for x in images]
    return [faces for i in range(0, len(pictures), 64) for faces in reader.read(pictures[i : i + 64])]


def labels(found: list[list[Face]]) -> list[dict[str, str] | None]:
    """What was read in each image's largest face."""
    return [{a: faces[0].label(a) for a in ATTRIBUTES} if faces else None for faces in found]


def vectors(found: list[list[Face]]) -> np.ndarray:
    """The embeddings (n, d) of the largest faces."""
    return np.stack([faces[0].embedding for faces in found if faces])


def in_same_box(
    reader: FaceReader, found: list[list[Face]], large: np.ndarray
) -> list[dict[str, str] | None]:
    """What is read in the large images within the small ones' boxes."""
    scale, b = large.shape[1] / tiny.SIZE, reader.backbone
    crops = [
        embed.crop(Image.fromarray(x), faces[0].enlarged(scale).box, b.side, b.margin)
        for faces, x in zip(found, large)
        if faces
    ]
    told = iter(reader.label(b.embed(np.stack(crops))))
    best = lambda ps: {a: max(ps[a], key=ps[a].__getitem__) for a in ATTRIBUTES}  # noqa: E731
    return [best(next(told)) if faces else None for faces in found]


def agreement(
    some: list[dict[str, str] | None], others: list[dict[str, str] | None]
) -> dict[str, float | int]:
    """Share of the faces found in both whose labels are the same, by attribute."""
    both = [(a, b) for a, b in zip(some, others) if a and b]
    return {k: round(float(np.mean([a[k] == b[k] for a, b in both])), 4) for k in ATTRIBUTES} | {
        "n": len(both)
    }


def seconds(generator: PairedGenerator, latents: torch.Tensor, times: int = 5) -> dict[str, float]:
    """Time of decoding an image: for readers alone, and with the one to show."""
    took: dict[str, list[float]] = {"read": [], "read_and_shown": []}
    for _ in range(times):
        for name, decode in (("read", generator.decode), ("read_and_shown", generator.decode_twofold)):
            start = time.perf_counter()
            decode(latents)
            took[name].append((time.perf_counter() - start) / len(latents))
    return {name: round(float(np.median(t)), 5) for name, t in took.items()} | {
        "threads": torch.get_num_threads()
    }


def of_portraits(live: Live, work: Path) -> dict:
    """Drawings that nothing was trained on, through the autoencoder."""
    table, reader = build.TABLES["crisp_test"](), live.reader
    images = build.drawn(table, "crisp_test", work, 2 * tiny.SIZE)
    both = decoded(live.generator, tiny.encode(live.generator.pipeline.vae, build.halved(images)))
    true, before, after = (read(reader, x) for x in (images, both.small, both.large))
    sharp, goal = gradient(images), vectors(true)
    return {
        "n": len(images),
        "gradient_before": round(gradient(both.enlarged) / sharp, 4),
        "gradient": round(gradient(both.large) / sharp, 4),
        "frechet_before": round(frechet(vectors(before), goal), 5),
        "frechet": round(frechet(vectors(after), goal), 5),
        "same_labels_as_drawing_before": agreement(labels(true), labels(before)),
        "same_labels_as_drawing": agreement(labels(true), labels(after)),
    }


def of_generated(live: Live, checker: parts.PartsChecker, both: Twofold) -> tuple[dict, list[np.ndarray]]:
    """Labels and whole faces of generated images at both sizes, and the faces' vectors (n, d). Labels of the
    small image against those of the large one: within the same box, and found and read anew."""
    reader = live.reader
    before, after = read(reader, both.small), read(reader, both.large)
    result: dict = {
        "n": len(both.small),
        "same_labels_in_the_same_box": agreement(labels(before), in_same_box(reader, before, both.large)),
        "same_labels_read_anew": agreement(labels(before), labels(after)),
    }
    for name, found, small in (("_before", before, both.small), ("", after, build.halved(both.large))):
        result[f"one_face{name}"] = round(float(np.mean([len(faces) == 1 for faces in found])), 4)
        result[f"whole{name}"] = round(float(parts.whole(checker, small).mean()), 4)
    return result, [vectors(before), vectors(after)]


def of_same_cells(live: Live, checker: parts.PartsChecker, work: Path) -> dict:
    """People of the same cells as drawings, by their features and gradients."""
    table, generator = build.TABLES["crisp_reference"](), live.generator
    images = build.drawn(table, "crisp_reference", work, 2 * tiny.SIZE)
    both = decoded(generator, kept(work / "crisp_cells.safetensors", lambda: same_cells(generator, table)))
    found, (before, after) = of_generated(live, checker, both)
    sharp, goal = gradient(images), vectors(read(live.reader, images))
    half = len(goal) // 2
    return found | {
        "gradient_before": round(gradient(both.enlarged) / sharp, 4),
        "gradient": round(gradient(both.large) / sharp, 4),
        "frechet_before": round(frechet(before, goal), 5),
        "frechet": round(frechet(after, goal), 5),
        "frechet_of_halves_of_the_drawings": round(frechet(goal[:half], goal[half:]), 5),
    }


def of_walls(live: Live, checker: parts.PartsChecker, work: Path) -> tuple[dict, Twofold]:
    """Professions at the baseline and through adapters; and for comparison, labels of the small image
    enlarged, found and read anew."""
    z = kept(work / "crisp_walls.safetensors", lambda: walls(live.generator))
    both = decoded(live.generator, z)
    found, _ = of_generated(live, checker, both)
    enlarged, before = (labels(read(live.reader, x)) for x in (both.enlarged, both.small))
    found["same_labels_enlarged_read_anew"] = agreement(before, enlarged)
    return found | {"seconds": seconds(live.generator, z[:32].float())}, both


def measure(live: Live, checker: parts.PartsChecker, work: Path, card: Path) -> dict:
    """All of it; the grids are written to `card`."""
    on_walls, both = of_walls(live, checker, work)
    order = np.random.default_rng(0).permutation(len(both.small))[: GRID**2]
    picture(Twofold(both.small[order], both.large[order]), card)
    return {
        "portraits": of_portraits(live, work),
        "same_cells": of_same_cells(live, checker, work),
        "walls": on_walls,
    }


def picture(both: Twofold, path: Path) -> None:
    """A grid of faces as they were shown, beside the same as they are."""
    sides = [
        np.concatenate([np.concatenate(list(x[i : i + GRID, *HEAD]), 1) for i in range(0, GRID**2, GRID)])
        for x in (both.enlarged, both.large)
    ]
    gap = np.full((len(sides[0]), 24, 3), 255, np.uint8)
    image = Image.fromarray(np.concatenate([sides[0], gap, sides[1]], 1))
    for quality in range(90, 10, -4):
        image.save(path, "WEBP", quality=quality, method=6)
        if path.stat().st_size <= LARGEST:
            return
