"""Many visitors, one model: samples of all who wait go into shared batches, since one mixed batch draws
more images a second than small ones in turn.

Whoever has the fewest images of a wall gets the next pair, so that everybody sees a first pair early; a shot
that several want is drawn once."""

import itertools
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from fairdemo.models.gpu import Watch
from fairdemo.models.sampling import Cancelled, Sample, Setting, Shot
from fairdemo.pairs import Drawn
from fairdemo.studio.one_thread import OneThread

LOOK = 0.25  # seconds after which a waiting visitor looks at how far things are
FIRST_GUESS = 0.005  # seconds an image and step, before anything was drawn


@dataclass(eq=False)
class Order:
    """What one visitor waits for."""

    setting: Setting
    left: list[Sample]  # not drawn yet
    watch: Watch
    number: int  # in the order of arrival
    arrived: dict[Sample, Drawn] = field(default_factory=dict)  # drawn, not fetched yet
    got: int = 0  # images drawn of it
    share: float = 0.0  # of it that is drawn
    alone: bool = False  # after a batch of several failed: whose fault it was shows only alone
    error: BaseException | None = None
    changed: threading.Event = field(default_factory=threading.Event)

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.watch.cancel is not None and self.watch.cancel.is_set()

    @property
    def kind(self) -> tuple[int, float]:
        """What all shots of a batch have alike."""
        return self.setting.steps, self.setting.guidance

    def pair(self, skipped: Collection[Shot]) -> list[Shot]:
        """The next shots of one slot, but for those that are in the batch already."""
        todo = [s for s in self.left if (self.setting, s) not in skipped]
        return [(self.setting, s) for s in todo if s.slot == todo[0].slot]


class Gone:
    """Set once nobody waits for any of some orders."""

    def __init__(self, orders: Sequence[Order]):
        self.orders = orders

    def is_set(self) -> bool:
        """Whether all of them are cancelled."""
        return all(order.cancelled for order in self.orders)


class Batches:
    """Draws for many visitors' threads on one thread, `size` images in a batch at most. `work` draws shots
    of the same steps and guidance."""

    def __init__(self, model: OneThread, work: Callable[[Sequence[Shot], Watch], Sequence[Drawn]], size: int):
        self.model, self.work, self.size = model, work, size
        self.lock = threading.Lock()
        self.waiting: list[Order] = []
        self.numbers = itertools.count()
        self.going = False  # whether the model's thread was asked for a batch
        self.pace = FIRST_GUESS  # seconds an image and step

    @property
    def length(self) -> int:
        """How many images are waited for."""
        with self.lock:
            return sum(len(order.left) for order in self.waiting)

    def draw(self, setting: Setting, wanted: Sequence[Sample], watch: Watch) -> Iterator[dict[Sample, Drawn]]:
        """The wanted samples as they are drawn; Cancelled once the watch is. Closing it withdraws the
        rest."""
        order = Order(setting, list(wanted), watch, next(self.numbers))
        with self.lock:
            self.waiting.append(order)
            self._ask()
        try:
            fetched = 0
            while fetched < len(wanted):
                order.changed.wait(LOOK)
                with self.lock:
                    order.changed.clear()
                    new, order.arrived = order.arrived, {}
                    before = 0.0 if new or order.share else self._before(order)
                if new:
                    fetched += len(new)
                    yield new
                elif isinstance(order.error, Exception):
                    raise order.error
                elif order.error:  # what ends a thread mustn't end the visitor's too
                    raise RuntimeError(f"the model was interrupted ({order.error!r})")
                elif order.cancelled:
                    raise Cancelled
                elif order.share:
                    watch.progress(order.share)
                elif before:
                    watch.wait(before)
        finally:
            with self.lock:
                if order in self.waiting:
                    self.waiting.remove(order)

    def _ask(self) -> None:
        """Asks the model's thread for a batch, unless it was asked already."""
        if self.waiting and not self.going:
            self.going = True
            self.model.later(self._turn)

    def _before(self, order: Order) -> float:
        """Seconds until an order's next pair, by the pace so far; 0 where nobody comes first."""
        level = self._level(order)
        steps = sum(
            other.setting.steps * max(0, min(len(other.left), level + 2 - self._level(other)))
            for other in self.waiting
            if other is not order and (self._level(other), other.number) < (level, order.number)
        )
        return self.pace * (steps + 2 * order.setting.steps) if steps else 0.0

    @staticmethod
    def _level(order: Order) -> int:
        """How many images of the wall its visitor has."""
        return order.watch.done + order.got

    def _chosen(self) -> tuple[list[Shot], list[Order]]:
        """The next batch and whose it is: pair by pair, whoever has least first. Whoever is gone leaves."""
        for order in [o for o in self.waiting if o.cancelled]:
            self.waiting.remove(order)
            order.changed.set()
        line = sorted(self.waiting, key=lambda o: (self._level(o), o.number))
        if not line:
            return [], []
        first = line[0]
        orders = [first] if first.alone else [o for o in line if o.kind == first.kind and not o.alone]
        level = {order: self._level(order) for order in orders}
        shots: dict[Shot, None] = {}
        taken: list[Order] = []
        while level:
            order = min(level, key=lambda o: (level[o], o.number))
            pair = order.pair(shots)
            if not pair:
                del level[order]
                continue
            if shots and len(shots) + len(pair) > self.size:
                break
            shots |= dict.fromkeys(pair)
            level[order] += len(pair)
            taken += [] if order in taken else [order]
        return list(shots), taken

    def _turn(self) -> None:
        """One batch, on the model's thread."""
        with self.lock:
            shots, orders = self._chosen()
        try:
            if shots:
                self._drawn(shots, orders)
        finally:
            with self.lock:
                self.going = False
                self._ask()

    def _drawn(self, shots: list[Shot], orders: list[Order]) -> None:
        """Draws a batch and hands out what came of it."""
        batch = set(shots)
        own = {o: sum((o.setting, s) in batch for s in o.left) for o in orders}

        def told(share: float) -> None:
            for order, images in own.items():
                order.share = (order.got + share * images) / (order.got + len(order.left) or 1)

        start = time.monotonic()

        def charge(images: int) -> None:
            """Tells whose the batch was what it took."""
            each = (time.monotonic() - start) / sum(own.values())
            for order, count in own.items():
                order.watch.spent(count * images, each * count)

        try:
            made = self.work(shots, Watch(told, Gone(orders)))
        except Cancelled:
            return charge(0)
        except BaseException as error:  # whatever it is, whoever waits for it is told
            charge(0)
            with self.lock:
                for order in orders:
                    order.alone, order.error = True, error if len(orders) == 1 else None
                    if order.error and order in self.waiting:
                        self.waiting.remove(order)
                    order.changed.set()
            return
        pace = (time.monotonic() - start) / (len(shots) * shots[0][0].steps)
        with self.lock:
            self.pace = pace if self.pace == FIRST_GUESS else 0.7 * self.pace + 0.3 * pace
            self._deliver(dict(zip(shots, made)))
            charge(1)  # whoever is ended by it has got the batch, and looks for that once the lock is free

    def _deliver(self, made: dict[Shot, Drawn]) -> None:
        """Gives every order what it waits for, whoever's batch it came in."""
        for order in list(self.waiting):
            new = {s: made[order.setting, s] for s in order.left if (order.setting, s) in made}
            if not new:
                continue
            order.arrived |= new
            order.got += len(new)
            order.left = [s for s in order.left if s not in new]
            order.share = order.got / (order.got + len(order.left))
            if not order.left:
                self.waiting.remove(order)
            order.changed.set()
