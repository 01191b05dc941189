"""CrispDecoder: twice the autoencoder's size from the same latents, for what is shown.

Latents of 16 x 16 hold no hair strands, wrinkles or freckles, so these are made up: plausible ones, always
the same for the same latents. Readers go on reading what the autoencoder's own decoder gives."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

LATENT_CHANNELS = 16
SIZE = 256  # px, of what it gives
WIDTHS = (160, 96, 64, 24)  # channels at 1, 2, 4 and 8 times the latents' side


def strands(side: int) -> torch.Tensor:
    """Two fixed patterns (1, 2, side, side) of unit deviation: streaks that run down from above the head, and
    lines across."""
    noise = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, side),) * 2, indexing="ij")
    bent = 0.012 * torch.sin(7 * y + 2) + 0.008 * torch.sin(5 * x + 11 * y)
    places = (torch.atan2(x, y + 1.2) + bent, y + 0.15 * x**2 + bent / 2)
    found = torch.stack([streaks(place, torch.randn(2 * side, generator=noise)) for place in places])[None]
    return (found - found.mean((2, 3), True)) / found.std((2, 3), keepdim=True)


def streaks(place: torch.Tensor, line: torch.Tensor) -> torch.Tensor:
    """A line of values (m,), read at places (h, w), which are mostly within -2 and 2."""
    at = (((place + 4) / 8).clamp(0, 1) * (len(line) - 1)).float()
    low = at.floor().long().clamp(max=len(line) - 2)
    return torch.lerp(line[low], line[low + 1], at - low)


class Block(nn.Module):
    """Two convolutions, added to what goes in."""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, 1, 1) for _ in range(2))
        nn.init.zeros_(self.second.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, width, h, w) -> the same shape."""
        return x + self.second(F.silu(self.first(F.silu(x))))


class Doubled(nn.Sequential):
    """(n, a, h, w) -> (n, b, 2 h, 2 w), smoothly: shuffled pixels would leave a grid on plain walls."""

    def __init__(self, a: int, b: int):
        super().__init__(nn.Conv2d(a, b, 1), nn.Upsample(scale_factor=2, mode="bilinear"))


class CrispDecoder(nn.Module):
    """Enlarges the autoencoder's image, sharpens it, and lays strands on, as strong as the latents say. Most
    of its work is done at 16 to 64 px."""

    strands: torch.Tensor

    def __init__(self):
        super().__init__()
        a, b, c, d = WIDTHS
        self.body = nn.Sequential(
            nn.Conv2d(LATENT_CHANNELS, a, 3, 1, 1), Block(a), Block(a), Doubled(a, b), Block(b), Doubled(b, c)
        )
        self.joined = nn.Sequential(nn.Conv2d(c + 12, c, 3, 1, 1), Block(c), Block(c))
        self.amount = nn.Conv2d(c, 2, 3, 1, 1)
        self.finer = nn.Sequential(Doubled(c, d), Block(d))
        self.out = nn.Conv2d(d, 12, 3, 1, 1)
        nn.init.zeros_(self.out.weight)
        self.register_buffer("strands", strands(SIZE))

    def parts(self, latents: torch.Tensor, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (n, 3, 16 h, 16 w) without strands, and how strong these are (n, 2, 4 h, 4 w)."""
        x = self.joined(torch.cat([self.body(latents), F.pixel_unshuffle(images, 2)], 1))
        sharper = F.pixel_shuffle(self.out(self.finer(x)), 2)
        return F.interpolate(images, scale_factor=2, mode="bilinear") + sharper, self.amount(x)

    def laid(self, amount: torch.Tensor) -> torch.Tensor:
        """Strands of some strengths (n, 2, 4 h, 4 w): what is added to images (n, 1, 16 h, 16 w)."""
        wide = F.interpolate(F.relu(amount), scale_factor=4, mode="bilinear")
        return (wide * self.strands).sum(1, keepdim=True)

    def forward(self, latents: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Latents (n, c, h, w) and their images in [-1, 1] (n, 3, 8 h, 8 w) -> images (n, 3, 16 h, 16 w)."""
        plain, amount = self.parts(latents, images)
        return plain + self.laid(amount)


def load_crisp(path: Path) -> CrispDecoder:
    """The decoder with the file's weights as float32, laid out as a CPU multiplies them fastest."""
    decoder = CrispDecoder()
    decoder.load_state_dict({name: weights.float() for name, weights in load_file(path).items()})
    layout: dict[str, torch.memory_format] = {"memory_format": torch.channels_last}
    return decoder.eval().to(**layout)
