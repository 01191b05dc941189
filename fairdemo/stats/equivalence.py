"""Whether what a method shows is what was wanted, to within one margin: a test of equivalence, since counts
that don't contradict a target are no evidence that it is met."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

MARGIN = 0.1  # a share this near to the wanted one is as wanted, whatever the number of classes
LEAST = 0.5  # but at least this part of what is wanted must be there: 0 isn't near to 5 %
LEVEL = 0.05  # how often a share beyond that may be called as wanted, and one within it not as wanted
MOST = 20_000  # faces that `faces_to_tell` looks up to

Verdict = Literal["as_wanted", "not_as_wanted", "too_few"]


def bounds_of(share: float) -> tuple[float, float]:
    """Between which shares one is as wanted."""
    return max(share - MARGIN, LEAST * share), share + MARGIN


def equivalence_p_value(counts: Mapping[str, int], wanted: Mapping[str, float]) -> float:
    """p-value of the test that some class's share isn't as wanted: two exact one-sided binomial tests a
    class, of which the largest p counts (an intersection-union test, which keeps its level without any
    correction; Berger 1982). 1.0 for no faces."""
    from scipy.stats import binom

    n, p = sum(counts.values()), 0.0
    if not n:
        return 1.0
    for name, share in wanted.items():
        count, (low, high) = counts.get(name, 0), bounds_of(share)
        p = max(p, float(binom.sf(count - 1, n, low)) if low > 0 else 0.0)
        p = max(p, float(binom.cdf(count, n, high)) if high < 1 else 0.0)
    return p


def difference_p_value(counts: Mapping[str, int], wanted: Mapping[str, float]) -> float:
    """p-value of the test that every class's share is as wanted: the least of the same tests the other way
    round, as many as there are (Bonferroni). 1.0 for no faces."""
    from scipy.stats import binom

    n, found = sum(counts.values()), [1.0]
    for name, share in wanted.items() if n else ():
        count, (low, high) = counts.get(name, 0), bounds_of(share)
        found += [float(binom.cdf(count, n, low)), float(binom.sf(count - 1, n, min(1.0, high)))]
    # Of two classes both say the same of one share.
    tests = 2 if len(wanted) == 2 else max(1, len(found) - 1)
    return min(1.0, tests * min(found))


def judge(counts: Mapping[str, int], wanted: Mapping[str, float]) -> Verdict:
    """What independently drawn faces say of the law behind them: as wanted, not as wanted, or too few faces
    to tell. Both say the same of what lies within `bounds_of`."""
    if equivalence_p_value(counts, wanted) <= LEVEL:
        return "as_wanted"
    return "not_as_wanted" if difference_p_value(counts, wanted) <= LEVEL else "too_few"


def images_off(counts: Mapping[str, int], wanted: Mapping[str, float]) -> int:
    """How many of the counted must change class until the counts are as near to the wanted shares as whole
    numbers can be."""
    n = sum(counts.values())
    exact = {name: share * n for name, share in wanted.items()}
    whole = {name: int(value + 1e-9) for name, value in exact.items()}
    # Whoever has the largest remainder is rounded up; of equal ones whoever has more already.
    spare = sorted(exact, key=lambda c: (round(whole[c] - exact[c], 9), whole[c] - counts.get(c, 0)))
    for name in spare[: round(n * sum(wanted.values())) - sum(whole.values())]:
        whole[name] += 1
    return sum(max(0, count - whole.get(name, 0)) for name, count in counts.items())


def faces_to_tell(wanted: Mapping[str, float], power: float = 0.8) -> int:
    """About how many faces it takes until a law that is exactly as wanted is called so with this power;
    `MOST` at most."""
    return _faces_to_tell(tuple(sorted(wanted.values())), power)


@lru_cache(1000)
def _faces_to_tell(shares: tuple[float, ...], power: float) -> int:
    low, high = 1, 16
    while _power(high, shares) < power and high < MOST:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _power(middle, shares) >= power else (middle, high)
    return min(high, MOST)


def _power(n: int, shares: tuple[float, ...]) -> float:
    """At least how often n faces of the law with these shares are called as wanted (Bonferroni's bound over
    classes)."""
    from scipy.stats import binom

    missed = 0.0
    for share in shares if len(shares) > 2 else shares[:1]:  # two classes are one share and its complement
        low, high = bounds_of(share)
        least = int(binom.isf(LEVEL, n, low)) + 1 if low > 0 else 0
        most = int(binom.ppf(LEVEL, n, high)) - 1 if high < 1 else n
        told = binom.cdf(most, n, share) - binom.cdf(least - 1, n, share)
        missed += 1 - max(0.0, float(told))
    return 1 - missed
