"""What is drawn ahead of a slider, and what a moved wall is made of."""

import threading
import time
from contextvars import ContextVar

import numpy as np
import pytest

from fairdemo.models.sampling import Cancelled, Sample
from fairdemo.stats import mix
from fairdemo.studio import ahead
from fairdemo.studio.live import QUIET, Turns
from fairdemo.studio.one_thread import OneThread
from fairdemo.ui.offered import opening
from tests.conftest import asked

WOMEN = [0.1, 0.3, 0.7, 0.9]


def women(plan, share: float) -> dict:
    return {**plan.request.target, "gender": {"Female": share, "Male": 1 - share}}


@pytest.mark.parametrize("share", WOMEN)
def test_a_moved_wall_is_made_of_what_is_drawn_first(studio, share):
    """Slots that change get the baseline or a single adapter for what is wished, and reach the wish as
    well."""
    plan = studio.plan(asked("a photo of a doctor", "uniform", 16, 3))
    moved = studio.moved(plan, women(plan, share))
    new = [s for s, old in zip(moved.slots, plan.slots) if s != old]
    assert new and all(len(s.adapters) <= 1 and s.named("age") is None for s in new)
    best = mix.solve(studio.task(moved.request.prompt, moved.request.target, "independent"))
    assert moved.mix.distance <= best.distance + mix.AS_WELL + 1e-6


def test_a_wish_out_of_their_reach_uses_every_source(studio):
    plan = studio.plan(asked("a photo of a doctor", "uniform", 16, 3))
    moved = studio.moved(plan, {**plan.request.target, "age": {"young": 0.1, "middle": 0.2, "old": 0.7}})
    assert any(len(s.adapters) > 1 for s in moved.slots)
    assert moved.mix.expected @ np.ones(36) == pytest.approx(1)


def test_the_twelve_adapters_come_first_and_then_what_is_likely(studio):
    plan = studio.plan(asked("a photo of a doctor", "uniform", 4, 3))
    first = ahead.first(plan)
    assert len(first) == 13 * 4 and len(set(first)) == len(first)
    every = ahead.likely(studio, plan)
    assert [next(every) for _ in first] == first
    later = [next(every) for _ in range(40)]
    assert any(len(sample.source.adapters) == 2 for sample in later)


def test_a_shipped_wall_is_whole_without_a_model(live):
    """It opens, and any share of women is reassigned from it, with nothing left to draw."""
    from fairdemo.ui.offered import studio as room

    plan = opening("embedded", "a photo of a nurse")
    assert plan is not None and not plan.left and len(plan.comparison.pairs) == 16
    for share in WOMEN:
        moved = room("embedded").filled(room("embedded").moved(plan, women(plan, share)))
        assert not moved.left
        count = moved.comparison.measures.debiased.gender.classes["Female"].count
        assert abs(count - 16 * share) <= 3
    assert len(plan.comparison.pairs) == 16, "the wall that stands is left as it is"


def test_what_comes_with_the_app_is_what_the_model_draws(live):
    """The same faces, labelled the same, but for the file's compression."""
    plan = opening("embedded", "a photo of a doctor")
    assert plan is not None
    samples = [Sample(0), Sample(1, live.sources[3])]
    kept, drawn = live.held(plan.setting, samples), live.fresh(plan.setting, samples)
    for sample, fresh in zip(samples, drawn):
        one, two = (np.asarray(d.image, float) for d in (kept[sample], fresh))
        assert one.shape == two.shape == (256, 256, 3) and np.abs(one - two).mean() < 6
        assert kept[sample].faces[0].gender == fresh.faces[0].gender


def test_visitors_draw_on_one_thread_and_get_their_own_results():
    name, one = ContextVar("name"), OneThread()
    seen = {}

    def visit(k):
        name.set(k)
        seen[k] = one.do(lambda: (name.get(), threading.current_thread().name))

    visitors = [threading.Thread(target=visit, args=(k,)) for k in range(8)]
    for v in visitors:
        v.start()
    for v in visitors:
        v.join(10)
    assert seen == {k: (k, "model") for k in range(8)}
    with pytest.raises(Cancelled):
        one.do(lambda: (_ for _ in ()).throw(Cancelled))
    assert one.do(lambda: 3) == 3


def test_visitors_come_first():
    turns = Turns()
    assert turns.idle() and not turns.give_way.is_set()
    with turns.visitor():
        assert turns.give_way.is_set() and not turns.idle()
    assert not turns.idle(), "a slider may follow"
    time.sleep(QUIET + 0.1)
    assert turns.idle() and not turns.give_way.is_set()
    turns.touch()
    assert turns.give_way.is_set() and not turns.idle()


def test_what_is_drawn_ahead_ends_at_the_next_step(live):
    plan = opening("embedded", "a photo of a CEO")
    assert plan is not None
    live.load()
    live.turns.give_way.clear()
    steps = []

    def come(*_) -> None:
        steps.append(1)
        if len(steps) == 2:
            live.turns.touch()

    hook = live.generator.pipeline.unet.register_forward_hook(come)
    with pytest.raises(Cancelled):
        live.ahead(plan.setting, [Sample(i, live.sources[20]) for i in range(48)])
    hook.remove()
    assert len(steps) == 2, "not another step after somebody came"
    assert live.held(plan.setting, [Sample(0, live.sources[20])]) == {}
