"""Rooms: who may do what in a class. A teacher has a secret, a student a token; neither is kept but as a
digest."""

import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from fairdemo.checked import one_line
from fairdemo.lesson import experiment, lesson
from fairdemo.lesson.store import Room, Store, Student, digest
from fairdemo.stats.experiment import assigned

LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # none that looks like another
LENGTH = 5  # of a code
MOST = 60  # students of a room
ROOMS = 50  # open at once
IDLE = 4 * 3600.0  # seconds after which a room no longer counts among those that are open
TOKEN = re.compile(r"[A-Za-z0-9_-]{20,64}")  # that a phone may make
EMPTY = "simulated students need an experiment's room in which nobody sits or sat"
SET_HERE = {"wish", "simulated"}  # facts that nobody sets by hand
DAY = 86_400.0  # seconds after which a room is deleted


@dataclass(frozen=True)
class Kind:
    """What a room is for."""

    steps: tuple[str, ...]
    questions: Mapping[str, tuple[str, TypeAdapter]]
    facts: type[BaseModel]


KINDS: Mapping[str, Kind] = {
    "lesson": Kind(lesson.STEPS, lesson.QUESTIONS, lesson.Facts),
    "experiment": Kind(experiment.STEPS, experiment.QUESTIONS, experiment.Facts),
}


@dataclass
class Refused(Exception):
    """Why something isn't done, and HTTP's number for it."""

    status: int
    why: str

    def __str__(self) -> str:
        return self.why


