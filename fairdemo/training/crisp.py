"""Trains the decoder of twice the size: on drawings that it should give back, and on latents that a denoiser
made, of which there is no drawing.

What the latents don't hold can't be given back to the pixel, so pixels count at half and a quarter of the
size, too. Where the drawing has lines that the autoencoder lost, hair above all, the decoder learns how
strong they were, and lays strands on. Two critics, at full and half size, tell drawings from the rest.
Labels shall stay: what linear probes read in a face must be what they read in the autoencoder's image."""

from collections.abc import Iterator, Sequence
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
from fairdemo.models.precision import autocast
from fairdemo.readers.embed import CROP, DIMENSIONS, FaceNetwork
from fairdemo.readers.vision import to_tensor
from fairdemo.training.muon import muon_and_adamw
from fairdemo.training.steps import Course, warm_cosine

HEAD = slice(8, 120)  # rows and columns of a portrait of 128 px that hold the head
WINDOW = 128  # px, side of what a critic sees at full size
MORE = 1.5  # times as strong as in the drawing: where they are uncertain, they are learned too weak
MOST = (0.3, 0.06)  # of streaks down and of lines across
PLAIN = (0.07, 0.04)  # lines in what the autoencoder gives back of hair are weaker, and of eyes stronger
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
    critic_rate: float = 1e-3
    critic_from: int = 100  # the step
    adversarial: float = 0.15  # length of the critics' gradient at the image, in lengths of the rest's
    labels: float = 0.008  # weight of the probes' changes; its gradient is long
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
    """How strong edges are across and along in each neighbourhood of 8 x 8."""
    across, along = (
        F.pad(x[..., 1:] - x[..., :-1], (0, 1)),
        F.pad(x[..., 1:, :] - x[..., :-1, :], (0, 0, 0, 1)),
    )
    return F.avg_pool2d(torch.cat([across, along], 1).abs(), 8, 4)


def bands(x: torch.Tensor) -> list[torch.Tensor]:
    """What images (n, 3, h, w) hold at three sizes, each without what the next holds."""
    found = []
    for _ in range(3):
        smaller = F.avg_pool2d(x, 2)
        found.append(x - F.interpolate(smaller, scale_factor=2, mode="bilinear"))
        x = smaller
    return found


def lines(x: torch.Tensor) -> torch.Tensor:
    """How strong streaks down and lines across are: images (n, 3, 256, 256) -> (n, 2, 64, 64)."""
    band = bands(x.mean(1, keepdim=True))[1]
    across, along = band.diff(dim=-1, append=band[..., -1:]), band.diff(dim=-2, append=band[..., -1:, :])
    return F.avg_pool2d(torch.cat([across, along], 1).abs(), 5, 2, 2)


def midst(x: torch.Tensor) -> torch.Tensor:
    """The least of each neighbourhood of 5 x 5: what is strong at an edge alone is gone."""
    return -F.max_pool2d(-x, 5, 1, 2)


def wanted(x: torch.Tensor, small: torch.Tensor, strands: torch.Tensor) -> torch.Tensor:
    """How strong strands should be (n, 2, 64, 64) to give plain parts of images (n, 3, 128, 128), hair above
    all, the texture of drawings (n, 3, 256, 256): each where it is the stronger one."""
    there = lines(F.interpolate(small, scale_factor=2, mode="bilinear"))
    missing = F.relu(midst(lines(x)) - midst(there))
    own = torch.stack([lines(strands[:, k : k + 1])[:, k].mean() for k in range(2)]).view(1, 2, 1, 1)
    most, plain = (torch.tensor(v).view(1, 2, 1, 1) for v in (MOST, PLAIN))
    stronger = torch.where(missing >= missing.amax(1, True), (MORE * missing / own).minimum(most), 0.0)
    return torch.where(F.max_pool2d(there.amax(1, True), 3, 1, 1) < plain, stronger, 0.0)


