"""Measures on counts: shares with intervals, bias, distances, tests, the classifier's errors taken out,
diversity, sample size.

No torch and no images here: counts, label sequences and embedding matrices go in, numbers come out. Counts
are mappings class -> count, faces that were not found are never among them. scipy and statsmodels are
imported where they are used, since they take longer to import than most of this takes to compute."""

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

# What a "95 % interval" may miss. Inverting an exact test at 0.05 covers at least 95 % at every share,
# which is 98.1 % on average for n = 4: a count of so few is coarse. At 0.055 no share from 0.02 to 0.98 is
# covered less than 94.5 %, and the mean over shares is 95 to 98 % at every n. Wilson's interval, with the
# right mean, covers 85 % at n = 8 and a share of 0.02.
MISS = 0.055
Class = TypeVar("Class", bound=Hashable)
MANY = 3000  # faces, above which Clopper and Pearson's interval is as narrow and takes no table
_GRID = 2000  # intervals end on multiples of 1 / 2000, rounded outward


@lru_cache(16)
def _outcomes(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Shares strictly between 0 and 1 (1999,) and the binomial probability of each count 0..n under each
    (1999, n + 1)."""
    from scipy.stats import binom

    p = np.arange(1, _GRID) / _GRID
    return p, binom.pmf(np.arange(n + 1), n, p[:, None])


@lru_cache(100_000)
def interval(count: int, n: int, miss: float = MISS) -> tuple[float, float]:
    """Interval for the share behind `count` among `n`, n >= 0: the shares that an exact two-sided binomial
    test doesn't reject.

    The test (Sterne 1954; scipy's `binomtest`) adds up the probabilities of all counts that are no likelier
    than the one seen. See `MISS` for what it covers. n = 0 gives 0 to 1. ValueError if `count` isn't in 0
    to n."""
    if not 0 <= count <= n:
        raise ValueError(f"count must lie in 0 to n, got {count} of {n}")
    if n == 0:
        return 0.0, 1.0
    if n > MANY:
        from scipy.stats import binomtest

        found = binomtest(count, n).proportion_ci(1 - miss, "exact")
        return float(found.low), float(found.high)
    p, f = _outcomes(n)
    # Shares that lie on the edge are out, whatever they round to.
    kept = p[np.where(f <= f[:, [count]] * (1 + 1e-9), f, 0).sum(1) > miss * (1 + 1e-9)]
    return (0.0 if count == 0 else float(kept[0]) - 1 / _GRID), (
        1.0 if count == n else float(kept[-1]) + 1 / _GRID
    )


def simultaneous(counts: Mapping[Class, int]) -> dict[Class, tuple[float, float]]:
    """Intervals for all K classes of one attribute that hold together: `interval` with the miss divided by
    K (Bonferroni).

    Two classes are one share and its complement, so they need no division. Goodman's and Sison and Glaz's
    intervals are narrower, but for 16 faces and a rare class they hold together far less often than they
    say."""
    n, k = sum(counts.values()), len(counts)
    return {c: interval(int(x), int(n), MISS / k if k > 2 else MISS) for c, x in counts.items()}


def proportions(counts: Mapping[Class, float]) -> dict[Class, float]:
    """Shares of counts; all zero when nothing was counted."""
    n = sum(counts.values())
    return {c: k / n if n else 0.0 for c, k in counts.items()}


def bias(counts: Mapping[Any, float]) -> float:
    """bias(P) of arXiv 2311.07604, section 5.1: the mean of |share_i - share_j| over the K (K - 1) / 2
    pairs of classes.

    0 is balance; for two classes 1 is all of one class. Classes with a count of 0 take part; classes may be
    intersections.
    0.0 when nothing was counted.
    """
    pairs = list(itertools.combinations(proportions(counts).values(), 2))
    return sum(abs(a - b) for a, b in pairs) / len(pairs)


def deviation(counts: Mapping[Any, float]) -> float:
    """The standard deviation of the classes' shares, as arXiv 2402.01002 tells it: 0 is balance."""
    return float(np.std(list(proportions(counts).values())))


def bias_by_chance(classes: int, n: int, seed: int = 0, draws: int = 4000) -> float:
    """The mean bias(P) that n faces a prompt show of a model that draws all classes alike."""
    rows = np.random.default_rng(seed).multinomial(n, np.full(classes, 1 / classes), draws)
    return float(np.mean([bias(dict(enumerate(row))) for row in rows]))


def _beside(counts: Mapping[Any, float], target: Mapping[Any, float]) -> tuple[np.ndarray, np.ndarray]:
    share = proportions(counts)
    classes = list(dict.fromkeys([*share, *target]))
    return np.array([share.get(c, 0.0) for c in classes]), np.array([target.get(c, 0.0) for c in classes])


def total_variation(counts: Mapping[Any, float], target: Mapping[Any, float]) -> float:
    """Half the L1 distance between observed shares and the target, 0 to 1: the share of images that would
    have to change class."""
    p, q = _beside(counts, target)
    return float(0.5 * np.abs(p - q).sum())


def discrepancy(counts: Mapping[Any, float], target: Mapping[Any, float]) -> float:
    """Fairness Discrepancy (Choi et al. 2020, eq. 8): the Euclidean distance between observed shares and
    the target, 0 to sqrt(2)."""
    p, q = _beside(counts, target)
    return float(np.linalg.norm(p - q))


def jensen_shannon(counts: Mapping[Any, float], target: Mapping[Any, float]) -> float:
    """Jensen-Shannon distance, the root of the divergence in bits, 0 to 1; nan when nothing was counted."""
    from scipy.spatial.distance import jensenshannon

    p, q = _beside(counts, target)
    if np.allclose(p, q):  # scipy takes the root of a rounding error below 0
        return 0.0
    return float(jensenshannon(p, q, base=2)) if p.sum() else math.nan


def goodness_of_fit(
    counts: Mapping[Any, int], target: Mapping[Any, float], seed: int = 0, draws: int = 20_000
) -> float:
    """p-value of the multinomial test that the counts came from the target: the probability of all outcomes
    no likelier than the one seen.

    Exact where there are at most `draws` outcomes, else from `draws` random ones with the given seed
    (Davison and Hinkley 1997, section 4.2). A count in a class whose target is 0 gives 0."""
    from scipy.stats import multinomial

    x, q = np.array([counts.get(c, 0) for c in target], int), np.array(list(target.values()), float)
    n, k = int(x.sum()), len(q)
    if sum(counts.values()) > n or (x[q == 0] > 0).any():
        return 0.0
    law = multinomial(n, q / q.sum())
    limit = law.pmf(x) * (1 + 1e-9)
    if math.comb(n + k - 1, k - 1) <= draws:
        bars = np.array(list(itertools.combinations(range(n + k - 1), k - 1)), int).reshape(-1, k - 1)
        fence = np.concatenate([np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), n + k - 1)], 1)
        p = law.pmf(np.diff(fence, axis=1) - 1)
        return float(min(1.0, p[p <= limit].sum()))
    p = law.pmf(np.random.default_rng(seed).multinomial(n, q / q.sum(), draws))
    return float((1 + (p <= limit).sum()) / (1 + draws))


