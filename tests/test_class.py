"""A class: rooms, seats that stay the same, answers that can't be lost or read by others, whatever is
sent."""

import ipaddress
import json
import multiprocessing
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from fairdemo.lesson import experiment, lesson, rooms, shown
from fairdemo.lesson.classroom import Classroom
from fairdemo.lesson.rooms import Refused, Rooms
from fairdemo.lesson.store import Store
from fairdemo.lesson.walls import Walls
from fairdemo.pairs import TILES
from fairdemo.stats.attributes import RACES
from fairdemo.ui import class_pages, class_routes, limits, reach
from fairdemo.ui.pictures import address

# Men sorted with leading a tenth of a second faster than women, after four words to warm up.
ASSOCIATION = {
    "blocks": [
        {"focal": who, "ms": [3000] * 4 + [ms, ms + 100] * 8}
        for who, ms in (("women", 700), ("men", 600)) * 2
    ]
}
WISH = {"women": 50, "race": dict.fromkeys(RACES, 10), "reason": lesson.REASONS[0]}


@pytest.fixture
def own(tmp_path) -> Rooms:
    return Rooms(Store(tmp_path / "classes.db"))


def shown_in(rooms: Rooms, studio=None) -> Classroom:
    """The rooms with walls that a model draws; without one, each fails and says so."""

    def none():
        raise ValueError("no model here")

    return Classroom(rooms, Walls((lambda: studio) if studio else none), address)


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
    see = shown_in(own).seen
    taught = see(code, secret)
    assert taught["counts"] == {"guess-doctor": 3} and taught["here"] == 3
    mine = see(code, tokens[2])
    assert mine["number"] == 2 and mine["answers"] == {"guess-doctor": {"women": 6, "white": 8}}
    assert not {"answers", "students", "counts", "facts"} & set(see(code, ""))
    own.move(code, secret, "compare")
    assert see(code, "")["guesses"] == {"women": [5, 6, 16], "white": [0, 8, 8]}
    own.end(code, secret)
    assert own.join(code, tokens[0])[1].number == 0, "a phone that is opened again sees the summary"
    refused(410, own.join, code, "")
    refused(410, own.answer, code, tokens[0], "guess-doctor", {"women": 1, "white": 1})
    own.delete(code, secret)
    refused(404, see, code, secret)
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
    assert "answers" not in shown_in(own).seen(other, token)
    own.remove(code, secret, 0)
    refused(403, own.join, code, token)
    refused(403, own.answer, code, token, "guess-doctor", {"women": 1, "white": 1})
    refused(404, own.remove, code, secret, 0)


