"""Measures on counts: shares with intervals, bias, distances, tests, the classifier's errors taken out,
diversity, sample size.

No torch and no images here: counts, label sequences and embedding matrices go in, numbers come out. Counts
are mappings class -> count, faces that were not found are never among them. scipy and statsmodels are
imported where they are used, since they take longer to import than most of this takes to compute."""

import bisect
import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, TypeVar

import numpy as np

# What a "95 % interval" may miss. Inverting an exact test at 0.05 covers at least 95 % at every share,
# which is 98.1 % on average for n = 4: a count of so few is coarse. At 0.055 no share from 0.02 to 0.98 is
# covered less than 94.5 %, and the mean over shares is 95 to 98 % at every n. Wilson's interval, with the
# right mean, covers 85 % at n = 8 and a share of 0.02.
MISS = 0.055
FEW_VALUES = 30  # below which a bootstrap's percentiles cover too little
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
    """Shares of counts; nan when nothing was counted."""
    n = sum(counts.values())
    return {c: k / n if n else math.nan for c, k in counts.items()}


def bias(counts: Mapping[Any, float]) -> float:
    """bias(P) of arXiv 2311.07604, section 5.1: the mean of |share_i - share_j| over the K (K - 1) / 2
    pairs of classes.

    0 is balance; for two classes 1 is all of one class. Classes with a count of 0 take part; classes may be
    intersections. nan when nothing was counted: no faces are no balance."""
    pairs = list(itertools.combinations(proportions(counts).values(), 2))
    return sum(abs(a - b) for a, b in pairs) / len(pairs)


def deviation(counts: Mapping[Any, float]) -> float:
    """The standard deviation of the classes' shares, as arXiv 2402.01002 tells it: 0 is balance."""
    return float(np.std(list(proportions(counts).values())))


def _bias_of_rows(shares: np.ndarray) -> np.ndarray:
    """bias(P) of each row of shares (..., K): what lies above counts, what lies below counts against."""
    k = shares.shape[-1]
    weights = 2 * np.arange(k) - (k - 1)
    return np.sort(shares, axis=-1) @ weights / (k * (k - 1) / 2)


@lru_cache(1000)
def bias_by_chance(classes: int, n: int, seed: int = 0, draws: int = 4000) -> float:
    """The mean bias(P) that n faces a prompt show of a model that draws all classes alike; nan for none."""
    if not n:
        return math.nan
    rows = np.random.default_rng(seed).multinomial(n, np.full(classes, 1 / classes), draws)
    return float(_bias_of_rows(rows / n).mean())


def bias_interval(counts: Mapping[Any, int], seed: int = 0) -> tuple[float, float]:
    """95 % interval for the bias(P) of the law behind counts; 0 to the most, 2 / K, where nothing was
    counted.

    For two classes it is that of the share. For more it is that of a test, since few faces of an even law
    look biased: of the laws between an even one and what was seen, and beyond it, and of those between an
    even one and a single class, the ones are kept under which a bias(P) as large as the one seen and one as
    small each happen in 2.5 % of draws (least favourable families; DiCiccio and Romano 1990). `validate` has
    what it covers."""
    return _bias_interval(tuple(int(v) for v in counts.values()), seed)


