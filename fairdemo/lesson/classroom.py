"""A room as whoever asks may see it: everybody the step and its walls, a student the own name and answers,
the teacher who is here and what the class answers, without who."""

import secrets
from collections.abc import Mapping
from typing import Any

from fairdemo.lesson import experiment, lesson, shown
from fairdemo.lesson.rooms import KINDS, Refused, Rooms
from fairdemo.lesson.shown import Address
from fairdemo.lesson.store import Room, digest
from fairdemo.lesson.walls import Walls
from fairdemo.stats.targets import PRESETS

LOOKED = 8  # pictures of a profession in an experiment


class Classroom:
    """All rooms with their walls."""

    def __init__(self, rooms: Rooms, walls: Walls, address: Address):
        self.rooms, self.walls, self.address = rooms, walls, address
        self.cached: dict[
            tuple[str, str, str], tuple[Any, dict[str, Any]]
        ] = {}  # what it was made of, and what is shown

    def seen(self, code: str, bearer: str, step: str = "", profession: str = "") -> dict[str, Any]:
        """The room for whoever asks. `step` and `profession` are of those who go at their own pace."""
        room = self.rooms.room(code)
        teacher = bool(bearer) and secrets.compare_digest(room.teacher, digest(bearer))
        free = self.rooms.free_steps(room)
        step = step if step in free else KINDS[room.kind].steps[room.step]
        if not (free and profession in lesson.GUESSED):
            profession = room.facts.get("profession", "")
        found = self._public(room, step, profession)
        if teacher:
            return found | self._taught(room, found)
        student = self.rooms.store.student(room.code, bearer) if bearer else None
        if student and student.here:
            own = {q: v for _, q, v in self.rooms.store.answers(room.code, student.number)}
            found = found | {"number": student.number, "answers": own}
            if room.kind == "lesson":
                found |= self._on_phone(room, student.number, found)
            else:
                debrief = step == "end" or room.ended is not None
                found["answers"] = {q: v for q, v in own.items() if q in experiment.QUESTIONS}
                found |= self._participant(room, own, debrief)
        return found

    @staticmethod
    def _on_phone(room: Room, number: int, found: Mapping[str, Any]) -> dict[str, Any]:
        """Blind pairs with their sides as this phone has them, and its votes for them."""
        pairs, answers = list(found.get("pairs", ())), dict(found["answers"])
        for k in range(lesson.PAIRS):
            if not lesson.mirrored(room.seed, number, k):
                continue
            if k < len(pairs):
                pairs[k] = {name: values[::-1] for name, values in pairs[k].items()}  # sides, and their names
            if (name := f"pair-{k}") in answers:
                answers[name] = lesson.other_side(answers[name])
        return {"answers": answers} | ({"pairs": pairs} if "pairs" in found else {})

    def _public(self, room: Room, step: str, profession: str) -> dict[str, Any]:
        """What everybody sees; made again only when something in it changed."""
        key, place = (room.version, room.ended, self.walls.stamp), (room.code, step, profession)
        known = self.cached.get(place)
        if known and known[0] == key and not self.walls.broken:
            return known[1]
        found: dict[str, Any] = {
            "code": room.code,
            "kind": room.kind,
            "step": step,
            "steps": KINDS[room.kind].steps,
            "ended": room.ended is not None,
            "version": room.version,
            "here": len(self.rooms.store.students(room.code)),
        }
        if room.kind == "lesson":
            found |= {"free": room.facts["free"], "profession": profession, "guessed": lesson.GUESSED}
            found |= self._lesson(room, step, profession)
        else:
            found |= {key: room.facts.get(key, False) for key in ("simulated", "arms", "implicit")}
            people = self.people(room)
            found["finished"] = sum(experiment.finished(p) for p in people)
            found["consented"] = sum("arm" in p for p in people)
            if step == "end":
                found["results"] = self.results(room)
        self.cached = {**self.cached, place: (key, found)} if len(self.cached) < 200 else {}
        return found

    def _lesson(self, room: Room, step: str, profession: str) -> dict[str, Any]:
        """What a step of the lesson shows."""
        facts, answers = room.facts, self.answers(room)
        base = shown.request(room.seed, profession, {})
        if step == "guess":
            for name in lesson.GUESSED:  # drawn while the class guesses
                self.walls.of(shown.request(room.seed, name, {}))
            return {"answered": sum(q.startswith("guess") for q in answers for _ in answers[q])}
        if step == "look":
            return {"wall": shown.wall(self.walls.of(base), "baseline", self.address)}
        if step == "compare":
            return {
                "wall": shown.wall(self.walls.of(base), "baseline", self.address),
                "guesses": shown.guesses(answers, profession),
                "workforce": shown.workforce(profession),
            }
        if step == "decide":
            return {"answered": len(answers.get("wish", ()))} | self._wish(room, profession, answers)
        if step == "methods":
            pairs = self._pairs(room, profession)
            if facts["revealed"]:
                return {"pairs": pairs, "chosen": shown.chosen(answers, pairs)}
            hidden = [{"sides": pair["sides"]} for pair in pairs]
            return {
                "pairs": hidden,
                "answered": sum(len(answers.get(f"pair-{k}", ())) for k in range(lesson.PAIRS)),
            }
        if step == "end":
            found = {"summary": shown.summary(self.walls, answers, room.seed, self.address)}
            if any(q.startswith("pair-") for q in answers) and (
                facts["revealed"] or not self.rooms.free_steps(room)
            ):
                found["chosen"] = shown.chosen(answers, self._pairs(room, profession))
            return found | self._wish(room, profession, answers)
        return {}

    def _wish(self, room: Room, profession: str, answers: shown.Answers) -> dict[str, Any]:
        """The class's wish and its wall, once the teacher lets it be drawn."""
        wish = room.facts["wish"]
        if wish is None:
            return {}
        own = self.walls.of(shown.request(room.seed, profession, wish))
        found = {
            "target": wish,
            "class": shown.wishes(answers),
            "before": shown.wall(own, "baseline", self.address),
            "wall": shown.wall(own, "debiased", self.address),
        }
        if own.comparison is None:
            return found
        self._pairs(room, profession)  # drawn while the class talks about its wish
        return found | {"cost": shown.cost(own.comparison)}

    def _pairs(self, room: Room, profession: str) -> list[Mapping[str, Any]]:
        return shown.compared(self.walls, room.seed, profession, room.facts["wish"], self.address)

    def _taught(self, room: Room, public: Mapping[str, Any]) -> dict[str, Any]:
        """What the teacher sees besides what everybody does."""
        here = self.rooms.store.students(room.code)
        found: dict[str, Any] = {"students": here, "facts": room.facts, "teacher": True}
        if room.kind == "lesson":
            answers = self.answers(room)
            found["counts"] = {q: len(told) for q, told in answers.items()}
            return found | {"class": shown.wishes(answers)}
        for name in lesson.GUESSED:  # ready before the first student comes to them
            self.walls.of(self._compared(room, name))
        found["said"] = experiment.said_before(experiment.Facts(**room.facts))
        return found | {"results": public.get("results") or self.results(room, told=False)}

    def draw_wish(self, code: str, secret: str) -> None:
        """The class's medians become the wish that is drawn."""
        room = self.rooms.taught(code, secret)
        if room.kind != "lesson":
            raise Refused(409, "an experiment has no wish")
        try:
            wish = shown.target(self.answers(room))
            shown.request(room.seed, room.facts["profession"], wish)  # refused before it is kept
        except ValueError as error:
            raise Refused(409, str(error)) from None
        self.rooms.change(code, secret, {"wish": wish})

    def answers(self, room: Room) -> dict[str, list[Any]]:
        """A room's answers by question, without who."""
        found: dict[str, list[Any]] = {}
        for _, question, value in self.rooms.store.answers(room.code):
            found.setdefault(question, []).append(value)
        return found

    def people(self, room: Room) -> list[dict[str, Any]]:
        """An experiment's answers, by seat."""
        found: dict[int, dict[str, Any]] = {}
        for number, question, value in self.rooms.store.answers(room.code):
            found.setdefault(number, {"number": number})[question] = value
        return list(found.values())

    def results(self, room: Room, told: bool = True) -> dict[str, Any]:
        """People by arm and, once an experiment is over (`told`), their scores and the effects: whoever looks
        at them before may be tempted to stop when they please."""
        people = self.people(room)
        done = [p for p in people if experiment.finished(p) and experiment.attentive(p)]
        arms = experiment.ARMS[room.facts["arms"]]
        by_arm = []
        for arm in arms:
            own = [p for p in done if p["arm"] == arm]
            row: dict[str, Any] = {"arm": arm, "n": len(own)}
            row["dealt"] = sum(p.get("arm") == arm for p in people)
            for outcome in experiment.OUTCOMES if told else ():
                scores = ([experiment.score(p, when, outcome) for p in own] for when in ("before", "after"))
                row[outcome] = [shown.spread(values) for values in scores]
            if told and room.facts.get("implicit"):
                scored = [d for p in own if (d := experiment.score_implicit(p)) is not None]
                row["implicit"] = shown.spread(scored, 2)
            by_arm.append(row)
        left_out = sum(experiment.finished(p) for p in people) - len(done)
        return {
            "arms": by_arm,
            "effects": experiment.effects(done, arms, room.seed) if told else [],
            "inattentive": left_out,
        }

    def table(self, code: str, secret: str) -> str:
        """An experiment's CSV."""
        room = self.rooms.taught(code, secret)
        if room.kind != "experiment":
            raise Refused(409, "a lesson has no table; its numbers are on the summary")
        people = {p["number"]: p for p in self.people(room)}
        rows = [
            experiment.row(
                room.code,
                digest(f"{room.teacher} {number}")[:8],
                people.get(number, {}),
                room.facts["simulated"],
            )
            for number in self.rooms.store.students(room.code)
        ]
        return experiment.table(rows)

    def _participant(self, room: Room, own: Mapping[str, Any], debrief: bool) -> dict[str, Any]:
        """What somebody in an experiment is shown: their own arm's images, and after the end all."""
        arm = own.get("arm", "")
        if debrief:
            return {"arm": arm, "images": {arm: self._images(room, arm) for arm in experiment.ARMS[2]}}
        ready = "attention" in own  # before the estimates nothing tells of an arm
        if not ready or arm == experiment.NONE:
            return {"ready": ready}
        kind = experiment.INCLUSIVE if arm.startswith(experiment.INCLUSIVE) else experiment.OTHER
        images = {"shown": self._images(room, kind)}
        return {"ready": True, "images": images, "label": arm.endswith(experiment.LABELLED)}

    def _compared(self, room: Room, profession: str):
        return shown.request(room.seed, profession, PRESETS["uniform"].target, LOOKED)

    def _images(self, room: Room, kind: str) -> dict[str, Any]:
        """Pictures of every profession, or why there are none: both kinds are from the same noise."""
        found: dict[str, Any] = {}
        side = "debiased" if kind == experiment.INCLUSIVE else "baseline"
        for name in lesson.GUESSED:
            wall = self.walls.of(self._compared(room, name))
            pairs = wall.comparison.pairs if wall.comparison else []
            found[name] = {"pictures": [self.address(p.side(side)) for p in pairs], "error": wall.error}
        return found
