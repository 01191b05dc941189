"""A hundred visitors of a server, as Locust users with sessions of the page: they draw, drag a slider, look
at a wall's pictures, keep it, leave in the midst, call the API, and vote in a class.

python -m tests.soak.visitors ADDRESS MINUTES USERS FILE: Locust patches the sockets, so it has a process of
its own; what came of it is in the file, as JSON."""

import gevent.monkey

gevent.monkey.patch_all()

import json  # noqa: E402  after the patch
import random  # noqa: E402
import re  # noqa: E402
import secrets  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from contextlib import closing  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from locust import HttpUser, between, task  # noqa: E402
from locust.env import Environment  # noqa: E402

PROMPTS = ("doctor", "nurse", "CEO", "chef", "pilot", "judge", "farmer", "singer")
PAIRS, STEPS = 4, 4
DECLARED = re.compile(
    r"in ten minutes|isn't asked now|has ended|takes no more"
)  # limits, and a class's own no
COMPARED: list[dict[str, Any]] = []  # what the API answered, to be compared with the same request alone
ROOM: dict[str, str] = {}


class Declared(Exception):
    """A limit that is declared."""


class Visitor(HttpUser):
    """One browser's tab, which begins again when it leaves."""

    wait_time = between(1, 8)

    def on_start(self) -> None:
        """Opens the page."""
        self.client.get("/", name="page: /")
        self.config = self.client.get("/config", name="page: /config").json()
        self.session = secrets.token_hex(6)
        self.parts = {c["props"].get("elem_id"): c for c in self.config["components"]}
        self.values = {c["id"]: c["props"].get("value") for c in self.config["components"]}
        self.events = {d["api_name"]: d for d in self.config["dependencies"]}
        self.wall = self.file = ""
        self.beat = gevent.spawn(self.heartbeat, self.session)
        self.run_event("arrive", "page: arrive")

    def heartbeat(self, session: str) -> None:
        """Says that the tab is open, as the page does."""
        url = f"{self.host}/gradio_api/heartbeat/{session}"
        with closing(self.client.get(url, name="page: heartbeat", stream=True)) as told:
            for _ in told.iter_lines():
                pass

    def put(self, elem: str, value: Any) -> None:
        """Fills a field."""
        self.values[self.parts[elem]["id"]] = value

    def messages(self, session: str) -> Iterator[dict[str, Any]]:
        """What the queue tells."""
        url = f"/gradio_api/queue/data?session_hash={session}"
        with closing(self.client.get(url, name="queue: data", stream=True, timeout=300)) as told:
            for line in told.iter_lines():
                if line.startswith(b"data:"):
                    message = json.loads(line[5:])
                    yield message
                    if message["msg"] in ("process_completed", "close_stream"):
                        return

    def run_event(self, name: str, what: str, leaves: bool = False) -> str:
        """One of the page's events, as pressing something makes it; all that it sends, as text."""
        event = self.events[name]
        states = {c["id"] for c in self.config["components"] if c["type"] == "state"}
        data = [None if k in states else self.values.get(k) for k in event["inputs"]]
        body = {"data": data, "fn_index": event["id"], "session_hash": self.session, "trigger_id": None}
        start, failed, found = time.perf_counter(), None, []
        self.client.post("/gradio_api/queue/join", json=body, name="page: join")
        try:
            for message in self.messages(self.session):
                found.append(json.dumps(message.get("output") or message.get("log")))
                if leaves and message["msg"] == "process_generating":
                    return ""
                if message["msg"] == "process_completed" and not message["success"]:
                    raise RuntimeError(str(message["output"].get("error"))[:300])
        except Exception as error:
            failed = error
        self.tell(what, time.perf_counter() - start, failed)
        return "".join(found)

    def tell(self, what: str, seconds: float, failed: Exception | None = None) -> None:
        """Counts something that took so long, as an error unless it is a limit that is declared."""
        if failed is None or not DECLARED.search(str(failed)):
            told: dict[str, Any] = {"request_type": "EVENT", "name": what, "response_length": 0}
            fire = self.environment.events.request.fire
            fire(**told, response_time=1000 * seconds, exception=failed, context={})

    @task(6)
    def draw(self) -> None:
        """Draws a wall and looks at its pictures."""
        self.put("prompt", f"a photo of a {random.choice(PROMPTS)}")
        self.put("number", PAIRS)
        self.put("seed", random.randrange(10_000))
        for component in self.config["components"]:
            if component["type"] == "slider" and component["props"].get("maximum") == 50:
                self.values[component["id"]] = STEPS
        self.client.post(
            "/gradio_api/run/wait",
            json={"data": [], "fn_index": self.events["wait"]["id"], "session_hash": self.session},
            name="page: wait",
        )
        text = self.run_event("draw", "draw: a wall")
        self.run_event("finished", "page: finished")
        self.wall = (re.findall(r'data-wall=\\"([\w-]+)', text) or [""])[-1]
        self.file = (re.findall(r"wall/[\w-]+\.zip", text) or [""])[-1]
        pictures = set(re.findall(r"picture/(\w+)\.jpg", text))
        if len(pictures) < PAIRS:  # both sides of a pair may be one image
            self.tell("draw: pictures", 0, RuntimeError(f"{len(pictures)} pictures: {text[-300:]}"))
        for picture in pictures:
            self.client.get(f"/picture/{picture}.jpg", name="page: picture")

    @task(6)
    def drag(self) -> None:
        """Moves a slider on the wall that stands."""
        if not self.wall:
            return
        mixer = self.parts["mixer"]
        women = random.randrange(0, 101, 5)
        shares = mixer["props"]["value"]["shares"] | {"gender": {"Female": women, "Male": 100 - women}}
        value = {**mixer["props"]["value"], "shares": shares}
        for _ in range(4):
            body = {
                "data": {"wish": value, "wall": self.wall},
                "component_id": mixer["id"],
                "fn_name": "slide",
                "session_hash": self.session,
            }
            self.client.post("/gradio_api/component_server", json=body, name="page: slide")
            gevent.sleep(0.15)

    @task(2)
    def keep(self) -> None:
        """Fetches the wall as a file."""
        if not self.file:  # else the page itself would be counted as one
            return
        self.client.get(f"/{self.file}", name="page: wall's file")

    @task(1)
    def leave(self) -> None:
        """Closes the tab while a large wall is drawn, and comes back."""
        self.put("number", 24)
        self.put("seed", random.randrange(10_000))
        self.run_event("draw", "draw: left", leaves=True)
        self.beat.kill()
        self.on_start()

    @task(2)
    def call(self) -> None:
        """A program asks for pairs."""
        asked = [f"a photo of a {random.choice(PROMPTS)}", 2, random.randrange(10_000), "uniform", "embedded"]
        body = {"data": [*asked, {"steps": STEPS, "steering": False}]}
        start = time.perf_counter()
        told = self.client.post("/gradio_api/call/compare", json=body, name="queue: call").json()
        place = f"/gradio_api/call/compare/{told['event_id']}"
        answer = self.client.get(place, name="draw: by the API", timeout=300)
        lines = [line for line in answer.text.splitlines() if line]
        kind, data = lines[-2], lines[-1]
        if "complete" not in kind:
            return self.tell("draw: asked by the API", time.perf_counter() - start, RuntimeError(data))
        COMPARED.append({"asked": asked, "pairs": json.loads(data.removeprefix("data:"))[0]["pairs"]})

    @task(3)
    def vote(self) -> None:
        """Sits in a class and votes."""
        token = secrets.token_urlsafe(18)
        headers = {"Authorization": f"Bearer {token}"}
        place = f"/class/api/rooms/{ROOM['code']}"
        with self.client.post(
            f"{place}/students", headers=headers, name="class: join", catch_response=True
        ) as told:
            if told.status_code in (409, 429):
                told.success()  # a room has a limit
                return
        guess = {"women": random.randrange(17), "white": random.randrange(17)}
        self.client.put(f"{place}/answers/guess-CEO", json=guess, headers=headers, name="class: vote")
        self.client.get(place, headers=headers, name="class: look")
        self.client.delete(f"{place}/students/me", headers=headers, name="class: leave")


