"""The embedded world's own training data: its portraits are drawn again from their seeds."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from fairdemo.data.item import Item
from fairdemo.stats.attributes import age_group
from fairdemo.world import corpus
from fairdemo.world.portrait import draw

SETS = {"embedded": "biased", "embedded balanced": "balanced"}  # names of corpora, as the builder knows them
SIDE = 128  # px, as training has them
BLUR = 1.5  # as in training


class Embedded:
    """A corpus of drawn people."""

    drawn, notice = True, ""

    def __init__(self, source: str):
        self.table = table(SETS[source])
        self.count = len(self.table)

    def items(self, numbers: Sequence[int]) -> list[Item]:
        """Portraits with a caption each, as training has them."""
        rows = list(self.table.iloc[list(numbers)].itertuples())
        with ThreadPoolExecutor(2) as pool:
            drawn = pool.map(portrait, rows)
        return [
            Item(corpus.training_caption(r, np.random.default_rng([r.seed, 3])), x)
            for r, x in zip(rows, drawn)
        ]

    def fingerprint(self) -> str:
        """A hash of its people."""
        return hashlib.sha256(self.table.to_csv().encode()).hexdigest()

    def truth(self, numbers: Sequence[int]) -> pd.DataFrame:
        """Who its people are."""
        own = self.table.iloc[list(numbers)].reset_index(drop=True)
        return own.assign(age=[age_group(years) for years in own.age])[["race", "gender", "age"]]


@lru_cache(2)
def table(name: str) -> pd.DataFrame:
    """A corpus' people, a row each."""
    from fairdemo.world import build  # heavy, and only needed here

    return build.TABLES[name]()


def portrait(row: Any) -> Image.Image:
    """A person of a corpus."""
    return Image.fromarray(draw(corpus.person(row), SIDE, row.seed, BLUR))
