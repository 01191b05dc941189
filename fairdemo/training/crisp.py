"""Trains the decoder of twice the size: on drawings that it should give back, and on latents that a denoiser
made, of which there is no drawing.

What the latents don't hold can't be given back to the pixel, so pixels count at half the size. Above that,
a critic tells drawings from what is made up, and the strength of edges counts by neighbourhood. Labels shall
stay: what linear probes read in the face must be what they read in the autoencoder's own image."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from fairdemo.models.crisp import CrispDecoder
from fairdemo.readers.embed import CROP, DIMENSIONS, FaceNetwork
from fairdemo.readers.vision import to_tensor
from fairdemo.training.muon import muon_and_adamw
from fairdemo.training.steps import Course, warm_cosine

HEAD = slice(8, 120)  # rows and columns of a portrait of 128 px that hold the head
WINDOW = 160  # px, side of what the critic sees at a time
NOISE = 0.25  # largest deviation of the noise on latents, whose own is 1


class Critic(nn.Module):
    """Tells drawings from decoded images, patch by patch: (n, 3, h, w) -> (n, 1, h / 8, w / 8)."""

    def __init__(self, widths: tuple[int, ...] = (48, 96, 128)):
        super().__init__()
        a, b, c = widths
        self.layers = nn.ModuleList(
            spectral_norm(layer)
            for layer in (
                nn.Conv2d(12, a, 3, 1, 1),
                nn.Conv2d(a, b, 3, 2, 1),
                nn.Conv2d(b, c, 3, 2, 1),
                nn.Conv2d(c, c, 3, 1, 1),
            )
        )
        self.out = spectral_norm(nn.Conv2d(c, 1, 3, 1, 1))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """What each layer sees, the judgement last."""
        x = F.pixel_unshuffle(x, 2)
        seen = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            seen.append(x)
        return [*seen, self.out(x)]


@dataclass(frozen=True)
class Drawings:
    """What is trained on."""

    images: np.ndarray  # uint8 (n, 256, 256, 3)
    latents: torch.Tensor  # (n, 2, c, h, w): of each image and its mirror image
    generated: torch.Tensor  # (m, c, h, w): a denoiser's


@dataclass(frozen=True)
class Training:
    """How the decoder is trained."""

    steps: int
    seed: int
    drawn: int = 5  # latents of drawings in a step
    generated: int = 3  # latents of the denoiser's in a step
    learning_rate: float = 1e-3  # at its highest
    critic_rate: float = 3e-4
    critic_from: int = 150  # the step
    adversarial: float = 1.0  # the critic's part of the gradient at the image; the rest has length 1
    labels: float = 0.03
    save_every: int = 100


class Sight:
    """A face network as a measure of likeness, and linear probes (k, 128) on its unit vectors."""

    def __init__(self, network: FaceNetwork):
        self.network, self.probes = network.eval().requires_grad_(False), torch.zeros(0, DIMENSIONS)

    @torch.no_grad()
    def learn(self, images: np.ndarray, labels: dict[str, list[str]], batch: int = 64) -> None:
        """Fits the probes to portraits (n, 128, 128, 3), by attribute whom they show."""
        parts = (to_tensor(images[i : i + batch]) for i in range(0, len(images), batch))
        vectors = torch.cat([self.vectors(self.seen(x)) for x in parts]).numpy()
        probes = [LogisticRegression(C=10.0, max_iter=1000).fit(vectors, y).coef_ for y in labels.values()]
        self.probes = torch.tensor(np.concatenate(probes), dtype=torch.float32)

    def seen(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Features of the heads in portraits (n, 3, 128, 128)."""
        return self.network.features(F.interpolate(x[..., HEAD, HEAD], (CROP, CROP), mode="bilinear"))

    def vectors(self, seen: list[torch.Tensor]) -> torch.Tensor:
        """Unit vectors (n, 128) of features."""
        return self.network.vectors(seen[-1]).float()

    def told(self, seen: list[torch.Tensor]) -> torch.Tensor:
        """What the probes say of features (n, k)."""
        return self.vectors(seen) @ self.probes.T


def likeness(some: list[torch.Tensor], others: list[torch.Tensor]) -> torch.Tensor:
    """Mean difference of features, each layer's by its own strength."""
    return torch.stack([(a - b).abs().mean() / b.abs().mean() for a, b in zip(some, others)]).mean()


def strength(x: torch.Tensor) -> torch.Tensor:
    """How strong edges are in each neighbourhood of 8 x 8."""
    across, along = x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]
    return torch.cat(
        [
            F.avg_pool2d(F.pad(across, (0, 1)).abs(), 8, 4),
            F.avg_pool2d(F.pad(along, (0, 0, 0, 1)).abs(), 8, 4),
        ],
        1,
    )


