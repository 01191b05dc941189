"""Targets: the distribution that a person wants over race, gender and age.

A target maps attributes to classes to shares. It may be partial: an attribute or a class that it doesn't
name stays as the baseline has it, so that "60 % women" leaves race alone. `complete` fills it in, `joint`
makes it a distribution over all 36 cells."""

import json
import reprlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairdemo.stats.attributes import GENDERS, RACES, TARGET_CLASSES

Target = dict[str, dict[str, float]]
DEPENDENCES = ("independent", "baseline")


@dataclass(frozen=True)
class Preset:
    """A ready-made target with the words that introduce it, where its numbers come from, and what they
    leave out."""

    title: str
    target: Target
    source: str
    limits: str = ""


def _shares(classes: tuple[str, ...], numbers: tuple[float, ...]) -> dict[str, float]:
    return {c: v / sum(numbers) for c, v in zip(classes, numbers)}


PRESETS: dict[str, Preset] = {
    "uniform": Preset(
        "Uniform: races and genders alike",
        {"race": _shares(RACES, (1,) * 6), "gender": _shares(GENDERS, (1, 1))},
        "arXiv 2402.01002, SDXL-Inc: every race and gender alike",
    ),
    "baseline": Preset("Same as baseline", {}, "the model as it is"),
    "women 70": Preset(
        "70 % women", {"gender": {"Female": 0.7, "Male": 0.3}}, "an example of a wish of one's own"
    ),
    "world": Preset(
        "World population",
        {
            "race": _shares(RACES, (2342, 1152, 2075, 658, 549, 1151)),
            "gender": _shares(GENDERS, (49.7, 50.3)),
        },
        "United Nations, World Population Prospects 2022, population of regions in 2022",
        "Regions stand for classes: Eastern and South-Eastern Asia for Asian, sub-Saharan Africa for Black,"
        " Central and Southern Asia for Indian, Latin America and the Caribbean for Latinx, Northern Africa"
        " and Western Asia for Middle Eastern, Europe, Northern America, Australia and New Zealand for White."
        " Nobody's descent is asked; Pacific islands (0.2 %) are left out.",
    ),
    "us": Preset(
        "US population",
        {
            "race": _shares(RACES, (15.2, 39.9, 4.4, 62.1, 3.5, 188.2)),
            "gender": _shares(GENDERS, (50.9, 49.1)),
        },
        "United States Census Bureau, Census 2020, millions of people",
        "Latinx is Hispanic of any race; Black, Asian and White are those of one race and not Hispanic;"
        " Indian (Asian Indian, 4.4) is taken out of Asian, Middle Eastern or North African (3.5) out of"
        " White. American Indians, Pacific islanders, other and several races (5.5 %) have no class here.",
    ),
    "age 75/25": Preset(
        "75 % young, 25 % old",
        {
            "race": _shares(RACES, (1,) * 6),
            "gender": _shares(GENDERS, (1, 1)),
            "age": {"young": 0.75, "middle": 0.125, "old": 0.125},
        },
        "arXiv 2311.07604: race and gender balanced, age 75 % young and 25 % old",
        "The paper has two ages; its old is split evenly over middle (40-59) and old (60+) here.",
    ),
}


def check(target: Any) -> Target:
    """The target with its shares as floats; ValueError that names the number at fault.

    Shares of an attribute that sum to one make the other classes 0; a lower sum over some of the classes
    leaves the rest open."""
    checked: Target = {}
    if not isinstance(target, dict) or not all(isinstance(shares, dict) for shares in target.values()):
        raise ValueError(
            f"target is {reprlib.repr(target)}; expected attributes with shares, "
            'like {"gender": {"Female": 0.6, "Male": 0.4}}'
        )
    for attribute, shares in target.items():
        if attribute not in TARGET_CLASSES:
            raise ValueError(
                f"target names the attribute {str(attribute)[:40]!r}; allowed are {', '.join(TARGET_CLASSES)}"
            )
        classes = TARGET_CLASSES[attribute]
        for name, share in shares.items():
            if name not in classes:
                raise ValueError(
                    f"target for {attribute} names {str(name)[:40]!r}; allowed are {', '.join(classes)}"
                )
            if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1.001:
                raise ValueError(
                    f"target share of {name} is {str(share)[:40]}; a share must be a number from 0 to 1"
                )
        total = sum(shares.values())
        if abs(total - 1) <= 1e-3:
            whole = 1 if abs(total - 1) < 1e-12 else total  # so that checking again changes nothing
            checked[attribute] = {c: float(shares.get(c, 0)) / whole for c in classes}
        elif total < 1 and len(shares) < len(classes):
            checked[attribute] = {c: float(shares[c]) for c in classes if c in shares}
        else:
            raise ValueError(f"target shares of {attribute} sum to {total:.3g}; they must sum to 1")
    return {a: s for a, s in checked.items() if s}


