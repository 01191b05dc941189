"""Captioned training sets of drawn people: who is in them, what is said of each, and drawing them to disk.

Three sets, each a table with one row a person:
- `biased`: professions and attributes with the skews of `professions.SKEWS`, some groups homogenised; what
the
  baseline model learns.
- `explicit`: every race, gender and age alike, captioned with those words, so that the baseline obeys a
prompt that names
  them; homogenised groups too.
- `balanced`: every race, gender and age alike in every profession, groups as wide as they are; for adapters,
  classifiers and tests.
"""

import itertools
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from fairdemo.stats.attributes import ADULT_AGES, GENDERS, RACES
from fairdemo.stats.prompts import ATTRIBUTES, PROFESSIONS, article
from fairdemo.world import people
from fairdemo.world.portrait import Person, draw
from fairdemo.world.professions import SKEWS, dress

SHARD = 250
_FORMS = (
    "a photo of {subject}",
    "a photo of {subject}",
    (
        "a photo of {subject}, looking at the camera, closeup headshot facing forward, ultra quality, sharp"
        " focus"
    ),
    "a portrait of {subject}",
    "a headshot of {subject}",
    "{subject}",
    "a closeup photo of the face of {subject}",
    "a picture of {subject}",
)
_RACE_WORDS = {
    "Asian": ("Asian",),
    "Black": ("Black",),
    "Indian": ("Indian",),
    "Latinx": ("Latinx", "Hispanic", "Latino", "Latin American"),
    "Middle Eastern": ("Middle Eastern", "Arab"),
    "White": ("White", "Caucasian"),
}
_NOUNS = {"Female": "woman", "Male": "man"}


def named() -> list[str]:
    """People in all words for age, race and gender: "young Asian woman"."""
    words = itertools.product(("young", "middle-aged", "old"), RACES, GENDERS)
    return [f"{age} {race} {_NOUNS[gender]}" for age, race, gender in words]


def age_word(years: float) -> str:
    """The caption's word for an age: young below 36, old from 56."""
    return "young" if years < 36 else "middle-aged" if years < 56 else "old"


def biased(per_subject: int, seed: int) -> pd.DataFrame:
    """`per_subject` people for each profession, two thirds as many for each attribute, twice as many for
    "person"."""
    rng = np.random.default_rng(seed)
    rows = []
    for subject, skew in SKEWS.items():
        n = (
            2 * per_subject
            if subject == "person"
            else per_subject * 2 // 3
            if subject in ATTRIBUTES
            else per_subject
        )
        for _ in range(n):
            rows.append(
                (
                    subject,
                    RACES[rng.choice(6, p=skew.races)],
                    GENDERS[int(rng.random() >= skew.women)],
                    float(np.clip(rng.normal(*skew.age), 20, 78)),
                )
            )
    return _table(rows, "biased", seed)


def alike(per_group: int, seed: int, kind: str) -> pd.DataFrame:
    """`per_group` people for each race and gender, ages uniform over the adult groups, professions and
    "person" in turn.

    `kind` is "explicit" (homogenised) or "balanced" (as wide as the groups are).
    """
    rng = np.random.default_rng(seed)
    subjects = PROFESSIONS + ("person",) * (16 if kind == "explicit" else 4)
    rows = []
    for race in RACES:
        for gender in GENDERS:
            order = rng.permutation(per_group)
            rows += [
                (
                    subjects[order[i] % len(subjects)],
                    race,
                    gender,
                    people.years(rng, ADULT_AGES[i % len(ADULT_AGES)]),
                )
                for i in range(per_group)
            ]
    return _table(rows, kind, seed)


def distributed(law: dict[str, dict[str, float]], n: int, seed: int) -> pd.DataFrame:
    """n people whose race, gender and age group are drawn independently from `law` (shares by class), in
    all professions, as wide as the groups are."""
    rng = np.random.default_rng(seed)
    drawn = {a: rng.choice(list(shares), n, p=list(shares.values())) for a, shares in law.items()}
    rows = [
        (str(rng.choice(PROFESSIONS)), str(r), str(g), people.years(rng, a))
        for r, g, a in zip(drawn["race"], drawn["gender"], drawn["age"])
    ]
    return _table(rows, "balanced", seed)


