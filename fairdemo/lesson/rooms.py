"""Rooms: who may do what in a class. A teacher has a secret, a student a token; neither is kept but as a
digest."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fairdemo.lesson import lesson
from fairdemo.lesson.store import Room, Store, Student, digest

LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"  # none that looks like another
LENGTH = 5  # of a code
MOST = 60  # students of a room
ROOMS = 50  # open at once
DAY = 86_400.0  # seconds after which a room is deleted
COLOURS = ("red", "orange", "yellow", "green", "teal", "blue", "violet", "pink")
ANIMALS = ("otter", "heron", "lynx", "whale", "tortoise", "badger", "swift", "gecko")


@dataclass
class Refused(Exception):
    """Why something isn't done, and HTTP's number for it."""

    status: int
    why: str

    def __str__(self) -> str:
        return self.why


def named(number: int) -> str:
    """What a student is called: a colour and an animal, all of a room's different."""
    return f"{COLOURS[number % 8]} {ANIMALS[(number + number // 8) % 8]}" + (
        f" {number // 64 + 1}" if number > 63 else ""
    )


class Rooms:
    """All rooms of one program."""

    def __init__(self, store: Store, now: Callable[[], float] = time.time):
        self.store, self.now = store, now

    def create(self) -> tuple[str, str]:
        """A new room: its code and the teacher's secret. Refused where too many are open."""
        self.store.delete_older(self.now() - DAY)
        if self.store.rooms() >= ROOMS:
            raise Refused(429, f"{ROOMS} rooms are open, which is all that there may be; try again later")
        while True:
            code, secret = "".join(secrets.choice(LETTERS) for _ in range(LENGTH)), secrets.token_urlsafe(18)
            if self.store.add_room(code, secret, secrets.randbelow(2**31), self.now()):
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
        """A seat: the one that a token has already, else a new one with a new token."""
        room = self.open(code)
        known = self.store.student(room.code, token) if token else None
        if known:
            if not known.here:
                raise Refused(403, "you have left this room")
            return token, known
        fresh = secrets.token_urlsafe(18)
        seat = self.store.add_student(room.code, fresh, MOST)
        if seat is None:
            raise Refused(429, f"the room is full: {MOST} are here")
        return fresh, seat

    def seated(self, room: Room, token: str) -> Student:
        """Whose token it is."""
        found = self.store.student(room.code, token)
        if found is None or not found.here:
            raise Refused(403, "you aren't in this room; join it first")
        return found

    def answer(self, code: str, token: str, question: str, value: Any) -> None:
        """Keeps a student's answer; Refused if it can't be one, or isn't asked now."""
        room = self.open(code)
        student = self.seated(room, token)
        try:
            kept = lesson.checked(question, value)
        except ValueError as error:
            raise Refused(422, str(error)) from None
        if lesson.STEPS[room.step] != lesson.QUESTIONS[question][0]:
            raise Refused(409, f"{question} isn't asked now")
        self.store.answer(room.code, student.number, question, kept, self.now())

    def leave(self, code: str, token: str) -> None:
        """A student goes, with all answers."""
        room = self.room(code)
        self.store.leave(room.code, self.seated(room, token).number)

    def move(self, code: str, secret: str, step: str) -> None:
        """The teacher's next step."""
        room = self.taught(code, secret)
        self.open(code)
        if step not in lesson.STEPS:
            raise Refused(422, f"step {step[:40]!r} isn't in the lesson; steps are {', '.join(lesson.STEPS)}")
        self.store.move(room.code, lesson.STEPS.index(step))

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

    def seen(self, code: str, bearer: str) -> dict[str, Any]:
        """What a phone, the projector or the teacher sees: everybody the step and how many are here, a
        student the
        own name and answers, the teacher who is here and what the class answers, without who."""
        room = self.room(code)
        found: dict[str, Any] = {
            "code": room.code,
            "step": lesson.STEPS[room.step],
            "ended": room.ended is not None,
            "version": room.version,
        }
        if bearer and secrets.compare_digest(room.teacher, digest(bearer)):
            here = self.store.students(room.code)
            by_question: dict[str, list[Any]] = {}
            for _, question, value in self.store.answers(room.code):
                by_question.setdefault(question, []).append(value)
            names = [{"number": n, "name": named(n)} for n in here]
            return found | {"here": len(here), "students": names, "answers": by_question}
        found["here"] = len(self.store.students(room.code))
        student = self.store.student(room.code, bearer) if bearer else None
        if student and student.here:
            own = {question: value for _, question, value in self.store.answers(room.code, student.number)}
            found |= {"you": named(student.number), "answers": own}
        return found
