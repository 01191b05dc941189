"""Evidence: fresh words, two judges, and what is counted of them."""

import numpy as np
import pandas as pd
import pytest

from fairdemo.experiments import evidence, methods_table
from fairdemo.experiments.evidence import (
    Asked,
    Drawer,
    biases,
    chance,
    drawn,
    fresh_words,
    rank_of_fit,
    rank_of_text,
    rank_of_twin,
)
from fairdemo.places import PACKAGE, SHIPPED
from fairdemo.readers.vision import load_weights
from fairdemo.stats import prompts
from fairdemo.training import align
from fairdemo.world import parts


def test_fresh_words_were_never_trained_on_and_have_noise_of_their_own():
    words = fresh_words()
    assert len({w.seed for w in words}) == len(words) == len({w.prompt for w in words}) == 60
    runs = [align.read_config(path) for path in (PACKAGE / "training" / "runs").glob("*.toml")]
    trained = {p for run in runs for p in (*run.prompts, *run.validation)}
    assert not trained & {w.prompt for w in words}
    assert all(prompts.profession(w.prompt) for w in words if w.family != "control")
    assert all(prompts.named(w.prompt) for w in words if w.family == "control"), "the words say who is drawn"
    assert not any(prompts.named(w.prompt) for w in words if w.family != "control")


def test_the_rank_of_the_twin_by_hand():
    """The first is likest its own twin, the second likest the first's, the third likest both others'."""
    twins = np.eye(3)
    looks = np.array([[0.9, 0.1, 0.0], [0.8, 0.6, 0.0], [0.6, 0.7, 0.1]])
    assert rank_of_twin(looks, twins).tolist() == [1, 2, 3]


def test_the_rank_of_the_right_text_by_hand():
    """Three texts; the second is right. Among twins that fit it at 0.1, 0.2 and 0.5 the first image is better
    than two, the second as good as one and worse than the others."""
    fits = np.array([[0.1, 0.3, 0.2], [0.5, 0.1, 0.4]])
    assert rank_of_text(fits, 1).tolist() == [1, 3]
    assert rank_of_fit(fits[:, 1], np.array([0.1, 0.2, 0.5])).tolist() == [2.0, 3.5]
    assert rank_of_fit(np.arange(64.0), np.arange(64.0)).mean() == 33, "as the twins: m / 2 + 1"


def table(genders: list[str], races: list[str], family: str = "occupations", method: str = "m"):
    rows = {"family": family, "prompt": family, "method": method, "profession_shown": True, "like_twin": 0.9}
    found = pd.DataFrame([rows] * len(genders))
    found["twin_rank"] = found["text_rank"] = found["fit_rank"] = 1
    for judge in evidence.JUDGES:
        found[f"{judge}_gender"], found[f"{judge}_race"] = genders, races
        found[f"{judge}_age"], found[f"{judge}_age_band"] = "20-29", "young"
        found[f"{judge}_faces"] = 1
    return found


def test_bias_over_all_classes_by_hand():
    """Three women and a man: 1/2. One race of six: 5 of 15 pairs differ by 1. Two of twelve cells at 3/4 and
    1/4: (1/2 + 10 x 3/4 + 10 x 1/4) / 66. A face that wasn't found isn't counted."""
    four = table(["Female"] * 3 + ["Male", None], ["Asian"] * 4 + [None])
    assert biases(four, "judge", "gender") == [0.5]
    assert biases(four, "judge", "race") == [pytest.approx(1 / 3)]
    assert biases(four, "judge", "race x gender") == [pytest.approx(10.5 / 66)]
    assert biases(four, "judge", "age") == [pytest.approx(2 / 3)]


def test_chance_is_what_an_even_model_shows():
    """Of one face a prompt all is one class: the maximum. Of many hardly anything; published for 64."""
    assert chance("gender", 1) == 1 and chance("race", 1) == pytest.approx(1 / 3)
    assert [round(chance(what, 64), 2) for what in ("gender", "race", "race x gender")] == [0.1, 0.06, 0.04]


def test_every_method_is_told_by_both_judges():
    one = [
        table(["Female", "Male"], ["Asian", "White"], family, m)
        for family in ("occupations", "styles", "control")
        for m in ("baseline", "again", "m")
    ]
    found = evidence.evidence(one, 2)
    assert set(found["methods"]) == {"baseline", "m"} and set(found["control"]) == {"baseline", "again", "m"}
    told = found["methods"]["m"]
    assert told["images"] == 4 and told["profession_shown"]["share"] == 1
    for judge in evidence.JUDGES:
        assert told[judge]["bias"]["gender"]["mean"] == 0 and told[judge]["from_40"]["share"] == 0
        # Two races at one half, four at none: 8 of 15 pairs differ by 1/2; the maximum is 1/3.
        assert told[judge]["bias"]["race"]["of_maximum"] == pytest.approx(8 / 15 / 2 * 3, abs=1e-4)
    assert found["agreement"]["gender"]["kappa"] == 1
    lines = evidence.side_by_side(found).splitlines()
    assert lines[3].startswith("| m | 0.00 ± 0.00 | 0.27 ± 0.00 (80%) | 0.15 ± 0.00 (91%) | 0.0% (")
    assert (
        "| published: debias gender x race | 0.16 ± 0.13 | 0.09 ± 0.04 (18%) | 0.06 ± 0.02 (24%) |"
        in lines[9]
    )
    assert {line.count("|") for line in lines} == {7}
    assert evidence.write_bias(0.21, 0.15, 6, (0.17, 0.25)) == "0.21 ± 0.15 (0.17 to 0.25, 63%)"
    # 160 images of a model that is even over eight classes: an eighth of the maximum.
    assert lines[-2] == "| _published, by chance, K = 2, 4, 8_ | 0.10 | 0.06 (13%) | 0.03 (13%) |  |  |"


