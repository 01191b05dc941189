"""The face wall: images as tiles, a box on every face, labels with the classifier's confidence. `page.js`
lights up twins and opens pairs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairdemo.comparison import Comparison
from fairdemo.pairs import Face, Pair
from fairdemo.stats.attributes import ATTRIBUTES, COLOURS
from fairdemo.ui.language import say
from fairdemo.ui.pictures import address
from fairdemo.ui.templates import render

COLUMNS = 4  # of a wall of up to 16; larger ones have one more, and scroll
UNSURE = 0.6  # labels below this probability are marked with a question mark


@dataclass(frozen=True)
class Chip:
    """What can be read under a picture: race with its colour as a dot, then gender and age; a mark where the
    classifier wavers in any of them."""

    race: str
    colour: str
    gender: str
    age: str
    unsure: bool


@dataclass(frozen=True)
class Box:
    """Where a face is, in percent of the picture."""

    colour: str
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Tile:
    """What the wall shows of an image."""

    slot: int
    title: str
    picture: str  # its address
    about: str  # what the large view says, as JSON
    labels: dict[str, str]
    chip: Chip | None
    box: Box | None
    several: int  # faces


def chip(face: Face, language: str) -> Chip:
    """A face's labels in a few letters."""
    unsure = any(face.probability[a][face.label(a)] < UNSURE for a in ATTRIBUTES)
    return labelled(face.race, face.gender, face.age, unsure, language)


def labelled(race: str, gender: str, age: str, unsure: bool, language: str) -> Chip:
    """Labels in a few letters."""
    years = age if age.endswith("+") else age[:2] + "s"
    shown, letter = (say(language, f"short_{name.replace(' ', '_')}") for name in (race, gender))
    return Chip(shown, COLOURS["race"][race], letter, years, unsure)


def box(face: Face, size: int) -> Box:
    """Where a face is in a picture of `size` px."""
    left, top, right, bottom = (max(0.0, min(100.0, 100 * v / size)) for v in face.box)
    shape = (round(v, 1) for v in (left, top, right - left, bottom - top))
    return Box(COLOURS["race"][face.race], *shape)


def tile(pair: Pair, side: str, seed: int, language: str, why: str) -> Tile:
    """One side of a pair."""
    drawn = pair.side(side)
    face = drawn.faces[0] if drawn.faces else None
    adapter = say(language, "as_is") if side == "baseline" else say(language, "adapter", name=pair.adapter)
    image = say(language, "image", slot=pair.slot + 1)
    labels = {a: face.banded(a) for a in ATTRIBUTES} if face else {}
    read = say(language, "perceived", **{a: face.label(a) for a in ATTRIBUTES}) if face else ""
    read = read or say(language, "none_found")
    several = say(language, "several", k=len(drawn.faces)) if len(drawn.faces) > 1 else ""
    every = face.probability.items() if face else ()
    detail = {a: {c: round(p, 3) for c, p in ps.items()} for a, ps in every}
    about = {"title": image, "adapter": adapter, "read": read, "seed": seed, "probability": detail}
    about |= {"why": why, "several": several}
    return Tile(
        pair.slot,
        f"{image}, {adapter}; {read}",
        address(drawn),
        json.dumps(about),
        labels,
        chip(face, language) if face else None,
        box(face, drawn.image.width) if face else None,
        len(drawn.faces),
    )


def wall(
    comparison: Comparison | None,
    side: str,
    n: int,
    language: str,
    why: Mapping[int, str],
    held: Mapping[str, Any],
) -> str:
    """All tiles of one side in the order of their slots; images still to come are empty tiles, so that
    nothing moves while they arrive. `why` has a sentence for slots, `held` the wall's token and revision,
    or a title, without which a wall is called by its side."""
    tiles: list[Tile | None] = [None] * n
    for pair in comparison.pairs if comparison else ():
        if pair.slot < n:
            seed = comparison.request.seed if comparison else 0
            reason = why.get(pair.slot, "") if side == "debiased" else ""
            tiles[pair.slot] = tile(pair, side, seed, language, reason)
    columns = COLUMNS if n <= COLUMNS**2 else COLUMNS + 1
    shape = {"columns": columns, "lines": min(-(-n // columns), columns)}
    coming = side == "debiased" and bool(comparison and comparison.pairs)
    return render("wall.html", language, side=side, tiles=tiles, held=held, coming=coming, **shape)
