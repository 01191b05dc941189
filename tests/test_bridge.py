"""The bridge from training data to a model: known answers, and intervals that cover."""

import numpy as np
import pytest

from fairdemo.stats import bridge
from fairdemo.stats.bridge import Carried


def carried(x, y, n=100_000, m=100_000):
    return [Carried(f"job {k}", (round(a * n), n), (round(b * m), m)) for k, (a, b) in enumerate(zip(x, y))]


def test_a_line_without_noise_is_found():
    x = np.array([0.1, 0.2, 0.3, 0.5, 0.6, 0.8])
    found = bridge.bridge(carried(x, 0.5 + 1.2 * (x - 0.5)))
    assert found.slope.value == pytest.approx(1.2, abs=1e-3) and found.slope.n == 6
    assert found.intercept == pytest.approx(-0.1, abs=1e-3)
    assert found.explained.value == pytest.approx(1, abs=1e-4) and found.off == ()
    assert found.ratio.value == pytest.approx(1.2, abs=1e-3)


def test_a_profession_off_the_line_is_named():
    x = np.linspace(0.1, 0.9, 12)
    y = x.copy()
    y[4] += 0.3
    assert bridge.bridge(carried(x, y, 400, 400)).off == ("job 4",)


def test_noise_is_taken_out_by_hand():
    """Shares .25 and .75 of 5 faces: variance .125 of two, less .1875 / 4 of noise; covariance .125."""
    x, e = np.array([0.25, 0.75]), np.full(2, 0.1875 / 4)
    slope, explained = bridge.line(x, x, e, np.zeros(2))
    assert slope == pytest.approx(0.125 / (0.125 - 0.046875))
    assert explained == pytest.approx(min(1, 0.125**2 / ((0.125 - 0.046875) * 0.125)))


@pytest.mark.parametrize(
    "n, data, model, slope, scatter",
    [(32, 100, 96, 1.15, 0.08), (32, 20, 32, 0.8, 0.05), (12, 60, 48, 1.0, 0.05)],
)
def test_the_slopes_interval_covers_and_the_slope_is_right(n, data, model, slope, scatter):
    """Simulated pairs of known slope: in at least 93 %; a plain line through few faces is too flat."""
    random, covered, slopes, plain = np.random.default_rng(5), 0, [], []
    for _ in range(1000):
        true = random.uniform(0.2, 0.8, n)
        mean = np.clip(0.5 + slope * (true - 0.5) + random.normal(0, scatter, n), 0, 1)
        x, y = random.binomial(data, true) / data, random.binomial(model, mean) / model
        noise = x * (1 - x) / (data - 1)
        found = float(bridge.line(x, y, noise, noise)[0])
        low, high = bridge.jackknife(x, y, noise, found)
        covered += low <= slope <= high
        slopes.append(found)
        plain.append(np.polyfit(x, y, 1)[0])
    assert covered >= 930
    assert abs(np.median(slopes) - slope) < 0.03
    assert data > 20 or np.mean(plain) < slope - 0.1


@pytest.mark.parametrize("faces", [4, 8, 16])
def test_few_faces_dont_soften(faces):
    """32 professions between .3 and .7 in the data, and the same shares in the model: of all lines that are
    drawn at most 3 % say softened (21 % of those from 4 faces did), and at most 3 % exaggerated."""
    random, told, softened, exaggerated = np.random.default_rng(6), 0, 0, 0
    for _ in range(400):
        true = random.uniform(0.3, 0.7, 32)
        x, y = (random.binomial(faces, true) / faces for _ in range(2))
        noise = x * (1 - x) / (faces - 1)
        slope = float(bridge.line(x, y, noise, noise)[0])
        if not np.isfinite(slope):
            continue
        try:
            low, high = bridge.around_slope(x, y, noise, slope)
        except ValueError:
            continue
        told, softened, exaggerated = told + 1, softened + (high < 1), exaggerated + (low > 1)
    assert told > 100 and softened <= 0.03 * told and exaggerated <= 0.03 * told


def test_a_flat_line_is_called_softened_where_faces_suffice():
    """The slope of the same professions is a third in the model: said of most sets of 40 faces each."""
    random, softened = np.random.default_rng(7), 0
    for _ in range(100):
        true = random.uniform(0.2, 0.8, 32)
        x, y = random.binomial(40, true) / 40, random.binomial(40, 0.5 + (true - 0.5) / 3) / 40
        noise = x * (1 - x) / 39
        slope = float(bridge.line(x, y, noise, noise)[0])
        softened += bridge.around_slope(x, y, noise, slope)[1] < 1
    assert softened > 80


def test_fiellers_interval_by_hand():
    """Without noise in the data it holds the slopes whose residuals have no covariance with it: for points
    on a line there is one; where no slope can be ruled out it has no end."""
    x = np.linspace(0.1, 0.9, 40)
    assert bridge.fieller(x, 0.2 + 0.7 * x, np.zeros(40)) == pytest.approx((0.7, 0.7), abs=1e-6)
    assert bridge.fieller(x, x, np.full(40, 0.2)) == (-np.inf, np.inf)


def test_what_cant_be_told_is_said():
    with pytest.raises(ValueError, match="4 professions have faces in the data and in the model; 5 are"):
        bridge.bridge(carried([0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4]))
    same = [Carried(str(k), (5, 10), (k, 10)) for k in range(6)]
    with pytest.raises(ValueError, match="differ by no more than noise"):
        bridge.bridge(same)
