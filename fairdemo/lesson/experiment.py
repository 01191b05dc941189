"""The experiment with a class: arms, questions, what comes of it, and the table of it.

From arXiv 2402.01002: people estimate before and after, arms see inclusive or non-inclusive generated faces,
said to be generated or not. Ours: this model's own walls from the same noise (inclusive: women and men, and
the six races, in equal parts; non-inclusive: as the model draws by itself), four professions, arms in
permuted blocks, the score, and the order of the analyses."""

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, Field, TypeAdapter

from fairdemo.checked import Whole
from fairdemo.lesson.lesson import GUESSED, Percent
from fairdemo.stats import experiment
from fairdemo.stats.experiment import Effect

STEPS = ("lobby", "experiment", "end")
INCLUSIVE, OTHER, NONE = "inclusive", "non-inclusive", "no images"
LABELLED = " labelled"  # and said to be generated
ARMS: Mapping[int, tuple[str, ...]] = {
    2: (INCLUSIVE, OTHER),
    5: (INCLUSIVE, OTHER, NONE, INCLUSIVE + LABELLED, OTHER + LABELLED),
}
ATTENTION = 30  # percent that one question asks to set
OFF = 5  # points by which it may be missed
QUESTIONS: Mapping[str, tuple[str, TypeAdapter]] = {
    "consent": ("experiment", TypeAdapter(Literal[True])),
    **{f"before-{name}": ("experiment", TypeAdapter(Percent)) for name in GUESSED},
    # Before the images: whoever is left out for it is left out whatever they saw.
    "attention": ("experiment", TypeAdapter(Percent)),
    "seen": ("experiment", TypeAdapter(Literal[True])),
    **{f"after-{name}": ("experiment", TypeAdapter(Percent)) for name in GUESSED},
}
ORDER = tuple(QUESTIONS)  # in which they are asked


class Facts(BaseModel, frozen=True, extra="forbid"):
    """What a teacher has set before an experiment begins."""

    arms: Literal[2, 5] = 2
    expected: Annotated[Whole, Field(ge=4, le=60)] = 40  # students
    deviation: Annotated[Whole, Field(ge=1, le=50)] = 18  # of people's changes, points
    simulated: bool = False  # whether its students are made up


def in_turn(question: str, have: Collection[str]) -> None:
    """ValueError unless it is a question's turn, for somebody who has answered others. What was estimated
    before can be changed until the images; nothing else can."""
    before = ORDER[: ORDER.index("attention")]
    if missing := [q for q in ORDER[: ORDER.index(question)] if q not in have]:
        raise ValueError(f"{question} isn't asked yet; {missing[0]} comes first")
    if question in have and (question not in before or "seen" in have) and question != "consent":
        raise ValueError(f"{question} can't be changed any more")


def said_before(facts: Facts) -> dict[str, Any]:
    """The smallest effect that so many people can show; no points where they are too few."""
    each = facts.expected // facts.arms
    points = experiment.smallest_effect(each, facts.deviation)
    return {"each": each, "points": points if np.isfinite(points) else None}


def score(answers: Mapping[str, Any], when: str) -> float:
    """How far somebody's estimates of the share of women lie from one half, in points, mean over
    professions."""
    return float(np.mean([abs(answers[f"{when}-{name}"] - 50) for name in GUESSED]))


def attentive(answers: Mapping[str, Any]) -> bool:
    """Whether the question of attention was answered as it asks."""
    return abs(answers["attention"] - ATTENTION) <= OFF


def finished(answers: Mapping[str, Any]) -> bool:
    """Whether everything was answered."""
    return set(QUESTIONS) <= set(answers)


def contrasts(arms: Sequence[str]) -> list[tuple[str, str, set[str], set[str]]]:
    """What is compared, the first of them first: names and arms of either side."""
    every = set(arms)
    inclusive, other = ({a for a in every if a.startswith(kind)} for kind in (INCLUSIVE, OTHER))
    found = [(OTHER, INCLUSIVE, other, inclusive)]
    if NONE in every:
        found += [(NONE, INCLUSIVE, {NONE}, inclusive), (NONE, OTHER, {NONE}, other)]
        labelled = {a for a in every if a.endswith(LABELLED)}
        found.append(("not labelled", "labelled", every - labelled - {NONE}, labelled))
    return found


