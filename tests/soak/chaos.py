"""Things that break while somebody draws or teaches: each is said in one line, nothing that was made is lost,
and the next request works."""

import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import gradio as gr
import httpx
import torch
from starlette.applications import Starlette
from starlette.testclient import TestClient

from fairdemo.models import pipelines
from fairdemo.models.profiles import profile
from fairdemo.places import SHIPPED
from fairdemo.report import archive
from fairdemo.request import Request
from fairdemo.studio.live import Live
from fairdemo.studio.studio import Studio
from fairdemo.ui import class_routes, studio_events, wall_file
from fairdemo.ui.studio_view import screen
from fairdemo.ui.visits import RUNNING, Visit
from tests import browser

ENDS = 5.0  # seconds in which a program ends that is told to
SEEDS = iter(range(900_000, 10**6))


def drawn(studio: Studio, n: int = 2) -> tuple[int, str]:
    """A visitor draws a few pairs, as on the page: how many pairs came, and what was said at the end."""
    with patch.object(studio_events, "studio", lambda name: studio):
        asked = Request.checked(prompt="a photo of a farmer", n=n, seed=next(SEEDS), steps=2)
        plan = studio.plan(asked)
        with gr.Blocks():
            made = screen()
        page = studio_events.Events(made)
        values = {made.visit: None, made.shown.corrected: "observed"}
        request: Any = SimpleNamespace(session_hash="chaos", headers={}, client=None)
        run = studio_events.Run(page, values, request, lambda *a, **k: None, threading.Event())
        told = list(run.of(plan, "done"))
        RUNNING.clear()
        return len(plan.comparison.pairs), told[-2][made.shown.status]


def survives(studio: Studio, broken: Any) -> str:
    """What a visitor is told while something is broken; after it, everybody's drawing works."""
    with ThreadPoolExecutor(1) as visitor:  # not the main thread, as on a server
        with broken:
            _, told = visitor.submit(drawn, studio).result(120)
        assert "\n" not in told and len(told) < 700, told
        whole, _ = visitor.submit(drawn, studio).result(120)
    assert whole == 2, "the next request works"
    return told


def raising(error: BaseException) -> Callable[..., Any]:
    """A function that only fails."""

    def fails(*args: object, **named: object) -> Any:
        raise error

    return fails


def memory_in(studio: Studio, part: str) -> str:
    """Memory runs out in a part of the model or in a reader."""
    live = studio.artist
    assert isinstance(live, Live)
    places: dict[str, tuple[Any, str]] = {
        "U-Net": (live.generator.pipeline.unet, "forward"),
        "decoder": (live.generator, "decode_twofold"),
        "faces": (live.reader, "read"),
        "professions": (live.subjects, "read"),
    }
    owner, name = places[part]
    kind = torch.OutOfMemoryError if part in ("U-Net", "decoder") else MemoryError
    told = survives(studio, patch.object(owner, name, raising(kind("out of memory"))))
    assert "memory" in told, told
    live.generator.most = 2 * live.profile.batch
    return told


def thread_killed(studio: Studio) -> str:
    """The thread that decodes is ended in the midst of it."""
    live = studio.artist
    assert isinstance(live, Live)
    return survives(studio, patch.object(live.generator, "decode_twofold", raising(SystemExit("killed"))))


def model_cut(folder: Path) -> str:
    """A model's file is cut while it is loaded; once it is whole again, it loads."""
    own = folder / "model"
    shutil.copytree(SHIPPED / "assets" / "embedded", own)
    weights = max(own.rglob("*.safetensors"), key=lambda p: p.stat().st_size)
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    chosen = profile("embedded").but(model=str(own))
    try:
        pipelines.load_pipeline(chosen, "cpu")
        raise AssertionError("half a model was loaded")
    except ValueError as error:
        told = str(error)
    assert "\n" not in told and "damaged" in told, told
    weights.write_bytes(whole)
    pipelines.load_pipeline(chosen, "cpu")
    return told


def disk_full(studio: Studio) -> str:
    """The disk is full when a drawing's file is to be written: the drawing stands, a later one is kept."""
    plan = studio.plan(Request.checked(prompt="a photo of a farmer", n=2, seed=next(SEEDS), steps=2))
    for _ in studio.run(plan):
        pass
    visit = Visit(plan)
    keeps, place = TestClient(Starlette(routes=wall_file.ROUTES)), wall_file.address(visit)
    full = OSError(28, "No space left on device")
    with patch.object(archive.zipfile, "ZipFile", raising(full)):
        answer = keeps.get(place)
    told = answer.text
    assert answer.status_code == 503 and "No space left on device" in told
    assert keeps.get(place).status_code == 200 and len(plan.comparison.pairs) == 2
    return told


@contextmanager
def school(home: Path) -> Iterator[TestClient]:
    """The class's routes with a home of their own."""
    with patch.dict(os.environ, {"FAIRDEMO_HOME": str(home)}):
        class_routes.rooms.cache_clear()
        class_routes.classroom.cache_clear()
        try:
            yield TestClient(class_routes.APP, raise_server_exceptions=False)
        finally:
            class_routes.rooms.cache_clear()
            class_routes.classroom.cache_clear()


