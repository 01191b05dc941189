"""What the counts say, in words and in a table of race, gender and age together. Every number comes with its
count and interval."""

import json
from dataclasses import dataclass

from fairdemo.comparison import Comparison
from fairdemo.measures import Share
from fairdemo.pairs import SIDES
from fairdemo.report.numbers import format_bias
from fairdemo.stats import measure
from fairdemo.stats.attributes import AGE_BANDS, CELLS, GENDERS, RACES, TARGET_CLASSES
from fairdemo.ui.language import WORDS, say
from fairdemo.ui.templates import render

Note = tuple[str, str]  # words, and the key of what its "i" opens
PAGE_WORDS = (
    *(
        "baseline",
        "debiased",
        "target",
        "interval",
        "close",
        "copied",
        "next",
        "skip",
        "start",
        "who",
        "sheet",
    ),
    *("undo", "redo", "lock", "race", "gender", "age", "guess", "guess_say", "your_guess"),
    *("previous_pair", "next_pair", "roll", "settings", "present", "pairs", "method", "pool"),
    *(f"class_{c.replace(' ', '_')}" for classes in TARGET_CLASSES.values() for c in classes),
    *(f"tour_{i}" for i in range(1, 5)),
    "arena",
    *(f"arena_{what}" for what in ("what", "begin", "next", "question", "neither", "csv", "clear")),
)


@dataclass(frozen=True)
class Line:
    """One side of a card."""

    when: str
    observed: str
    corrected: str


@dataclass(frozen=True)
class Card:
    """An attribute: the class that matters most before and after, and what can be said of it."""

    title: str
    wanted: str
    lines: list[Line]
    notes: list[Note]


def page_words(language: str) -> str:
    """What `page.js` says in the browser's language, and what the "i"s open, once for the page."""
    words = {key: say(language, key) for key in PAGE_WORDS}
    explained = {key: say(language, key) for key in WORDS["en"] if key.startswith("info_")}
    return render("explanations.html", language, words=json.dumps(words), explained=explained)


def findings(comparison: Comparison, language: str) -> str:
    """One card an attribute, then what else was counted."""
    if not comparison.pairs:
        return ""
    found, n = comparison.measures, len(comparison.pairs)
    before, after = found.baseline, found.debiased
    notes = [(say(language, "no_face", before=before.no_face, after=after.no_face, n=n), "")]
    if before.failed or after.failed:
        notes.append((say(language, "failed_images", before=before.failed, after=after.failed), ""))
    if before.subject_kept and after.subject_kept:
        counts = {"before": before.subject_kept.count, "after": after.subject_kept.count}
        notes.append((say(language, "kept", subject=comparison.subject, n=n, **counts), "info_kept"))
    half, need = 100 * after.precision, measure.images_for_width(0.1)
    if after.gender.n:
        notes.append((say(language, "know", n=after.gender.n, half=half, need=need), ""))
    notes.append((say(language, "labels"), ""))
    cards = [card(comparison, attribute, language) for attribute in ("gender", "race", "age")]
    return render("findings.html", language, cards=cards, notes=notes)


def card(comparison: Comparison, attribute: str, language: str) -> Card:
    """The class that matters most in words, and what can be said of it."""
    sides = [comparison.measures.side(side).of(attribute) for side in SIDES]
    first = sides[0].classes
    name = "Female" if attribute == "gender" else max(first, key=lambda c: first[c].count)
    words = zip(("before", "after"), sides)
    lines = [line(say(language, when), side.classes[name], side.n, language) for when, side in words]
    wanted = comparison.target.get(attribute, {}).get(name)
    return Card(
        say(language, "women") if attribute == "gender" else name,
        "" if wanted is None else say(language, "wanted_share", share=wanted),
        lines,
        remarks(comparison, attribute, language),
    )


def line(when: str, row: Share, n: int, language: str) -> Line:
    """A class on one side, observed and corrected."""
    if not n:
        return Line(when, say(language, "nothing_counted"), "")
    low, high = row.interval
    observed = say(language, "of", count=row.count, n=n, share=row.share, low=low, high=high)
    if row.corrected is None or row.corrected_interval is None:
        return Line(when, observed, "")
    low, high = row.corrected_interval
    return Line(when, observed, say(language, "corrected_of", share=row.corrected, low=low, high=high))


def remarks(comparison: Comparison, attribute: str, language: str) -> list[Note]:
    """bias(P), the distance to the target, and whether the change is more than chance."""
    found = comparison.measures
    before, after = (found.side(side).of(attribute) for side in SIDES)
    known = {when: format_bias(shares) for when, shares in (("before", before), ("after", after))}
    fewest = min(before.n, after.n)
    notes = (
        []
        if fewest >= after.corrected_from
        else [(say(language, "not_corrected", needed=after.corrected_from), "info_corrected")]
    )
    chance = (after if after.n else before).bias_by_chance
    notes += [(say(language, "bias", **known, chance=chance), "info_bias")]
    if before.to_target and after.to_target:
        far = {"before": before.to_target.total_variation, "after": after.to_target.total_variation}
        notes.append((say(language, "distance", **far), "info_distance"))
    moved = found.twins.of(attribute)
    if moved:
        key, p = (
            "enough" if moved.p < 0.05 else "not_enough",
            ("< 0.001" if moved.p < 0.001 else f"= {moved.p:.3f}"),
        )
        notes.append((say(language, key, n=found.twins.n, p=p), "info_p"))
    return notes


@dataclass(frozen=True)
class Cell:
    """Faces of a group."""

    count: int
    shade: float  # 0 to 1
    title: str
    of_all_ages: bool


@dataclass(frozen=True)
class Table:
    """One side's counts."""

    name: str
    n: int
    rows: list[tuple[str, list[Cell]]]


def cells(comparison: Comparison, language: str) -> str:
    """Race, gender and age together, before and after: tables whose shade follows the share."""
    if not comparison.pairs:
        return ""
    sides = [table(comparison, side, language) for side in SIDES]
    fewest, needed = min(side.n for side in sides), measure.faces_to_miss(len(CELLS))
    few = say(language, "cells_few", n=fewest, groups=len(CELLS), needed=needed) if fewest < needed else ""
    return render("cells.html", language, sides=sides, genders=GENDERS, ages=list(AGE_BANDS), few=few)


def table(comparison: Comparison, side: str, language: str) -> Table:
    """One side's counts, by gender over all ages and by age, with intervals for the asking."""
    found = comparison.measures.side(side)
    counts = {(r, g, ""): found.race_and_gender[f"{r} {g}"] for r in RACES for g in GENDERS}
    counts |= {cell: found.race_gender_and_age[" ".join(cell)] for cell in CELLS}
    top = max(1, *(c.count for c in counts.values()))

    def cell(race: str, gender: str, age: str) -> Cell:
        seen = counts[race, gender, age]
        names = [say(language, f"class_{c.replace(' ', '_')}") for c in (race, gender, age) if c]
        numbers = say(
            language, "count_of", count=seen.count, n=seen.n, low=seen.interval[0], high=seen.interval[1]
        )
        return Cell(seen.count, round(seen.count / top, 2), f"{', '.join(names)}: {numbers}", not age)

    rows = [(r, [cell(r, g, a) for g in GENDERS for a in ("", *AGE_BANDS)]) for r in RACES]
    return Table(side, found.race.n, rows)
