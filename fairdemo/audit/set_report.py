"""A captioned set's findings as parts of a page: drawings and tables that need nothing else."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairdemo.audit import in_set, report, summary
from fairdemo.audit.bridged import Bridged, bridged, share_of
from fairdemo.audit.findings import CONTROL, TRAINING, Cell, Findings
from fairdemo.audit.in_set import GROUPS, InSet, Met, Right
from fairdemo.audit.report import Dot, allotting, apart, estimate, percent
from fairdemo.audit.study import BASELINE, DATA, Study
from fairdemo.audit.summary import Summary
from fairdemo.data import opening
from fairdemo.stats import prompts, targets
from fairdemo.stats.attributes import AGES, CLASSES, GENDERS, RACES
from fairdemo.stats.bridge import Bridge, Carried

WIDTH = 50.0  # between two columns of the story
NAMED = 2  # professions at either end of the story that are named, and as many of the largest changes
# From few to many, as CSS mixes it.
COLOUR = "color-mix(in oklab, rgb(var(--own)), #c8741f {:.0f}%)"


@dataclass(frozen=True)
class OnModel:
    """What becomes of a set in a model's audit."""

    name: str  # of the audit
    story: "Story | None"
    women: list[Bridged]
    lines: "list[tuple[Bridged, Line]]"  # of the model as it is
    first: str  # the model as it is
    races: list[Bridged]  # of the model as it is


def write(folder: Path, audits: Sequence[Summary]) -> list[Path]:
    """Writes report.html and findings.csv into the folder of a set's audit or of its summary, with the
    bridge to the audits of models; returns their paths."""
    study, summed, found = summary.found_in(folder)
    own = in_set.of(summed.rows, study, summary.known_of(study))
    paths = [folder / "report.html", folder / "findings.csv"]
    paths[0].write_text(
        page(study, found, own, [on_model(found, study, audit) for audit in audits]), encoding="utf-8"
    )
    paths[1].write_text(report.as_csv(found.cells), encoding="utf-8")
    return paths


def audits(study: Study) -> list[Summary]:
    """The shipped audits of the model that a study's sets have trained; none of any other set."""
    if not all(opening.drawn(d) for d in study.data):
        return []
    return [summary.opened(path) for path in bridging().values()]


def bridging() -> dict[str, Path]:
    """The offered audits that ask for professions, which a bridge needs, by name: those of most methods
    first."""
    studies = {name: summary.study_in(path) for name, path in summary.offered().items()}
    asking = [name for name, study in studies.items() if "professions" in study.lists]
    asking.sort(key=lambda name: -len(studies[name].methods))
    return {name: summary.offered()[name] for name in asking}


def page(study: Study, found: Findings, own: InSet, bridges: Sequence[OnModel]) -> str:
    """The page's HTML."""
    return report.ENVIRONMENT.get_template("set_report.html").render(
        study=study,
        found=found,
        in_set=own,
        names=[o.name for o in study.origins],
        people=people(study),
        sentences=[*sentences(own, bridges[0].women if bridges else ()), *report.sentences(study, found)],
        bridges=bridges,
        maps=report.maps(found),
        groups=report.GROUPS,
        met=met(own),
        met_groups=GROUPS,
        right={a: right(own, a) for a in CLASSES},
        ages=AGES[1:],
        races=RACES,
        scatter=[(b, report.caption(b), report.dots(b)) for b in found.beside if b.reference != TRAINING],
        settings=study.model_dump_json(exclude_defaults=True),
    )


def people(study: Study) -> str:
    """Who is in a study's sets: drawn people, photographed ones, or both."""
    drawn = [opening.drawn(study.set_of(o)) for o in study.origins if o.kind == DATA]
    if all(drawn):
        return "All people are drawn."
    return "Some people are drawn." if any(drawn) else "People are as the set has them."


def on_model(found: Findings, study: Study, audit: Summary) -> OnModel:
    """A set beside a model's audit."""
    of, cells = study.origins[0].name, audit.found.cells
    plain = [o.name for o in audit.study.origins if o.method == BASELINE]
    women = bridged(found.cells, of, cells)
    first = plain[0] if plain else women[0].origin
    base = [c for c in cells if c.origin == first]
    races = [b for race in RACES for b in bridged(found.cells, of, base, race)]
    lines = [(b, drawn(b)) for b in women if b.origin in plain]
    best = fairest(audit)
    models = [("the model", base), *([(best.partition(", ")[2], by(cells, best))] if best else [])]
    wish = target_of(audit.study)
    return OnModel(
        audit.folder.name, story(found.cells, models, of, "women", wish), women, lines, first, races
    )


