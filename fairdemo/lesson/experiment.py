"""The experiment with a class: arms, questions, what comes of it, and the table of it.

From arXiv 2402.01002: people estimate before and after, arms see inclusive or non-inclusive generated faces,
said to be generated or not. Ours: this model's own walls from the same noise (inclusive: women and men, and
the six races, in equal parts; non-inclusive: as the model draws by itself), four professions, arms in
permuted blocks, the scores, the order of outcomes and analyses, and an implicit measure for whoever wants
one."""

import csv
import io
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, Field, TypeAdapter, field_validator

from fairdemo.checked import Whole
from fairdemo.lesson.lesson import GUESSED, Percent
from fairdemo.stats import experiment, implicit
from fairdemo.stats.attributes import RACES
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
BLOCKS, TRIALS = 4, 20  # of the association test
OUTCOMES = {"women": 50.0, "white": 100 / len(RACES)}  # percent of people, and what is even


class Estimate(BaseModel, frozen=True, extra="forbid"):
    """How many of a hundred people in a profession somebody thinks are women, and White."""

    women: Percent
    white: Percent


class Sorted(BaseModel, frozen=True, extra="forbid"):
    """A block of the association test: who is sorted together with leading, and the milliseconds that each
    word took until it was sorted right."""

    focal: Literal["women", "men"]
    ms: Annotated[
        list[Annotated[Whole, Field(ge=0, le=600_000)]], Field(min_length=TRIALS, max_length=TRIALS)
    ]


class Association(BaseModel, frozen=True, extra="forbid"):
    """An association test, done."""

    blocks: Annotated[list[Sorted], Field(min_length=BLOCKS, max_length=BLOCKS)]

    @field_validator("blocks")
    @classmethod
    def _in_turn(cls, blocks: list[Sorted]) -> list[Sorted]:
        if any(one.focal == other.focal for one, other in zip(blocks, blocks[1:])):
            raise ValueError("women and men take turns")
        return blocks


QUESTIONS: Mapping[str, tuple[str, TypeAdapter]] = {
    "consent": ("experiment", TypeAdapter(Literal[True])),
    **{f"before-{name}": ("experiment", TypeAdapter(Estimate)) for name in GUESSED},
    # Before the images: whoever is left out for it is left out whatever they saw.
    "attention": ("experiment", TypeAdapter(Percent)),
    "seen": ("experiment", TypeAdapter(Literal[True])),
    **{f"after-{name}": ("experiment", TypeAdapter(Estimate)) for name in GUESSED},
    "implicit": ("experiment", TypeAdapter(Association)),  # where the teacher wants it
}
ORDER = tuple(QUESTIONS)  # in which they are asked


class Facts(BaseModel, frozen=True, extra="forbid"):
    """What a teacher has set before an experiment begins."""

    arms: Literal[2, 5] = 2
    expected: Annotated[Whole, Field(ge=4, le=60)] = 40  # students
    deviation: Annotated[Whole, Field(ge=1, le=50)] = 7  # of people's changes of the score, points
    implicit: bool = False  # whether an association test comes last
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
    """The smallest effect that so many people can show in the first comparison, and how many there are on
    either side of it; no points where they are too few."""
    first = contrasts(ARMS[facts.arms])[0]
    each = facts.expected // facts.arms * len(first[2])
    points = experiment.smallest_effect(each, facts.deviation)
    return {"each": each, "points": points if np.isfinite(points) else None}


def score(answers: Mapping[str, Any], when: str, outcome: str) -> float:
    """How far somebody's estimates of an outcome (`OUTCOMES`) lie from what is even, in points, mean over
    professions."""
    even = OUTCOMES[outcome]
    return float(np.mean([abs(answers[f"{when}-{name}"][outcome] - even) for name in GUESSED]))


def score_implicit(answers: Mapping[str, Any]) -> float | None:
    """Somebody's D in the association test, above 0 where men go with leading more readily than women; None
    where it wasn't done, or can't be scored."""
    blocks = answers.get("implicit", {}).get("blocks", ())
    own = [implicit.Block(block["focal"] == "men", block["ms"]) for block in blocks]
    return implicit.d_score(own) if own else None


def attentive(answers: Mapping[str, Any]) -> bool:
    """Whether the question of attention was answered as it asks."""
    return abs(answers["attention"] - ATTENTION) <= OFF


def finished(answers: Mapping[str, Any]) -> bool:
    """Whether everything was answered that everybody is asked."""
    return set(ORDER[:-1]) <= set(answers)


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
    """What each contrast shows of each outcome, women first, by both analyses; of the association test by the
    second alone, since it is done once. "why" where it can't be said. `people` are answers with "arm" and
    "block", of whoever finished and was attentive."""
    found = []
    for outcome in OUTCOMES:
        measured = [(p, score(p, "before", outcome), score(p, "after", outcome)) for p in people]
        analyses = {"covariance": experiment.by_covariance, "differences": experiment.by_differences}
        found += compared(outcome, measured, arms, analyses, seed)
    scored = [(p, 0.0, d) for p in people if (d := score_implicit(p)) is not None]
    if scored:
        found += compared("implicit", scored, arms, {"differences": experiment.by_differences}, seed)
    return found


