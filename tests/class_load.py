"""What many visitors and a class ask of two cores: python -m tests.class_load visitors|clients|class|kills

`visitors`: fifty at once, four pairs each, by the same path as the page's. `clients`: the same through the
API of a server. `class`: ten lessons with forty students on a server of its own. `kills`: the server is
killed in mid-lesson, ten times. Nothing else running; numbers are in docs/performance.md."""

import argparse
import random
import secrets
import subprocess
import sys
import tempfile
import threading
import time

import httpx
import numpy as np
import psutil
from gradio_client import Client

from fairdemo.models.sampling import Sample
from fairdemo.request import SERVER, Request
from fairdemo.stats.attributes import RACES
from fairdemo.stats.prompts import PROFESSIONS, photo_of
from fairdemo.studio.live import MODEL, Live
from fairdemo.studio.studio import Studio
from tests import browser

VISITORS, PAIRS, STUDENTS = 50, 4, 40


def visitors() -> None:
    """Fifty visitors who press Draw in the same moment, each with a prompt and noise of their own."""
    live = Live("embedded")
    studio = Studio(live)
    MODEL.do(live.load)
    live.warm("a photo of a doctor")
    names = list(PROFESSIONS)
    asked = [
        Request.checked(SERVER, prompt=photo_of(names[k % len(names)]), n=PAIRS, seed=k, target="uniform")
        for k in range(VISITORS)
    ]
    plans = [studio.plan(one) for one in asked]
    first, done, start = {}, {}, time.perf_counter()

    def visit(k: int) -> None:
        for grown in studio.run(plans[k]):
            if grown.pairs:
                first.setdefault(k, time.perf_counter() - start)
        done[k] = time.perf_counter() - start

    threads = [threading.Thread(target=visit, args=(k,)) for k in range(VISITORS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = time.perf_counter() - start
    drawn = sum(len(plan.samples(range(PAIRS))) for plan in plans)
    print(f"{VISITORS} visitors, {PAIRS} pairs each ({drawn} images): {len(done)} served in {spent:.1f} s")
    print(f"first pair of the last visitor after {max(first.values()):.1f} s; {drawn / spent:.1f} images/s")
    whole(live, plans, drawn / spent)


def whole(live: Live, plans: list, pace: float) -> None:
    """The same shots by one caller in full batches, and labels of both."""
    shots = [(p.setting, s) for p in plans for s in p.samples(range(PAIRS))]
    size, again, start = 2 * live.profile.batch, {}, time.perf_counter()
    for k in range(0, len(shots), size):
        part = shots[k : k + size]
        again |= dict(zip(part, live.shots(part)))
    alone = len(shots) / (time.perf_counter() - start)
    print(f"one caller, whole batches: {alone:.1f} images/s; shared against it {pace / alone:.2f}")
    same = []
    for plan in plans:
        drawn = dict(zip(plan.samples(range(PAIRS)), live.fresh(plan.setting, plan.samples(range(PAIRS)))))
        for pair in plan.comparison.pairs:
            sides = (
                (Sample(pair.slot), pair.baseline),
                (Sample(pair.slot, plan.slots[pair.slot]), pair.debiased),
            )
            for sample, one in sides:
                same.append([f.cell for f in one.faces] == [f.cell for f in drawn[sample].faces])
    print(f"labels as drawn alone: {np.mean(same):.1%} of {len(same)} images ({live.generator.dtype})")


def clients() -> None:
    """Fifty programs that ask a server's API for four pairs each in the same moment."""
    with tempfile.TemporaryDirectory() as home, browser.served(FAIRDEMO_HOME=home) as base:
        time.sleep(15)  # the model is loaded
        asked = [Client(base, verbose=False) for _ in range(VISITORS)]
        names, failed, done = list(PROFESSIONS), [], []
        start = time.perf_counter()

        def ask(k: int) -> None:
            try:
                told = asked[k].predict(photo_of(names[k % len(names)]), PAIRS, k, api_name="/compare")
                assert len(told["pairs"]) == PAIRS
                done.append(time.perf_counter() - start)
            except Exception as error:  # whatever a client is told
                failed.append(str(error))

        threads = [threading.Thread(target=ask, args=(k,)) for k in range(VISITORS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(f"{VISITORS} clients, {PAIRS} pairs each: {len(failed)} refused; all done in {max(done):.1f} s")


class Phone(threading.Thread):
    """A student's phone: it joins, asks every 1.2 s what the class does, loads the pictures of a wall, and
    answers what it is told to."""

    def __init__(self, base: str, code: str):
        super().__init__(daemon=True)
        self.web = httpx.Client(base_url=base, timeout=20)
        self.place, self.token = f"/class/api/rooms/{code}", secrets.token_urlsafe(18)
        self.headers = {"Authorization": f"Bearer {self.token}"}
        self.number, self.joined, self.lost = -1, 0.0, 0
        self.wall, self.walled = "", {}  # by first picture: when all of a wall was there
        self.done = threading.Event()

    def join_class(self) -> int:
        """Its seat."""
        return self.web.post(f"{self.place}/students", headers=self.headers).json()["number"]

    def run(self) -> None:
        time.sleep(random.random())
        self.number, self.joined = self.join_class(), time.monotonic()
        while not self.done.wait(1.2 * random.uniform(0.85, 1.15)):
            try:
                seen = self.web.get(self.place, headers=self.headers).json()
                wall = seen.get("wall", {})
                if wall.get("state") == "done" and wall["pictures"][0]["src"] not in self.walled:
                    for picture in wall["pictures"]:
                        self.web.get("/" + picture["src"]).raise_for_status()
                    self.walled[wall["pictures"][0]["src"]] = time.monotonic()
            except (httpx.HTTPError, ValueError):
                self.lost += 1

    def answer(self, question: str, value: object) -> float:
        """Seconds until an answer is kept."""
        start = time.perf_counter()
        told = self.web.put(f"{self.place}/answers/{question}", json=value, headers=self.headers)
        told.raise_for_status()
        return time.perf_counter() - start


class Teacher:
    """Who opens a room and leads it."""

    def __init__(self, base: str):
        self.web = httpx.Client(base_url=base, timeout=20)
        made = self.web.post("/class/api/rooms", json={}).json()
        self.code, self.headers = made["code"], {"Authorization": f"Bearer {made['teacher']}"}
        self.place = f"/class/api/rooms/{self.code}"

    def step(self, name: str) -> None:
        self.web.put(f"{self.place}/step", json={"step": name}, headers=self.headers).raise_for_status()

    def seen(self) -> dict:
        return self.web.get(self.place, headers=self.headers).json()

    def wait_for_wall(self) -> float:
        """When the room's wall is done, looked at every 50 ms."""
        while self.seen()["wall"]["state"] != "done":
            time.sleep(0.05)
        return time.monotonic()


WISH = {"race": dict.fromkeys(RACES, 10), "reason": "as-asked"}


def lesson(base: str, wish: int) -> tuple[float, list[float], list[float]]:
    """A lesson with forty students: seconds until all have joined, seconds of votes while a wall is drawn,
    and seconds from a wall's end until it is whole on each phone."""
    teacher = Teacher(base)
    start = time.monotonic()
    phones = [Phone(base, teacher.code) for _ in range(STUDENTS)]
    for phone in phones:
        phone.start()
    while any(phone.number < 0 for phone in phones):
        time.sleep(0.05)
    joined = max(phone.joined for phone in phones) - start
    teacher.step("guess")
    votes: list[float] = []

    def vote(phone: Phone, question: str, value: object) -> None:
        time.sleep(3 * random.random())
        votes.append(phone.answer(question, value))

    def all_vote(question: str, value: object) -> None:
        threads = [threading.Thread(target=vote, args=(phone, question, value)) for phone in phones]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    all_vote("guess-doctor", {"women": 4, "white": 8})  # while four walls are drawn
    teacher.step("look")
    ready = teacher.wait_for_wall()
    while any(not phone.walled for phone in phones):
        time.sleep(0.05)
    late = [max(0.0, next(iter(phone.walled.values())) - ready) for phone in phones]
    teacher.step("decide")
    all_vote("wish", {"women": wish, **WISH})
    teacher.web.post(f"{teacher.place}/wish", headers=teacher.headers).raise_for_status()
    all_vote("wish", {"women": wish, **WISH})  # while the class's wish is drawn
    ready = teacher.wait_for_wall()
    first = teacher.seen()["wall"]["pictures"][0]["src"]
    while any(first not in phone.walled for phone in phones):
        time.sleep(0.05)
    late += [max(0.0, phone.walled[first] - ready) for phone in phones]
    for phone in phones:
        phone.done.set()
    assert len({phone.number for phone in phones}) == STUDENTS
    teacher.web.delete(teacher.place, headers=teacher.headers).raise_for_status()
    return joined, votes, late


def lessons(times: int = 10) -> None:
    """Lessons one after the other on one server, with its memory after each."""
    with tempfile.TemporaryDirectory() as home, browser.served(FAIRDEMO_HOME=home) as base:
        time.sleep(15)  # the model is loaded
        (server,) = [p for p in psutil.Process().children() if "app.py" in " ".join(p.cmdline())]
        held = []
        for k in range(times):
            joined, votes, late = lesson(base, 30 + 4 * k)
            held.append(server.memory_info().rss / 2**20)
            print(
                f"lesson {k + 1}: {STUDENTS} joined in {joined:.1f} s; votes p95"
                f" {1000 * np.quantile(votes, 0.95):.0f} ms of {len(votes)}; walls on the last phone after"
                f" {max(late):.1f} s; {held[-1]:.0f} MB",
                flush=True,
            )


def kills(times: int = 10) -> None:
    """The server is killed in mid-lesson, again and again: what was confirmed is there, and everybody is in
    their seat."""
    port, home = browser.free_port(), tempfile.mkdtemp()
    base = f"http://127.0.0.1:{port}"

    def start() -> subprocess.Popen:
        own = browser.environment(port, FAIRDEMO_HOME=home)
        quiet = subprocess.DEVNULL
        server = subprocess.Popen(
            [sys.executable, "app.py"], cwd=browser.ROOT, env=own, stdout=quiet, stderr=quiet
        )
        browser.wait_for(f"{base}/class/api/lesson", server)
        return server

    server = start()
    teacher = Teacher(base)
    phones = [Phone(base, teacher.code) for _ in range(STUDENTS)]
    for phone in phones:
        phone.start()
    while any(phone.number < 0 for phone in phones):
        time.sleep(0.05)
    teacher.step("guess")
    for k in range(times):
        confirmed: dict[int, dict] = {}
        stop = threading.Event()

        def answering(phone: Phone, k: int = k, stop=stop, confirmed=confirmed) -> None:
            j = 0
            while not stop.is_set():
                value = {"women": (k + j) % 17, "white": j % 17}
                j += 1
                try:
                    phone.answer("guess-nurse", value)
                    confirmed[phone.number] = value
                except httpx.HTTPError:
                    return

        threads = [threading.Thread(target=answering, args=(phone,)) for phone in phones[:8]]
        for thread in threads:
            thread.start()
        time.sleep(random.uniform(1, 3))
        server.kill()
        server.wait()
        stop.set()
        for thread in threads:
            thread.join()
        server = start()
        again = time.monotonic()
        seats = [phone.join_class() for phone in phones]
        back = time.monotonic() - again
        assert seats == [phone.number for phone in phones], "somebody sits elsewhere"
        for phone in phones[:8]:
            kept = phone.web.get(phone.place, headers=phone.headers).json()["answers"]["guess-nurse"]
            last = confirmed[phone.number]
            # The last confirmed one, or the next, which was on its way.
            assert kept["white"] in (last["white"], (last["white"] + 1) % 17), (kept, last)
        print(f"kill {k + 1}: {len(seats)} back in their seats after {back:.1f} s, nothing lost", flush=True)
    server.kill()
    server.wait()


if __name__ == "__main__":
    runs = {"visitors": visitors, "clients": clients, "class": lessons, "kills": kills}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=[*runs])
    # The main thread draws by itself, which would give torch a second set of helpers.
    run = threading.Thread(target=runs[parser.parse_args().what])
    run.start()
    run.join()