class Rooms:
    """All rooms of one program."""

    def __init__(self, store: Store, now: Callable[[], float] = time.time):
        self.store, self.now = store, now

    def create(self, kind: str = "lesson", asked: Mapping[str, Any] | None = None) -> tuple[str, str]:
        """A new room: its code and the teacher's secret. Refused where too many are open, or what is asked
        for it is no good."""
        if kind not in KINDS:
            raise Refused(422, f"kind {kind[:40]!r}; expected {' or '.join(KINDS)}")
        facts = set_facts(kind, {}, asked or {})
        self.forget()
        if self.store.rooms(self.now() - IDLE) >= ROOMS:
            raise Refused(429, f"{ROOMS} rooms are open, which is all that there may be; try again later")
        while True:
            code, secret = "".join(secrets.choice(LETTERS) for _ in range(LENGTH)), secrets.token_urlsafe(18)
            if self.store.add_room(code, secret, secrets.randbelow(10_000), self.now(), kind, facts):
                return code, secret

    def room(self, code: str) -> Room:
        """A room; Refused where there is none."""
        found = self.store.room(code.strip().upper()) if len(code) < 20 else None
        if found is None or found.begun < self.now() - DAY:
            raise Refused(404, "there is no room of this code")
        return found

    def open(self, code: str) -> Room:
        """A room that hasn't ended."""
        found = self.room(code)
        if found.ended is not None:
            raise Refused(410, "this room has ended")
        return found

    def taught(self, code: str, secret: str) -> Room:
        """A room whose teacher's secret this is."""
        found = self.room(code)
        if not secrets.compare_digest(found.teacher, digest(secret)):
            raise Refused(403, "this is for the room's teacher alone")
        return found

    def join(self, code: str, token: str) -> tuple[str, Student]:
        """A seat: the one that a token has already, also after the end; else a new one, of the token that a
        phone made for itself or of one that is made here."""
        room = self.room(code)
        known = self.store.student(room.code, token) if token else None
        if known is None:
            self.open(code)
            token = token if TOKEN.fullmatch(token) else secrets.token_urlsafe(18)
            known = self.store.add_student(room.code, token, MOST)
        if known is None:
            raise Refused(429, f"the room is full: {MOST} are here")
        if not known.here:
            raise Refused(403, "you have left this room")
        return token, known

    def known(self, code: str, token: str) -> bool:
        """Whether a token has a seat in a room."""
        return bool(token) and self.store.student(self.room(code).code, token) is not None

    def seated(self, room: Room, token: str) -> Student:
        """Whose token it is."""
        found = self.store.student(room.code, token)
        if found is None or not found.here:
            raise Refused(403, "you aren't in this room; join it first")
        return found

    def answer(self, code: str, token: str, question: str, value: Any) -> None:
        """Keeps a student's answer; Refused if it can't be one, or isn't asked now."""
        room = self.open(code)
        student, own = self.seated(room, token), KINDS[room.kind]
        try:
            kept = lesson.checked(own.questions, question, value)
        except ValueError as error:
            raise Refused(422, str(error)) from None
        if question == "implicit" and not room.facts.get("implicit"):
            raise Refused(409, "implicit isn't asked in this room")
        if own.questions[question][0] not in (own.steps[room.step], *self.free_steps(room)):
            raise Refused(409, f"{question} isn't asked now")
        if question.startswith("pair-"):
            if room.facts.get("revealed"):
                raise Refused(409, "the names are shown already")
            pair = int(question.removeprefix("pair-"))
            if lesson.mirrored(room.seed, student.number, pair):
                kept = lesson.other_side(kept)  # votes are kept for the sides as the projector has them

        def check(have: set[str]) -> None:
            if room.kind == "experiment":
                try:
                    experiment.in_turn(question, have)
                except ValueError as error:
                    raise Refused(409, str(error)) from None

        def dealt(place: int) -> dict[str, Any]:
            block, arm = assigned(place, experiment.ARMS[room.facts["arms"]], room.seed)
            return {"arm": arm, "block": block}

        deal = dealt if question == "consent" else None
        if not self.store.answer(room.code, student.number, question, kept, self.now(), check, deal):
            raise Refused(403, "you aren't in this room; join it first")

    @staticmethod
    def free_steps(room: Room) -> tuple[str, ...]:
        """The steps of a room that anybody may go to by themselves."""
        steps = KINDS[room.kind].steps
        free = room.facts.get("free") and room.ended is None and steps[room.step] != steps[-1]
        return steps[1:] if free else ()

    def leave(self, code: str, token: str) -> None:
        """A student goes, with all answers."""
        room = self.room(code)
        self.store.leave(room.code, self.seated(room, token).number)

    def move(self, code: str, secret: str, step: str) -> None:
        """The teacher's next step."""
        room = self.taught(code, secret)
        self.open(code)
        steps = KINDS[room.kind].steps
        if step not in steps:
            raise Refused(422, f"step {step[:40]!r} isn't in this room; steps are {', '.join(steps)}")
        if room.kind == "experiment" and steps.index(step) < room.step:
            raise Refused(409, "an experiment doesn't go back")
        self.store.move(room.code, steps.index(step))

    def change(self, code: str, secret: str, asked: Mapping[str, Any]) -> None:
        """What the teacher sets; an experiment's facts stand once it has begun."""
        room = self.taught(code, secret)
        self.open(code)
        if room.kind == "experiment" and room.step:
            raise Refused(409, "an experiment that has begun stays as it is")
        facts = set_facts(room.kind, room.facts, asked)
        wished = any(q == "wish" or q.startswith("pair") for _, q, _ in self.store.answers(room.code))
        if wished and facts.get("profession") != room.facts.get("profession"):
            raise Refused(409, "the class has wished for this profession already; open another room")
        self.store.put_facts(room.code, facts)

    def simulate(self, code: str, secret: str) -> None:
        """Fills an experiment's room with made-up students, and says so in its facts."""
        room = self.taught(code, secret)
        self.open(code)
        if room.kind != "experiment" or room.step:
            raise Refused(409, EMPTY)
        facts = experiment.Facts(**{**room.facts, "simulated": True})
        many = facts.expected // facts.arms * facts.arms
        people = {k: experiment.simulated(k, facts, room.seed) for k in range(many)}
        last = len(experiment.STEPS) - 1
        if not self.store.fill(room.code, people, facts.model_dump(), last, self.now()):
            raise Refused(409, EMPTY)

    def remove(self, code: str, secret: str, number: int) -> None:
        """The teacher takes a student out."""
        room = self.taught(code, secret)
        if number not in self.store.students(room.code):
            raise Refused(404, "there is no such student in this room")
        self.store.leave(room.code, number)

    def end(self, code: str, secret: str) -> None:
        """The lesson is over."""
        self.store.end(self.taught(code, secret).code, self.now())

    def delete(self, code: str, secret: str) -> None:
        """All of a room is deleted."""
        self.store.delete_room(self.taught(code, secret).code)

    def forget(self) -> None:
        """Deletes rooms that began more than a day ago."""
        self.store.delete_older(self.now() - DAY)


def set_facts(kind: str, before: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """A room's facts with what is asked; Refused names what is wrong."""
    model = KINDS[kind].facts
    try:
        return model.model_validate({**before, **asked}).model_dump()
    except ValidationError as error:
        raise Refused(422, one_line(error, model)) from None
