"""Methods side by side: words by rules, what each needs, and that all are drawn in one frame."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from fairdemo.__main__ import main
from fairdemo.comparison import load
from fairdemo.methods import debias_vl, fairimagen, intervention, registry, words
from fairdemo.models import catalog, pipelines, profiles, routing
from fairdemo.models.generating import PairedGenerator, Sample, Setting
from fairdemo.models.semantic import Directions, Guided, direction
from fairdemo.report import table
from fairdemo.request import MIX
from fairdemo.stats import wording
from fairdemo.stats.mix import BASELINE, Source
from fairdemo.training import uce
from tests.conftest import asked
from tests.small_models import save_profile

CELL = ("Black", "Female", "old")
HERE = Path(__file__).parent
MADE, REPORTED = (
    tomllib.loads((HERE / name).read_text())["prompt"] for name in ("wording.toml", "wording_report.toml")
)


@pytest.mark.parametrize("case", MADE, ids=lambda case: case["text"][:40])
def test_words_go_where_english_wants_them(case):
    assert wording.written(case["text"], CELL) == case.get("wanted", case["text"])


def test_rules_on_prompts_that_they_were_not_made_on():
    """Particular and historical people are left alone, nothing is specified that was, and no other word
    changes; most prompts become what somebody would write."""
    alone = [c for c in REPORTED if c["kind"] in ("particular", "historical")]
    left = [c for c in alone if wording.written(c["text"], CELL) == c["text"]]
    assert len(left) >= 0.95 * len(alone), [c["text"] for c in alone if c not in left]
    right = 0
    for case in REPORTED:
        written, wanted = wording.written(case["text"], CELL), case.get("wanted", case["text"])
        assert plain(written) == plain(case["text"]), "no other word changes"
        if case["kind"] in ("said", "implied"):
            assert put_in(written) <= put_in(wanted), f"{case['text']}: what is said is specified again"
        right += written == wanted
    assert right >= 60 and len(REPORTED) >= 75 <= len(MADE)


def put_in(prompt: str) -> set[str]:
    """The cell's words in a prompt."""
    return {"old", "Black", "female"} & set(prompt.split())


def plain(prompt: str) -> list[str]:
    """A prompt without the cell's words, its articles alike."""
    return ["a" if w.lower() == "an" else w.lower() for w in prompt.split() if not put_in(w)]


@pytest.mark.parametrize(
    "prompt", ["", "a", "a doctor" * 100, "a photo of a", "doctor", "a\nphoto of a nurse", "an an an doctor"]
)
def test_any_text_is_read(prompt):
    assert wording.written(prompt, ()) == prompt and isinstance(wording.written(prompt, CELL), str)


def test_a_prompt_gets_only_what_is_wished():
    assert wording.written("a photo of an artist", ("Male",)) == "a photo of a male artist"
    assert wording.written("a photo of an artist", ("middle",)) == "a photo of a middle-aged artist"
    assert intervention.written("a photo of a doctor", ()).endswith(
        "if all individuals can be a doctor irrespective of their gender and race"
    )
    assert intervention.written("a red bicycle", ()) == "a red bicycle"


