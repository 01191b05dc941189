import numpy as np
import pytest
import torch

from fairdemo.experiments import crisper
from fairdemo.models import profiles
from fairdemo.models.crisp import CrispDecoder
from fairdemo.models.sampling import Sample, Setting, through
from fairdemo.places import SHIPPED
from fairdemo.readers.embed import FaceNetwork
from fairdemo.studio.live import Live
from fairdemo.training import crisp

NURSE = Setting("a photo of a nurse", 5, 12, 2.0)


@pytest.fixture(scope="module")
def twofold(live):
    return live.generator.draw_twofold([(NURSE, s) for s in through([()], 8)])


def test_what_is_shown_is_twice_the_size_of_what_is_read(live, twofold):
    read = [np.asarray(image) for image in live.generator.draw(NURSE, through([()], 8))]
    assert live.profile.shown == 256
    for (small, large), image in zip(twofold, read):
        assert np.array_equal(np.asarray(small), image) and small.size == (128, 128)
        assert large.size == (256, 256)
        halved = np.asarray(large, float).reshape(128, 2, 128, 2, 3).mean((1, 3))
        assert np.abs(halved - image).mean() < 12


def test_what_is_shown_follows_from_the_latents_alone(live, twofold):
    _, again = live.generator.draw_twofold([(NURSE, Sample(3))])[0]
    difference = np.abs(np.asarray(again, float) - np.asarray(twofold[3][1], float))
    assert difference.mean() < 1 and np.quantile(difference, 0.999) <= 16  # bfloat16 rounds by batch


def test_boxes_fit_what_is_shown_and_labels_stay(live, twofold):
    drawn = live.fresh(NURSE, through([()], 8))
    again = live.reader.read([d.image for d in drawn])
    read = live.reader.read([small for small, _ in twofold])
    for d, faces, small in zip(drawn, again, read):
        assert d.image.size == (256, 256)
        assert d.faces[0].gender == small[0].gender and d.faces[0].race == small[0].race
        assert np.allclose(d.faces[0].box, [2 * v for v in small[0].box])
        assert np.allclose(d.faces[0].box, faces[0].box, atol=16)
    # In the same box race is read alike in 99.8 % and gender in all (`measured.json`): two of eight differ
    # once in 9,000 times. Found anew, a box that is a pixel larger turns a doubtful label more often.
    large = crisper.in_same_box(live.reader, read, np.stack([np.asarray(image) for _, image in twofold]))
    pairs = zip(large, crisper.labels(read))
    assert sum((a["race"], a["gender"]) == (b["race"], b["gender"]) for a, b in pairs if a and b) >= 7


def test_a_profile_without_it_shows_what_is_read(tmp_path, monkeypatch):
    monkeypatch.setitem(profiles.PROFILES, "plain", profiles.profile("embedded").but(crisp=None))
    plain = Live("plain", "cpu")
    assert plain.profile.shown == 128 and plain.kept.most == 1500
    (small, shown), *_ = plain.generator.draw_twofold([(NURSE, Sample(0))])
    assert small is shown and small.size == (128, 128)


def test_it_is_small():
    assert (SHIPPED / "assets/embedded/crisp.safetensors").stat().st_size < 5_000_000


def data() -> tuple[crisp.Sight, crisp.Drawings]:
    rng = np.random.default_rng(0)
    small = np.repeat(rng.integers(0, 255, (6, 16, 16, 3)), 16, 1).repeat(16, 2).astype(np.uint8)
    z = torch.randn(6, 2, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    sight = crisp.Sight(FaceNetwork())
    sight.learn(small[:, ::2, ::2], {"gender": ["Female", "Male"] * 3})
    return sight, crisp.Drawings(small, z.half(), z[:, 0].half())


def trained(live, checkpoint, stop: int) -> list[torch.Tensor]:
    torch.manual_seed(1)
    decoder, (sight, drawings) = CrispDecoder(), data()
    how = crisp.Training(4, 7, drawn=2, generated=2, critic_from=2, save_every=2)
    losses = []
    for step, _, loss in crisp.train(decoder, live.generator.pipeline.vae, sight, drawings, checkpoint, how):
        losses.append(loss)
        if step == stop:
            break
    assert np.isfinite(losses).all()
    return [p.detach().clone() for p in decoder.parameters()]


def test_a_stopped_training_goes_on_where_it_was(live, tmp_path):
    whole = trained(live, tmp_path / "whole.pt", 4)
    trained(live, tmp_path / "parts.pt", 2)
    assert all(torch.equal(a, b) for a, b in zip(whole, trained(live, tmp_path / "parts.pt", 4)))
