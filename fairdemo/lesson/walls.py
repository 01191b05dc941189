"""Walls of a class: drawn once for all who look, again after a restart, since a wall follows from its
request alone."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from fairdemo.comparison import Comparison
from fairdemo.request import Request
from fairdemo.studio.studio import Studio

MOST = 48  # walls that are kept; those that were asked for least lately go first
AT_ONCE = 4  # walls that are drawn side by side
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
        self.todo: SimpleQueue[Wall] = SimpleQueue()
        self.threads: list[threading.Thread] = []

    @property
    def broken(self) -> bool:
        """Whether a wall failed, so that whoever asks again may have it tried again."""
        with self.lock:
            return any(wall.error for wall in self.walls.values())

    def of(self, asked: Request) -> Wall:
        """The wall of a request; it is begun if nobody has asked for it before."""
        key = asked.as_link()
        with self.lock:
            wall = self.walls.get(key)
            if wall is None or (wall.error and time.monotonic() - wall.failed > RETRY):
                wall = self.walls[key] = Wall(asked)
                self.todo.put(wall)
                if len(self.threads) < AT_ONCE:
                    self.threads.append(threading.Thread(target=self._work, daemon=True, name="class"))
                    self.threads[-1].start()
            self.walls.move_to_end(key)
            old = [k for k, w in self.walls.items() if w.comparison or w.error]
            for k in old[: max(0, len(self.walls) - MOST)]:
                del self.walls[k]
        return wall

    def _work(self) -> None:
        """Draws one wall after the other."""
        while True:
            self._draw(self.todo.get())

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
