"""The same request gives the same wall as ever: labels and counts of four walls, drawn by an earlier
version in float32 (`walls.json`), so that they don't depend on what a processor multiplies fastest."""

import json
from pathlib import Path

import pytest

from fairdemo.pairs import SIDES
from fairdemo.request import Request
from fairdemo.stats.attributes import ATTRIBUTES
from fairdemo.studio.live import Live
from fairdemo.studio.studio import Studio

WALLS = json.loads((Path(__file__).parent / "walls.json").read_text())


@pytest.fixture(scope="module")
def exact() -> Studio:
    live = Live("embedded", "cpu")
    live.profile = live.profile.but(dtype="float32")
    return Studio(live)


@pytest.mark.parametrize(
    "wall",
    [
        pytest.param(wall, id=wall["asked"]["prompt"], marks=pytest.mark.long if k else ())
        for k, wall in enumerate(WALLS)
    ],
)
def test_the_same_wall_as_ever(exact, wall):
    *_, comparison = exact.run(exact.plan(Request.checked(**wall["asked"])))

    def read(drawn) -> str:
        return " / ".join(drawn.faces[0].label(a) for a in ATTRIBUTES) if drawn.faces else "no face"

    drawn = [[p.adapter, *(read(p.side(side)) for side in SIDES)] for p in comparison.pairs]
    assert drawn == wall["pairs"]
    assert comparison.measures.summary()["bias"] == wall["bias"]
