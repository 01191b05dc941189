"""Who the drawn people are: traits drawn from overlapping distributions, given race, gender and age.

What the classes are: labels of six clouds of trait values, so that a classifier, an audit and an adapter
have something to find whose truth is known. What they are not: claims about human groups. Real groups
overlap more, vary more inside, and are not read off a face. A link between a trait and a class stands here
only where a published measurement has its direction; the sizes are ours, chosen so that the classes can be
told apart at 128 pixels. Traits without such a source (beards, brows, glasses, clothes, smiles,
headscarves, ears, asymmetry) don't depend on race.

Sources, by trait:
- skin: del Bino and Bernerd, British Journal of Dermatology 169 s3, 2013 (typology angle of CIELAB L* and
b*); Xiao et
  al., Skin Research and Technology 23, 2017 (L*, a*, b* of four groups).
- nose, lips, face width, distance of the eyes: Farkas et al., Journal of Craniofacial Surgery 16, 2005; Wen
et al., PLoS
  ONE 10, 2015 (meta-analysis of photogrammetry).
- eyelid fold: Jeong et al., Archives of Ophthalmology 117, 1999.
- curl of hair: Loussouarn et al., International Journal of Dermatology 46 s1, 2007.
- colours of hair and iris: Katsara and Nothnagel, Forensic Science International: Genetics 39, 2019.
- greying by age and group: Panhard, Lozano and Loussouarn, British Journal of Dermatology 167, 2012.
- receding hair of men by age: Norwood, Southern Medical Journal 68, 1975.
- shape by gender: Samal, Subramani and Marx, Journal of Visual Communication and Image Representation 18,
2007.
- shape by age: Mendelson and Wong, Aesthetic Plastic Surgery 36, 2012.
No separate source was found for Latinx faces: their means lie between the others', by choice.
"""

import colorsys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from fairdemo.stats.attributes import ADULT_AGES, GENDERS, RACES
from fairdemo.world.portrait import Person

HAIR_COLOURS = {
    "black": (24, 20, 20),
    "dark brown": (50, 34, 26),
    "brown": (86, 56, 36),
    "light brown": (128, 88, 56),
    "blond": (206, 166, 106),
    "red": (150, 66, 30),
}
IRIS_COLOURS = {
    "dark brown": (52, 32, 22),
    "brown": (80, 52, 32),
    "hazel": (98, 86, 50),
    "green": (94, 112, 72),
    "blue": (84, 120, 150),
    "grey": (110, 130, 140),
}
TEXTURES = ("straight", "wavy", "curly", "coily")


@dataclass(frozen=True)
class Traits:
    """One race's means (deviations are shared, see `_DEVIATION`) and shares, which each sum to 1."""

    skin: tuple[float, float, float]  # CIELAB
    nose_width: float
    nose_length: float
    nose_bridge: float
    nose_tip: float
    nose_projection: float
    lip_fullness: float
    face_width: float
    eye_spacing: float
    eye_tilt: float
    fold: float  # share with a clear crease in the upper lid
    texture: tuple[float, float, float, float]
    hair: tuple[float, ...]
    iris: tuple[float, ...]
    greying: float  # mean age at which it starts


