"""Trains the embedded world's classifiers: the face network by metric learning (its SVMs are fitted to it
afterwards), and the judge, another network that is trained to tell the classes alone."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from fairdemo.models.precision import autocast
from fairdemo.readers.embed import DIMENSIONS, JUDGE_WIDTHS, FaceNetwork, JudgeNetwork
from fairdemo.readers.vision import to_tensor
from fairdemo.training.steps import update, warm_cosine


def contrastive_loss(first: torch.Tensor, second: torch.Tensor, temperature: float = 0.12) -> torch.Tensor:
    """NT-Xent between two photographs of the same people, unit vectors (n, d): every other person is a
    negative (Chen et al. 2020, eq. 1, both directions)."""
    similarity = first @ second.T / temperature
    labels = torch.arange(len(first))
    return (F.cross_entropy(similarity, labels) + F.cross_entropy(similarity.T, labels)) / 2


def augment(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Small shifts, scales, brightness, blur, noise and mirroring of crops (n, 3, s, s)."""
    n = len(x)

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=generator)

    theta = torch.zeros(n, 2, 3)
    flip = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    scale = uniform(0.92, 1.08)
    theta[:, 0, 0], theta[:, 1, 1] = scale * flip, scale
    theta[:, :, 2] = uniform(-0.06, 0.06, 2)
    x = F.grid_sample(
        x,
        F.affine_grid(theta, list(x.shape), align_corners=False),
        padding_mode="border",
        align_corners=False,
    )
    soft = torch.rand(n, generator=generator)[:, None, None, None] < 0.4
    x = torch.where(soft, F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1), x)
    x = x * uniform(0.92, 1.08, 1, 1, 1) + uniform(-0.06, 0.06, 1, 1, 1)
    return x + 0.03 * torch.randn(x.shape, generator=generator)


def train_network(
    first: np.ndarray,
    second: np.ndarray,
    labels: dict[str, np.ndarray],
    steps: int,
    seed: int,
    batch: int = 96,
    learning_rate: float = 2e-3,
) -> Iterator[tuple[int, int, float, FaceNetwork]]:
    """`first` and `second` are crops (n, s, s, 3) of the same n people in two photographs; `labels` integer
    classes (n,).

    Likeness (contrastive) and attributes (linear heads on the embedding, dropped afterwards) are learned
    together."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    network = FaceNetwork().train()
    heads = nn.ModuleDict({a: nn.Linear(DIMENSIONS, int(y.max()) + 1) for a, y in labels.items()})
    targets = {a: torch.from_numpy(y).long() for a, y in labels.items()}
    optimizers = [
        torch.optim.AdamW(
            [*network.parameters(), *heads.parameters()], learning_rate, weight_decay=0.03, fused=True
        )
    ]
    for step in range(steps):
        rows = rng.permutation(len(first))[:batch]
        x = augment(to_tensor(np.concatenate([first[rows], second[rows]])), generator)
        with autocast():
            z = network(x)
        z = z.float()
        loss = 0.3 * contrastive_loss(z[:batch], z[batch:])
        for a, head in heads.items():
            loss = loss + F.cross_entropy(head(8 * z), targets[a][rows].repeat(2))
        update(loss, optimizers, learning_rate * warm_cosine(step, steps, 100))
        yield step + 1, steps, loss.item(), network
    network.eval()


SCALE = 12.0  # of the judge's unit vectors before its heads


def train_judge(
    crops: np.ndarray,
    labels: dict[str, np.ndarray],
    steps: int,
    seed: int,
    batch: int = 64,
    learning_rate: float = 3e-3,
) -> Iterator[tuple[int, int, float, tuple[JudgeNetwork, dict[str, torch.Tensor]]]]:
    """Crops (n, s, s, 3) and integer classes (n,) by attribute -> a network and the `weights` (d, classes)
    and `bias` (classes,) of its linear heads, learned together by cross-entropy."""
    torch.manual_seed(seed)
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    network = JudgeNetwork().train()
    heads = {a: nn.Linear(JUDGE_WIDTHS[-1], int(y.max()) + 1) for a, y in labels.items()}
    targets = {a: torch.from_numpy(y).long() for a, y in labels.items()}
    trained = [p for module in (network, *heads.values()) for p in module.parameters()]
    optimizer = torch.optim.AdamW(trained, learning_rate, weight_decay=0.05, fused=True)
    for step in range(steps):
        rows = rng.permutation(len(crops))[:batch]
        z = network(augment(to_tensor(crops[rows]), generator))
        parts = (
            F.cross_entropy(head(SCALE * z), targets[a][rows], label_smoothing=0.02)
            for a, head in heads.items()
        )
        loss = sum(parts, torch.zeros(()))
        update(loss, [optimizer], learning_rate * warm_cosine(step, steps, 100))
        lines = {
            f"{a}.{name}": value.detach()
            for a, head in heads.items()
            for name, value in (("weights", SCALE * head.weight.T), ("bias", head.bias))
        }
        yield step + 1, steps, loss.item(), (network, lines)
    network.eval()
