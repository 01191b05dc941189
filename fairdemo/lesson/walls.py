"""Walls of a class: drawn once for all who look, again after a restart, since a wall follows from its
request alone."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from fairdemo.comparison import Comparison
from fairdemo.request import Request
from fairdemo.studio.studio import Studio

MOST = 24  # walls that are kept; those that nobody has looked at for longest go first
RETRY = 10.0  # seconds until a wall that failed is tried again


@dataclass(eq=False)
class Wall:
    """A wall that stands or is being drawn."""

    request: Request
    done: int = 0  # pairs
    comparison: Comparison | None = None  # once all of it is drawn
    error: str = ""
    failed: float = 0.0  # when


class Walls:
    """All walls of one program."""

    def __init__(self, studio: Callable[[], Studio]):
        self.studio = studio
        self.lock = threading.Lock()
        self.walls: OrderedDict[str, Wall] = OrderedDict()
        self.stamp = 0  # counts every change that phones show

    def of(self, asked: Request) -> Wall:
        """The wall of a request; it is begun if nobody has asked for it before."""
        key = asked.as_link()
        with self.lock:
            wall = self.walls.get(key)
            if wall is None or (wall.error and time.monotonic() - wall.failed > RETRY):
                wall = self.walls[key] = Wall(asked)
                threading.Thread(target=self._draw, args=(wall,), daemon=True, name="class").start()
            self.walls.move_to_end(key)
            while len(self.walls) > MOST:
                self.walls.popitem(last=False)
        return wall

    def _draw(self, wall: Wall) -> None:
        """Draws a wall; what goes wrong is kept in it."""
        try:
            studio = self.studio()
            plan = studio.plan(wall.request)
            for grown in studio.run(plan):
                wall.done = len(grown.pairs)
                self._changed()
            _ = plan.comparison.measures  # counted here, not while a phone waits
            wall.comparison = plan.comparison
        except Exception as error:  # whatever a model raises is shown to the class in a line
            wall.failed = time.monotonic()
            wall.error = (" ".join(str(error).split()) or type(error).__name__)[:300]
        self._changed()

    def _changed(self) -> None:
        """Counts a change; two threads that did so at once could count one."""
        with self.lock:
            self.stamp += 1
