from collections import Counter

import pytest

from fairdemo import mix, targets
from fairdemo.attributes import AGE_BANDS, GENDERS, RACES

ADAPTERS = {(r, g): f"{r} {g}" for r in RACES for g in GENDERS} | {(b,): b for b in AGE_BANDS}


@pytest.mark.parametrize("wish, message", [
    ({"gender": {"Female": 0.6, "Male": 0.6}}, "sum to 1.2"),
    ({"gender": {"Female": -0.1, "Male": 1.1}}, "Female is -0.1"),
    ({"gender": {"Woman": 1.0}}, "'Woman'"),
    ({"height": {"tall": 1.0}}, "'height'"),
    ({"gender": {"Female": float("nan"), "Male": 1.0}}, "Female is nan"),
    ({"gender": {"Female": "half", "Male": 0.5}}, "half"),
])
def test_bad_targets_are_named(wish, message):
    with pytest.raises(ValueError, match=message):
        targets.check(wish)


@pytest.mark.parametrize("text", ["unifrom", "{", "[1]", '{"gender": 3}'])
def test_bad_target_text(text):
    with pytest.raises(ValueError, match="target"):
        targets.parse(text)


def test_target_text_and_missing_classes():
    wish = targets.parse('{"race": {"Black": 0.5, "White": 0.5}}')
    assert wish["race"]["Asian"] == 0 and sum(wish["race"].values()) == pytest.approx(1)
    assert targets.parse("women 70")["gender"]["Female"] == 0.7


def test_largest_remainder_by_hand():
    assert mix.largest_remainder({("a",): 0.5, ("b",): 0.3, ("c",): 0.2}, 7) == {("a",): 4, ("b",): 2, ("c",): 1}


@pytest.mark.parametrize("n", [1, 4, 16, 24, 37, 240])
def test_uniform_slots_are_balanced_in_every_prefix(n):
    slots = mix.slots(targets.PRESETS["uniform"], n, ADAPTERS, {}, "largest remainder", 0)
    assert len(slots) == n
    for k in range(1, n + 1):
        women = sum(s.cell[1] == "Female" for s in slots[:k])
        assert abs(women - k / 2) <= 1
        races = Counter(s.cell[0] for s in slots[:k])
        assert max(races.values()) - min(races[r] for r in RACES) <= 2
    women = sum(s.cell[1] == "Female" for s in slots)
    assert abs(women - n / 2) <= 0.5


def test_shares_are_met_to_within_one_image():
    wish = targets.check({"race": {"Asian": 0.5, "Black": 0.25, "White": 0.25}, "gender": {"Female": 0.7, "Male": 0.3}})
    slots = mix.slots(wish, 60, ADAPTERS, {}, "largest remainder", 0)
    counts = Counter(s.cell for s in slots)
    for cell, share in targets.cells(wish, ("race", "gender")).items():
        assert abs(counts[cell] - 60 * share) < 1 + 1e-9


def test_random_slots_follow_the_seed_and_the_shares():
    a = mix.slots(targets.PRESETS["uniform"], 1200, ADAPTERS, {}, "random", 1)
    assert a == mix.slots(targets.PRESETS["uniform"], 1200, ADAPTERS, {}, "random", 1)
    assert a != mix.slots(targets.PRESETS["uniform"], 1200, ADAPTERS, {}, "random", 2)
    assert all(60 < k < 140 for k in Counter(s.cell for s in a).values())


def test_the_prompt_comes_first():
    named = {"gender": "Male"}
    slots = mix.slots(targets.PRESETS["uniform"], 12, ADAPTERS, named, "largest remainder", 0)
    assert {s.cell[1] for s in slots} == {"Male"} and len({s.cell[0] for s in slots}) == 6
    assert all(s.adapters == () for s in mix.slots(targets.PRESETS["uniform"], 5, ADAPTERS, {"gender": "Male", "race": "Black"}, "largest remainder", 0))


def test_baseline_target_uses_no_adapter():
    assert all(s.adapters == () and s.label == "baseline" for s in mix.slots({}, 9, ADAPTERS, {}, "largest remainder", 0))


def test_age_composes_with_race_and_gender():
    wish = targets.check({**targets.PRESETS["uniform"], "age": {"young": 0.5, "old": 0.5}})
    slots = mix.slots(wish, 48, ADAPTERS, {}, "largest remainder", 0)
    assert all(len(s.adapters) == 2 for s in slots)
    assert Counter(s.cell[2] for s in slots) == {"young": 24, "old": 24}
    assert 4 <= sum(s.cell[1] == "Female" and s.cell[2] == "old" for s in slots) <= 20


def test_missing_adapter_and_method_are_named():
    with pytest.raises(ValueError, match="no adapter .* Asian Female"):
        mix.slots(targets.PRESETS["uniform"], 4, {}, {}, "largest remainder", 0)
    with pytest.raises(ValueError, match="'best'"):
        mix.slots({}, 4, ADAPTERS, {}, "best", 0)
