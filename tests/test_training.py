"""Losses against hand-worked values, and a few steps of each trainer."""

import numpy as np
import pytest
import torch

from fairdemo.readers.vision import to_tensor
from fairdemo.training.classifier import augment, contrastive_loss, train_network
from fairdemo.training.losses import denoising_loss
from fairdemo.training.muon import Muon, muon_and_adamw, orthogonal
from fairdemo.training.subject import train as train_subject
from fairdemo.world import parts, tiny


def test_denoising_loss_by_hand():
    # alpha_bar 0.8, z 1, noise 0: v = -sqrt(0.2), so prediction 0 is off by 0.2; SNR 4 -> weight 4 / 5 + 0.05
    z, noise, a = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), torch.tensor([0.8])
    assert denoising_loss(torch.zeros_like(z), z, noise, a, "v_prediction").item() == pytest.approx(
        0.2 * 0.85, rel=1e-5
    )
    assert denoising_loss(
        torch.full_like(z, -(0.2**0.5)), z, noise, a, "v_prediction"
    ).item() == pytest.approx(0, abs=1e-10)
    # the noise's error is 9 wherever; its weight min(SNR, 2) / SNR is 2 / 4 here, and 1 where SNR is 1 / 3
    assert denoising_loss(noise + 3, z, noise, a, "epsilon", 2.0).item() == pytest.approx(4.5)
    assert denoising_loss(noise + 3, z, noise, torch.tensor([0.25]), "epsilon", 2.0).item() == pytest.approx(
        9
    )
    assert denoising_loss(noise + 3, z, noise, a, "epsilon", 0).item() == pytest.approx(9)
    with pytest.raises(ValueError, match="'sample'"):
        denoising_loss(z, z, noise, a, "sample")


def test_contrastive_loss_by_hand():
    # orthogonal pairs, temperature 1: -log(e / (e + 1)) in both directions
    eye = torch.eye(2)
    assert contrastive_loss(eye, eye, 1.0).item() == pytest.approx(np.log(1 + np.exp(-1)), rel=1e-5)
    assert contrastive_loss(eye, eye.flip(0), 1.0) > contrastive_loss(eye, eye, 1.0)


def test_muon_makes_updates_orthogonal_and_descends():
    torch.manual_seed(0)
    q = orthogonal(torch.randn(6, 10), 12)
    singular = torch.linalg.svdvals(q)
    assert singular.min() > 0.6 and singular.max() < 1.3
    net = torch.nn.Linear(16, 16)
    goal = torch.randn(64, 16)
    x = torch.randn(64, 16)
    optimizers = muon_and_adamw(net, 0.02)
    assert isinstance(optimizers[0], Muon) and sum(len(o.param_groups[0]["params"]) for o in optimizers) == 2
    losses = []
    for _ in range(60):
        loss = (net(x) - goal).pow(2).mean()
        losses.append(loss.item())
        net.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
    assert losses[-1] < 0.97 * losses[0]


def test_standardized_latents_reconstruct_the_same_images():
    torch.manual_seed(0)
    vae = tiny.autoencoder().eval()
    images = np.random.default_rng(0).integers(0, 255, (4, 128, 128, 3), np.uint8)
    x = to_tensor(images)
    with torch.no_grad():
        before = vae.decode(vae.encode(x).latent_dist.mean).sample
        tiny.standardize_latents(vae, images)
        z = vae.encode(x).latent_dist.mean
        after = vae.decode(z).sample
    assert torch.allclose(before, after, atol=0.05)
    assert torch.allclose(z.std((0, 2, 3)), torch.ones(16), atol=0.1)


def test_denoiser_resumes_exactly(tmp_path):
    """Stopped after 4 of 6 steps and resumed from its checkpoint: the same weights as without a stop."""
    z = torch.randn(8, 2, 16, 16, 16).half()

    def parts_():
        torch.manual_seed(3)
        return tiny.unet(), *tiny.text_encoders()

    def train(modules, path, stop=None):
        for step, _, _ in tiny.train_denoiser(
            *modules,
            z,
            lambda rows, rng: ["a photo of a doctor"] * len(rows),
            path,
            tiny.Training(6, 1, batch=2, save_every=4),
        ):
            if step == stop:
                return

    whole, stopped, resumed = parts_(), parts_(), parts_()
    train(whole, tmp_path / "a.pt")
    train(stopped, tmp_path / "b.pt", stop=5)
    train(resumed, tmp_path / "b.pt")
    for p, q in zip(whole[0].parameters(), resumed[0].parameters()):
        assert torch.equal(p, q)
    candidate = parts_()
    assert list(tiny.candidates(tmp_path / "a.pt", *candidate)) == [6], (
        "only the last fifth is kept to choose from"
    )
    assert all(
        torch.allclose(p, q, atol=1e-3) for p, q in zip(whole[0].parameters(), candidate[0].parameters())
    )


def test_unused_tokens_say_nothing():
    one, _ = tiny.text_encoders()
    tiny.silence_unused_tokens(one, {5, 7})
    table = one.get_input_embeddings().weight
    assert table[6].abs().sum() == 0 and table[5].abs().sum() > 0


def test_tokenizer_is_clips():
    import open_clip

    text = "A photo of an old Indian woman, a doctor, 42!"
    ids = tiny.tokenizer()(text).input_ids
    assert ids == open_clip.tokenize(text)[0][: len(ids)].tolist()


def test_trainers_take_steps():
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 255, (12, 80, 80, 3), np.uint8)
    labels = {"gender": np.arange(12) % 2}
    *_, (step, steps, loss, network) = train_network(crops, crops, labels, 3, 0, batch=6)
    assert (step, steps) == (3, 3) and np.isfinite(loss) and not network.training
    *_, (_, _, loss, checker) = parts.train(rng.integers(0, 255, (10, 64, 64, 3), np.uint8), 2, 0, batch=8)
    assert np.isfinite(loss)
    x = torch.zeros(3, 3, 80, 80)
    assert augment(x, torch.Generator().manual_seed(0)).shape == x.shape


def test_training_the_decoder_leaves_the_encoder_alone():
    torch.manual_seed(0)
    vae = tiny.autoencoder()
    images = np.random.default_rng(0).integers(0, 255, (16, 128, 128, 3), np.uint8)
    z = torch.stack([tiny.encode(vae, images), tiny.encode(vae, images[:, :, ::-1])], 1)
    encoder = [p.clone() for p in (*vae.encoder.parameters(), *vae.quant_conv.parameters())]
    losses = [loss for *_, loss in tiny.train_decoder(vae, z, images, 12, 0, batch=4)]
    assert all(
        torch.equal(a, b) for a, b in zip(encoder, (*vae.encoder.parameters(), *vae.quant_conv.parameters()))
    )
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


def test_subject_reader_learns_what_colour_says():
    images = np.zeros((64, 3, 64, 64), np.float32)
    labels = np.arange(64) % 2
    images[labels == 1] = 0.8
    *_, (_, _, last, network) = train_subject(torch.from_numpy(images), labels, 25, 0, batch=16)
    look, logits = network(torch.from_numpy(images[:4]))
    assert (logits.argmax(1).numpy() == labels[:4]).all() and torch.allclose(
        look.norm(dim=1), torch.ones(4), atol=1e-5
    )
