"""What one visitor may take of a server in a while, and when there is more."""

import hashlib
import hmac
import secrets
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from starlette.requests import Request

from fairdemo.ui import reach
from fairdemo.ui.log import log
from fairdemo.ui.operator import operator

WINDOW = 600.0  # seconds
MANY = 10_000  # visitors after whom those of the last window are looked through


@dataclass
class Taken:
    """What a visitor took lately of one kind."""

    when: deque[tuple[float, float]] = field(default_factory=deque)  # time and amount, oldest first
    lent: float = 0.0  # more that is being taken

    def total(self, now: float) -> float:
        """How much in the window that ends now, with what is lent."""
        while self.when and self.when[0][0] <= now - WINDOW:
            self.when.popleft()
        return self.lent + sum(amount for _, amount in self.when)

    def wait(self, now: float, over: float) -> float:
        """Seconds until `over` of it has fallen out of the window; all of it at most."""
        for at, amount in self.when:
            over -= amount
            if over <= 0:
                return at + WINDOW - now
        return WINDOW


class Limits:
    """What visitors took, in memory alone: their addresses are kept as keyed digests, and the key goes with
    the program."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.key, self.clock, self.lock = secrets.token_bytes(32), clock, threading.Lock()
        self.taken: defaultdict[bytes, Taken] = defaultdict(Taken)

    def _of(self, what: str, visitor: str) -> Taken:
        if len(self.taken) > MANY:
            now = self.clock()
            kept = {k: t for k, t in self.taken.items() if t.total(now)}
            self.taken = defaultdict(Taken, kept)
        return self.taken[hmac.digest(self.key, f"{what} {visitor}".encode(), hashlib.sha256)]

    def take(self, what: str, visitor: str, most: float, amount: float = 1, lend: bool = False) -> float:
        """Notes that a visitor takes an amount, or holds it until it is given back: 0; or, where that makes
        more than `most`, nothing is noted, and the answer is for how many seconds."""
        with self.lock:
            own, now = self._of(what, visitor), self.clock()
            over = own.total(now) + amount - most
            if over > 0:
                return own.wait(now, over)
            if lend:
                own.lent += amount
            else:
                own.when.append((now, amount))
            return 0.0

    def spend(self, what: str, visitor: str, amount: float) -> None:
        """Notes what was taken, whatever it comes to."""
        with self.lock:
            self._of(what, visitor).when.append((self.clock(), amount))

    def full(self, what: str, visitor: str, most: float) -> float:
        """For how many seconds a visitor can take nothing more; 0 if there is some."""
        with self.lock:
            own, now = self._of(what, visitor), self.clock()
            over = own.total(now) - most
            return own.wait(now, over) if over >= 0 else 0.0

    def give_back(self, what: str, visitor: str, amount: float) -> None:
        """What was lent is no longer held."""
        with self.lock:
            self._of(what, visitor).lent -= amount


LIMITS = Limits()


Asking = gr.Request | Request


def asker(request: Asking | None) -> str:
    """Who asks, for limits alone."""
    if request is None:
        return ""
    host = request.client.host if request.client else ""
    # Tools call from this machine, whoever asks for them.
    if request.headers.get("x-gradio-user") == "mcp" and host in ("", "127.0.0.1", "::1"):
        return "mcp"
    if reach.on_space():  # behind a proxy, which puts the visitor last
        return str(request.headers.get("x-forwarded-for", "")).rpartition(",")[2].strip()
    return host


def until(seconds: float) -> str:
    """A time to wait, in words."""
    return f"{int(seconds) + 1} seconds" if seconds < 90 else f"{-int(-seconds // 60)} minutes"


def _no_seconds(visitor: str) -> str:
    """Why the model works no more for a visitor now; empty if it does."""
    most = operator().limit_seconds
    if not (wait := LIMITS.full("seconds", visitor, most)):
        return ""
    return (
        f"this server works {most} seconds for a visitor in ten minutes, and yours are used up; there is more"
        f" in {until(wait)}"
    )


def _used_up(visitor: str, images: int) -> str:
    """Why a visitor can't have so many images now; empty if they are lent."""
    most = operator().limit_images
    if told := _no_seconds(visitor):
        return told
    if images > most:
        return f"{images} images are asked for; this server draws {most} in ten minutes at most"
    if wait := LIMITS.take("images", visitor, most, images, lend=True):
        return (
            f"this server draws {most:,} images for a visitor in ten minutes, and {images} more would be too"
            f" many; they can be drawn in {until(wait)}"
        )
    return ""


class Spent:
    """What a drawing takes of its visitor's limits, told as it goes. It ends the drawing where the model's
    seconds are used up."""

    def __init__(self, visitor: str, images: int, cancel: threading.Event):
        self.visitor, self.left, self.cancel = visitor, images, cancel
        self.drawn, self.seconds, self.lock = 0, 0.0, threading.Lock()
        self.ended = ""  # why it was ended, if it was

    def __call__(self, images: int, seconds: float) -> None:
        """Notes images that were drawn, and the model's seconds for them."""
        self.drawn, self.seconds = self.drawn + images, self.seconds + seconds
        self.give_back(images)
        LIMITS.spend("images", self.visitor, images)
        LIMITS.spend("seconds", self.visitor, seconds)
        if self.left and (told := _no_seconds(self.visitor)):
            self.ended = told
            self.cancel.set()

    def give_back(self, most: int) -> None:
        """Gives back what is lent still, at most so much; a batch may end after its visitor has gone."""
        with self.lock:
            part = min(most, self.left)
            self.left -= part
        LIMITS.give_back("images", self.visitor, part)


@contextmanager
def drawing(request: Asking | None, images: int, cancel: threading.Event, **facts: Any) -> Iterator[Spent]:
    """Within it a visitor may draw so many images at most; what is drawn is told, and logged with `facts`
    at the end. `cancel` is set when the model has worked as long as it may. ValueError if it is more than is
    left, and when there is more."""
    start = time.monotonic()
    if told := _used_up(asker(request), images):
        log("refused", images=images, **facts)
        raise ValueError(told)
    spent = Spent(asker(request), images, cancel)
    try:
        yield spent
    finally:
        spent.give_back(images)
        wall = round(time.monotonic() - start, 2)
        took = round(spent.seconds, 2)
        log("drew", images=spent.drawn, asked=images, model_seconds=took, seconds=wall, **facts)
