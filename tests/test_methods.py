"""Methods side by side: words by rules, what each needs, and that all are drawn in one frame."""

import json
import tomllib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scipy
import torch

from fairdemo.__main__ import main
from fairdemo.comparison import load
from fairdemo.methods import debias_vl, fairimagen, intervention, registry, texts, words
from fairdemo.models import catalog, pipelines, profiles, routing
from fairdemo.models.generating import PairedGenerator
from fairdemo.models.sampling import Sample, Setting
from fairdemo.models.semantic import Directions, Guided, direction
from fairdemo.report import table
from fairdemo.request import MIX
from fairdemo.stats import prompts, wording
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
    for pair in comparison.pairs:  # two places of a batch may round differently
        both = (np.asarray(side.image, float) for side in (pair.baseline, pair.debiased))
        assert np.abs(np.subtract(*both)).mean() < 0.5


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
    # Towards: quantile 0.5 of (2, 4, 0.2, 0) is 1.1; away: of (0, 1, 6, 0.4) 0.7; there is one channel.
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


def test_plain_fair_pca_by_hand():
    """What separates the groups' means goes, and the rest of a vector stays."""
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


@pytest.mark.parametrize("dimensions", [3, 1400])
def test_fair_pca_with_noise_is_as_published(dimensions):
    """Against the definition, step by step: with one column a group, the null space of what labels and
    values share, principal components in it, and each group's own values along its direction."""
    n, groups, d = 7, 3, 8
    values = np.random.default_rng(2).normal(size=(groups * n, d)) + 1
    labels = np.repeat(np.eye(groups), n, 0)
    shared = (labels - labels.mean(0)).T @ values
    free = scipy.linalg.null_space(shared)
    assert free.shape == (d, d - groups + 1)
    of, vectors = np.linalg.eigh(free.T @ values.T @ values @ free)
    largest = vectors[:, np.argsort(of)[::-1][:dimensions]]
    wanted = free @ largest @ largest.T @ free.T
    found = fairimagen.fit_projection(torch.from_numpy(values), groups, dimensions)
    assert np.abs(found.projection.numpy() - wanted).max() < 1e-5
    unit = shared / np.linalg.norm(shared, axis=1, keepdims=True)
    assert np.abs(found.directions.numpy() - unit).max() < 1e-5
    for group in range(groups):
        seen = values[group * n : (group + 1) * n] @ unit[group]
        assert np.abs(found.seen[group].numpy() - seen).max() < 1e-5


def test_each_image_gets_a_group_by_chance(live):
    """The same seed gives the same, and others another; what lies along all groups' directions is what was
    put back, at the noise's scale twice."""
    generator = small_generator(live)
    edit = generator._edit("fairimagen")
    text = generator.pipeline.encode_prompt("a photo of a doctor", do_classifier_free_guidance=False)
    own = {"prompt_embeds": text[0], "pooled_prompt_embeds": text[2]}

    def pooled(seed):
        return edit(own, torch.Generator().manual_seed(seed))["pooled_prompt_embeds"][0]

    assert torch.equal(pooled(1), pooled(1))
    assert len({tuple(pooled(seed).tolist()) for seed in range(40)}) > 30
    # What is put back in the pooled vector, from the prompts of the group that the seed chooses.
    people = [
        wording.written(f"a photo of {prompts.article(p)}", group)
        for group in fairimagen.GROUPS
        for p in fairimagen.FITTED_ON
    ]
    values = texts.encoded(generator, people)["pooled_prompt_embeds"]
    fair = fairimagen.fit_projection(values, len(fairimagen.GROUPS))
    for seed in range(5):
        chance = torch.Generator().manual_seed(seed)
        group = int(torch.randint(12, (1,), generator=chance))
        prompt = int(torch.randint(len(fairimagen.FITTED_ON), (1,), generator=chance))
        vector = values.view(12, -1, values.shape[1])[group, prompt]
        back = 0.36 * (vector @ fair.directions[group]) * fair.directions[group]
        wanted = own["pooled_prompt_embeds"][0] @ fair.projection + back
        assert (pooled(seed) - wanted).abs().max() < 1e-4
    plain = generator._edit("fair pca")
    assert torch.equal(*(plain(own, torch.Generator().manual_seed(k))["prompt_embeds"] for k in range(2)))


