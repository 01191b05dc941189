import sys
import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fairdemo.stats import mix, response, targets
from fairdemo.stats.attributes import AGE_BANDS, CELLS, GENDERS, RACES, TARGET_CLASSES

ADAPTERS = {(r, g): f"{r} {g}" for r in RACES for g in GENDERS} | {(b,): b for b in AGE_BANDS}
CHOICE = mix.sources((name, cell) for cell, name in ADAPTERS.items())
REFERENCE = np.random.default_rng(0).dirichlet(np.full(36, 0.3))
EXACT = np.array([response.nominal(s, REFERENCE) for s in CHOICE])
ERRING = np.vstack([REFERENCE, 0.85 * EXACT[1:] + 0.15 * np.random.default_rng(1).permutation(EXACT[1:])])
UNIFORM = targets.PRESETS["uniform"].target
WEIGHTS = (
    arrays(int, len(CHOICE), elements=st.integers(0, 1000))
    .filter(lambda w: w.sum() > 0)
    .map(lambda w: w / w.sum())
)


def task(target, table=ERRING, wished=None):
    wanted = targets.joint(target, REFERENCE.reshape(mix.SHAPE)) if isinstance(target, dict) else target
    return mix.Task(CHOICE, table, np.ravel(wanted), tuple(target) if wished is None else wished)


def test_sources_are_the_baseline_all_adapters_and_groups_with_ages():
    assert (
        len(CHOICE) == 1 + 12 + 3 + 36 and CHOICE[0].label == "baseline" and len(set(CHOICE)) == len(CHOICE)
    )
    old = next(s for s in CHOICE if s.label == "Black Female + old")
    assert [old.named(a) for a in TARGET_CLASSES] == ["Black", "Female", "old"]
    assert CHOICE[0].named("race") is None


def test_exact_adapters_give_a_uniform_target_evenly():
    wanted = np.full(36, 1 / 36)
    solved = mix.solve(task(wanted, EXACT, ("race", "gender", "age")))
    assert np.abs(solved.expected - wanted).max() < 1e-5 and not solved.short()


@settings(max_examples=60, deadline=None)
@given(WEIGHTS)
def test_a_target_that_adapters_can_reach_is_reached(weights):
    solved = mix.solve(task(weights @ ERRING, wished=("race", "gender", "age")))
    assert np.abs(solved.expected - weights @ ERRING).max() < 1e-3
    assert solved.weights.sum() == pytest.approx(1) and (solved.weights >= 0).all()


@pytest.mark.parametrize("seed", range(8))
def test_distance_for_unreachable_targets_equals_an_independent_solver(seed):
    import cvxpy

    wished = [("race",), ("gender", "age"), ("race", "gender", "age")][seed % 3]
    # Nearly all in one cell, which erring adapters can't give.
    wanted = np.random.default_rng(seed).dirichlet(np.full(36, 0.02))
    blurred = 0.8 * ERRING + 0.2 / 36
    solved = mix.solve(task(wanted, blurred, wished))
    w = cvxpy.Variable(len(CHOICE), nonneg=True)
    view = mix.features(wished)
    problem = cvxpy.Problem(
        cvxpy.Minimize(cvxpy.norm(view @ blurred.T @ w - view @ wanted)), [cvxpy.sum(w) == 1]
    )
    best = problem.solve(solver=cvxpy.CLARABEL)
    assert best > 0.01 and solved.distance == pytest.approx(best, abs=1e-4)
    assert solved.short(), "what can't be reached is said"


def test_as_many_baseline_images_are_kept_as_the_target_allows():
    """Nine men in ten, half women wished: at most 5 of 9 of the men can stay as they are."""
    men = REFERENCE.reshape(mix.SHAPE).sum(1, keepdims=True) * np.array([0.1, 0.9])[None, :, None]
    table = np.array([response.nominal(s, men.ravel()) for s in CHOICE])
    wanted = targets.joint({"gender": {"Female": 0.5, "Male": 0.5}}, men).ravel()
    solved = mix.solve(mix.Task(CHOICE, table, wanted, ("gender",)))
    assert solved.weights[0] == pytest.approx(5 / 9, abs=0.01)
    assert mix.solve(task({})).weights[0] == 1


def test_features_by_hand():
    view = mix.features(("gender",))
    assert (
        view.shape == (2, 36)
        and (view.sum(1) == 18).all()
        and view[0, CELLS.index(("White", "Female", "old"))] == 1
    )
    assert mix.features(("race", "gender")).shape == (6 + 2 + 12, 36)


@settings(max_examples=40, deadline=None)
@example(np.full(len(CHOICE), 1 / len(CHOICE)), 51)
@given(WEIGHTS, st.integers(1, 70))
def test_slots_are_weights_rounded_down_or_up(weights, n):
    some = mix.Mix(task(UNIFORM), weights)
    numbers = mix.counts(some, n)
    assert numbers.sum() == n
    assert (numbers >= np.floor(n * weights)).all() and (numbers <= np.ceil(n * weights + 1e-6)).all()


# Twelve sources for eleven slots: nine with about 1/10.5 and three with half of it. Two of the nine rounded
# up would both have to come last.
CROWDED = np.zeros(len(CHOICE))
CROWDED[[1, 7, 17, 21, 23, 27, 28, 37, 45]] = 999, 1000, 1000, 998, 1000, 1000, 1000, 998, 1000
CROWDED[[12, 22, 30]] = 505


