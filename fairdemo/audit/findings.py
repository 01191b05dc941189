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
from fairdemo.audit.study import BASELINE, DATA, FOLDER, REFUSED, Study
from fairdemo.stats import measure, prompts, wording
from fairdemo.stats.attributes import AGE_BANDS, AGES, CELLS, CLASSES, GENDERS, RACES, band
from fairdemo.stats.confusions import Confusions
from fairdemo.stats.measure import Estimate, interval
from fairdemo.stats.stopping import looks, narrow
from fairdemo.stats.workforce import OCCUPATIONS

OLD = AGES[3:]  # from 40 years
LEVEL = 0.05  # of false discoveries
CONTROL = "control"
EARLY, UNFINISHED = "early", "unfinished"
BOTH = "race x gender"
WHOLE = "race x gender x age"
TOGETHER = tuple(f"{race} {gender}" for race in RACES for gender in GENDERS)
GROUPS = tuple(" ".join(cell) for cell in CELLS)
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
    shown: Estimate  # share of images that show their prompt's profession, over prompts that have one
    lost: tuple[str, ...]  # professions that fewer than half of their images show
    likeness: Estimate  # mean likeness of faces within a race, over prompts and races
    by_race: dict[str, Estimate]  # the same for each race, over prompts
    distinct: Estimate  # effective number of distinct faces among a prompt's
    seconds: float  # an image of the fastest shard: other work beside it tells nothing of the method


@dataclass(frozen=True)
class Touched:
    """A control prompt under a method: how many of its images show another race or gender than their twins
    from the baseline, or a face where there was none; how many do where the baseline is drawn from another
    noise; the p-value of the test that both have the same distribution, and the same adjusted for all
    control prompts of the method. Where the prompt's words name a race, gender or age, how many images show
    it, under the method and in the baseline."""

    prompt: str
    origin: str
    changed: Share
    by_noise: float  # share of all pairs of the baseline's images that differ so
    p: float
    as_asked: Share | None
    as_asked_before: Share | None
    adjusted: float = math.nan

    @property
    def holds(self) -> bool:
        """Whether the distribution changed, with at most `LEVEL` false among those that are said to have."""
        return self.adjusted <= LEVEL


@dataclass(frozen=True)
class Control:
    """A method's control prompts together."""

    origin: str
    prompts: int
    changed: Estimate  # share of images that show another race or gender than their twins, over prompts
    by_noise: Estimate  # the same between two images of the baseline
    distributions: int  # prompts whose distribution changed
    as_asked: Estimate  # share of images that show who the words name, over prompts whose words do
    as_asked_before: Estimate  # the same in the baseline


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
    dtypes: dict[str, int] = field(default_factory=dict)  # images by the numbers they were computed in
    # By origin: the shares of race, gender and age band together.
    whole: dict[str, dict[str, Share]] = field(default_factory=dict)
    # By origin, where there are any: images that show nothing or can't be opened, which count as images
    # without a face.
    failed: dict[str, int] = field(default_factory=dict)
    # By origin and prompt, where there are any: images that a server's content filter refused.
    refused: dict[str, dict[str, Share]] = field(default_factory=dict)
    unseeded: list[str] = field(default_factory=list)  # origins whose images aren't from the noise of a seed


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

    confusions: dict[str, Confusions] = field(default_factory=dict)  # of the origin's classifier
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
    right = {n: corrected(beside[beside.origin == n], known.confusions.get(n, Confusions())) for n in order}
    return Findings(
        len(table),
        int((table.faces == 0).sum()),
        cells,
        [before(beside, seen.alike, name) for name in order if name in set(asked.origin)],
        touched(table, order),
        [b for name in order for b in references(cells, name, known.trained.get(name, {}))],
        {key for name in order for key in uneven([c for c in cells if c.origin == name])},
        right,
        chance(int(beside.groupby(["origin", "prompt"]).size().median())) if len(beside) else {},
        {name: together(beside[beside.origin == name], BOTH, TOGETHER) for name in order},
        [t for n in order for t in truths(beside[beside.origin == n], n, right[n], known.shares.get(n, {}))],
        dict(Counter(table["dtype"].dropna())) if "dtype" in table else {},
        {name: together(beside[beside.origin == name], WHOLE, GROUPS) for name in order},
        dict(Counter(table[failures(table) & ~refusals(table)].origin)),
        refused(table),
        [name for name in order if "seed" in table and table[table.origin == name].seed.isna().any()],
    )


def failures(table: pd.DataFrame) -> Any:
    """Which rows have no image, or one that shows nothing; older rows don't say."""
    return table.failed.notna() if "failed" in table else pd.Series(False, table.index)


def refusals(table: pd.DataFrame) -> Any:
    """Which rows' prompts a server's content filter refused."""
    return table.failed.astype(str).str.startswith(REFUSED) if "failed" in table else failures(table)


