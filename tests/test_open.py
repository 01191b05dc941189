"""Open to the world: what visitors of a server that others can reach may ask for."""

import asyncio
import base64
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from fairdemo import places
from fairdemo.places import SHIPPED
from fairdemo.request import Request
from fairdemo.stats import measure
from fairdemo.ui import api, door, health, limits, log, offered, operator, pictures, reach, visits
from fairdemo.ui.port import read_port

ASKED = """
import json
from fairdemo.ui import offered
found = {"offered": list(offered.offered()), "withheld": offered.withheld(), "default": offered.default()}
try:
    offered.studio("sdxl")
except ValueError as error:
    found["error"] = str(error)
print(json.dumps(found))
"""


def asked(monkeypatch, **environment) -> dict:
    """What a server offers that is started in an environment."""
    for name in ("SPACE_HOST", "GRADIO_SERVER_NAME", "GRADIO_SHARE", "FAIRDEMO_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    told = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True)
    return json.loads(told.stdout.splitlines()[-1])


def test_on_ones_own_machine_all_profiles_are_offered(monkeypatch):
    found = asked(monkeypatch)
    assert found["offered"][0] == "embedded" and "sdxl" in found["offered"] and found["withheld"] == []


@pytest.mark.parametrize(
    "where", [{"SPACE_HOST": "x.hf.space"}, {"GRADIO_SERVER_NAME": "0.0.0.0"}, {"GRADIO_SHARE": "True"}]
)
def test_where_others_visit_only_what_was_named_is_drawn_with(monkeypatch, where):
    found = asked(monkeypatch, **where)
    assert found["offered"] == ["embedded"] and "sdxl" in found["withheld"]
    assert "FAIRDEMO_PROFILE=sdxl" in found["error"]
    named = asked(monkeypatch, FAIRDEMO_PROFILE="embedded,sd15", **where)
    assert named["offered"] == ["embedded", "sd15"] and "error" in named


def test_a_server_of_this_machine_alone_is_nobody_elses(monkeypatch):
    for name in ("SPACE_HOST", "GRADIO_SHARE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GRADIO_SERVER_NAME", "127.0.0.1")
    assert not reach.others_reach()
    monkeypatch.setenv("GRADIO_SERVER_NAME", "192.168.0.7")
    assert reach.others_reach()


def test_health_says_how_it_is_and_nothing_of_visitors(live):
    assert live.batches.length == 0
    told = TestClient(Starlette(routes=health.ROUTES)).get("/health").json()
    assert told["profile"] == "embedded" and told["waiting_images"] >= 0 and told["memory_mb"] > 50
    assert set(told) == {"version", "profile", "loaded", "waiting_images", "memory_mb"}


# What a visitor may take


class Clock:
    """A time that only a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    own = Clock()
    monkeypatch.setattr(limits, "LIMITS", limits.Limits(own))
    monkeypatch.setattr(door, "LIMITS", limits.LIMITS)
    return own


def decides(monkeypatch, **settings) -> operator.Operator:
    """Whoever runs the server decides so."""
    own = operator.Operator(**settings)
    for module in (limits, door, log, api):
        monkeypatch.setattr(module, "operator", lambda: own)
    return own


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 50)), max_size=40),
    st.integers(1, 200),
)
def test_no_window_holds_more_than_is_allowed(events, most):
    """Whatever is asked for and when: what was granted in any ten minutes is at most the limit, what is
    refused says when it would be granted, and then it is."""
    clock = Clock()
    own, granted = limits.Limits(clock), []
    for pause, amount in events:
        clock.now += pause
        wait = own.take("images", "somebody", most, amount)
        if not wait:
            granted.append((clock.now, amount))
        elif amount <= most:
            clock.now += wait + 1e-6
            assert own.take("images", "somebody", most, amount) == 0
            granted.append((clock.now, amount))
        assert sum(a for at, a in granted if at > clock.now - limits.WINDOW) <= most
    assert own.take("images", "another", most, 1) == 0, "visitors don't share a limit"


def test_a_drawing_is_lent_and_what_was_not_drawn_comes_back(monkeypatch, clock):
    decides(monkeypatch, limit_images=100, limit_seconds=50)
    with limits.drawing(None, 60, threading.Event()) as spent:
        with (
            pytest.raises(ValueError, match="100 images for a visitor in ten minutes, and 60 more"),
            limits.drawing(None, 60, threading.Event()),
        ):
            pass
        spent(10, 4.0)
    with limits.drawing(None, 90, threading.Event()) as spent:  # the other 50 weren't drawn
        spent(90, 50.0)
    with (
        pytest.raises(ValueError, match="works 50 seconds for a visitor.*there is more in 10 minutes"),
        limits.drawing(None, 1, threading.Event()),
    ):
        pass
    clock.now += 600.1
    with limits.drawing(None, 100, threading.Event()):
        pass
    with (
        pytest.raises(ValueError, match="101 images are asked for; this server draws 100"),
        limits.drawing(None, 101, threading.Event()),
    ):
        pass


def test_a_drawing_ends_where_the_seconds_are_used_up(monkeypatch, clock):
    decides(monkeypatch, limit_seconds=50)
    cancel = threading.Event()
    with limits.drawing(None, 60, cancel) as spent:
        spent(20, 30.0)
        assert not cancel.is_set() and not spent.ended
        spent(20, 30.0)
        assert cancel.is_set() and "yours are used up; there is more in 10 minutes" in spent.ended
    clock.now += 600.1
    cancel = threading.Event()
    with limits.drawing(None, 20, cancel) as spent:
        spent(20, 60.0)
    assert not cancel.is_set(), "it was whole already"


def test_what_is_drawn_after_a_visitor_has_gone_is_not_given_back_twice(monkeypatch, clock):
    decides(monkeypatch, limit_images=100)
    for _ in range(3):
        with limits.drawing(None, 24, threading.Event()) as spent:
            pass
        spent(24, 1.0)  # a batch that others were in, too
    assert next(iter(limits.LIMITS.taken.values())).lent == 0
    with pytest.raises(ValueError, match="100 images"), limits.drawing(None, 29, threading.Event()):
        pass


def test_stop_in_line_is_stop(monkeypatch):
    visits.waiting("s")
    visits.stop("s")
    with visits.running("s", waited=True) as cancel:
        assert cancel.is_set(), "it was stopped before it began"
    with visits.running("s") as moved:  # a wish moves while a wall is drawn
        visits.waiting("s")
        with visits.running("s", waited=True) as drawn:
            assert moved is not drawn and not drawn.is_set()
    visits.waiting("s")
    with visits.running("s", waited=True) as drawn:
        with visits.running("s"):
            pass
        visits.stop("s")
        assert drawn.is_set(), "what ended beside it hasn't taken its place"
    assert not visits.RUNNING


def test_a_setting_that_is_wrong_is_named(monkeypatch):
    monkeypatch.setenv("FAIRDEMO_LIMIT_IMAGES", "many")
    operator.operator.cache_clear()
    try:
        with pytest.raises(SystemExit, match="FAIRDEMO_LIMIT_IMAGES is 'many'; expected a whole number"):
            operator.operator()
        monkeypatch.setenv("FAIRDEMO_LIMIT_IMAGES", "7")
        operator.operator.cache_clear()
        own = operator.operator()
        assert own.limit_images == 7 and own.limit_rooms == operator.UNLIMITED and own.log == "off"
    finally:
        monkeypatch.delenv("FAIRDEMO_LIMIT_IMAGES")
        operator.operator.cache_clear()


def test_a_frame_that_is_no_origin_is_named(monkeypatch):
    monkeypatch.setenv("FAIRDEMO_FRAMES", "moodle.example.org; script-src *")
    operator.operator.cache_clear()
    try:
        with pytest.raises(SystemExit, match="FAIRDEMO_FRAMES"):
            operator.operator()
    finally:
        monkeypatch.delenv("FAIRDEMO_FRAMES")
        operator.operator.cache_clear()


def test_the_port_that_was_asked_for_is_used_or_named(monkeypatch):
    monkeypatch.setenv("GRADIO_SERVER_PORT", "abc")
    with pytest.raises(SystemExit, match="GRADIO_SERVER_PORT is 'abc'; expected a number"):
        read_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        own = {**os.environ, "GRADIO_SERVER_PORT": str(taken.getsockname()[1]), "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(
            [sys.executable, "app.py"], cwd=SHIPPED, env=own, capture_output=True, text=True, timeout=200
        )
    assert done.returncode == 1 and done.stderr.strip().splitlines()[-1].startswith("fairdemo: port ")
    assert "Traceback" not in done.stderr


def test_where_others_visit_there_are_limits_and_a_log(monkeypatch):
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    operator.operator.cache_clear()
    try:
        own = operator.operator()
        assert own.limit_images == 2000 and own.log == "on"
    finally:
        operator.operator.cache_clear()


def test_the_api_says_when_there_is_more(monkeypatch, clock, studio):
    decides(monkeypatch, limit_images=4)
    monkeypatch.setattr(api, "studio", lambda profile: studio)
    told = api.compare("a photo of a nurse", 2, 5, settings={"steps": 2})
    assert len(told["pairs"]) == 2
    with pytest.raises(gr.Error, match="4 images for a visitor in ten minutes.*10 minutes"):
        api.compare("a photo of a nurse", 2, 6, settings={"steps": 2})


def test_who_leaves_frees_the_model(monkeypatch, studio):
    """A tab that is closed, or a program that goes, ends its drawing at the next step."""
    monkeypatch.setattr(api, "studio", lambda profile: studio)
    request = SimpleNamespace(session_hash="gone", headers={}, client=None)
    plan = studio.plan(Request.checked(prompt="a photo of a chef", n=64, seed=871, steps=50))
    told = []

    def draws():
        try:
            api.drawn(plan, request)
        except ValueError as error:
            told.append(str(error))

    thread = threading.Thread(target=draws)
    thread.start()
    while not visits.RUNNING:
        time.sleep(0.01)
    visits.left(request)
    thread.join(60)
    assert told and "of 64 pairs" in told[0] and not visits.RUNNING
    assert studio.artist.batches.length == 0


# The door


def behind(monkeypatch, **settings) -> TestClient:
    """A server with our routes before which stands what stands before all routes."""
    decides(monkeypatch, **settings)

    async def page(request) -> HTMLResponse:
        return HTMLResponse("<p>the page</p>")

    async def upload(request) -> JSONResponse:
        return JSONResponse([len(await request.body())])

    names = ("/", "/config", "/class/teacher", "/class/api/rooms", "/class/api/rooms/ABCDE", "/class/")
    routes = [Route(name, page, methods=["GET", "POST"]) for name in names]
    routes += [Route("/gradio_api/upload", upload, methods=["POST"]), *pictures.ROUTES]
    routes += [Route("/gradio_api/file={path:path}", page)]
    return TestClient(Starlette(routes=routes, middleware=door.before()), follow_redirects=False)


def test_a_password_stands_before_all_but_a_class(monkeypatch, clock):
    client = behind(monkeypatch, password="grüezi")
    for path in (
        "/",
        "/config",
        "/class/teacher",
        "/class/api/rooms",
        "/gradio_api/upload",
        "/class//teacher",
    ):
        assert client.get(path).status_code == 401, path
        assert client.post(path, content=b"x").status_code == 401, path
    assert "password" in client.get("/", headers={"accept": "text/html"}).text
    assert client.get("/class/").status_code == client.get("/class/api/rooms/ABCDE").status_code == 200
    assert client.get("/picture/none.jpg").status_code == 404
    for kind, said in (("Bearer", "grüezi"), ("Basic", base64.b64encode("any:grüezi".encode()).decode())):
        headers = {"Authorization": f"{kind} {said}".encode()}
        assert client.get("/config", headers=headers).status_code in (200, 401)
    assert client.get("/config", auth=("any", "grüezi")).status_code == 200
    entered = client.post("/door", data={"password": "grüezi", "back": "/class/teacher"})
    assert entered.status_code == 303 and entered.headers["location"] == "/class/teacher"
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie and "grüezi" not in cookie and "SameSite=lax" in cookie
    assert client.get("/config").status_code == 200, "the browser is known"
    assert client.get("/config", headers={"Origin": "https://evil.org"}).status_code == 401
    assert client.get("/config", headers={"Origin": "http://testserver"}).status_code == 200
    client.cookies.clear()
    asked = client.get("/?prompt=a+nurse&seed=4", headers={"accept": "text/html"}).text
    assert 'value="/?prompt=a+nurse&amp;seed=4"' in asked
    back = client.post("/door", data={"password": "grüezi", "back": "/?prompt=a+nurse&seed=4"})
    assert back.headers["location"] == "/?prompt=a+nurse&seed=4"


@pytest.mark.parametrize("back", ["//evil.org", "https://evil.org", "/\\evil.org", "javascript:alert(1)"])
def test_the_door_leads_nowhere_else(monkeypatch, clock, back):
    client = behind(monkeypatch, password="p")
    assert client.post("/door", data={"password": "p", "back": back}).headers["location"] == "/"


def test_passwords_cannot_be_tried_out(monkeypatch, clock):
    client = behind(monkeypatch, password="right")
    for k in range(door.TRIES):
        assert client.post("/door", data={"password": f"wrong {k}"}).status_code in (401, 429)
    assert client.post("/door", data={"password": "right"}).status_code == 429
    assert client.get("/config", auth=("x", "right")).status_code == 401
    assert "10 minutes" in client.get("/", headers={"accept": "text/html"}).text
    clock.now += 601
    assert client.post("/door", data={"password": "right"}).status_code == 303


@pytest.mark.parametrize("origin", ["null", "https://evil.example", "http://["])
def test_a_cookie_counts_for_nothing_on_other_sites_pages(monkeypatch, clock, origin):
    client = behind(monkeypatch, password="right")
    assert client.post("/door", data={"password": "right"}).status_code == 303
    assert client.get("/config").status_code == 200
    assert client.get("/config", headers={"Origin": origin}).status_code == 401
    for own in ("http://testserver", "http://testserver:7860"):
        assert client.get("/config", headers={"Origin": own}).status_code == 200


def test_answers_are_sealed(monkeypatch, clock):
    client = behind(monkeypatch)
    headers = client.get("/").headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in client.get("/gradio_api/file=/x/report.html").headers["content-security-policy"]
    own = "https://moodle.example.org https://*.example.edu"
    assert (
        behind(monkeypatch, frames=own)
        .get("/")
        .headers["content-security-policy"]
        .endswith(f"frame-ancestors 'self' {own}")
    )
    monkeypatch.setenv("SPACE_HOST", "x.hf.space")
    framed = behind(monkeypatch).get("/").headers["content-security-policy"]
    assert framed.endswith("https://huggingface.co https://*.hf.space")


def test_uploads_are_bounded(monkeypatch, clock):
    client = behind(monkeypatch, limit_uploads=2)
    assert client.post("/gradio_api/upload", content=b"abc").json() == [3]
    chunked = client.post("/gradio_api/upload", content=iter([b"abc"]))
    assert chunked.status_code == 411 and "Content-Length" in chunked.json()["detail"]
    large = client.post("/gradio_api/upload", content=b"", headers={"content-length": "400000000"})
    assert large.status_code == 413
    lying = {"content-length": "1", "transfer-encoding": "chunked"}
    assert client.post("/gradio_api/upload", content=b"a", headers=lying).status_code == 411
    assert client.post("/config", content=b"x" * 3_000_000).status_code == 413
    assert client.post("/gradio_api/process_recording", content=b"x").status_code == 404
    assert client.post("/gradio_api/upload", content=b"abc").status_code == 200
    third = client.post("/gradio_api/upload", content=b"abc")
    assert third.status_code == 429 and "the next in 10 minutes" in third.json()["detail"]
    clock.now += 601
    monkeypatch.setattr(door.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    full = client.post("/gradio_api/upload", content=b"abc")
    assert full.status_code == 503 and "disk is full" in full.json()["detail"]


# Files and the log


def test_visitors_files_have_a_quota_and_the_oldest_go_first(tmp_path):
    now = time.time()
    for k in range(10):
        path = tmp_path / f"{k}" / "file.zip"
        path.parent.mkdir()
        path.write_bytes(b"x" * 100)
        os.utime(path, (now - 100 * k, now - 100 * k))
        os.utime(path.parent, (now - 1000, now - 1000))
    (tmp_path / "link").symlink_to("/etc/hostname")
    assert places.tidy(tmp_path, 450, 350) == 6
    assert sorted(p.parent.name for p in tmp_path.rglob("file.zip")) == ["0", "1", "2", "3"]
    assert places.tidy(tmp_path, 250, 1e6) == 2
    os.utime(tmp_path / "9", (now - 1000, now - 1000))
    assert places.tidy(tmp_path, 250, 1e6) == 0
    assert Path("/etc/hostname").exists() and not (tmp_path / "9").exists()


def test_a_home_that_cannot_be_written_to_is_not_needed(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("FAIRDEMO_HOME", str(tmp_path / "file" / "home"))
    path = places.passing_text("a.csv", "a,b\n")
    assert path.read_text() == "a,b\n" and not path.is_relative_to(tmp_path)
    assert "can't be written to; " in capsys.readouterr().err


def test_the_log_says_what_was_drawn_and_not_what_was_asked(monkeypatch, clock, capsys):
    decides(monkeypatch, log="on")
    with limits.drawing(None, 4, threading.Event(), profile="embedded", prompt="a secret") as spent:
        spent(4, 1.5)
    told = json.loads(capsys.readouterr().err)
    assert told["event"] == "drew" and told["images"] == 4 and told["model_seconds"] == 1.5
    assert "prompt" not in told
    decides(monkeypatch, log="prompts")
    log.log("drew", prompt="a secret")
    assert json.loads(capsys.readouterr().err)["prompt"] == "a secret"
    try:
        measure.bias([])
    except Exception as error:
        log.failed(error)
    told = json.loads(capsys.readouterr().err)
    assert told["event"] == "failed" and told["where"].startswith("stats/measure.py:")


# Models that take something first


def test_a_large_model_says_what_it_takes_and_asks(monkeypatch):
    monkeypatch.setattr(offered.fetching, "missing", lambda profile: 7.2e9)
    monkeypatch.setattr(offered, "AGREED", set())
    assert not offered.to_agree("embedded")
    with pytest.raises(ValueError, match="'sd15': 7.2 GB, about 10 minutes at 100 Mbit/s, are fetched first"):
        offered.agreed("sd15")
    with pytest.raises(gr.Error, match="Draw with it in the Studio first"):
        api.compare("a photo of a nurse", 1, profile="sd15")
    offered.AGREED.add("sd15")
    offered.agreed("sd15")


def test_nobody_ends_what_another_draws():
    """A path names a program's own event alone: not what runs for visitors."""
    ended = []

    async def app(scope, receive, send):
        await receive()

    async def gone():
        return {"type": "http.disconnect"}

    async def send(message):
        pass

    event = "0123456789abcdef" * 2
    with (
        visits.running("a", "methods") as methods,
        visits.running("b", "faces") as faces,
        visits.running("c", visits.call(event)) as called,
    ):
        for method, path in (
            ("POST", "/gradio_api/call/v2/methods"),
            ("GET", "/gradio_api/call/compare/methods"),
            ("GET", "/gradio_api/call/compare/faces"),
            ("GET", f"/gradio_api/call/compare/{event[::-1]}"),
            ("GET", f"/gradio_api/call/v2/compare/{event}"),
        ):
            assert not called.is_set()
            scope = {"type": "http", "method": method, "path": path}
            asyncio.run(visits.Callers(app)(scope, gone, send))
            ended.append(methods.is_set() or faces.is_set())
        assert called.is_set() and not any(ended)