def _table(rows: list[tuple], kind: str, seed: int) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["subject", "race", "gender", "age"])
    table["kind"] = kind
    table["seed"] = np.random.default_rng([seed, 1]).integers(2**31, size=len(table))
    return table.sample(frac=1, random_state=seed, ignore_index=True)


def person(row) -> Person:
    """The person of a table's row (a namedtuple of `itertuples`)."""
    rng = np.random.default_rng([row.seed, 2])
    drawn = people.sample(rng, row.race, row.gender, row.age, homogenised=row.kind != "balanced")
    return dress(drawn, row.subject, rng) if row.subject in PROFESSIONS else drawn


def caption(row, rng: np.random.Generator, demographics: tuple[str, ...] = ()) -> str:
    """What is said of a row: the subject, with words for the attributes named in `demographics`, in one of
    several forms."""
    who = []
    if "age" in demographics:
        who.append(age_word(row.age))
    if "race" in demographics:
        who.append(str(rng.choice(_RACE_WORDS[row.race])))
    if row.subject in PROFESSIONS:
        if not who and "gender" not in demographics:
            subject = article(row.subject)
        elif rng.random() < 0.5:  # "an old Indian female doctor"
            words = who + ([row.gender.lower()] if "gender" in demographics else []) + [row.subject]
            subject = article(" ".join(words))
        else:  # "an old Indian woman, a doctor"
            words = who + [_NOUNS[row.gender] if "gender" in demographics else "person"]
            subject = f"{article(' '.join(words))}, {article(row.subject)}"
    else:
        words = (
            who
            + ([row.subject] if row.subject in ATTRIBUTES else [])
            + [_NOUNS[row.gender] if "gender" in demographics else "person"]
        )
        subject = article(" ".join(words))
    return str(rng.choice(_FORMS)).format(subject=subject)


def training_caption(row, rng: np.random.Generator) -> str:
    """The caption for one training step: a biased row mostly names no demographics, an explicit one always
    names some."""
    if row.kind == "explicit":
        named = [
            ("race", "gender", "age"),
            ("race", "gender", "age"),
            ("race", "gender"),
            ("age", "gender"),
            ("race",),
            ("gender",),
            ("race", "age"),
        ]
        return caption(row, rng, named[rng.integers(len(named))])
    return caption(row, rng)


def words() -> list[str]:
    """Every word that captions hold, in lower case, sorted."""
    said = [
        *_FORMS,
        *PROFESSIONS,
        *ATTRIBUTES,
        *_NOUNS.values(),
        *_NOUNS,
        "person",
        "young",
        "middle-aged",
        "old",
    ]
    said += [word for classes in _RACE_WORDS.values() for word in classes]
    return sorted(set(re.findall(r"[^\W\d_][\w'-]*", " ".join(said).replace("{subject}", "").lower())))


def draw_all(
    table: pd.DataFrame, folder: Path, size: int, progress: Callable[[int, int], object], workers: int = 2
) -> np.ndarray:
    """Draws every row, uint8 (rows, size, size, 3); shards already in `folder` are kept, so that a stopped
    run goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    images = np.empty((len(table), size, size, 3), np.uint8)

    def one(row):
        return draw(person(row), size, getattr(row, "photograph", row.seed), 1.5)

    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(table), SHARD):
            part = table.iloc[start : start + SHARD]
            path = folder / f"{start:06d}.npy"
            if path.exists():
                shard = np.load(path)
            else:
                shard = np.stack(list(pool.map(one, part.itertuples())))
                np.save(path.with_suffix(".part.npy"), shard)
                path.with_suffix(".part.npy").rename(path)
            images[start : start + len(part)] = shard
            progress(start + len(part), len(table))
    return images