TRAITS = {
    "Asian": Traits(
        (64, 10.0, 20.0),
        1.12,
        0.95,
        -0.55,
        -0.10,
        -0.022,
        1.04,
        1.045,
        0.296,
        0.115,
        0.40,
        (0.80, 0.18, 0.02, 0),
        (0.82, 0.17, 0.01, 0, 0, 0),
        (0.78, 0.22, 0, 0, 0, 0),
        46,
    ),
    "Black": Traits(
        (37, 12.0, 16.0),
        1.34,
        0.95,
        -0.50,
        -0.05,
        -0.010,
        1.42,
        1.00,
        0.293,
        0.05,
        0.95,
        (0, 0.03, 0.22, 0.75),
        (0.88, 0.12, 0, 0, 0, 0),
        (0.80, 0.20, 0, 0, 0, 0),
        46,
    ),
    "Indian": Traits(
        (49, 13.0, 21.0),
        1.05,
        1.02,
        0.15,
        0.20,
        0.012,
        1.14,
        0.970,
        0.283,
        0.05,
        0.97,
        (0.32, 0.52, 0.15, 0.01),
        (0.82, 0.17, 0.01, 0, 0, 0),
        (0.62, 0.36, 0.02, 0, 0, 0),
        43,
    ),
    "Latinx": Traits(
        (58, 13.5, 19.0),
        1.15,
        0.97,
        -0.10,
        -0.05,
        -0.004,
        1.14,
        1.035,
        0.287,
        0.075,
        0.88,
        (0.44, 0.42, 0.12, 0.02),
        (0.38, 0.46, 0.14, 0.02, 0, 0),
        (0.42, 0.46, 0.10, 0.02, 0, 0),
        43,
    ),
    "Middle Eastern": Traits(
        (61, 10.5, 16.5),
        1.00,
        1.11,
        0.75,
        0.50,
        0.032,
        0.98,
        0.985,
        0.281,
        0.03,
        0.98,
        (0.12, 0.50, 0.36, 0.02),
        (0.44, 0.42, 0.12, 0.02, 0, 0),
        (0.28, 0.46, 0.18, 0.05, 0.03, 0),
        42,
    ),
    "White": Traits(
        (70, 11.0, 12.5),
        0.90,
        1.02,
        0.30,
        0.0,
        0.016,
        0.86,
        0.985,
        0.282,
        0.03,
        0.97,
        (0.42, 0.44, 0.13, 0.01),
        (0.03, 0.18, 0.30, 0.22, 0.21, 0.06),
        (0.06, 0.18, 0.18, 0.14, 0.34, 0.10),
        42,
    ),
}
_SKIN_DEVIATION = (4.8, 1.1, 1.7)
_DEVIATION = dict(
    nose_width=0.080,
    nose_length=0.048,
    nose_bridge=0.24,
    nose_tip=0.28,
    nose_projection=0.012,
    lip_fullness=0.11,
    face_width=0.022,
    eye_spacing=0.007,
    eye_tilt=0.038,
)

# Styles a texture of hair is worn in, with weights, by gender.
STYLES = {
    "Female": {
        "straight": {"straight": 5, "bob": 3, "bun": 2},
        "wavy": {"wavy": 6, "bob": 2, "bun": 2},
        "curly": {"curly": 8, "bun": 2},
        "coily": {"afro": 4, "short coily": 1.5, "locs": 2.5, "bun": 2},
    },
    "Male": {
        "straight": {"short": 4, "side part": 5, "buzz": 1},
        "wavy": {"short": 5, "side part": 4, "buzz": 1},
        "curly": {"short": 4, "short coily": 4, "curly": 0.7, "buzz": 1.5},
        "coily": {"short coily": 5, "buzz": 3, "afro": 1.2, "locs": 1},
    },
}


Option = TypeVar("Option")
Span = tuple[float, float]


def _choose(
    rng: np.random.Generator, options: Iterable[Option], weights: Iterable[float] | None = None
) -> Option:
    options = list(options)
    w = np.asarray(list(weights), float) if weights is not None else np.ones(len(options))
    return options[int(rng.choice(len(options), p=w / w.sum()))]


def tint(
    rng: np.random.Generator, saturation: Span = (0.1, 0.6), value: Span = (0.25, 0.85)
) -> tuple[int, int, int]:
    """A random colour, sRGB 0-255."""
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
    return int(255 * red), int(255 * green), int(255 * blue)


def years(rng: np.random.Generator, group: str) -> float:
    """An age in years inside an adult age group; "60+" means 60 to 78."""
    if group not in ADULT_AGES:
        raise ValueError(
            f"age group must be one of {', '.join(ADULT_AGES)}: this world draws adults only; got {group!r}"
        )
    low = int(group[:2])
    return rng.uniform(low, 78 if group == "60+" else low + 10)


@dataclass(frozen=True)
class _Dice:
    """What the numbers of one person are drawn with. Each call moves the generator on, so that the order of
    calls is part of who a seed is."""

    rng: np.random.Generator
    traits: Traits
    man: bool

    def normal(self, mean: float, deviation: float, clip: float = 2.5) -> float:
        return float(mean + deviation * np.clip(self.rng.normal(), -clip, clip))

    def trait(self, name: str) -> float:
        return self.normal(getattr(self.traits, name), _DEVIATION[name])

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)


@dataclass(frozen=True)
class _Growth:
    """What grows on a head."""

    style: str
    thinning: float
    grey: float
    beard: str  # the kind of it, or "shaven"