def difference(out: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Of images (n, 3, 256, 256): pixels mostly at half and quarter of the size, the strength of edges at
    full and half."""
    e = out - x
    half = F.avg_pool2d(e, 2)
    pixels = 0.2 * e.abs().mean() + half.abs().mean() + F.avg_pool2d(half, 2).abs().mean()
    edges = sum(
        (strength(a) - strength(b)).abs().mean()
        for a, b in ((out, x), (F.avg_pool2d(out, 2), F.avg_pool2d(x, 2)))
    )
    return pixels + 2.0 * edges


def window(x: torch.Tensor, side: int, rng: np.random.Generator) -> torch.Tensor:
    """A square of images (n, 3, h, w), the same in all."""
    top, left = (2 * int(v) for v in rng.integers((x.shape[-1] - side) // 2 + 1, size=2))
    return x[..., top : top + side, left : left + side]


def balanced(out: torch.Tensor, loss: torch.Tensor, adversarial: torch.Tensor, part: float) -> torch.Tensor:
    """The gradient at the images (n, 3, h, w): that of `loss`, and the critic's, `part` times as long."""
    (towards,) = torch.autograd.grad(loss, out, retain_graph=True)
    (fooling,) = torch.autograd.grad(adversarial, out)
    return towards + part * towards.norm() / (fooling.norm() + 1e-12) * fooling


class Trainer:
    """One training's networks and data."""

    def __init__(self, decoder: CrispDecoder, vae: Any, sight: Sight, data: Drawings, how: Training):
        self.decoder, self.vae, self.sight, self.data, self.how = decoder, vae, sight, data, how
        self.critic = Critic()

    def batch(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Drawings (n, 3, 256, 256), and latents (n + m, c, h, w): theirs with noise, and a denoiser's."""
        rows, side = np.sort(rng.integers(len(self.data.images), size=self.how.drawn)), int(rng.integers(2))
        x = to_tensor(self.data.images[rows])
        z = self.data.latents[rows, side].float()
        z = z + NOISE * torch.rand(len(z), 1, 1, 1) * torch.randn_like(z)
        made = rng.integers(len(self.data.generated), size=self.how.generated)
        return x.flip(-1) if side else x, torch.cat([z, self.data.generated[made].float()])

    def loss(self, out: torch.Tensor, small: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Of decoded images (n + m, 3, 256, 256), the autoencoder's own (n + m, 3, 128, 128) and the drawings
        (n, 3, 256, 256)."""
        n, sight = len(x), self.sight
        seen = sight.seen(F.avg_pool2d(out, 2))
        with torch.no_grad():
            true, before = sight.seen(F.avg_pool2d(x, 2)), sight.told(sight.seen(small))
        changed = F.avg_pool2d(out[n:], 4) - F.avg_pool2d(small[n:], 2)
        return (
            difference(out[:n], x)
            + 0.3 * likeness([s[:n] for s in seen], true)
            + 2.0 * changed.abs().mean()
            + self.how.labels * (sight.told(seen) - before).abs().mean()
        )

    def step(self, step: int, rng: np.random.Generator) -> tuple[float, torch.Tensor | None]:
        """Gradients for the decoder, and the critic's loss once it takes part."""
        x, z = self.batch(rng)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                small = self.vae.decode(z).sample.float()
            made = self.decoder(z, small)
        out = made.detach().float().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            loss = self.loss(out, small, x)
            if step < self.how.critic_from:
                loss.backward()
                made.backward(out.grad.to(made.dtype))
                return loss.item(), None
            place = int(rng.integers(2**31))
            real, fake = (window(y, WINDOW, np.random.default_rng(place)) for y in (x, out))
            self.critic.requires_grad_(False)
            judged = self.critic(fake)
            with torch.no_grad():
                known = self.critic(real)
            alike = likeness([f[: len(x)] for f in judged[:-1]], known[:-1])
            gradient = balanced(out, loss, alike - judged[-1].float().mean(), self.how.adversarial)
            made.backward(gradient.to(made.dtype))
            self.critic.requires_grad_(True)
            told, untold = self.critic(real)[-1].float(), self.critic(fake.detach())[-1].float()
        return loss.item(), F.relu(1 - told).mean() + F.relu(1 + untold).mean()


def train(
    decoder: CrispDecoder, vae: Any, sight: Sight, data: Drawings, checkpoint: Path, how: Training
) -> Iterator[tuple[int, int, float]]:
    """Trains the decoder; it holds averaged weights at the end. `checkpoint` is written every `save_every`
    steps and resumed from if it exists."""
    torch.manual_seed(how.seed)
    trainer = Trainer(decoder.train(), vae, sight, data, how)
    critic = trainer.critic
    course = Course(list(decoder.parameters()), muon_and_adamw(decoder, how.learning_rate), 0.995, checkpoint)
    judge = torch.optim.AdamW(critic.parameters(), how.critic_rate, betas=(0.0, 0.99), weight_decay=0.0)
    against = Course(list(critic.parameters()), [judge], 0.995, checkpoint.with_suffix(".critic"))
    for step in range(course.step, how.steps):
        rng = np.random.default_rng([how.seed, step])
        torch.manual_seed(how.seed * 1_000_003 + step)
        loss, telling = trainer.step(step, rng)
        course.descend(how.learning_rate * warm_cosine(step, how.steps))
        if telling is not None:
            telling.backward()
            against.descend(how.critic_rate)
        if course.step % how.save_every == 0 or course.step == how.steps:
            course.keep()
            against.keep()
        yield course.step, how.steps, loss
    course.finish()
    decoder.eval()
