import subprocess
import sys

import numpy as np
import pytest

from fairdemo.models import profiles
from fairdemo.stats import mix, prompts, response
from fairdemo.stats.attributes import AGE_BANDS, CELLS, CLASSES, GENDERS, RACES

CHOICE = mix.sources(
    [*((f"{r} {g}", (r, g)) for r in RACES for g in GENDERS), *((b, (b,)) for b in AGE_BANDS)]
)


def counted():
    counts = response.Counts("abc")
    man, woman = CELLS.index(("White", "Male", "middle")), CELLS.index(("White", "Female", "young"))
    counts.add("a photo of a doctor", "baseline", [man] * 9 + [woman, None])
    counts.add("a photo of a nurse", "baseline", [woman] * 10)
    counts.add("a photo of a nurse", "White Female", [woman] * 5 + [man])
    return counts


def test_counts_are_kept_and_come_back(tmp_path):
    counts = counted()
    assert counts.sources["baseline"].sum() == 20 and counts.no_face == {"baseline": 1, "White Female": 0}
    counts.save(tmp_path / "r.json")
    again = response.load(tmp_path / "r.json")
    assert (
        again.weights == "abc"
        and all((again.sources[k] == v).all() for k, v in counts.sources.items())
        and again.no_face == counts.no_face
    )
    (tmp_path / "r.json").write_text('{"weights": 1}')
    with pytest.raises(ValueError, match="calibrate"):
        response.load(tmp_path / "r.json")


def test_the_baseline_of_a_profession_is_its_own():
    counts = counted()
    women = np.array([c[1] == "Female" for c in CELLS])
    assert response.baseline(counts, prompts.read("a portrait of a doctor, smiling"))[women].sum() < 0.3
    assert response.baseline(counts, prompts.read("a nurse"))[women].sum() > 0.85
    assert 0.4 < response.baseline(counts, prompts.read("a photo of a baker"))[women].sum() < 0.6
    assert response.baseline(counts, prompts.read("a woman, a doctor"))[women].sum() == pytest.approx(1)
    seen = np.zeros(36)
    seen[CELLS.index(("Asian", "Female", "old"))] = 50
    assert response.baseline(counts, prompts.read("a doctor"), seen)[women].sum() > 0.8, (
        "what is seen outweighs what was expected"
    )
    assert np.allclose(response.baseline(None, prompts.read("a doctor")), 1 / 36)


def test_an_adapter_is_believed_as_far_as_it_was_measured():
    reference = np.full(36, 1 / 36)
    table = response.table(counted(), CHOICE, reference)
    assert np.allclose(table.sum(1), 1) and np.allclose(table[0], reference)
    row = table[CHOICE.index(next(s for s in CHOICE if s.label == "White Female"))]
    assert row[CELLS.index(("White", "Male", "middle"))] == pytest.approx(1 / 8) and row[
        CELLS.index(("White", "Female", "young"))
    ] == pytest.approx((5 + 2 / 3) / 8, abs=1e-3)
    never = table[CHOICE.index(next(s for s in CHOICE if s.label == "Asian Male + old"))]
    assert never[CELLS.index(("Asian", "Male", "old"))] == pytest.approx(1)


def test_confusion_is_taken_out_of_a_response():
    """A classifier that reads one man in five as a woman: half women by label are 3 in 8 in truth."""
    confusion = {a: {c: {c: 100} for c in classes} for a, classes in CLASSES.items()}
    confusion["gender"]["Male"] = {"Male / Female": 80, "Female": 20}
    seen = np.zeros(36)
    seen[CELLS.index(("Black", "Female", "old"))] = seen[CELLS.index(("Black", "Male", "old"))] = 50
    true = response.corrected(seen, confusion)
    assert true[CELLS.index(("Black", "Female", "old"))] == pytest.approx(3 / 8, abs=1e-3)


def test_report_says_what_each_source_gives():
    counts = counted()
    lines = response.report(counts, [s for s in CHOICE if s.label in counts.sources], {})
    assert len(lines) == 2 and "White Female" in lines[1] and "83%" in lines[1] and "( " not in lines[1]


@pytest.fixture
def as_shipped(live, monkeypatch):
    """The shipped model with its own settings."""
    monkeypatch.setattr(live, "profile", profiles.profile("embedded"))
    return live


def test_the_shipped_response_belongs_to_the_shipped_weights(as_shipped):
    from fairdemo.experiments.calibrate import fingerprint

    live = as_shipped
    assert live.counts is not None and live.counts.weights == fingerprint(live)
    labels = {s.label for name in ("mix", "words") for s in live.registry[name].sources}
    assert set(live.counts.sources) == labels and len(live.counts.baseline) == 32
    assert set(live.counts.done.values()) == {32}


@pytest.mark.parametrize(
    "module",
    [
        *(
            "stats.attributes",
            "stats.targets",
            "stats.measure",
            "stats.mix",
            "stats.response",
            "stats.prompts",
        ),
        *("request", "pairs", "measures", "comparison"),
    ],
)
def test_the_science_pulls_in_no_torch(module):
    code = (
        f"import sys, fairdemo.{module}; print([m for m in ('torch', 'gradio', 'diffusers', 'pandas',"
        " 'scipy.stats', 'statsmodels') if m in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_calibrating_goes_on_with_another_methods_sources(as_shipped, tmp_path, monkeypatch):
    """What was counted for the mix stays, and a run that was stopped between two professions draws no image
    twice."""
    live = as_shipped
    from fairdemo.experiments import calibrate
    from fairdemo.methods.method import Method
    from fairdemo.stats.prompts import PROFESSIONS

    monkeypatch.setenv("FAIRDEMO_HOME", str(tmp_path))
    few = [mix.BASELINE, mix.Source(guide="fair diffusion", cell=("Black", "Female"))]
    monkeypatch.setitem(live.registry, "other", Method("other", "", "", few))
    asked = []

    def classified(live, prompt, seed, sources):
        asked.append((prompt, seed, [s.label for s in sources]))
        return {s.label: [CELLS.index(("Black", "Female", "old"))] * 2 for s in dict.fromkeys(sources)}

    monkeypatch.setattr(calibrate, "classified", classified)
    runs = calibrate.calibrate(live, ["other"], 2, 2)
    assert [next(runs) for _ in range(3)] == [(k, 32) for k in (1, 2, 3)]
    runs.close()
    assert list(calibrate.calibrate(live, ["other"], 2, 2))[-1] == (32, 32)
    drawn = [prompt for prompt, _, labels in asked if labels]
    assert len(drawn) == len(set(drawn)) == len(PROFESSIONS)
    assert {label for *_, labels in asked for label in labels} == {"fair diffusion: Black Female"}
    counts = response.load(live.response_file)
    shipped = live.counts
    assert counts.sources["fair diffusion: Black Female"].sum() == 64
    assert all((counts.sources[s] == shipped.sources[s]).all() for s in shipped.sources)
    with pytest.raises(ValueError, match="published random"):
        next(calibrate.calibrate(live, ["published random"], 2, 2))
