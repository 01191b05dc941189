"""Distributional alignment: expected transport worked by hand, losses, and the gradient in constant
memory."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from transformers import BitImageProcessor, Dinov2Config, Dinov2Model
from transformers.image_utils import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from fairdemo.experiments import against_naive, naive
from fairdemo.models import pipelines, profiles, routing
from fairdemo.models.generating import PairedGenerator
from fairdemo.models.sampling import Setting, through
from fairdemo.places import PACKAGE
from fairdemo.stats.attributes import TARGET_CLASSES
from fairdemo.stats.prompts import PROFESSIONS, profession
from fairdemo.studio.live import Live
from fairdemo.studio.studio import Studio
from fairdemo.training import adjusted, align, losses, soft_tokens
from fairdemo.training.joint import joint_of
from fairdemo.training.looks import eased_on_faces, looks_of
from fairdemo.training.moved_words import MovedWords
from fairdemo.training.transport import _sampled, expected_transport
from tests import small_models
from tests.conftest import asked
from tests.small_models import save_lora, save_profile

THREE = {
    "gender": {"Female": 0.5, "Male": 0.5},
    "race": {"White": 0.5, "Asian+Black+Indian+Latinx+Middle Eastern": 0.5},
    "age": {"young": 0.5, "middle+old": 0.5},
}


def test_two_images_by_hand():
    """Uniform target, images with 0.9 and 0.2 for the second class. Two samples are of (2, 0), (1, 1), (0,
    2) classes with probability 1/4, 1/2, 1/4; with one each the likelier image gets the second class. So q
    = 3/4 and 1/4."""
    q = expected_transport(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([0.5, 0.5]))
    assert q == pytest.approx(np.array([[0.25, 0.75], [0.75, 0.25]]))


def test_three_images_by_hand():
    """75 % first class: j of three samples are of the second with probability 27/64, 27/64, 9/64, 1/64;
    ranks 0, 1, 2 get it when j > rank."""
    q = expected_transport(np.array([[0.3, 0.7], [0.9, 0.1], [0.6, 0.4]]), np.array([0.75, 0.25]))
    assert q[:, 1] == pytest.approx([37 / 64, 1 / 64, 10 / 64])


def test_three_classes_by_hand():
    """One image: its expected target is the target itself. Three sure images of different classes and
    samples of one class each: each keeps its own."""
    assert expected_transport(np.array([[0.2, 0.3, 0.5]]), np.array([0.2, 0.2, 0.6]), samples=20_000)[
        0
    ] == pytest.approx([0.2, 0.2, 0.6], abs=0.015)
    q = expected_transport(np.eye(3), np.full(3, 1 / 3), samples=4000)
    # P(class of image i is kept) = P(at least one sample of it) = 1 - (2/3)^3
    assert np.diag(q) == pytest.approx(np.full(3, 19 / 27), abs=0.03)


def test_the_closed_form_is_the_sampled_one():
    rng = np.random.default_rng(1)
    for target in ([0.5, 0.5], [0.75, 0.25]):
        second = rng.uniform(size=12)
        p = np.stack([1 - second, second], 1)
        exact, sampled = (
            expected_transport(p, np.array(target)),
            _sampled(p, np.array(target), np.eye(2), 4000, 2),
        )
        error = np.sqrt(np.maximum(exact * (1 - exact), 1e-4) / 4000)
        assert (np.abs(exact - sampled) <= 3 * error).all()


@pytest.mark.parametrize("k", [2, 4, 8])
def test_rows_sum_to_one_and_columns_to_the_target(k):
    rng = np.random.default_rng(k)
    p, target = rng.dirichlet(np.ones(k), 16), rng.dirichlet(np.ones(k) * 3)
    q = expected_transport(p, target, samples=3000)
    assert q.sum(1) == pytest.approx(np.ones(16)) and q.mean(0) == pytest.approx(target, abs=0.02)


def test_strange_distributions_are_refused():
    with pytest.raises(ValueError, match="expected \\(N, D\\)"):
        expected_transport(np.ones((3, 2)) / 2, np.ones(3) / 3)
    with pytest.raises(ValueError, match="sum to 1"):
        expected_transport(np.ones((3, 2)) / 2, np.array([0.5, 0.6]))


def test_losses_by_hand():
    targets = losses.dynamic_targets(np.array([[0.9, 0.1], [0.6, 0.4], [0.15, 0.85]]), 0.8)
    assert targets.tolist() == [0, losses.IGNORED, 1]
    logits = torch.tensor([[0.0, 0.0], [5.0, -5.0], [0.0, 0.0]], requires_grad=True)
    loss = losses.alignment_loss(logits, torch.tensor(targets))
    assert loss.item() == pytest.approx(2 * np.log(2) / 3)
    loss.backward()
    assert logits.grad[1].abs().sum() == 0, "ignored images pull nowhere"
    assert losses.alignment_loss(logits, torch.full((3,), losses.IGNORED)).item() == 0
    a, b = torch.eye(3)[:2], torch.stack([torch.eye(3)[0], torch.eye(3)[2]])
    assert losses.semantics_loss([a, a], [b, a], torch.tensor([2.0, 4.0])).item() == pytest.approx(4 / 2)


def test_realism_pulls_a_face_whose_class_stays_to_its_twins():
    """By hand, as the authors' code: a sure face that keeps its class to its twin, one that changes it to the
    nearest real face, and one without a target nowhere; with several attributes the last counts, too."""
    stay, change, unsure, doubtful = 0, 1, 2, 3
    targets = np.array([[0], [1], [losses.IGNORED], [0]])
    stays, counted = losses.realism_targets(
        targets, np.array([[0], [0], [0], [0]]), np.array([[0.95], [0.95], [0.95], [0.8]])
    )
    assert stays.tolist() == [True, False, False, False] and counted.tolist() == [True, True, False, True]
    faces = torch.eye(4).requires_grad_()
    bank = torch.tensor([[1.0, 0, 0, 0], [0, 0.6, 0.8, 0], [0, 0, 0, 1.0]])
    twins = torch.tensor([[0.8, 0.6, 0, 0], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [1.0, 0, 0, 0]])
    loss = losses.realism_loss(faces, bank, twins, stays, counted)
    assert loss.item() == pytest.approx((1 - 0.8) + (1 - 0.6) + (1 - 1.0))
    loss.backward()
    assert torch.equal(-faces.grad[stay], twins[stay]) and torch.equal(-faces.grad[change], bank[1])
    assert faces.grad[unsure].abs().sum() == 0 and torch.equal(-faces.grad[doubtful], bank[2])
    none = np.zeros(0, bool)
    assert losses.realism_loss(torch.zeros(0, 4), bank, torch.zeros(0, 4), none, none).item() == 0
    both = np.array([[0, losses.IGNORED], [0, 1]])
    stays, counted = losses.realism_targets(both, np.array([[0, 0], [0, 1]]), np.full((2, 2), 0.95))
    assert stays.tolist() == [False, True] and counted.all()


def test_dynamic_weights_are_the_papers():
    """Gender alone: 8 where it stays or there is no face; 1.6, on the face 0.32, where it changes or isn't
    sure."""
    gender = [losses.Eased(0.2, 0.2)]
    weights, face = losses.semantic_weights(
        np.array([[0], [1], [losses.IGNORED], [0]]),
        np.array([[0], [0], [1], [1]]),
        np.array([True, True, True, False]),
        gender,
    )
    assert (8 * weights).tolist() == pytest.approx([8, 1.6, 1.6, 8])
    assert (8 * weights * face).tolist() == pytest.approx([8, 0.32, 0.32, 8])


def test_dynamic_weights_of_three_attributes_are_the_papers():
    """Nothing, race, age, race and age, gender and race change; no face."""
    eased = [losses.Eased(0.6, 0.3), losses.Eased(0.2, 0.2), losses.Eased(0.6, 0.3)]
    targets = np.array([[2, 0, 1], [3, 0, 1], [2, 0, 0], [3, 0, 0], [3, 1, 1], [2, 0, 1]])
    before = np.tile([2, 0, 1], (6, 1))
    faces = np.array([True] * 5 + [False])
    weights, face = losses.semantic_weights(targets, before, faces, eased)
    assert (8 * weights).tolist() == pytest.approx([8, 4.8, 4.8, 4.8, 1.6, 1.6])
    assert (8 * weights * face).tolist() == pytest.approx([8, 1.44, 1.44, 1.44, 0.32, 1.6])


def test_equal_weights_still_ease_the_face():
    """Where around the face all stays as it is, on it nothing needs to."""
    changes = losses.semantic_weights(
        np.array([[1]]), np.array([[0]]), np.array([True]), [losses.Eased(1.0, 0.0)]
    )
    assert [part.tolist() for part in changes] == [[1.0], [0.0]]


def test_the_gradient_is_eased_where_both_have_their_face():
    x = torch.rand(2, 3, 8, 8, requires_grad=True)
    eased = eased_on_faces(x, [(0, 0, 4, 6), None], [(2, 1, 8, 8), None], np.array([0.25, 0.25]))
    assert torch.equal(eased, x)
    eased.sum().backward()
    wanted = torch.ones(2, 3, 8, 8)
    wanted[0, :, 1:6, 2:4] = 0.25
    assert torch.equal(x.grad, wanted)


def test_three_attributes_are_transported_as_brute_force_does():
    """Three images, eight cells: each draw of three samples is assigned at the least sum of roots of summed
    squares over attributes; q is the mean over all 8^3 draws."""
    rng = np.random.default_rng(3)
    tables = [rng.dirichlet([0.6, 0.6], 3) for _ in range(3)]
    p, members = np.concatenate(tables, 1), np.array(list(itertools.product(range(2), repeat=3)))
    target = rng.dirichlet(np.full(8, 2.0))
    cost = np.array(
        [
            [
                np.sqrt(sum(((t[i] - np.eye(2)[m]) ** 2).sum() for t, m in zip(tables, cell)))
                for cell in members
            ]
            for i in range(3)
        ]
    )
    q = np.zeros((3, 8))
    for draw in itertools.product(range(8), repeat=3):
        best = min(
            itertools.permutations(draw), key=lambda cells: sum(cost[i, c] for i, c in enumerate(cells))
        )
        q[range(3), best] += np.prod(target[list(draw)])
    joint = joint_of({a: t for a, t in THREE.items()})
    assert joint.corners.shape == (8, 6) and (joint.corners.sum(1) == 3).all()
    ours = expected_transport(p, target, joint.corners, 60_000)
    assert ours == pytest.approx(q, abs=0.01)


def test_one_attribute_that_changes_costs_less_than_three():
    """A sure face is nearest to the cells that it shares most with (the product of probabilities has them
    all alike)."""
    joint = joint_of(THREE)
    far = np.linalg.norm(joint.corners[:1] - joint.corners, axis=1)
    changes = (joint.members != joint.members[0]).sum(1)
    assert far == pytest.approx(np.sqrt(2 * changes))


@pytest.mark.parametrize("family", ["sdxl", "sd15"])
@pytest.mark.parametrize(
    "parts", [("unet",), ("text_reading",), ("text_encoder", "text_encoder_2"), ("tokens",)]
)
def test_the_constant_memory_gradient_is_autograds(family, parts, tmp_path):
    """The kept graph (z_t detached) gives the same adjusted gradient to 1e-4 in float32."""
    profile = profiles.profile(str(save_profile(tmp_path, family, steps=4)))
    config = align.Config(
        prompts=("a photo of a doctor",),
        target={"gender": {"Female": 0.5, "Male": 0.5}},
        parts=tuple(p for p in parts if family == "sdxl" or p != "text_encoder_2"),
        rank=3,
        images=3,
    )
    pipe = pipelines.load_pipeline(profile, "cpu")
    generator = PairedGenerator(pipe, routing.Router(routing.routable(pipe), {}), profile, "cpu")
    factors = align.fresh(generator, config).factors
    torch.manual_seed(0)
    with torch.no_grad():
        for f in factors:
            f.add_(0.1 * torch.randn_like(f))
    names = [(align.NAME,)] * 3
    with adjusted.recorded(pipe, range(3), 3) as steps:
        z = generator.denoise(Setting("a photo of a doctor", 5, 4, 3.0), through(names[:1], 3))
    g = torch.randn_like(z)
    assert len(steps) == 4
    norms = adjusted.backward(
        pipe,
        steps,
        lambda: align.conditioning(generator, "a photo of a doctor", 3),
        g,
        3.0,
        lambda: generator.router.routed(names),
    )
    ours = [f.grad.clone() for f in factors if f.grad is not None]
    for f in factors:
        f.grad = None
    with generator.router.routed(names):
        text = align.conditioning(generator, "a photo of a doctor", 3)
        sum(adjusted.inner_product(pipe, step, text, g, 3.0) for step in steps).backward()
    kept = [f.grad for f in factors if f.grad is not None]
    assert len(norms) == 4 and len(ours) == len(kept) > 0
    size = torch.cat([k.flatten() for k in kept]).norm()
    assert (
        size > 0
        and (torch.cat([o.flatten() for o in ours]) - torch.cat([k.flatten() for k in kept])).norm()
        <= 1e-4 * size
    )


def test_velocity_counts_as_what_it_says_of_the_clean_image():
    scheduler = DDIMScheduler(prediction_type="v_prediction")
    assert adjusted.output_scale(scheduler, torch.tensor(500)) == pytest.approx(
        (1 - float(scheduler.alphas_cumprod[500])) ** 0.5
    )
    assert adjusted.output_scale(DDIMScheduler(), torch.tensor(500)) == 1
    with pytest.raises(ValueError, match="'sample'"):
        adjusted.output_scale(DDIMScheduler(prediction_type="sample"), torch.tensor(1))


def test_joint_targets_of_several_attributes():
    joint = joint_of({"age": {"young": 0.75, "middle + old": 0.25}, "gender": {"Female": 0.5, "Male": 0.5}})
    assert list(joint.groups) == ["gender", "age"] and joint.shares == pytest.approx([0.375, 0.125] * 2)
    assert joint.members.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    even = {a: torch.zeros(1, len(c)) for a, c in TARGET_CLASSES.items()}
    p = joint.probabilities(even)
    assert p[0] == pytest.approx([1 / 2, 1 / 2, 1 / 3, 2 / 3]), (
        "joined classes have the sum of their probabilities"
    )
    assert joint.likeliest(p)[0].tolist() == [[0, 1]]
    assert joint.corners.tolist() == [[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1]]
    q = np.array([[0.1, 0.2, 0.3, 0.4]])
    assert [m[0] for m in joint.marginals(q)] == [pytest.approx([0.3, 0.7]), pytest.approx([0.4, 0.6])]


@pytest.mark.parametrize(
    "target, message",
    [
        ({}, "nothing"),
        ({"height": {"tall": 1}}, "height"),
        ({"gender": {"Female": 1}}, "each of Female, Male once"),
        ({"gender": {"Female": 0.5, "Male": 0.6}}, "sum to 1"),
        ({"age": {"young": 0.5, "middle": 0.5}}, "young, middle, old"),
        ({"gender": {"Female+Male": 1}}, "two groups"),
    ],
)
def test_strange_targets_are_refused(target, message):
    with pytest.raises(ValueError, match=message):
        joint_of(target)


def test_crops_with_a_gradient_are_the_classifiers_crops(live):
    images = live.generator.draw(Setting("a photo of a nurse", 3, 12, 2.0), through([()], 6))
    faces = live.reader.read(images)
    x = torch.stack(
        [torch.from_numpy(np.array(im)).permute(2, 0, 1).float() / 127.5 - 1 for im in images]
    ).requires_grad_()
    z = align.SoftReader(live.reader).embed(x, [f[0].box for f in faces])
    assert min(float(a @ torch.from_numpy(f[0].embedding)) for a, f in zip(z.detach(), faces)) > 0.97
    z.sum().backward()
    assert x.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "line, message",
    [
        ("images = 1", "images is 1"),
        ('parts = ["vae"]', "parts are"),
        ("colour = 3", "unknown key 'colour'"),
        ("= 4", "can't be used"),
    ],
)
def test_runs_say_what_is_wrong_with_them(line, message, tmp_path):
    (tmp_path / "run.toml").write_text(
        f'{line}\nprompts = ["a doctor"]\n[target.gender]\nFemale = 0.5\nMale = 0.5\n'
    )
    with pytest.raises(ValueError, match=message):
        align.read_config(tmp_path / "run.toml")


def test_the_run_files_can_be_read_and_go_on_from_each_other():
    runs = {path.stem: align.read_config(path) for path in (PACKAGE / "training" / "runs").glob("*.toml")}
    assert len(runs) >= 5
    for config in runs.values():
        if config.start:
            before = runs[config.start.removeprefix("build/align/").removesuffix("/adapter.safetensors")]
            assert before.parts == config.parts and before.rank <= config.rank
        for prompt in config.prompts:
            assert (
                profession(prompt) not in PROFESSIONS[1::2]
                and "reading" not in prompt
                and "oil painting" not in prompt
            ), "what is measured was never trained on"


def test_an_aligned_adapter_is_a_method_beside_the_mix(live, tmp_path, monkeypatch):
    """Every image goes through it, none is steered, and what the mix rests on stays as it was."""
    from fairdemo.experiments.calibrate import fingerprint

    factors = small_models.lora(live.generator.pipeline.unet, r"attn1\.to_q$", 3)
    save_lora(tmp_path / "even.safetensors", {"unet": factors})
    (tmp_path / "mine.toml").write_text(
        '[[adapter]]\nname = "even"\nbase = "embedded"\nfile = "even.safetensors"\ncell = []\nweight ='
        ' 1.0\nmethod = "even"\nlicense = "none"\nsource = "a test"\n'
    )
    monkeypatch.setenv("FAIRDEMO_CATALOG", str(tmp_path / "mine.toml"))
    more = Live("embedded", "cpu")
    other = Studio(more)
    assert "even" in other.methods and more.sources == live.sources
    live_as_shipped = fingerprint(more)
    monkeypatch.delenv("FAIRDEMO_CATALOG")
    assert live_as_shipped == fingerprint(Live("embedded", "cpu"))
    half = {"gender": {"Female": 0.5, "Male": 0.5}}
    plan = other.plan(asked("a photo of a doctor", half, 6, 0, method="even", steps=3))
    assert plan.comparison.mix.weights == {"even": 1.0} and not plan.steering
    comparison = list(other.run(plan))[-1]
    assert all(p.adapter == "even" and p.debiased.image is not p.baseline.image for p in comparison.pairs)
    with pytest.raises(ValueError, match="method is 'odd'; allowed are mix, "):
        other.plan(asked("a photo of a doctor", {}, 6, 0, method="odd"))


def test_shipped_methods_even_out_gender_where_they_never_were(live):
    """In a profession of mostly men and one of mostly women that no adapter saw, as perceived by the
    classifier: each aligned adapter and soft token is nearer to one half."""
    trained = [m for m in live.registry.values() if "gender" in m.name and "training" in m.needs]
    methods = [s.adapters for m in trained for s in m.sources]
    assert len(methods) >= 6
    distance = dict.fromkeys([(), *methods], 0.0)
    for word in ("judge", "hairdresser"):
        setting = Setting(f"a photo of a {word} reading", 21, 4, 2.0)
        read = live.reader.read(live.generator.draw(setting, through(distance, 12)))
        for k, names in enumerate(distance):
            faces = [found[0] for found in read[12 * k : 12 * k + 12] if found]
            assert len(faces) >= 11
            distance[names] += abs(sum(f.gender == "Female" for f in faces) / len(faces) - 0.5)
    assert all(distance[names] < distance[()] - 0.1 for names in methods), distance


def small_aligner(live, config):
    quick = live.profile.but(steps=2, dtype="float32")
    generator = PairedGenerator(
        pipelines.load_pipeline(quick, "cpu"), routing.Router(torch.nn.Module(), {}), quick, "cpu"
    )
    reader = align.SoftReader(live.reader, small_models.random_heads())
    return align.Aligner(
        generator, reader, looks_of(live, ""), torch.eye(128)[:4], config, align.fresh(generator, config)
    )


def test_a_stopped_run_ends_with_the_same_weights(live, tmp_path):
    """Bit by bit, from the checkpoint that it had written, with validation and averaged weights."""
    config = align.Config(
        prompts=("a photo of a doctor", "a photo of a nurse"),
        target={"gender": {"Female": 0.5, "Male": 0.5}},
        rank=2,
        images=2,
        iterations=4,
        sampled=1,
        hold=1.0,
        validation=("a photo of a chef",),
        validate_every=2,
        blend=0.5,
    )

    def trained(checkpoint, stop=None):
        aligner = small_aligner(live, config)
        for step, *_ in aligner.train(checkpoint):
            if step == stop:
                return None
        return aligner.trained.factors

    whole = trained(tmp_path / "whole.pt")
    trained(tmp_path / "killed.pt", stop=3)
    resumed = trained(tmp_path / "killed.pt")
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed))
    assert any(b.abs().sum() > 0 for b in whole[1::2])


def test_saved_weights_are_blended_with_those_that_the_run_began_with(live, tmp_path):
    """A quarter of the way to where the same run without a blend ends."""
    config = align.Config(
        prompts=("a photo of a doctor",),
        target={"gender": {"Female": 0.5, "Male": 0.5}},
        rank=2,
        images=2,
        iterations=2,
        sampled=1,
    )
    ends = {}
    for blend in (1.0, 0.25):
        aligner = small_aligner(live, config.but(blend=blend))
        list(aligner.train(tmp_path / f"{blend}.pt"))
        ends[blend] = aligner.trained.factors
    # Two steps move weights by some 1e-4, by how much depends on the processor; the tolerance is far below.
    assert any((end - begun).abs().max() > 1e-5 for begun, end in zip(aligner.begun, ends[1.0]))
    assert all(
        torch.allclose(blended, begun + 0.25 * (end - begun), rtol=0, atol=1e-7)
        for begun, end, blended in zip(aligner.begun, ends[1.0], ends[0.25])
    )


def drawn_by(pipe, prompt):
    return np.asarray(
        pipe(
            prompt,
            num_inference_steps=2,
            guidance_scale=2.0,
            height=128,
            width=128,
            generator=torch.Generator().manual_seed(4),
        ).images[0]
    ).astype(int)


def test_an_adapter_of_the_layers_that_read_the_text_opens_in_diffusers(live, tmp_path):
    """Keys and values of cross attention, and SDXL's pooled text; one of a lower rank to go on from does
    what it did."""
    config = align.Config(
        prompts=("a photo of a doctor",),
        target={"gender": {"Female": 0.5, "Male": 0.5}},
        parts=("text_reading",),
        rank=2,
        images=2,
    )
    aligner = small_aligner(live, config)
    layers = set(aligner.generator.router.stacks)
    assert "unet.add_embedding.linear_1" in layers and all(
        name.endswith(("attn2.to_k", "attn2.to_v", "add_embedding.linear_1")) for name in layers
    )
    torch.manual_seed(0)
    with torch.no_grad():
        for f in aligner.trained.factors:
            f.copy_((0.2 * torch.randn_like(f)).half().float())
    path = tmp_path / "adapter.safetensors"
    aligner.trained.save(path)
    with aligner.generator.router.routed([(align.NAME,)]):
        ours = drawn_by(aligner.generator.pipeline, "a photo of a nurse")
    plain = pipelines.load_pipeline(aligner.generator.profile, "cpu")
    before = drawn_by(plain, "a photo of a nurse")
    plain.load_lora_weights(str(tmp_path), weight_name="adapter.safetensors")
    assert np.abs(ours - before).max() > 5 and np.abs(ours - drawn_by(plain, "a photo of a nurse")).max() <= 1
    wider = small_aligner(live, config.but(rank=5, start=str(path)))
    assert max(f.shape[-1] for f in wider.trained.factors[::2]) == 5
    with wider.generator.router.routed([(align.NAME,)]):
        assert np.abs(ours - drawn_by(wider.generator.pipeline, "a photo of a nurse")).max() <= 1
    with pytest.raises(ValueError, match="isn't LoRA on unet"):
        small_aligner(live, config.but(parts=("unet",), start=str(path)))


def test_three_gradients_begin_alike(live, monkeypatch):
    """The same images from the same noise: all ways' first loss is one and the same, but not their gradients;
    each makes pictures liker to the fixed one, here from the same two noises each time."""
    noise = PairedGenerator.noise
    monkeypatch.setattr(PairedGenerator, "noise", lambda self, seed, slot: noise(self, seed, slot % 2))
    quick = live.profile.but(dtype="float32")
    trial = against_naive.Trial((0,), 6, 3, 2.0, 2, 0.01)
    found = {
        way: against_naive.finetune(way, 0, quick, looks_of(live, ""), trial) for way in against_naive.WAYS
    }
    first = {way: values[0] for way, (values, _) in found.items()}
    assert list(first.values()) == pytest.approx([first["naive"]] * 3, rel=1e-4)
    for values, norms in found.values():
        assert np.shape(norms) == (6, 3) and np.mean(values[-3:]) < np.mean(values[:3])
    sizes = [norms[0] for _, norms in found.values()]
    assert not any(np.allclose(a, b, rtol=0.01) for a, b in itertools.combinations(sizes, 2))


def test_the_samplers_own_weights_by_hand():
    """DDIM from pure noise in one step: z_0 = (z - sqrt(1 - a) eps) / sqrt(a), so A is -sqrt((1 - a) / a) of
    the first step; and of more steps the product of what follows."""
    ddim = DDIMScheduler(clip_sample=False, set_alpha_to_one=True)
    ddim.set_timesteps(2)
    last, first = (ddim.alphas_cumprod[t].item() for t in reversed(ddim.timesteps))
    to_last = np.sqrt(1 - last) - np.sqrt(last) * np.sqrt((1 - first) / first)
    assert naive.weights(DDIMScheduler(clip_sample=False, set_alpha_to_one=True), 2) == pytest.approx(
        [to_last / np.sqrt(last), -np.sqrt((1 - last) / last)], rel=1e-4
    )


def test_soft_tokens_begin_at_words(live):
    """Each of the words in turn, in both text encoders; without words there is nothing to begin at."""
    pipe = pipelines.load_pipeline(live.profile, "cpu")
    table = pipe.text_encoder.get_input_embeddings().weight.detach().float()
    female, male = (
        table[pipe.tokenizer(word, add_special_tokens=False).input_ids[0]] for word in ("female", "male")
    )
    tokens = soft_tokens.SoftTokens(pipe, "even", 5, "female male", torch.Generator().manual_seed(0))
    assert len(tokens.rows) == 2
    assert all(
        torch.cosine_similarity(row, word, 0) > 0.9
        for row, word in zip(tokens.rows[0], (female, male, female, male, female))
    )
    with pytest.raises(ValueError, match="words are ' '"):
        soft_tokens.SoftTokens(pipe, "odd", 5, " ", torch.Generator())


def test_real_models_are_compared_by_clip_and_dino(tmp_path):
    """DINO's vector is what transformers makes of the same picture; both are of length one and have a
    gradient; a model that can't be had is named."""
    Dinov2Model(
        Dinov2Config(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=224, patch_size=56
        )
    ).eval().save_pretrained(tmp_path / "dino")
    tower = SimpleNamespace(
        network=lambda x: x.mean((2, 3)), side=32, mean=(120.0, 110.0, 100.0), deviation=(60.0, 60.0, 60.0)
    )
    chain = SimpleNamespace(subjects=SimpleNamespace(tower=tower), device="cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    x = (torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1).requires_grad_()
    clip, dino = looks_of(chain, str(tmp_path / "dino"))
    prepared = BitImageProcessor(
        do_resize=False,
        do_center_crop=False,
        image_mean=IMAGENET_DEFAULT_MEAN,
        image_std=IMAGENET_DEFAULT_STD,
    )(pixels, return_tensors="pt")
    with torch.no_grad():
        wanted = Dinov2Model.from_pretrained(tmp_path / "dino")(**prepared).pooler_output
    assert torch.allclose(dino(x), wanted / wanted.norm(), atol=1e-4)
    expected = (torch.from_numpy(pixels.mean((0, 1))) - torch.tensor(tower.mean)) / 60
    assert torch.allclose(clip(x)[0], (expected / expected.norm()).float(), atol=1e-2)
    (dino(x)[0, 0] + clip(x)[0, 0]).backward()
    assert x.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="DINO network"):
        looks_of(chain, str(tmp_path / "nowhere"))


