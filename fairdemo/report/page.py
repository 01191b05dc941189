"""A comparison as a page that needs nothing else: images, counts, intervals, settings."""

import json
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader

from fairdemo.comparison import Comparison
from fairdemo.measures import Share
from fairdemo.pairs import SIDES
from fairdemo.report.numbers import format_bias, format_chance, format_share
from fairdemo.report.pictures import data_uri
from fairdemo.stats.attributes import ATTRIBUTES, CLASSES

ENVIRONMENT = Environment(
    loader=PackageLoader("fairdemo.report", "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)


ENVIRONMENT.filters |= {"bias": format_bias, "chance": format_chance}
ENVIRONMENT.globals["format_share"] = format_share


@dataclass(frozen=True)
class Row:
    """A class on both sides, beside its wanted share."""

    name: str
    sides: list[tuple[str, Share, int]]  # side, share, faces
    wanted: float | None


def report(comparison: Comparison) -> str:
    """The page's HTML."""
    return ENVIRONMENT.get_template("report.html").render(
        comparison=comparison,
        sides=SIDES,
        tables={a: rows(comparison, a) for a in ("gender", "race", "age")},
        walls={side: pictures(comparison, side) for side in SIDES},
        biases={
            a: [(side, comparison.measures.side(side).of(a)) for side in SIDES]
            for a in ("gender", "race", "age")
        },
        missing={side: comparison.measures.side(side).no_face for side in SIDES},
        settings=json.dumps(comparison.request.as_json(), ensure_ascii=False),
    )


def rows(comparison: Comparison, attribute: str) -> list[Row]:
    """An attribute's classes."""
    sides = {side: comparison.measures.side(side).of(attribute) for side in SIDES}
    wanted = comparison.target.get(attribute, {})
    return [
        Row(c, [(name, found.classes[c], found.n) for name, found in sides.items()], wanted.get(c))
        for c in CLASSES[attribute]
    ]


def pictures(comparison: Comparison, side: str) -> list[tuple[str, str]]:
    """A side's images, each with what was read in it."""
    drawn = [pair.side(side) for pair in comparison.pairs]
    read = [", ".join(d.faces[0].label(a) for a in ATTRIBUTES) if d.faces else "no face found" for d in drawn]
    return [(data_uri(d.image), text) for d, text in zip(drawn, read)]
