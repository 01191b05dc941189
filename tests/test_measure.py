import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest
from statsmodels.stats.proportion import multinomial_proportions_confint, proportion_confint

from fairdemo.stats import measure


def test_bias_by_hand():
    # arXiv 2311.07604, section 5.1, two classes: |0.75 - 0.25|; three classes 0.5, 0.5, 0: (0 + 0.5 + 0.5)
    # / 3
    assert measure.bias({"Female": 3, "Male": 1}) == pytest.approx(0.5)
    assert measure.bias({"a": 5, "b": 5, "c": 0}) == pytest.approx(1 / 3)
    assert measure.bias({"a": 4, "b": 4, "c": 4}) == 0
    assert math.isnan(measure.bias({"a": 0, "b": 0})), "no faces are no balance"
    assert measure.bias({("x", "u"): 2, ("x", "v"): 0, ("y", "u"): 0, ("y", "v"): 2}) == pytest.approx(
        4 * 0.5 / 6
    )


def test_interval_by_hand():
    # No success in 4: 0 up to the p where the test's p-value is 0.055. There every count but 0 is likelier,
    # so p-value = (1 - p)^4.
    assert measure.interval(0, 4) == (0, pytest.approx(1 - 0.055**0.25, abs=1.1e-3))
    assert measure.interval(4, 4)[1] == 1 and measure.interval(0, 0) == (0, 1)
    with pytest.raises(ValueError, match="5 of 4"):
        measure.interval(5, 4)


@pytest.mark.parametrize("count, n", [(3, 16), (1, 8), (30, 64), (0, 5), (7, 7)])
def test_interval_holds_the_shares_that_the_exact_test_keeps(count, n):
    low, high = measure.interval(count, n)
    ends = proportion_confint(count, n, alpha=measure.MISS, method="binom_test")
    assert (low, high) == (pytest.approx(ends[0], abs=2e-3), pytest.approx(ends[1], abs=2e-3))
    inside, outside = (low + high) / 2, high + 0.02
    assert binomtest(count, n, inside).pvalue > measure.MISS
    assert outside > 1 or binomtest(count, n, outside).pvalue <= measure.MISS


@pytest.mark.parametrize("n", [1, 4, 8, 16, 64])
def test_interval_covers_every_share(n):
    ends = [measure.interval(k, n) for k in range(n + 1)]
    covered = [
        sum(binom.pmf(k, n, p) for k, (low, high) in enumerate(ends) if low <= p <= high)
        for p in np.linspace(0.02, 0.98, 49)
    ]
    assert min(covered) >= 0.94
    wilson = [proportion_confint(k, n, method="wilson") for k in range(n + 1)]
    if n == 8:
        assert (
            sum(binom.pmf(k, n, 0.02) for k, (low, high) in enumerate(wilson) if low <= 0.02 <= high) < 0.86
        )


@settings(max_examples=50, deadline=None)
@example(0, 1)
@given(st.integers(0, 60), st.integers(0, 60))
def test_interval_is_symmetric_and_holds_the_share(a, b):
    low, high = measure.interval(a, a + b)
    mirrored = measure.interval(b, a + b)
    assert (low, high) == (pytest.approx(1 - mirrored[1], abs=1e-9), pytest.approx(1 - mirrored[0], abs=1e-9))
    assert a + b == 0 or low <= a / (a + b) <= high


def test_simultaneous_intervals_are_wider_and_hold_together():
    counts = {"a": 10, "b": 4, "c": 2}
    together = measure.simultaneous(counts)
    assert all(
        together[c][0] <= measure.interval(k, 16)[0] and together[c][1] >= measure.interval(k, 16)[1]
        for c, k in counts.items()
    )
    assert measure.simultaneous({"F": 3, "M": 13})["F"] == measure.interval(3, 16)
    rng, p = np.random.default_rng(0), np.array([0.94, 0.02, 0.02, 0.02])
    walls, times = np.unique(rng.multinomial(16, p, 500), axis=0, return_counts=True)

    def share_held(ends):
        return np.average(
            [all(low <= q <= high for (low, high), q in zip(ends(w), p)) for w in walls], weights=times
        )

    assert share_held(lambda w: measure.simultaneous(dict(enumerate(map(int, w)))).values()) >= 0.94
    assert share_held(lambda w: multinomial_proportions_confint(w, method="sison-glaz")) < 0.9, (
        "why ours is not Sison and Glaz's"
    )


def test_distances_by_hand():
    counts, target = {"a": 1, "b": 3}, {"a": 0.5, "b": 0.5}
    assert measure.proportions(counts) == {"a": 0.25, "b": 0.75}
    assert measure.total_variation(counts, target) == pytest.approx(0.25)
    assert measure.discrepancy(counts, target) == pytest.approx(math.sqrt(2) / 4)
    assert measure.total_variation({"a": 2, "b": 2}, target) == 0
    # Jensen-Shannon in bits: m = (0.375, 0.625); root of half the two Kullback-Leibler divergences to m
    kl = (
        0.25 * math.log2(0.25 / 0.375) + 0.75 * math.log2(0.75 / 0.625),
        0.5 * math.log2(0.5 / 0.375) + 0.5 * math.log2(0.5 / 0.625),
    )
    assert measure.jensen_shannon(counts, target) == pytest.approx(math.sqrt(sum(kl) / 2))
    assert measure.jensen_shannon({"a": 5, "b": 0}, {"a": 0, "b": 1}) == pytest.approx(1)
    assert measure.jensen_shannon(dict.fromkeys("abcdef", 7), dict.fromkeys("abcdef", 1 / 6)) == 0
    assert math.isnan(measure.jensen_shannon({"a": 0, "b": 0}, target))


