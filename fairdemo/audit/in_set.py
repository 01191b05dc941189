"""What the rows of a captioned set say beside what any study's do: what was left aside, whom captions
name, which groups meet which professions, and each profession's corrected shares.

Labels are as perceived by the classifier, everywhere here."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fairdemo.audit import set_rows
from fairdemo.audit.findings import Known, Share, share
from fairdemo.audit.study import Study
from fairdemo.data.people import PERSON
from fairdemo.stats.attributes import CLASSES, GENDERS, RACES
from fairdemo.stats.confusions import Confusions

LEVEL = 0.05  # that intervals miss
DRAWS = 2000  # of the posterior behind intervals of PMI
GROUPS = (*GENDERS, *RACES)


@dataclass(frozen=True)
class Marked:
    """How often captions name the gender or the race of those who are perceived as one group."""

    origin: str
    attribute: str
    group: str
    named: Share


@dataclass(frozen=True)
class Met:
    """How much oftener, or more seldom, a group and a prompt meet than they would by chance: pointwise mutual
    information in bits (0: as by chance; 1: twice as often)."""

    origin: str
    prompt: str
    group: str
    bits: float
    interval: tuple[float, float]
    count: int
    n: int  # faces of the prompt


@dataclass(frozen=True)
class Right:
    """A class's share among a prompt's faces: as observed, with the classifier's errors taken out, and
    among all of its images where it is known who they show."""

    origin: str
    prompt: str
    attribute: str
    name: str  # of the class
    observed: Share
    corrected: float
    interval: tuple[float, float]  # of the corrected share
    true: float | None

    @property
    def held(self) -> bool:
        """Whether the corrected share's interval has the truth."""
        return self.true is None or self.interval[0] <= self.true <= self.interval[1]


@dataclass(frozen=True)
class InSet:
    """All that is found in captioned sets alone."""

    images: int
    aside: dict[str, int]  # why images are aside, and how many; some of them may be counted all the same
    kept: int  # images that findings are made of
    marked: list[Marked]
    met: list[Met]
    right: list[Right]


def of(table: pd.DataFrame, study: Study, known: Known) -> InSet:
    """What the rows of a study's captioned sets say (`set_rows.told`)."""
    kept = set_rows.kept(table, study)
    faces: Any = kept[kept.faces > 0]
    by_origin = [(str(origin), own) for origin, own in faces.groupby("origin", sort=False)]
    return InSet(
        len(table),
        {str(why): n for why, n in Counter(table.aside.dropna()).most_common()},
        len(kept),
        [one for origin, own in by_origin for one in marked(own, origin)],
        [one for origin, own in by_origin for one in met(own, origin)],
        [
            r
            for origin, own in kept.groupby("origin", sort=False)
            for r in right(own, str(origin), known.confusions.get(str(origin), Confusions()))
        ],
    )


def marked(faces: pd.DataFrame, origin: str) -> list[Marked]:
    """How often captions name what groups are, for each group."""
    found = []
    for attribute, classes in (("gender", GENDERS), ("race", RACES)):
        for group in classes:
            own: Any = faces[faces[attribute] == group]
            found.append(Marked(origin, attribute, group, share(own[f"names_{attribute}"].to_numpy(bool))))
    return found


def met(faces: pd.DataFrame, origin: str, seed: int = 0) -> list[Met]:
    """How prompts and groups meet, over faces with a profession or an attribute. Intervals are of the
    posterior under Jeffreys' prior, with half a face more everywhere."""
    asked: Any = faces[faces.listed != PERSON]
    rng, found = np.random.default_rng(seed), []
    for classes, attribute in ((GENDERS, "gender"), (RACES, "race")):
        table = pd.crosstab(asked.prompt, asked[attribute]).reindex(columns=list(classes), fill_value=0)
        counts = table.to_numpy(float)
        if not counts.size:
            continue
        drawn = rng.dirichlet(counts.ravel() + 0.5, DRAWS).reshape(DRAWS, *counts.shape)
        low, high = np.quantile(bits(drawn), [LEVEL / 2, 1 - LEVEL / 2], axis=0)
        middle = bits(counts + 0.5)
        found += [
            Met(origin, str(p), c, float(middle[i, j]), (float(low[i, j]), float(high[i, j])), *sizes)
            for i, p in enumerate(table.index)
            for j, c in enumerate(classes)
            for sizes in [(int(counts[i, j]), int(counts[i].sum()))]
        ]
    return found


def bits(joint: np.ndarray) -> np.ndarray:
    """The pointwise mutual information of tables (..., rows, columns) of joint frequencies, in bits
    (Church and Hanks 1990)."""
    rows, columns = joint.sum(-1, keepdims=True), joint.sum(-2, keepdims=True)
    return np.log2(joint * joint.sum((-1, -2), keepdims=True) / (rows * columns))


def right(kept: pd.DataFrame, origin: str, confusions: Confusions) -> list[Right]:
    """Each prompt's corrected shares among faces, beside the truth of all its images where it is known."""
    found = []
    for prompt, images in kept.groupby("prompt"):
        own: Any = images[images.faces > 0]
        for attribute in CLASSES:
            corrected = confusions.correct(attribute, Counter(own[f"reading_{attribute}"]))
            if corrected is None:
                continue
            true: Any = images[f"true_{attribute}"]
            found += [
                Right(
                    origin,
                    str(prompt),
                    attribute,
                    c,
                    share((own[attribute] == c).to_numpy()),
                    corrected.shares[c],
                    corrected.intervals[c],
                    float((true == c).mean()) if true.notna().all() else None,
                )
                for c in corrected.shares
            ]
    return found
