"""Everything that is measured on a comparison, typed, for every front end to render.

Labels are as perceived by the classifier. Shares lie in 0 to 1, intervals are 95 %.
"""

import math
from collections import Counter
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np

from fairdemo.pairs import SIDES, Face, Pair, largest_faces
from fairdemo.stats import measure
from fairdemo.stats.attributes import AGE_BANDS, CELLS, CLASSES, GENDERS, RACES
from fairdemo.stats.confusions import Confusions
from fairdemo.stats.measure import Change, Estimate
from fairdemo.stats.targets import Target
from fairdemo.stats.workforce import OCCUPATIONS

Interval = tuple[float, float]


def unknown() -> Any:
    """A field that is left out of files where it isn't known."""
    return field(default=None, metadata={"omit": True})


@dataclass(frozen=True)
class Share:
    """How many faces of a side have a class."""

    count: int
    share: float  # nan for no faces
    interval: Interval
    simultaneous: Interval  # holds together with those of the attribute's other classes
    corrected: float | None = unknown()  # an estimate with the classifier's known errors taken out
    corrected_interval: Interval | None = unknown()


@dataclass(frozen=True)
class ToTarget:
    """How far the observed shares are from the wanted ones."""

    total_variation: float
    jensen_shannon: float
    discrepancy: float
    p: float  # of the test that the counts came from the target


@dataclass(frozen=True)
class Shares:
    """One attribute on one side."""

    n: int  # faces
    classes: dict[str, Share]
    bias: float  # bias(P), arXiv 2311.07604; ages without children; nan for no faces
    bias_interval: Interval
    bias_by_chance: float  # what an even model shows on average among as many faces
    corrected_from: int  # faces; with fewer a corrected share is often further off than the observed one
    to_target: ToTarget | None = unknown()


@dataclass(frozen=True)
class Counted:
    """How many of n."""

    count: int
    n: int
    interval: Interval


@dataclass(frozen=True)
class Beyond:
    """How far the share of women lies beyond a profession's US workforce, away from one half."""

    reference: float
    points: float
    interval: Interval


@dataclass(frozen=True)
class Side:
    """One side of a comparison."""

    no_face: int  # images in which no face was found
    failed: int  # of these, images that are black or of one colour: the model gave no picture
    race: Shares
    gender: Shares
    age: Shares
    race_and_gender: dict[str, Counted]  # faces of each race and gender together
    race_gender_and_age: dict[str, Counted]  # and of each age band
    bias_of_intersections: dict[str, float]
    likeness: dict[str, Estimate]  # mean cosine similarity of faces within each race
    distinct_faces: float
    women_beyond_workforce: Beyond | None
    precision: float  # half the width of the interval of a share near one half
    subject_kept: Counted | None  # images that still show the prompt's profession

    def of(self, attribute: str) -> Shares:
        """An attribute's shares."""
        return getattr(self, attribute)


@dataclass(frozen=True)
class Moved:
    """What changed between twins in one attribute."""

    p: float  # of the test that nothing changed; it holds whenever one looks while pairs are added
    change: dict[str, Change]


@dataclass(frozen=True)
class Twins:
    """Pairs in which both twins have a face."""

    n: int
    same_look: Estimate  # cosine similarity of what the twins show
    race: Moved | None = unknown()
    gender: Moved | None = unknown()
    age: Moved | None = unknown()

    def of(self, attribute: str) -> Moved | None:
        """What changed in an attribute; None where there are no such pairs."""
        return getattr(self, attribute)


@dataclass(frozen=True)
class Measures:
    """One state of a comparison, measured once."""

    baseline: Side
    debiased: Side
    twins: Twins

    def side(self, name: str) -> Side:
        """One side by its name."""
        return self.baseline if name == "baseline" else self.debiased

    def as_json(self) -> dict[str, Any]:
        """Plain values, numbers rounded to four places."""
        return plain(self)

    def summary(self) -> dict[str, Any]:
        """Counts of both sides by attribute and class, faces not found, and bias(P)."""
        return {side: counts_of(self.side(side)) for side in SIDES} | {
            "bias": {side: {a: plain(self.side(side).of(a).bias) for a in CLASSES} for side in SIDES}
        }


def counts_of(side: Side) -> dict[str, Any]:
    """A side's faces by attribute and class, "no_face", and of these "failed"."""
    counted = {a: {c: row.count for c, row in side.of(a).classes.items()} for a in CLASSES}
    return {**counted, "no_face": side.no_face, "failed": side.failed}


def plain(value: Any) -> Any:
    """A measure as JSON has it: tables, lists, numbers rounded to four places; nan becomes null."""
    if is_dataclass(value):
        own = [(f, getattr(value, f.name)) for f in fields(value)]
        return {f.name: plain(v) for f, v in own if not (v is None and f.metadata.get("omit"))}
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(float(value), 4)
    return value