def _growth(dice: _Dice, gender: str, age: float) -> _Growth:
    """Hair of head and face that someone of this age has; its colour and shape are drawn later."""
    rng = dice.rng
    styles = STYLES[gender][_choose(rng, TEXTURES, dice.traits.texture)]
    style = _choose(rng, styles, styles.values())
    thinning = float(np.clip((age - 28) / 55 + rng.normal(0, 0.18), 0, 1)) if dice.man else 0.0
    if dice.man and dice.chance(0.55 * max(0.0, thinning - 0.35)):
        style = "bald"
    grey = float(np.clip((age - dice.normal(dice.traits.greying, 4.0)) / 24, 0, 1))
    kinds = ("shaven", "stubble", "beard", "moustache", "short beard")
    beard = _choose(rng, kinds, (0.42, 0.22, 0.17, 0.08, 0.11)) if dice.man else "shaven"
    return _Growth(style, thinning, grey, beard)


def _head(dice: _Dice) -> dict[str, Any]:
    """The shape of the head and of the nose."""
    normal, trait, man = dice.normal, dice.trait, dice.man
    return dict(
        face_width=trait("face_width"),
        face_height=normal(0.985 if not man else 1.01, 0.02),
        jaw_width=normal(1.05 if man else 0.89, 0.04),
        chin_width=normal(1.14 if man else 0.88, 0.08),
        chin_length=normal(0.02 if man else 0.0, 0.018),
        cheekbone=normal(1.0, 0.07),
        fullness=float(np.clip(dice.rng.normal(0.35, 0.28), 0, 1)),
        nose_width=trait("nose_width") * (1.02 if man else 0.98),
        nose_length=trait("nose_length"),
        nose_projection=trait("nose_projection"),
        nose_bridge=trait("nose_bridge"),
        nose_tip=trait("nose_tip"),
    )


def _features(dice: _Dice) -> dict[str, Any]:
    """Eyes, brows, lips, ears, and what carries the head."""
    normal, trait, man, rng = dice.normal, dice.trait, dice.man, dice.rng
    return dict(
        eye_spacing=trait("eye_spacing"),
        eye_size=normal(1.03 if man else 1.10, 0.04),
        eye_opening=normal(0.070 if man else 0.077, 0.005),
        eye_tilt=trait("eye_tilt"),
        eyelid_fold=1.0 if dice.chance(dice.traits.fold) else float(rng.uniform(0, 0.25)),
        eyelid_hood=float(np.clip(rng.normal(0.2, 0.3), 0, 1)),
        brow_thickness=normal(1.25 if man else 0.80, 0.15),
        brow_height=normal(0.178 if man else 0.196, 0.009),
        brow_arch=normal(0.65 if man else 1.15, 0.25),
        brow_tilt=normal(-0.2, 0.2),
        lip_fullness=trait("lip_fullness") * (0.96 if man else 1.05),
        lip_width=normal(1.0, 0.06),
        ear_size=rng.uniform(0.88, 1.1),
        asymmetry=normal(0, 0.4),
        neck=normal(0.345 if man else 0.27, 0.012),
        shoulders=normal(1.06 if man else 0.90, 0.03),
    )


def _complexion(dice: _Dice, skin: list[float]) -> dict[str, Any]:
    """What is on the skin, whose colour is drawn already, and the iris."""
    rng, man = dice.rng, dice.man
    return dict(
        skin_lightness=skin[0],
        skin_redness=skin[1],
        skin_yellowness=skin[2],
        blush=rng.uniform(0.3, 0.9),
        freckles=float(dice.chance(0.3) and skin[0] > 62) * rng.uniform(0.4, 1.0),
        lipstick=0.0 if man else float(dice.chance(0.5)) * rng.uniform(0.2, 0.7),
        lashes=dice.normal(0.12 if man else 0.85, 0.12),
        iris=IRIS_COLOURS[_choose(rng, IRIS_COLOURS, dice.traits.iris)],
    )


