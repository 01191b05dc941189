"""Measures on counts: proportions with intervals, bias(P), distance to a target. No torch, no images."""

import itertools
from collections.abc import Mapping

from statsmodels.stats.proportion import proportion_confint


def interval(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for a proportion of `count` among `n` (n = 0 gives 0 to 1)."""
    if not 0 <= count <= n:
        raise ValueError(f"count must lie in 0 to n, got {count} of {n}")
    if n == 0:
        return 0.0, 1.0
    low, high = proportion_confint(count, n, alpha=1 - confidence, method="wilson")
    return float(low), float(high)


def proportions(counts: Mapping[str, int]) -> dict[str, float]:
    """Shares of counts; all zero when nothing was counted."""
    n = sum(counts.values())
    return {c: k / n if n else 0.0 for c, k in counts.items()}


def bias(counts: Mapping[str, int]) -> float:
    """bias(P) of arXiv 2311.07604, section 5.1: the mean of |share_i - share_j| over the K (K - 1) / 2 pairs of classes.

    0 is balance; for two classes 1 is all of one class. Classes with a count of 0 take part. 0.0 when nothing was counted.
    """
    pairs = list(itertools.combinations(proportions(counts).values(), 2))
    return sum(abs(a - b) for a, b in pairs) / len(pairs)


def total_variation(counts: Mapping[str, int], target: Mapping[str, float]) -> float:
    """Half the L1 distance between observed shares and the target: the share of images that would have to change class."""
    share = proportions(counts)
    return 0.5 * sum(abs(share.get(c, 0.0) - target.get(c, 0.0)) for c in {*share, *target})
