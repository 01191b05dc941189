"""What is said of counts is carried by them: corrected shares at the sizes that people use, whether a wish is
reached, whether anything changed, and nothing where nothing could be counted."""

import html
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from fairdemo.comparison import Comparison, PlannedMix, load
from fairdemo.experiments import small_grids
from fairdemo.lesson import shown
from fairdemo.lesson.walls import Wall
from fairdemo.pairs import Drawn, Face, Pair
from fairdemo.places import SHIPPED
from fairdemo.report import page, terminal
from fairdemo.stats import equivalence, measure
from fairdemo.stats.attributes import CLASSES
from fairdemo.stats.confusions import ASSUMPTION, FILES, read_confusions
from fairdemo.studio.live import Live
from fairdemo.studio.studio import Studio
from fairdemo.ui import board, charts
from fairdemo.ui.findings import cells, findings
from fairdemo.ui.language import say
from tests.conftest import asked

CONFUSIONS = read_confusions(
    {
        name: json.loads((SHIPPED / "assets" / "classifier" / f"{name}.json").read_text(encoding="utf-8"))
        for name in FILES
    }
)
CONFUSION = CONFUSIONS.known
HALF = {"Female": 0.5, "Male": 0.5}


@pytest.mark.parametrize(
    "attribute, n, top",
    [("race", 4, 0.9), ("race", 16, 0.8), ("race", 16, 1.0), ("gender", 16, 0.9), ("gender", 64, 1.0)],
)
def test_corrected_intervals_cover_and_hold_their_share(attribute, n, top):
    """Of 60 grids of a law with one large class; an earlier version covered it in 0 to 58 %. `validate` does
    the same for all sizes."""
    # At 95 % fewer than 52 of 60 hold once in 500 times.
    for by in ("known", "generated"):
        held, inside, _ = small_grids.simulate_corrections(CONFUSIONS, attribute, n, top, 60, 3, by)
        assert inside == 1 and held.min() >= 52 / 60 and held.mean() >= 0.93


def test_how_far_two_readers_differ_on_generated_faces_is_said_where_race_is_corrected():
    measured = json.loads((SHIPPED / "assets" / "measured.json").read_text(encoding="utf-8"))
    agreed = measured["evidence"]["agreement"]["race"]
    errors = 0.0
    for reader in ("classifier", "judge"):
        rows = json.loads((SHIPPED / "assets" / reader / "confusion.json").read_text(encoding="utf-8"))[
            "race"
        ]
        read = [
            (c, measure.label(reading).rstrip("?"), n)
            for c, row in rows.items()
            for reading, n in row.items()
        ]
        errors += sum(n for c, label, n in read if c != label) / sum(n for *_, n in read)
    differ, sum_ = f"{100 * (1 - agreed['alike']):.1f} %", f"{100 * errors:.1f} %"
    texts = [
        (SHIPPED / name).read_text(encoding="utf-8")
        for name in ("README.md", "docs/validation.md", "docs/experiments.md")
    ]
    reports = (ASSUMPTION, say("en", "about_labels"), say("en", "info_corrected"))
    for text in (*texts, *(" ".join(text.split()) for text in reports)):
        assert differ in text and sum_ in text and f"{agreed['n']:,}" in text
    scale = f"{measured['readers']['race']['unnamed']['error_scale']:g}"
    spanish = say("es", "info_corrected")
    assert all(
        f"{scale} times as" in " ".join(text.split()) for text in (texts[0], say("en", "info_corrected"))
    )
    assert f"{scale} veces" in spanish and "17.9 %" in spanish and "17.9 %" in say("es", "about_labels")
    assert ASSUMPTION in terminal.LAST
    for part in ("parts.html", "set_parts.html"):
        text = (SHIPPED / "fairdemo" / "audit" / "templates" / part).read_text(encoding="utf-8")
        assert text.count("observed → corrected") == text.count("{{ assumption }}")


def test_the_errors_on_generated_faces_are_those_on_portraits_by_the_measured_factor():
    measured = json.loads((SHIPPED / "assets" / "measured.json").read_text(encoding="utf-8"))["readers"]
    for attribute, rows in CONFUSIONS.generated.items():
        scale = measured[attribute]["unnamed"]["error_scale"]
        for c, row in rows.items():
            known = CONFUSION[attribute][c]
            assert sum(row.values()) == pytest.approx(sum(known.values()), abs=0.5)
            wrong = [r for r in row if measure.label(r) != c]
            assert wrong and all(row[r] == pytest.approx(scale * known[r], rel=0.01, abs=0.01) for r in wrong)


