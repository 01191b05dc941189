"""The face wall: images as tiles, a box on every face, labels with the classifier's confidence. `page.js`
lights up twins and opens pairs."""

import json
from dataclasses import dataclass

from markupsafe import Markup

from fairdemo.comparison import Comparison
from fairdemo.pairs import Face, Pair
from fairdemo.report.pictures import data_uri
from fairdemo.stats.attributes import ATTRIBUTES, COLOURS
from fairdemo.ui.language import say
from fairdemo.ui.templates import render

UNSURE = 0.6  # labels below this probability are marked with a question mark


@dataclass(frozen=True)
class Chip:
    """A label with its colour as a dot, its confidence in percent, and a mark when that is low."""

    label: str
    colour: str
    percent: str
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
    picture: Markup
    about: str  # what the large view says, as JSON
    labels: dict[str, str]
    chips: list[Chip]
    box: Box | None
    several: int  # faces


def chip(face: Face, attribute: str) -> Chip:
    """A face's label of an attribute."""
    label = face.label(attribute)
    sure = face.probability[attribute][label]
    return Chip(label, COLOURS[attribute][label], f"{sure:.0%}", sure < UNSURE)


def box(face: Face, size: int) -> Box:
    """Where a face is in a picture of `size` px."""
    left, top, right, bottom = (max(0.0, min(100.0, 100 * v / size)) for v in face.box)
    shape = (round(v, 1) for v in (left, top, right - left, bottom - top))
    return Box(COLOURS["race"][face.race], *shape)


def tile(pair: Pair, side: str, seed: int, language: str) -> Tile:
    """One side of a pair."""
    drawn = pair.side(side)
    face = drawn.faces[0] if drawn.faces else None
    adapter = say(language, "as_is") if side == "baseline" else say(language, "adapter", name=pair.adapter)
    image = say(language, "image", slot=pair.slot + 1)
    labels = {a: face.label(a) for a in ATTRIBUTES} if face else {}
    read = say(language, "perceived", **labels) if face else say(language, "none_found")
    every = face.probability.items() if face else ()
    detail = {a: {c: round(p, 3) for c, p in ps.items()} for a, ps in every}
    about = {"title": image, "adapter": adapter, "read": read, "seed": seed, "probability": detail}
    return Tile(
        pair.slot,
        f"{image}, {adapter}; {read}",
        data_uri(drawn.image),
        json.dumps(about),
        labels,
        [chip(face, a) for a in ATTRIBUTES] if face else [],
        box(face, drawn.image.width) if face else None,
        len(drawn.faces),
    )


def wall(comparison: Comparison | None, side: str, n: int, language: str = "en") -> str:
    """All tiles of one side in the order of their slots; images still to come are empty tiles, so that
    nothing moves while they arrive."""
    tiles: list[Tile | None] = [None] * n
    for pair in comparison.pairs if comparison else ():
        if pair.slot < n:
            tiles[pair.slot] = tile(pair, side, comparison.request.seed if comparison else 0, language)
    return render("wall.html", language, side=side, tiles=tiles)
