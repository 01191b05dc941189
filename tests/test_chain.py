"""The whole chain on the shipped model: prompt to counts, saved and opened, stopped, bad input."""

import json
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from fairdemo import comparison as comparisons
from fairdemo.__main__ import main
from fairdemo.models import profiles
from fairdemo.models.generating import cut_words
from fairdemo.models.gpu import Watch
from fairdemo.models.sampling import Cancelled
from fairdemo.pairs import Drawn, Pair
from fairdemo.places import SHIPPED
from fairdemo.readers import classify
from fairdemo.readers.read import FaceReader
from fairdemo.stats import measure, stopping, targets
from fairdemo.stats.attributes import CLASSES
from fairdemo.studio.live import Live
from fairdemo.studio.studio import Studio
from fairdemo.ui import board
from tests.conftest import asked

UNIFORM = targets.PRESETS["uniform"].target


def run(studio, prompt="a photo of a doctor", target=UNIFORM, n=6, seed=7, **more):
    studio.artist.kept.images.clear()  # drawn anew, not remembered
    plan = studio.plan(asked(prompt, target, n, seed, steps=6, **more))
    return plan.comparison, plan.slots, list(len(c.pairs) for c in studio.run(plan))


def test_chain_from_prompt_to_counts(studio, tmp_path):
    comparison, slots, growth = run(studio, steering=False)
    assert growth == [3, 6], "the first batch is small, so that something shows early"
    summary = comparison.measures.summary()
    for side in ("baseline", "debiased"):
        for attribute in CLASSES:
            assert sum(summary[side][attribute].values()) + summary[side]["no_face"] == 6
    assert [p.adapter for p in comparison.pairs] == [s.label for s in slots]
    comparison.save(tmp_path / "saved")
    opened = comparisons.load(tmp_path / "saved")
    assert opened.as_json() == json.loads(json.dumps(comparison.as_json()))
    assert np.array_equal(
        np.asarray(opened.pairs[3].debiased.image), np.asarray(comparison.pairs[3].debiased.image)
    )
    with pytest.raises(FileExistsError, match="exists already"):
        comparison.save(tmp_path / "saved")


def test_intervals_of_a_growing_wall_hold_whenever_one_looks(studio):
    """They are wider until the planned number is there."""
    studio.artist.kept.images.clear()
    plan = studio.plan(asked("a photo of a doctor", UNIFORM, 6, 7, steps=6))
    ends = [
        (len(c.pairs), [(f.low, f.high) for f in [board.counted(c, "debiased", "gender")["Female"]]][0])
        for c in studio.run(plan)
    ]
    faces = plan.comparison.faces("debiased")
    women = sum(f.gender == "Female" for f in faces)
    assert ends[-1] == (6, measure.interval(women, len(faces)))
    (n, (low, high)), seen = ends[0], faces[:3]
    women = sum(f.gender == "Female" for f in seen)
    assert n == 3 and (low, high) == stopping.confidence_sequence(women, 3)
    plain = measure.interval(women, 3)
    assert low <= plain[0] and high >= plain[1] and high - low > plain[1] - plain[0]


def test_same_settings_same_result(studio):
    first, second = run(studio)[0], run(studio)[0]
    assert first.as_json() == second.as_json()
    assert all(
        np.array_equal(np.asarray(a.debiased.image), np.asarray(b.debiased.image))
        for a, b in zip(first.pairs, second.pairs)
    )
    assert run(studio, seed=8)[0].as_json() != first.as_json()


def test_baseline_target_draws_twins_once(studio):
    comparison, _, _ = run(studio, target={}, n=4)
    assert all(p.baseline.image is p.debiased.image and p.adapter == "baseline" for p in comparison.pairs)


def test_pairs_share_noise_and_the_baseline_ignores_the_target(studio):
    a, b = run(studio, n=4)[0], run(studio, n=4, target={"gender": {"Female": 1.0}})[0]
    for p, q in zip(a.pairs, b.pairs):
        # Bf16 sums differ a little with the batch.
        assert np.abs(np.asarray(p.baseline.image).astype(int) - np.asarray(q.baseline.image)).max() <= 24


