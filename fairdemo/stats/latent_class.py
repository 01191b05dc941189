"""How readers err where nobody knows the truth: what several readings of the same faces have in common, as
a latent class (Dawid and Skene 1979, Applied Statistics 28)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fairdemo.stats.measure import unmix


@dataclass(frozen=True)
class LatentClasses:
    """A fitted model: the share of each class, and how each reader reads it."""

    shares: np.ndarray  # (K,)
    readings: tuple[np.ndarray, ...]  # for each reader (K, J): expected faces of a class that are read so


def fit_latent_classes(
    table: np.ndarray, sure: float = 0.9, tolerance: float = 1e-7, iterations: int = 5000
) -> LatentClasses:
    """Fits classes to joint counts of three or more readings (J, K, ..., K): the first reader may use more
    readings than there are classes, the others use the K classes in their order.

    It begins where the others are right with probability `sure`, and ends when no probability moves by more
    than `tolerance`. Readers are taken to err independently of each other given the class; errors that they
    share are invisible to it. ValueError if the readings don't fit each other in number."""
    classes = table.shape[-1]
    if table.ndim < 3 or set(table.shape[1:]) != {classes} or classes < 2:
        raise ValueError(f"table is {table.shape}; expected three readings or more, (J, K, K), K >= 2")
    places = np.nonzero(table)
    n = table[places].astype(float)  # (cells,)
    right = np.full((classes, classes), (1 - sure) / (classes - 1)) + np.eye(classes) * (
        sure - (1 - sure) / (classes - 1)
    )
    belief = np.prod([right[:, place] for place in places[1:]], axis=0)  # (K, cells)
    for _ in range(iterations):
        before = belief = belief / belief.sum(0)
        expected = [_counts(belief * n, place, size) for place, size in zip(places, table.shape)]
        shares = expected[0].sum(1) / n.sum()
        # Half a face a class over all readings, so that one that wasn't met isn't impossible.
        laws = [(e + 0.5 / e.shape[1]) / (e.sum(1, keepdims=True) + 0.5) for e in expected]
        belief = shares[:, None] * np.prod([law[:, place] for law, place in zip(laws, places)], axis=0)
        if np.abs(belief / belief.sum(0) - before).max() < tolerance:
            break
    return LatentClasses(shares, tuple(expected))


def _counts(weights: np.ndarray, place: np.ndarray, size: int) -> np.ndarray:
    """Weights (K, cells) gathered by each cell's reading (K, size)."""
    gathered = np.zeros((len(weights), size))
    np.add.at(gathered.T, place, weights.T)
    return gathered


@dataclass(frozen=True)
class ErrorScale:
    """How many times as often two readers err as they were seen to."""

    value: float
    interval: tuple[float, float]  # 95 %, by the profile of the likelihood
    n: int  # faces


def scale_errors(law: np.ndarray, scale: float) -> np.ndarray:
    """A reader's law (K, K), rows of true classes, with every error `scale` times as likely, as far as a
    row's errors stay below one."""
    wrong = law * (1 - np.eye(len(law))) * scale
    wrong *= np.minimum(1, 0.95 / np.maximum(wrong.sum(1, keepdims=True), 1e-12))
    return wrong + np.diag(1 - wrong.sum(1))


def fit_error_scale(table: np.ndarray, first: np.ndarray, second: np.ndarray) -> ErrorScale:
    """The one factor on both readers' errors, and the classes' shares, that make how they read the same
    faces likeliest: `table` (K, K) counts faces by first and second reading, `first` and `second` (K, K) are
    how each reads known classes. Two readers alone can't tell which of them errs, so both share the factor;
    errors that they make together are invisible."""
    from scipy.optimize import brentq, minimize_scalar
    from scipy.stats import chi2

    seen = table.ravel().astype(float)

    def fit(logarithm: float) -> float:
        one, other = (scale_errors(law, float(np.exp(logarithm))) for law in (first, second))
        joint = (one[:, :, None] * other[:, None, :]).reshape(len(one), -1)  # (K, K * K)
        read = unmix(seen, joint) @ joint
        return float((seen * np.log(np.maximum(read, 1e-300))).sum())

    ends = (np.log(0.02), np.log(20.0))
    found: Any = minimize_scalar(lambda x: -fit(x), bounds=ends, method="bounded")
    best = float(found.x)
    least = fit(best) - chi2.isf(0.05, 1) / 2

    def end(x: float) -> float:
        if fit(x) > least:
            return x
        root: Any = brentq(lambda y: fit(y) - least, *sorted((x, best)), xtol=1e-3)
        return float(root)

    low, high = (float(np.exp(end(x))) for x in ends)
    return ErrorScale(float(np.exp(best)), (low, high), int(seen.sum()))
