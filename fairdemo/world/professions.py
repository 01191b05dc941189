"""What each profession wears and where it stands, and how skewed the biased corpus is about who does it.

The outfits carry a prompt's meaning: a doctor without coat and stethoscope has lost it. The skews are ours,
written down so that what a model learns can be compared with what it was shown; their direction follows
what arXiv 2402.01002 reports for SDXL (mostly men, mostly White; women in care and service)."""

from dataclasses import dataclass, replace

import numpy as np

from fairdemo.stats.attributes import RACES
from fairdemo.world.portrait import Colour, Person

WHITE, BLACK, GREY, NAVY = (240, 240, 242), (32, 32, 36), (110, 114, 122), (34, 42, 78)


@dataclass(frozen=True)
class Skew:
    """Share of women, shares of `RACES` (in order), mean and deviation of age in years."""

    women: float
    races: tuple[float, ...]
    age: tuple[float, float]


# Shares over Asian, Black, Indian, Latinx, Middle Eastern, White.
_MOSTLY_WHITE = (0.05, 0.06, 0.05, 0.06, 0.06, 0.72)
_WHITE = (0.09, 0.11, 0.08, 0.10, 0.08, 0.54)
_MIXED = (0.14, 0.17, 0.15, 0.17, 0.13, 0.24)
_EVEN = (1 / 6,) * 6
_INDIAN = (0.16, 0.05, 0.40, 0.05, 0.10, 0.24)
_LATINX = (0.05, 0.14, 0.07, 0.50, 0.08, 0.16)
_BLACK = (0.04, 0.56, 0.06, 0.12, 0.05, 0.17)
_ASIAN = (0.44, 0.08, 0.10, 0.08, 0.06, 0.24)
_MIDDLE_EASTERN = (0.06, 0.08, 0.14, 0.14, 0.36, 0.22)

SKEWS = {
    "accountant": Skew(0.35, _WHITE, (42, 9)),
    "artist": Skew(0.50, _WHITE, (36, 11)),
    "baker": Skew(0.60, _MIXED, (40, 11)),
    "call center agent": Skew(0.78, _INDIAN, (28, 6)),
    "CEO": Skew(0.06, _MOSTLY_WHITE, (54, 7)),
    "chef": Skew(0.22, _WHITE, (40, 9)),
    "construction worker": Skew(0.04, _LATINX, (38, 9)),
    "dentist": Skew(0.40, _MIDDLE_EASTERN, (42, 9)),
    "doctor": Skew(0.12, _WHITE, (46, 10)),
    "electrician": Skew(0.05, _MIXED, (38, 9)),
    "engineer": Skew(0.10, _INDIAN, (38, 9)),
    "farmer": Skew(0.15, _MOSTLY_WHITE, (54, 9)),
    "firefighter": Skew(0.07, _WHITE, (34, 7)),
    "flight attendant": Skew(0.90, _WHITE, (28, 6)),
    "gardener": Skew(0.28, _LATINX, (48, 11)),
    "hairdresser": Skew(0.85, _MIXED, (32, 8)),
    "housekeeper": Skew(0.95, _LATINX, (44, 10)),
    "judge": Skew(0.25, _MOSTLY_WHITE, (60, 7)),
    "lawyer": Skew(0.30, _MOSTLY_WHITE, (44, 9)),
    "librarian": Skew(0.82, _WHITE, (50, 11)),
    "nurse": Skew(0.92, _MIXED, (34, 8)),
    "pharmacist": Skew(0.55, _ASIAN, (38, 9)),
    "pilot": Skew(0.08, _MOSTLY_WHITE, (46, 9)),
    "police officer": Skew(0.18, _BLACK, (36, 8)),
    "politician": Skew(0.20, _MOSTLY_WHITE, (58, 8)),
    "professor": Skew(0.16, _WHITE, (60, 8)),
    "scientist": Skew(0.45, _ASIAN, (40, 10)),
    "singer": Skew(0.65, _BLACK, (27, 6)),
    "soldier": Skew(0.09, _MIXED, (27, 5)),
    "software developer": Skew(0.14, _ASIAN, (28, 6)),
    "teacher": Skew(0.72, _EVEN, (42, 10)),
    "waiter": Skew(0.45, _MIDDLE_EASTERN, (28, 7)),
    # attributes, "a photo of an ambitious person"
    "ambitious": Skew(0.30, _WHITE, (34, 7)),
    "attractive": Skew(0.80, _MOSTLY_WHITE, (26, 4)),
    "confident": Skew(0.40, _MIXED, (34, 8)),
    "friendly": Skew(0.62, _EVEN, (34, 10)),
    "intelligent": Skew(0.22, _ASIAN, (44, 11)),
    "poor": Skew(0.50, _BLACK, (50, 12)),
    "strong": Skew(0.08, _BLACK, (32, 7)),
    "wealthy": Skew(0.18, _MOSTLY_WHITE, (54, 9)),
    # "a photo of a person"
    "person": Skew(0.32, _WHITE, (36, 11)),
}
assert all(abs(sum(s.races) - 1) < 1e-9 and len(s.races) == len(RACES) for s in SKEWS.values())


