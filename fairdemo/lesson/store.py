"""What is kept of classes: rooms, students and answers in one SQLite file. No name, no address and no user
agent is ever written; secrets are kept as digests alone."""

import hashlib
import json
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = 2  # of the tables; older ones are dropped: what they hold would be deleted within a day
SCHEMA = """
create table if not exists rooms (
  code text primary key,
  kind text not null,           -- "lesson" or "experiment"
  teacher text not null,        -- digest of the teacher's secret
  seed integer not null,        -- of whatever is dealt at random
  step integer not null,        -- of its steps
  facts text not null,          -- JSON: what the teacher has set
  dealt integer not null,       -- arms of an experiment that were dealt so far
  begun real not null,          -- seconds since 1970
  ended real,
  version integer not null      -- counts every change that phones show
);
create table if not exists students (
  room text not null references rooms on delete cascade,
  number integer not null,      -- in the order of joining, from 0; never given twice
  token text not null,          -- digest of the student's token
  here integer not null,        -- 0: has left, or was removed
  primary key (room, number),
  unique (room, token)
);
create table if not exists answers (
  room text not null,
  number integer not null,
  question text not null,
  value text not null,          -- JSON
  at real not null,
  primary key (room, number, question),
  foreign key (room, number) references students on delete cascade
);
"""


@dataclass(frozen=True)
class Room:
    """A class's room."""

    code: str
    kind: str
    teacher: str
    seed: int
    step: int
    facts: dict[str, Any]
    dealt: int
    begun: float
    ended: float | None
    version: int


@dataclass(frozen=True)
class Student:
    """A student's seat in a room."""

    room: str
    number: int
    here: bool