def test_steered_walls_draw_the_end_in_smaller_steps(studio):
    comparison, slots, growth = run(studio, n=16, steering=True)
    assert growth == [3, 10, 16]
    assert [p.adapter for p in comparison.pairs] == [s.label for s in slots]
    found = comparison.measures.as_json()
    assert (
        found["debiased"]["gender"]["to_target"]["total_variation"]
        < found["baseline"]["gender"]["to_target"]["total_variation"]
    )
    assert abs(comparison.counts("debiased")["gender"]["Female"] - 8) <= 2


def test_measures_hold_counts_intervals_and_corrections(studio):
    comparison, _, _ = run(studio, n=6)
    found = comparison.measures.as_json()
    for side in ("baseline", "debiased"):
        for attribute, classes in CLASSES.items():
            rows = found[side][attribute]["classes"]
            assert set(rows) == set(classes)
            for row in rows.values():
                assert (
                    row["simultaneous"][0]
                    <= row["interval"][0]
                    <= row["share"]
                    <= row["interval"][1]
                    <= row["simultaneous"][1]
                )
                assert ("corrected" in row) == (attribute != "age"), "of six faces age isn't corrected"
        assert found[side]["subject_kept"]["n"] == 6 and found[side]["distinct_faces"] <= 6
    assert found["twins"]["n"] <= 6 and -1 <= found["twins"]["same_look"]["value"] <= 1
    json.dumps(found, allow_nan=False)


def test_a_partial_wish_leaves_race_alone(studio):
    plan = studio.plan(asked("a photo of a doctor", targets.parse("gender:Female=0.6"), 24, 0))
    assert plan.comparison.target == {"gender": {"Female": pytest.approx(0.6), "Male": pytest.approx(0.4)}}
    expected, before = (
        plan.comparison.mix.expected,
        targets.marginals(plan.mix.task.response[0].reshape(6, 2, 3)),
    )
    assert expected["gender"]["Female"] == pytest.approx(0.6, abs=0.02)
    assert all(abs(expected["race"][r] - before["race"][r]) < 0.05 for r in CLASSES["race"])


def test_a_profile_never_measured_takes_adapters_at_their_word():
    unmeasured = Live("embedded", "cpu")
    unmeasured.__dict__["counts"] = None
    fresh = Studio(unmeasured)
    plan = fresh.plan(asked("a photo of a doctor", UNIFORM, 24, 0))
    assert "baseline" not in plan.comparison.mix.weights and any(
        "never measured" in notice for notice in plan.comparison.notices
    )
    assert 11 <= sum(s.named("gender") == "Female" for s in plan.slots) <= 13
    assert fresh.plan(asked("a photo of a doctor", {}, 4, 0)).comparison.mix.weights == {"baseline": 1}


def test_a_moved_target_keeps_most_slots(studio):
    first = studio.plan(asked("a photo of a doctor", UNIFORM, 24, 0))
    other = asked("a photo of a doctor", {**UNIFORM, "gender": {"Female": 0.6, "Male": 0.4}}, 24, 0)
    moved = studio.plan(other, before=first.slots)
    assert 1 <= sum(a != b for a, b in zip(first.slots, moved.slots)) <= 6


def test_all_women_are_women(studio):
    comparison, _, _ = run(studio, target={"gender": {"Female": 1.0}}, n=8)
    assert comparison.counts("debiased")["gender"]["Female"] >= 7


def test_stop_frees_the_model_at_once(studio, live):
    plan = studio.plan(asked("a photo of a nurse", UNIFORM, 8, 1, steps=40))
    cancel, shares = threading.Event(), []

    def progress(share):
        shares.append(share)
        if len(shares) == 3:
            cancel.set()

    with pytest.raises(Cancelled):
        list(studio.run(plan, Watch(progress, cancel)))
    assert len(shares) == 3 and plan.comparison.pairs == []
    assert not live.generator.lock.locked() and not live.generator.router.gathered


def test_no_face_is_counted(live):
    blank = Image.new("RGB", (128, 128), (120, 130, 140))
    assert live.reader.read([blank]) == [[]]
    drawn = Drawn(blank, [], "person", np.ones(64) / 8)
    pair = Pair(0, "baseline", drawn, drawn)
    empty = comparisons.Comparison(asked("p", {}, 1, 0), {}, pairs=[pair])
    assert (
        empty.measures.summary()["baseline"]["no_face"] == 1
        and empty.as_json()["pairs"][0]["debiased"]["faces"] == []
    )