def visited(address: str, minutes: float, users: int) -> dict[str, Any]:
    """What `users` visitors meet in so many minutes."""
    environment = Environment(user_classes=[Visitor], host=address)
    crashed: list[str] = []
    environment.events.user_error.add_listener(
        lambda exception, **rest: crashed.append(f"{type(exception).__name__}: {exception}"[:200])
    )
    runner = environment.create_local_runner()
    runner.start(users, spawn_rate=max(2.0, users / 20))
    gevent.sleep(60 * minutes)
    runner.quit()
    stats = environment.stats
    return {
        "minutes": minutes,
        "users": users,
        "errors": {
            f"{e.method} {e.name}: {str(e.error)[:200]}": e.occurrences for e in stats.errors.values()
        },
        "crashed": crashed,
        "requests": {
            s.name: {
                "n": s.num_requests,
                "p50": s.median_response_time,
                "p95": s.get_response_time_percentile(0.95),
            }
            for s in stats.entries.values()
        },
        "compared": COMPARED,
    }


def main() -> None:
    """Visits, and writes what came of it."""
    import requests

    address, minutes, users, out = sys.argv[1:]
    made = requests.post(f"{address}/class/api/rooms", timeout=20).json()
    ROOM.update(made)
    headers = {"Authorization": f"Bearer {made['teacher']}"}
    step = f"{address}/class/api/rooms/{made['code']}/step"
    requests.put(step, json={"step": "guess"}, headers=headers, timeout=20).raise_for_status()
    Path(out).write_text(json.dumps(visited(address, float(minutes), int(users))))


if __name__ == "__main__":
    main()
