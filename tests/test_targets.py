import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fairdemo.stats import targets
from fairdemo.stats.attributes import CELLS, TARGET_CLASSES

JOINT = arrays(float, (6, 2, 3), elements=st.floats(0.01, 1)).map(lambda a: a / a.sum())


@pytest.mark.parametrize(
    "wish, message",
    [
        ({"gender": {"Female": 0.6, "Male": 0.6}}, "sum to 1.2"),
        ({"gender": {"Female": 0.2, "Male": 0.2}}, "sum to 0.4"),
        ({"gender": {"Female": -0.1, "Male": 1.1}}, "Female is -0.1"),
        ({"gender": {"Woman": 1.0}}, "'Woman'"),
        ({"height": {"tall": 1.0}}, "'height'"),
        ({"gender": {"Female": float("nan"), "Male": 1.0}}, "Female is nan"),
        ({"gender": {"Female": "half", "Male": 0.5}}, "half"),
    ],
)
def test_bad_targets_are_named(wish, message):
    with pytest.raises(ValueError, match=message):
        targets.check(wish)


@pytest.mark.parametrize(
    "text",
    [
        "unifrom",
        "{",
        "[1]",
        '{"gender": 3}',
        "gender:Female=much",
        "gender:Woman=0.5",
        "race:Black=0.9,White=0.9",
    ],
)
def test_bad_target_text(text):
    with pytest.raises(ValueError, match="target"):
        targets.parse(text)


def test_target_text():
    wish = targets.parse('{"race": {"Black": 0.5, "White": 0.5}}')
    assert wish["race"]["Asian"] == 0 and sum(wish["race"].values()) == pytest.approx(1)
    assert targets.parse("women 70")["gender"]["Female"] == 0.7
    assert targets.parse("race:Black=0.3, Middle Eastern=0.2 ;gender:Female=0.6") == {
        "race": {"Black": 0.3, "Middle Eastern": 0.2},
        "gender": {"Female": 0.6},
    }
    assert targets.parse("gender:Female=1") == {"gender": {"Female": 1, "Male": 0}}


def test_every_preset_is_a_distribution_with_a_source():
    for preset in targets.PRESETS.values():
        assert preset.source and preset.title
        assert all(sum(s.values()) == pytest.approx(1) for s in targets.check(preset.target).values())


def test_partial_wish_leaves_the_rest_as_the_baseline_has_it():
    reference = np.zeros((6, 2, 3))
    reference[0, 1, 0], reference[5, 1, 1], reference[5, 0, 1] = 0.2, 0.6, 0.2
    full = targets.complete({"gender": {"Female": 0.6}}, reference)
    assert full["gender"] == {"Female": 0.6, "Male": pytest.approx(0.4)}
    assert full["race"]["Asian"] == pytest.approx(0.2) and full["race"]["White"] == pytest.approx(0.8)
    # The other half goes 2 : 8 to Asian and White.
    full = targets.complete({"race": {"Black": 0.5}}, reference)
    assert full["race"]["Asian"] == pytest.approx(0.1) and full["race"]["White"] == pytest.approx(0.4)


@settings(max_examples=40, deadline=None)
@given(JOINT, JOINT)
def test_fitting_gives_the_marginals_and_keeps_the_odds_ratios(seed, other):
    wanted = targets.marginals(other)
    joint = targets.fit(seed, wanted)
    got = targets.marginals(joint)
    assert all(got[a][c] == pytest.approx(wanted[a][c], abs=1e-6) for a in got for c in got[a])

    def odds(p):
        return np.log(p[0, 0, 0] * p[3, 1, 0] / (p[0, 1, 0] * p[3, 0, 0]))

    assert odds(joint) == pytest.approx(odds(seed), abs=1e-6)


def test_independent_joint_is_the_product_of_marginals():
    joint = targets.joint(
        {"race": targets.PRESETS["us"].target["race"], "gender": {"Female": 0.3, "Male": 0.7}},
        np.full((6, 2, 3), 1 / 36),
    )
    m = targets.marginals(joint)
    product = [m["race"][r] * m["gender"][g] * m["age"][b] for r, g, b in CELLS]
    assert np.allclose(joint.ravel(), product, atol=1e-9)
    with pytest.raises(ValueError, match="'loose'"):
        targets.joint({"gender": {"Female": 1.0}}, joint, "loose")


def test_classes_of_targets_cover_every_age_group():
    from fairdemo.stats.attributes import AGE_BANDS, AGES, band

    assert sorted(g for groups in AGE_BANDS.values() for g in groups) == sorted(AGES) and set(
        AGE_BANDS
    ) == set(TARGET_CLASSES["age"])
    assert band("0-19") == "young" and band("60+") == "old"


def test_workforce_of_a_profession():
    from fairdemo.stats.prompts import PROFESSIONS
    from fairdemo.stats.workforce import OCCUPATIONS, workforce

    nurse = workforce("nurse")
    assert nurse.target["gender"]["Female"] == pytest.approx(0.879) and "Registered nurses" in nurse.source
    assert nurse.target["race"]["Asian"] + nurse.target["race"]["Indian"] == pytest.approx(0.089)
    assert set(OCCUPATIONS) == set(PROFESSIONS) - {"soldier", "politician"}
    assert all(
        sum(s.values()) == pytest.approx(1)
        for o in OCCUPATIONS
        for s in targets.check(workforce(o).target).values()
    )
    for none in ("soldier", None):
        with pytest.raises(ValueError, match="workforce"):
            workforce(none)
