"""The parts checker: are both eyes, the nose and the mouth of a face whole?

A face detector passes smeared faces, so it can't judge a generator. This small network is trained on
portraits whose parts are smeared, dropped, doubled or misplaced on purpose, and tells damaged from whole
ones."""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, map_coordinates
from torch import nn
from torch.nn import functional as F

from fairdemo.models.precision import autocast
from fairdemo.readers.vision import halving_convolutions, to_tensor
from fairdemo.training.steps import update, warm_cosine

SIDE = 64  # the face's middle: rows 36-100, columns 32-96 of a 128 px image
TOP, LEFT = 36, 32
DAMAGES = ("smear", "drop", "double", "misplace")


class PartsChecker(nn.Module):
    """(n, 3, 64, 64) in [-1, 1] -> logit of being whole (n,)."""

    def __init__(self):
        super().__init__()
        self.features = halving_convolutions((24, 48, 96, 128))
        self.out = nn.Linear(128 * 16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, 64, 64) -> logits (n,), above 0 for whole faces."""
        return self.out(self.features(x).flatten(1)).squeeze(1)


def middle(images: np.ndarray) -> np.ndarray:
    """The part of 128 px images (n, 128, 128, 3) that holds eyes, nose and mouth: (n, 64, 64, 3)."""
    return images[:, TOP : TOP + SIDE, LEFT : LEFT + SIDE]


def damage(patch: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """One eye, the nose or the mouth of a (64, 64, 3) patch damaged; same shape and type."""
    x, y, rx, ry = ((18, 21, 9, 7), (47, 21, 9, 7), (33, 36, 8, 9), (33, 50, 12, 7))[rng.integers(4)]
    x, y = x + rng.normal(0, 1), y + rng.normal(0, 1)
    gy, gx = np.mgrid[:SIDE, :SIDE]
    mask = np.clip(1.6 - 1.1 * np.hypot((gx - x) / rx, (gy - y) / ry), 0, 1)[..., None]
    source = patch.astype(np.float32)
    if kind == "smear":  # blurred along one direction and warped
        across, along = rng.uniform(0.8, 1.6), rng.uniform(2.2, 4.5)
        sigma = (across, along, 0) if rng.random() < 0.5 else (along, across, 0)
        flow = [gaussian_filter(rng.normal(size=(SIDE, SIDE)), 3) * rng.uniform(15, 35) for _ in range(2)]
        changed = np.stack(
            [
                map_coordinates(
                    gaussian_filter(source, sigma)[..., c],
                    [gy + flow[0], gx + flow[1]],
                    order=1,
                    mode="nearest",
                )
                for c in range(3)
            ],
            -1,
        )
    elif kind == "drop":  # skin where the part was
        changed = gaussian_filter(source, (7, 7, 0)) + rng.normal(0, 2, source.shape)
    else:  # doubled: the part stands again beside itself; misplaced: it stands elsewhere
        angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(5, 9)
        dy, dx = reach * np.sin(angle), reach * np.cos(angle)
        moved = np.stack(
            [map_coordinates(source[..., c], [gy - dy, gx - dx], order=1, mode="nearest") for c in range(3)],
            -1,
        )
        there = np.clip(1.6 - 1.1 * np.hypot((gx - x - dx) / rx, (gy - y - dy) / ry), 0, 1)[..., None]
        below = (
            source if kind == "double" else source * (1 - mask) + gaussian_filter(source, (7, 7, 0)) * mask
        )
        if kind == "double":
            return np.clip(source * (1 - 0.6 * there) + moved * 0.6 * there, 0, 255).astype(np.uint8)
        return np.clip(below * (1 - there) + moved * there, 0, 255).astype(np.uint8)
    return np.clip(source * (1 - mask) + changed * mask, 0, 255).astype(np.uint8)


def spoiled(patches: np.ndarray, seed: int) -> np.ndarray:
    """Every patch with a damage of a random kind."""
    rng = np.random.default_rng(seed)
    return np.stack([damage(p, DAMAGES[rng.integers(len(DAMAGES))], rng) for p in patches])


def train(
    whole: np.ndarray, steps: int, seed: int, batch: int = 64, learning_rate: float = 2e-3
) -> Iterator[tuple[int, int, float, PartsChecker]]:
    """Trains on whole patches (n, 64, 64, 3), half of each batch damaged anew."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = PartsChecker().train()
    optimizers = [torch.optim.AdamW(network.parameters(), learning_rate, weight_decay=0.02, fused=True)]
    labels = torch.cat([torch.ones(batch // 2), torch.zeros(batch // 2)])
    for step in range(steps):
        good, bad = (
            whole[rng.integers(len(whole), size=batch // 2)],
            whole[rng.integers(len(whole), size=batch // 2)],
        )
        x = to_tensor(np.concatenate([good, spoiled(bad, int(rng.integers(2**31)))]))
        dy, dx = rng.integers(-2, 3, 2)
        x = torch.roll(x, (int(dy), int(dx)), (2, 3))
        if rng.random() < 0.5:
            x = x.flip(-1)
        if rng.random() < 0.5:
            x = x + 0.02 * torch.randn_like(x)
        with autocast():
            out = network(x)
        loss = F.binary_cross_entropy_with_logits(out.float(), labels)
        update(loss, optimizers, learning_rate * warm_cosine(step, steps))
        yield step + 1, steps, loss.item(), network
    network.eval()


@torch.no_grad()
def whole(network: PartsChecker, images: np.ndarray, batch: int = 128) -> np.ndarray:
    """Which 128 px images (n, 128, 128, 3) have both eyes, nose and mouth whole, as the network sees it;
    bool (n,)."""
    patches = middle(images)
    return np.concatenate(
        [(network(to_tensor(patches[i : i + batch])) > 0).numpy() for i in range(0, len(patches), batch)]
    )
