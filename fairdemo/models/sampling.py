"""What is asked of a generator: settings, samples, and which of them make a batch. It knows no diffusers, so
that a page or a report that draws nothing doesn't wait for it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from fairdemo.models.profiles import Profile
from fairdemo.stats.mix import BASELINE, Source

LAST = 6  # slots that are drawn together at the end of a steered wall


@dataclass(frozen=True)
class Setting:
    """What all samples of a drawing share."""

    prompt: str
    seed: int
    steps: int  # of the sampler
    guidance: float


@dataclass(frozen=True)
class Sample:
    """One image to draw: a slot, which has its noise, and the source it is drawn with."""

    slot: int
    source: Source = BASELINE


Shot = tuple[Setting, Sample]  # an image to draw wherever it belongs


def by_default(profile: Profile, prompt: str, seed: int) -> Setting:
    """A drawing with a profile's own steps and guidance."""
    return Setting(prompt, seed, profile.steps, profile.guidance)


def through(adapters: Iterable[tuple[str, ...]], n: int) -> list[Sample]:
    """n images through each combination of adapters, all from the same noises."""
    return [Sample(i, Source(names)) for names in adapters for i in range(n)]


class Cancelled(Exception):
    """Raised inside a running batch once its `cancel` event is set."""


def next_batch(profile: Profile, todo: list[int], first: bool, steered: bool) -> list[int]:
    """The slots of `todo` to draw together: few at first, so that something shows early; when the rest is
    `steered`, smaller towards the end, so that the last images can make up for what went otherwise. The
    last few go together: a batch of one or two costs nearly what five do."""
    size = profile.first if first else profile.batch
    if steered and len(todo) > LAST:
        size = min(size, math.ceil(len(todo) / 2))
    return todo[:size]
