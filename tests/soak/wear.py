"""Long use: many walls and many lessons, one after the other. Memory, files and threads."""

import gc
import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import gradio as gr
import httpx
import psutil
from scipy.stats import theilslopes
from starlette.applications import Starlette
from starlette.testclient import TestClient

from fairdemo.memory import give_back
from fairdemo.request import Request
from fairdemo.stats.attributes import RACES
from fairdemo.stats.prompts import PROFESSIONS, photo_of
from fairdemo.studio.studio import Studio
from fairdemo.ui import class_routes, studio_events, wall_file
from fairdemo.ui.studio_view import screen
from fairdemo.ui.visits import Visit
from tests.soak.chaos import school

EVERY = 10  # walls between two looks
PAIRS, STEPS = 4, 4
STUDENTS = 8
LOOKED = ("memory in MB", "files", "threads")


@dataclass(frozen=True)
class Worn:
    """What long use came to."""

    walls: int
    slope: float  # MB of memory per 100 walls, Theil-Sen
    interval: tuple[float, float]  # 95 %
    memory: tuple[float, float]  # MB, after warming up and at the end
    files: tuple[int, int]
    threads: tuple[int, int]

    def told(self) -> str:
        """It in a line."""
        low, high = self.interval
        return (
            f"{self.walls} walls: {self.slope:+.2f} MB per 100 ({low:+.2f} to {high:+.2f}); memory"
            f" {self.memory[0]:.0f} to {self.memory[1]:.0f} MB, files {self.files[0]} to {self.files[1]},"
            f" threads {self.threads[0]} to {self.threads[1]}"
        )


def look() -> tuple[float, int, int]:
    """Memory in MB, open files, threads of this process, after what the server does every minute."""
    gc.collect()
    give_back()
    own = psutil.Process()
    return own.memory_info().rss / 2**20, own.num_fds(), own.num_threads()


class Visitor:
    """Draws wall after wall as the page does, with all that the page makes of it."""

    def __init__(self, studio: Studio, keeps: TestClient):
        self.studio, self.visit, self.keeps = studio, Visit(), keeps
        with gr.Blocks():
            self.made = screen()
        self.page = studio_events.Events(self.made)
        self.request: Any = type("Request", (), {"session_hash": "wear", "headers": {}, "client": None})()

    def wall(self, k: int) -> None:
        """One wall, counted and kept as a file."""
        prompt = photo_of(list(PROFESSIONS)[k % len(PROFESSIONS)])
        asked = Request.checked(prompt=prompt, n=PAIRS, seed=500_000 + k, steps=STEPS)
        values: dict[Any, Any] = {
            self.made.visit: self.visit,
            self.made.shown.corrected: "observed",
            self.made.ask.ahead: False,
        }
        with patch.object(studio_events, "studio", lambda name: self.studio):
            run = studio_events.Run(self.page, values, self.request, lambda *a, **k: None, threading.Event())
            *_, last, _ = run.of(self.studio.plan(asked), "done")
            self.visit = last[self.made.visit]
            self.page.finished({**values, self.made.visit: self.visit})
        assert self.keeps.get(last[self.made.shown.download].link).status_code == 200


def walls(studio: Studio, n: int, warm: int) -> Worn:
    """`n` walls after `warm` ones, and the slope of memory over them."""
    with (
        tempfile.TemporaryDirectory() as home,
        patch.dict(os.environ, {"FAIRDEMO_HOME": home}),
        TestClient(Starlette(routes=wall_file.ROUTES)) as keeps,
    ):
        visitor = Visitor(studio, keeps)
        for k in range(warm):
            visitor.wall(k)
        seen = [look()]
        for k in range(n):
            visitor.wall(warm + k)
            if (k + 1) % EVERY == 0:
                seen.append(look())
    memory = [one[0] for one in seen]
    slope, _, low, high = theilslopes(memory, [k * EVERY / 100 for k in range(len(seen))])
    ends = [(seen[0][k], seen[-1][k]) for k in (1, 2)]
    return Worn(n, float(slope), (float(low), float(high)), (memory[0], memory[-1]), *ends)


def drawn(look: Callable[[], httpx.Response], seconds: float = 120) -> None:
    """Waits until the wall of a room that is looked at is drawn."""
    end = time.monotonic() + seconds
    while (seen := look().json()["wall"])["state"] != "done":
        assert time.monotonic() < end, f"the wall isn't drawn: {seen}"
        time.sleep(0.05)


def lessons(n: int, every: Any = lambda k: None) -> list[tuple[float, int, int]]:
    """`n` lessons back to back, with the walls that they need; a look after each."""
    seen = []
    with tempfile.TemporaryDirectory() as home, school(Path(home)) as client:
        for k in range(n):
            made = client.post("/api/rooms").json()
            place, teacher = f"/api/rooms/{made['code']}", {"Authorization": f"Bearer {made['teacher']}"}
            tokens = [client.post(f"{place}/students").json()["token"] for _ in range(STUDENTS)]
            own = [{"Authorization": f"Bearer {token}"} for token in tokens]

            def step(name: str, place: str = place, teacher: dict = teacher) -> None:
                told = client.put(f"{place}/step", json={"step": name}, headers=teacher)
                assert told.status_code == 200, told.text

            step("guess")
            for headers in own:
                guess = {"women": 3, "white": 9}
                client.put(f"{place}/answers/guess-CEO", json=guess, headers=headers)
            step("look")
            drawn(partial(client.get, place, headers=teacher))
            step("decide")
            for headers in own:
                wish = {"race": dict.fromkeys(RACES, 10), "reason": "as-asked"}
                client.put(f"{place}/answers/wish", json=wish, headers=headers)
            client.put(f"{place}/ended", headers=teacher)
            assert client.delete(place, headers=teacher).status_code == 200
            seen.append(look())
            every(k)
    assert class_routes.rooms.cache_info().currsize == 0
    return seen