def test_a_nearly_singular_confusion_is_solved_and_known_as_such():
    """Read right in 52 %: so little is told that the estimate takes many faces, but it is the likeliest."""
    confusion = {"a": {"a": 520, "b": 480}, "b": {"a": 480, "b": 520}}
    assert measure.separation(confusion) == pytest.approx(0.04, abs=1e-3)
    finer = {c: {f"{r}{k}": v / 2 for r, v in row.items() for k in (1, 2)} for c, row in confusion.items()}
    assert measure.separation(finer) == pytest.approx(measure.separation(confusion)), "readings split in two"
    found = measure.unmix(np.array([516.0, 484.0]), np.array([[0.52, 0.48], [0.48, 0.52]]))
    assert found == pytest.approx([0.9, 0.1], abs=1e-3)
    assert measure.faces_to_correct(confusion) > 5000


def test_ages_of_few_faces_arent_corrected():
    assert measure.faces_to_correct(CONFUSION["race"]) == measure.faces_to_correct(CONFUSION["gender"]) == 0
    assert 150 <= measure.faces_to_correct(CONFUSION["age"]) <= 250
    comparison = grid([("White", "Female", "20-29")] * 16)
    age = comparison.measures.debiased.age
    assert age.classes["20-29"].corrected is None and age.classes["20-29"].share == 1
    many = grid([("White", "Female", "20-29")] * measure.faces_to_correct(CONFUSION["age"])).measures
    assert many.debiased.age.classes["20-29"].corrected is not None
    assert many.debiased.age.classes["0-19"].corrected is None, "nobody drawn is under 20"
    assert comparison.measures.debiased.race.classes["White"].corrected is not None
    needed = str(measure.faces_to_correct(CONFUSION["age"]))
    assert f"Not corrected: below {needed} faces" in findings(comparison, "en")
    assert f"not corrected below {needed} faces" in terminal.table(comparison)


def test_groups_of_three_attributes_are_counted_and_few_faces_are_called_few():
    needed = measure.faces_to_miss(36)
    assert measure.interval(0, needed)[1] < 1 / 36 <= measure.interval(0, needed - 1)[1]
    labels = [("Black", "Female", "60+")] * 3 + [("White", "Male", "20-29")]
    few = grid(labels)
    counts = few.measures.debiased.race_gender_and_age
    assert len(counts) == 36 and counts["Black Female old"].count == 3 and counts["White Male young"].n == 4
    assert sum(c.count for c in counts.values()) == 4
    assert f"That takes {needed} faces" in cells(few, "en") and f"hacen falta {needed} caras" in cells(
        few, "es"
    )
    many = cells(grid(labels * 40), "en")
    assert "That takes" not in many and 'title="Black, Female, from 60: 120 of 160, 68% to 81%"' in many


def face(race: str, gender: str, age: str) -> Face:
    """A face that was read without a doubt."""
    probability = {
        a: {c: float(c == own) for c in CLASSES[a]}
        for a, own in (("race", race), ("gender", gender), ("age", age))
    }
    return Face((2.0, 2.0, 9.0, 9.0), race, gender, age, probability, 1.0, np.eye(8)[0])


def drawn(labels: tuple[str, str, str] | None) -> Drawn:
    """An image with a face of these labels; None: black."""
    pixels = np.zeros((16, 16, 3), np.uint8)
    if labels:
        pixels[:8] = 200
    return Drawn(Image.fromarray(pixels), [face(*labels)] if labels else [], "doctor", np.ones(4) / 2)


def grid(debiased: list, baseline: list | None = None, controlled: bool = False, **target) -> Comparison:
    """A comparison of faces that were read so."""
    baseline = baseline or debiased
    request = asked("a photo of a doctor", target, len(debiased), 0)
    pairs = [Pair(i, "mix", drawn(a), drawn(b)) for i, (a, b) in enumerate(zip(baseline, debiased))]
    mix = PlannedMix(controlled=controlled)
    return Comparison(request, target, mix, CONFUSIONS, pairs=pairs)


def faces(women: int, n: int) -> list[tuple[str, str, str]]:
    return [("White", "Female" if i < women else "Male", "20-29") for i in range(n)]


def said(comparison: Comparison, attribute: str = "gender") -> str:
    """The sentences about an attribute, and what stands below all of them."""
    found = board.sentence(comparison, attribute, "en")
    summary = html.unescape(board.counts(comparison, "en")["summary"])
    assert all(verdict in summary for verdict in found.verdicts)
    return summary