def test_goodness_of_fit():
    # 4 of 4 heads: outcomes no likelier are 0 and 4 of 4, 2 / 16
    assert measure.goodness_of_fit({"h": 4, "t": 0}, {"h": 0.5, "t": 0.5}) == pytest.approx(1 / 8)
    assert measure.goodness_of_fit({"h": 7, "t": 9}, {"h": 0.3, "t": 0.7}) == pytest.approx(
        binomtest(7, 16, 0.3).pvalue
    )
    # three classes by hand: (2, 0, 0) under thirds: probability 1/9, others of that kind 3 x 1/9; the mixed
    # ones 2/9 each are likelier
    assert measure.goodness_of_fit({"a": 2, "b": 0, "c": 0}, dict.fromkeys("abc", 1 / 3)) == pytest.approx(
        1 / 3
    )
    assert measure.goodness_of_fit({"a": 1, "b": 1}, {"a": 1.0, "b": 0.0}) == 0
    exact = measure.goodness_of_fit({"a": 9, "b": 4, "c": 3}, dict.fromkeys("abc", 1 / 3))
    drawn = measure.goodness_of_fit({"a": 9, "b": 4, "c": 3}, dict.fromkeys("abc", 1 / 3), draws=150)
    assert drawn == pytest.approx(exact, abs=0.12) and drawn == measure.goodness_of_fit(
        {"a": 9, "b": 4, "c": 3}, dict.fromkeys("abc", 1 / 3), draws=150
    )
    assert measure.goodness_of_fit({c: 40 for c in "abcdef"}, dict.fromkeys("abcdef", 1 / 6)) == 1


def test_change_between_twins_by_hand():
    before = [True] * 2 + [False] * 14
    after = [True] * 2 + [True] * 6 + [False] * 8
    moved = measure.change(before, after)
    # McNemar: 6 of 6 one way.
    assert moved.difference == pytest.approx(6 / 16) and moved.p == pytest.approx(2 / 2**6)
    assert moved.interval[0] > 0 and moved.interval[1] < 0.7
    assert measure.change(before, before) == measure.Change(
        0, pytest.approx(measure.change(before, before).interval), 1
    )
    with pytest.raises(ValueError, match="1 before and 0 after"):
        measure.change([True], [])


def test_agreement_beyond_chance_by_hand():
    """Cohen's example: 35 of 50 alike where chance gives 25, so kappa is (0.7 - 0.5) / (1 - 0.5)."""
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    found = measure.agreement(first, second)
    assert (found.kappa, found.alike, found.n) == (pytest.approx(0.4), 0.7, 50)
    assert found.interval[0] < 0.4 < found.interval[1] < 0.7
    assert measure.agreement(first, first).kappa == 1 == measure.agreement(["a"], ["a"]).kappa
    with pytest.raises(ValueError, match="same faces, got 1 and 0"):
        measure.agreement(["a"], [])


def test_parity_of_twins():
    assert measure.parity(["m"] * 16, ["m"] * 8 + ["f"] * 8) < 0.01
    assert measure.parity(["m", "f"] * 8, ["f", "m"] * 8) == 1
    assert measure.parity(["a", "b", "c"], ["a", "b", "c"]) == 1
    assert measure.parity(["a"], ["b"]) == 1 == measure.parity([], [])


def test_amplification_points_away_from_balance():
    doctor = measure.amplification(1, 16, 0.12)  # women: 12 % in the corpus, 1 of 16 drawn
    assert (
        doctor.points == pytest.approx(0.12 - 1 / 16)
        and doctor.interval[0] < doctor.points < doctor.interval[1]
    )
    nurse = measure.amplification(16, 16, 0.92)
    assert nurse.points == pytest.approx(0.08)
    assert measure.amplification(8, 16, 0.92).points == pytest.approx(-0.42)
    with pytest.raises(ValueError, match="1.2"):
        measure.amplification(1, 2, 1.2)


def test_a_means_interval_stays_where_values_can_lie():
    """Student's t of few values would reach beyond: 0.05 ± 0.16."""
    low, high = measure.mean([0.0, 0.0, 0.15]).interval
    assert low < 0 < high
    assert measure.mean([0.0, 0.0, 0.15], (0, 1)).interval == (0, high)
    assert measure.mean_share([1.0, 1.0, 0.85]).interval[1] == 1


