"""Expected optimal transport from classifier probabilities to samples of a target distribution (arXiv
2311.07604, section 4.1, eq. 4 and 5)."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import binom


def expected_transport(
    p: np.ndarray,
    target: np.ndarray,
    corners: np.ndarray | None = None,
    samples: int = 200,
    seed: int = 0,
) -> np.ndarray:
    """The expected one-hot targets q (N, K) of N images whose class probabilities are p (N, D).

    Eq. 4 assigns N i.i.d. samples of the target (K,) to the images at the least sum of Euclidean distances
    from p to the classes' `corners` (K, D), by default those of one attribute, the identity; eq. 5 takes the
    mean over draws of the samples. Of several attributes, p holds their probabilities side by side, and a
    corner their classes: so the distance is the root of the summed squares over attributes, as in the
    authors' code. In closed form for two classes of one attribute, else over `samples` draws. ValueError if
    the shapes or sums are wrong."""
    p, target = np.asarray(p, float), np.asarray(target, float)
    places = np.eye(len(target)) if corners is None else np.asarray(corners, float)
    if p.ndim != 2 or places.shape != (len(target), p.shape[1]) or len(target) < 2:
        raise ValueError(
            f"p has the shape {p.shape}, target {target.shape} and corners {places.shape}; expected (N, D),"
            " (K,) and (K, D) with K of at least 2"
        )
    wrong = not np.allclose(p.sum(1), places.sum(1)[0], atol=1e-4)
    if (target < 0).any() or not np.isclose(target.sum(), 1) or wrong:
        raise ValueError("target, and each row of p in each attribute, must be probabilities that sum to 1")
    closed = corners is None and len(target) == 2
    return _two_classes(p, target) if closed else _sampled(p, target, places, samples, seed)


def _two_classes(p: np.ndarray, target: np.ndarray) -> np.ndarray:
    """For two classes the cheapest assignment gives the j samples of the second class to the j images
    likeliest to be of it; j is binomial, so the image of rank r (0 = likeliest) is of the second class with
    probability P(j > r)."""
    n = len(p)
    rank = np.empty(n, int)
    rank[np.argsort(-p[:, 1], kind="stable")] = np.arange(n)
    second = binom.sf(rank, n, target[1])
    return np.stack([1 - second, second], 1)


def _sampled(p: np.ndarray, target: np.ndarray, corners: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """The mean over draws: only the counts of the samples' classes matter, and equal counts are solved
    once."""
    n, k = len(p), len(target)
    cost = np.linalg.norm(p[:, None] - corners[None], axis=-1)
    counts, times = np.unique(
        np.random.default_rng(seed).multinomial(n, target, samples), axis=0, return_counts=True
    )
    q = np.zeros((n, k))
    for row, weight in zip(counts, times):
        classes = np.repeat(np.arange(k), row)
        images, places = linear_sum_assignment(cost[:, classes])
        q[images, classes[places]] += weight
    return q / samples
