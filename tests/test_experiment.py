"""The class's experiment: arms, what a class can show, and analyses that find what is there and nothing
else."""

import itertools
from collections import Counter

import numpy as np
import pytest

from fairdemo.stats import experiment
from fairdemo.stats.experiment import assigned, by_covariance, by_differences, permuted, smallest_effect

ARMS = ("inclusive", "non-inclusive")
FIVE = ("a", "b", "c", "d", "e")


def simulated(rng: np.random.Generator, n: int, effect: float, deviation: float = 15) -> tuple:
    """Estimates of n people before and after, their arms and blocks; the second arm's change is larger."""
    own = int(rng.integers(2**31))
    dealt = [assigned(k, ARMS, own) for k in range(n)]
    second = np.array([arm == ARMS[1] for _, arm in dealt])
    before = rng.normal(40, 15, n)
    return (
        before,
        before + rng.normal(3, deviation, n) + effect * second,
        second,
        np.array([b for b, _ in dealt]),
    )


@pytest.mark.parametrize("arms", [ARMS, FIVE])
def test_arms_never_differ_by_more_than_one(arms):
    for seed in range(50):
        dealt = [assigned(k, arms, seed) for k in range(43)]
        for k in range(1, 44):
            counts = Counter(arm for _, arm in dealt[:k])
            assert max(counts.values()) - min(counts.get(a, 0) for a in arms) <= 1
    orders = {
        tuple(assigned(k, arms, 0)[1] for k in range(b, b + len(arms))) for b in range(0, 60, len(arms))
    }
    assert len(orders) > 1, "blocks have orders of their own"
    assert [assigned(k, arms, 7) for k in range(9)] == [assigned(k, arms, 7) for k in range(9)]


def test_the_smallest_effect_is_as_worked_out():
    """Two arms of twenty with a deviation of 15 to 20 points: 14 to 19; five arms of eight: 25 to 33."""
    assert [round(smallest_effect(20, d)) for d in (15, 20)] == [14, 19]
    assert [round(smallest_effect(8, d)) for d in (15, 20)] == [25, 33]
    # By hand, with the normal distribution in place of Student's: 1.96 + 0.84 standard errors.
    assert smallest_effect(2000, 15) == pytest.approx(2.8016 * 15 * np.sqrt(2 / 2000), rel=1e-3)
    assert np.isnan(smallest_effect(1, 15))


def test_permutations_stay_within_blocks():
    rng = np.random.default_rng(0)
    blocks = np.array([0, 1, 0, 2, 1, 2, 2, 3])
    second = rng.random(8) < 0.5
    found = permuted(second, blocks, 500, 0)
    for b in range(4):
        assert (found[:, blocks == b].sum(1) == second[blocks == b].sum()).all()
    assert len({tuple(row) for row in found}) > 5


def test_an_effect_by_hand():
    """Four pairs; of their sixteen deals as many are as extreme as p says."""
    before = np.array([10.0, 10, 20, 20, 30, 30, 40, 40])
    second, blocks = np.array([False, True] * 4), np.repeat(np.arange(4), 2)
    change = np.array([0.0, 9, 1, 12, 2, 5, 3, 4])
    found = by_differences(before, before + change, second, blocks)
    assert found.points == pytest.approx(30 / 4 - 6 / 4) and found.n == (4, 4)
    pairs = change[second] - change[~second]
    every = [abs(np.dot(signs, pairs)) for signs in itertools.product((-1, 1), repeat=4)]
    assert found.p == pytest.approx(np.mean(np.array(every) >= pairs.sum()), abs=0.03)
    other = by_covariance(before, before + 5 + 12 * second + change / 100, second, blocks)
    assert other.points == pytest.approx(12, abs=0.1) and other.interval[0] > 11


def test_covariance_agrees_with_a_regression_by_statsmodels():
    import statsmodels.api as sm

    data = simulated(np.random.default_rng(3), 30, 8)
    x = sm.add_constant(np.column_stack([data[0], data[2].astype(float)]))
    fit = sm.OLS(data[1], x).fit()
    found = by_covariance(*data)
    assert found.points == pytest.approx(fit.params[2])
    assert found.interval == pytest.approx(tuple(fit.conf_int()[2]))


@pytest.mark.parametrize("analysis", [by_covariance, by_differences])
def test_without_an_effect_one_in_twenty_is_found(analysis, monkeypatch):
    monkeypatch.setattr(experiment, "PERMUTATIONS", 400)
    rng = np.random.default_rng(11)
    found = [analysis(*simulated(rng, 40, 0), seed=k).p for k in range(4000)]
    assert 0.04 <= np.mean(np.array(found) < 0.05) <= 0.06


def test_the_effect_that_was_said_beforehand_is_found_in_four_of_five(monkeypatch):
    monkeypatch.setattr(experiment, "PERMUTATIONS", 400)
    rng = np.random.default_rng(12)
    data = [simulated(rng, 40, smallest_effect(20, 15)) for _ in range(4000)]
    found = [by_covariance(*one, seed=k) for k, one in enumerate(data)]
    assert np.mean([f.p < 0.05 for f in found]) == pytest.approx(0.8, abs=0.03)
    held = [f.interval[0] <= smallest_effect(20, 15) <= f.interval[1] for f in found]
    assert np.mean(held) >= 0.94


def test_too_few_people_are_told():
    with pytest.raises(ValueError, match="fewer than two people"):
        by_covariance(*simulated(np.random.default_rng(0), 3, 0))
