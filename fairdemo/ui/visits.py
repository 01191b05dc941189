"""What a visitor has drawn, and who is drawing now."""

import asyncio
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

import gradio as gr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fairdemo.models.gpu import ZERO
from fairdemo.request import Request
from fairdemo.studio.studio import Plan

ANSWERED = re.compile(r"/gradio_api/(run|api)/\w+/?$")
TOLD = re.compile(r"/gradio_api/call/(v2/)?\w+/(?P<event>[0-9a-f]{32})/?$")
# Set when the program that waits for an answer goes.
GONE: ContextVar[threading.Event | None] = ContextVar("GONE", default=None)
HISTORY = 6  # comparisons that a visit keeps
# Cancel events of what is drawn or waits in line, by browser session and what it is; several where a wish
# moves while a wall is drawn.
RUNNING: dict[tuple[str, str], list[threading.Event]] = {}
CHANGED = threading.Lock()


def waiting(session: str | None, what: str = "") -> None:
    """Notes that a session stands in line, so that it can be stopped there."""
    with CHANGED:
        RUNNING.setdefault((session or "", what), []).append(threading.Event())


@contextmanager
def running(
    session: str | None, what: str = "", waited: bool = False, cancel: threading.Event | None = None
) -> Iterator[threading.Event]:
    """Within it a session draws; the event that is set when it is to end: `cancel`, or that of its place in
    line, if it `waited`, or a new one."""
    key = (session or "", what)
    with CHANGED:
        own = RUNNING.setdefault(key, [])
        if waited and own:
            cancel = own[-1]
        else:
            own.append(cancel := cancel or threading.Event())
    try:
        yield cancel
    finally:
        with CHANGED:
            own = RUNNING.get(key, [])
            if cancel in own:
                own.remove(cancel)
            if not own:
                RUNNING.pop(key, None)


def stop(session: str | None, what: str = "") -> None:
    """Ends what a session draws or waits for."""
    with CHANGED:
        for cancel in RUNNING.get((session or "", what), ()):
            cancel.set()


def left(request: gr.Request) -> None:
    """A browser's tab, or a program, has gone: nothing is drawn for it any more."""
    with CHANGED:
        for whose, what in list(RUNNING):
            if whose == (request.session_hash or ""):
                for cancel in RUNNING.pop((whose, what)):
                    cancel.set()


class Callers:
    """Notices when a program that waits for what it asked for goes: Gradio keeps no session for it that would
    end. It waits for the answer to `/run/NAME`, or for what `/call/NAME/EVENT` tells."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        path, method = scope.get("path", ""), scope.get("method")
        if method == "POST" and ANSWERED.search(path):
            GONE.set(gone := threading.Event())
            await self.watched(scope, receive, send, gone.set, True)
        elif method == "GET" and (found := TOLD.search(path)):
            await self.watched(scope, receive, send, partial(end_call, found["event"]), False)
        else:
            await self.app(scope, receive, send)

    async def watched(
        self, scope: Scope, receive: Receive, send: Send, end: Callable[[], None], alone: bool
    ) -> None:
        """Passes a request on, and calls `end` if who asks goes before the answer is whole. `alone` where
        nobody listens for that any more once the request was read."""
        answered, listening = False, []

        async def sent(message: Message) -> None:
            nonlocal answered
            answered |= message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        async def heard() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect" and not answered:
                end()
            elif alone and message["type"] == "http.request" and not message.get("more_body"):
                listening.append(asyncio.create_task(heard()))
            return message

        try:
            await self.app(scope, heard, sent)
        finally:
            for task in listening:
                task.cancel()


def call(event: str) -> str:
    """What a program's event is called among what runs."""
    return f"call {event}"


def end_call(event: str) -> None:
    """Ends what a program asked for."""
    with CHANGED:
        ended = [cancel for (_, what), own in RUNNING.items() if what == call(event) for cancel in own]
    for cancel in ended:
        cancel.set()


@dataclass(eq=False)
class Visit:
    """What one browser tab has drawn."""

    plan: Plan | None = None  # the wall that stands on the screen
    history: list[Plan] = field(default_factory=list)  # earlier ones, newest first
    charts: bool = False  # whether the charts below the fold are open
    grows: bool = False  # whether the wall is being drawn
    # Its name, which can't be guessed: by it a moving slider finds the wall again.
    token: str = field(default_factory=lambda: secrets.token_urlsafe(12), init=False)

    def __post_init__(self) -> None:
        STANDING[self.token] = self

    def keep(self, plan: Plan) -> "Visit":
        """The visit with another wall on the screen."""
        earlier = [p for p in self.history if p is not plan and title(p) != title(plan)]
        return Visit(plan, [plan, *earlier][:HISTORY], self.charts)

    def seen(self, request: Request, target: dict) -> Plan | None:
        """An earlier wall that differs in nothing from a request for a completed target."""
        same = (p for p in self.history if request.same_wall(p.request) and p.comparison.target == target)
        return next(same, None)


# Events that draw: all who wait at once share batches; a shared GPU is lent to one after the other.
AT_ONCE = 1 if ZERO else 64
DRAWS: dict[str, Any] = {"concurrency_limit": AT_ONCE, "concurrency_id": "model"}

# Visits whose wall stands on somebody's screen.
STANDING: WeakValueDictionary[str, Visit] = WeakValueDictionary()


def title(plan: Plan) -> str:
    """A comparison in the history."""
    c = plan.comparison
    shares = {a: sorted(of.items(), key=lambda item: -item[1]) for a, of in c.target.items()}
    named = [pair for a, of in shares.items() for pair in of[: 2 if a == "gender" else 1]]
    wanted = "; ".join(f"{name} {share:.0%}" for name, share in named) or "as baseline"
    method = "" if c.request.method == "mix" else f" · {c.request.method}"
    return f"{c.prompt} · seed {c.request.seed} · {len(c.pairs)} pairs{method} · {wanted}"


def facts(plan: Plan) -> dict[str, Any]:
    """What is logged of a drawing."""
    asked = plan.request
    return {
        "profile": asked.profile,
        "method": asked.method,
        "steps": asked.steps,
        "prompt": asked.prompt.text,
    }
