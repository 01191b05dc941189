"""The board: both walls, what came of it in two sentences, and bars of what was counted, as HTML by place.

The same parts are set by Gradio after a drawing and, while a slider moves, patched in by `page.js`."""

import itertools
from collections import Counter
from dataclasses import dataclass

from fairdemo.comparison import Comparison
from fairdemo.pairs import SIDES
from fairdemo.stats import equivalence, measure
from fairdemo.stats.attributes import CLASSES, TARGET_CLASSES
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


EMPTY = Counted(0, 0, 0.0, 0.0, 0.0)  # of no faces; its words are a dash


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
    controlled = drawn is not None and bool(drawn.target) and drawn.mix.controlled
    note = say(language, "controlled", n=len(drawn.pairs)) if drawn and controlled else ""
    parts = {"summary": render("summary.html", language, sentences=told, note=note, revision=revision)}
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
        if c.n
        else f"{say(language, side)} –"
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
    """The class that matters most before and after, how far the grid is from the wish, whether it changed,
    and what that tells of the method."""
    first, last = (counted(comparison, side, attribute) for side in SIDES)
    name = "Female" if attribute == "gender" else max(first, key=lambda c: first[c].count)
    shown = say(language, "women" if attribute == "gender" else f"class_{name.replace(' ', '_')}")
    before, after = first[name], last[name]
    key = "from_to" if before.n == after.n else "from_to_of"
    line = say(language, key, name=shown, before=before.count, after=after.count, n=after.n, of=before.n)
    wanted = comparison.target.get(attribute, {})
    if name in wanted:
        line += ", " + say(language, "wanted_count", count=plain(wanted[name] * after.n))
    line += describe_gap(last, wanted, language)
    verdicts = describe_change(comparison, attribute, language)
    whole = len(comparison.pairs) == comparison.request.n
    if wanted and after.n and whole and not comparison.mix.controlled:
        verdicts.append(describe_method(last, name, wanted, language))
    return Sentence(line, verdicts)


def describe_gap(found: dict[str, Counted], wanted: dict[str, float], language: str) -> str:
    """How many images would have to change class until the grid is as near to the wish as whole images can
    be, which is a fact about this grid; nothing where it is."""
    counts = {name: c.count for name, c in found.items()}
    off = equivalence.images_off(counts, wanted) if wanted else 0
    key = "off_by" if len(counts) == 2 else "off_by_all"  # the line names one class; this counts all
    return " · " + say(language, key, count=off) if off else ""


def describe_change(comparison: Comparison, attribute: str, language: str) -> list[str]:
    """Whether the change between twins is more than chance, however often one looks while a grid grows."""
    both = [p for p in comparison.pairs if p.baseline.faces and p.debiased.faces]
    before, after = ([p.side(side).faces[0].label(attribute) for p in both] for side in SIDES)
    if not both:
        return []
    key = "changed" if measure.anytime_parity(before, after, CLASSES[attribute]) < ENOUGH else "not_changed"
    return [say(language, key, n=len(both))]


def describe_method(found: dict[str, Counted], name: str, wanted: dict[str, float], language: str) -> str:
    """What a whole grid of which no count was controlled says of the method: whether its shares are as
    wanted, to within one margin."""
    counts = {each: c.count for each, c in found.items()}
    verdict, n = equivalence.judge(counts, wanted), sum(counts.values())
    margin, one, needed = 100 * equivalence.MARGIN, found[name], equivalence.faces_to_tell(wanted)
    if verdict == "too_few" and n < needed:
        verdict = "too_few_of"
    return say(language, verdict, n=n, margin=margin, low=one.low, high=one.high, needed=needed)


def plain(number: float) -> str:
    """A number with one decimal where it has one: 8, 2.7."""
    return f"{number:.1f}".removesuffix(".0")