def test_prompts_are_drawn_once_and_a_stopped_run_goes_on(live, tmp_path, monkeypatch):
    """A method's file is its own: another adapter under its name is drawn anew, and nothing else is."""
    drawer = Drawer(live)
    drawer.methods = {m: drawer.methods[m] for m in ("baseline", "again", "aligned: gender")}
    words = [Asked("occupations", "a photo of a wealthy chef", 5), Asked("control", "a photo of a woman", 6)]
    first = list(drawn(drawer, words[1:], 2, tmp_path))[0]
    assert list(first.method) == [way for way in drawer.methods for _ in range(2)]
    assert (first.twin_rank[:2] == 1).all() and first.like_twin[:2].to_numpy() == pytest.approx(1, abs=1e-5)
    assert first.like_twin[2:4].max() < 0.999 and first.judge_gender.notna().mean() > 0.8
    next(tmp_path.glob("*aligned_gender*")).unlink()
    real, asked = Drawer.rows, []
    monkeypatch.setattr(Drawer, "rows", lambda self, *args: asked.append(args[1]) or real(self, *args))
    again = list(drawn(drawer, words[1:], 2, tmp_path))[0]
    pd.testing.assert_frame_equal(first, again)
    assert asked == ["aligned: gender"]
    asked.clear()
    monkeypatch.setattr(
        Drawer, "rows", lambda self, *args: asked.append(args[1]) or first[:2].assign(look=[[0.1] * 64] * 2)
    )
    list(drawn(drawer, words[:1], 2, tmp_path))
    assert asked == ["baseline", "aligned: gender"], "another noise is only drawn for control prompts"


def test_methods_are_measured_on_the_same_noise(live, tmp_path, monkeypatch):
    """Two images of two prompts through the baseline, words and chance: unsteered, each in a file of its own;
    more alike and further from even is told as such."""
    checker = load_weights(parts.PartsChecker(), SHIPPED / "assets/classifier/parts_checker.safetensors")
    made = methods_table.Table(live, checker, tmp_path)
    assert "llm" not in made.methods and {"mix", "words", "fairimagen", "fair diffusion"} <= set(made.methods)
    monkeypatch.setattr(methods_table.Table, "methods", ["baseline", "words"])
    words = [Asked("occupations", "a photo of a wealthy chef", 5), Asked("styles", "a photo of a nurse", 6)]
    tables = list(made.drawn(words, 6, 2.0, made.methods))
    found = methods_table.measured(tables, 6)["methods"]
    assert set(found) == {"baseline", "words"} and found["baseline"]["twin_rank"] == 1
    assert found["baseline"]["slower"] == 1 and found["words"]["images"] == 12
    assert min(len(set(t[t.method == "words"].source)) for t in tables) >= 5, "five or six cells of twelve"
    for judge in evidence.JUDGES:
        gender = [found[m][judge]["distance"]["gender"]["mean"] for m in ("baseline", "words")]
        assert gender[0] > gender[1]
    monkeypatch.setattr(methods_table.Table, "rows", lambda *args: pytest.fail("it was drawn already"))
    pd.testing.assert_frame_equal(list(made.drawn(words[:1], 6, 2.0, made.methods))[0], tables[0])
    told = methods_table.as_markdown(methods_table.measured(tables, 6)).splitlines()
    assert [line.split(" | ")[0] for line in told[2:]] == [
        "| baseline",
        "| words",
        "| _an even model, by chance_",
    ]
    assert len({line.count("|") for line in told}) == 1
    assert len(methods_table.picture({"methods": found}).axes[0].lines) >= 3


def test_likeness_within_groups_by_hand():
    """Two of one group at right angles and two the same of another: one half; a face alone has no pair."""
    east, north = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    faces = pd.DataFrame(
        {
            "prompt": "p",
            "teacher_race": ["Asian", "Asian", "White", "White", "Black", None],
            "teacher_gender": ["Female"] * 4 + ["Male", None],
            "embedding": [east, north, east, east, north, None],
        }
    )
    assert methods_table.within_groups(faces) == [0.5]
    genders = pd.DataFrame({"prompt": ["p"] * 5, "judge_gender": ["Female"] * 3 + ["Male", None]})
    assert methods_table.far(genders, "judge", "gender") == [0.25]