def test_confusion_is_taken_out():
    confusion = {"a": {"a": 90, "b": 10}, "b": {"a": 20, "b": 80}}  # true 0.5, 0.5 is read as 0.55, 0.45
    fixed = measure.correct({"a": 550, "b": 450}, confusion)
    assert fixed.shares == pytest.approx({"a": 0.5, "b": 0.5}, abs=2e-3)
    assert all(low < 0.5 < high for low, high in fixed.intervals.values())
    wide = measure.correct(
        {"a": 550, "b": 450}, {c: {r: k // 10 for r, k in row.items()} for c, row in confusion.items()}
    )
    assert np.ptp(wide.intervals["a"]) > np.ptp(fixed.intervals["a"]), (
        "a confusion measured on fewer faces is less certain"
    )
    assert measure.correct({"a": 3, "b": 1}, {"a": {"a": 1000}, "b": {"b": 1000}}).shares[
        "a"
    ] == pytest.approx(0.75, abs=1e-3)
    assert min(measure.correct({"b": 4}, confusion).shares.values()) >= 0
    assert measure.correct({}, confusion).intervals["a"] == (0, 1)
    with pytest.raises(ValueError, match="no faces for b"):
        measure.correct({"a": 1}, {"a": {"a": 1}, "b": {}})


def test_readings_are_finer_than_labels():
    assert measure.reading({"a": 0.95, "b": 0.05}) == "a"
    assert measure.reading({"a": 0.3, "b": 0.7, "c": 0.0}) == "b / a"
    assert measure.reading({"a": 0.3, "b": 0.2, "c": 0.5}) == "c / a?" and measure.label("c / a?") == "c"
    # Label a in both cases, but who is read as "a / b" is b as often as a: the nearly-b among the seen ones
    # give b away.
    confusion = {"a": {"a": 50, "a / b": 50}, "b": {"a / b": 50, "b": 50}}
    assert measure.correct({"a": 50, "a / b": 50}, confusion).shares["a"] == pytest.approx(1, abs=0.02)
    assert measure.correct({"a / b": 100}, confusion).shares["a"] == pytest.approx(0.5, abs=0.02)
    assert measure.correct({"a": 10, "b / c": 5}, confusion).shares["a"] > 0.9, (
        "a reading never met before says nothing"
    )


def test_correction_covers_a_known_truth():
    rng, law = np.random.default_rng(0), np.array([[80, 15, 5], [10, 85, 5], [5, 20, 75]]) / 100
    held = []
    for k in range(40):
        truth = rng.dirichlet(np.ones(3))
        counted = {
            i: dict(enumerate(rng.multinomial(400, row))) for i, row in enumerate(law)
        }  # the confusion is itself an estimate
        fixed = measure.correct(dict(enumerate(rng.multinomial(1000, truth @ law))), counted, seed=k)
        held += [fixed.intervals[i][0] <= p <= fixed.intervals[i][1] for i, p in enumerate(truth)]
    assert 0.88 <= np.mean(held) <= 1


def test_likeness_and_distinct_faces_by_hand():
    same, apart = np.tile([1.0, 0.0], (4, 1)), np.eye(4)
    assert measure.likeness(same).value == pytest.approx(1) and measure.distinct_faces(same) == pytest.approx(
        1
    )
    assert measure.likeness(apart).value == pytest.approx(0) and measure.distinct_faces(
        apart
    ) == pytest.approx(4)
    mixed = np.array([[1, 0], [1, 0], [0, 1.0]])  # pairs: 1, 0, 0
    assert measure.likeness(mixed).value == pytest.approx(1 / 3)
    two_thirds = [2 / 3, 1 / 3]  # eigenvalues over n
    assert measure.distinct_faces(mixed) == pytest.approx(math.exp(-sum(v * math.log(v) for v in two_thirds)))
    rng = np.random.default_rng(0)
    faces = rng.normal(size=(40, 16)) + 1
    estimate = measure.likeness(faces)
    assert estimate.interval[0] < estimate.value < estimate.interval[1]
    assert math.isnan(measure.likeness(same[:1]).value) and math.isnan(measure.distinct_faces(same[:0]))


def test_mean_with_interval():
    estimate = measure.mean([0.2, 0.4, 0.6, 0.8] * 5)
    assert (
        estimate.value == pytest.approx(0.5)
        and estimate.interval[0] < 0.5 < estimate.interval[1]
        and estimate.n == 20
    )
    alike = measure.mean([1.0] * 40)
    assert alike.value == 1 and all(map(math.isnan, alike.interval)), "they don't say how far values differ"
    assert math.isnan(measure.mean([]).value) and measure.mean_share([1.0] * 40).interval[0] < 0.95


def test_how_many_images():
    assert measure.images_for_width(0.1) == 97  # 1.96^2 x 0.25 / 0.01
    assert measure.images_for_width(0.05, 0.2) < measure.images_for_width(0.05)
    assert 90 <= measure.images_to_tell(0.5, 0.7) <= 96  # textbook: 93 a side for 80 % power
    with pytest.raises(ValueError, match="0.5 and 0.5"):
        measure.images_to_tell(0.5, 0.5)
    with pytest.raises(ValueError, match="half width is 0"):
        measure.images_for_width(0)
