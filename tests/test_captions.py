"""Who is in a caption: 300 captions that somebody wrote and labelled without seeing the rules. The rules were
mended on the even ones; on the odd ones they were only counted."""

import tomllib
from pathlib import Path

import pytest

from fairdemo.stats import captions
from fairdemo.stats.attributes import AGES, GENDERS, RACES
from fairdemo.stats.captions import NONE, ONE, SEVERAL
from fairdemo.stats.prompts import ATTRIBUTES, PROFESSIONS
from fairdemo.world import corpus

LABELLED = tomllib.loads((Path(__file__).parent / "captions.toml").read_text(encoding="utf-8"))["caption"]
WORDS = ("professions", "attributes", "gender", "race", "age")


def right(what, chosen):
    """The share of captions that are read as they are labelled."""
    same = [set(getattr(captions.read(c["text"]), what)) == set(c[what]) for c in chosen]
    return sum(same) / len(same)


@pytest.mark.parametrize("what", WORDS)
def test_words_are_read_as_people_read_them(what):
    assert len(LABELLED) == 300
    assert right(what, LABELLED) >= 0.97
    assert right(what, LABELLED[1::2]) >= 0.95, "those that no rule was mended on"


def test_one_several_or_nobody():
    same = [captions.read(c["text"]).people == c["people"] for c in LABELLED]
    assert sum(same) / len(same) >= 0.9


@pytest.mark.parametrize(
    "caption",
    [
        "The doctor's office on Main Street",
        "Teacher's pet: a golden retriever in glasses",
        "Artist's rendering of the new bridge",
        "The Police, Synchronicity tour, 1983",
        "Nurse shark resting on the sand",
        "Baker Street station at night",
        "No doctor in sight",
        "Autopilot engaged over the Indian Ocean",
    ],
)
def test_no_profession_where_none_is_shown(caption):
    found = captions.read(caption)
    assert found.professions == () and found.race == ()


def test_captions_of_the_embedded_world_are_read_right():
    """All words that its own captions hold, in all their forms, of every profession and attribute."""
    import numpy as np

    random, wrong, n = np.random.default_rng(3), [], 0
    ages = {"young": "young", "middle-aged": "middle-aged", "old": "old"}
    table = corpus.biased(20, 5)
    for row in table.itertuples():
        named = tuple(a for a in ("race", "gender", "age") if random.random() < 0.5)
        text, n = corpus.caption(row, random, named), n + 1
        found = captions.read(text)
        expected = (
            (row.subject,) if row.subject in PROFESSIONS else (),
            (row.subject,) if row.subject in ATTRIBUTES else (),
            (row.gender,) if "gender" in named else (),
            (row.race,) if "race" in named else (),
            (ages[corpus.age_word(row.age)],) if "age" in named else (),
            ONE,
        )
        seen = (found.professions, found.attributes, found.gender, found.race, found.age, found.people)
        wrong += [(text, seen)] if seen != expected else []
    assert n > 600 and len(wrong) <= 0.01 * n, wrong[:5]


def test_web_text_is_taken_apart():
    found = captions.read("#femaleDoctor &amp; patient_IMG_2034.jpg")
    assert found.professions == ("doctor",) and found.gender == ("Female",)
    assert captions.read("").people == NONE and captions.read("Two nurses").people == SEVERAL
    assert captions.read("a chef").profession == "chef" and captions.read("chefs").profession is None
    assert set(captions.WORDS["race"]) == set(RACES) and set(captions.WORDS["gender"]) == set(GENDERS)
    assert set(captions.WORDS["professions"]) == set(PROFESSIONS) and len(AGES) == 6


@pytest.mark.parametrize(
    "caption, people, ages",
    [
        ("Toy soldiers on a wooden table", "none", ()),
        ("Doctor Strange movie poster", "none", ()),
        ("Chef knife set of five", "none", ()),
        ("Professor emeritus, aged 81", "one", ("old",)),
        ("A farmer, aged 45, in his barn", "one", ("middle-aged",)),
        ("A chef with a cheddar aged 24 months", "one", ()),
        ("Dental hygienist cleaning teeth", "one", ()),
        ("He is a nurse; she is an engineer", "several", ()),
    ],
)
def test_captions_that_were_misread(caption, people, ages):
    found = captions.read(caption)
    assert (found.people, found.age) == (people, ages)