def test_a_calibration_is_as_published():
    """Against the authors' sum over pairs: a a' + b b' - a b' - b a' of unit vectors."""
    first, second = (np.random.default_rng(k).normal(size=(5, 6)) for k in range(2))
    m = np.zeros((6, 6))
    for a, b in zip(first, second):
        a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
        m += np.outer(a, a) + np.outer(b, b) - np.outer(a, b) - np.outer(b, a)
    wanted = np.linalg.inv(500 * m / 5 + np.eye(6))
    found = debias_vl.fit_calibration(torch.from_numpy(first), torch.from_numpy(second))
    assert np.abs(found.numpy() - wanted).max() < 1e-5


def test_a_threshold_is_of_each_channel_and_element():
    """Semantic guidance against loops over directions and channels, four of each."""
    random = torch.Generator().manual_seed(5)
    edited, plain = (torch.randn(*s, generator=random) for s in ((3, 4, 8, 8), (4, 8, 8)))
    own = Directions(("a", "b"), ("c",))
    wanted = np.zeros((4, 8, 8))
    for one, sign in zip(edited.numpy(), (1, 1, -1)):
        for channel in range(4):
            moved = sign * 4 * (one[channel] - plain[channel].numpy())
            wanted[channel] += np.where(np.abs(moved) >= np.quantile(np.abs(moved), 0.95), moved, 0)
    found = direction(edited, plain, own).numpy()
    assert np.abs(found - wanted).max() < 1e-5
    # Four of 64 elements of each direction and channel are kept.
    assert (found != 0).sum() <= 3 * 4 * 4


def published_uce(w, concepts, classes, kept, added, ridge):
    """One layer after a round of the paper's code, place by place: concepts (n, places, d), their classes'
    words (n, k, places, d), kept prompts (m, 77, d)."""
    d = w.shape[1]
    first, second = ridge * w, ridge * np.eye(d)
    for own, of_classes, weights in zip(concepts, classes, added):
        outputs = own @ w.T
        target = outputs.copy()
        for class_words, weight in zip(of_classes, weights):
            u = class_words @ w.T
            target += weight * np.linalg.norm(outputs) * u / np.linalg.norm(u)
        for place in range(len(own)):
            first = first + np.outer(target[place], own[place])
            second = second + np.outer(own[place], own[place])
    for prompt in kept:
        for place in prompt:
            first = first + 0.1 * np.outer(w @ place, place)
            second = second + 0.1 * np.outer(place, place)
    return first @ np.linalg.inv(second)


def test_two_rounds_of_concept_editing_are_as_published(tmp_path):
    """Every layer of a small model after two rounds that build on one another, the second with a concept
    that has reached its shares; and the LoRA that is made of it."""
    generator, pipe = small_uce(tmp_path, "sdxl")
    config = uce.Config(prompts=CONCEPTS, target=EVEN, kept=("a photo of a chef",))
    found = uce.spaces(generator, config)
    assert [space.layers == (uce.POOLED,) for space in found] == [False, True]
    before = uce.projections(generator, found)
    rounds = [np.array([[0.05, -0.05], [0.02, -0.02]]), np.array([[0.03, -0.03], [0.0, 0.0]])]
    done = [np.array([False, False]), np.array([False, True])]
    now = before
    for added, is_done in zip(rounds, done):
        now = uce.edit_round(now, found, added, is_done, "paper")
    encode = partial(uce.encoded, generator)
    states, of_class = encode(CONCEPTS)["prompt_embeds"], encode(WORDS)["prompt_embeds"]
    kept = encode(["a photo of a chef"])["prompt_embeds"].double().numpy()
    # Prompts end with their subject, so its last token is the one before the text's end.
    own, theirs = ([len(pipe.tokenizer(p).input_ids) - 2 for p in prompts] for prompts in (CONCEPTS, WORDS))
    places = [77 - max(k, *theirs) for k in own]  # as many as both texts have from there on
    concepts = [s[k : k + n].double().numpy() for s, k, n in zip(states, own, places)]
    classes = [np.stack([s[k : k + n].double().numpy() for s, k in zip(of_class, theirs)]) for n in places]
    ridge = uce.RIDGE * np.square(np.concatenate(concepts)).sum(1).mean()
    for layer in found[0].layers:
        w = before[layer].numpy()
        one = published_uce(w, concepts, classes, kept, rounds[0], ridge)
        stays = [*kept, states[1].double().numpy()]
        two = published_uce(one, concepts, classes, stays, rounds[1], ridge)
        assert np.abs(now[layer].numpy() - two).max() < 1e-5 * max(1, np.abs(w).max())
    for layer, (down, up) in uce.factors(before, now).items():
        change = now[layer] - before[layer]
        assert len(down) == min(change.shape) and (up @ down - change).abs().max() < 1e-5