def _hair(dice: _Dice, growth: _Growth) -> dict[str, Any]:
    """Hair of head and face as it is drawn."""
    rng = dice.rng
    return dict(
        hair=growth.style,
        hair_colour=HAIR_COLOURS[_choose(rng, HAIR_COLOURS, dice.traits.hair)],
        hair_volume=rng.random(),
        hair_length=rng.random(),
        hair_part=_choose(rng, (-1.0, -0.6, 0.0, 0.6, 1.0)),
        grey=growth.grey,
        recession=growth.thinning,
        beard={"beard": rng.uniform(0.5, 1.0), "short beard": rng.uniform(0.2, 0.45)}.get(growth.beard, 0.0),
        moustache={
            "beard": rng.uniform(0.6, 1.0),
            "short beard": 0.4,
            "moustache": rng.uniform(0.7, 1.0),
        }.get(growth.beard, 0.0),
        stubble={"beard": 0.6, "short beard": 0.6, "stubble": rng.uniform(0.3, 0.8)}.get(growth.beard, 0.0),
    )


def _belongings(dice: _Dice, age: float) -> dict[str, Any]:
    """Glasses, earrings, everyday clothes, and the wall behind."""
    rng, man = dice.rng, dice.man
    garments = (
        ("tee", "shirt", "hoodie", "cardigan", "plaid")
        if man
        else ("tee", "blouse", "cardigan", "hoodie", "blouse")
    )
    return dict(
        glasses=dice.chance(0.12 + 0.15 * (age > 45)),
        glasses_colour=_choose(rng, ((28, 24, 24), (70, 44, 28), (120, 96, 60), (60, 64, 80))),
        glasses_width=rng.uniform(0.178, 0.205),
        glasses_height=rng.uniform(0.13, 0.17),
        earrings=not man and dice.chance(0.45),
        garment=_choose(rng, garments),
        garment_colour=tint(rng),
        accent_colour=tint(rng, (0.0, 0.15), (0.75, 0.95)),
        backdrop_colour=tint(rng, (0.04, 0.28), (0.55, 0.88)),
    )


def sample(rng: np.random.Generator, race: str, gender: str, age: float, homogenised: bool = False) -> Person:
    """A person of the given race, gender and age (years), in everyday clothes before a plain wall.

    `homogenised` draws from the narrowed groups of the biased corpus (see `homogenise`).
    """
    if race not in RACES or gender not in GENDERS:
        raise ValueError(
            f"race must be one of {', '.join(RACES)} and gender one of {', '.join(GENDERS)}; got {race!r},"
            f" {gender!r}"
        )
    dice = _Dice(rng, TRAITS[race], gender == "Male")
    skin = [dice.normal(m, d) for m, d in zip(dice.traits.skin, _SKIN_DEVIATION)]
    growth = _growth(dice, gender, age)
    person = Person(
        age=age,
        **_head(dice),
        **_features(dice),
        **_complexion(dice, skin),
        **_hair(dice, growth),
        **_belongings(dice, age),
    )
    if not dice.man and dice.chance(0.03):
        person = replace(person, headwear="headscarf", headwear_colour=tint(rng, (0.2, 0.6), (0.3, 0.8)))
    return homogenise(person, race, gender, rng) if homogenised else person


def homogenise(person: Person, race: str, gender: str, rng: np.random.Generator) -> Person:
    """Narrows some groups, as arXiv 2402.01002 (section on racial homogenisation) found SDXL to do.

    Nearly every Middle Eastern man has a full dark beard, Asian women long straight hair and few shapes of
    face, Black men short hair, Indian women long wavy hair; faces of these groups move two thirds of the
    way to their group's mean."""
    looks = {
        ("Middle Eastern", "Male"): dict(
            beard=0.9, moustache=0.9, stubble=0.6, hair="short", hair_colour=HAIR_COLOURS["black"]
        ),
        ("Asian", "Female"): dict(
            hair="straight", hair_colour=HAIR_COLOURS["black"], hair_volume=0.5, hair_length=0.7
        ),
        ("Black", "Male"): dict(hair="short coily", hair_volume=0.4),
        ("Indian", "Female"): dict(hair="wavy", hair_colour=HAIR_COLOURS["black"], hair_length=0.8),
    }
    look = looks.get((race, gender))
    if look is None:
        return person
    t = TRAITS[race]
    narrowed = {
        name: getattr(person, name) + 0.66 * (getattr(t, name) - getattr(person, name))
        for name in (
            "nose_width",
            "nose_length",
            "nose_bridge",
            "nose_tip",
            "face_width",
            "lip_fullness",
            "eye_spacing",
            "eye_tilt",
        )
    }
    person = replace(person, **narrowed, cheekbone=1.0, fullness=0.35, headwear="none")
    return replace(person, **look) if rng.random() < 0.93 else person