@dataclass(frozen=True)
class Change:
    """How a class's share changed from baseline to debiased: `difference` (-1 to 1), its interval, and
    McNemar's exact p-value."""

    difference: float
    interval: tuple[float, float]
    p: float


def change(before: Sequence[bool], after: Sequence[bool]) -> Change:
    """The change of a share between twins (pairs share their noise, so they are not independent samples).

    The interval is Wald's after half a pair is added to each of the four kinds of pairs (Agresti and Min
    2005). ValueError if the sequences differ in length or are empty."""
    from scipy.stats import norm
    from statsmodels.stats.contingency_tables import mcnemar

    a, b = np.asarray(before, bool), np.asarray(after, bool)
    if len(a) != len(b) or not len(a):
        raise ValueError(f"twins must come in pairs, got {len(a)} before and {len(b)} after")
    gained, lost = int((~a & b).sum()), int((a & ~b).sum())
    n, up, down = len(a) + 2, gained + 0.5, lost + 0.5
    middle, half = (up - down) / n, float(norm.ppf(0.975)) * math.sqrt(up + down - (up - down) ** 2 / n) / n
    test: Any = mcnemar([[0, gained], [lost, 0]], exact=True)
    return Change(
        (gained - lost) / len(a),
        (max(-1.0, middle - half), min(1.0, middle + half)),
        float(test.pvalue),
    )


