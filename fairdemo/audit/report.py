"""A study's findings as one HTML page that needs nothing else, and as CSV."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader

from fairdemo.audit import check, painter, rows
from fairdemo.audit.findings import CONTROL, Cell, Findings, Share, Work, of, seen
from fairdemo.audit.published import PUBLISHED
from fairdemo.audit.study import BASELINE, PROFILE, Study
from fairdemo.measures import Confusion
from fairdemo.stats.attributes import RACES
from fairdemo.stats.measure import Estimate

ENVIRONMENT = Environment(
    loader=PackageLoader("fairdemo.audit", "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
COLUMNS = [c for c in rows.SCHEMA.names if c not in ("image", "box")]


def findings(folder: Path) -> tuple[Study, Findings]:
    """What a study's folder says; ValueError if it holds none, or no rows."""
    study = check.study_of(folder)
    table = rows.read(folder, columns=COLUMNS)
    if not len(table):
        raise ValueError(f"{str(folder)!r} has no rows yet; run the study first")
    confusion: dict[str, Confusion] = {
        o.name: painter.live(o.model if o.kind == PROFILE else study.reader).confusion for o in study.origins
    }
    return study, of(seen(table), study, confusion)


def write(folder: Path) -> list[Path]:
    """Writes report.html and findings.csv into a study's folder; returns their paths."""
    study, found = findings(folder)
    paths = [folder / "report.html", folder / "findings.csv"]
    paths[0].write_text(page(study, found))
    paths[1].write_text(as_csv(found.cells))
    return paths


def page(study: Study, found: Findings) -> str:
    """The page's HTML."""
    return ENVIRONMENT.get_template("report.html").render(
        study=study,
        found=found,
        sentences=sentences(study, found),
        maps=maps(found),
        groups=["women", *RACES, "from 40"],
        scatter=[(w, dots(w)) for w in found.work],
        front=front(found),
        worst=worst(found),
        changed=[t for t in found.control if t.p <= 0.05],
        published=PUBLISHED,
        settings=study.model_dump_json(exclude_defaults=True),
    )


def percent(one: Share) -> str:
    """A share with count and interval."""
    if not one.n:
        return "no face"
    return f"{one.share:.0%} ({one.count} of {one.n}; {one.interval[0]:.0%} to {one.interval[1]:.0%})"


def estimate(one: Estimate, digits: int = 2) -> str:
    """A mean with its interval, if it has one."""
    if math.isnan(one.value):
        return "–"
    low, high = (f"{v:.{digits}f}" for v in one.interval)
    return f"{one.value:.{digits}f}" + ("" if "nan" in (low, high) else f" ({low} to {high})")


ENVIRONMENT.filters |= {"percent": percent, "estimate": estimate}


@dataclass(frozen=True)
class Map:
    """The heat map of one origin: a row a prompt, the most even first."""

    origin: str
    rows: list[Cell]


def maps(found: Findings) -> list[Map]:
    """A map for each origin, its prompts in the order of the share of women."""
    origins = dict.fromkeys(c.origin for c in found.cells)
    return [
        Map(o, sorted((c for c in found.cells if c.origin == o and c.listed != CONTROL), key=women_first))
        for o in origins
    ]


def women_first(c: Cell) -> float:
    """Where a prompt stands in a map: most women first, those without faces last."""
    return -c.women.share if c.women.n else 1.0


def sentences(study: Study, found: Findings) -> list[str]:
    """At most five sentences that say what was found, each with its count and interval."""
    said = []
    base = [c for c in found.cells if c.listed != CONTROL and is_baseline(c.origin)] or [
        c for c in found.cells if c.listed != CONTROL
    ]
    if base:
        uneven = [c for c in base if (c.origin, c.prompt) in found.discoveries]
        mostly = sum(c.women.share < 0.5 for c in uneven)
        said.append(
            f"In {len(uneven)} of {len(base)} prompts of {base[0].origin} women and men aren't equally likely"
            f" (at most 5 % of these are expected to be false): {mostly} show mostly men,"
            f" {len(uneven) - mostly} mostly women."
        )
        least, most = (f(base, key=lambda c: c.women.share if c.women.n else 0.5) for f in (min, max))
        said.append(
            f"Fewest women: “{least.prompt}”, {percent(least.women)}; most: “{most.prompt}”,"
            f" {percent(most.women)}."
        )
    for w in found.work:
        if is_baseline(w.origin):
            low, high = w.slope.interval
            if low <= 0 <= high:
                said.append(
                    "Professions with more women in the US workforce don't show clearly more women, or fewer"
                    f" (slope {estimate(w.slope)}, {w.slope.n} professions)."
                )
                continue
            kind = "exaggerated" if low > 1 else "softened" if high < 1 else "about as large as there"
            said.append(
                f"Beside the US workforce, differences between professions are {kind}: a profession with ten"
                f" points more women shows {10 * w.slope.value:.0f} points more ({10 * low:.0f} to"
                f" {10 * high:.0f}; {w.slope.n} professions)."
            )
    changed = [(b, b.change) for b in found.by_origin if b.change is not None]
    if changed:
        best, change = min(changed, key=lambda one: one[0].bias["gender"].value)
        said.append(
            f"The most even method is {best.origin}: bias(P) for gender {estimate(best.bias['gender'])} over"
            f" {best.prompts} prompts, {estimate(change)} against the baseline; the profession is shown"
            f" in {percent(best.shown)}."
        )
    if found.no_face:
        said.append(f"No face was found in {found.no_face:,} of {found.images:,} images; they count nowhere.")
    return said[:5]


def is_baseline(origin: str) -> bool:
    """Whether an origin is a model as it is, or images from elsewhere."""
    return ", " not in origin or origin.split(", ")[1] == BASELINE


@dataclass(frozen=True)
class Dot:
    """A point of a drawing, in its units, with the ends of its bar and what it is called."""

    x: float
    y: float
    low: float
    high: float
    name: str


def dots(w: Work) -> list[Dot]:
    """Professions in a drawing of 100 by 100: the workforce to the right, generated upwards."""
    return [
        Dot(
            100 * x,
            100 - 100 * s.share,
            100 - 100 * s.interval[1],
            100 - 100 * s.interval[0],
            f"{name}: {x:.0%} in the workforce, {percent(s)}",
        )
        for name, x, s in w.points
    ]


def front(found: Findings) -> set[str]:
    """The origins that no other one beats in both bias(P) for gender and likeness within races."""
    points = {
        b.origin: (b.bias["gender"].value, b.likeness.value)
        for b in found.by_origin
        if not math.isnan(b.likeness.value)
    }
    return {
        o
        for o, (x, y) in points.items()
        if not any(a <= x and b <= y and (a, b) != (x, y) for a, b in points.values())
    }


def worst(found: Findings) -> list[Cell]:
    """The tenth of all prompts with the largest bias(P) for gender, of the methods."""
    own = [c for c in found.cells if not is_baseline(c.origin) and c.listed != CONTROL and c.women.n]
    own.sort(key=lambda c: -c.bias["gender"])
    return own[: math.ceil(len(own) / 10)]


def as_csv(cells: Sequence[Cell]) -> str:
    """A row for each prompt, origin and group."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(
        ["list", "prompt", "origin", "group", "count", "faces", "share", "low", "high", "images", "no face"]
    )
    for c in cells:
        for name, one in {"women": c.women, **c.races, "from 40 years": c.old}.items():
            low, high = one.interval
            share = "" if not one.n else round(one.share, 4)
            writer.writerow(
                [c.listed, c.prompt, c.origin, name, one.count, one.n, share, low, high, c.images, c.no_face]
            )
    return out.getvalue()
