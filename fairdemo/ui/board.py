"""The board: both walls, what came of it in two sentences, and bars of what was counted, as HTML by place.

The same parts are set by Gradio after a drawing and, while a slider moves, patched in by `page.js`."""

import itertools
from collections import Counter
from dataclasses import dataclass

from fairdemo.comparison import Comparison
from fairdemo.pairs import SIDES
from fairdemo.stats import measure
from fairdemo.stats.attributes import TARGET_CLASSES
from fairdemo.stats.stopping import confidence_sequence
from fairdemo.studio.studio import Plan
from fairdemo.ui.face_wall import wall
from fairdemo.ui.language import say
from fairdemo.ui.mixer import colour
from fairdemo.ui.templates import render
from fairdemo.ui.why import reasons

# Every rendering differs, since Gradio leaves a page alone whose value it thinks is unchanged.
REVISIONS = itertools.count()
ENOUGH = 0.05  # a p below it is told as more than chance


@dataclass(frozen=True)
class Counted:
    """One side's share of a class."""

    count: int
    n: int
    share: float
    low: float  # of a 95 % interval
    high: float


EMPTY = Counted(0, 0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Row:
    """A class: both sides and what is wanted."""

    name: str
    shown: str
    colour: str
    sides: dict[str, Counted]
    wanted: float | None
    told: str  # all of it in words


@dataclass(frozen=True)
class Sentence:
    """What came of one attribute: the class that matters most, and what can be said of it."""

    headline: str
    verdicts: list[str]


def board(plan: Plan | None, n: int, language: str, token: str = "") -> dict[str, str]:
    """All parts by place, for a plan's comparison as it stands (None: nothing was drawn yet) and n tiles a
    wall. By the token of its visit a moving slider finds the wall."""
    return walls(plan, n, language, token) | counts(plan.comparison if plan else None, language)


def walls(plan: Plan | None, n: int, language: str, token: str) -> dict[str, str]:
    """Both walls."""
    comparison, why = (plan.comparison, reasons(plan, language)) if plan else (None, {})
    held = {"token": token, "revision": next(REVISIONS)}
    return {f"wall-{side}": wall(comparison, side, n, language, why, held) for side in SIDES}


def counts(comparison: Comparison | None, language: str) -> dict[str, str]:
    """Sentences and bars."""
    drawn = comparison if comparison and comparison.pairs else None
    revision = next(REVISIONS)
    told = sentences(drawn, language) if drawn else []
    parts = {"summary": render("summary.html", language, sentences=told, revision=revision)}
    for attribute in TARGET_CLASSES:
        found = rows(drawn, attribute, language)
        parts[f"bars-{attribute}"] = render(
            "bars.html", language, attribute=attribute, rows=found, revision=revision
        )
    return parts


def rows(comparison: Comparison | None, attribute: str, language: str) -> list[Row]:
    """The classes of an attribute, ages in bands; all empty before anything is drawn."""
    target = comparison.target.get(attribute, {}) if comparison else {}
    sides = {side: counted(comparison, side, attribute) for side in SIDES}
    return [
        row(attribute, name, {side: found[name] for side, found in sides.items()}, target.get(name), language)
        for name in TARGET_CLASSES[attribute]
    ]


def row(attribute: str, name: str, sides: dict[str, Counted], wanted: float | None, language: str) -> Row:
    """A class's bar, and what it says in words."""
    shown = say(language, f"class_{name.replace(' ', '_')}")
    told = [
        say(language, "bar_told", side=say(language, side), count=c.count, n=c.n, low=c.low, high=c.high)
        for side, c in sides.items()
    ]
    told += [] if wanted is None else [say(language, "wanted_share", share=wanted)]
    return Row(name, shown, colour(attribute, name), sides, wanted, f"{shown}: {', '.join(told)}")


def counted(comparison: Comparison | None, side: str, attribute: str) -> dict[str, Counted]:
    """One side's faces by class of an attribute, as perceived by the classifier. While a wall grows, and
    where it was stopped, intervals are those that hold whenever one looks."""
    faces = comparison.faces(side) if comparison else []
    seen, n = Counter(face.banded(attribute) for face in faces), len(faces)
    grows = comparison is not None and len(comparison.pairs) < comparison.request.n
    interval = confidence_sequence if grows else measure.interval
    return {
        name: Counted(seen[name], n, seen[name] / n, *interval(seen[name], n)) if n else EMPTY
        for name in TARGET_CLASSES[attribute]
    }


def sentences(comparison: Comparison, language: str) -> list[Sentence]:
    """What came of gender and race, or of age where that is wished instead."""
    wished = [a for a in ("gender", "race", "age") if a in comparison.target]
    told = (wished + [a for a in ("gender", "race") if a not in wished])[:2]
    return [sentence(comparison, attribute, language) for attribute in told]


def sentence(comparison: Comparison, attribute: str, language: str) -> Sentence:
    """The class that matters most before and after, whether it changed, and whether the wish is reached."""
    first, last = (counted(comparison, side, attribute) for side in SIDES)
    name = "Female" if attribute == "gender" else max(first, key=lambda c: first[c].count)
    shown = say(language, "women" if attribute == "gender" else f"class_{name.replace(' ', '_')}")
    before, after = first[name], last[name]
    key = "from_to" if before.n == after.n else "from_to_of"
    line = say(language, key, name=shown, before=before.count, after=after.count, n=after.n, of=before.n)
    wanted = comparison.target.get(attribute, {})
    if name in wanted:
        line += ", " + say(language, "wanted_count", count=plain(wanted[name] * after.n))
    return Sentence(line, changed(comparison, attribute, language) + reached(last, wanted, language))


def changed(comparison: Comparison, attribute: str, language: str) -> list[str]:
    """Whether the change between twins is more than chance."""
    both = [p for p in comparison.pairs if p.baseline.faces and p.debiased.faces]
    before, after = ([p.side(side).faces[0].label(attribute) for p in both] for side in SIDES)
    if not both:
        return []
    key = "changed" if measure.parity(before, after) < ENOUGH else "not_changed"
    return [say(language, key, n=len(both))]


def reached(found: dict[str, Counted], wanted: dict[str, float], language: str) -> list[str]:
    """Whether what was counted fits what was wanted."""
    n = sum(c.count for c in found.values())
    if not wanted or not n:
        return []
    p = measure.goodness_of_fit({name: c.count for name, c in found.items()}, wanted)
    return [say(language, "not_reached" if p < ENOUGH else "reached", n=n)]


def plain(number: float) -> str:
    """A number with one decimal where it has one: 8, 2.7."""
    return f"{number:.1f}".removesuffix(".0")