def class_on_full_disk(folder: Path) -> str:
    """The file of rooms can't grow: what was answered stays, what comes is refused in a line."""
    with school(folder / "full") as client:
        made = client.post("/api/rooms").json()
        place = f"/api/rooms/{made['code']}"
        token = client.post(f"{place}/students").json()["token"]
        store = class_routes.rooms().store
        real = store.open

        @contextmanager
        def full(kind: str = "deferred") -> Iterator[sqlite3.Connection]:
            with real(kind) as db:
                pages = db.execute("pragma page_count").fetchone()[0]
                db.execute(f"pragma max_page_count = {pages}")
                try:
                    yield db
                finally:
                    db.execute("pragma max_page_count = 4294967294")

        said = []
        with patch.object(store, "open", full):
            for _ in range(400):
                answer = client.post(f"{place}/students")
                if answer.status_code != 201:
                    said.append((answer.status_code, answer.json()["error"]))
                    break
        if not said or said[0][0] == 409:  # a room holds fewer than fill a page of the file
            with patch.object(store, "open", raising(sqlite3.OperationalError("database or disk is full"))):
                answer = client.post(f"{place}/students")
                said = [(answer.status_code, answer.json()["error"])]
        assert said[0][0] == 503 and "full" in said[0][1], said
        again = client.post(f"{place}/students", headers={"Authorization": f"Bearer {token}"})
        assert again.status_code == 201 and again.json()["number"] == 0, "who had a seat has it"
        return said[0][1]


def home_read_only(folder: Path) -> str:
    """FAIRDEMO_HOME can't be written to, as in a container: the class is kept until the program ends, and a
    line says so."""
    (folder / "file").write_text("no folder")
    said = io.StringIO()
    with school(folder / "file" / "home") as client, redirect_stderr(said):
        assert client.post("/api/rooms").status_code == 201
    assert "can't be written to; " in said.getvalue()
    return said.getvalue()


def clock_jumps(folder: Path) -> str:
    """Somebody corrects the date by two days, either way: rooms stay, limits hold."""
    with school(folder / "clock") as client:
        made = client.post("/api/rooms").json()
        real = time.time
        for days in (2, -2):
            with patch.object(time, "time", lambda days=days: real() + 86400 * days):
                class_routes.rooms().forget()
                assert client.get(f"/api/rooms/{made['code']}").status_code == 200
        return "rooms stay"


def told_to_end(folder: Path) -> str:
    """SIGTERM while a visitor draws and a class sits: the server ends in time, and the class is there when it
    is started again."""
    own = {"FAIRDEMO_HOME": str(folder / "term"), "FAIRDEMO_LOG": "on"}
    port = browser.free_port()
    command = [sys.executable, "app.py"]
    log = folder / "log"

    def started() -> subprocess.Popen:
        with log.open("a") as out:
            env = browser.environment(port, **own)
            process = subprocess.Popen(command, cwd=SHIPPED, env=env, stdout=out, stderr=out)
        browser.wait_for(f"http://127.0.0.1:{port}/health", process)
        return process

    base = f"http://127.0.0.1:{port}"
    process = started()
    try:
        room = httpx.post(f"{base}/class/api/rooms", timeout=20).json()
        body = {"data": ["a photo of a chef", 64, 5, "uniform", "embedded", {"steps": 50}]}
        httpx.post(f"{base}/gradio_api/call/compare", json=body, timeout=20).raise_for_status()
        for _ in range(400):
            if httpx.get(f"{base}/health", timeout=20).json()["waiting_images"]:
                break
            time.sleep(0.1)
        with httpx.stream("GET", f"{base}/gradio_api/heartbeat/open", timeout=20) as page:  # a page is open
            next(page.iter_lines())
            start = time.monotonic()
            process.send_signal(signal.SIGTERM)
            code, spent = process.wait(30), time.monotonic() - start
        assert spent < ENDS and code == 0, (spent, code)
        process = started()
        assert httpx.get(f"{base}/class/api/rooms/{room['code']}", timeout=20).status_code == 200
    except httpx.HTTPError as error:
        said = (
            f"the server's code is {process.poll()}, and it said: {log.read_text(encoding='utf-8')[-3000:]}"
        )
        raise AssertionError(f"{error}; {said}") from error
    finally:
        process.terminate()
        process.wait(20)
    events = [json.loads(line)["event"] for line in log.read_text().splitlines() if line.startswith("{")]
    assert "started" in events and "stopped" in events
    return f"ended in {spent:.1f} s"


def every(studio: Studio) -> Iterator[tuple[str, str]]:
    """Each thing that breaks, and what was said."""
    yield from within(studio)
    with tempfile.TemporaryDirectory() as folder:
        yield "SIGTERM while it draws", told_to_end(Path(folder))


def within(studio: Studio) -> Iterator[tuple[str, str]]:
    """Each thing that breaks within a process, and what was said."""
    threads = threading.active_count()  # other tests of this process have some
    for part in ("U-Net", "decoder", "faces", "professions"):
        yield f"memory runs out: {part}", memory_in(studio, part)
    yield "the decoder's thread is killed", thread_killed(studio)
    yield "the disk is full: a drawing's file", disk_full(studio)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        parts: dict[str, Callable[[Path], str]] = {
            "the disk is full: a class": class_on_full_disk,
            "a home that is read only": home_read_only,
            "a clock that jumps": clock_jumps,
            "a model's file is cut": model_cut,
        }
        for name, part in parts.items():
            yield name, part(folder)
    left = threading.active_count() - threads
    assert left < 30, f"{left} threads more than before: {[t.name for t in threading.enumerate()]}"