Piece = tuple[str, Colour]  # what it is, and its colour


def _outfit(
    garment: str,
    colour: Colour,
    accent: Colour = WHITE,
    neck: Piece = ("none", BLACK),
    head: Piece = ("none", WHITE),
    place: Piece = ("plain", (190, 200, 206)),
) -> dict[str, str | Colour]:
    return dict(
        garment=garment,
        garment_colour=colour,
        accent_colour=accent,
        neckwear=neck[0],
        neckwear_colour=neck[1],
        headwear=head[0],
        headwear_colour=head[1],
        backdrop=place[0],
        backdrop_colour=place[1],
    )


OUTFITS = {
    "accountant": _outfit(
        "waistcoat", (84, 90, 104), neck=("tie", (60, 100, 80)), place=("window", (150, 160, 150))
    ),
    "artist": _outfit(
        "smock",
        (214, 206, 190),
        (190, 70, 60),
        head=("beret", (150, 40, 50)),
        place=("blots", (190, 170, 150)),
    ),
    "baker": _outfit(
        "apron",
        (150, 104, 66),
        (236, 226, 206),
        head=("surgical cap", (244, 240, 230)),
        place=("bricks", (196, 130, 84)),
    ),
    "call center agent": _outfit(
        "shirt", (168, 196, 226), head=("headset", BLACK), place=("window", (120, 150, 196))
    ),
    "CEO": _outfit("suit", (46, 48, 56), neck=("tie", (160, 34, 44)), place=("skyline", (150, 180, 214))),
    "chef": _outfit(
        "chef", WHITE, (60, 60, 66), head=("toque", (246, 246, 246)), place=("tiles", (176, 200, 202))
    ),
    "construction worker": _outfit(
        "hi-vis",
        (236, 220, 50),
        (224, 226, 228),
        head=("hard hat", (244, 196, 30)),
        place=("bricks", (168, 108, 88)),
    ),
    "dentist": _outfit(
        "scrubs",
        (232, 240, 244),
        (120, 190, 190),
        head=("surgical cap", (150, 214, 206)),
        place=("clinic", (190, 224, 214)),
    ),
    "doctor": _outfit(
        "coat", WHITE, (110, 160, 216), neck=("stethoscope", (44, 48, 60)), place=("clinic", (196, 214, 226))
    ),
    "electrician": _outfit(
        "overall",
        (44, 84, 150),
        (150, 156, 164),
        head=("cap", (236, 120, 30)),
        place=("scaffold", (164, 170, 176)),
    ),
    "engineer": _outfit(
        "hi-vis",
        (242, 128, 34),
        (226, 228, 230),
        head=("hard hat", (240, 242, 244)),
        place=("scaffold", (150, 184, 210)),
    ),
    "farmer": _outfit(
        "plaid",
        (170, 50, 46),
        (236, 226, 210),
        head=("straw hat", (222, 186, 112)),
        place=("field", (150, 170, 70)),
    ),
    "firefighter": _outfit(
        "fire coat",
        (50, 46, 44),
        (232, 226, 60),
        head=("fire helmet", (190, 30, 30)),
        place=("bricks", (120, 116, 116)),
    ),
    "flight attendant": _outfit(
        "suit", (40, 52, 110), neck=("neck scarf", (204, 40, 60)), place=("window", (206, 212, 220))
    ),
    "gardener": _outfit(
        "apron",
        (60, 112, 60),
        (222, 206, 170),
        head=("straw hat", (206, 180, 120)),
        place=("foliage", (80, 140, 70)),
    ),
    "hairdresser": _outfit("apron", (44, 40, 46), (226, 140, 170), place=("mirror", (220, 160, 186))),
    "housekeeper": _outfit("apron", (238, 240, 244), (90, 130, 190), place=("curtain", (206, 196, 172))),
    "judge": _outfit("robe", (26, 24, 28), neck=("jabot", WHITE), place=("wood", (124, 80, 50))),
    "lawyer": _outfit("suit", (62, 66, 78), neck=("tie", (40, 60, 130)), place=("shelves", (140, 92, 60))),
    "librarian": _outfit("cardigan", (128, 72, 120), (240, 232, 220), place=("shelves", (150, 150, 140))),
    "nurse": _outfit(
        "scrubs",
        (50, 150, 158),
        (210, 240, 240),
        neck=("stethoscope", (226, 232, 236)),
        place=("clinic", (204, 226, 222)),
    ),
    "pharmacist": _outfit(
        "coat", WHITE, (90, 170, 120), neck=("lanyard", (40, 130, 80)), place=("shelves", (200, 214, 206))
    ),
    "pilot": _outfit(
        "uniform",
        (236, 238, 242),
        (36, 40, 60),
        neck=("tie", (30, 32, 44)),
        head=("peaked cap", (40, 46, 80)),
        place=("sky", (110, 164, 220)),
    ),
    "police officer": _outfit(
        "uniform",
        (44, 56, 98),
        (206, 176, 80),
        neck=("tie", (24, 28, 46)),
        head=("peaked cap", (34, 44, 88)),
        place=("skyline", (160, 168, 180)),
    ),
    "politician": _outfit(
        "suit", (38, 58, 112), neck=("tie", (186, 44, 48)), place=("curtain", (150, 40, 52))
    ),
    "professor": _outfit(
        "suit",
        (134, 104, 74),
        (222, 216, 200),
        neck=("bow tie", (120, 40, 50)),
        place=("board", (50, 92, 74)),
    ),
    "scientist": _outfit("coat", (238, 240, 244), (150, 90, 160), place=("tiles", (150, 180, 206))),
    "singer": _outfit(
        "sequins",
        (120, 44, 130),
        (246, 206, 236),
        neck=("necklace", (240, 220, 150)),
        place=("spotlight", (110, 60, 170)),
    ),
    "soldier": _outfit(
        "camouflage",
        (96, 104, 64),
        (150, 140, 96),
        head=("cap", (92, 100, 62)),
        place=("field", (160, 150, 104)),
    ),
    "software developer": _outfit("hoodie", (70, 76, 92), (226, 228, 232), place=("screens", (38, 46, 60))),
    "teacher": _outfit(
        "cardigan",
        (62, 110, 150),
        (240, 226, 190),
        neck=("lanyard", (220, 150, 50)),
        place=("board", (44, 84, 66)),
    ),
    "waiter": _outfit(
        "waistcoat", (34, 32, 36), neck=("bow tie", (24, 22, 26)), place=("curtain", (196, 150, 96))
    ),
}


def dress(person: Person, profession: str, rng: np.random.Generator) -> Person:
    """`person` in the clothes and the place of `profession`, its colours varied a little."""

    def vary(colour):
        return tuple(
            int(np.clip(c * scale + shift, 8, 250))
            for c, scale, shift in zip(colour, rng.normal(1, 0.05, 3), rng.normal(0, 4, 3))
        )

    outfit = {k: vary(v) if isinstance(v, tuple) else v for k, v in OUTFITS[profession].items()}
    if person.headwear == "headscarf":
        del outfit["headwear"], outfit["headwear_colour"]
    return replace(person, **outfit)
