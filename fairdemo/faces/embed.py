"""A small face network: a crop to a unit vector whose cosine similarity measures likeness.

Trained on drawn people photographed several times (see `fairdemo.training.classifier`); for the embedded world only.
"""

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from fairdemo.vision import to_tensor

CROP = 80  # side of the square crop that the network sees
MARGIN = 0.30  # of the box's longer side, on each side: hair and ears belong to the face
DIMENSIONS = 128


class FaceNetwork(nn.Module):
    """Residual convolutions at four resolutions, mean pooling, a projection to the unit sphere: (n, 3, 80, 80) -> (n, 128)."""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 192)):
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 5, 2, 2)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in zip(widths, widths[1:]))
        self.blocks = nn.ModuleList(nn.Sequential(nn.GroupNorm(8, w), nn.SiLU(), nn.Conv2d(w, w, 3, 1, 1), nn.GroupNorm(8, w), nn.SiLU(), nn.Conv2d(w, w, 3, 1, 1))
                                    for w in widths)
        self.norm = nn.GroupNorm(8, widths[-1])
        self.project = nn.Linear(widths[-1] * 25, DIMENSIONS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for i, block in enumerate(self.blocks):
            x = x + block(x)
            if i < len(self.down):
                x = self.down[i](x)
        return F.normalize(self.project(F.silu(self.norm(x)).flatten(1)), dim=-1)


def crop(image: Image.Image, box: tuple[float, float, float, float]) -> np.ndarray:
    """The square around a face with `MARGIN`, uint8 (CROP, CROP, 3); what lies outside the image repeats its edge."""
    left, top, right, bottom = box
    half = max(right - left, bottom - top) * (0.5 + MARGIN)
    x, y = (left + right) / 2, (top + bottom) / 2
    pad = int(np.ceil(max(0, half - x, half - y, x + half - image.width, y + half - image.height)))
    if pad:
        image = Image.fromarray(np.pad(np.asarray(image.convert("RGB")), ((pad, pad), (pad, pad), (0, 0)), mode="edge"))
    region = (x - half + pad, y - half + pad, x + half + pad, y + half + pad)
    return np.asarray(image.convert("RGB").resize((CROP, CROP), Image.Resampling.BILINEAR, box=region))


@torch.no_grad()
def embed(network: FaceNetwork, crops: np.ndarray, batch: int = 128) -> np.ndarray:
    """Unit vectors float32 (n, DIMENSIONS)."""
    device = next(network.parameters()).device
    parts = [network(to_tensor(crops[i:i + batch]).to(device)).float().cpu().numpy() for i in range(0, len(crops), batch)]
    return np.concatenate(parts) if parts else np.zeros((0, DIMENSIONS), np.float32)