def test_words_move_in_the_space_of_the_runs_words(live):
    """Only words that tell the prompts apart, for as long as it is asked, each seed in its own way, in both
    text encoders alike, by the wanted deviation in every direction."""
    pipe = pipelines.load_pipeline(live.profile, "cpu")
    prompts = ("a photo of a doctor", "a photo of a nurse", "a photo of a chef", "a photo of a pilot")
    words = MovedWords(pipe, prompts, 0.5)
    ids = pipe.tokenizer("a photo of a doctor", padding="max_length", return_tensors="pt").input_ids
    doctor = 5  # its place behind the start of the text
    tokens = torch.cat(
        [
            pipe.tokenizer(w, add_special_tokens=False, return_tensors="pt").input_ids[0]
            for w in ("doctor", "nurse", "chef", "pilot")
        ]
    )
    tables = [m.get_input_embeddings() for m in (pipe.text_encoder, pipe.text_encoder_2)]
    spans = [rows - rows.mean(0) for rows in (table.weight[tokens].detach() for table in tables)]

    def shift(seed, table=tables[0]):
        before = table(ids)
        with words.moved(seed):
            return (table(ids) - before)[0].detach()

    one = shift(1)
    assert (
        one.norm(dim=1).nonzero().flatten().tolist() == [doctor]
        and torch.equal(one, shift(1))
        and not torch.equal(one, shift(2))
    )
    towards = [torch.linalg.pinv(span.T) @ shift(1, table)[doctor] for table, span in zip(tables, spans)]
    assert torch.allclose(spans[0].T @ towards[0], one[doctor], atol=1e-5), (
        "no direction that the words don't span"
    )
    assert torch.allclose(*towards, atol=1e-3), "towards the same words in both"
    many, wanted = (
        torch.stack([shift(seed)[doctor] for seed in range(400)]),
        0.5**2 * spans[0].T @ spans[0] / 4,
    )
    assert (many.T @ many / 400 - wanted).norm() < 0.2 * wanted.norm()
    with pytest.raises(ValueError, match="differ in at least two"):
        MovedWords(pipe, ("a photo of a doctor",), 0.5)