@dataclass(frozen=True)
class Agreement:
    """How far two readers of the same faces agree beyond chance: Cohen's kappa with its 95 % interval, and
    the share of faces that both read alike. Agreement isn't validity: two readers may err alike."""

    kappa: float
    interval: tuple[float, float]
    alike: float
    n: int


def agreement(first: Sequence[str], second: Sequence[str]) -> Agreement:
    """Cohen's kappa of two readings of the same faces (Cohen 1960; its interval by Fleiss and others 1969).
    Two readers who know one class alone agree wholly. ValueError if the sequences differ in length or are
    empty."""
    from statsmodels.stats.inter_rater import cohens_kappa

    if len(first) != len(second) or not len(first):
        raise ValueError(f"both must read the same faces, got {len(first)} and {len(second)} readings")
    classes = sorted({*first, *second})
    table = np.zeros((len(classes),) * 2)
    for a, b in zip(first, second):
        table[classes.index(a), classes.index(b)] += 1
    alike = float(np.trace(table) / len(first))
    if len(classes) == 1:
        return Agreement(1.0, (1.0, 1.0), alike, len(first))
    found: Any = cohens_kappa(table)
    low, high = (float(np.clip(v, -1, 1)) for v in (found.kappa_low, found.kappa_upp))
    return Agreement(float(found.kappa), (low, high), alike, len(first))


