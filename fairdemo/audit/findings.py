"""Findings: what the rows of a study say, with counts and intervals; pure functions of a table, so that
anybody can make every number again from the rows.

Labels are as perceived by the classifier, and people are generated, everywhere here."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from fairdemo.audit.study import BASELINE, Study
from fairdemo.stats import measure, prompts
from fairdemo.stats.attributes import AGES, CLASSES, GENDERS, RACES
from fairdemo.stats.measure import Estimate, interval
from fairdemo.stats.stopping import looks
from fairdemo.stats.workforce import OCCUPATIONS

OLD = AGES[3:]  # from 40 years
LEVEL = 0.05  # of false discoveries
CONTROL = "control"


@dataclass(frozen=True)
class Share:
    """A count among faces, as a share with its interval."""

    count: int
    n: int
    interval: tuple[float, float]

    @property
    def share(self) -> float:
        """nan where there is no face."""
        return self.count / self.n if self.n else math.nan


@dataclass(frozen=True)
class Cell:
    """What one prompt's images from one origin show."""

    prompt: str
    listed: str
    origin: str
    images: int
    no_face: int
    women: Share
    races: dict[str, Share]
    old: Share  # from 40 years
    bias: dict[str, float]  # bias(P), by attribute
    p: float  # of the test that women and men are equally likely; e-value's inverse where it stopped early
    shown: Share | None  # the prompt's profession, if it has one
    stopped: int | None = None  # after how many images a prompt ended early


@dataclass(frozen=True)
class Before:
    """A method beside its own model's baseline, over the prompts that both have."""

    origin: str
    prompts: int
    bias: dict[str, Estimate]  # mean bias(P) over prompts, by attribute
    change: Estimate | None  # of the gender's bias against the baseline, over prompts; None for the baseline
    shown: Share
    likeness: Estimate  # mean likeness of faces within a race, over prompts and races
    distinct: Estimate  # effective number of distinct faces among a prompt's
    seconds: float  # an image


@dataclass(frozen=True)
class Touched:
    """A control prompt under a method: how many of its images show another race or gender than their twins
    from the baseline, and the p-value of the test that both have the same distribution."""

    prompt: str
    origin: str
    changed: Share
    p: float


@dataclass(frozen=True)
class Work:
    """Women among the generated of a profession beside the US workforce, and how steep one is in the
    other over professions: 1 is alike, more is exaggerated, 0 has nothing to do with it."""

    origin: str
    points: list[tuple[str, float, Share]]  # profession, share in the workforce, generated
    slope: Estimate


@dataclass(frozen=True)
class Findings:
    """All that a study's rows say."""

    images: int
    no_face: int
    cells: list[Cell]
    by_origin: list[Before]
    control: list[Touched]
    work: list[Work]
    discoveries: set[tuple[str, str]] = field(default_factory=set)  # (origin, prompt) that aren't even
    corrected: dict[str, dict[str, measure.Corrected]] = field(default_factory=dict)  # by origin, attribute


@dataclass(frozen=True)
class Seen:
    """What findings are made of: a study's rows, and how alike their faces are, which needs no embeddings
    any more (`alike`)."""

    rows: pd.DataFrame
    alike: pd.DataFrame


def seen(table: pd.DataFrame) -> Seen:
    """Rows with embeddings and probabilities, summed up: what stays of each face is how it was read, finer
    than its label (`measure.reading`)."""
    kept = table.drop(columns=["embedding", *(f"p_{a}" for a in CLASSES)])
    for a in ("gender", "race"):
        kept[f"reading_{a}"] = [
            None if p is None else measure.reading(dict(zip(CLASSES[a], map(float, p))))
            for p in table[f"p_{a}"]
        ]
    return Seen(kept, alike(table))


