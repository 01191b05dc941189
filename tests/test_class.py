"""A class: rooms, seats that stay the same, answers that can't be lost or read by others, whatever is
sent."""

import json
import multiprocessing
import os
import random
import signal
import threading
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from fairdemo.lesson import lesson, rooms
from fairdemo.lesson.rooms import Refused, Rooms, named
from fairdemo.lesson.store import Store
from fairdemo.ui import class_routes


@pytest.fixture
def own(tmp_path) -> Rooms:
    return Rooms(Store(tmp_path / "classes.db"))


def refused(status: int, do, *args) -> str:
    with pytest.raises(Refused) as error:
        do(*args)
    assert error.value.status == status
    return error.value.why


def test_a_lesson_from_the_first_phone_to_the_end(own):
    code, secret = own.create()
    assert set(code) <= set(rooms.LETTERS) and len(code) == 5
    tokens = [own.join(code.lower(), "")[0] for _ in range(3)]
    assert own.join(code, tokens[1]) == (tokens[1], own.store.student(code, tokens[1])), "the same seat again"
    refused(409, own.answer, code, tokens[0], "guess-doctor", {"women": 4, "white": 8})
    own.move(code, secret, "guess")
    for k, token in enumerate(tokens):
        own.answer(code, token, "guess-doctor", {"women": 4 + k, "white": 8})
    own.answer(code, tokens[0], "guess-doctor", {"women": 16, "white": 0})
    seen = own.seen(code, secret)
    assert [a["women"] for a in seen["answers"]["guess-doctor"]] == [16, 5, 6] and seen["here"] == 3
    mine = own.seen(code, tokens[2])
    assert mine["you"] == named(2) and mine["answers"] == {"guess-doctor": {"women": 6, "white": 8}}
    assert set(own.seen(code, "")) == {"code", "step", "ended", "version", "here"}
    own.end(code, secret)
    refused(410, own.join, code, "")
    refused(410, own.answer, code, tokens[0], "guess-doctor", {"women": 1, "white": 1})
    own.delete(code, secret)
    refused(404, own.seen, code, secret)
    assert own.store.answers(code) == []


def test_nobody_does_what_isnt_theirs(own):
    (code, secret), (other, other_secret) = own.create(), own.create()
    token, _ = own.join(code, "")
    for stranger in ("", token, other_secret, "x" * 5000):
        for do in (own.end, own.delete):
            refused(403, do, code, stranger)
        refused(403, own.move, code, stranger, "guess")
        refused(403, own.remove, code, stranger, 0)
    own.move(other, other_secret, "guess")
    refused(403, own.answer, other, token, "guess-doctor", {"women": 1, "white": 1})
    assert "answers" not in own.seen(other, token)
    own.remove(code, secret, 0)
    refused(403, own.join, code, token)
    refused(403, own.answer, code, token, "guess-doctor", {"women": 1, "white": 1})
    refused(404, own.remove, code, secret, 0)


def test_who_leaves_takes_the_answers_along(own):
    code, secret = own.create()
    token, _ = own.join(code, "")
    own.move(code, secret, "decide")
    own.answer(code, token, "wish", {"women": 50, "reason": lesson.REASONS[0]})
    own.leave(code, token)
    seen = own.seen(code, secret)
    assert seen["answers"] == {} and seen["here"] == 0
    _, seat = own.join(code, "")
    assert seat.number == 1, "a seat is never given twice"


def test_names_of_a_room_differ():
    assert len({named(k) for k in range(200)}) == 200


def test_rooms_and_seats_are_limited_and_old_rooms_go(tmp_path, monkeypatch):
    clock = [1_000_000.0]
    own = Rooms(Store(tmp_path / "classes.db"), lambda: clock[0])
    code, secret = own.create()
    for _ in range(rooms.MOST):
        own.join(code, "")
    assert "full" in refused(429, own.join, code, "")
    monkeypatch.setattr(rooms, "ROOMS", 3)
    own.create(), own.create()
    refused(429, own.create)
    clock[0] -= 50_000  # a clock that is put back ends nothing
    assert own.seen(code, secret)["here"] == rooms.MOST
    clock[0] += 50_000 + rooms.DAY + 1
    refused(404, own.seen, code, secret)
    own.create()
    assert own.store.room(code) is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
NASTY = st.sampled_from(["' or 1=1 --", '"; drop table rooms; --', "\x00", "../../etc", "=1+1", "𝒳" * 2000])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text() | NASTY, st.text() | NASTY, st.sampled_from([*lesson.QUESTIONS]) | st.text(), VALUES)
def test_whatever_is_sent_is_refused_in_a_line(own, code, token, question, value):
    true, secret = own.create() if not own.store.rooms() else (None, None)
    for do in (
        lambda: own.answer(true or code, token, question, value),
        lambda: own.join(code, token),
        lambda: own.seen(code, token),
        lambda: own.move(code, token, question),
        lambda: lesson.checked(question, value),
    ):
        try:
            do()
        except (Refused, ValueError) as error:
            assert "\n" not in str(error)


