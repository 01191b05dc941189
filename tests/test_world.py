from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fairdemo.stats.attributes import GENDERS, RACES, age_group
from fairdemo.stats.prompts import ATTRIBUTES, PROFESSIONS
from fairdemo.world import corpus, people
from fairdemo.world.portrait import GARMENTS, HAIR_STYLES, HEADWEAR, NECKWEAR, Person, draw
from fairdemo.world.professions import OUTFITS, SKEWS


def test_drawing_is_a_pure_function():
    someone = people.sample(np.random.default_rng(1), "Indian", "Female", 33)
    a = draw(someone, 64, 5)
    assert a.shape == (64, 64, 3) and a.dtype == np.uint8 and a.std() > 20
    assert np.array_equal(a, draw(someone, 64, 5))
    assert not np.array_equal(a, draw(someone, 64, 6))


@pytest.mark.parametrize(
    "change",
    [{"hair": h} for h in HAIR_STYLES[1:]]
    + [{"garment": g} for g in GARMENTS if g != "shirt"]
    + [{"headwear": h} for h in HEADWEAR[1:]]
    + [{"neckwear": w} for w in NECKWEAR[1:]]
    + [
        {"age": 80.0},
        {"skin_lightness": 35.0},
        {"eyelid_fold": 0.0},
        {"nose_width": 1.4},
        {"beard": 1.0},
        {"glasses": True},
    ],
    ids=lambda c: "-".join(map(str, *c.items())),
)
def test_every_trait_shows(change):
    plain = Person(hair="bald", garment="shirt")
    a, b = (draw(p, 128, 1, 1.0).astype(int) for p in (plain, replace(plain, **change)))
    assert (np.abs(a - b).max(-1) > 12).sum() > 32


def test_old_faces_have_more_lines_than_young_ones():
    def roughness(age: float) -> float:
        face = draw(Person(age=age), 128, 3)[50:90, 40:88].astype(float).mean(-1)
        return np.abs(np.diff(face, axis=0)).mean()

    assert roughness(75) > 1.1 * roughness(25)


def test_people_are_adults_of_known_classes():
    with pytest.raises(ValueError, match="adults only"):
        people.years(np.random.default_rng(0), "0-19")
    with pytest.raises(ValueError, match="'Martian'"):
        people.sample(np.random.default_rng(0), "Martian", "Male", 30)
    with pytest.raises(ValueError, match="0 or more"):
        age_group(-1)
    assert [age_group(a) for a in (20, 29.9, 30, 59, 60, 90)] == [
        "20-29",
        "20-29",
        "30-39",
        "50-59",
        "60+",
        "60+",
    ]


def test_biased_corpus_has_its_written_skew():
    table = corpus.biased(200, 7)
    assert set(table.subject) == {*PROFESSIONS, *ATTRIBUTES, "person"}
    women = table.assign(w=table.gender == "Female").groupby("subject").w.agg(["mean", "size"])
    for subject, skew in SKEWS.items():
        slack = 4 * np.sqrt(skew.women * (1 - skew.women) / women["size"][subject]) + 0.005
        assert abs(women["mean"][subject] - skew.women) < slack
    strong = [s for s in SKEWS.values() if not 0.1 < s.women < 0.9]
    assert len(strong) >= 4


def test_balanced_corpus_is_balanced():
    table = corpus.alike(20, 3, "balanced")
    assert set(Counter(zip(table.race, table.gender)).values()) == {20}
    assert set(table.age.map(age_group)) == {"20-29", "30-39", "40-49", "50-59", "60+"}
    assert {corpus.person(r) for r in table.itertuples()} == {corpus.person(r) for r in table.itertuples()}


def test_homogenised_groups_are_narrower():
    rng = np.random.default_rng(0)

    def spread(homogenised: bool) -> tuple[float, float]:
        men = [people.sample(rng, "Middle Eastern", "Male", 40, homogenised) for _ in range(300)]
        return np.std([m.nose_width for m in men]), np.mean([m.beard > 0.5 for m in men])

    (wide, few), (narrow, many) = spread(False), spread(True)
    assert narrow < 0.6 * wide and few < 0.4 < 0.85 < many


def test_traits_overlap_and_sum_to_one():
    for t in people.TRAITS.values():
        assert (
            sum(t.texture) == pytest.approx(1)
            and sum(t.hair) == pytest.approx(1)
            and sum(t.iris) == pytest.approx(1)
        )
    rng = np.random.default_rng(0)
    light = {r: [people.sample(rng, r, "Female", 30).skin_lightness for _ in range(200)] for r in RACES}
    assert max(light["Indian"]) > min(light["Latinx"]) and max(light["Latinx"]) > min(light["White"])


def test_captions_say_what_they_are_asked_to():
    row = next(corpus.alike(1, 1, "explicit").itertuples())
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert not any(
            w in f" {corpus.caption(row, rng)} "
            for w in (" man", " woman", " male ", " female ", " old ", " young ")
        )
        full = corpus.caption(row, rng, ("race", "gender", "age"))
        assert corpus.age_word(row.age) in full
        assert row.subject in full or row.subject == "person"


def test_every_profession_has_its_own_outfit():
    looks = [
        tuple(sorted((k, v) for k, v in o.items() if isinstance(v, str))) + (o["garment_colour"],)
        for o in OUTFITS.values()
    ]
    assert set(OUTFITS) == set(PROFESSIONS) and len(set(looks)) == 32
    assert len(GENDERS) == 2
