"""Targets: the distribution that a person wants over race, gender and age.

A target is a plain mapping attribute -> class -> share; an empty one is the baseline. Race and gender combine
independently into cells; ages are asked for in three bands (see `attributes.AGE_BANDS`).
"""

import itertools
import json
import math

from fairdemo.attributes import AGE_BANDS, GENDERS, RACES

Target = dict[str, dict[str, float]]
TARGET_CLASSES = {"race": RACES, "gender": GENDERS, "age": tuple(AGE_BANDS)}
PRESETS: dict[str, Target] = {
    "uniform": {"race": {r: 1 / 6 for r in RACES}, "gender": {g: 1 / 2 for g in GENDERS}},
    "baseline": {},
    "women 70": {"gender": {"Female": 0.7, "Male": 0.3}},
}


def check(target: Target) -> Target:
    """The target with every class present; ValueError that names the number at fault."""
    for attribute, shares in target.items():
        if attribute not in TARGET_CLASSES:
            raise ValueError(f"target names the attribute {attribute!r}; allowed are {', '.join(TARGET_CLASSES)}")
        classes = TARGET_CLASSES[attribute]
        for name, share in shares.items():
            if name not in classes:
                raise ValueError(f"target for {attribute} names {name!r}; allowed are {', '.join(classes)}")
            if not (isinstance(share, (int, float)) and math.isfinite(share)) or share < 0:
                raise ValueError(f"target share of {name} is {share}; a share must be a number from 0 to 1")
        total = sum(shares.values())
        if abs(total - 1) > 1e-3:
            raise ValueError(f"target shares of {attribute} sum to {total:.3g}; they must sum to 1")
    return {a: {c: float(shares.get(c, 0)) / sum(shares.values()) for c in TARGET_CLASSES[a]} for a, shares in target.items()}


def parse(text: str) -> Target:
    """A target from the command line: a preset's name, or JSON such as {"gender": {"Female": 0.6, "Male": 0.4}}."""
    if text in PRESETS:
        return PRESETS[text]
    if not text.lstrip().startswith("{"):
        raise ValueError(f"target {text!r} is unknown; use {', '.join(map(repr, PRESETS))} or JSON like "
                         '{"gender": {"Female": 0.6, "Male": 0.4}}')
    try:
        wish = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"target is not valid JSON: {error}") from None
    if not isinstance(wish, dict) or not all(isinstance(v, dict) for v in wish.values()):
        raise ValueError('target must map attributes to shares, like {"gender": {"Female": 0.6, "Male": 0.4}}')
    return check(wish)


def cells(target: Target, attributes: tuple[str, ...]) -> dict[tuple[str, ...], float]:
    """The joint of the target over `attributes`, independent: one share for each combination of classes, summing to 1."""
    return {combination: math.prod(target[a][c] for a, c in zip(attributes, combination))
            for combination in itertools.product(*(TARGET_CLASSES[a] for a in attributes))}
