"""The class's experiment: arms, what a class can show, and analyses that find what is there and nothing
else."""

import itertools
from collections import Counter

import numpy as np
import pytest

from fairdemo.stats import experiment
from fairdemo.stats.experiment import assigned, by_covariance, by_differences, permuted, smallest_effect
from fairdemo.stats.implicit import Block, d_score

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
    """By hand, with the normal distribution in place of the test's own, and the blocks of which both people
    count, 0.9 x 0.9 of them: 1.96 + 0.84 standard errors. Of five blocks nothing is promised: p can't be
    below 2 of 32."""
    for each in (30, 60):
        by_hand = 2.8016 * 7 * np.sqrt(2 / (0.81 * each))
        assert smallest_effect(each, 7) == pytest.approx(by_hand, rel=0.06)
    assert smallest_effect(30, 14) == pytest.approx(2 * smallest_effect(30, 7))
    assert all(np.isnan(smallest_effect(each, 7)) for each in range(6))
    assert smallest_effect(10, 7) > 1.05 * 2.8016 * 7 * np.sqrt(2 / 8.1), "few people take more"


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
    found = [analysis(*simulated(rng, 40, 0), seed=k).p for k in range(2000)]
    assert 0.037 <= np.mean(np.array(found) < 0.05) <= 0.063  # within 2.7 standard errors


@pytest.mark.parametrize("each", [8, 10, 15, 20, 30])
def test_the_effect_that_was_said_beforehand_is_found_in_four_of_five(each, monkeypatch):
    """One in ten people isn't counted; 1,000 experiments, so that the share found is good to 2.5 points."""
    monkeypatch.setattr(experiment, "PERMUTATIONS", 400)
    rng = np.random.default_rng(12)
    effect, found = smallest_effect(each, 15), []
    for k in range(1000):
        counted = rng.random(2 * each) >= experiment.LOST
        found.append(by_differences(*(x[counted] for x in simulated(rng, 2 * each, effect)), seed=k))
    assert np.mean([f.p < 0.05 for f in found]) == pytest.approx(0.8, abs=0.04)
    assert np.mean([f.interval[0] <= effect <= f.interval[1] for f in found]) >= 0.93


def test_too_few_people_are_told():
    with pytest.raises(ValueError, match="fewer than two people"):
        by_covariance(*simulated(np.random.default_rng(0), 3, 0))


def test_d_is_the_difference_of_latencies_in_deviations_of_both_blocks():
    """Worked by hand: warm-up trials don't count, 100 ms count as 400, 9 s as 2 s, 11 s not at all."""
    together = Block(True, [9000] * 4 + [500, 600, 700, 100])
    apart = Block(False, [9000] * 4 + [800, 900, 11_000, 9000])
    kept = np.array([500, 600, 700, 400]), np.array([800, 900, 2000])
    slow = [Block(b.together, [*b.latencies, *[1000] * 12]) for b in (together, apart)]
    assert d_score([together, apart]) is None, "one of eight was faster than one can read"
    more = np.r_[kept[0], [1000] * 12], np.r_[kept[1], [1000] * 12]
    d = (more[1].mean() - more[0].mean()) / np.concatenate(more).std(ddof=1)
    assert d_score(slow) == d_score(slow[::-1]) == pytest.approx(d)
    swapped = [Block(not b.together, b.latencies) for b in slow]
    assert d_score([*slow, *swapped]) == pytest.approx(0, abs=1e-12)


def test_what_cant_be_scored_isnt():
    steady = [Block(kind, [600] * 20) for kind in (True, False)]
    assert d_score(steady) is None, "nothing varies"
    assert d_score([Block(True, [20_000] * 20), Block(False, [600] * 20)]) is None
    for wrong in ([], steady[:1], [steady[0], steady[0]]):
        with pytest.raises(ValueError, match="expected pairs"):
            d_score(wrong)