def alike(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each origin, prompt and race with two faces and more: the mean likeness of its faces; and one
    without a race for each origin and prompt: the effective number of distinct faces."""
    found = []
    for key, faces in table[table.faces > 0].groupby(["origin", "prompt"], sort=False):
        origin, prompt = map(str, key)  # type: ignore[call-overload]
        distinct = measure.distinct_faces(np.stack(list(faces.embedding)))
        found.append({"origin": origin, "prompt": prompt, "race": None, "value": distinct})
        for race, group in faces.groupby("race"):
            if len(group) > 1:
                likeness = similar(np.stack(list(group.embedding)))
                found.append({"origin": origin, "prompt": prompt, "race": race, "value": likeness})
    return pd.DataFrame(found, columns=["origin", "prompt", "race", "value"])


def of(seen: Seen, study: Study, confusion: dict[str, dict[str, dict[str, dict[str, int]]]]) -> Findings:
    """The findings of a study's rows. `confusion` is how each origin's classifier reads faces of known
    class, empty where that isn't known."""
    table = seen.rows
    asked: Any = table[table.listed != CONTROL]
    cells = []
    for key, rows in table.groupby(["origin", "prompt"], sort=False):
        origin, prompt = map(str, key)  # type: ignore[call-overload]
        cells.append(cell(rows, prompt, origin, study))
    tested = [c for c in cells if c.listed != CONTROL and c.women.n]
    kept = discovered([c.p for c in tested])
    return Findings(
        len(table),
        int((table.faces == 0).sum()),
        cells,
        [before(asked, seen.alike, str(origin)) for origin in dict.fromkeys(asked.origin)],
        touched(table),
        [w for origin in dict.fromkeys(asked.origin) if (w := work(cells, str(origin)))],
        {(c.origin, c.prompt) for c, found in zip(tested, kept) if found},
        {str(o): corrected(rows, confusion.get(str(o), {})) for o, rows in asked.groupby("origin")},
    )


def share(flags: Sequence[bool] | np.ndarray, miss: float = measure.MISS) -> Share:
    """A share of faces."""
    count, n = int(np.sum(flags)), len(flags)
    return Share(count, n, interval(count, n, miss))


def cell(rows: pd.DataFrame, prompt: str, origin: str, study: Study) -> Cell:
    """One prompt's images from one origin. Where the study stops early, the interval of women is that of the
    look that ended it."""
    rows = rows.sort_values("slot")
    faces: Any = rows[rows.faces > 0]
    counts = {a: Counter(faces[a]) for a in CLASSES}
    races = {r: counts["race"].get(r, 0) for r in RACES}
    women = share(faces.gender == "Female")
    stopped, p = None, tested(women)
    if study.half_width:
        plan = looks(study.half_width)
        look = next((one for one in plan if one.n >= len(rows)), plan[-1])
        women = share(faces.gender == "Female", look.miss)
        stopped = len(rows) if look is not plan[-1] else None
        p = anytime(women)
    profession = prompts.profession(prompt)
    return Cell(
        prompt,
        str(rows.listed.iloc[0]),
        origin,
        len(rows),
        len(rows) - len(faces),
        women,
        {r: Share(races[r], len(faces), i) for r, i in measure.simultaneous(races).items()},
        share(faces.age.isin(OLD)),
        {a: measure.bias({c: counts[a].get(c, 0) for c in classes}) for a, classes in biased()},
        p,
        share(rows.subject == profession) if profession else None,
        stopped,
    )


def biased() -> list[tuple[str, Sequence[str]]]:
    """What bias(P) is told of."""
    return [("gender", GENDERS), ("race", RACES)]


def tested(women: Share) -> float:
    """The exact binomial p-value of women and men being equally likely; 1 for no face."""
    from scipy.stats import binomtest

    return float(binomtest(women.count, women.n, 0.5).pvalue) if women.n else 1.0


def anytime(women: Share) -> float:
    """The same where a prompt ended by what was seen: the inverse of the e-value of a uniform mixture of
    shares against one half, at most 1 (Ville's inequality; arXiv 2011.03567)."""
    from scipy.special import betaln

    log_e = float(betaln(women.count + 1, women.n - women.count + 1)) + women.n * math.log(2)
    return min(1.0, math.exp(-log_e))


def discovered(p: Sequence[float]) -> list[bool]:
    """Which tests hold when at most `LEVEL` of all that do may be false: Benjamini and Hochberg 1995."""
    from scipy.stats import false_discovery_control

    return [bool(q <= LEVEL) for q in false_discovery_control(np.array(p))] if len(p) else []


def before(table: pd.DataFrame, alike: pd.DataFrame, origin: str) -> Before:
    """An origin's measures over its prompts, beside its model's baseline where that is another origin."""
    own: Any = table[table.origin == origin]
    by = {a: biases(own, a, classes) for a, classes in biased()}
    base: Any = table[(table.method == BASELINE) & (table.origin != origin) & same_model(table, origin)]
    change = None
    if len(base) and own.method.iloc[0] != BASELINE:
        then = biases(base, "gender", GENDERS)
        both = [p for p in by["gender"] if p in then]
        change = measure.mean([by["gender"][p] - then[p] for p in both])
    values: Any = alike[(alike.origin == origin) & alike.prompt.isin(own.prompt)]
    named: Any = own[[prompts.profession(p) is not None for p in own.prompt]]
    right = [prompts.profession(p) == s for p, s in zip(named.prompt, named.subject)]
    return Before(
        origin,
        own.prompt.nunique(),
        {a: measure.mean(list(values.values())) for a, values in by.items()},
        change,
        share(np.array(right, bool)),
        measure.mean(list(values[values.race.notna()].value)),
        measure.mean(list(values[values.race.isna()].value)),
        float(own.seconds.median()),
    )


def similar(embeddings: np.ndarray) -> float:
    """The mean cosine similarity of a group's pairs of faces (n, d), n at least 2."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    n, total = len(unit), unit.sum(0)
    return float((total @ total - n) / (n * (n - 1)))


def same_model(table: pd.DataFrame, origin: str) -> pd.Series:
    """Which rows are of the model, and the guidance, that an origin's images are of."""
    own = str(table[table.origin == origin].method.iloc[0])
    return table.origin == origin.replace(f", {own}", f", {BASELINE}", 1)


def biases(table: pd.DataFrame, attribute: str, classes: Sequence[str]) -> dict[str, float]:
    """bias(P) of each prompt's faces."""
    found = {}
    for prompt, faces in table[table.faces > 0].groupby("prompt"):
        counts = Counter(faces[attribute])
        found[str(prompt)] = measure.bias({c: counts.get(c, 0) for c in classes})
    return found


def touched(table: pd.DataFrame) -> list[Touched]:
    """Control prompts under every method: images that show another race or gender than their twins."""
    control: Any = table[table.listed == CONTROL]
    found = []
    for origin in dict.fromkeys(control[control.method != BASELINE].origin):
        base: Any = control[same_model(control, origin) & (control.method == BASELINE)]
        pairs = control[control.origin == origin].merge(base, on=["prompt", "slot"], suffixes=("", "_twin"))
        for prompt, own in pairs.groupby("prompt", sort=False):
            read = own[(own.faces > 0) & (own.faces_twin > 0)]
            now = [f"{r} {g}" for r, g in zip(read.race, read.gender)]
            then = [f"{r} {g}" for r, g in zip(read.race_twin, read.gender_twin)]
            changed = share(np.array([a != b for a, b in zip(now, then)], bool))
            p = measure.parity(then, now) if len(read) else 1.0
            found.append(Touched(str(prompt), str(origin), changed, p))
    return found


def work(cells: Sequence[Cell], origin: str) -> Work | None:
    """Women of each profession beside the workforce; None for fewer than five professions."""
    points = []
    for c in cells:
        name = prompts.profession(c.prompt)
        if c.origin == origin and c.women.n and name in OCCUPATIONS and c.listed != CONTROL:
            points.append((name, OCCUPATIONS[name].women / 100, c.women))
    if len({name for name, _, _ in points}) < 5:
        return None
    x, y = np.array([x for _, x, _ in points]), np.array([s.share for _, _, s in points])
    return Work(origin, points, slope(x, y))


def slope(x: np.ndarray, y: np.ndarray, seed: int = 0) -> Estimate:
    """How steep y is in x by least squares, with a bootstrap interval over points."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(x), (2000, len(x)))

    def steep(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
        return (a * b).sum(-1) / np.maximum((a * a).sum(-1), 1e-12)

    low, high = np.quantile(steep(x[chosen], y[chosen]), [0.025, 0.975])
    return Estimate(float(steep(x, y)), (float(low), float(high)), len(x))


def corrected(rows: pd.DataFrame, confusion: dict[str, Any]) -> dict[str, measure.Corrected]:
    """An origin's shares over all its prompts with the classifier's known errors taken out."""
    faces: Any = rows[rows.faces > 0]
    found = {}
    for a in ("gender", "race"):
        if a in confusion and len(faces):
            found[a] = measure.correct(Counter(faces[f"reading_{a}"]), confusion[a])
    return found
