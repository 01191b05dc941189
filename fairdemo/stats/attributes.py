"""Race, gender and age as a classifier perceives them: classes, their order, their colours, and mappings
between taxonomies.

Classes follow arXiv 2402.01002 (six races, two genders, age groups). Labels are what a classifier reads off
a face, not what a person is; a binary gender leaves people out, and six races merge many."""

import itertools

RACES = ("Asian", "Black", "Indian", "Latinx", "Middle Eastern", "White")
GENDERS = ("Female", "Male")
AGES = ("0-19", "20-29", "30-39", "40-49", "50-59", "60+")
ADULT_AGES = AGES[1:]
CLASSES: dict[str, tuple[str, ...]] = {"race": RACES, "gender": GENDERS, "age": AGES}
ATTRIBUTES = tuple(CLASSES)
# The three ages that adapters, prompts and targets speak of.
AGE_BANDS = {"young": ("0-19", "20-29", "30-39"), "middle": ("40-49", "50-59"), "old": ("60+",)}
# What a target is over: every combination of race, gender and age band, in the order of a (6, 2, 3) array.
TARGET_CLASSES: dict[str, tuple[str, ...]] = {"race": RACES, "gender": GENDERS, "age": tuple(AGE_BANDS)}
CELLS = tuple(itertools.product(*TARGET_CLASSES.values()))

# Okabe and Ito's palette, which colour-blind people can tell apart; ages run from light to dark in one hue.
COLOURS: dict[str, dict[str, str]] = {
    "race": dict(zip(RACES, ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#D55E00", "#56B4E9"))),
    "gender": dict(zip(GENDERS, ("#B5367A", "#2A788E"))),
    "age": dict(zip(AGES, ("#C7E9C0", "#A1D99B", "#74C476", "#41AB5D", "#238B45", "#005A32"))),
}


def age_group(years: float) -> str:
    """The age group of an age in years (0 or more)."""
    if years < 0:
        raise ValueError(f"age must be 0 or more years, got {years}")
    return AGES[0] if years < 20 else AGES[min(int(years) // 10 - 1, len(AGES) - 1)]


def band(group: str) -> str:
    """The age band of an age group, e.g. "old" for "60+"."""
    return next(b for b, groups in AGE_BANDS.items() if group in groups)