def test_a_run_moves_its_words_and_leaves_them_in_place_afterwards(live, tmp_path):
    """From the same noise and with an adapter that changes nothing yet, other people are drawn."""
    config = align.Config(
        prompts=("a photo of a doctor", "a photo of a nurse", "a photo of a chef", "a photo of a pilot"),
        target={"gender": {"Female": 0.5, "Male": 0.5}},
        rank=2,
        images=4,
        iterations=1,
        threshold=0.5,
    )
    seen = {}
    for moved in (0.0, 1.0):
        aligner = small_aligner(live, config.but(moved=moved))
        ((_, seen[moved], _),) = aligner.train(tmp_path / f"{moved}.pt")
    assert seen[0.0].realism != seen[1.0].realism and aligner.trained.moved_words.seed is None


def test_images_may_be_drawn_a_few_at_a_time(live):
    """The gradient of eight images is that of the same images in two parts: they are transported together."""
    config = align.Config(
        prompts=("a photo of a doctor",),
        target={"gender": {"Female": 0.5, "Male": 0.5}},
        rank=2,
        images=8,
        hold=1.0,
        threshold=0.5,
    )
    gradients = []
    for at_once in (8, 4):
        aligner = small_aligner(live, config.but(at_once=at_once))
        seen = aligner.gradient("a photo of a doctor", 3)
        assert seen.images == 8 and seen.faces >= 6 and seen.sure > 0
        gradients.append(torch.cat([f.grad.flatten() for f in aligner.trained.factors if f.grad is not None]))
    assert gradients[0].norm() > 0 and (gradients[0] - gradients[1]).norm() < 1e-3 * gradients[0].norm()