def by(cells: Sequence[Cell], origin: str) -> list[Cell]:
    """An origin's cells."""
    return [c for c in cells if c.origin == origin]


def fairest(audit: Summary) -> str:
    """The method that is most even in gender of those that leave it to chance who is shown, if there is one;
    else of all."""
    every = [b for b in audit.found.by_origin if b.change is not None]
    allotted = allotting(audit.study)
    own = [b for b in every if b.origin not in allotted] or every
    return min(own, key=lambda b: b.bias["gender"].value).origin if own else ""


def target_of(study: Study) -> float:
    """The share of women that a study's methods are to reach: one half unless its target says otherwise."""
    wished = targets.parse(study.target).get("gender") if study.target != "workforce" else None
    return float(wished["Female"]) if wished else 0.5


def part(name: str, *values: Any) -> str:
    """One part as HTML (a macro of `templates/set_parts.html`)."""
    return getattr(report.ENVIRONMENT.get_template("set_parts.html").module, name)(*values)


def parts(found: InSet) -> dict[str, str]:
    """What is told of the sets alone, by name."""
    return {
        "aside": part("aside", found),
        "marked": part("marked", found),
        "met": part("met", met(found), GROUPS),
        "right_gender": part("right", right(found, "gender"), GENDERS[:1]),
        "right_race": part("right", right(found, "race"), RACES),
        "right_age": part("right", right(found, "age"), AGES[1:]),
    }


def met(found: InSet) -> dict[str, dict[str, Met]]:
    """How groups and prompts meet, by prompt: most women first."""
    table: dict[str, dict[str, Met]] = {}
    for one in found.met:
        table.setdefault(one.prompt, {})[one.group] = one
    return dict(sorted(table.items(), key=lambda row: -row[1][GENDERS[0]].bits))


@dataclass(frozen=True)
class RightTable:
    """Corrected shares by prompt and class."""

    rows: dict[str, dict[str, Right]]
    true: bool  # whether the truth is known


def right(found: InSet, attribute: str) -> RightTable:
    """An attribute's corrected shares, the prompts with most faces first."""
    own = [r for r in found.right if r.attribute == attribute]
    rows: dict[str, dict[str, Right]] = {}
    for r in sorted(own, key=lambda r: -r.observed.n):
        rows.setdefault(r.prompt, {})[r.name] = r
    return RightTable(rows, any(r.true is not None for r in own))


def sentences(found: InSet, bridges: Sequence[Bridged]) -> list[str]:
    """What a set's page begins with, each sentence with count and interval."""
    said = []
    named = {m.group: m.named for m in found.marked if m.attribute == "gender" and m.named.n}
    if len(named) == len(GENDERS) and any(s.count for s in named.values()):
        women, men = (percent(named[g]) for g in GENDERS)
        said.append(f"Captions name the gender of {women} of women, and of {men} of men.")
    for b, line in ((b, b.line) for b in bridges[:1] if b.line):
        slope = line.slope
        low, high = slope.interval
        near = low > 0.75 and high < 1.33
        kind = "exaggerated" if low > 1 else "softened" if high < 1 else "about as large" if near else ""
        if not kind:
            said.append(
                f"Whether differences between professions grow or shrink from the data to {b.origin} can't be"
                f" told from so few faces: the slope is {estimate(slope)} ({slope.n} professions)."
            )
            continue
        said.append(
            f"From the data to {b.origin} differences between professions are {kind}: ten points more women"
            f" in the data are {10 * slope.value:+.0f} points drawn ({10 * low:+.0f} to {10 * high:+.0f};"
            f" {slope.n} professions); {explained(line)}."
        )
    return said


def explained(line: Bridge) -> str:
    """How much of the model's differences the data explain, in words."""
    if math.isnan(line.explained.value):
        return "how much of the model's differences the data explain can't be told"
    return f"the data explain {estimate(line.explained)} of the model's differences (R²)"