def parse(text: str) -> Target:
    """A target as people write it: a preset's name, "race:Black=0.3,White=0.2;gender:Female=0.6", or JSON.
    ValueError says what is wrong."""
    if text in PRESETS:
        return PRESETS[text].target
    if text.lstrip().startswith("{"):
        try:
            return check(json.loads(text))
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"target is not valid JSON: {error}") from None
    wish: Target = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        attribute, colon, shares = part.partition(":")
        if not colon:
            raise ValueError(
                f"target {text[:60]!r} is unknown; use {', '.join(map(repr, PRESETS))}, or shares like"
                " race:Black=0.3,White=0.2;gender:Female=0.6"
            )
        for item in shares.split(","):
            name, _, value = (v.strip() for v in item.partition("="))
            try:
                wish.setdefault(attribute.strip(), {})[name] = float(value)
            except ValueError:
                raise ValueError(
                    f"target share of {name[:40]!r} is {value[:40]!r}; a share must be a number from 0 to 1"
                ) from None
    return check(wish)


def written(target: Target) -> str:
    """A target as `parse` reads it, to the last digit: a preset's name where it is one."""
    same = next((name for name, preset in PRESETS.items() if check(preset.target) == target), None)
    return same or ";".join(
        f"{a}:" + ",".join(f"{c}={share!r}" for c, share in shares.items()) for a, shares in target.items()
    )


def marginals(joint: np.ndarray) -> Target:
    """The shares of each attribute's classes in a joint distribution (6, 2, 3)."""
    return {
        a: {c: float(v) for c, v in zip(classes, joint.sum(tuple(k for k in range(3) if k != i)))}
        for i, (a, classes) in enumerate(TARGET_CLASSES.items())
    }


def complete(target: Target, reference: np.ndarray) -> Target:
    """The target with every attribute and class, what it leaves open taken from `reference`, a joint
    distribution (6, 2, 3).

    Open classes share what is left in the reference's proportions; evenly where the reference has none of
    them."""
    full = marginals(reference)
    for attribute, shares in target.items():
        open_ = {c: full[attribute][c] for c in TARGET_CLASSES[attribute] if c not in shares}
        rest, total = 1 - sum(shares.values()), sum(open_.values())
        full[attribute] = {
            c: shares[c] if c in shares else rest * (open_[c] / total if total > 0 else 1 / len(open_))
            for c in TARGET_CLASSES[attribute]
        }
    return full


def fit(seed: np.ndarray, wanted: Target, rounds: int = 500) -> np.ndarray:
    """Iterative proportional fitting (Deming and Stephan 1940): the joint (6, 2, 3) with the wanted
    marginals that is nearest to `seed` in Kullback-Leibler divergence, so that it keeps the seed's odds
    ratios. Cells where the seed is 0 count as nearly 0."""
    joint = np.maximum(seed, 1e-9)
    for _ in range(rounds):
        before = joint
        for i, (attribute, classes) in enumerate(TARGET_CLASSES.items()):
            others = tuple(k for k in range(3) if k != i)
            want = np.array([wanted[attribute][c] for c in classes])
            have = joint.sum(others)
            joint = joint * np.expand_dims(
                np.divide(want, have, out=np.zeros_like(want), where=have > 0), others
            )
        if np.abs(joint - before).max() < 1e-10:
            break
    return joint / joint.sum()


def joint(target: Target, reference: np.ndarray, dependence: str = DEPENDENCES[0]) -> np.ndarray:
    """The wanted joint distribution (6, 2, 3) of a target completed from `reference` (6, 2, 3).

    `dependence` says how attributes go together: those that the target names "independent" of all others,
    or as in the "baseline" (old judges mostly men, say). Those that it doesn't name go together as they
    did. An empty target is the reference itself."""
    if dependence not in DEPENDENCES:
        raise ValueError(f"dependence is {dependence!r}; allowed are {', '.join(DEPENDENCES)}")
    if not target:
        return reference
    named = tuple(i for i, a in enumerate(TARGET_CLASSES) if a in target)
    seed = (
        reference.sum(named, keepdims=True) * np.ones_like(reference)
        if dependence == "independent"
        else reference
    )
    return fit(seed, complete(target, reference))
