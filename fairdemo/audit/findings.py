"""Findings: what the rows of a study say, with counts and intervals; pure functions of a table, so that
anybody can make every number again from the rows.

Labels are as perceived by the classifier, and people are generated, everywhere here."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from fairdemo.audit import set_rows
from fairdemo.audit.study import BASELINE, DATA, FOLDER, Study
from fairdemo.stats import measure, prompts
from fairdemo.stats.attributes import AGES, CLASSES, GENDERS, RACES
from fairdemo.stats.measure import Estimate, interval
from fairdemo.stats.stopping import looks, narrow
from fairdemo.stats.workforce import OCCUPATIONS

OLD = AGES[3:]  # from 40 years
LEVEL = 0.05  # of false discoveries
CONTROL = "control"
EARLY, UNFINISHED = "early", "unfinished"
BOTH = "race x gender"
TOGETHER = tuple(f"{race} {gender}" for race in RACES for gender in GENDERS)
WORKFORCE, TRAINING = "the US workforce", "its training data"


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
    ended: str = ""  # EARLY, or UNFINISHED where neither all images nor enough are there; empty: as planned


@dataclass(frozen=True)
class Before:
    """A method beside its own model's baseline, over the prompts that both have."""

    origin: str
    prompts: int
    bias: dict[str, Estimate]  # mean bias(P) over prompts, by attribute
    deviation: dict[str, Estimate]  # mean standard deviation of shares over prompts, by attribute
    change: Estimate | None  # of the gender's bias against the baseline, over prompts; None for the baseline
    shown: Share
    likeness: Estimate  # mean likeness of faces within a race, over prompts and races
    by_race: dict[str, Estimate]  # the same for each race, over prompts
    distinct: Estimate  # effective number of distinct faces among a prompt's
    seconds: float  # an image of the fastest shard: other work beside it tells nothing of the method


@dataclass(frozen=True)
class Touched:
    """A control prompt under a method: how many of its images show another race or gender than their twins
    from the baseline, or a face where there was none; the p-value of the test that both have the same
    distribution, and whether it holds among all that were made."""

    prompt: str
    origin: str
    changed: Share
    p: float
    holds: bool = False


@dataclass(frozen=True)
class Beside:
    """Women among the generated of a profession beside what is known of it from elsewhere, and how steep one
    is in the other over professions: 1 is alike, more is exaggerated, 0 has nothing to do with it."""

    origin: str
    reference: str  # WORKFORCE or TRAINING
    points: list[tuple[str, float, Share]]  # profession, share in the reference, generated
    slope: Estimate
    ranks: Estimate  # rank correlation (Spearman)


@dataclass(frozen=True)
class Truth:
    """A share of an origin's faces whose class is known, as it is, as observed and as corrected."""

    origin: str
    attribute: str
    name: str  # of the class
    true: float
    observed: Share
    corrected: float
    interval: tuple[float, float]  # of the corrected share

    @property
    def held(self) -> bool:
        """Whether the corrected share's interval has the truth."""
        return self.interval[0] <= self.true <= self.interval[1]


@dataclass(frozen=True)
class Findings:
    """All that a study's rows say."""

    images: int
    no_face: int
    cells: list[Cell]
    by_origin: list[Before]
    control: list[Touched]
    beside: list[Beside]
    discoveries: set[tuple[str, str]] = field(default_factory=set)  # (origin, prompt) that aren't even
    # Observed and corrected shares over all prompts, by origin and attribute.
    corrected: dict[str, dict[str, tuple[dict[str, float], measure.Corrected]]] = field(default_factory=dict)
    chance: dict[str, float] = field(default_factory=dict)  # bias(P) of an even model, by attribute
    # Shares of race and gender together over all prompts, with intervals that hold together, by origin.
    together: dict[str, dict[str, Share]] = field(default_factory=dict)
    truth: list[Truth] = field(default_factory=list)  # of origins whose faces' classes are known


@dataclass(frozen=True)
class Seen:
    """What findings are made of: a study's rows, and how alike their faces are, which needs no embeddings
    any more (`alike`)."""

    rows: pd.DataFrame
    alike: pd.DataFrame