def difference(out: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Of images (n, 3, 256, 256): pixels mostly at a quarter of the size, where strands average out, and the
    strength of edges in each band."""
    half = F.avg_pool2d(out - x, 2)
    pixels = 0.5 * (out - x).abs().mean() + 0.5 * half.abs().mean() + F.avg_pool2d(half, 2).abs().mean()
    edges = [(strength(a) - strength(b)).abs().mean() for a, b in zip(bands(out), bands(x))]
    return pixels + 0.7 * torch.stack(edges).sum()


def views(x: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """What the critics see of images (n, 3, 256, 256): a part, the same of all, and all at half the size."""
    top, left = (2 * int(v) for v in rng.integers((x.shape[-1] - WINDOW) // 2 + 1, size=2))
    return x[..., top : top + WINDOW, left : left + WINDOW], F.avg_pool2d(x, 2)


def balanced(out: torch.Tensor, loss: torch.Tensor, adversarial: torch.Tensor, part: float) -> torch.Tensor:
    """The gradient at the images (n, 3, h, w): that of `loss`, and the critic's, `part` times as long."""
    (towards,) = torch.autograd.grad(loss, out, retain_graph=True)
    (fooling,) = torch.autograd.grad(adversarial, out)
    return towards + part * towards.norm() / (fooling.norm() + 1e-12) * fooling


class Trainer:
    """One training's networks and data."""

    def __init__(self, decoder: CrispDecoder, vae: Any, sight: Sight, data: Drawings, how: Training):
        self.decoder, self.vae, self.sight, self.data, self.how = decoder, vae, sight, data, how
        self.critics = nn.ModuleList([Critic(), Critic()])

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
            + 0.15 * likeness([s[:n] for s in seen], true)
            + 2.0 * changed.abs().mean()
            + self.how.labels * (sight.told(seen) - before).abs().mean()
        )

    def step(self, step: int, rng: np.random.Generator) -> tuple[float, torch.Tensor | None]:
        """Gradients for the decoder, and the critics' loss once they take part."""
        x, z = self.batch(rng)
        with autocast():
            with torch.no_grad():
                small = self.vae.decode(z).sample.float()
            plain, amount = self.decoder.parts(z, small)
            made = plain + self.decoder.laid(amount.detach())
        goal = wanted(x, small[: len(x)], self.decoder.strands)
        strands = 30.0 * F.l1_loss(amount[: len(x)].float(), goal)
        out = made.detach().float().requires_grad_()
        telling = None
        with autocast():
            loss = self.loss(out, small, x)
            if step < self.how.critic_from:
                (gradient,) = torch.autograd.grad(loss, out)
            else:
                place = int(rng.integers(2**31))
                real, fake = (views(y, np.random.default_rng(place)) for y in (x, out))
                gradient = balanced(out, loss, self.fooling(fake, real), self.how.adversarial)
                telling = self.telling(fake, real)
        torch.autograd.backward([made, strands], [gradient.to(made.dtype), None])
        return loss.item(), telling

    def fooling(self, fakes: Sequence[torch.Tensor], reals: Sequence[torch.Tensor]) -> torch.Tensor:
        """How far decoded images (n + m, 3, h, w) are from being taken for drawings (n, 3, h, w), at each
        size."""
        self.critics.requires_grad_(False)
        found = []
        for critic, fake, real in zip(self.critics, fakes, reals):
            judged = critic(fake)
            with torch.no_grad():
                known = critic(real)
            alike = likeness([f[: len(real)] for f in judged[:-1]], known[:-1])
            found.append(0.3 * alike - judged[-1].float().mean())
        return torch.stack(found).sum()

    def telling(self, fakes: Sequence[torch.Tensor], reals: Sequence[torch.Tensor]) -> torch.Tensor:
        """The critics' loss: how ill they tell drawings from decoded images."""
        self.critics.requires_grad_(True)
        found = [
            F.relu(1 - critic(real)[-1].float()).mean() + F.relu(1 + critic(fake.detach())[-1].float()).mean()
            for critic, fake, real in zip(self.critics, fakes, reals)
        ]
        return torch.stack(found).sum()


def train(
    decoder: CrispDecoder, vae: Any, sight: Sight, data: Drawings, checkpoint: Path, how: Training
) -> Iterator[tuple[int, int, float]]:
    """Trains the decoder; it holds averaged weights at the end. `checkpoint` is written every `save_every`
    steps and resumed from if it exists."""
    torch.manual_seed(how.seed)
    trainer = Trainer(decoder.train(), vae, sight, data, how)
    critics = trainer.critics
    course = Course(list(decoder.parameters()), muon_and_adamw(decoder, how.learning_rate), 0.995, checkpoint)
    judge = torch.optim.AdamW(critics.parameters(), how.critic_rate, betas=(0.0, 0.95), weight_decay=0.0)
    against = Course(list(critics.parameters()), [judge], 0.995, checkpoint.with_suffix(".critic"))
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