def test_the_rewritten_form_edits_one_place_of_the_model_as_it_was(tmp_path):
    """The noun's last place alone, classes' words as they are, all that was missing so far."""
    generator, _ = small_uce(tmp_path, "sd15")
    config = uce.Config(prompts=CONCEPTS, target=EVEN, form="rewrite")
    (space,) = uce.spaces(generator, config)
    assert [len(one.own) for one in space.concepts] == [1, 1] and len(space.kept) == 0
    before = uce.projections(generator, [space])
    added = np.array([[0.5, -0.5], [0.1, -0.1]])
    edited = uce.edit_round(before, [space], added, np.zeros(2, bool), "rewrite")
    for layer in space.layers:
        w = before[layer].numpy()
        c = np.concatenate([one.own.numpy() for one in space.concepts])
        v = [
            w @ own + row @ (one.classes[:, 0].numpy() @ w.T)
            for own, one, row in zip(c, space.concepts, added)
        ]
        ridge = uce.RIDGE * np.square(c).sum(1).mean() * np.eye(c.shape[1])
        wanted = (np.stack(v).T @ c + w @ ridge) @ np.linalg.inv(c.T @ c + ridge)
        assert np.abs(edited[layer].numpy() - wanted).max() < 1e-5 * max(1, np.abs(w).max())
    with pytest.raises(ValueError, match="can't be edited: it is about several people"):
        uce.spaces(generator, uce.Config(prompts=("a photo of two doctors",), target=EVEN))


def test_the_rewritten_form_keeps_no_concept_that_it_edits(tmp_path):
    """In SDXL's layout, too: a concept that has reached its shares is edited as before."""
    generator, _ = small_uce(tmp_path, "sdxl")
    found = uce.spaces(generator, uce.Config(prompts=CONCEPTS, target=EVEN, form="rewrite"))
    assert len(found) == 2
    before, added = uce.projections(generator, found), np.array([[0.5, -0.5], [0.1, -0.1]])
    one, other = (
        uce.edit_round(before, found, added, np.array([False, done]), "rewrite") for done in (False, True)
    )
    assert all(torch.equal(one[layer], other[layer]) for layer in before)


CONCEPTS = ("a photo of a doctor", "a photo of an old police officer")
WORDS = ["a photo of a female person", "a photo of a male person"]
EVEN = {"gender": {"Female": 0.5, "Male": 0.5}}


def small_uce(folder, family):
    """A small model of a family, without adapters."""
    profile = profiles.profile(str(save_profile(folder, family)))
    pipe = pipelines.load_pipeline(profile, "cpu")
    return PairedGenerator(pipe, routing.Router(torch.nn.Module(), {}), profile, "cpu"), pipe


def test_an_edit_finds_its_shares_and_opens_as_an_adapter(tmp_path, capsys):
    """Two rounds of a doctor: a file, a card, and a method of its own."""
    (tmp_path / "edit.toml").write_text(
        'prompts = ["a photo of a doctor"]\nrounds = 2\nimages = 4\nstep = 0.3\n'
        "[target.gender]\nFemale = 0.5\nMale = 0.5\n"
    )
    out = tmp_path / "edited"
    assert main(["train", "uce", "--config", str(tmp_path / "edit.toml"), "--out", str(out)]) == 0
    assert "Unified concept editing" in (out / "card.md").read_text()
    assert [float(line.split(",")[1]) for line in (out / "log.csv").read_text().splitlines()[1:]][0] <= 0.5
    (adapter,) = catalog.catalog("embedded", out / "catalog.toml")
    (method,) = (one for one in registry.of([adapter]) if one.name == adapter.method)
    assert method.paper.startswith("Gandikota") and not method.follows
    (tmp_path / "bad.toml").write_text('prompts = ["a cat"]\n[target.gender]\nFemale = 1.0\nMale = 0.0\n')
    assert main(["train", "uce", "--config", str(tmp_path / "bad.toml"), "--out", str(tmp_path / "no")]) == 2
    assert "no person was found in it" in capsys.readouterr().err


def test_words_have_the_cells_of_the_mix(studio):
    cells = {frozenset(s.cell) for s in studio.artist.sources}
    assert {frozenset(s.cell) for s in words.METHOD.sources} == cells
