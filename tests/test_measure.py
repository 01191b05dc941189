import pytest

from fairdemo import measure


def test_bias_by_hand():
    # arXiv 2311.07604, section 5.1, two classes: |0.75 - 0.25|; three classes 0.5, 0.5, 0: (0 + 0.5 + 0.5) / 3
    assert measure.bias({"Female": 3, "Male": 1}) == pytest.approx(0.5)
    assert measure.bias({"a": 5, "b": 5, "c": 0}) == pytest.approx(1 / 3)
    assert measure.bias({"a": 4, "b": 4, "c": 4}) == 0
    assert measure.bias({"a": 0, "b": 0}) == 0


def test_wilson_interval_by_hand():
    # 3 of 16 at 95 %: centre (p + z^2 / 2n) / (1 + z^2 / n) with z = 1.96
    low, high = measure.interval(3, 16)
    assert (low, high) == (pytest.approx(0.0659, abs=1e-3), pytest.approx(0.4301, abs=1e-3))
    assert measure.interval(0, 0) == (0, 1)
    assert measure.interval(0, 1)[0] == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="5 of 4"):
        measure.interval(5, 4)


def test_proportions_and_distance():
    assert measure.proportions({"a": 1, "b": 3}) == {"a": 0.25, "b": 0.75}
    assert measure.total_variation({"a": 1, "b": 3}, {"a": 0.5, "b": 0.5}) == pytest.approx(0.25)
    assert measure.total_variation({"a": 2, "b": 2}, {"a": 0.5, "b": 0.5}) == 0
