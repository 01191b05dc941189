"""Trains the subject reader on portraits of known profession."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional as F

from fairdemo.models.precision import autocast
from fairdemo.readers.subject import SubjectNetwork
from fairdemo.training.steps import update, warm_cosine


def train(
    inputs: torch.Tensor,
    labels: np.ndarray,
    steps: int,
    seed: int,
    batch: int = 64,
    learning_rate: float = 2e-3,
) -> Iterator[tuple[int, int, float, SubjectNetwork]]:
    """Trains on (n, 3, 64, 64) in [-1, 1] with indices into `SUBJECTS` (n,); yields (step, steps, loss,
    network)."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = SubjectNetwork().train()
    optimizers = [torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=0.05, fused=True)]
    targets = torch.from_numpy(labels)
    for step in range(steps):
        rows = torch.from_numpy(rng.integers(len(inputs), size=batch))
        dy, dx = rng.integers(-3, 4, 2)
        x = torch.roll(inputs[rows], (int(dy), int(dx)), (2, 3))
        x = x.flip(-1) if rng.random() < 0.5 else x
        x = x * float(rng.uniform(0.85, 1.15)) + 0.03 * torch.randn_like(x)
        with autocast():
            _, logits = network(x)
        loss = F.cross_entropy(logits.float(), targets[rows], label_smoothing=0.05)
        update(loss, optimizers, learning_rate * warm_cosine(step, steps))
        yield step + 1, steps, loss.item(), network
    network.eval()
