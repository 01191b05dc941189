"""The class's own routes, beside Gradio's: plain JSON, described at /class/openapi.json. A secret or token
comes in the header `Authorization: Bearer …`, never in an address."""

import hashlib
import hmac
import secrets
import time
from collections import deque
from functools import lru_cache
from typing import Any

from fastapi import Body, FastAPI, Header, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.routing import Mount

from fairdemo import places
from fairdemo.lesson import lesson
from fairdemo.lesson.rooms import MOST, Refused, Rooms
from fairdemo.lesson.store import Store

LARGEST = 4096  # bytes of a body
WINDOW = 600.0  # seconds
JOINS, CREATES = 2 * MOST, 10  # of an address in a window: a whole school may share one


class Limits:
    """How often an address did something lately. Addresses are kept as keyed digests, in memory alone, and
    the key goes with the program."""

    def __init__(self) -> None:
        self.key, self.times = secrets.token_bytes(32), {}

    def count(self, what: str, address: str, most: int) -> None:
        """Refused once `most` in a window are reached."""
        name = hmac.digest(self.key, f"{what} {address}".encode(), hashlib.sha256)
        now, times = time.monotonic(), self.times.setdefault(name, deque())
        while times and times[0] < now - WINDOW:
            times.popleft()
        if len(times) >= most:
            wait = int(WINDOW - (now - times[0])) + 1
            raise Refused(429, f"too many from this network; try again in {wait} seconds")
        times.append(now)
        if len(self.times) > 10_000:
            self.times = {k: v for k, v in self.times.items() if v and v[-1] > now - WINDOW}


LIMITS = Limits()


@lru_cache(1)
def rooms() -> Rooms:
    """The rooms of this program."""
    return Rooms(Store(places.home() / "classes.db"))


class Step(BaseModel, extra="forbid"):
    """Where a lesson is to go."""

    step: str


def bearer(authorization: str) -> str:
    """What stands behind "Bearer"."""
    kind, _, secret = authorization.partition(" ")
    return secret.strip() if kind.lower() == "bearer" else ""


def address(request: Request) -> str:
    """Who asks, for limits alone."""
    return request.client.host if request.client else ""


APP = FastAPI(title="fairdemo: the class", version="1", docs_url=None, redoc_url=None)


@APP.middleware("http")
async def bounded(request: Request, go_on: Any) -> Any:
    """Refuses what is too large before it is read, and says nothing of who asked."""
    size = request.headers.get("content-length", "0")
    if not size.isdigit() or int(size) > LARGEST or "transfer-encoding" in request.headers:
        return JSONResponse({"error": f"a body may have {LARGEST:,} bytes at most"}, 413)
    answer = await go_on(request)
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


@APP.exception_handler(Refused)
def refused(_: Request, error: Refused) -> JSONResponse:
    """What isn't done, in a line."""
    return JSONResponse({"error": error.why}, error.status)


@APP.post("/api/rooms", status_code=201)
def create(request: Request) -> dict[str, str]:
    """Opens a room: its code, and the teacher's secret."""
    LIMITS.count("create", address(request), CREATES)
    code, teacher = rooms().create()
    return {"code": code, "teacher": teacher}


@APP.post("/api/rooms/{code}/students", status_code=201)
def join(code: str, request: Request, authorization: str = Header("")) -> dict[str, Any]:
    """A seat: the one that a token has already, or a new one."""
    token = bearer(authorization)
    if not token:
        LIMITS.count("join", address(request), JOINS)
    token, _ = rooms().join(code, token)
    return {"token": token, **rooms().seen(code, token)}


@APP.get("/api/rooms/{code}")
def seen(code: str, authorization: str = Header("")) -> dict[str, Any]:
    """The room as whoever asks may see it."""
    return rooms().seen(code, bearer(authorization))


@APP.put("/api/rooms/{code}/answers/{question}")
def answer(code: str, question: str, value: Any = Body(), authorization: str = Header("")) -> dict[str, str]:
    """Keeps a student's answer to a question that is open."""
    rooms().answer(code, bearer(authorization), question, value)
    return {"kept": question}


@APP.put("/api/rooms/{code}/step")
def move(code: str, asked: Step, authorization: str = Header("")) -> dict[str, str]:
    """The teacher goes on."""
    rooms().move(code, bearer(authorization), asked.step)
    return {"step": asked.step}


@APP.delete("/api/rooms/{code}/students/me")
def leave(code: str, authorization: str = Header("")) -> dict[str, str]:
    """A student goes, and the answers with them."""
    rooms().leave(code, bearer(authorization))
    return {"left": code}


@APP.delete("/api/rooms/{code}/students/{number}")
def remove(code: str, number: int, authorization: str = Header("")) -> dict[str, int]:
    """The teacher takes a student out."""
    rooms().remove(code, bearer(authorization), number)
    return {"removed": number}


@APP.put("/api/rooms/{code}/ended")
def end(code: str, authorization: str = Header("")) -> dict[str, str]:
    """The lesson is over; what was answered stays for a day."""
    rooms().end(code, bearer(authorization))
    return {"ended": code}


@APP.delete("/api/rooms/{code}")
def delete(code: str, authorization: str = Header("")) -> dict[str, str]:
    """Deletes a room with all that is in it."""
    rooms().delete(code, bearer(authorization))
    return {"deleted": code}


@APP.get("/api/lesson")
def told() -> dict[str, Any]:
    """The lesson's steps and questions."""
    return {"steps": lesson.STEPS, "questions": {q: step for q, (step, _) in lesson.QUESTIONS.items()}}


ROUTES = [Mount("/class", app=APP)]