@lru_cache(4096)
def _bias_interval(counts: tuple[int, ...], seed: int) -> tuple[float, float]:
    draws, steps, n, k = 400, 50, sum(counts), len(counts)
    if not n:
        return 0.0, 2 / k
    if k == 2:
        low, high = (2 * end - 1 for end in interval(counts[0], n))
        return (0.0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))
    here = float(_bias_of_rows(np.array(counts) / n))
    # Half a face a class keeps those that weren't seen possible; a wholly even count tilts to any class.
    smooth = np.array(counts) + 0.5 + 1e-6 * (np.arange(k) == 0)
    low, high = here, here
    rng = np.random.default_rng(seed)
    for towards in (smooth / smooth.sum(), np.eye(k)[int(np.argmax(smooth))]):
        tilt = towards - 1 / k
        longest = (1 / k / -tilt[tilt < 0]).min()
        laws = np.clip(1 / k + np.linspace(0, longest, steps)[:, None] * tilt, 0, None)
        laws /= laws.sum(1, keepdims=True)
        found = _bias_of_rows(rng.multinomial(n, laws, (draws, steps)) / n)
        # Counts that are more even than those of an even law nearly ever are speak for no law; they are
        # taken as its most even ones.
        even = max(here, float(np.quantile(found[:, 0], 0.05)))
        larger, smaller = np.mean(found >= here - 1e-9, 0), np.mean(found <= even + 1e-9, 0)
        kept = _bias_of_rows(laws)[(larger > 0.025) & (smaller > 0.025)]
        low, high = min(low, *kept, here), max(high, *kept, here)
    return max(0.0, float(low)), float(high)


def _beside(counts: Mapping[Any, float], target: Mapping[Any, float]) -> tuple[np.ndarray, np.ndarray]:
    share = proportions(counts)
    classes = list(dict.fromkeys([*share, *target]))
    missing = 0.0 if sum(counts.values()) else math.nan
    return np.array([share.get(c, missing) for c in classes]), np.array([target.get(c, 0.0) for c in classes])


def total_variation(counts: Mapping[Any, float], target: Mapping[Any, float]) -> float:
    """Half the L1 distance between observed shares and the target, 0 to 1: the share of images that would
    have to change class; nan when nothing was counted."""
    p, q = _beside(counts, target)
    return float(0.5 * np.abs(p - q).sum())


def discrepancy(counts: Mapping[Any, float], target: Mapping[Any, float]) -> float:
    """Fairness Discrepancy (Choi et al. 2020, eq. 8): the Euclidean distance between observed shares and
    the target, 0 to sqrt(2); nan when nothing was counted."""
    p, q = _beside(counts, target)
    return float(np.linalg.norm(p - q))


def jensen_shannon(counts: Mapping[Any, float], target: Mapping[Any, float]) -> float:
    """Jensen-Shannon distance, the root of the divergence in bits, 0 to 1; nan when nothing was counted."""
    from scipy.spatial.distance import jensenshannon

    p, q = _beside(counts, target)
    if np.allclose(p, q):  # scipy takes the root of a rounding error below 0
        return 0.0
    return math.nan if np.isnan(p).any() else float(jensenshannon(p, q, base=2))


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


def anytime_parity(before: Sequence[str], after: Sequence[str], classes: Sequence[str]) -> float:
    """p-value of the test that twins have the same distribution of classes, which holds however often one
    looks while pairs are added (Ville's inequality): the inverse of an e-value, at most 1.

    If twins are exchangeable, whoever gains a class is as likely to lose it: by class the gained among
    those that moved are tosses of a fair coin, tested by a Jeffreys mixture of coins. The e-value is the
    mean over all `classes`, also those that nobody has shown yet: a mean over others wouldn't keep its
    promise."""
    from scipy.special import betaln

    pairs = list(zip(before, after, strict=True))
    logs = []
    for c in classes:
        gained = sum(a != c == b for a, b in pairs)
        lost = sum(a == c != b for a, b in pairs)
        mixture = betaln(gained + 0.5, lost + 0.5) - betaln(0.5, 0.5)
        logs.append(float(mixture) + (gained + lost) * math.log(2))
    top = max(logs)
    return min(1.0, math.exp(-top) / float(np.mean(np.exp(np.array(logs) - top))))


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
    intervals: dict[str, tuple[float, float]]  # each holds its share