def seen(table: pd.DataFrame, study: Study) -> Seen:
    """A study's rows with embeddings and probabilities, summed up: what stays of each face is how it was
    read, finer than its label (`measure.reading`)."""
    table = set_rows.told(table, study) if study.data else table
    kept = table.drop(columns=["embedding", *(f"p_{a}" for a in CLASSES)])
    for a in CLASSES if study.data else ("gender", "race"):
        kept[f"reading_{a}"] = [
            None if p is None else measure.reading(dict(zip(CLASSES[a], map(float, p))))
            for p in table[f"p_{a}"]
        ]
    return Seen(kept, alike(compared(set_rows.kept(table, study), study)))


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
                likeness = measure.mean_similarity(np.stack(list(group.embedding)))
                found.append({"origin": origin, "prompt": prompt, "race": race, "value": likeness})
    return pd.DataFrame(found, columns=["origin", "prompt", "race", "value"])


@dataclass(frozen=True)
class Known:
    """What is known beside a study's rows, by origin's name; what isn't known is left out."""

    # How the origin's classifier reads faces of known class.
    confusion: dict[str, dict[str, dict[str, dict[str, int]]]] = field(default_factory=dict)
    trained: dict[str, dict[str, float]] = field(default_factory=dict)  # women in its data, by profession
    shares: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)  # of its faces, by attribute


def of(seen: Seen, study: Study, known: Known) -> Findings:
    """The findings of a study's rows."""
    table, origins = set_rows.kept(seen.rows, study), {origin.name: origin for origin in study.origins}
    asked: Any = table[table.listed != CONTROL]
    order = [name for name in origins if name in set(table.origin)]
    cells = []
    for name in order:
        own: Any = table[table.origin == name]
        for prompt, rows in own.groupby("prompt"):
            grows = bool(study.half_width) and origins[name].kind not in (FOLDER, DATA)
            cells.append(cell(rows, str(prompt), name, study, grows))
    beside = compared(asked, study)
    return Findings(
        len(table),
        int((table.faces == 0).sum()),
        cells,
        [before(beside, seen.alike, name) for name in order if name in set(asked.origin)],
        touched(table, order),
        [b for name in order for b in references(cells, name, known.trained.get(name, {}))],
        {key for name in order for key in uneven([c for c in cells if c.origin == name])},
        (right := {n: corrected(beside[beside.origin == n], known.confusion.get(n, {})) for n in order}),
        chance(int(beside.groupby(["origin", "prompt"]).size().median())) if len(beside) else {},
        {name: together(beside[beside.origin == name]) for name in order},
        [t for n in order for t in truths(beside[beside.origin == n], n, right[n], known.shares.get(n, {}))],
    )


def compared(table: pd.DataFrame, study: Study) -> Any:
    """The rows on which origins are compared: where prompts end early those that all have, since few images
    show a larger bias and fewer distinct faces by chance."""
    return table[table.slot < looks(study.half_width)[0].n] if study.half_width else table


def uneven(cells: Sequence[Cell]) -> set[tuple[str, str]]:
    """The prompts of one origin whose women and men aren't equally likely, as (origin, prompt); at most
    `LEVEL` of them are expected to be false."""
    tried = [c for c in cells if c.listed != CONTROL and c.women.n]
    return {(c.origin, c.prompt) for c, found in zip(tried, discovered([c.p for c in tried])) if found}


def chance(n: int) -> dict[str, float]:
    """The mean bias(P) that n faces a prompt show of an even model, by attribute."""
    return {a: measure.bias_by_chance(len(classes), n) for a, classes in biased()}


def share(flags: Sequence[bool] | np.ndarray, miss: float = measure.MISS) -> Share:
    """A share of faces."""
    count, n = int(np.sum(flags)), len(flags)
    return Share(count, n, interval(count, n, miss))