def parity(before: Sequence[str], after: Sequence[str], seed: int = 0) -> float:
    """p-value of the test that twins have the same distribution of classes: twins swap sides, and the total
    variation between the sides is compared (a permutation test on pairs; all swaps where there are fewer
    than 10,000, else 9,999 random ones).

    Twins of one class swap nothing and are left out. Fewer than two others tell nothing: 1.0."""
    moved = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    if len(moved) < 2:
        return 1.0
    from scipy.stats import permutation_test

    classes = sorted({*before, *after})
    codes = [np.array([classes.index(v) for v in side]) for side in zip(*moved)]

    def apart(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return np.sum([np.abs((a == k).sum(axis) - (b == k).sum(axis)) for k in range(len(classes))], 0)

    return float(
        permutation_test(
            codes,
            apart,
            permutation_type="samples",
            vectorized=True,
            n_resamples=9999,
            alternative="greater",
            rng=seed,
        ).pvalue
    )


@dataclass(frozen=True)
class Amplification:
    """Generated against reference share of a class: `points` is how far generated lies beyond the
    reference, away from the even share (negative: the skew is softened); `interval` is its 95 %
    interval."""

    points: float
    interval: tuple[float, float]


def amplification(count: int, n: int, reference: float, even: float = 0.5) -> Amplification:
    """Bias amplification (after Zhao et al. 2017, eq. 2) of one class: `count` of `n` generated against the
    `reference` share in a corpus or a workforce. `even` is the share at balance (1 / K). A reference at
    `even` has no direction: points are then absolute and positive."""
    if not 0 <= reference <= 1:
        raise ValueError(f"reference share is {reference}; 0 to 1 is allowed")
    share = count / n if n else even
    sign = math.copysign(1, reference - even) if reference != even else math.copysign(1, share - even)
    ends = sorted(sign * (v - reference) for v in interval(count, n))
    return Amplification(sign * (share - reference), (ends[0], ends[1]))


def reading(probability: Mapping[str, float]) -> str:
    """How a face was read in one attribute, finer than its label: the likeliest class; below a probability
    of 0.9 also the runner-up ("30-39 / 20-29"), with a question mark below 0.6. Faces that nearly were
    another class tell more about a distribution than their labels alone."""
    first, second = sorted(probability, key=probability.__getitem__, reverse=True)[:2]
    return (
        first
        if probability[first] >= 0.9
        else f"{first} / {second}" + ("" if probability[first] >= 0.6 else "?")
    )


def label(reading: str) -> str:
    """The class that a reading is counted as."""
    return reading.split(" / ")[0]


@dataclass(frozen=True)
class Corrected:
    """An estimate of the true shares of the classes behind what was read, with 95 % intervals."""

    shares: dict[str, float]
    intervals: dict[str, tuple[float, float]]


def unmix(observed: np.ndarray, confusion: np.ndarray, iterations: int = 1000) -> np.ndarray:
    """The shares p on the simplex that make the observed counts likeliest when a true class i is read as j
    with probability confusion[..., i, j]: the EM of Saerens, Latinne and Decaestecker 2002 on hard
    readings.

    `observed` (..., J) counts, `confusion` (..., K, J) with rows that sum to one -> (..., K). Batches
    broadcast."""
    classes = confusion.shape[-2]
    p = np.full((*np.broadcast_shapes(observed.shape[:-1], confusion.shape[:-2]), classes), 1 / classes)
    n = np.maximum(observed.sum(-1, keepdims=True), 1e-12)
    for _ in range(iterations):
        read = np.maximum(np.einsum("...i,...ij->...j", p, confusion), 1e-12)
        p = p * np.einsum("...j,...ij->...i", observed / n / read, confusion)
        p /= p.sum(-1, keepdims=True)
    return p


def correct(
    counts: Mapping[str, int], confusion: Mapping[str, Mapping[str, int]], seed: int = 0, resamples: int = 400
) -> Corrected:
    """The distribution with the classifier's confusion taken out.

    `counts[reading]` (see `reading`; plain labels do as well); `confusion[class][reading]` counts on faces
    whose class is known. Intervals are percentiles of a Bayesian bootstrap that draws both anew: how often
    each reading occurs (Dirichlet, one face added for each class, so that a class not seen among few faces
    isn't taken to be impossible) and how each class is read, so that a confusion measured on few faces
    gives wide intervals. It is an estimate: it holds if faces of a class are misread here as they were
    there. ValueError if a class was never seen."""
    empty = [c for c, row in confusion.items() if not sum(row.values())]
    if empty or not confusion:
        raise ValueError(
            f"confusion has no faces for {', '.join(empty) or 'any class'}: every class needs labelled faces"
        )
    columns = sorted({*counts, *(r for row in confusion.values() for r in row)})
    seen = np.array([counts.get(r, 0) for r in columns], float)
    if not seen.sum():
        return Corrected(dict.fromkeys(confusion, 1 / len(confusion)), dict.fromkeys(confusion, (0.0, 1.0)))
    # Half a face a class spread over all readings, so that one never met before says nothing instead of
    # contradicting every class.
    table = np.array([[row.get(r, 0) for r in columns] for row in confusion.values()]) + 0.5 / len(columns)
    known = table / table.sum(1, keepdims=True)
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.dirichlet(row, resamples) for row in table], 1)
    draws = unmix(rng.dirichlet(seen + known.sum(0), resamples), rows, 300)
    ends = np.quantile(draws, [0.025, 0.975], axis=0).T
    return Corrected(
        dict(zip(confusion, unmix(seen, known).tolist())),
        {c: (float(low), float(high)) for c, (low, high) in zip(confusion, ends)},
    )


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % bootstrap interval and the number of items behind it."""

    value: float
    interval: tuple[float, float]
    n: int


def mean(values: Sequence[float], seed: int = 0) -> Estimate:
    """The mean of values with a bootstrap interval (percentiles of 2,000 resamples); one value has no
    interval: nan."""
    from scipy.stats import bootstrap

    x = np.asarray(values, float)
    if len(x) < 2 or x.std() == 0:
        value = float(x.mean()) if len(x) else math.nan
        return Estimate(value, (value, value) if len(x) > 1 else (math.nan, math.nan), len(x))
    low, high = bootstrap((x,), np.mean, n_resamples=2000, method="percentile", rng=seed).confidence_interval
    return Estimate(float(x.mean()), (float(low), float(high)), len(x))


def likeness(embeddings: np.ndarray, seed: int = 0, resamples: int = 1000) -> Estimate:
    """Mean cosine similarity over all pairs of faces (n, d), -1 to 1: the homogenisation measure of arXiv
    2402.01002 (higher: more alike).

    The interval resamples faces; a face drawn twice makes no pair with itself. Fewer than two faces have no
    pairs: nan."""
    n = len(embeddings)
    if n < 2:
        return Estimate(math.nan, (math.nan, math.nan), n)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    similar = unit @ unit.T
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), resamples).astype(float)
    weights = np.concatenate([np.ones((1, n)), weights])
    total = np.einsum("bi,ij,bj->b", weights, similar, weights, optimize=True) - (weights**2) @ np.diag(
        similar
    )
    pairs = weights.sum(1) ** 2 - (weights**2).sum(1)
    means = total[pairs > 0] / pairs[pairs > 0]
    low, high = np.quantile(means[1:], [0.025, 0.975])
    return Estimate(float(means[0]), (float(low), float(high)), n)


def mean_similarity(embeddings: np.ndarray) -> float:
    """The value of `likeness` without its interval, for many groups of faces (n, d), n at least 2."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    n, total = len(unit), unit.sum(0)
    return float((total @ total - n) / (n * (n - 1)))


