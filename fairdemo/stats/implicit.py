"""A brief implicit association test, scored: how much faster somebody sorts words where two kinds go together
than where two others do.

The test and its score are those of Nosek, Bar-Anan, Sriram, Axt and Greenwald 2014, PLoS ONE 9(12): e110938:
warm-up trials left out, latencies brought within 400 and 2,000 ms, a score for each pair of blocks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WARM_UP = 4  # trials at the beginning of a block that don't count
FASTEST, SLOWEST = 400, 2000  # milliseconds that a latency is brought within
TOO_SLOW = 10_000  # milliseconds from which on a trial doesn't count
GUESSED, MOST_GUESSED = 300, 0.1  # whoever is faster than this in more of the trials doesn't count


@dataclass(frozen=True)
class Block:
    """A block's latencies in milliseconds, until the right answer, in their order; whether it is one in which
    the kinds go together that the score is about."""

    together: bool
    latencies: Sequence[float]


def d_score(blocks: Sequence[Block]) -> float | None:
    """D, -2 to 2: the mean latency where the kinds don't go together minus that where they do, in standard
    deviations of both, mean over pairs of blocks as they followed each other. Above 0: faster where they go
    together. None for whoever answered faster than one can read in more than a tenth of the trials, or has
    a block without trials that count. ValueError if blocks don't come in pairs of both kinds."""
    pairs = list(zip(blocks[::2], blocks[1::2]))
    if not pairs or len(blocks) % 2 or any(a.together == b.together for a, b in pairs):
        raise ValueError(
            f"{len(blocks)} blocks; expected pairs in which the kinds go together in one of both"
        )
    every = np.array([ms for block in blocks for ms in block.latencies[WARM_UP:]], float)
    if not len(every) or (every < GUESSED).mean() > MOST_GUESSED:
        return None
    scores = [_score(*sorted(pair, key=lambda block: block.together)) for pair in pairs]
    return None if any(math.isnan(score) for score in scores) else float(np.mean(scores))


def _score(apart: Block, together: Block) -> float:
    """The score of a pair of blocks; nan where nothing counts, or nothing varies."""
    kept = []
    for block in (apart, together):
        own = np.array(block.latencies[WARM_UP:], float)
        kept.append(np.clip(own[own < TOO_SLOW], FASTEST, SLOWEST))
    both = np.concatenate(kept)
    if min(map(len, kept)) < 2 or not both.std(ddof=1):
        return math.nan
    return float((kept[0].mean() - kept[1].mean()) / both.std(ddof=1))
