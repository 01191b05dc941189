"""Distributional alignment: expected transport worked by hand, losses, and the gradient in constant memory."""

import numpy as np
import pytest
import torch

from fairdemo.training import losses
from fairdemo.training.transport import _sampled, expected_transport


def test_two_images_by_hand():
    """Uniform target, images with 0.9 and 0.2 for the second class. Two samples are of (2, 0), (1, 1), (0, 2) classes with probability 1/4, 1/2, 1/4; with one
    each the likelier image gets the second class. So q = 3/4 and 1/4."""
    q = expected_transport(np.array([[0.1, 0.9], [0.8, 0.2]]), np.array([0.5, 0.5]))
    assert q == pytest.approx(np.array([[0.25, 0.75], [0.75, 0.25]]))


def test_three_images_by_hand():
    """75 % first class: j of three samples are of the second with probability 27/64, 27/64, 9/64, 1/64; ranks 0, 1, 2 get it when j > rank."""
    q = expected_transport(np.array([[0.3, 0.7], [0.9, 0.1], [0.6, 0.4]]), np.array([0.75, 0.25]))
    assert q[:, 1] == pytest.approx([37 / 64, 1 / 64, 10 / 64])


def test_three_classes_by_hand():
    """One image: its expected target is the target itself. Three sure images of different classes and samples of one class each: each keeps its own."""
    assert expected_transport(np.array([[0.2, 0.3, 0.5]]), np.array([0.2, 0.2, 0.6]), 20_000)[0] == pytest.approx([0.2, 0.2, 0.6], abs=0.015)
    q = expected_transport(np.eye(3), np.full(3, 1 / 3), 4000)
    # P(class of image i is kept) = P(at least one sample of it) = 1 - (2/3)^3
    assert np.diag(q) == pytest.approx(np.full(3, 19 / 27), abs=0.03)


def test_the_closed_form_is_the_sampled_one():
    rng = np.random.default_rng(1)
    for target in ([0.5, 0.5], [0.75, 0.25]):
        second = rng.uniform(size=12)
        p = np.stack([1 - second, second], 1)
        exact, sampled = expected_transport(p, np.array(target)), _sampled(p, np.array(target), 4000, 2)
        error = np.sqrt(np.maximum(exact * (1 - exact), 1e-4) / 4000)
        assert (np.abs(exact - sampled) <= 3 * error).all()


@pytest.mark.parametrize("k", [2, 4, 8])
def test_rows_sum_to_one_and_columns_to_the_target(k):
    rng = np.random.default_rng(k)
    p, target = rng.dirichlet(np.ones(k), 16), rng.dirichlet(np.ones(k) * 3)
    q = expected_transport(p, target, 3000)
    assert q.sum(1) == pytest.approx(np.ones(16)) and q.mean(0) == pytest.approx(target, abs=0.02)


def test_strange_distributions_are_refused():
    with pytest.raises(ValueError, match="expected \\(N, K\\)"):
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
    assert losses.realism_loss(a, torch.stack([torch.eye(3)[0], torch.tensor([0.0, 0.6, 0.8])])).item() == pytest.approx((0 + 0.4) / 2)
    assert losses.realism_loss(torch.zeros(0, 3), torch.eye(3)).item() == 0
    weights = losses.semantic_weights(np.array([0, 1, losses.IGNORED, 0]), np.array([0, 0, 1, 1]), np.array([True, True, True, False]), (8.0, 8.0, 1.6))
    assert weights.tolist() == [8.0, 1.6, 1.6, 8.0]
