"""An experiment with a class: who gets which arm, what that many people can show, and what they showed.

Modelled on the survey experiment of arXiv 2402.01002, where people estimate shares before and after they
see images; blocks, permutations and the order of the analyses are ours."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

LEVEL, POWER = 0.05, 0.8
PERMUTATIONS = 2000
LOST = 0.1  # of people, whose answers don't count since they don't attend
TRIES, SWAPS = 1500, 999  # simulated experiments, and orders of each, behind the smallest effect


@dataclass(frozen=True)
class Effect:
    """How much more one arm's estimates moved than another's, in points."""

    points: float
    interval: tuple[float, float]  # 95 %, by Student's t
    p: float  # of permutations within blocks
    n: tuple[int, int]  # people in either arm


def assigned(number: int, arms: Sequence[str], seed: int) -> tuple[int, str]:
    """The block and the arm of the number-th person who joins (from 0). A block has every arm once, in an
    order that its own random numbers decide, so that arms never differ by more than one."""
    block, place = divmod(number, len(arms))
    order = np.random.default_rng([seed, block]).permutation(len(arms))
    return block, arms[int(order[place])]


def smallest_effect(each: int, deviation: float, power: float = POWER) -> float:
    """The smallest difference of two arms' mean changes, in points, that `each` people in either arm show
    with `power` at p < 0.05, where people's changes have this standard deviation and a share of `LOST` isn't
    counted. It is that of the test that is used, permutations within blocks, found by simulation. nan where
    no difference is shown with that power: five blocks have 32 orders, so that p is at least 0.06."""
    return deviation * _smallest_effect(each, power)


@lru_cache(256)
def _smallest_effect(each: int, power: float) -> float:
    """The same in standard deviations, from normal changes of `TRIES` experiments."""
    rng = np.random.default_rng(each)
    changes = rng.normal(size=(2, TRIES, each))  # of both arms' person in each block
    counted = rng.random((2, TRIES, each)) >= LOST
    swapped = (rng.random((each, SWAPS)) < 0.5).astype(float)

    def reached(effect: float) -> float:
        one, other = np.where(counted, changes + np.array([0.0, effect])[:, None, None], 0.0)
        n, m = np.maximum(counted.sum(2), 1)[:, :, None]
        # Swapping a block whose two people both count moves its difference from one arm's sum to the other's.
        moved = np.where(counted.all(0), one - other, 0.0) @ swapped
        apart = (other.sum(1)[:, None] + moved) / m - (one.sum(1)[:, None] - moved) / n
        seen = other.sum(1)[:, None] / m - one.sum(1)[:, None] / n
        p = (1 + (np.abs(apart) >= np.abs(seen) - 1e-9).sum(1)) / (1 + SWAPS)
        return float((p < LEVEL).mean())

    low, high = 0.0, 8.0
    if each < 1 or reached(high) < power:
        return math.nan
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) >= power else (middle, high)
    return high


def by_covariance(
    before: np.ndarray, after: np.ndarray, second: np.ndarray, blocks: np.ndarray, seed: int = 0
) -> Effect:
    """The effect of the second arm against the first on what people say after, with what they said before
    taken into
    account (analysis of covariance, the first analysis). All arrays are (n,): points, points, whether
    somebody is in the second arm, and the block. ValueError for fewer than two people in an arm."""
    check(second)
    x = np.column_stack([np.ones(len(before)), before])
    return effect(x, after, second, blocks, seed)


def by_differences(
    before: np.ndarray, after: np.ndarray, second: np.ndarray, blocks: np.ndarray, seed: int = 0
) -> Effect:
    """The same as the difference of mean changes (difference of differences, the second analysis)."""
    check(second)
    return effect(np.ones((len(before), 1)), after - before, second, blocks, seed)


def check(second: np.ndarray) -> None:
    """ValueError unless both arms have two people and more."""
    if min(second.sum(), (~second).sum()) < 2:
        raise ValueError("an arm has fewer than two people; nothing can be said of its effect")


def effect(x: np.ndarray, y: np.ndarray, second: np.ndarray, blocks: np.ndarray, seed: int) -> Effect:
    """The coefficient of the second arm beside covariates x (n, k) in a regression of y (n,)."""
    from scipy.stats import t

    q, _ = np.linalg.qr(x)
    every = np.vstack([second, permuted(second, blocks, PERMUTATIONS, seed)]).astype(float)
    rest = every - (every @ q) @ q.T  # arms with the covariates taken out
    left = y - q @ (q.T @ y)
    size = (rest * rest).sum(1)
    points = np.divide(rest @ left, size, out=np.zeros(len(size)), where=size > 1e-9)
    free = max(1, len(y) - x.shape[1] - 1)
    spread = np.sqrt(np.maximum(left @ left - points**2 * size, 0) / free)
    score = np.abs(points) * np.sqrt(size) / np.maximum(spread, 1e-12)
    half = float(t.isf(LEVEL / 2, free)) * float(spread[0] / math.sqrt(max(size[0], 1e-12)))
    # The arms as they are count as one of the permutations, so that p is never zero.
    p = float((score >= score[0] - 1e-9).mean())
    n = int((~second).sum()), int(second.sum())
    return Effect(float(points[0]), (float(points[0]) - half, float(points[0]) + half), p, n)


def permuted(second: np.ndarray, blocks: np.ndarray, times: int, seed: int) -> np.ndarray:
    """Arms (times, n) dealt anew within blocks, each block's as many as before."""
    rng = np.random.default_rng(seed)
    order = np.argsort(blocks, kind="stable")
    drawn = rng.random((times, len(second)))
    # By block, then at random: whoever stands at a place gets the arm that stood there.
    shuffled = np.lexsort((drawn, np.broadcast_to(blocks, drawn.shape)), axis=-1)
    found = np.empty((times, len(second)), bool)
    np.put_along_axis(found, shuffled, np.broadcast_to(second[order], found.shape), axis=-1)
    return found