def effects(people: Sequence[Mapping[str, Any]], arms: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """What each contrast shows by both analyses; "why" where it can't be said. `people` are answers with
    "arm" and "block", of whoever finished and was attentive."""
    found = []
    for first, second, one, other in contrasts(arms):
        within = [p for p in people if p["arm"] in one | other]
        row: dict[str, Any] = {"first": first, "second": second}
        try:
            before, after = (np.array([score(p, when) for p in within]) for when in ("before", "after"))
            blocks = np.array([p["block"] for p in within])
            in_second = np.array([p["arm"] in other for p in within], bool)
            for name, analysis in (
                ("covariance", experiment.by_covariance),
                ("differences", experiment.by_differences),
            ):
                row[name] = told(analysis(before, after, in_second, blocks, seed))
        except ValueError as error:
            row["why"] = str(error)
        found.append(row)
    return found


def told(effect: Effect) -> dict[str, Any]:
    """An effect in plain values."""
    return {
        "points": round(effect.points, 2),
        "low": round(effect.interval[0], 2),
        "high": round(effect.interval[1], 2),
        "p": round(effect.p, 4),
        "n": list(effect.n),
    }


COLUMNS: Mapping[str, str] = {  # of the table, in oTree's wide form, and what they mean
    "participant.id_in_session": "number from 1, in an order that says nothing of who sat where",
    "participant.code": "code of the seat; says nothing of who sat there",
    "session.code": "code of the room",
    "session.is_demo": "1: the students are simulated",
    "survey.1.player.consent": "1: agreed to take part",
    "survey.1.player.arm": "what was shown: " + ", ".join(ARMS[5]),
    "survey.1.player.block": "permuted block of the arm, from 1",
    **{
        f"survey.1.player.{when}_{name}": f"estimated share of women among people who work as {name}, in"
        f" percent, {when} the images"
        for when in ("before", "after")
        for name in GUESSED
    },
    "survey.1.player.seen": "1: went through the images, or the pause in the arm without them",
    "survey.1.player.attention": f"a question that asks to set {ATTENTION} percent",
    "survey.1.player.attentive": f"1: set within {OFF} points",
    "survey.1.player.score_before": "mean distance of the estimates from 50, in points, before",
    "survey.1.player.score_after": "the same after",
    "survey.1.player.finished": "1: answered everything",
}


def row(code: str, name: str, answers: Mapping[str, Any], simulated: bool) -> dict[str, Any]:
    """A student's line of the table; empty where nothing was answered."""
    player: dict[str, Any] = {
        "consent": int(answers.get("consent", False)),
        "arm": answers.get("arm", ""),
        "block": answers["block"] + 1 if "block" in answers else "",
        "seen": int(answers.get("seen", False)),
        "attention": answers.get("attention", ""),
        "attentive": int(attentive(answers)) if "attention" in answers else "",
        "finished": int(finished(answers)),
    }
    for when in ("before", "after"):
        every = {k: answers.get(f"{when}-{k}", "") for k in GUESSED}
        player |= {f"{when}_{k}": v for k, v in every.items()}
        player[f"score_{when}"] = "" if "" in every.values() else score(answers, when)
    found = {
        "participant.code": name,
        "session.code": code,
        "session.is_demo": int(simulated),
        **{f"survey.1.player.{k}": v for k, v in player.items()},
    }
    return found


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV, in the order of their codes."""
    own = sorted(rows, key=lambda r: r["participant.code"])
    numbered = [{**r, "participant.id_in_session": k + 1} for k, r in enumerate(own)]
    return _csv([list(COLUMNS), *([r[c] for c in COLUMNS] for r in numbered)])


def codebook() -> str:
    """What the columns mean, as CSV."""
    return _csv([["column", "meaning"], *map(list, COLUMNS.items())])


def _csv(lines: Sequence[Sequence[Any]]) -> str:
    file = io.StringIO()
    csv.writer(file).writerows(lines)
    return file.getvalue()


def simulated(number: int, facts: Facts, seed: int, effect: float = 12.0) -> dict[str, Any]:
    """What a made-up student answers, whose estimates come `effect` points nearer to one half where the
    images are inclusive."""
    rng = np.random.default_rng([seed, number, 26])
    block, arm = experiment.assigned(number, ARMS[facts.arms], seed)
    found: dict[str, Any] = {"consent": True, "seen": True, "arm": arm, "block": block}
    found["attention"] = ATTENTION if rng.random() < 0.95 else int(rng.integers(101))
    usual = dict(zip(GUESSED, (40, 82, 26, 78)))
    moved = effect if arm.startswith(INCLUSIVE) else 0.0
    for name in GUESSED:
        before = float(np.clip(rng.normal(usual[name], 12), 0, 100))
        nearer = np.sign(50 - before) * min(abs(50 - before), moved)
        after = float(np.clip(before + nearer + rng.normal(0, facts.deviation), 0, 100))
        found |= {f"before-{name}": round(before), f"after-{name}": round(after)}
    return found
