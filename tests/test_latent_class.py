"""Errors of readers where nobody knows the truth, and corrections that doubt what they know of errors."""

import numpy as np
import pytest

from fairdemo.stats import measure
from fairdemo.stats.confusions import Confusions, read_confusions
from fairdemo.stats.latent_class import fit_error_scale, fit_latent_classes, scale_errors

KNOWN = {"race": {"White": {"White": 96, "Black": 4}, "Black": {"White": 4, "Black": 96}}}
GENERATED = {"race": {"White": {"White": 90.5, "Black": 9.5}, "Black": {"White": 20.0, "Black": 80.0}}}


def simulate(shares, laws, n: int, seed: int = 0) -> np.ndarray:
    """Joint counts of n faces of which each reader errs by its own law (K, J)."""
    rng = np.random.default_rng(seed)
    table = np.zeros([len(law[0]) for law in laws])
    for true in rng.choice(len(shares), n, p=shares):
        table[tuple(rng.choice(len(law[true]), p=law[true]) for law in laws)] += 1
    return table


def test_errors_are_found_without_the_truth():
    """The first reader has four readings for three classes; the third is as bad as words that a model only
    follows in two of three images."""
    first = np.array([[0.85, 0.1, 0.05, 0.0], [0.1, 0.7, 0.0, 0.2], [0.0, 0.05, 0.9, 0.05]])
    second = np.array([[0.9, 0.05, 0.05], [0.02, 0.95, 0.03], [0.1, 0.1, 0.8]])
    third = np.full((3, 3), 1 / 6) + np.eye(3) / 2
    shares = np.array([0.5, 0.3, 0.2])
    fitted = fit_latent_classes(simulate(shares, (first, second, third), 20_000))
    assert fitted.shares == pytest.approx(shares, abs=0.02)
    for found, true in zip(fitted.readings, (first, second, third)):
        assert found.sum() == pytest.approx(20_000)
        assert found / found.sum(1, keepdims=True) == pytest.approx(true, abs=0.03)


def test_readers_who_never_err_leave_nothing_to_estimate():
    table = np.zeros((2, 2, 2))
    table[0, 0, 0], table[1, 1, 1] = 30, 10
    fitted = fit_latent_classes(table)
    assert fitted.shares == pytest.approx([0.75, 0.25], abs=1e-3)
    assert fitted.readings[0] == pytest.approx(np.diag([30, 10]), abs=0.1)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.5])
def test_two_readers_tell_how_much_more_they_err(scale):
    """The factor that both readers' errors were multiplied by is found again, within its interval."""
    first = np.array([[0.95, 0.04, 0.01], [0.05, 0.92, 0.03], [0.02, 0.02, 0.96]])
    second = np.array([[0.93, 0.02, 0.05], [0.01, 0.97, 0.02], [0.04, 0.03, 0.93]])
    laws = [scale_errors(law, scale) for law in (first, second)]
    assert all(law.sum(1) == pytest.approx(1) for law in laws)
    assert laws[0][0, 1] == pytest.approx(0.04 * scale)
    found = fit_error_scale(simulate([0.6, 0.3, 0.1], laws, 6000), first, second)
    assert found.n == 6000 and found.interval[0] <= scale <= found.interval[1]
    assert found.value == pytest.approx(scale, rel=0.15)


def test_errors_stay_a_law_however_large():
    law = scale_errors(np.array([[0.7, 0.3], [0.1, 0.9]]), 20)
    assert law.sum(1) == pytest.approx(1) and law.min() >= 0.049


@pytest.mark.parametrize("shape", [(3, 3), (3, 2, 3), (4, 1, 1)])
def test_readings_that_dont_fit_each_other_are_refused(shape):
    with pytest.raises(ValueError, match="three readings or more"):
        fit_latent_classes(np.ones(shape))


def test_intervals_hold_what_errors_on_generated_faces_would_give():
    counts = {"White": 60, "Black": 40}
    sure, doubtful = Confusions(KNOWN), Confusions(KNOWN, GENERATED)
    one, both = sure.correct("race", counts), doubtful.correct("race", counts)
    other = measure.correct(counts, GENERATED["race"])
    assert one and both and both.shares == one.shares, "the estimate is by the errors that were counted"
    for c in counts:
        low, high = both.intervals[c]
        assert low == min(one.intervals[c][0], other.intervals[c][0]) <= one.shares[c]
        assert high == max(one.intervals[c][1], other.intervals[c][1]) >= one.shares[c]
    assert both.intervals["White"][0] < one.intervals["White"][0], "White was read too often there"
    assert sure.correct("gender", {"Female": 3}) is None and sure.correct_from("gender") == 0
    unclear = {"a": {"a": 520, "b": 480}, "b": {"a": 480, "b": 520}}
    assert Confusions({"race": unclear}).correct("race", {"a": 900}) is None, "it would take thousands"
    assert sure.correct("race", {}) is None


def test_confusions_are_kept_whole_and_checked():
    both = Confusions(KNOWN, GENERATED)
    assert read_confusions(both.as_json()) == both
    assert Confusions(KNOWN).as_json() == {"confusion": KNOWN} and read_confusions({}) == Confusions()
    for strange in (-1, float("nan"), float("inf"), "many", None):
        with pytest.raises((ValueError, TypeError, OverflowError)):
            read_confusions({"confusion": {"race": {"White": {"White": strange}}}})
