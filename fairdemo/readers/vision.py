"""What the project's own small networks share: images as tensors, a stack of convolutions, weights as fp16
safetensors."""

from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def to_tensor(images: np.ndarray) -> torch.Tensor:
    """uint8 (n, h, w, 3) to float (n, 3, h, w) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pixels(x: torch.Tensor) -> np.ndarray:
    """Float (n, 3, h, w), cut to [-1, 1], to uint8 (n, h, w, 3)."""
    return ((x.detach().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def halving_convolutions(widths: tuple[int, ...]) -> nn.Sequential:
    """(n, 3, h, w) -> (n, widths[-1], h / 2^k, w / 2^k) for k widths (multiples of 8): two convolutions at
    each resolution."""
    layers: list[nn.Module] = []
    for a, b in zip((3, *widths), widths):
        layers += [
            nn.Conv2d(a, b, 3, 2, 1),
            nn.GroupNorm(8, b),
            nn.SiLU(),
            nn.Conv2d(b, b, 3, 1, 1),
            nn.GroupNorm(8, b),
            nn.SiLU(),
        ]
    return nn.Sequential(*layers)


def save_weights(network: nn.Module, path: Path) -> None:
    """Writes a network's weights as fp16."""
    save_file({k: v.half().contiguous() for k, v in network.state_dict().items()}, path)


def load_weights(network: Network, path: Path) -> Network:
    """The network with the file's weights as float32, ready to read with (not to train)."""
    network.load_state_dict(
        {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
    )
    return network.eval()
