"""Backbones: the crop of a face to a unit vector whose cosine similarity measures likeness.

A small network of ours for the embedded world, trained on drawn people photographed several times, and
another one that judges the first (both in `fairdemo.training.classifier`); InceptionResnetV1 trained on
VGGFace2, where arXiv 2402.01002 has a ResNet-50 trained on it; and the image tower of a CLIP."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from facenet_pytorch import InceptionResnetV1
from PIL import Image
from torch import nn
from torch.nn import functional as F

from fairdemo.models import hub
from fairdemo.models.precision import compute_dtype
from fairdemo.readers import clip
from fairdemo.readers.vision import load_weights, to_tensor

CROP = 80  # side of the square crop that our network sees
MARGIN = 0.30  # of the box's longer side, on each side: hair and ears belong to the face
DIMENSIONS = 128
# The other network's margin and channels.
JUDGE_MARGIN = 0.45
JUDGE_WIDTHS = (24, 48, 96, 160, 192)


class JudgeNetwork(nn.Module):
    """Plain convolutions with batch normalisation and maximum pooling, five in a row (as VGG's, arXiv
    1409.1556, but narrow): (n, 3, 80, 80) -> unit vectors (n, 192). No block is `FaceNetwork`'s."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
                for a, b in zip((3, *JUDGE_WIDTHS), JUDGE_WIDTHS)
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, 80, 80) -> unit vectors (n, 192)."""
        for i, stage in enumerate(self.stages):
            x = stage(F.max_pool2d(x, 2) if i else x)
        return F.normalize(x.mean((2, 3)), dim=-1)


class FaceNetwork(nn.Module):
    """Residual convolutions at four resolutions, mean pooling, a projection to the unit sphere: (n, 3, 80,
    80) -> (n, 128)."""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 128, 192)):
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 5, 2, 2)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in zip(widths, widths[1:]))
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(8, w),
                nn.SiLU(),
                nn.Conv2d(w, w, 3, 1, 1),
                nn.GroupNorm(8, w),
                nn.SiLU(),
                nn.Conv2d(w, w, 3, 1, 1),
            )
            for w in widths
        )
        self.norm = nn.GroupNorm(8, widths[-1])
        self.project = nn.Linear(widths[-1] * 25, DIMENSIONS)

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """What is seen at each resolution: (n, 3, h, w) -> (n, c, h / 2, w / 2) and so on to 16."""
        x = self.stem(x)
        seen = []
        for i, block in enumerate(self.blocks):
            seen.append(x + block(x))
            if i < len(self.down):
                x = self.down[i](seen[-1])
        return seen

    def vectors(self, last: torch.Tensor) -> torch.Tensor:
        """Unit vectors (n, 128) of the last of the features (n, c, 5, 5)."""
        return F.normalize(self.project(F.silu(self.norm(last)).flatten(1)), dim=-1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, 80, 80) -> unit vectors (n, 128)."""
        return self.vectors(self.features(x)[-1])


def crop(
    image: Image.Image, box: tuple[float, float, float, float], side: int = CROP, margin: float = MARGIN
) -> np.ndarray:
    """The square around a face with a margin (a share of the box's longer side), uint8 (side, side, 3);
    what lies outside the image repeats its edge."""
    left, top, right, bottom = box
    half = max(right - left, bottom - top) * (0.5 + margin)
    x, y = (left + right) / 2, (top + bottom) / 2
    pad = int(np.ceil(max(0, half - x, half - y, x + half - image.width, y + half - image.height)))
    if pad:
        image = Image.fromarray(
            np.pad(np.asarray(image.convert("RGB")), ((pad, pad), (pad, pad), (0, 0)), mode="edge")
        )
    region = (x - half + pad, y - half + pad, x + half + pad, y + half + pad)
    return np.asarray(image.convert("RGB").resize((side, side), Image.Resampling.BILINEAR, box=region))


@dataclass(frozen=True)
class Backbone:
    """A network (n, 3, side, side) -> (n, d), and the crops that it wants. `mean` and `deviation` are of
    pixels in [0, 255], by channel."""

    network: nn.Module
    side: int
    margin: float
    mean: tuple[float, float, float] = (127.5, 127.5, 127.5)
    deviation: tuple[float, float, float] = (127.5, 127.5, 127.5)
    dtype: torch.dtype = torch.float32  # that products are computed in

    @torch.no_grad()
    def embed(self, crops: np.ndarray, batch: int = 128) -> np.ndarray:
        """Unit vectors float32 (n, d) of crops uint8 (n, side, side, 3)."""
        device = next(self.network.parameters()).device
        with torch.autocast(device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self._embed(crops, batch, device)

    def _embed(self, crops: np.ndarray, batch: int, device: torch.device) -> np.ndarray:
        mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in (self.mean, self.deviation))
        parts = [
            F.normalize(
                self.network(
                    (((to_tensor(crops[i : i + batch]) + 1) * 127.5 - mean) / deviation).to(device)
                ).float(),
                dim=-1,
            )
            .cpu()
            .numpy()
            for i in range(0, len(crops), batch)
        ]
        return np.concatenate(parts)


def embedded(folder: Path, device: str = "cpu") -> Backbone:
    """The embedded world's face network, from the classifier's folder."""
    return Backbone(load_weights(FaceNetwork(), folder / "face_network.safetensors").to(device), CROP, MARGIN)


def judge(folder: Path, device: str = "cpu") -> Backbone:
    """The network that judges the embedded world's classifier, from its folder."""
    network = load_weights(JudgeNetwork(), folder / "network.safetensors").to(device)
    return Backbone(network, CROP, JUDGE_MARGIN)


def facenet(device: str = "cpu") -> Backbone:
    """InceptionResnetV1 trained on VGGFace2; facenet-pytorch fetches the weights on first use. Its input is
    (pixel - 127.5) / 128."""
    try:
        network = InceptionResnetV1(pretrained="vggface2")
    except Exception as error:  # the network, the disk and a damaged file each raise their own kinds
        raise ValueError(hub.explain(error, "face network InceptionResnetV1 (vggface2)")) from error
    return Backbone(
        network.eval().to(device),
        160,
        0.1,
        deviation=(128.0, 128.0, 128.0),
        dtype=compute_dtype(device),
    )


def _of_255(values: tuple[float, float, float]) -> tuple[float, float, float]:
    red, green, blue = values
    return 255 * red, 255 * green, 255 * blue


def tower(model: str, pretrained: str, device: str = "cpu") -> Backbone:
    """The image tower of a CLIP (see `clip.load`)."""
    chosen = clip.load(model, pretrained, device)
    return Backbone(
        chosen.images,
        chosen.side,
        0.25,
        _of_255(chosen.mean),
        _of_255(chosen.deviation),
        compute_dtype(device),
    )