def test_long_prompts_say_what_was_cut(studio, live):
    pipe = live.generator.pipeline
    assert cut_words(pipe, "a photo of a doctor") == ""
    assert cut_words(pipe, "doctor " * 80).split() == ["doctor"] * 5
    soft = next(a for a in live.adapters if a.tokens)
    assert (
        cut_words(pipe, live.generator.router.before((soft.name,)) + "doctor " * 75).split()
        == ["doctor"] * soft.tokens
    ), "soft tokens take places, too"
    plan = studio.plan(asked("a photo of a doctor " + "smiling " * 100, UNIFORM, 1, 0, steps=2))
    list(studio.run(plan))
    assert "77 tokens" in plan.comparison.notices[-1] and "smiling" in plan.comparison.notices[-1]


def test_prompt_that_names_an_attribute_is_left_alone(studio):
    plan = studio.plan(asked("a photo of a Black woman", UNIFORM, 4, 0))
    assert all(s.adapters == () for s in plan.slots) and len(plan.comparison.notices) == 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([""], "prompt is empty"),
        (["x" * 5000], "5,000 characters"),
        (["a doctor", "-n", "0"], "number of pairs is 0"),
        (["a doctor", "-n", "10000"], "number of pairs is 10000"),
        (["a doctor", "--target", '{"gender": {"Female": 0.9, "Male": 0.9}}'], "sum to 1.8"),
        (["a doctor", "--target", '{"gender": {"Female": -1, "Male": 2}}'], "Female is -1"),
        (["a doctor", "--profile", "sdxxl"], "'sdxxl' is unknown; allowed are embedded"),
        (["a doctor", "--seed", "-1"], "seed is -1"),
        (["a doctor", "--steps", "1"], "steps is 1"),
        (["a doctor", "--guidance", "99"], "guidance is 99"),
        (["a doctor", "--rounding", "best"], "'best'"),
        (["a doctor", "--dependence", "loose"], "'loose'"),
        (["a doctor", "--target", "gender:Female=lots"], "'lots'"),
    ],
)
def test_bad_input_on_the_command_line(arguments, message, capsys):
    assert main(["compare", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and "Traceback" not in error


def test_existing_output_folder(tmp_path, capsys):
    assert main(["compare", "a doctor", "--out", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_missing_and_damaged_model_files(tmp_path, capsys):
    profile = tmp_path / "mine.toml"
    profile.write_text(
        profiles.profile("embedded")
        .file.read_text()
        .replace("./assets/embedded", "./model")
        .replace("./assets/classifier", str(SHIPPED / "assets/classifier"))
    )
    command = ["compare", "a doctor", "-n", "1", "--profile", str(profile)]
    assert main(command) == 2
    assert "missing" in capsys.readouterr().err
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model_index.json").write_text("{}")
    assert main(command) == 2
    assert "damaged" in capsys.readouterr().err


def test_command_line_prints_a_table_and_json(tmp_path):
    out = tmp_path / "result"
    call = subprocess.run(
        [
            sys.executable,
            "-m",
            "fairdemo",
            "compare",
            "a photo of a doctor",
            "-n",
            "4",
            "--seed",
            "7",
            "--steps",
            "4",
            "--json",
            "--out",
            str(out),
        ],
        capture_output=True,
        text=True,
        cwd=SHIPPED,
        timeout=300,
    )
    assert call.returncode == 0, call.stderr
    result = json.loads(call.stdout)
    assert {"prompt", "profile", "seed", "n", "pairs", "summary", "measures", "mix"} <= set(result)
    assert len(result["pairs"]) == 4 and {"slot", "adapter", "baseline", "debiased"} <= set(
        result["pairs"][0]
    )
    assert set(result["summary"]["bias"]["baseline"]) == {"race", "gender", "age"}
    assert json.loads((out / "comparison.json").read_text()) == result
    assert (out / "debiased" / "0003.png").is_file()


@pytest.mark.parametrize("damage", ["{", '{"format": 1}', '{"format": 3, "pairs": [{"slot": "../../x"}]}'])
def test_damaged_comparisons_are_refused(tmp_path, damage):
    with pytest.raises(ValueError, match="comparison.json"):
        comparisons.load(tmp_path)
    (tmp_path / "comparison.json").write_text(damage)
    with pytest.raises(ValueError, match="damaged"):
        comparisons.load(tmp_path)


def test_classifier_files_hold_no_code(tmp_path):
    """The SVMs are skops files whose every type is known; a foreign type is refused."""
    import skops.io

    for attribute in CLASSES:
        unknown = skops.io.get_untrusted_types(file=SHIPPED / f"assets/classifier/{attribute}.skops")
        assert set(unknown) <= set(classify.TRUSTED)
    assert isinstance(FaceReader(SHIPPED / "assets/classifier"), FaceReader)


def test_the_planned_mix_is_shown_before_drawing(studio):
    from fairdemo.ui.foreseen import preview, segments

    plan = studio.plan(asked("a photo of a doctor", UNIFORM, 16, 0))
    assert sum(s.weight for s in segments(plan)) == pytest.approx(1, abs=0.05)
    page = preview(plan, "en")
    assert "Female 5" in page or "Female 4" in page, "the expected share of women is about one half"
    assert "Nothing is steered" in preview(studio.plan(asked("a photo of a doctor", {}, 16, 0)), "en")


def test_a_model_that_fails_midway_leaves_what_was_drawn(studio, live, monkeypatch):
    from types import SimpleNamespace

    import gradio as gr

    from fairdemo.ui import studio_events
    from fairdemo.ui.studio_view import screen
    from fairdemo.ui.visits import RUNNING

    real, calls = live.generator.draw_twofold, []

    def breaks(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError("out of memory")
        return real(*args, **options)

    monkeypatch.setattr(live.generator, "draw_twofold", breaks)
    monkeypatch.setattr(studio_events, "studio", lambda profile: studio)
    plan = studio.plan(asked("a photo of a farmer", {"gender": {"Female": 0.5, "Male": 0.5}}, 8, 991))
    with gr.Blocks():
        made = screen()
    page = studio_events.Events(made)
    values = {made.visit: None, made.shown.corrected: "observed"}
    request = SimpleNamespace(session_hash="s", headers={}, client=None)
    *_, last, _ = studio_events.Run(
        page, values, request, lambda *args, **options: None, threading.Event()
    ).of(plan, "done")
    RUNNING.clear()
    done = len(plan.comparison.pairs)
    assert 1 <= done < 8
    status = last[made.shown.status]
    assert f"failed after {done} of 8" in status and "memory ran out" in status
    assert last[made.shown.board["wall-baseline"]].count("<img") == done


def test_a_wish_that_moves_while_the_last_drawing_ends_is_shown(studio, monkeypatch):
    """Undo just after the wall was drawn again: `settle` gives way to a drawing that is about to end, so
    `move`, which waits in line for it, shows the wall although nothing is left to draw."""
    from types import SimpleNamespace

    import gradio as gr

    from fairdemo.ui import sliding, studio_events
    from fairdemo.ui.mixer import wish
    from fairdemo.ui.offered import reference
    from fairdemo.ui.studio_view import screen
    from fairdemo.ui.visits import RUNNING, Visit

    monkeypatch.setattr(studio_events, "studio", lambda profile: studio)
    monkeypatch.setattr(sliding, "studio", lambda profile: studio)
    with gr.Blocks():
        made = screen()
    page = studio_events.Events(made)
    request = SimpleNamespace(session_hash="s", headers={}, client=None)
    all_men, all_women = ({"gender": {"Female": f, "Male": 1 - f}} for f in (0.0, 1.0))
    first = studio.plan(asked("a photo of a farmer", all_men, 4, 992))
    for _ in studio.run(first):
        pass
    second = studio.moved(first, all_women)
    for _ in studio.run(second):
        pass
    values = {
        made.visit: Visit(second, [second, first]),
        made.shown.corrected: "observed",
        made.wish.mixer: wish(all_men, reference("a photo of a farmer", "embedded")),
        **{getattr(made.ask, name): getattr(first.request, name) for name in studio_events.FIELDS},
        made.ask.prompt: "a photo of a farmer",
    }
    RUNNING["s", ""] = [threading.Event()]
    shown = made.shown.board["wall-debiased"]
    assert shown not in page.settle(values, request)
    RUNNING.clear()
    (moved,) = page.move(values, request)
    assert moved[made.visit].plan is first and moved[shown].count("<img") == 4
    values[made.visit] = moved[made.visit]
    assert list(page.move(values, request)) == [gr.skip()], "what stands already isn't shown twice"