def digest(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Store:
    """One file. Every method is a transaction that is on the disk when it returns."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.local = path, threading.local()
        with self.open("immediate") as db:
            if db.execute("pragma user_version").fetchone()[0] != VERSION:
                for table in ("answers", "students", "rooms"):
                    db.execute(f"drop table if exists {table}")
                db.execute(f"pragma user_version = {VERSION}")
            for statement in filter(str.strip, SCHEMA.split(";\n")):
                db.execute(statement)

    @contextmanager
    def open(self, kind: str = "deferred") -> Iterator[sqlite3.Connection]:
        """This thread's connection, in a transaction: "deferred" to read, "immediate" to write."""
        db = getattr(self.local, "db", None)
        if db is None:
            db = self.local.db = sqlite3.connect(self.path, timeout=10, isolation_level=None)
            db.execute("pragma journal_mode = wal")
            db.execute("pragma synchronous = full")  # nothing answered is lost in a power cut
            db.execute("pragma foreign_keys = on")
            db.execute("pragma secure_delete = on")
        db.execute(f"begin {kind}")
        try:
            yield db
        except BaseException:
            if db.in_transaction:  # a full disk has ended it already
                db.execute("rollback")
            raise
        db.execute("commit")

    def add_room(
        self, code: str, teacher: str, seed: int, now: float, kind: str, facts: dict[str, Any]
    ) -> bool:
        """A new room; False where the code is taken."""
        with self.open("immediate") as db:
            if db.execute("select 1 from rooms where code = ?", (code,)).fetchone():
                return False
            db.execute(
                "insert into rooms values (?, ?, ?, ?, 0, ?, 0, ?, null, 0)",
                (code, kind, digest(teacher), seed, json.dumps(facts), now),
            )
            return True

    def room(self, code: str) -> Room | None:
        """A room by its code."""
        with self.open() as db:
            found = db.execute("select * from rooms where code = ?", (code,)).fetchone()
        if found is None:
            return None
        code, kind, teacher, seed, step, facts, *rest = found
        return Room(code, kind, teacher, seed, step, json.loads(facts), *rest)

    def rooms(self, since: float) -> int:
        """How many rooms that were begun since then are open."""
        with self.open() as db:
            asked = "select count(*) from rooms where ended is null and begun > ?"
            return db.execute(asked, (since,)).fetchone()[0]

    def move(self, code: str, step: int) -> None:
        """Another step of the lesson."""
        with self.open("immediate") as db:
            db.execute("update rooms set step = ?, version = version + 1 where code = ?", (step, code))

    def put_facts(self, code: str, facts: dict[str, Any]) -> None:
        """Other facts of a room."""
        with self.open("immediate") as db:
            told = json.dumps(facts), code
            db.execute("update rooms set facts = ?, version = version + 1 where code = ?", told)

    def end(self, code: str, now: float) -> None:
        """Ends a room; what was answered stays."""
        with self.open("immediate") as db:
            db.execute(
                "update rooms set ended = ?, version = version + 1 where code = ? and ended is null",
                (now, code),
            )

    def delete_room(self, code: str) -> None:
        """Deletes a room with all that is in it."""
        with self.open("immediate") as db:
            db.execute("delete from rooms where code = ?", (code,))

    def delete_older(self, before: float) -> int:
        """Deletes rooms that began earlier; how many."""
        with self.open("immediate") as db:
            return db.execute("delete from rooms where begun < ?", (before,)).rowcount

    def add_student(self, code: str, token: str, most: int) -> Student | None:
        """A seat: the one that a token has, or a new one; None where the room is full."""
        with self.open("immediate") as db:
            own = db.execute(
                "select number, here from students where room = ? and token = ?", (code, digest(token))
            ).fetchone()
            if own:
                return Student(code, own[0], bool(own[1]))
            here, last = db.execute(
                "select coalesce(sum(here), 0), coalesce(max(number), -1) from students where room = ?",
                (code,),
            ).fetchone()
            if here >= most:
                return None
            db.execute("insert into students values (?, ?, ?, 1)", (code, last + 1, digest(token)))
            db.execute("update rooms set version = version + 1 where code = ?", (code,))
        return Student(code, last + 1, True)

    def student(self, code: str, token: str) -> Student | None:
        """Who holds a token in a room, gone or not."""
        with self.open() as db:
            found = db.execute(
                "select room, number, here from students where room = ? and token = ?", (code, digest(token))
            ).fetchone()
        return Student(found[0], found[1], bool(found[2])) if found else None

    def students(self, code: str) -> list[int]:
        """The numbers of who is in a room."""
        with self.open() as db:
            rows = db.execute(
                "select number from students where room = ? and here = 1 order by number", (code,)
            ).fetchall()
        return [number for (number,) in rows]

    def leave(self, code: str, number: int) -> None:
        """Takes a student out, with all answers."""
        with self.open("immediate") as db:
            db.execute("delete from answers where room = ? and number = ?", (code, number))
            db.execute("update students set here = 0 where room = ? and number = ?", (code, number))
            db.execute("update rooms set version = version + 1 where code = ?", (code,))

    def answer(
        self,
        code: str,
        number: int,
        question: str,
        value: Any,
        now: float,
        check: Callable[[set[str]], None] = lambda have: None,
        deal: Callable[[int], Mapping[str, Any]] | None = None,
    ) -> bool:
        """Keeps an answer; a later one to the same question replaces it. False where nobody sits there.
        `check` gets the questions that were answered before, and raises what speaks against this one;
        `deal` says what the next place of an experiment is, for whoever has none."""
        with self.open("immediate") as db:
            key = code, number
            here = db.execute("select here from students where room = ? and number = ?", key).fetchone()
            if not here or not here[0]:
                return False
            rows = db.execute("select question from answers where room = ? and number = ?", key)
            have = {name for (name,) in rows}
            check(have)
            told = {question: value}
            if deal is not None and "arm" not in have:
                (place,) = db.execute("select dealt from rooms where code = ?", (code,)).fetchone()
                told |= deal(place)
                db.execute("update rooms set dealt = dealt + 1 where code = ?", (code,))
            for name, one in told.items():
                db.execute(
                    "insert into answers values (?, ?, ?, ?, ?) on conflict do update set"
                    " value = excluded.value, at = excluded.at",
                    (*key, name, json.dumps(one), now),
                )
            db.execute("update rooms set version = version + 1 where code = ?", (code,))
        return True

    def fill(
        self,
        code: str,
        people: Mapping[int, Mapping[str, Any]],
        facts: Mapping[str, Any],
        step: int,
        now: float,
    ) -> bool:
        """Seats for made-up people, with all that they answer, and the facts that say so; False where
        somebody sits or sat there."""
        with self.open("immediate") as db:
            if db.execute("select 1 from students where room = ?", (code,)).fetchone():
                return False
            for number, answers in people.items():
                # Nobody holds the token of a made-up student.
                seat = code, number, digest(secrets.token_urlsafe(18))
                db.execute("insert into students values (?, ?, ?, 1)", seat)
                told = [(code, number, q, json.dumps(v), now) for q, v in answers.items()]
                db.executemany("insert into answers values (?, ?, ?, ?, ?)", told)
            own = json.dumps(facts), step, code
            db.execute("update rooms set facts = ?, step = ?, version = version + 1 where code = ?", own)
        return True

    def answers(self, code: str, number: int | None = None) -> list[tuple[int, str, Any]]:
        """All answers of a room or of one student: number, question, value."""
        with self.open() as db:
            rows = db.execute(
                "select number, question, value from answers where room = ? and (? is null or number = ?)"
                " order by number, question",
                (code, number, number),
            ).fetchall()
        return [(n, question, json.loads(value)) for n, question, value in rows]