def distinct_faces(embeddings: np.ndarray) -> float:
    """The effective number of distinct faces among (n, d) embeddings, 1 to n: the Vendi score (Friedman and
    Dieng 2023, eq. 1), the exponential of the entropy of the eigenvalues of the cosine similarity matrix
    over n. 0.0 for no faces."""
    if not len(embeddings):
        return 0.0
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    values = np.linalg.svd(unit, compute_uv=False) ** 2 / len(unit)
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def images_for_width(half_width: float, share: float = 0.5) -> int:
    """How many faces make a 95 % interval of plus and minus `half_width` (0 to 0.5) around `share` (0.5 is
    the worst case)."""
    from statsmodels.stats.proportion import samplesize_confint_proportion

    if not 0 < half_width < 0.5 or not 0 <= share <= 1:
        raise ValueError(
            f"half width is {half_width} around {share}; allowed are a half width between 0 and 0.5 and a"
            " share from 0 to 1"
        )
    return math.ceil(samplesize_confint_proportion(min(max(share, 0.01), 0.99), half_width))


def images_to_tell(share: float, other: float, power: float = 0.8) -> int:
    """How many faces on each side tell two shares apart, at 5 % two-sided, with the given power (normal
    approximation on Cohen's h)."""
    from statsmodels.stats.power import NormalIndPower
    from statsmodels.stats.proportion import proportion_effectsize

    if not (0 <= share <= 1 and 0 <= other <= 1) or share == other:
        raise ValueError(f"shares are {share} and {other}; two different shares from 0 to 1 are needed")
    return math.ceil(
        NormalIndPower().solve_power(abs(proportion_effectsize(share, other)), power=power, alpha=0.05)
    )