def test_who_leaves_takes_the_answers_along(own):
    code, secret = own.create()
    token, _ = own.join(code, "")
    own.move(code, secret, "decide")
    own.answer(code, token, "wish", WISH)
    own.leave(code, token)
    seen = shown_in(own).seen(code, secret)
    assert seen["counts"] == {} and seen["here"] == 0
    _, seat = own.join(code, "")
    assert seat.number == 1, "a seat is never given twice"


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
    assert shown_in(own).seen(code, secret)["here"] == rooms.MOST
    clock[0] += 50_000 + rooms.DAY + 1
    refused(404, own.room, code)
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
    true, secret = own.create() if not own.store.rooms(0) else (None, None)
    for do in (
        lambda: own.answer(true or code, token, question, value),
        lambda: own.join(code, token),
        lambda: own.room(code),
        lambda: own.move(code, token, question),
        lambda: own.change(code, token, {"profession": value}),
        lambda: rooms.set_facts("experiment", {}, {question: value}),
        lambda: lesson.checked(lesson.QUESTIONS, question, value),
        lambda: lesson.checked(experiment.QUESTIONS, question, value),
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
            ((_, _, kept),) = again.store.answers(code, seat)
            said = [{"women": k % 17, "white": (k // 17) % 17} for k in (confirmed, (confirmed or 0) + 4)]
            assert kept in said


@pytest.fixture
def client(own, monkeypatch) -> TestClient:
    monkeypatch.setattr(class_routes, "rooms", lambda: own)
    here = shown_in(own)
    monkeypatch.setattr(class_routes, "classroom", lambda: here)
    monkeypatch.setattr(class_routes, "LIMITS", limits.Limits())
    return TestClient(class_routes.APP, raise_server_exceptions=False)


def with_(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_the_routes_carry_a_lesson(client):
    made = client.post("/api/rooms").json()
    place, teacher = f"/api/rooms/{made['code']}", with_(made["teacher"])
    joined = client.post(f"{place}/students").json()
    me = with_(joined["token"])
    assert joined["number"] == 0 and joined["step"] == "lobby"
    assert client.post(f"{place}/students", headers=me).json()["number"] == 0
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
    assert client.get(place, headers=teacher).json()["counts"] == {}
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
            + ["facts", "simulated", "table.csv", "code.svg?link=x", "reach", "teacher"]
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


def until(see, ready, seconds: float = 120):
    """What is seen once it is ready."""
    end = time.monotonic() + seconds
    while not ready(now := see()):
        assert time.monotonic() < end, now
        time.sleep(0.05)
    return now


def test_the_class_sees_one_wall_its_wish_and_blind_pairs(own, studio):
    here = shown_in(own, studio)
    code, secret = own.create()
    tokens = [own.join(code, "")[0] for _ in range(3)]
    own.move(code, secret, "look")
    phones = [until(lambda t=t: here.seen(code, t), lambda s: s["wall"]["state"] == "done") for t in tokens]
    wall = phones[0]["wall"]
    assert all(phone["wall"] == wall for phone in phones) and len(wall["pictures"]) == lesson.WALL
    women = sum(p["gender"] == "Female" for p in wall["pictures"] if p["faces"])
    assert wall["women"]["count"] == women and 0 <= wall["women"]["low"] <= wall["women"]["high"] <= 1
    assert sum(p["faces"] == 0 for p in wall["pictures"]) == wall["none"]
    key = wall["pictures"][0]["src"].removeprefix("picture/").removesuffix(".jpg")
    assert TILES[key].jpeg[:2] == b"\xff\xd8"
    own.move(code, secret, "decide")
    refused(409, here.draw_wish, code, secret)
    for women, token in zip((30, 60, 90), tokens):
        race = {**WISH["race"], "White": 30}
        own.answer(code, token, "wish", {"women": women, "race": race, "reason": "everybody-alike"})
    refused(403, here.draw_wish, code, tokens[0])
    here.draw_wish(code, secret)
    seen = until(lambda: here.seen(code, ""), lambda s: s["wall"]["state"] == "done")
    assert seen["target"]["gender"]["Female"] == 0.6 and seen["class"]["women"]["median"] == 60
    assert seen["target"]["race"]["White"] == pytest.approx(3 / 8, abs=0.005)
    assert seen["before"]["pictures"] == wall["pictures"], "from the same noise"
    assert seen["cost"]["kept"]["n"] == lesson.WALL and seen["class"]["reasons"]["everybody-alike"]["n"] == 3
    own.move(code, secret, "methods")
    pairs = until(
        lambda: here.seen(code, ""),
        lambda s: all(side["pictures"] for pair in s["pairs"] for side in pair["sides"]),
    )["pairs"]
    assert not any("names" in pair for pair in pairs) and "chosen" not in here.seen(code, tokens[0])
    votes, turned = ("left", "left", "alike"), []
    for k, token in enumerate(tokens):
        seen = here.seen(code, token)
        turned.append(seen["pairs"][0]["sides"] == pairs[0]["sides"][::-1])
        assert turned[-1] or seen["pairs"][0]["sides"] == pairs[0]["sides"]
        vote = lesson.other_side(votes[k]) if turned[-1] else votes[k]
        own.answer(code, token, "pair-0", vote)
        assert here.seen(code, token)["answers"]["pair-0"] == vote, "as this phone has the sides"
    own.change(code, secret, {"revealed": True})
    first = here.seen(code, "")["chosen"][0]
    assert (first["left"], first["right"], first["alike"]) == (2, 0, 1) and first["high"] == 1
    again = shown_in(Rooms(Store(own.store.path)), studio)
    own.move(code, secret, "look")
    redrawn = until(lambda: again.seen(code, ""), lambda s: s["wall"]["state"] == "done")["wall"]
    assert redrawn["women"] == wall["women"], "a wall follows from its request, also after a restart"


def test_sides_of_blind_pairs_are_turned_for_half_of_the_phones():
    """By chance, for each phone and pair by itself, and apart from the order that the pair has anyway."""
    turned = np.array([[lesson.mirrored(7, number, k) for k in range(2)] for number in range(400)])
    assert (np.abs(turned.mean(0) - 0.5) < 0.1).all()
    assert 0.4 < (turned[:, 0] == turned[:, 1]).mean() < 0.6
    coins = [np.random.default_rng([seed, 0]).random() < 0.5 for seed in range(100)]
    assert 30 < sum(lesson.mirrored(seed, 0, 0) == coin for seed, coin in enumerate(coins)) < 70
    assert [lesson.other_side(v) for v in ("left", "right", "alike")] == ["right", "left", "alike"]


def test_what_a_model_cant_draw_is_said_and_the_lesson_goes_on(own):
    here = shown_in(own)
    code, secret = own.create()
    own.move(code, secret, "look")
    seen = until(lambda: here.seen(code, ""), lambda s: s["wall"]["state"] != "drawing")
    assert seen["wall"] == {"state": "failed", "done": 0, "n": 16, "error": "no model here"}
    own.move(code, secret, "guess")
    assert here.seen(code, "")["answered"] == 0


def test_at_ones_own_pace_every_question_is_open(own):
    here = shown_in(own)
    code, secret = own.create()
    token, _ = own.join(code, "")
    own.move(code, secret, "guess")
    refused(409, own.answer, code, token, "wish", WISH)
    assert here.seen(code, token, "decide", "nurse")["step"] == "guess"
    own.change(code, secret, {"free": True})
    own.answer(code, token, "wish", WISH)
    mine = here.seen(code, token, "decide", "nurse")
    assert mine["step"] == "decide" and mine["profession"] == "nurse"


def test_the_classs_wish_is_its_median_made_whole():
    def wish(women, **race):
        return {"women": women, "race": {r: race.get(r, 0) for r in RACES}, "reason": "dont-know"}

    told = {"wish": [wish(0, White=5), wish(20, White=1, Black=1), wish(100, White=2, Black=2, Asian=4)]}
    found = shown.target(told)
    assert found["gender"] == {"Female": 0.2, "Male": 0.8}
    assert found["race"]["White"] == pytest.approx(0.5 / 0.75) and found["race"]["Asian"] == 0
    apart = {"wish": [wish(50, **{race: 1}) for race in RACES]}
    assert shown.target(apart)["race"] == pytest.approx(dict.fromkeys(RACES, 1 / 6))


def answered(own: Rooms, code: str, token: str, questions) -> None:
    estimate = {"women": 30, "white": 30}
    kinds = {"consent": True, "seen": True, "attention": 30, "implicit": ASSOCIATION}
    for question in questions:
        own.answer(code, token, question, kinds.get(question, estimate))


def test_an_experiment_asks_in_turn_and_keeps_arms_apart(own, studio):
    here = shown_in(own, studio)
    code, secret = own.create("experiment", {"arms": 2, "expected": 4, "implicit": True})
    tokens = [own.join(code, "")[0] for _ in range(4)]
    refused(409, own.answer, code, tokens[0], "consent", True)
    own.move(code, secret, "experiment")
    refused(409, own.change, code, secret, {"arms": 5})
    refused(409, own.answer, code, tokens[0], "before-nurse", {"women": 40, "white": 40})
    refused(409, own.move, code, secret, "lobby")
    refused(422, own.answer, code, tokens[0], "consent", False)
    refused(422, own.answer, code, tokens[0], "arm", "inclusive")
    for token in tokens:
        answered(own, code, token, experiment.ORDER[:5])
        refused(409, own.answer, code, token, "after-nurse", {"women": 40, "white": 40})
        assert "images" not in here.seen(code, token), "before the estimates nothing tells of an arm"
        answered(own, code, token, ["before-nurse", "attention"])
        refused(409, own.answer, code, token, "attention", 31)

    def drawn(seen):
        return all(one["pictures"] for one in seen["images"]["shown"].values())

    seen = [until(lambda t=t: here.seen(code, t), drawn) for t in tokens]
    kinds = {json.dumps(s["images"]["shown"]) for s in seen}
    assert len(kinds) == 2, "two arms see different pictures"
    assert not any({"arm", "results"} & set(s) or "arm" in s["answers"] for s in seen), "nobody knows an arm"
    assert "images" not in here.seen(code, "") and "results" not in here.seen(code, "")
    for token in tokens:
        answered(own, code, token, experiment.ORDER[6:])
        refused(409, own.answer, code, token, "before-nurse", {"women": 50, "white": 50})
    people = here.people(own.room(code))
    assert (
        sorted(p["arm"] for p in people[:2])
        == sorted(p["arm"] for p in people[2:])
        == sorted(experiment.ARMS[2])
    )
    assert here.seen(code, secret)["results"]["effects"] == [], "nobody looks before the end"
    own.move(code, secret, "end")
    assert here.seen(code, tokens[0])["arm"] in experiment.ARMS[2]
    results = here.seen(code, "")["results"]
    assert [a["n"] for a in results["arms"]] == [2, 2] and results["effects"][0]["covariance"]["points"] == 0
    assert [e["outcome"] for e in results["effects"]] == ["women", "white", "implicit"]
    # 100 ms in deviations of both blocks' 32 latencies: 600 and 700, 700 and 800, eight of each.
    d = 100 / np.std([600] * 8 + [700] * 16 + [800] * 8, ddof=1)
    assert results["arms"][0]["implicit"]["median"] == round(d, 2) and results["arms"][0]["white"][0]
    table = here.table(code, secret).splitlines()
    assert len(table) == 5 and table[0].split(",") == list(experiment.COLUMNS)
    refused(403, here.table, code, tokens[0])
    own.leave(code, tokens[0])
    assert len(here.table(code, secret).splitlines()) == 4


def test_simulated_students_show_the_effect_that_was_put_in_and_are_called_simulated(own):
    here = shown_in(own)
    code, secret = own.create("experiment", {"arms": 5, "expected": 60, "deviation": 5})
    own.simulate(code, secret)
    refused(409, own.simulate, code, secret)
    other, other_secret = own.create("experiment")
    token, _ = own.join(other, "")
    own.leave(other, token)
    refused(409, own.simulate, other, other_secret)
    seen = here.seen(code, "")
    assert seen["simulated"] and seen["finished"] == 60
    first = seen["results"]["effects"][0]
    assert first["covariance"]["high"] < 0, "inclusive images bring estimates nearer to one half"
    none = next(e for e in seen["results"]["effects"] if e["second"] == "labelled")
    assert abs(none["covariance"]["points"]) < 6, "labels were given no effect"
    (white,) = [e for e in seen["results"]["effects"][:8] if e["outcome"] == "white"][:1]
    assert white["covariance"]["high"] < 0, "and of White people nearer to one sixth"
    assert {line.split(",")[3] for line in here.table(code, secret).splitlines()[1:]} == {"1"}
    assert all(line.count(",") >= 1 for line in experiment.codebook().splitlines())


def test_the_pages_are_light_in_both_languages_and_run_only_our_scripts(client):
    for name in class_pages.SCRIPTS:
        for language in ("en-GB,en", "es-MX"):
            answer = client.get(f"/{name}", headers={"Accept-Language": language})
            assert answer.status_code == 200 and len(answer.content) < 80_000
            assert f'lang="{language[:2]}"' in answer.text
            assert "script-src 'nonce-" in answer.headers["Content-Security-Policy"]
    only_translated = {key for key in class_pages.WORDS["es"] if key.startswith("error_")}
    assert class_pages.WORDS["en"].keys() == class_pages.WORDS["es"].keys() - only_translated
    for key, text in class_pages.WORDS["en"].items():
        fields = sorted(re.findall(r"\{\w+\}", text))
        assert fields == sorted(re.findall(r"\{\w+\}", class_pages.WORDS["es"][key])), key
    assert client.get("/nothing").status_code == 404


def test_a_qr_code_is_of_a_class_alone(client):
    code = client.post("/api/rooms").json()["code"]
    place = f"/api/rooms/{code}/code.svg"
    good = client.get(place, params={"link": f"http://192.168.0.7:7860/class/#{code}"})
    assert good.headers["content-type"].startswith("image/svg") and b"<svg" in good.content
    for bad in ("http://elsewhere.example/", "javascript:alert(1)", "x" * 5000):
        assert client.get(place, params={"link": bad}).status_code == 422


def test_a_phone_that_joins_twice_has_one_seat(client, own):
    code = client.post("/api/rooms").json()["code"]
    token, threads, seats = "a" * 24, [], []
    for _ in range(8):
        threads.append(threading.Thread(target=lambda: seats.append(own.join(code, token)[1].number)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert seats == [0] * 8
    statuses = [
        client.post(f"/api/rooms/{code}/students", headers=with_(f"{k:024}")).status_code
        for k in range(class_routes.JOINS + 1)
    ]
    assert statuses[-1] == 429 and client.post(f"/api/rooms/{code}/students", headers=with_(token)).is_success


def test_an_answer_on_its_way_when_somebody_leaves_is_not_kept(own):
    code, secret = own.create()
    token, seat = own.join(code, "")
    own.move(code, secret, "decide")
    own.leave(code, token)
    assert not own.store.answer(code, seat.number, "wish", WISH, 0.0)
    own.delete(code, secret)
    assert not own.store.answer(code, seat.number, "wish", WISH, 0.0)


def test_what_nobody_sets_by_hand_is_refused(client):
    for facts in ({"wish": {"gender": {"x": 1}}}, {"simulated": True}, {"profession": "king"}, {"n": 5}):
        assert client.post("/api/rooms", json={"facts": facts}).status_code == 422
    made = client.post("/api/rooms").json()
    facts = f"/api/rooms/{made['code']}/facts"
    assert client.put(facts, json={"wish": None}, headers=with_(made["teacher"])).status_code == 422


def test_votes_end_once_the_names_are_shown_and_a_wish_keeps_its_profession(own):
    here = shown_in(own)
    code, secret = own.create(asked={"free": True})
    token, _ = own.join(code, "")
    own.move(code, secret, "methods")
    own.answer(code, token, "pair-0", "left")
    refused(409, own.change, code, secret, {"profession": "nurse"})
    assert "chosen" not in here.seen(code, token, "end"), "names aren't told before the teacher shows them"
    own.change(code, secret, {"revealed": True})
    refused(409, own.answer, code, token, "pair-1", "left")
    assert "chosen" in here.seen(code, token, "end")


def test_a_wall_that_failed_is_tried_again_and_many_are_drawn_by_a_few_threads(own, monkeypatch):
    monkeypatch.setattr("fairdemo.lesson.walls.RETRY", 0.2)
    tried = []

    def fails():
        tried.append(threading.current_thread().name)
        raise ValueError("not yet")

    here = Classroom(own, Walls(fails), address)
    code, secret = own.create(asked={"free": True})
    token, _ = own.join(code, "")
    own.move(code, secret, "guess")
    until(lambda: here.seen(code, token, "look", "nurse"), lambda s: len(tried) > 8)
    assert len(here.walls.threads) <= 4


def test_a_page_opened_on_the_laptop_says_where_phones_go(monkeypatch):
    assert reach.told("demo.example:8080", "https") == {"address": "", "alone": False}
    monkeypatch.setattr(reach, "own_addresses", lambda: ["127.0.0.1"])
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        assert reach.told(f"localhost:{port}", "http") == {"address": "", "alone": True}
        server.listen()
        found = reach.told(f"localhost:{port}", "http")
    assert found == {"address": f"http://127.0.0.1:{port}", "alone": False}
    monkeypatch.undo()
    assert not any(ipaddress.ip_address(one).is_loopback for one in reach.own_addresses())


def test_the_command_says_where_teacher_and_phones_go(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    wrong = subprocess.run([sys.executable, "-m", "fairdemo", "class", "--port", "80"], capture_output=True)
    assert wrong.returncode == 2 and b"1024 to 65535" in wrong.stderr
    own = {**os.environ, "FAIRDEMO_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "fairdemo", "class", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=own) as server:
        try:
            told = ""
            while "Phones" not in told:
                line = server.stdout.readline()  # pyright: ignore[reportOptionalMemberAccess]
                assert line, told
                told += line
        finally:
            server.kill()
    assert f"http://127.0.0.1:{port}/class/teacher" in told