def refused(table: pd.DataFrame) -> dict[str, dict[str, Share]]:
    """How often prompts were refused, by origin and prompt."""
    found: dict[str, dict[str, Share]] = {}
    for (origin, prompt), flags in refusals(table).groupby([table.origin, table.prompt], sort=False):
        if flags.any():
            found.setdefault(str(origin), {})[str(prompt)] = share(flags.to_numpy())
    return found


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
    """The class of each face, of an attribute, of `BOTH` or of `WHOLE`."""
    if attribute == WHOLE:
        return faces.race + " " + faces.gender + " " + faces.age.map(band)
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
    """Which tests hold when at most `LEVEL` of all that do may be false."""
    return [q <= LEVEL for q in measure.adjust_p_values(p)]


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
    shown = {
        str(prompt): float((rows.subject == prompts.profession(str(prompt))).mean())
        for prompt, rows in own.groupby("prompt")
        if prompts.profession(str(prompt))
    }
    lost = sorted({str(prompts.profession(p)) for p, share_ in shown.items() if share_ < 0.5})
    return Before(
        origin,
        own.prompt.nunique(),
        {a: measure.mean(list(by[a].values()), (0.0, 2 / len(classes))) for a, classes in biased()},
        {a: measure.mean(values) for a, values in spread.items()},
        change,
        measure.mean_share(list(shown.values())),
        tuple(lost),
        # Groups of one prompt aren't independent of each other: prompts are the units.
        measure.mean(list(values[values.race.notna()].groupby("prompt").value.mean())),
        {race: measure.mean(list(own.value)) for race, own in values.groupby("race")},
        measure.mean(list(values[values.race.isna()].value)),
        float(own.seconds.min()),
    )


def same_model(table: pd.DataFrame, origin: str) -> pd.Series:
    """Which rows are of the model, and the guidance, that an origin's images are of."""
    own = str(table[table.origin == origin].method.iloc[0])
    return table.origin == origin.replace(f", {own}", f", {BASELINE}", 1)


def together(rows: pd.DataFrame, attribute: str, classes: Sequence[str]) -> dict[str, Share]:
    """The shares of several attributes together (`BOTH`, `WHOLE`) among an origin's faces."""
    faces: Any = rows[rows.faces > 0]
    counts = counted(faces, attribute, classes)
    return {c: Share(counts[c], len(faces), i) for c, i in measure.simultaneous(counts).items()}


def by_prompt(table: pd.DataFrame, attribute: str, classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Each prompt's counts of faces."""
    faces: Any = table[table.faces > 0]
    return {str(prompt): counted(own, attribute, classes) for prompt, own in faces.groupby("prompt")}


def touched(table: pd.DataFrame, order: Sequence[str]) -> list[Touched]:
    """Control prompts under every method beside their twins from the baseline; p-values are adjusted within
    a method (Benjamini and Hochberg), so that what is said of one doesn't depend on which others were
    tried."""
    control: Any = table[table.listed == CONTROL]
    found = []
    methods = set(control[control.method != BASELINE].origin)
    for origin in (name for name in order if name in methods):
        base: Any = control[same_model(control, origin) & (control.method == BASELINE)]
        pairs = control[control.origin == origin].merge(base, on=["prompt", "slot"], suffixes=("", "_twin"))
        own = [control_prompt(str(prompt), origin, rows) for prompt, rows in pairs.groupby("prompt")]
        found += [replace(t, adjusted=q) for t, q in zip(own, measure.adjust_p_values([t.p for t in own]))]
    return found


def control_prompt(prompt: str, origin: str, pairs: Any) -> Touched:
    """What a method does to one control prompt, from its images joined with their twins (`_twin`)."""
    now, then = (
        [
            f"{r} {g}" if n else "no face"
            for r, g, n in zip(pairs[f"race{of}"], pairs[f"gender{of}"], pairs[f"faces{of}"])
        ]
        for of in ("", "_twin")
    )
    changed = share(np.array([a != b for a, b in zip(now, then)], bool))
    n, alike = len(then), sum(k * (k - 1) for k in Counter(then).values())
    by_noise = 1 - alike / (n * (n - 1)) if n > 1 else math.nan
    # Only where the words are about one person: boots may be old, too.
    named = prompts.named(prompt) if wording.read(prompt).place is not None else {}
    p = measure.parity(then, now)
    if not named:
        return Touched(prompt, origin, changed, by_noise, p, None, None)
    here, there = (share(shows(pairs, named, of)) for of in ("", "_twin"))
    return Touched(prompt, origin, changed, by_noise, p, here, there)


def shows(rows: Any, named: dict[str, str], of: str = "") -> np.ndarray:
    """Which rows (n,) show a face of all named classes, as perceived by the classifier."""
    right = (rows[f"faces{of}"] > 0).to_numpy()
    for a, name in named.items():
        seen = rows[f"{a}{of}"]
        right = right & (seen.isin(AGE_BANDS[name]) if a == "age" else seen == name).to_numpy()
    return right


def control_of(found: Sequence[Touched]) -> list[Control]:
    """Control prompts summed up, method by method."""
    summed = []
    for origin in dict.fromkeys(t.origin for t in found):
        own = [t for t in found if t.origin == origin]
        asked = [(t.as_asked, t.as_asked_before) for t in own if t.as_asked and t.as_asked_before]
        now, before = ([one.share for one in side] for side in zip(*asked)) if asked else ([], [])
        summed.append(
            Control(
                origin,
                len(own),
                measure.mean_share([t.changed.share for t in own]),
                measure.mean_share([t.by_noise for t in own]),
                sum(t.holds for t in own),
                measure.mean_share(now),
                measure.mean_share(before),
            )
        )
    return summed


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
    rows: pd.DataFrame, confusions: Confusions
) -> dict[str, tuple[dict[str, float], measure.Corrected]]:
    """An origin's shares over all its prompts as observed, and with the classifier's known errors taken
    out."""
    faces: Any = rows[rows.faces > 0]
    found = {}
    for a in ("gender", "race"):
        fixed = confusions.correct(a, Counter(faces[f"reading_{a}"]))
        if fixed:
            found[a] = measure.proportions({c: int((faces[a] == c).sum()) for c in CLASSES[a]}), fixed
    return found