def test_no_faces_have_no_number():
    comparison = grid([None] * 3, faces(2, 3), gender=HALF)
    found = comparison.measures
    assert math.isnan(found.debiased.gender.bias) and found.debiased.failed == found.debiased.no_face == 3
    plain = json.loads(json.dumps(comparison.as_json(), allow_nan=False))
    assert plain["summary"]["bias"]["debiased"] == {"race": None, "gender": None, "age": None}
    own = plain["measures"]["debiased"]["gender"]
    assert own["bias"] is None and own["classes"]["Female"]["share"] is None and own["n"] == 0
    assert plain["summary"]["bias"]["baseline"]["gender"] == pytest.approx(1 / 3, abs=1e-4)
    printed = terminal.table(comparison)
    assert "bias –" in printed and "black or of one colour" in printed and "nan" not in printed
    shown = findings(comparison, "en") + said(comparison) + page.report(comparison)
    assert "no face, so nothing was counted" in shown and "nan" not in shown
    assert "Failed: 0 before, 3 after" in shown and "bias(P) 0.33" in shown and "– after" in shown
    assert "As wanted" not in shown and "Changed" not in shown
    for attribute in CLASSES:
        charts.histogram(comparison, attribute, True, "en")


def test_a_class_is_told_which_pictures_failed():
    own = grid([None, *faces(1, 2)], [None, *faces(1, 2)])
    found = shown.wall(Wall(own.request, comparison=own), "debiased", lambda drawn: "")
    assert (found["failed"], found["none"], found["women"]["n"]) == (1, 0, 2)
    assert [picture["failed"] for picture in found["pictures"]] == [True, False, False]


def test_a_grid_is_described_and_then_what_it_says_of_the_method():
    """0 of 4 women where half were wanted used to be “reached”."""
    few = said(grid(faces(0, 4), gender=HALF))
    assert "0 → 0 of 4, wanted 2 · 2 off" in few
    assert "Too few: 4 faces fit 0% to" in few and "would tell" in few and "As wanted" not in few
    assert "Not as wanted to within 10 points: 16 faces are enough" in said(grid(faces(2, 16), gender=HALF))
    many = said(grid(faces(128, 256), gender=HALF))
    assert "As wanted to within 10 points: 256 faces are enough to say so." in many and " off" not in many
    chosen = said(grid(faces(8, 16), controlled=True, gender=HALF))
    assert "they describe grids of 16 made like this" in chosen and "Too few to tell" not in chosen


def test_shares_far_from_the_wish_are_hardly_ever_called_as_wanted():
    """Exactly, over all counts: at 30 % where 50 % is wanted in at most 5 %, at 50 % of 256 faces in 80 %."""
    told = small_grids.called_as_wanted
    assert max(told(n, 0.3) for n in (8, 16, 32)) <= 0.05
    assert max(told(n, 0.4) for n in (8, 16, 32, 64, 128, 256)) <= 0.05, "the margin's own edge"
    assert told(256, 0.5) >= 0.8
    assert (
        180 <= equivalence.faces_to_tell(HALF) <= 256 and told(equivalence.faces_to_tell(HALF), 0.5) >= 0.79
    )
    # 57 % of many faces lie within the margin, so that nothing is said against them.
    assert equivalence.judge({"Female": 146, "Male": 110}, HALF) == "too_few"
    rare = {"a": 0.9, "b": 0.05, "c": 0.05}
    assert equivalence.judge({"a": 400, "b": 0, "c": 0}, rare) == "not_as_wanted", "none isn't near to 5 %"
    six = dict.fromkeys("abcdef", 1 / 6)
    best = {"a": 3, "b": 3, "c": 3, "d": 3, "e": 2, "f": 2}
    assert equivalence.images_off(best, six) == equivalence.images_off(best | {"a": 2, "e": 3}, six) == 0
    assert equivalence.images_off(best | {"a": 5, "b": 1}, six) == 2
    assert equivalence.images_off({"Female": 4, "Male": 6}, HALF) == 1
    assert equivalence.judge(dict.fromkeys("abcdef", 60), six) == "as_wanted"
    assert equivalence.judge({"a": 9, "b": 1, "c": 0, "d": 0, "e": 0, "f": 0}, six) == "not_as_wanted"
    assert equivalence.judge({}, HALF) == "too_few"


