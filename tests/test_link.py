"""A shared link brings back the same wall, named and saved as what it is, whatever method drew it."""

from dataclasses import replace
from urllib.parse import parse_qsl

import pytest

from fairdemo.pairs import SIDES
from fairdemo.report import archive
from fairdemo.request import SERVER, Request
from fairdemo.ui import link
from tests.conftest import asked

METHODS = [
    *("mix", "aligned: gender", "aligned: gender, professions alone", "aligned: gender, race"),
    *("aligned: gender, race, age 75/25", "soft tokens: gender", "soft tokens: gender, professions alone"),
    "varied faces",
]


def query_of(plan, studio) -> dict[str, str]:
    return dict(parse_qsl(link.query(plan, studio.all_sources).removeprefix("?"), keep_blank_values=True))


def labels(comparison) -> list[tuple]:
    return [
        (p.adapter, *(tuple(f.cell for f in p.side(side).faces) for side in SIDES)) for p in comparison.pairs
    ]


def test_every_method_is_tried_here(studio):
    assert sorted(METHODS) == sorted(studio.methods)


@pytest.mark.parametrize("method", METHODS)
def test_a_link_brings_back_the_wall_of_each_method(studio, method):
    rounding = "random" if method == "mix" else "largest remainder"
    plan = studio.plan(
        asked("a photo of a chef", "women 70", 4, 5, method=method, rounding=rounding, steps=4)
    )
    *_, first = studio.run(plan)
    followed = link.follow(query_of(plan, studio), ["embedded"])
    assert followed.unknown == []
    request = Request.checked(SERVER, **followed.asked)
    slots = link.slots_of(followed.slots, studio.all_sources, request.n)
    assert request == plan.request and slots == plan.slots
    studio.artist.kept.images.clear()
    *_, again = studio.run(replace(studio.plan(request), slots=slots, steering=False))
    assert labels(again) == labels(first)
    opened = archive.unzipped(archive.zipped(again))
    assert opened.request.method == method and opened.request.rounding == rounding
    assert opened.mix == first.mix, "what is saved is the mix that was used"


def test_a_steered_wall_comes_back_as_it_was_steered(studio):
    plan = studio.plan(asked("a photo of a nurse", "uniform", 8, 2, steps=4))
    *_, first = studio.run(plan)
    followed = link.follow(query_of(plan, studio), ["embedded"])
    slots = link.slots_of(followed.slots, studio.all_sources, 8)
    again = studio.plan(Request.checked(SERVER, **followed.asked))
    *_, second = studio.run(replace(again, slots=slots, steering=False))
    assert labels(second) == labels(first)


def test_an_older_link_of_a_method_is_known_by_its_slots(studio):
    from fairdemo.ui.compare_events import method_of

    plan = studio.plan(asked("a photo of a chef", {}, 4, 5, method="aligned: gender"))
    assert method_of("embedded", query_of(plan, studio)["slots"]) == "aligned: gender"
    mixed = studio.plan(asked("a photo of a chef", "uniform", 4, 5))
    assert method_of("embedded", query_of(mixed, studio)["slots"]) == "mix"
