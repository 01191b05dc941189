"""Drawn ahead: while a wall stands and nobody draws, other sources of its noises are drawn, so that a slider
finds them. What a visitor draws always comes first."""

import itertools
import sys
import threading
import time
import weakref
from collections.abc import Iterator

from fairdemo.models.gpu import ZERO
from fairdemo.models.sampling import Cancelled, Sample
from fairdemo.stats.attributes import TARGET_CLASSES
from fairdemo.studio.live import Live
from fairdemo.studio.studio import Plan, Studio, drawn_ahead

BATCH = 8  # images in a call: few, since what is read of them can't be given up halfway
SLOWEST = 4.0  # seconds an image; a device that takes longer draws nothing ahead
WALLS = 8  # standing walls that are drawn for, the newest first
TRIED = (0.5, 0.75, 0.25, 1.0, 0.0)  # shares that a slider may be moved to, likeliest first


def first(plan: Plan) -> list[Sample]:
    """What any slider of a wall's wish may ask for: every source that changes only what is wished, on every
    noise."""
    task = plan.mix.task
    sources = [s for s, drawn in zip(task.choice, drawn_ahead(task)) if drawn]
    return [Sample(slot, source) for source in sources for slot in range(len(plan.slots))]


def likely(studio: Studio, plan: Plan) -> Iterator[Sample]:
    """What sliders will ask for, likeliest first; after `first`, what wishes for other attributes, or out of
    these sources' reach, would need."""
    yield from first(plan)
    target = plan.request.target
    attributes = sorted(TARGET_CLASSES, key=lambda a: a in target)  # the sliders that weren't touched yet
    for share, attribute in itertools.product(TRIED, attributes):
        for name in TARGET_CLASSES[attribute]:
            others = (1 - share) / (len(TARGET_CLASSES[attribute]) - 1)
            wish = {c: share if c == name else others for c in TARGET_CLASSES[attribute]}
            moved = studio.plan(plan.request.but(target={**target, attribute: wish}), plan.slots)
            yield from map(Sample, range(len(moved.slots)), moved.slots)


class Ahead:
    """Draws for the walls that stand, on a thread of its own."""

    def __init__(self) -> None:
        self.walls: list[tuple[weakref.ref[Plan], Studio]] = []
        self.changed = threading.Condition()
        self.thread: threading.Thread | None = None

    def stands(self, studio: Studio, plan: Plan) -> None:
        """A wall stands on somebody's screen. Walls of packs need nothing, and a lent GPU is for visitors'
        drawings alone."""
        if not isinstance(studio.artist, Live) or ZERO:
            return
        with self.changed:
            others = [wall for wall in self.walls if wall[0]() is not plan]
            self.walls = [(weakref.ref(plan), studio), *others][:WALLS]
            if self.thread is None:
                self.thread = threading.Thread(target=self.work, daemon=True, name="ahead")
                self.thread.start()
            self.changed.notify()

    def work(self) -> None:
        """Draws for the newest wall until it has all, then for the next."""
        while True:
            with self.changed:
                while not self.walls:
                    self.changed.wait()
                seen, studio = self.walls[0]
            plan = seen()
            if plan is None or self.draw_for(studio, plan):
                with self.changed:
                    self.walls = [wall for wall in self.walls if wall[0] is not seen]

    def draw_for(self, studio: Studio, plan: Plan) -> bool:
        """Draws what a wall lacks, a batch at a time; False if a newer wall came meanwhile."""
        artist = studio.artist
        assert isinstance(artist, Live)
        todo = Todo(studio, plan)
        while batch := todo.next():
            while not (artist.loaded and artist.turns.idle()):
                time.sleep(0.05)
            if self.walls[0][0]() is not plan:
                return False
            start = time.monotonic()
            try:
                artist.ahead(plan.setting, batch)
            except Cancelled:
                todo.again(batch)
                continue
            # Nobody waits for it; what is wrong is said when a visitor draws.
            except Exception as error:
                print(f"fairdemo: drawing ahead ended: {error}", file=sys.stderr)
                return True
            if time.monotonic() - start > SLOWEST * len(batch):
                return True
        return True


class Todo:
    """What is still to be drawn for a wall."""

    def __init__(self, studio: Studio, plan: Plan):
        self.artist, self.setting = studio.artist, plan.setting
        self.samples = likely(studio, plan)
        self.back: list[Sample] = []

    def next(self) -> list[Sample]:
        """The next samples that aren't drawn; empty at the end."""
        batch, self.back = self.back, []
        for sample in self.samples:
            if sample not in batch and not self.artist.held(self.setting, [sample]):
                batch.append(sample)
            if len(batch) >= BATCH:
                break
        return batch

    def again(self, batch: list[Sample]) -> None:
        """Puts back what was given up."""
        self.back = batch


AHEAD = Ahead()