def test_changed_keeps_its_rate_however_often_one_looks():
    """Grids that grow to 256 pairs of twins with the same law, looked at after 3 pairs and after every 12
    more: at most 5 % are called changed at any look. A test at each look by itself does it in 18 %."""
    for law in ({"Female": 0.4, "Male": 0.6}, dict.fromkeys("abcdef", 1 / 6)):
        assert small_grids.simulate_looks(law, 256, 200, 1) <= 0.05
    both = ("Female", "Male")
    assert measure.anytime_parity(["Male"] * 16, ["Female"] * 8 + ["Male"] * 8, both) < 0.05
    assert measure.anytime_parity(["Male"] * 4, ["Female"] * 4, both) > 0.05
    # By hand: 3 of 3 tosses one way under Beta(1/2, 1/2): 8 B(3.5, 0.5) / B(0.5, 0.5) = 8 * 15 / 48.
    assert measure.anytime_parity(["a"] * 3, ["b"] * 3, "ab") == pytest.approx(48 / 120)
    # A class that nobody shows has an e-value of 1, so that the mean is (2.5 + 2.5 + 1) / 3.
    assert measure.anytime_parity(["a"] * 3, ["b"] * 3, "abc") == pytest.approx(1 / 2)
    assert measure.anytime_parity(["a"], ["a"], "ab") == measure.anytime_parity([], [], "ab") == 1


@pytest.mark.parametrize("top", [None, 0.6, 0.8])
def test_bias_has_an_interval_that_covers(top):
    assert small_grids.simulate_bias(16, top, 6, 60, 2) >= 52 / 60
    for counts in ({"a": 5, "b": 0, "c": 1}, dict.fromkeys("abcdef", 3)):
        low, high = measure.bias_interval(counts)
        assert (
            0 <= low <= measure.bias(counts) + 1e-9 and measure.bias(counts) < high <= 2 / len(counts) + 1e-9
        )


def test_of_two_classes_its_interval_is_the_shares():
    low, high = measure.interval(14, 16)
    assert measure.bias_interval({"Female": 14, "Male": 2}) == pytest.approx((2 * low - 1, 2 * high - 1))
    assert measure.bias_interval({"Female": 8, "Male": 8})[0] == 0
    assert measure.bias_interval({"Female": 0, "Male": 0}) == (0, 1)
    assert measure.bias_by_chance(2, 4) == pytest.approx(0.375, abs=0.02), "by hand: 2/16 + 8/16 * 1/2"
    assert math.isnan(measure.bias_by_chance(2, 0))


@pytest.fixture
def broken() -> Live:
    """A model of its own, to be broken."""
    own = Live("embedded", "cpu")
    own.profile = own.profile.but(steps=2)
    own.load()
    return own


def nothing_but(value: float, module: torch.nn.Module) -> None:
    with torch.no_grad():
        for p in module.parameters():
            p.fill_(value)


def test_an_adapter_that_breaks_the_model_is_no_balance(broken, tmp_path):
    """Its factors aren't numbers: its images are black, nothing is counted in them, and a line says so."""
    for a, _ in broken.generator.router.stacks.values():
        a[1:] = torch.nan
    studio = Studio(broken)
    request = asked("a photo of a doctor", "race:Black=1;gender:Female=1", 2, 3, steering=False, steps=2)
    *_, comparison = studio.run(studio.plan(request))
    assert all("Black Female" in p.adapter for p in comparison.pairs)
    assert all(np.asarray(p.debiased.image).max() == 0 and p.debiased.failed for p in comparison.pairs)
    assert not any(p.baseline.failed for p in comparison.pairs), "their twins of the same batch are whole"
    (line,) = [n for n in comparison.notices if "failed" in n]
    assert line.startswith("2 of 2 debiased images failed (Black Female")
    comparison.save(tmp_path / "saved")
    assert load(tmp_path / "saved").measures.debiased.failed == 2
    assert comparison.measures.summary()["bias"]["debiased"]["gender"] is None


@pytest.mark.parametrize("value", [math.nan, 0.0])
def test_a_decoder_of_nothing_gives_images_that_failed(broken, value):
    nothing_but(value, broken.generator.pipeline.vae.decoder)
    studio = Studio(broken)
    *_, comparison = studio.run(studio.plan(asked("a photo of a nurse", {}, 2, 3, steps=2)))
    found = comparison.measures
    assert found.baseline.failed == found.debiased.failed == found.baseline.no_face == 2
    assert sum("images failed" in notice for notice in comparison.notices) == 2