def cell(rows: pd.DataFrame, prompt: str, origin: str, study: Study, grows: bool) -> Cell:
    """One prompt's images from one origin. Where it `grows` until enough is known, the interval of women is
    that of the look that ended it."""
    rows = rows.sort_values("slot")
    faces: Any = rows[rows.faces > 0]
    races = counted(faces, "race", RACES)
    women = share(faces.gender == "Female")
    ended, p = "", tested(women)
    if grows and study.half_width:
        plan = looks(study.half_width)
        look = next((one for one in plan if one.n >= len(rows)), plan[-1])
        women, p = share(faces.gender == "Female", look.miss), anytime(women)
        known = len(rows) == look.n and narrow(women.count, women.n, look.miss, study.half_width)
        ended = UNFINISHED if not known else EARLY if look is not plan[-1] else ""
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
        {a: measure.bias(counted(faces, a, classes)) for a, classes in biased()},
        p,
        share(rows.subject == profession) if profession else None,
        ended,
    )


def biased() -> list[tuple[str, Sequence[str]]]:
    """What bias(P) is told of."""
    return [("gender", GENDERS), ("race", RACES), (BOTH, TOGETHER)]


def classes_of(faces: pd.DataFrame, attribute: str) -> Any:
    """The class of each face, of an attribute or of `BOTH`."""
    return faces.race + " " + faces.gender if attribute == BOTH else faces[attribute]


def counted(faces: pd.DataFrame, attribute: str, classes: Sequence[str]) -> dict[str, int]:
    """How many faces there are of each class."""
    found = Counter(classes_of(faces, attribute))
    return {c: found[c] for c in classes}


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
    counts = {a: by_prompt(own, a, classes) for a, classes in biased()}
    by = {a: {p: measure.bias(c) for p, c in prompts_.items()} for a, prompts_ in counts.items()}
    spread = {a: [measure.deviation(c) for c in prompts_.values()] for a, prompts_ in counts.items()}
    base: Any = table[(table.method == BASELINE) & (table.origin != origin) & same_model(table, origin)]
    change = None
    if len(base) and own.method.iloc[0] != BASELINE:
        then = {p: measure.bias(c) for p, c in by_prompt(base, "gender", GENDERS).items()}
        both = [p for p in by["gender"] if p in then]
        change = measure.mean([by["gender"][p] - then[p] for p in both])
    values: Any = alike[(alike.origin == origin) & alike.prompt.isin(own.prompt)]
    named: Any = own[[prompts.profession(p) is not None for p in own.prompt]]
    right = [prompts.profession(p) == s for p, s in zip(named.prompt, named.subject)]
    return Before(
        origin,
        own.prompt.nunique(),
        {a: measure.mean(list(values.values())) for a, values in by.items()},
        {a: measure.mean(values) for a, values in spread.items()},
        change,
        share(np.array(right, bool)),
        measure.mean(list(values[values.race.notna()].value)),
        {race: measure.mean(list(own.value)) for race, own in values.groupby("race")},
        measure.mean(list(values[values.race.isna()].value)),
        float(own.seconds.min()),
    )


def same_model(table: pd.DataFrame, origin: str) -> pd.Series:
    """Which rows are of the model, and the guidance, that an origin's images are of."""
    own = str(table[table.origin == origin].method.iloc[0])
    return table.origin == origin.replace(f", {own}", f", {BASELINE}", 1)


def together(rows: pd.DataFrame) -> dict[str, Share]:
    """The shares of race and gender together among an origin's faces."""
    faces: Any = rows[rows.faces > 0]
    counts = counted(faces, BOTH, TOGETHER)
    return {c: Share(counts[c], len(faces), i) for c, i in measure.simultaneous(counts).items()}