def compared(
    outcome: str,
    measured: Sequence[tuple[Mapping[str, Any], float, float]],  # people with what was before and after
    arms: Sequence[str],
    analyses: Mapping[str, Callable[..., Effect]],
    seed: int,
) -> list[dict[str, Any]]:
    """Every contrast of an outcome."""
    found = []
    for first, second, one, other in contrasts(arms):
        within = [m for m in measured if m[0]["arm"] in one | other]
        row: dict[str, Any] = {"outcome": outcome, "first": first, "second": second}
        before, after = (np.array([m[k] for m in within], float) for k in (1, 2))
        blocks = np.array([m[0]["block"] for m in within])
        in_second = np.array([m[0]["arm"] in other for m in within], bool)
        try:
            row |= {k: told(do(before, after, in_second, blocks, seed)) for k, do in analyses.items()}
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
        f"survey.1.player.{when}_{outcome}_{name}": f"estimated share of {people} among people who work as"
        f" {name}, in percent, {when} the images"
        for outcome, people in (("women", "women"), ("white", "White people"))
        for when in ("before", "after")
        for name in GUESSED
    },
    "survey.1.player.seen": "1: went through the images, or the pause in the arm without them",
    "survey.1.player.attention": f"a question that asks to set {ATTENTION} percent",
    "survey.1.player.attentive": f"1: set within {OFF} points",
    **{
        f"survey.1.player.score_{outcome}_{when}": f"mean distance of the estimates from {even:.1f},"
        f" in points, {when} the images"
        for outcome, even in OUTCOMES.items()
        for when in ("before", "after")
    },
    "survey.1.player.d": "D of the brief implicit association test, above 0: men sorted with leading faster"
    " than women; empty: not done, or more than a tenth of the answers faster than 300 ms",
    **{
        f"survey.1.player.implicit_{k}": f"block {k} of the test: who was sorted with leading, then the"
        f" milliseconds of its {TRIALS} words"
        for k in range(1, BLOCKS + 1)
    },
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
    for outcome in OUTCOMES:
        for when in ("before", "after"):
            every = {k: answers.get(f"{when}-{k}", {}).get(outcome, "") for k in GUESSED}
            player |= {f"{when}_{outcome}_{k}": v for k, v in every.items()}
            whole = "" not in every.values()
            player[f"score_{outcome}_{when}"] = score(answers, when, outcome) if whole else ""
    d, blocks = score_implicit(answers), answers.get("implicit", {}).get("blocks", [None] * BLOCKS)
    player["d"] = "" if d is None else round(d, 4)
    for k, block in enumerate(blocks, 1):
        player[f"implicit_{k}"] = " ".join(map(str, (block["focal"], *block["ms"]))) if block else ""
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
    """What a made-up student answers, whose estimates come `effect` points nearer to what is even where the
    images are inclusive; one in ten doesn't attend. Changes of the score have the deviation that the facts
    say, as far as a score within its bounds can."""
    rng = np.random.default_rng([seed, number, 26])
    block, arm = experiment.assigned(number, ARMS[facts.arms], seed)
    found: dict[str, Any] = {"consent": True, "seen": True, "arm": arm, "block": block}
    found["attention"] = ATTENTION if rng.random() >= experiment.LOST else 100 - ATTENTION
    usual = {"women": (40, 82, 26, 78), "white": (62, 58, 80, 42)}
    for outcome, even in OUTCOMES.items():
        before = {n: float(np.clip(rng.normal(m, 12), 0, 100)) for n, m in zip(GUESSED, usual[outcome])}
        moved = (effect if arm.startswith(INCLUSIVE) else 0.0) + rng.normal(0, facts.deviation)
        then = float(np.mean([abs(v - even) for v in before.values()]))
        share = float(np.clip((then - moved) / max(then, 1.0), 0, 50 / max(then, 1.0)))
        for name, value in before.items():
            after = float(np.clip(even + share * (value - even), 0, 100))
            found.setdefault(f"before-{name}", {})[outcome] = round(value)
            found.setdefault(f"after-{name}", {})[outcome] = round(after)
    if facts.implicit:
        slower = {"women": 60.0 - (40.0 if arm.startswith(INCLUSIVE) else 0.0), "men": 0.0}
        turns = ("women", "men") * (BLOCKS // 2)
        found["implicit"] = {
            "blocks": [
                {"focal": who, "ms": [round(v) for v in 450 + slower[who] + rng.gamma(3, 90, TRIALS)]}
                for who in (turns if number % 2 else turns[::-1])
            ]
        }
    return found