def of(pairs: list[Pair], target: Target, confusions: Confusions, profession: str | None) -> Measures:
    """Measures pairs. `target` holds wanted shares of all classes, `confusions` how the classifier reads
    each class, `profession` is the one that the prompt names."""
    baseline, debiased = (_side(pairs, name, target, confusions, profession) for name in SIDES)
    return Measures(baseline, debiased, _twins(pairs))


def _side(
    pairs: list[Pair], name: str, target: Target, confusions: Confusions, profession: str | None
) -> Side:
    faces = largest_faces(pairs, name)
    shares = {a: _shares(faces, a, target.get(a, {}), confusions) for a in CLASSES}
    joint = Counter((f.race, f.gender) for f in faces)
    kept = sum(p.side(name).subject == profession for p in pairs)
    whole = Counter(CELLS[f.cell] for f in faces)
    intersections = {
        "race and gender": measure.bias({(r, g): joint[r, g] for r, g, _ in CELLS}),
        "race, gender and age band": measure.bias({c: whole[c] for c in CELLS}),
    }
    low, high = measure.interval(round(len(faces) / 2), len(faces)) if faces else (math.nan, math.nan)
    return Side(
        len(pairs) - len(faces),
        sum(p.side(name).failed for p in pairs),
        **shares,
        race_and_gender={f"{r} {g}": _counted(joint[r, g], len(faces)) for r in RACES for g in GENDERS},
        race_gender_and_age={" ".join(c): _counted(whole[c], len(faces)) for c in CELLS},
        bias_of_intersections=intersections,
        likeness={r: measure.likeness(_vectors([f for f in faces if f.race == r])) for r in RACES},
        distinct_faces=measure.distinct_faces(_vectors(faces)),
        women_beyond_workforce=_beyond(shares["gender"], profession),
        precision=(high - low) / 2,
        subject_kept=_counted(kept, len(pairs)) if profession else None,
    )


def _vectors(faces: list[Face]) -> np.ndarray:
    return np.array([f.embedding for f in faces], float)


def _shares(faces: list[Face], attribute: str, wanted: dict[str, float], confusions: Confusions) -> Shares:
    counts = {c: sum(f.label(attribute) == c for f in faces) for c in CLASSES[attribute]}
    n, together, shares = len(faces), measure.simultaneous(counts), measure.proportions(counts)
    least = confusions.correct_from(attribute)
    readings = Counter(f.reading(attribute) for f in faces)
    fixed = confusions.correct(attribute, readings)
    rows = {}
    for c, k in counts.items():
        # Classes that nobody showed the classifier (children, here) can't be corrected.
        known = (fixed.shares[c], fixed.intervals[c]) if fixed and c in fixed.shares else (None, None)
        rows[c] = Share(k, shares[c], measure.interval(k, n), together[c], *known)
    adults = {c: k for c, k in counts.items() if c != CLASSES["age"][0]}
    return Shares(
        n,
        rows,
        measure.bias(adults),
        measure.bias_interval(adults),
        measure.bias_by_chance(len(adults), sum(adults.values())),
        least,
        _to_target(counts, attribute, wanted) if wanted and n else None,
    )


def _to_target(counts: dict[str, int], attribute: str, wanted: dict[str, float]) -> ToTarget:
    """Ages are wanted in bands, so they are counted in bands."""
    bands = (
        {b: sum(counts[g] for g in groups) for b, groups in AGE_BANDS.items()} if attribute == "age" else {}
    )
    seen = bands or counts
    return ToTarget(
        measure.total_variation(seen, wanted),
        measure.jensen_shannon(seen, wanted),
        measure.discrepancy(seen, wanted),
        measure.goodness_of_fit(seen, wanted),
    )


def _beyond(gender: Shares, profession: str | None) -> Beyond | None:
    if profession not in OCCUPATIONS or not gender.n:
        return None
    reference = OCCUPATIONS[profession].women / 100
    beyond = measure.amplification(gender.classes["Female"].count, gender.n, reference)
    return Beyond(reference, beyond.points, beyond.interval)


def _counted(count: int, n: int) -> Counted:
    return Counted(count, n, measure.interval(count, n))


def _twins(pairs: list[Pair]) -> Twins:
    both = [
        (p.baseline.faces[0], p.debiased.faces[0]) for p in pairs if p.baseline.faces and p.debiased.faces
    ]
    look = measure.mean([float(np.dot(p.baseline.look, p.debiased.look)) for p in pairs])
    if not both:
        return Twins(0, look)
    return Twins(
        len(both), look, **{a: _moved([(x.label(a), y.label(a)) for x, y in both], a) for a in CLASSES}
    )


def _moved(labels: list[tuple[str, str]], attribute: str) -> Moved:
    before, after = [x for x, _ in labels], [y for _, y in labels]
    changes = {
        c: measure.change([v == c for v in before], [v == c for v in after]) for c in CLASSES[attribute]
    }
    return Moved(measure.anytime_parity(before, after, CLASSES[attribute]), changes)
