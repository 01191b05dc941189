"""The bridge from training data to a model: how a group's shares by profession carry over from one into the
other, with the noise of both taken out.

arXiv 2510.03721 fits such a line to CLIP and Stable Diffusion; shares of few faces would flatten it, since
noise in what is put in lowers a slope (Fuller 1987, Measurement Error Models, section 1.2)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fairdemo.stats.measure import Estimate, adjust_p_values

RESAMPLES = 4000
LEVEL = 0.05  # that intervals miss, and of false strays
LEAST = 5  # professions that a line needs
NOISY = 0.2  # noise's share of the data's variance above which a slope's interval allows for it


@dataclass(frozen=True)
class Carried:
    """A profession's count of a group among faces, in the data and in what the model draws."""

    name: str
    data: tuple[int, int]  # count, faces
    model: tuple[int, int]

    @property
    def shares(self) -> tuple[float, float]:
        """In the data, in the model."""
        return self.data[0] / self.data[1], self.model[0] / self.model[1]


@dataclass(frozen=True)
class Bridge:
    """How shares carry over: model = `intercept` + `slope` x data."""

    slope: Estimate  # 1: as in the data; above: exaggerated
    intercept: float
    explained: Estimate  # R^2: how much of the model's differences the data's explain, 0 to 1
    # The model's mean distance from one half over the data's: beside the slope, since it can't tell an
    # exaggeration from a shift.
    ratio: Estimate
    off: tuple[str, ...]  # professions off the line by more than the noise of both shares


def bridge(points: Sequence[Carried], seed: int = 0) -> Bridge:
    """The bridge of professions with two faces and more on either side, at least `LEAST`, with 95 % intervals
    of a jackknife (the slope's; where noise is large also what Fieller's theorem holds) and of a bootstrap
    over professions, which carry the noise of their images along. ValueError for fewer, or where the data's
    shares differ by no more than noise."""
    used = [p for p in points if p.data[1] > 1 and p.model[1] > 1]
    if len(used) < LEAST:
        raise ValueError(
            f"{len(used)} professions have faces in the data and in the model; {LEAST} are needed"
        )
    x, y = (np.array(v) for v in zip(*(p.shares for p in used)))
    ex, ey = (s * (1 - s) / (n - 1) for s, n in ((x, sizes(used, "data")), (y, sizes(used, "model"))))
    b, r2 = line(x, y, ex, ey)
    if not np.isfinite(b):
        raise ValueError("the data's shares differ by no more than noise; no line can be drawn")
    around = [np.array([spread(*getattr(p, side)) for p in used]) for side in ("data", "model")]
    chosen = np.random.default_rng(seed).integers(0, len(x), (RESAMPLES, len(x)))
    slopes, fits = line(x[chosen], y[chosen], ex[chosen], ey[chosen])
    ratios = far(y[chosen]) / np.maximum(far(x[chosen]), 1e-9)
    a = float(y.mean() - b * x.mean())
    return Bridge(
        slope=Estimate(float(b), around_slope(x, y, ex, float(b)), len(x)),
        intercept=a,
        explained=Estimate(float(r2), between(fits), len(x)),
        ratio=Estimate(float(far(y) / max(far(x), 1e-9)), between(ratios), len(x)),
        off=tuple(p.name for p, o in zip(used, strays(y - a - b * x, around[1] + b * b * around[0])) if o),
    )


def spread(count: int, n: int) -> float:
    """A share's sampling variance as it is believed from few faces: with two more of either kind (Agresti
    and Coull 1998), so that none of two isn't taken for none of all."""
    share = (count + 2) / (n + 4)
    return share * (1 - share) / (n + 4)


def sizes(points: Sequence[Carried], side: str) -> np.ndarray:
    """The numbers of faces of one side."""
    return np.array([getattr(p, side)[1] for p in points], float)


