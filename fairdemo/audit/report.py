"""A study's findings as one HTML page that needs nothing else, and as CSV."""

import csv
import io
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from fairdemo.audit import known, summary
from fairdemo.audit.findings import (
    BOTH,
    CONTROL,
    TOGETHER,
    TRAINING,
    UNFINISHED,
    Beside,
    Cell,
    Findings,
    Share,
    Touched,
    control_of,
)
from fairdemo.audit.published import PUBLISHED
from fairdemo.audit.study import BASELINE, DATA, FOLDER, PROFILE, Study
from fairdemo.methods import registry
from fairdemo.models import catalog, profiles
from fairdemo.report.table import harmless
from fairdemo.stats import measure
from fairdemo.stats.attributes import CELLS, GENDERS, RACES
from fairdemo.stats.confusions import ASSUMPTION
from fairdemo.stats.measure import Estimate
from fairdemo.stats.stopping import looks
from fairdemo.studio.studio import JOINED

ENVIRONMENT = Environment(
    loader=PackageLoader("fairdemo.audit", "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
GROUPS = ["women", *RACES, "from 40"]
BANDS = {"young": "to 39", "middle": "40 to 59", "old": "from 60"}


def write(folder: Path) -> list[Path]:
    """Writes report.html and findings.csv into the folder of a run or of a summary; returns their paths."""
    study, _, found = summary.found_in(folder)
    paths = [folder / "report.html", folder / "findings.csv"]
    paths[0].write_text(page(study, found), encoding="utf-8")
    paths[1].write_text(as_csv(found.cells), encoding="utf-8")
    return paths


def page(study: Study, found: Findings) -> str:
    """The page's HTML."""
    return ENVIRONMENT.get_template("report.html").render(
        study=study,
        found=found,
        sentences=sentences(study, found),
        maps=maps(found),
        groups=GROUPS,
        races=RACES,
        scatter=[(b, caption(b), dots(b)) for b in found.beside],
        front=front(found),
        drawn=drawn(found),
        worst=worst(study, found),
        wide=wide(study),
        prompts=len({c.prompt for c in found.cells}),
        origins=len({c.origin for c in found.cells}),
        readers=sorted({o.model if o.kind == PROFILE else study.reader for o in study.origins}),
        published=PUBLISHED,
        settings=study.model_dump_json(exclude_defaults=True),
    )


def part(name: str, *values: Any) -> str:
    """One part of the page as HTML (a macro of `templates/parts.html`)."""
    return getattr(ENVIRONMENT.get_template("parts.html").module, name)(*values)


def style() -> str:
    """How parts look."""
    return ENVIRONMENT.get_template("parts.css").render()


def changed(found: Findings) -> list[Touched]:
    """Control prompts that a method changed, or whose words it doesn't obey in a tenth of images more than
    the baseline; the largest changes first."""
    told = [t for t in found.control if t.holds or disobeyed(t) > 0.1]
    return sorted(told, key=lambda t: -max(disobeyed(t), t.changed.share - t.by_noise))


def disobeyed(t: Touched) -> float:
    """How much less often images show who a control prompt's words name than in the baseline; 0 where they
    name nobody."""
    return t.as_asked_before.share - t.as_asked.share if t.as_asked and t.as_asked_before else 0.0


def wide(study: Study) -> dict[str, Estimate]:
    """How alike drawn people of a race are, where a study is of a model of which that is known."""
    return next((w for o in study.origins if o.kind == PROFILE and (w := known.likeness(o.model))), {})


def percent(one: Share) -> str:
    """A share with count and interval."""
    if not one.n:
        return "no face"
    return f"{one.share:.0%} ({one.count} of {one.n}; {one.interval[0]:.0%} to {one.interval[1]:.0%})"


def estimate(one: Estimate, digits: int = 2) -> str:
    """A mean with its interval, if it has one."""
    if math.isnan(one.value):
        return "–"
    if any(map(math.isinf, one.interval)):
        return f"{one.value:.{digits}f} (any value fits)"
    low, high = (f"{v:.{digits}f}" for v in one.interval)
    return f"{one.value:.{digits}f}" + ("" if "nan" in (low, high) else f" ({low} to {high})")


def round_percent(share: float) -> str:
    """A share in percent, with a decimal where it would be rounded to all or nothing, and isn't."""
    whole = f"{share:.0%}"
    return f"{share:.1%}" if whole in ("0%", "100%") and share not in (0.0, 1.0) else whole


def over_prompts(one: Estimate) -> str:
    """A mean of shares over prompts, in percent, with its interval within 0 and 100."""
    if math.isnan(one.value):
        return "–"
    low, high = (round_percent(min(1.0, max(0.0, v))) for v in one.interval)
    return round_percent(one.value) + (f" ({low} to {high})" if not math.isnan(one.interval[0]) else "")


def gender_bias(cell: Cell) -> str:
    """One prompt's bias(P) for gender with its interval."""
    women = cell.women
    return estimate(
        Estimate(
            cell.bias["gender"],
            measure.bias_interval({"Female": women.count, "Male": women.n - women.count}),
            women.n,
        )
    )


def gender_chance(n: int) -> str:
    """The mean bias(P) for gender that n faces show of an even model."""
    return f"{measure.bias_by_chance(2, n):.2f}"


FILTERS = (percent, estimate, over_prompts, gender_bias, gender_chance, changed, control_of)
ENVIRONMENT.filters |= {f.__name__: f for f in FILTERS}
ENVIRONMENT.globals["maxima"] = {"gender": 1.0, "race": 1 / 3, BOTH: 1 / 6}  # of bias(P): 2 / K
ENVIRONMENT.globals["both"] = TOGETHER
ENVIRONMENT.globals["assumption"] = ASSUMPTION
ENVIRONMENT.globals |= {"races": RACES, "genders": GENDERS, "bands": BANDS}
ENVIRONMENT.globals["to_miss"] = measure.faces_to_miss(len(CELLS))
ENVIRONMENT.globals["pairs"] = lambda classes: [("race", c) for c in classes]


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
    """A few sentences that say what was found, each with its count and interval; what is missing first."""
    said = unfinished(study, found) + failed(found)
    plain = {o.name for o in study.origins if o.method == BASELINE}
    first = next(
        (c.origin for c in found.cells if c.origin in plain and c.listed != CONTROL and c.women.n), ""
    )
    base = [c for c in found.cells if c.origin == first and c.listed != CONTROL and c.women.n]
    if base:
        uneven = [c for c in base if (c.origin, c.prompt) in found.discoveries]
        mostly = sum(c.women.share < 0.5 for c in uneven)
        said.append(
            f"In {len(uneven)} of {len(base)} prompts of {first} women and men aren't equally likely"
            f" (at most 5 % of these are expected to be false): {mostly} show mostly men,"
            f" {len(uneven) - mostly} mostly women."
        )
        least, most = (f(base, key=lambda c: c.women.share) for f in (min, max))
        said.append(
            f"Fewest women: “{least.prompt}”, {percent(least.women)}; most: “{most.prompt}”,"
            f" {percent(most.women)}."
        )
    own = [b for b in found.beside if b.origin == first]
    said += [told(b) for b in own if b.reference == TRAINING] or [told(b) for b in own]
    said += most_even(study, found)
    if found.no_face:
        said.append(
            f"No face was found in {found.no_face:,} of {found.images:,} images; they are in no share of"
            " faces."
        )
    return said


def failed(found: Findings) -> list[str]:
    """Which origins refused prompts, know no seeds, or gave images that show nothing or can't be opened, a
    sentence each."""
    images = Counter[str]()
    for c in found.cells:
        images[c.origin] += c.images
    said = []
    for origin, by_prompt in found.refused.items():
        n, of = sum(one.count for one in by_prompt.values()), images[origin]
        every = percent(Share(n, of, measure.interval(n, of)))
        most, own = max(by_prompt.items(), key=lambda one: one[1].share)
        said.append(
            f"A content filter refused {every} of {origin}'s images, most of “{most}”: {percent(own)}."
            " They have no face, and are in no share of faces."
        )
    said += [
        f"Images of {origin} aren't from the noise of a seed: those of the same number in two methods are no"
        " twins, and what changes between them is chance as well."
        for origin in found.unseeded
    ]
    return said + [
        f"{n:,} of {images[origin]:,} images of {origin} failed (damaged, black or of one colour); they count"
        " as images without a face."
        for origin, n in found.failed.items()
    ]


def unfinished(study: Study, found: Findings) -> list[str]:
    """What is missing of a study, in a sentence; empty if nothing is."""
    planned = {a.prompt: a.images for a in study.asked}
    drawn = [o.name for o in study.origins if o.kind not in (FOLDER, DATA)]
    there = {(c.origin, c.prompt): c for c in found.cells}
    none = [key for key in itertools.product(drawn, planned) if key not in there]
    # With a half width a prompt may end at its last look with too few faces, and is finished all the same.
    most = looks(study.half_width)[-1].n if study.half_width else 0
    few = [
        c
        for c in found.cells
        if c.origin in drawn
        and (
            c.ended == UNFINISHED and c.images < most
            if study.half_width
            else c.images < planned.get(c.prompt, 0)
        )
    ]
    if not none and not few:
        return []
    whole = len(drawn) * len(planned)
    return [
        f"This study isn't finished: of {whole:,} pairs of a prompt and an origin, {len(none):,} have no"
        f" images yet, and {len(few):,} have fewer than planned. What follows is about those that are there."
    ]


def allotting(study: Study) -> set[str]:
    """The origins whose methods allot who is shown, slot by slot; the others' counts carry chance."""
    follow = {o.model: following(o.model) for o in study.origins if o.kind == PROFILE}
    return {
        o.name
        for o in study.origins
        if o.method != BASELINE and (o.kind != PROFILE or follow[o.model] & set(o.method.split(JOINED)))
    }


def following(profile: str) -> set[str]:
    """The methods of a profile that follow a wish."""
    try:
        adapters = catalog.of_profile(profiles.profile(profile))
    except ValueError:  # a profile of another machine: what is known of methods without adapters
        adapters = []
    return {m.name for m in registry.of(adapters) if m.follows}


def most_even(study: Study, found: Findings) -> list[str]:
    """The method with the least bias for gender, of those that leave it to chance who is shown, and of those
    that allot it: an allotted method's is below what chance shows by construction."""
    allotted = allotting(study)
    said = []
    for kind, own in (
        ("leave it to chance", [b for b in found.by_origin if b.change and b.origin not in allotted]),
        ("allot", [b for b in found.by_origin if b.origin in allotted]),
    ):
        best = min(own, key=lambda b: b.bias["gender"].value, default=None)
        if best is None or best.change is None or not best.change.interval[1] < 0:
            continue
        shown = f"; the profession is shown in {over_prompts(best.shown)}" if best.shown.n else ""
        lost = f", and lost in {', '.join(best.lost[:3])}" if best.lost else ""
        said.append(
            f"Of the methods that {kind} who is shown ({len(own)}), {best.origin} has the lowest estimate:"
            f" bias(P) for gender {estimate(best.bias['gender'])} over {best.prompts} prompts,"
            f" {estimate(best.change)} against the baseline{shown}{lost}."
        )
    return said


def told(b: Beside) -> str:
    """How an origin's professions stand beside a reference, in a sentence."""
    low, high = b.slope.interval
    if low <= 0 <= high:
        return (
            f"Professions with more women in {b.reference} don't show clearly more women, or fewer, in"
            f" {b.origin} (slope {estimate(b.slope)}, {b.slope.n} professions)."
        )
    kind = "reversed" if high < 0 else "exaggerated" if low > 1 else "softened" if high < 1 else ""
    return (
        f"Beside {b.reference}, differences between professions are {kind or 'about as large'} in"
        f" {b.origin}: a profession with ten points more women shows {10 * b.slope.value:+.0f} points"
        f" ({10 * low:+.0f} to {10 * high:+.0f}; {b.slope.n} professions; rank correlation"
        f" {estimate(b.ranks)})."
    )


@dataclass(frozen=True)
class Dot:
    """A point of a drawing, in its units, with the ends of its bar and what it is called."""

    x: float
    y: float
    low: float
    high: float
    name: str


def caption(b: Beside) -> str:
    """What a drawing of an origin beside a reference says in numbers."""
    return (
        f"{b.origin} beside {b.reference}: slope {estimate(b.slope)}, rank correlation {estimate(b.ranks)},"
        f" {b.slope.n} professions"
    )


def dots(b: Beside) -> list[Dot]:
    """Professions in a drawing of 100 by 100: the reference to the right, generated upwards."""
    return [
        Dot(
            100 * x,
            100 - 100 * s.share,
            100 - 100 * s.interval[1],
            100 - 100 * s.interval[0],
            f"{name}: {x:.0%} in {b.reference}, {percent(s)}",
        )
        for name, x, s in b.points
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


@dataclass(frozen=True)
class Method:
    """An origin in the drawing of evenness against likeness, in its units."""

    name: str
    method: str
    x: float
    y: float
    label: float  # where its name stands, clear of others
    best: bool  # no other one beats it in both


@dataclass(frozen=True)
class Front:
    """The drawing: its dots, the line through the best, and the ends of its axes."""

    dots: list[Method]
    line: str  # an SVG path
    most: float  # bias at the right end
    low: float  # likeness at the lower end
    high: float


def drawn(found: Findings) -> Front:
    """Bias for gender to the right and likeness upwards, in a drawing of 100 by 100."""
    best, own = front(found), [b for b in found.by_origin if not math.isnan(b.likeness.value)]
    most = max([b.bias["gender"].value for b in own], default=1.0) * 1.05 or 1.0
    likeness = [b.likeness.value for b in own] or [0.0]
    low, high = min(likeness) - 0.02, max(likeness) + 0.02
    heights = [100 * (high - b.likeness.value) / (high - low) for b in own]
    dots = [
        Method(
            f"{b.origin}: bias(P) {estimate(b.bias['gender'])}, likeness {estimate(b.likeness)}",
            b.origin.partition(", ")[2] or b.origin,
            100 * b.bias["gender"].value / most,
            y,
            label,
            b.origin in best,
        )
        for b, y, label in zip(own, heights, apart(heights))
    ]
    line = "L".join(f"{d.x:.1f} {d.y:.1f}" for d in sorted(dots, key=lambda d: d.x) if d.best)
    return Front(dots, f"M{line}" if line else "", most, low, high)


def apart(heights: Sequence[float], least: float = 4.2) -> list[float]:
    """Where names stand beside dots at these heights, none nearer to another than `least`."""
    found, last = list(heights), -math.inf
    for k in sorted(range(len(heights)), key=lambda k: heights[k]):
        found[k] = last = max(heights[k], last + least)
    return found


def worst(study: Study, found: Findings) -> list[Cell]:
    """The tenth of all prompts with the largest bias(P) for gender, of the methods."""
    methods = {o.name for o in study.origins if o.method != BASELINE}
    own = [c for c in found.cells if c.origin in methods and c.listed != CONTROL and c.women.n]
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
                [
                    c.listed,
                    harmless(c.prompt),
                    harmless(c.origin),
                    name,
                    one.count,
                    one.n,
                    share,
                    low,
                    high,
                    c.images,
                    c.no_face,
                ]
            )
    return out.getvalue()