def by_prompt(table: pd.DataFrame, attribute: str, classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Each prompt's counts of faces."""
    faces: Any = table[table.faces > 0]
    return {str(prompt): counted(own, attribute, classes) for prompt, own in faces.groupby("prompt")}


def touched(table: pd.DataFrame, order: Sequence[str]) -> list[Touched]:
    """Control prompts under every method: images that show another race or gender than their twins."""
    control: Any = table[table.listed == CONTROL]
    found = []
    methods = set(control[control.method != BASELINE].origin)
    for origin in (name for name in order if name in methods):
        base: Any = control[same_model(control, origin) & (control.method == BASELINE)]
        pairs = control[control.origin == origin].merge(base, on=["prompt", "slot"], suffixes=("", "_twin"))
        for prompt, own in pairs.groupby("prompt"):
            now, then = (
                [
                    f"{r} {g}" if n else "no face"
                    for r, g, n in zip(own[f"race{of}"], own[f"gender{of}"], own[f"faces{of}"])
                ]
                for of in ("", "_twin")
            )
            changed = share(np.array([a != b for a, b in zip(now, then)], bool))
            found.append(Touched(str(prompt), str(origin), changed, measure.parity(then, now)))
    held = discovered([t.p for t in found])
    return [replace(t, holds=holds) for t, holds in zip(found, held)]


def references(cells: Sequence[Cell], origin: str, trained: dict[str, float]) -> list[Beside]:
    """An origin's professions beside the workforce, and beside its training data where that is known."""
    workforce = {name: one.women / 100 for name, one in OCCUPATIONS.items()}
    found = [beside(cells, origin, WORKFORCE, workforce), beside(cells, origin, TRAINING, trained)]
    return [one for one in found if one]


def beside(cells: Sequence[Cell], origin: str, reference: str, shares: dict[str, float]) -> Beside | None:
    """Women of each profession beside a reference's shares; None for fewer than five professions."""
    points = []
    for c in cells:
        name = prompts.profession(c.prompt)
        if c.origin == origin and c.women.n and name in shares and c.listed != CONTROL:
            points.append((name, shares[name], c.women))
    names = list(dict.fromkeys(name for name, _, _ in points))
    if len(names) < 5:
        return None
    # A profession counts once, however many prompts name it.
    x = np.array([shares[name] for name in names])
    y = np.array([np.mean([s.share for own, _, s in points if own == name]) for name in names])
    return Beside(origin, reference, points, slope(x, y), ranks(x, y))


def slope(x: np.ndarray, y: np.ndarray) -> Estimate:
    """How steep y is in x by least squares, with a bootstrap interval over points."""

    def steep(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
        return (a * b).sum(-1) / np.maximum((a * a).sum(-1), 1e-12)

    return over_points(steep, x, y)


def ranks(x: np.ndarray, y: np.ndarray) -> Estimate:
    """The rank correlation of x and y (Spearman), with a bootstrap interval over points; nan where one of
    them is all the same."""
    from scipy.stats import rankdata

    def correlated(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a, b = (rankdata(v, axis=-1) for v in (a, b))
        a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
        spread = np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
        return np.divide((a * b).sum(-1), spread, out=np.full(np.shape(spread), np.nan), where=spread > 0)

    return over_points(correlated, x, y)


def over_points(measured: Callable[..., np.ndarray], x: np.ndarray, y: np.ndarray) -> Estimate:
    """A measure of points (..., n) with the interval of 2,000 bootstrap samples of them."""
    chosen = np.random.default_rng(0).integers(0, len(x), (2000, len(x)))
    low, high = np.nanquantile(measured(x[chosen], y[chosen]), [0.025, 0.975])
    return Estimate(float(measured(x, y)), (float(low), float(high)), len(x))


def truths(
    rows: pd.DataFrame,
    origin: str,
    right: dict[str, tuple[dict[str, float], measure.Corrected]],
    known: dict[str, dict[str, float]],
) -> list[Truth]:
    """An origin's shares beside the truth, where it is known."""
    faces: Any = rows[rows.faces > 0]
    return [
        Truth(
            origin,
            a,
            name,
            true,
            share(faces[a] == name),
            right[a][1].shares[name],
            right[a][1].intervals[name],
        )
        for a, shares in known.items()
        if a in right
        for name, true in shares.items()
    ]


def corrected(
    rows: pd.DataFrame, confusion: dict[str, Any]
) -> dict[str, tuple[dict[str, float], measure.Corrected]]:
    """An origin's shares over all its prompts as observed, and with the classifier's known errors taken
    out."""
    faces: Any = rows[rows.faces > 0]
    found = {}
    for a in ("gender", "race"):
        if a in confusion and len(faces):
            observed = measure.proportions({c: int((faces[a] == c).sum()) for c in CLASSES[a]})
            found[a] = observed, measure.correct(Counter(faces[f"reading_{a}"]), confusion[a])
    return found
