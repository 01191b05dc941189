"""The class's own routes, beside Gradio's: light pages, and plain JSON that is described at
/class/openapi.json. A secret or token comes in the header `Authorization: Bearer …`, never in an address that
a server sees."""

import sqlite3
import threading
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from fastapi import Body, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel
from starlette.routing import Mount

from fairdemo import places
from fairdemo.lesson import experiment
from fairdemo.lesson.classroom import Classroom
from fairdemo.lesson.rooms import KINDS, MOST, SET_HERE, Refused, Rooms
from fairdemo.lesson.store import Store
from fairdemo.lesson.walls import Walls
from fairdemo.ui import class_pages, reach
from fairdemo.ui.door import framing
from fairdemo.ui.language import language_named
from fairdemo.ui.limits import LIMITS, WINDOW, asker, until
from fairdemo.ui.log import failed
from fairdemo.ui.offered import default, studio
from fairdemo.ui.operator import operator
from fairdemo.ui.pictures import address as picture

LARGEST = 4096  # bytes of a body
# Of an address lately: a whole school may share one.
JOINS, ALL_JOINS = 2 * MOST, 15 * MOST  # joins of a room, of all rooms


def count(what: str, request: Request, most: int) -> None:
    """Notes that an address did something; Refused once it did so `most` times lately."""
    if wait := LIMITS.take(what, asker(request), most):
        raise Refused(429, f"too many from this network; try again in {until(wait)}")


BEGAN = time.time() - time.monotonic()


def steady() -> float:
    """Now, by a clock that nobody sets while the program runs: a room isn't of yesterday because somebody
    corrected the date."""
    return BEGAN + time.monotonic()


@lru_cache(1)
def rooms() -> Rooms:
    """The rooms of this program; those of yesterday are forgotten, whether anybody comes or not."""
    found = Rooms(Store(places.own_folder() / "classes.db"), steady)

    def forgets() -> None:
        while True:
            try:
                found.forget()
            except sqlite3.Error as error:  # the disk may have room again later
                failed(error)
            time.sleep(WINDOW)

    threading.Thread(target=forgets, daemon=True, name="forgets").start()
    return found


@lru_cache(1)
def classroom() -> Classroom:
    """The rooms with their walls, drawn by the default model."""
    return Classroom(rooms(), Walls(lambda: studio(default())), picture)


class Opened(BaseModel, extra="forbid"):
    """What a room is opened for."""

    kind: str = "lesson"
    facts: dict[str, Any] = {}


class Step(BaseModel, extra="forbid"):
    """Where a lesson is to go."""

    step: str


def by_hand(facts: Mapping[str, Any]) -> None:
    """Refused if facts name what nobody sets by hand."""
    if named := SET_HERE & set(facts):
        raise Refused(422, f"{', '.join(sorted(named))} can't be set by hand")


def bearer(authorization: str) -> str:
    """What stands behind "Bearer"."""
    kind, _, secret = authorization.partition(" ")
    return secret.strip() if kind.lower() == "bearer" else ""


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


@APP.exception_handler(sqlite3.Error)
@APP.exception_handler(OSError)
def not_kept(_: Request, error: Exception) -> JSONResponse:
    """The rooms' file can't be read or written: a full disk, a folder that is read only."""
    failed(error)
    return JSONResponse(
        {"error": f"the class can't be kept now ({type(error).__name__}: {error}); try again"}, 503
    )


@APP.exception_handler(RequestValidationError)
def misread(_: Request, error: RequestValidationError) -> JSONResponse:
    """A body or a path that isn't what the route takes."""
    first = error.errors()[0]
    where = ".".join(str(part)[:40] for part in first["loc"])
    return JSONResponse({"error": f"{where}: {first['msg']}"[:300]}, 422)


@APP.post("/api/rooms", status_code=201)
def create(request: Request, asked: Opened | None = None) -> dict[str, str]:
    """Opens a room: its code, and the teacher's secret."""
    count("rooms", request, operator().limit_rooms)
    asked = asked or Opened()
    by_hand(asked.facts)
    code, teacher = rooms().create(asked.kind, asked.facts)
    return {"code": code, "teacher": teacher}


@APP.post("/api/rooms/{code}/students", status_code=201)
def join(code: str, request: Request, authorization: str = Header("")) -> dict[str, Any]:
    """A seat: the one that a token has already, or a new one."""
    token = bearer(authorization)
    if not rooms().known(code, token):
        count(f"join {code[:20]}", request, JOINS)
        count("join", request, ALL_JOINS)
    token, _ = rooms().join(code, token)
    return {"token": token, **classroom().seen(code, token)}


@APP.get("/api/rooms/{code}")
def seen(code: str, step: str = "", profession: str = "", authorization: str = Header("")) -> dict[str, Any]:
    """The room as whoever asks may see it; `step` and `profession` are of those who go at their own pace."""
    return classroom().seen(code, bearer(authorization), step, profession)


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


@APP.put("/api/rooms/{code}/facts")
def set_facts(code: str, asked: dict[str, Any] = Body(), authorization: str = Header("")) -> dict[str, str]:
    """The teacher sets what may be set: a lesson's profession and pace, an experiment's arms."""
    by_hand(asked)
    rooms().change(code, bearer(authorization), asked)
    return {"set": code}


@APP.post("/api/rooms/{code}/wish")
def draw_wish(code: str, authorization: str = Header("")) -> dict[str, str]:
    """The teacher lets the class's wish be drawn."""
    classroom().draw_wish(code, bearer(authorization))
    return {"drawn": code}


@APP.post("/api/rooms/{code}/simulated")
def simulate(code: str, authorization: str = Header("")) -> dict[str, str]:
    """The teacher fills an experiment's empty room with made-up students."""
    rooms().simulate(code, bearer(authorization))
    return {"simulated": code}


@APP.get("/api/rooms/{code}/table.csv")
def table(code: str, authorization: str = Header("")) -> Response:
    """An experiment's answers, in oTree's wide form, for the teacher."""
    return Response(classroom().table(code, bearer(authorization)), media_type="text/csv")


@APP.get("/api/codebook.csv")
def codebook() -> Response:
    """What the table's columns mean."""
    return Response(experiment.codebook(), media_type="text/csv")


@APP.get("/api/rooms/{code}/code.svg")
def drawn_code(code: str, link: str) -> Response:
    """A room's address as a QR code."""
    rooms().room(code)
    try:
        return Response(class_pages.qr(link), media_type="image/svg+xml")
    except ValueError as error:
        raise Refused(422, str(error)) from None


@APP.get("/api/reach")
def reached(request: Request) -> dict[str, Any]:
    """The address that phones can open, where the asking page's own isn't one."""
    return reach.told(request.headers.get("host", "")[:100], request.url.scheme)


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
    """What rooms there are, with their steps and questions."""
    return {
        name: {"steps": kind.steps, "questions": {q: step for q, (step, _) in kind.questions.items()}}
        for name, kind in KINDS.items()
    }


@APP.get("/{page}", response_class=HTMLResponse, include_in_schema=False)
@APP.get("/", response_class=HTMLResponse, include_in_schema=False)
def shown(request: Request, page: str = "student") -> Response:
    """A page of ours: the phone's, the teacher's, the projector's, the plan, the form."""
    wanted = request.query_params.get("lang") or request.headers.get("accept-language", "")
    found = class_pages.page(page, language_named(wanted))
    if found is None:
        return JSONResponse({"error": "there is no such page"}, 404)
    html, policy = found
    policy += framing()
    return HTMLResponse(html, headers={"Content-Security-Policy": policy})


ROUTES = [Mount("/class", app=APP)]
