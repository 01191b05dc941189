"""How far images and labels differ between processors with bfloat16 and those without: the same prompts,
noises and sources drawn in bfloat16 and in float32, and read by the same classifier."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from fairdemo.models.precision import DTYPES, VARIABLE
from fairdemo.pairs import Drawn
from fairdemo.request import Request
from fairdemo.stats import measure
from fairdemo.stats.attributes import CLASSES
from fairdemo.stats.prompts import ATTRIBUTES, PROFESSIONS, photo_of
from fairdemo.studio.live import Live
from fairdemo.studio.studio import Studio

SEED = 3_000_000  # nothing was trained or chosen on these noises
NOISES = 16


@contextmanager
def computing_in(dtype: str) -> Iterator[None]:
    """Within it, models that are loaded compute in float32 or bfloat16."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = dtype
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


@dataclass(frozen=True)
class Twice:
    """Images of one prompt and source, drawn in either dtype."""

    side: str  # "baseline" or "mix"
    prompt: str
    float32: list[Drawn]
    bfloat16: list[Drawn]

    def pixels(self) -> np.ndarray:
        """How far each image is from its twin, absolute, 0 to 255 (n, h, w, 3)."""
        pairs = zip(self.float32, self.bfloat16)
        return np.stack([np.abs(np.asarray(a.image, float) - np.asarray(b.image, float)) for a, b in pairs])

    def labels(self, attribute: str) -> list[tuple[str, str]]:
        """Both labels of an attribute, where both images have a face."""
        pairs = zip(self.float32, self.bfloat16)
        found = [(a.faces[0], b.faces[0]) for a, b in pairs if a.faces and b.faces]
        return [(a.label(attribute), b.label(attribute)) for a, b in found]


def draw_twice(prompts: list[str], n: int = NOISES, steps: int | None = None) -> list[Twice]:
    """Each prompt's n baseline images and the n of an unsteered mix for even race and gender, in both dtypes;
    at the profile's own steps unless others are given."""
    drawn: dict[str, list[list[Drawn]]] = {}
    for dtype in DTYPES:
        with computing_in(dtype):
            live = Live("embedded")
            live.load()
            studio, drawn[dtype] = Studio(live), []
            for k, prompt in enumerate(tqdm(prompts, desc=f"drawing in {dtype}")):
                asked = {"prompt": prompt, "n": n, "seed": SEED + k, "steps": steps}
                plan = studio.plan(Request.checked(**asked, target="uniform", steering=False))
                wanted = plan.samples(range(n))
                found = dict(zip(wanted, live.fresh(plan.setting, wanted)))
                pairs = [
                    (found[one] for one in (plan.samples([i])[0], plan.samples([i])[-1])) for i in range(n)
                ]
                drawn[dtype] += [list(side) for side in zip(*pairs)]
    places = [(side, prompt) for prompt in prompts for side in ("baseline", "mix")]
    return [Twice(*place, *both) for place, *both in zip(places, drawn["float32"], drawn["bfloat16"])]


def every_prompt() -> list[str]:
    """32 professions and 8 attributes."""
    return [*map(photo_of, PROFESSIONS), *(photo_of(f"{a} person") for a in ATTRIBUTES)]


def rows(found: list[Twice]) -> Iterator[tuple[str, str, str]]:
    """What, wanted, measured."""
    images = [one.pixels().mean((1, 2, 3)) for one in found]
    n = sum(map(len, images))
    yield (
        f"the same {n:,} images in float32 and in bfloat16: difference of a pixel, mean; of the worst image",
        "<= 1 of 255; <= 8",
        f"{np.concatenate(images).mean():.2f}; {np.concatenate(images).max():.1f}",
    )
    for attribute in CLASSES:
        pairs = [pair for one in found for pair in one.labels(attribute)]
        same = sum(a == b for a, b in pairs)
        low, high = measure.interval(same, len(pairs))
        yield (
            f"{attribute}: labels alike, of {len(pairs):,} faces that both have",
            ">= 98 %" if attribute != "age" else ">= 95 %",
            f"{same / len(pairs):.1%} ({low:.1%} to {high:.1%})",
        )
    for side in ("baseline", "mix"):
        moved = [
            np.mean([(b == "Female") - (a == "Female") for a, b in one.labels("gender")])
            for one in found
            if one.side == side
        ]
        mean = measure.mean([float(v) for v in moved])
        low, high = mean.interval
        yield (
            f"women by prompt, {side}: mean change of the share (paired); largest of {len(moved)} prompts",
            "0 within its interval",
            f"{100 * mean.value:+.2f} points ({100 * low:+.2f} to {100 * high:+.2f});"
            f" {100 * max(map(abs, moved)):.0f} points",
        )