def separation(confusion: Mapping[str, Mapping[str, float]]) -> float:
    """How well readings tell classes apart, 0 to 1: the smallest canonical correlation of class and reading
    where classes are alike in number, whatever readings are split into. At 0 two mixes of classes are read
    alike, and no correction can tell them."""
    columns = sorted({r for row in confusion.values() for r in row if row[r]})
    table = np.array([[row.get(r, 0) for r in columns] for row in confusion.values()], float)
    table /= np.maximum(table.sum(1, keepdims=True), 1) * len(table)  # joint probabilities
    scaled = table * np.sqrt(len(table)) / np.sqrt(table.sum(0))
    return float(np.linalg.svd(scaled, compute_uv=False)[-1])


def faces_to_correct(confusion: Mapping[str, Mapping[str, float]]) -> int:
    """From how many faces on a corrected share is worth showing. What taking errors out adds in variance goes
    with 1 / `separation` squared: classes that are told apart well are corrected at any number; ages, which
    the shipped classifier reads right in 72 %, from about 200, where an even law's corrected shares begin to
    be nearer to it than the observed ones. A rule of thumb: for concentrated laws they are nearer before."""
    apart = separation(confusion)
    return 0 if apart >= 0.5 else math.ceil(28 / max(apart, 1e-3) ** 2)


def unmix(
    observed: np.ndarray, confusion: np.ndarray, tolerance: float = 1e-6, iterations: int = 2000
) -> np.ndarray:
    """The shares p on the simplex that make the observed counts likeliest when a true class i is read as j
    with probability confusion[..., i, j]: the EM of Saerens, Latinne and Decaestecker 2002 on hard
    readings, in leaps (Varadhan and Roland 2008, scheme SqS3), until no share moves by more than
    `tolerance` in a step.

    `observed` (..., J) counts, `confusion` (..., K, J) with rows that sum to one -> (..., K). Batches
    broadcast."""
    classes, readings = confusion.shape[-2:]
    shape = np.broadcast_shapes(observed.shape[:-1], confusion.shape[:-2])
    law = np.broadcast_to(confusion, (*shape, classes, readings)).reshape(-1, classes, readings)
    seen = np.broadcast_to(observed, (*shape, readings)).reshape(-1, readings)
    seen = seen / np.maximum(seen.sum(-1, keepdims=True), 1e-12)
    p, left = np.full((len(seen), classes), 1 / classes), np.arange(len(seen))
    for _ in range(iterations):
        own, rows, now = seen[left], law[left], p[left]
        once = _em_step(now, own, rows)
        twice = _em_step(once, own, rows)
        step, bend = once - now, twice - 2 * once + now
        length = np.linalg.norm(step, axis=-1) / np.maximum(np.linalg.norm(bend, axis=-1), 1e-12)
        length = np.maximum(length, 1)[:, None]
        leap = now + 2 * length * step + length**2 * bend
        leap = np.where(leap.min(-1, keepdims=True) > 0, leap, twice)  # off the simplex: no leap
        p[left] = _em_step(leap / leap.sum(-1, keepdims=True), own, rows)
        left = left[np.abs(step).max(-1) > tolerance]
        if not len(left):
            break
    return p.reshape(*shape, classes)


def _em_step(p: np.ndarray, seen: np.ndarray, confusion: np.ndarray) -> np.ndarray:
    """One step of `unmix`: shares (n, K), observed shares (n, J), confusions (n, K, J)."""
    read = np.maximum((p[:, None] @ confusion)[:, 0], 1e-12)
    p = p * (confusion @ (seen / read)[..., None])[..., 0]
    return p / np.maximum(p.sum(-1, keepdims=True), 1e-12)


