"""CrispDecoder: twice the autoencoder's size from the same latents, for what is shown.

Latents of 16 x 16 hold no hair strands, wrinkles or freckles, so these are made up: plausible ones, always
the same for the same latents. Readers go on reading what the autoencoder's own decoder gives."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

WIDTHS = (160, 96, 64, 24)  # channels at 1, 2, 4 and 8 times the latents' side
GRAIN = 8  # channels of a fixed pattern that strands and freckles are made from


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
    """(n, a, h, w) -> (n, b, 2 h, 2 w)."""

    def __init__(self, a: int, b: int):
        super().__init__(nn.Conv2d(a, 4 * b, 1), nn.PixelShuffle(2))


class CrispDecoder(nn.Module):
    """What it adds to the autoencoder's image, enlarged: most of its work is done at 16 to 64 px."""

    def __init__(self, latent_channels: int = 16, side: int = 16):
        super().__init__()
        a, b, c, d = WIDTHS
        self.body = nn.Sequential(
            nn.Conv2d(latent_channels, a, 3, 1, 1), Block(a), Block(a), Doubled(a, b), Block(b), Doubled(b, c)
        )
        self.grain = nn.Parameter(torch.randn(1, GRAIN, 4 * side, 4 * side))
        self.joined = nn.Sequential(
            nn.Conv2d(c + 12 + GRAIN, c, 3, 1, 1), Block(c), Block(c), Doubled(c, d), Block(d)
        )
        self.out = nn.Sequential(nn.Conv2d(d, 12, 3, 1, 1), nn.PixelShuffle(2))

    def forward(self, latents: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Latents (n, c, h, w) and their images in [-1, 1] (n, 3, 8 h, 8 w) -> images (n, 3, 16 h, 16 w)."""
        grain = self.grain.to(images.dtype).expand(len(images), -1, -1, -1)
        x = self.joined(torch.cat([self.body(latents), F.pixel_unshuffle(images, 2), grain], 1))
        return F.interpolate(images, scale_factor=2, mode="bilinear") + self.out(x)


def load_crisp(path: Path) -> CrispDecoder:
    """The decoder with the file's weights as float32, laid out as a CPU multiplies them fastest."""
    decoder = CrispDecoder()
    decoder.load_state_dict({name: weights.float() for name, weights in load_file(path).items()})
    layout: dict[str, torch.memory_format] = {"memory_format": torch.channels_last}
    return decoder.eval().to(**layout)