def test_every_method_says_what_it_is(studio, capsys):
    assert main(["methods", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [m["name"] for m in told] == studio.methods and told[0]["name"] == MIX
    assert all(m["what"].count(".") >= 2 and m["paper"] and m["sources"] for m in told)
    assert next(m for m in told if m["name"] == "words")["needs"] == []
    assert main(["methods", "list"]) == 0
    assert "follows the wished shares, can be mixed with others" in capsys.readouterr().out
    assert main(["methods", "list", "--profile", "nobody"]) == 2


def test_words_are_mixed_steered_and_shown(studio, tmp_path):
    """Women by words: the wish is reached, and every changed prompt is shown, saved and opened again."""
    plan = studio.plan(asked("a photo of a doctor", {"gender": {"Female": 1.0}}, 6, 4, method="words"))
    assert plan.mixed and plan.steering and "changed image by image" in plan.comparison.notices[0]
    comparison = list(studio.run(plan))[-1]
    assert comparison.counts("debiased")["gender"]["Female"] >= 5
    assert comparison.counts("baseline")["gender"].get("Female", 0) <= 2
    seen = comparison.prompts
    assert seen and all("female doctor" in text for text in seen.values())
    comparison.save(tmp_path / "saved")
    assert load(tmp_path / "saved").prompts == seen
    rows = table.images(comparison).splitlines()
    assert sum("female doctor" in row for row in rows) == sum(p.adapter in seen for p in comparison.pairs)


def test_words_and_adapters_are_mixed_by_one_solver(studio):
    plan = studio.plan(asked("a photo of a doctor", "women 70", 8, 4, method="mix + words"))
    choice = plan.mix.task.choice
    assert choice.count(BASELINE) == 1 and {bool(s.writer) for s in choice} == {True, False}
    assert {s.adapters != () for s in choice} == {True, False}
    for method, message in (
        ("mix + nobody", "method is 'nobody'; allowed are mix, "),
        ("words + aligned: gender", "'aligned: gender' can't be mixed with others; these can: mix, words"),
    ):
        with pytest.raises(ValueError, match=message):
            studio.plan(asked("a photo of a doctor", {}, 4, 0, method=method))


def test_a_prompt_that_rules_leave_alone_is_drawn_as_it_is(studio):
    plan = studio.plan(asked("a photo of two doctors", "uniform", 2, 1, method="words", steps=3))
    assert "No words are put into this prompt: it is about several people." in plan.comparison.notices
    comparison = list(studio.run(plan))[-1]
    assert comparison.prompts == {}
    assert all(p.baseline.image.tobytes() == p.debiased.image.tobytes() for p in comparison.pairs)


def test_published_random_is_left_to_chance(studio):
    """One of the twelve at random whatever is wished: other seeds, other slots."""
    plans = [
        studio.plan(asked("a photo of a chef", "women 70", 64, seed, method="published random"))
        for seed in (0, 1)
    ]
    one, other = ([s.label for s in plan.slots] for plan in plans)
    assert one != other and len(set(one)) >= 10 and not plans[0].steering
    assert 16 <= sum("Female" in label for label in one) <= 48


def test_every_method_in_one_mixed_batch_is_drawn_as_alone(live):
    """A sample of each kind of source beside the baseline, in float32."""
    generator = small_generator(live)
    kinds = [
        Source(),
        Source(("Black Female",), ("Black", "Female")),
        Source(writer="words", cell=("Asian", "Male")),
        Source(guide="fair diffusion", cell=("White", "Female", "old")),
        Source(writer="ethical intervention"),
        Source(edits=("fairimagen",)),
        Source(edits=("debias-vl",)),
        Source(("Indian Male",), ("Indian", "Male"), guide="fair diffusion"),
        *(m.sources[0] for m in live.registry.values() if m.sources[0].adapters and not m.mixes),
    ]
    assert len(kinds) >= 17
    for guidance in (1.0, 2.0):
        setting = Setting("a photo of a doctor", 3, 4, guidance)
        together = generator.draw(setting, [Sample(k % 2, source) for k, source in enumerate(kinds)])
        pixels = [np.asarray(image).astype(int) for image in together]
        for k, source in enumerate(kinds):
            (alone,) = generator.draw(setting, [Sample(k % 2, source)])
            assert np.abs(pixels[k] - np.asarray(alone)).max() <= 1, source
        assert all(np.abs(pixels[k] - pixels[k % 2 and 1]).mean() > 0.5 for k in (2, 3, 5, 6)), (
            "each changes it"
        )


def small_generator(live) -> PairedGenerator:
    """The shipped model in float32 with all of its methods."""
    profile = live.profile.but(dtype="float32")
    pipe = pipelines.load_pipeline(profile, "cpu")
    made = PairedGenerator(pipe, routing.attach(pipe, live.adapters), profile, "cpu")
    for method in live.registry.values():
        made.writers |= method.writers
        made.fits |= method.edits
        made.guides |= method.guides
    return made


def test_a_direction_by_hand():
    """Two places of four are strongest; towards adds, away takes off, and the rest is left alone."""
    plain = torch.zeros(1, 2, 2)
    edited = torch.tensor([[[[1.0, -2.0], [0.1, 0.0]]], [[[0.0, 0.5], [-3.0, 0.2]]]])
    own = Directions(("a woman",), ("a man",), scale=2.0, threshold=0.5)
    assert own.signs == [1, -1]
    # Towards: quantile 0.5 of (2, 4, 0.2, 0) is 1.1; away: of (0, 1, 6, 0.4) 0.7.
    wanted = torch.tensor([[[2.0, -4.0 - 1.0], [6.0, 0.0]]])
    assert torch.allclose(direction(edited, plain, own), wanted)


def test_warmup_and_momentum_of_directions():
    """Nothing at first; then the direction and half of its average so far."""
    calls = []

    def unet(sample, timestep, encoder_hidden_states, **options):
        calls.append(len(sample))
        return (torch.cat([torch.zeros_like(sample[:2]), torch.ones_like(sample[2:])]),)

    one = Guided(
        [0],
        [Directions(("w",), threshold=0.0, scale=1.0, warmup=0.2)],
        {"prompt_embeds": torch.zeros(1, 1, 1)},
        1,
        2.0,
    )
    states = torch.zeros(2, 1, 1)
    outs = [one.call(unet, 10, torch.zeros(2, 1, 1, 1), 0, encoder_hidden_states=states)[0] for _ in range(3)]
    assert calls == [3, 3, 3] and [o.flatten()[0].item() for o in outs] == [
        0,
        0,
        0,
    ], "unconditional rows stay"
    # Averages: 0.4, then 0.6 x 0.4 + 0.4 x 1.2; the conditional row gets direction / guidance.
    assert [o.flatten()[1].item() for o in outs[:2]] == [0, 0]
    assert outs[2].flatten()[1].item() == pytest.approx((1 + 0.5 * (0.6 * 0.4 + 0.4 * 1.2)) / 2)


def test_fair_projections_by_hand():
    """What separates the groups' means goes, and the rest of a vector stays; the calibrated projection brings
    pairs together and takes out the spurious directions."""
    random = torch.Generator().manual_seed(0)
    values, gap = torch.randn(200, 6, generator=random), torch.tensor([0.0, 3, 0, 4, 0, 0])
    labels = torch.arange(200) % 2
    values += labels[:, None] * gap
    u = fairimagen.directions(values, {"gender": labels})
    assert u.shape == (6, 1)
    changed = fairimagen.without(u, values.mean(0))(values)
    assert (changed[labels == 0].mean(0) - changed[labels == 1].mean(0)).norm() < 1e-4
    across = values - values @ u @ u.T
    assert torch.allclose(changed - changed @ u @ u.T, across, atol=1e-5)
    spurious, first = torch.eye(6)[:1], torch.randn(5, 6, generator=random)
    second = first + torch.tensor([0.0, 1, 0, 0, 0, 0])
    p = debias_vl.projection(spurious, first, second)
    assert ((first - second) @ p.T).norm() < 0.01 * (first - second).norm()
    assert (spurious @ p.T).norm() < 1e-5


def test_an_edit_as_lora_is_the_closed_form():
    """To a hundred-thousandth in float32, with fewer and with more edited vectors than dimensions."""
    random = torch.Generator().manual_seed(1)
    for n in (5, 40):
        w, c, v, kept = (torch.randn(*s, generator=random) for s in ((12, 16), (n, 16), (n, 12), (3, 16)))
        down, up = uce.as_factors(w, c, v, kept)
        closed = uce.closed_form(w, c, v, kept).float()
        assert len(down) == min(n, 16) and (w + up @ down - closed).abs().max() < 1e-5
        unchanged = uce.closed_form(w, c, c @ w.T, kept)
        assert (unchanged - w).abs().max() < 1e-5, "what is to be read as before is"


@pytest.mark.parametrize("family", ["sdxl", "sd15"])
@pytest.mark.parametrize("places", ["last", "all"])
def test_an_edit_of_a_model_is_the_closed_form_in_every_layer(tmp_path, family, places):
    """In SDXL's layout also where the pooled vector is read; the router's layers do what edited weights
    would."""
    profile = profiles.profile(str(save_profile(tmp_path, family)))
    pipe = pipelines.load_pipeline(profile, "cpu")
    generator = PairedGenerator(pipe, routing.Router(torch.nn.Module(), {}), profile, "cpu")
    prompts, kept = ("a photo of a doctor", "a photo of an old police officer"), ("a photo of a woman",)
    even = {"gender": {"Female": 0.5, "Male": 0.5}}
    found = uce.spaces(generator, uce.Config(prompts=prompts, target=even, kept=kept, places=places))
    assert len(found) == (2 if family == "sdxl" else 1)
    added = np.array([[0.5, -0.5], [0.2, -0.2]])
    factors, modules = uce.factors(generator, found, added), dict(routing.routable(pipe).named_modules())
    assert len(factors) == sum(len(space.layers) for space in found) >= 4
    for space in found:
        rows = added[space.of.numpy()]
        shifted = space.concepts + torch.einsum("nk,nkd->nd", torch.tensor(rows).float(), space.classes)
        for layer in space.layers:
            w = modules[layer].weight.detach()
            down, up = factors[layer]
            edited = uce.closed_form(w, space.concepts, shifted @ w.T, space.kept).float()
            assert (w + up @ down - edited).abs().max() < 1e-5 * max(1, float(w.abs().max()))
    with pytest.raises(ValueError, match="can't be edited: it is about several people"):
        uce.spaces(generator, uce.Config(prompts=("a photo of two doctors",), target=even))


def test_an_edit_finds_its_shares_and_opens_as_an_adapter(tmp_path, capsys):
    """Two rounds of a doctor: a file, a card, and a method of its own."""
    (tmp_path / "edit.toml").write_text(
        'prompts = ["a photo of a doctor"]\nrounds = 2\nimages = 4\nstep = 1.0\n'
        "[target.gender]\nFemale = 0.5\nMale = 0.5\n"
    )
    out = tmp_path / "edited"
    assert main(["train", "uce", "--config", str(tmp_path / "edit.toml"), "--out", str(out)]) == 0
    assert "Unified concept editing" in (out / "card.md").read_text()
    assert [float(line.split(",")[1]) for line in (out / "log.csv").read_text().splitlines()[1:]][0] <= 0.5
    (adapter,) = catalog.catalog("embedded", out / "catalog.toml")
    method = registry.of([adapter])[-1]
    assert method.paper.startswith("Gandikota") and not method.follows
    (tmp_path / "bad.toml").write_text('prompts = ["a cat"]\n[target.gender]\nFemale = 1.0\nMale = 0.0\n')
    assert main(["train", "uce", "--config", str(tmp_path / "bad.toml"), "--out", str(tmp_path / "no")]) == 2
    assert "no person was found in it" in capsys.readouterr().err


def test_words_have_the_cells_of_the_mix(studio):
    cells = {frozenset(s.cell) for s in studio.artist.sources}
    assert {frozenset(s.cell) for s in words.METHOD.sources} == cells