def _possible_ends(seen: np.ndarray, known: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of which classes there may be none, and of which there may be all (K,), (K,): laws on the simplex's
    edge that a likelihood-ratio test at `MISS` doesn't reject against the likeliest `shares`. A few misread
    faces draw every estimate inwards, so that percentiles alone would never hold a share of 0 or 1.

    On the edge the statistic is a mixture of chi-squares (Self and Liang 1987): of 0 or 1 degrees where one
    class is left out, of as many as there are other classes, each with the chance of one half, where all
    others are."""
    from scipy.stats import binom, chi2

    def fit(law: np.ndarray) -> np.ndarray:
        return (seen * np.log(np.maximum(law, 1e-12))).sum(-1)

    k = len(known)
    best, own = fit(shares @ known), np.arange(k)
    without = np.stack([np.delete(known, c, 0) for c in own])
    none = 2 * (best - fit((unmix(seen, without)[:, None] @ without)[:, 0]))
    alone = 2 * (best - fit(known))
    degrees = np.arange(1, k)
    beyond = (binom.pmf(degrees, k - 1, 0.5)[:, None] * chi2.sf(alone[None], degrees[:, None])).sum(0)
    return 0.5 * chi2.sf(none, 1) > MISS, beyond > MISS


def correct(
    counts: Mapping[str, int],
    confusion: Mapping[str, Mapping[str, float]],
    estimated: Mapping[str, Mapping[str, float]] | None = None,
    seed: int = 0,
    resamples: int = 400,
) -> Corrected:
    """The distribution with the classifier's confusion taken out.

    `counts[reading]` (see `reading`; plain labels do as well); `confusion[class][reading]` counts on faces
    whose class is known. Intervals are percentiles of a Bayesian bootstrap that draws both anew: how often
    each reading occurs, and how each class is read, so that a confusion measured on few faces gives wide
    intervals. As in Clopper and Pearson's interval a class's upper end is drawn with one face of that class
    added to those that were seen, its lower end with one face of the others, so that few faces of one class
    don't pass for certainty; both ends hold the estimate. `validate` has what they cover.

    It is an estimate: it holds if faces of a class are misread here as they were there. Where that is
    doubtful, `estimated` says how these faces may be misread instead, and the intervals hold what it would
    give as well. ValueError if a class was never seen."""
    found = _correct(counts, confusion, seed, resamples)
    if not estimated:
        return found
    other = _correct(counts, estimated, seed, resamples)
    both = {c: (found.intervals[c], other.intervals.get(c, found.intervals[c])) for c in found.shares}
    return Corrected(found.shares, {c: (min(x[0], y[0]), max(x[1], y[1])) for c, (x, y) in both.items()})


def _correct(
    counts: Mapping[str, int], confusion: Mapping[str, Mapping[str, float]], seed: int, resamples: int
) -> Corrected:
    empty = [c for c, row in confusion.items() if not sum(row.values())]
    if empty or len(confusion) < 2:
        lacking = ", ".join(empty) or "two classes"
        raise ValueError(f"confusion has no faces for {lacking}: every class needs labelled faces")
    columns = sorted({*counts, *(r for row in confusion.values() for r in row)})
    seen = np.array([counts.get(r, 0) for r in columns], float)
    # Half a face a class spread over all readings, so that one never met before says nothing instead of
    # contradicting every class.
    table = np.array([[row.get(r, 0) for r in columns] for row in confusion.values()]) + 0.5 / len(columns)
    known = table / table.sum(1, keepdims=True)
    if not seen.sum():
        even = dict.fromkeys(confusion, 1 / len(confusion))
        return Corrected(even, dict.fromkeys(confusion, (0.0, 1.0)))
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.dirichlet(row, resamples) for row in table], 1)
    others = (known.sum(0) - known) / (len(known) - 1)
    own = np.arange(len(known))
    # (classes, resamples): each class's share with one face of it, or of the others, added.
    most, least = (
        unmix(np.stack([rng.dirichlet(seen + face, resamples) for face in faces]), rows)[own, :, own]
        for faces in (known, others)
    )
    shares = unmix(seen, known)
    none, all_ = _possible_ends(seen, known, shares)
    low = np.where(none, 0.0, np.minimum(np.quantile(least, 0.025, axis=1), shares))
    high = np.where(all_, 1.0, np.maximum(np.quantile(most, 0.975, axis=1), shares))
    return Corrected(
        dict(zip(confusion, shares.tolist())),
        dict(zip(confusion, zip(low.tolist(), high.tolist()))),
    )


def adjust_p_values(p: Sequence[float]) -> list[float]:
    """p-values adjusted for as many tests: those at most q are false in a share of q (Benjamini and Hochberg
    1995)."""
    from scipy.stats import false_discovery_control

    return [float(q) for q in false_discovery_control(np.asarray(p))] if len(p) else []


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % bootstrap interval and the number of items behind it."""

    value: float
    interval: tuple[float, float]
    n: int


def mean(
    values: Sequence[float], within: tuple[float, float] = (-math.inf, math.inf), seed: int = 0
) -> Estimate:
    """The mean of values that can only lie `within` bounds, with its interval: Student's t for fewer than
    `FEW_VALUES`, of which percentiles of a bootstrap cover 83 to 90 % instead of 95; for more, percentiles of
    2,000 resamples. Values that are nan, since nothing was counted, are left out. One value has no interval
    (nan), nor have values that are all alike: they say nothing of how far values differ."""
    from scipy.stats import bootstrap, t

    x = np.asarray(values, float)
    x = x[~np.isnan(x)]
    if len(x) < 2 or x.std() == 0:
        value = float(x.mean()) if len(x) else math.nan
        return Estimate(value, (math.nan, math.nan), len(x))
    if len(x) < FEW_VALUES:
        low, high = t.interval(0.95, len(x) - 1, x.mean(), x.std(ddof=1) / math.sqrt(len(x)))
    else:
        own = bootstrap((x,), np.mean, n_resamples=2000, method="percentile", rng=seed)
        low, high = own.confidence_interval
    return Estimate(float(x.mean()), (max(float(low), within[0]), min(float(high), within[1])), len(x))


def mean_share(shares: Sequence[float]) -> Estimate:
    """The mean of shares over prompts. Where all are 0 or all are 1 they say nothing of how far prompts
    differ; then the interval is that of as many prompts, all of which were one or the other."""
    found = mean(shares, (0.0, 1.0))
    if found.n and found.value in (0.0, 1.0):
        return Estimate(found.value, interval(round(found.value * found.n), found.n), found.n)
    return found


def likeness(embeddings: np.ndarray, seed: int = 0, resamples: int = 1000) -> Estimate:
    """Mean cosine similarity over all pairs of faces (n, d), -1 to 1: the homogenisation measure of arXiv
    2402.01002 (higher: more alike).

    The interval resamples faces; a face drawn twice makes no pair with itself. Of fewer than five faces there
    are too few different samples for one (it would cover 0 to 60 %): nan. Fewer than two have no pairs: the
    value is nan, too."""
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
    low, high = np.quantile(means[1:], [0.025, 0.975]) if n >= 5 else (math.nan, math.nan)
    return Estimate(float(means[0]), (float(low), float(high)), n)


def mean_similarity(embeddings: np.ndarray) -> float:
    """The value of `likeness` without its interval, for many groups of faces (n, d), n at least 2."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    n, total = len(unit), unit.sum(0)
    return float((total @ total - n) / (n * (n - 1)))


def distinct_faces(embeddings: np.ndarray) -> float:
    """The effective number of distinct faces among (n, d) embeddings, 1 to n: the Vendi score (Friedman and
    Dieng 2023, eq. 1), the exponential of the entropy of the eigenvalues of the cosine similarity matrix
    over n. nan for no faces."""
    if not len(embeddings):
        return math.nan
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


@cache
def faces_to_miss(groups: int) -> int:
    """From how many faces on it says something that none shows one of `groups` groups: with fewer, the
    interval of a share that nobody was counted for holds the even share, 1 / `groups`."""
    sizes = range(1, 20 * groups)
    return sizes[bisect.bisect_left(sizes, True, key=lambda n: interval(0, n)[1] < 1 / groups)]


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