def line(x: np.ndarray, y: np.ndarray, ex: np.ndarray, ey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and R^2 of shares (..., n) with sampling variances `ex` and `ey` taken out, by moments; nan where
    nothing but noise is left of x."""
    dx, dy = x - x.mean(-1, keepdims=True), y - y.mean(-1, keepdims=True)
    n = x.shape[-1]
    sxx = (dx * dx).sum(-1) / (n - 1) - ex.mean(-1)
    syy = (dy * dy).sum(-1) / (n - 1) - ey.mean(-1)
    sxy = (dx * dy).sum(-1) / (n - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(sxx > 0, sxy / sxx, np.nan)
        explained = np.where((sxx > 0) & (syy > 0), np.clip(sxy**2 / (sxx * syy), 0, 1), np.nan)
    return slope, explained


def far(shares: np.ndarray) -> np.ndarray:
    """The mean distance of shares (..., n) from one half."""
    return np.abs(shares - 0.5).mean(-1)


def jackknife(x: np.ndarray, y: np.ndarray, ex: np.ndarray, slope: float) -> tuple[float, float]:
    """The slope's 95 % interval by leaving out each profession once, with Student's t. (A bootstrap's
    percentiles cover less with so few.)"""
    from scipy.stats import t

    n = len(x)
    rest = np.array([[j for j in range(n) if j != k] for k in range(n)])
    without, _ = line(x[rest], y[rest], ex[rest], ex[rest])
    if not np.isfinite(without).all():
        raise ValueError(
            "without one profession the data's shares differ by no more than noise; no line can be drawn"
        )
    spread = float(np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))
    half = float(t.isf(LEVEL / 2, n - 2)) * spread
    return slope - half, slope + half


def around_slope(x: np.ndarray, y: np.ndarray, ex: np.ndarray, slope: float) -> tuple[float, float]:
    """The slope's interval: the jackknife's, and where noise is more than `NOISY` of the data's variance what
    Fieller's holds, too. Where few faces leave little of the data's differences, the jackknife alone lies
    below the truth in up to one of five of the lines that can be drawn."""
    low, high = jackknife(x, y, ex, slope)
    if ex.mean() <= NOISY * x.var(ddof=1):
        return low, high
    least, most = fieller(x, y, ex)
    return min(low, least), max(high, most)


def fieller(x: np.ndarray, y: np.ndarray, ex: np.ndarray) -> tuple[float, float]:
    """The slopes b for which the covariance less b times the data's variance without its noise `ex` isn't
    told from 0 (Fieller 1954; Student's t over professions). Infinite where no slope can be ruled out, since
    the variance itself may be 0."""
    from scipy.stats import t

    n = len(x)
    dx, dy = x - x.mean(), y - y.mean()
    both, own = n / (n - 1) * dx * dy, n / (n - 1) * dx * dx - ex
    scale = float(t.isf(LEVEL / 2, n - 2)) ** 2 / n
    spread_of = scale * np.cov(both, own)
    a = own.mean() ** 2 - spread_of[1, 1]
    b = both.mean() * own.mean() - spread_of[0, 1]
    c = both.mean() ** 2 - spread_of[0, 0]
    if a <= 0 or own.mean() <= 0:
        return -math.inf, math.inf
    inside = max(0.0, b * b - a * c)  # below 0 by rounding alone: the slope itself is always held
    return float((b - math.sqrt(inside)) / a), float((b + math.sqrt(inside)) / a)


def between(resampled: np.ndarray) -> tuple[float, float]:
    """What 95 % of resamples lie between."""
    if np.isnan(resampled).all():
        return math.nan, math.nan
    low, high = np.nanquantile(resampled, [LEVEL / 2, 1 - LEVEL / 2])
    return float(low), float(high)


def strays(residuals: np.ndarray, noise: np.ndarray) -> list[bool]:
    """Which residuals are larger than their noise variance explains, with at most 5 % of them expected to be
    false (Benjamini and Hochberg 1995)."""
    from scipy.stats import norm

    p = 2 * norm.sf(np.abs(residuals) / np.sqrt(np.maximum(noise, 1e-6)))
    return [q <= LEVEL for q in adjust_p_values(list(p))]