@settings(max_examples=40, deadline=None)
@example(CROWDED / CROWDED.sum(), 11)
@given(WEIGHTS, st.integers(1, 70))
def test_every_prefix_holds_each_source_within_one_of_its_expectation(weights, n):
    some = mix.Mix(task(UNIFORM), weights)
    placed = np.zeros(len(CHOICE))
    for k, i in enumerate(mix.ordered(some, mix.counts(some, n)), 1):
        placed[i] += 1
        assert np.abs(placed - k * weights).max() <= 1 + 1e-6


def test_a_wish_makes_no_warning_an_error():
    """Not for a moment: filters of warnings belong to all threads, and the model's warns at each drawing."""
    some, seen = mix.solve(task(UNIFORM)), []

    def look(frame, event, what):
        seen.extend(frame.f_code.co_name for f in warnings.filters if f[0] == "error" and f[2] is Warning)

    sys.setprofile(look)
    try:
        for n in (7, 16, 45):
            mix.allot(some, n)
        mix.solve(task({"gender": {"Female": 0.7, "Male": 0.3}}))
    finally:
        sys.setprofile(None)
    assert not seen


@pytest.mark.parametrize("n", [1, 4, 16, 24, 37, 240])
def test_every_prefix_is_balanced_in_gender_too(n):
    solved = mix.solve(task(np.full(36, 1 / 36), EXACT, ("race", "gender")))
    women = np.array([s.named("gender") == "Female" for s in CHOICE])
    drawn = [s.named("gender") == "Female" for s in mix.allot(solved, n)]
    for k in range(1, n + 1):
        assert abs(sum(drawn[:k]) - k * solved.weights[women].sum()) <= 3
    assert abs(sum(drawn) - n * solved.weights[women].sum()) < 1


def test_class_totals_come_before_single_remainders():
    """60 % women of 24: largest remainders of twelve cells alone would give 12 women."""
    slots = mix.allot(
        mix.solve(task({"race": UNIFORM["race"], "gender": {"Female": 0.6, "Male": 0.4}}, EXACT)), 24
    )
    free = sum(s.named("gender") is None for s in slots)
    assert 14 - free <= sum(s.named("gender") == "Female" for s in slots) <= 15


def test_random_slots_follow_the_seed_and_the_weights():
    solved = mix.solve(task(UNIFORM))
    a = mix.allot(solved, 2400, "random", 1)
    assert a == mix.allot(solved, 2400, "random", 1) and a != mix.allot(solved, 2400, "random", 2)
    for slot, k in Counter(a).items():
        p = solved.weights[CHOICE.index(slot)]
        assert abs(k - 2400 * p) < 5 * np.sqrt(2400 * p * (1 - p)) + 3
    with pytest.raises(ValueError, match="'best'"):
        mix.allot(solved, 4, "best")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=12, max_size=12),
    st.lists(st.integers(0, 4), min_size=12, max_size=12),
)
def test_rearranging_changes_no_more_than_it_must(before, after):
    old, new = [CHOICE[i] for i in before], [CHOICE[i] for i in after]
    result = mix.rearrange(old, new)
    assert Counter(result) == Counter(new)
    assert sum(a != b for a, b in zip(old, result)) == sum((Counter(new) - Counter(old)).values())


@pytest.mark.parametrize("attribute, name", [("gender", "Female"), ("race", "Black"), ("race", "White")])
@pytest.mark.parametrize("step", [0.1, -0.1])
def test_a_moved_slider_changes_the_fewest_slots(attribute, name, step):
    from fairdemo.experiments.validate import fewest_changes, moved_slider

    start = mix.allot(mix.solve(task(UNIFORM)), 24)
    planned, moved = mix.remix(task(moved_slider(UNIFORM, attribute, name, step)), 24, start)
    assert sum(a != b for a, b in zip(start, moved)) == fewest_changes(planned, start, moved)
    assert mix.remix(task(UNIFORM), 24, start)[1] == start, "a target that didn't move changes nothing"


def test_steering_makes_up_for_what_went_otherwise():
    """Four men drawn although two women were wanted: the rest leans to women."""
    goal = task({"gender": {"Female": 0.5, "Male": 0.5}}, EXACT)
    planned = mix.allot(mix.solve(goal), 16)
    seen = np.zeros(36)
    seen[CELLS.index(("White", "Male", "middle"))] = 4
    steered = mix.steer(goal, seen, planned[4:])
    assert len(steered) == 12
    assert (
        sum(s.named("gender") == "Female" for s in steered)
        >= 7
        > sum(s.named("gender") == "Female" for s in planned[4:])
    )


def test_prompts_own_words_leave_only_agreeing_sources():
    kept = [CHOICE[i] for i in mix.allowed(CHOICE, {"gender": "Male"})]
    assert all(s.named("gender") in (None, "Male") for s in kept) and len(kept) == 1 + 6 + 3 + 18
    assert [
        CHOICE[i].label for i in mix.allowed(CHOICE, {"gender": "Male", "race": "Black", "age": "old"})
    ] == ["baseline", "Black Male", "old", "Black Male + old"]
