"""When enough images were seen: looks at planned numbers of images, and a confidence sequence that holds at
every number. Both keep their promise although they end by what was seen."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from fairdemo.stats.measure import MISS, interval

# At which share of the most images a share is looked at, and how much of the miss each look may use.
LOOKS = ((0.3, 1 / 11), (0.6, 1 / 11), (1.0, 9 / 11))


@dataclass(frozen=True)
class Look:
    """One planned look: after how many images, and what its interval may miss."""

    n: int
    miss: float


@lru_cache(64)
def looks(half_width: float, miss: float = MISS) -> tuple[Look, ...]:
    """The looks that end with an interval of at most plus and minus `half_width` (0.02 to 0.4), whatever the
    share is; their misses sum to `miss` (Bonferroni), so the interval at the look that ends it covers.

    For 10 points: 32, 64 and 108 images, with misses of 0.005, 0.005 and 0.045."""
    from scipy.stats import norm

    last = LOOKS[-1][1] * miss
    n = int(0.95 * (norm.isf(last / 2) / (2 * half_width)) ** 2)
    # Intervals narrow with n but for steps of one count, and are widest about one half.
    while not all(
        narrow(k, m, last, half_width) for m in (n, n + 1) for k in range(max(0, m // 2 - 8), m // 2 + 1)
    ):
        n += 1
    n += -n % 4  # so that the looks at 10 points end whole shards
    return tuple(Look(max(1, int(at * n)), share * miss) for at, share in LOOKS)


def narrow(count: int, n: int, miss: float, half_width: float) -> bool:
    """Whether the interval of `count` among `n` is as narrow as wished."""
    low, high = interval(count, n, miss)
    return (high - low) / 2 <= half_width + 1e-9


@lru_cache(4096)
def confidence_sequence(count: int, n: int, miss: float = 0.05) -> tuple[float, float]:
    """The interval for the share behind `count` among `n` that holds at every n at once, however often it is
    looked at: shares whose likelihood isn't below `miss` times that of a uniform mixture of shares (a
    Dirichlet mixture of two classes; Lindon and Malek 2022, arXiv 2011.03567, theorem 1)."""
    from scipy.optimize import brentq
    from scipy.special import betaln

    if not 0 <= count <= n:
        raise ValueError(f"count must lie in 0 to n, got {count} of {n}")
    if n == 0:
        return 0.0, 1.0
    bound = float(betaln(count + 1, n - count + 1)) + math.log(miss)

    def above(p: float) -> float:
        return count * np.log(p) + (n - count) * np.log1p(-p) - bound

    best, edge = count / n, 1e-12

    def crossing(low: float, high: float) -> float:
        root: Any = brentq(above, low, high)
        return float(root)

    low = 0.0 if count == 0 or above(edge) > 0 else crossing(edge, min(best, 1 - edge))
    high = 1.0 if count == n or above(1 - edge) > 0 else crossing(max(best, edge), 1 - edge)
    return low, high
