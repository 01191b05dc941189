"""Many visitors, one model: shared batches, fairly in turn, and what each visitor gets is what they would
have got alone."""

import threading
import time

import numpy as np
import pytest

from fairdemo.models.gpu import Watch
from fairdemo.models.sampling import Cancelled, Sample, Setting
from fairdemo.studio.batches import Batches
from fairdemo.studio.live import Live
from fairdemo.studio.one_thread import OneThread


class Model:
    """Stands in for what draws: notes its batches, and waits until it may go on."""

    def __init__(self, fails: str = ""):
        self.batches, self.fails = [], fails
        self.free = threading.Event()
        self.began = threading.Event()

    def work(self, shots, watch):
        self.began.set()
        assert self.free.wait(10)
        self.batches.append(list(shots))
        watch.progress(0.5)
        if watch.cancel.is_set():
            raise Cancelled
        if any(setting.prompt == self.fails for setting, _ in shots):
            raise ValueError("no such picture")
        return [f"{setting.prompt} {sample.slot}" for setting, sample in shots]


class Visitor(threading.Thread):
    """Somebody who draws on a thread of their own."""

    def __init__(self, batches: Batches, prompt: str, slots: int, **watch):
        super().__init__(daemon=True)
        steps = watch.pop("steps", 12)
        self.cancel = threading.Event()
        watch = Watch(cancel=self.cancel, **watch)
        wanted = [Sample(i) for i in range(slots)]
        self.drawing = batches.draw(Setting(prompt, 0, steps, 2.0), wanted, watch)
        self.got, self.error = [], None
        self.start()

    def run(self):
        try:
            for new in self.drawing:
                self.got += new.values()
        except Exception as error:
            self.error = error


def crowd(model: Model, size: int, *asked: tuple, **watch) -> list[Visitor]:
    """Visitors who all wait before the model draws for the first of them; the first holds it meanwhile."""
    batches = Batches(OneThread(), model.work, size)
    first = Visitor(batches, "first", 1)
    assert model.began.wait(10)
    visitors = [first]
    for prompt, slots, *more in asked:
        visitors.append(Visitor(batches, prompt, slots, **(more[0] if more else {})))
        while len(batches.waiting) < len(visitors):
            time.sleep(0.005)
    return visitors


def ended(model: Model, visitors: list[Visitor]) -> None:
    model.free.set()
    for visitor in visitors:
        visitor.join(10)
        assert not visitor.is_alive()


def test_who_waits_shares_batches_and_everybody_has_a_pair_before_anybody_has_two():
    model = Model()
    visitors = crowd(model, 4, ("a", 9), ("b", 3), ("c", 3))
    ended(model, visitors)
    drawn = [[setting.prompt for setting, _ in batch] for batch in model.batches]
    assert drawn[0] == ["first"] and sorted(drawn[1][:3]) == ["a", "b", "c"]
    assert [len(batch) for batch in drawn[1:]] == [4, 4, 4, 3]
    assert "b" not in sum(drawn[4:], []), "a long wall doesn't hold up a short one"
    for visitor, (prompt, n) in zip(visitors[1:], (("a", 9), ("b", 3), ("c", 3))):
        assert sorted(visitor.got) == [f"{prompt} {k}" for k in range(n)]


def test_first_pairs_come_before_what_somebody_has_already_begun():
    model = Model()
    ended(model, crowd(model, 2, ("old", 2, {"done": 6}), ("new", 2)))
    assert [[s.prompt for s, _ in batch] for batch in model.batches[1:]] == [["new"] * 2, ["old"] * 2]


def test_the_same_for_two_visitors_is_drawn_once_and_other_steps_apart():
    model = Model()
    visitors = crowd(model, 8, ("a", 2), ("a", 3), ("a", 1, {"steps": 4}))
    ended(model, visitors)
    shots = sum(model.batches, [])
    assert len(shots) == len(set(shots)) == 1 + 3 + 1
    assert all(len({s.steps for s, _ in batch}) == 1 for batch in model.batches)
    assert sorted(visitors[2].got) == ["a 0", "a 1", "a 2"] and visitors[3].got == ["a 0"]


def test_who_cancels_leaves_at_the_next_batch_and_alone_ends_it():
    model = Model()
    first, gone, stays = crowd(model, 2, ("gone", 4), ("stays", 2))
    gone.cancel.set()
    gone.join(10)
    assert isinstance(gone.error, Cancelled)
    first.cancel.set()
    ended(model, [first, stays])
    assert isinstance(first.error, Cancelled) and len(stays.got) == 2
    assert "gone" not in {s.prompt for batch in model.batches for s, _ in batch}


def test_what_fails_fails_for_its_visitor_alone():
    model = Model(fails="bad")
    visitors = crowd(model, 6, ("good", 2), ("bad", 2), ("fine", 2))
    ended(model, visitors)
    assert [len(v.got) for v in visitors[1:]] == [2, 0, 2]
    assert str(visitors[2].error) == "no such picture" and visitors[1].error is visitors[3].error is None


def test_a_full_house_says_how_long_it_takes():
    model, told = Model(), []
    visitors = crowd(model, 2, ("a", 20), ("b", 20, {"wait": told.append}))
    while not told:
        time.sleep(0.01)
    ended(model, visitors)
    assert told[0] > 0


def test_mixed_with_others_pictures_are_what_they_would_be_alone():
    live = Live("embedded")
    live.load()
    live.generator.dtype, live.generator.mixed = live.generator.pipeline.unet.dtype, False  # float32
    source = live.sources[5]
    asked = [
        (Setting(f"a photo of a {who}", seed, 4, 2.0), [Sample(0), Sample(0, source), Sample(1, source)])
        for who, seed in (("doctor", 1), ("nurse", 2), ("doctor", 3))
    ]
    together = {}

    def visit(setting, wanted):
        for new in live.draw(setting, wanted):
            together.update({(setting, sample): drawn for sample, drawn in new.items()})

    visitors = [threading.Thread(target=visit, args=one) for one in asked]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(120)
    for setting, wanted in asked:
        for sample, alone in zip(wanted, live.fresh(setting, wanted)):
            mixed = together[setting, sample]
            gap = np.abs(np.asarray(mixed.image, int) - np.asarray(alone.image, int)).max()
            assert gap <= 1
            assert [f.cell for f in mixed.faces] == [f.cell for f in alone.faces]


def test_a_visitor_who_closes_the_page_is_withdrawn():
    model = Model()
    batches = Batches(OneThread(), model.work, 2)
    drawing = batches.draw(Setting("a", 0, 4, 1.0), [Sample(0), Sample(1), Sample(2)], Watch())
    model.free.set()
    assert len(next(drawing)) >= 1
    drawing.close()
    assert batches.waiting == []
    with pytest.raises(StopIteration):
        next(drawing)