@dataclass(frozen=True)
class Mark:
    """A profession in the drawing of a bridge."""

    x: float
    y: float
    name: str
    short: str
    off: bool
    label: float  # where its name stands, clear of others


@dataclass(frozen=True)
class Line:
    """The drawing of a bridge, in units of 100 by 100."""

    points: list[Mark]
    line: str  # an SVG path; empty without a line


def drawn(one: Bridged) -> Line:
    """A bridge's professions and its line."""
    off = one.line.off if one.line else ()
    stray = [p for p in one.points if p.name in off]
    # Upwards from the lowest, so that no name slides off the drawing.
    labels = dict(zip((p.name for p in stray), (100 - y for y in apart([100 * p.shares[1] for p in stray]))))
    points = [
        Mark(100 * x, 100 - 100 * y, told(p, one), p.name, p.name in off, labels.get(p.name, 0.0))
        for p in one.points
        for x, y in [p.shares]
    ]
    if not one.line:
        return Line(points, "")
    a, b = one.line.intercept, one.line.slope.value
    ends = sorted({min(max(x, 0.0), 1.0) for x in ((0 - a) / b, (1 - a) / b)} if b else {0.0, 1.0})
    path = "L".join(f"{100 * x:.1f} {100 - 100 * min(max(a + b * x, 0), 1):.1f}" for x in ends)
    return Line(points, f"M{path}")


def told(p: Carried, one: Bridged) -> str:
    """A profession on both sides of a bridge."""
    (x, m), (y, n) = p.data, p.model
    return f"{p.name}: {x / m:.0%} in the data ({x} of {m}), {y / n:.0%} in {one.origin} ({y} of {n})"


@dataclass(frozen=True)
class Told:
    """A profession's way from the data to the wish."""

    name: str
    path: str
    points: list[tuple[float, float]]
    colour: str


@dataclass(frozen=True)
class Story:
    """The drawing of data, model, method and wish: shares of a group upwards, 0 to 100."""

    title: str
    columns: list[tuple[float, str]]
    lines: list[Told]
    labels: list[Dot]
    wish: float  # how far down
    width: float


def story(
    data: Sequence[Cell], models: Sequence[tuple[str, Sequence[Cell]]], of: str, group: str, wish: float
) -> Story:
    """The way of each profession's share of a group from the set `of` through what origins draw, one
    column each (title, its cells), to the wish (a share)."""
    sides = [("the data", [c for c in data if c.origin == of]), *models]
    shares: list[dict[str, tuple[float, str]]] = []
    for _, cells in sides:
        own = [(prompts.profession(c.prompt), share_of(c, group)) for c in cells if c.listed != CONTROL]
        shares.append({name: (s.share, percent(s)) for name, s in own if name and s.n})
    names = [name for name in shares[0] if all(name in one for one in shares)]
    lines = []
    for name in sorted(names, key=lambda n: shares[0][n][0]):
        points = [(k * WIDTH, 100 - 100 * one[name][0]) for k, one in enumerate(shares)]
        titles = "; ".join(f"{title}: {one[name][1]}" for (title, _), one in zip(sides, shares))
        path = "L".join(f"{x:.0f} {y:.1f}" for x, y in points)
        lines.append(Told(f"{name}: {titles}", f"M{path}", points, COLOUR.format(100 * shares[0][name][0])))
    ends = sorted(names, key=lambda n: shares[0][n][0])
    shown = list(dict.fromkeys([*ends[:NAMED], *ends[-NAMED:], *by_change(names, shares)[:NAMED]]))
    heights = [100 - 100 * shares[0][n][0] for n in shown]
    labels = [Dot(0, y, 0, 0, n) for n, y in zip(shown, apart(heights, 4.0))]
    return Story(
        f"{group} by profession: {', '.join(title for title, _ in sides)}, and the wish",
        [(k * WIDTH, title) for k, (title, _) in enumerate(sides)],
        lines,
        labels,
        100 - 100 * wish,
        WIDTH * (len(sides) - 1),
    )


def by_change(names: Sequence[str], shares: Sequence[dict[str, tuple[float, str]]]) -> list[str]:
    """Professions by how far the model's share is from the data's, the farthest first."""
    return sorted(names, key=lambda n: -abs(shares[min(1, len(shares) - 1)][n][0] - shares[0][n][0]))