def test_forty_join_at_once(own):
    code, _ = own.create()
    seats, threads = [], []
    for _ in range(40):
        threads.append(threading.Thread(target=lambda: seats.append(own.join(code, "")[1].number)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert sorted(seats) == list(range(40))


def answering(path: Path, code: str, tokens: list[str], first: int, done: Path) -> None:
    """Answers on and on; each that was confirmed is written down elsewhere."""
    own = Rooms(Store(path))
    with done.open("a") as file:
        for k in range(first, first + 10_000):
            own.answer(code, tokens[k % 4], "guess-nurse", {"women": k % 17, "white": (k // 17) % 17})
            file.write(f"{k}\n")
            file.flush()
            os.fsync(file.fileno())


def test_nothing_answered_is_lost_when_the_program_is_killed(tmp_path):
    """Killed ten times in the middle of answering: the last confirmed answer of everybody is there, or a
    later one that was being written."""
    path = tmp_path / "classes.db"
    own = Rooms(Store(path))
    code, secret = own.create()
    tokens = [own.join(code, "")[0] for _ in range(4)]
    own.move(code, secret, "guess")
    dice, last = random.Random(0), -1
    for _ in range(10):
        done = tmp_path / "done"
        done.unlink(missing_ok=True)
        process = multiprocessing.get_context("fork").Process(
            target=answering, args=(path, code, tokens, last + 1, done)
        )
        process.start()
        while not done.is_file() or not done.stat().st_size:
            time.sleep(0.01)
        time.sleep(dice.uniform(0, 0.2))
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        last = int(done.read_text().split("\n")[-2])
        again = Rooms(Store(path))
        for seat, token in enumerate(tokens):
            assert again.join(code, token)[1].number == seat
            confirmed = max((k for k in range(last + 1) if k % 4 == seat), default=None)
            (kept,) = again.seen(code, token)["answers"].values()
            said = [{"women": k % 17, "white": (k // 17) % 17} for k in (confirmed, (confirmed or 0) + 4)]
            assert kept in said


@pytest.fixture
def client(own, monkeypatch) -> TestClient:
    monkeypatch.setattr(class_routes, "rooms", lambda: own)
    monkeypatch.setattr(class_routes, "LIMITS", class_routes.Limits())
    return TestClient(class_routes.APP, raise_server_exceptions=False)


def with_(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_the_routes_carry_a_lesson(client):
    made = client.post("/api/rooms").json()
    place, teacher = f"/api/rooms/{made['code']}", with_(made["teacher"])
    joined = client.post(f"{place}/students").json()
    me = with_(joined["token"])
    assert joined["you"] == named(0) and joined["step"] == "lobby"
    assert client.post(f"{place}/students", headers=me).json()["you"] == named(0)
    asked = client.put(f"{place}/answers/guess-CEO", json={"women": 3, "white": 12}, headers=me)
    assert asked.status_code == 409 and asked.json() == {"error": "guess-CEO isn't asked now"}
    assert client.put(f"{place}/step", json={"step": "guess"}, headers=teacher).status_code == 200
    kept = client.put(f"{place}/answers/guess-CEO", json={"women": 3, "white": 12}, headers=me)
    assert kept.json() == {"kept": "guess-CEO"}
    wrong = client.put(f"{place}/answers/guess-CEO", json={"women": 17, "white": 1}, headers=me)
    assert wrong.status_code == 422 and "women" in wrong.json()["error"]
    assert client.get(place, headers=me).json()["answers"] == {"guess-CEO": {"women": 3, "white": 12}}
    assert "answers" not in client.get(place).json()
    assert client.delete(f"{place}/students/me", headers=me).status_code == 200
    assert client.get(place, headers=teacher).json()["answers"] == {}
    assert client.put(f"{place}/ended", headers=teacher).status_code == 200
    assert client.post(f"{place}/students").status_code == 410
    assert client.delete(place, headers=teacher).status_code == 200
    told = client.get(place)
    assert told.status_code == 404 and told.headers["Cache-Control"] == "no-store"
    assert set(client.get("/openapi.json").json()["paths"]) >= {"/api/rooms", "/api/rooms/{code}"}


def test_a_hundred_and_more_joins_and_large_bodies_are_refused(client):
    made = client.post("/api/rooms").json()
    place = f"/api/rooms/{made['code']}"
    codes = [client.post(f"{place}/students").status_code for _ in range(class_routes.JOINS + 5)]
    assert codes.count(201) == rooms.MOST and set(codes) == {201, 429}
    assert "try again in" in client.post(f"{place}/students").json()["error"]
    big = client.put(
        f"{place}/answers/wish", content=b"x" * 10_000_000, headers={"Authorization": "Bearer x"}
    )
    assert big.status_code == 413
    endless = client.put(f"{place}/answers/wish", content=iter([b"x" * 100] * 100))
    assert endless.status_code == 413


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]),
    st.lists(
        st.sampled_from(
            ["api", "rooms", "students", "answers", "me", "step", "ended", "wish", "0", "%00", "'--"]
        )
        | st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), max_size=8),
        max_size=6,
    ),
    VALUES,
    st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=40),
)
def test_forged_requests_never_end_in_a_traceback(client, method, parts, value, secret):
    path = "/" + "/".join(quote(p, safe="%") for p in parts if p)
    body = {"content": json.dumps(value)} if method in ("PUT", "POST", "PATCH") else {}
    answer = client.request(method, path, headers={"Authorization": secret.strip()}, **body)
    assert answer.status_code < 500, (method, path, value)
