"""A request is checked once, and comes back the same from whatever it is written as."""

import json
import shlex
from dataclasses import dataclass
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairdemo.cli import parser
from fairdemo.cli.compare import asked as from_arguments
from fairdemo.request import COMMAND_LINE, SERVER, Request, from_link, renamed
from fairdemo.stats import targets
from fairdemo.stats.attributes import TARGET_CLASSES

words = st.text(min_size=1, max_size=60).filter(
    lambda t: t.strip() and not any("\ud800" <= c <= "\udfff" for c in t)
)


@st.composite
def shares(draw, classes):
    """Shares of all classes that sum to one, or of some that leave the rest open."""
    if draw(st.booleans()):
        numbers = draw(st.lists(st.floats(0.01, 1), min_size=len(classes), max_size=len(classes)))
        return {c: v / sum(numbers) for c, v in zip(classes, numbers)}
    some = draw(st.lists(st.sampled_from(classes), min_size=1, max_size=len(classes) - 1, unique=True))
    return {c: draw(st.floats(0, 0.9 / len(classes))) for c in some}


@st.composite
def requests(draw, limits=SERVER):
    """Any request that a server takes."""
    wished = {a: draw(shares(c)) for a, c in TARGET_CLASSES.items() if draw(st.booleans())}
    named = draw(st.sampled_from([*targets.PRESETS, None]))
    return Request.checked(
        limits,
        prompt=draw(words),
        profile=draw(st.sampled_from(["embedded", "sdxl"])),
        n=draw(st.integers(*limits.n)),
        seed=draw(st.integers(*limits.seed)),
        target=named or wished,
        method=draw(st.sampled_from(["mix", "aligned: gender", "odd; name = 3 & more"])),
        rounding=draw(st.sampled_from(["largest remainder", "random"])),
        steering=draw(st.booleans()),
        dependence=draw(st.sampled_from(targets.DEPENDENCES)),
        steps=draw(st.none() | st.integers(*limits.steps)),
        guidance=draw(st.none() | st.floats(*limits.guidance)),
    )


@given(requests())
def test_a_link_asks_for_the_same(request):
    query = dict(parse_qsl(request.as_link(slots="abab").removeprefix("?"), keep_blank_values=True))
    found, unknown = from_link(query, ["embedded", "sdxl"])
    assert unknown == [] and query["slots"] == "abab"
    assert Request.checked(SERVER, **found) == request


@given(requests())
def test_json_holds_the_same(request):
    assert Request.checked(SERVER, **json.loads(json.dumps(request.as_json()))) == request


@given(requests(COMMAND_LINE))
@settings(max_examples=60)
def test_the_command_line_asks_for_the_same(request):
    arguments = request.as_arguments()
    assert shlex.split(shlex.join(arguments)) == arguments
    assert from_arguments(parser().parse_args(["compare", *arguments])) == request


@given(
    st.sampled_from(list(TARGET_CLASSES)).flatmap(lambda a: shares(TARGET_CLASSES[a]).map(lambda s: {a: s}))
)
def test_a_target_that_was_checked_stays_as_it_is(target):
    once = targets.check(target)
    assert targets.check(once) == once and targets.parse(targets.written(once)) == once


@dataclass
class Bad:
    asked: dict
    message: str


@pytest.mark.parametrize(
    "bad",
    [
        Bad({"prompt": 3}, "prompt is 3; expected text"),
        Bad({"prompt": ["a"]}, "prompt is ['a']; expected text"),
        Bad({"prompt": "\ud800"}, "half a character"),
        Bad({}, "request lacks 'prompt'"),
        Bad({"prompt": "a", "n": 0}, "number of pairs is 0; 1 to 512 are allowed"),
        Bad({"prompt": "a", "n": True}, "number of pairs is true; expected a whole number"),
        Bad({"prompt": "a", "n": "4"}, "number of pairs is '4'; expected a whole number"),
        Bad({"prompt": "a", "n": 4.5}, "number of pairs is 4.5; expected a whole number"),
        Bad({"prompt": "a", "seed": -1}, "seed is -1"),
        Bad({"prompt": "a", "steps": 1}, "number of steps is 1; 2 to 100 are allowed"),
        Bad({"prompt": "a", "guidance": float("nan")}, "guidance is nan"),
        Bad({"prompt": "a", "target": [1]}, "target is [1]; expected attributes with shares"),
        Bad({"prompt": "a", "target": {"race": 1}}, "expected attributes with shares"),
        Bad({"prompt": "a", "target": {"height": {"tall": 1}}}, "attribute 'height'"),
        Bad({"prompt": "a", "target": {"race": {"Blue": 1}}}, "names 'Blue'"),
        Bad({"prompt": "a", "target": "workforce"}, "needs a profession"),
        Bad({"prompt": "a", "method": 3}, "method is 3; expected text"),
        Bad({"prompt": "a", "rounding": "best"}, "rounding is 'best'; allowed are largest remainder, random"),
        Bad(
            {"prompt": "a", "dependence": "loose"}, "dependence is 'loose'; allowed are independent, baseline"
        ),
        Bad({"prompt": "a", "steering": "maybe"}, "steering is 'maybe'; expected true or false"),
        Bad({"prompt": "a", "colour": 1}, "unknown key 'colour'"),
    ],
    ids=lambda bad: bad.message,
)
def test_bad_requests_are_named_in_one_line(bad):
    with pytest.raises(ValueError) as told:
        Request.checked(**bad.asked)
    assert bad.message in str(told.value) and "\n" not in str(told.value)


def test_a_server_allows_less_than_the_command_line():
    assert Request.checked(prompt="a", n=512, steps=100).n == 512
    for asked, message in (({"n": 65}, "1 to 64"), ({"steps": 51}, "2 to 50"), ({"guidance": 11}, "1 to 10")):
        with pytest.raises(ValueError, match=message):
            Request.checked(SERVER, prompt="a", **asked)


def test_links_of_older_versions_still_ask_for_what_they_did():
    """They named neither method nor rounding nor steering, and allowed 100 steps, which are left out."""
    old = "profile=embedded&prompt=a+photo+of+a+doctor&seed=7&n=8"
    old += "&target=race%3ABlack%3D0.3000%3Bgender%3AFemale%3D0.6000"
    found, unknown = from_link(dict(parse_qsl(old + "&steps=12&guidance=2.0&slots=aaab")), ["embedded"])
    request = Request.checked(SERVER, **found)
    assert unknown == [] and request.target == {"race": {"Black": 0.3}, "gender": {"Female": 0.6}}
    assert (request.n, request.seed, request.steps, request.guidance) == (8, 7, 12, 2.0)
    found, unknown = from_link(dict(parse_qsl(old + "&steps=80&n=3000&profile=mine")), ["embedded"])
    assert len(unknown) == 3 and "steps" not in found
    assert renamed({"method": "random", "steer": False}) == {"rounding": "random", "steering": False}
    assert renamed({"method": "aligned: gender"}) == {"method": "aligned: gender"}
