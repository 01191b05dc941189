"""CLIP towers by open_clip: images and words as unit vectors in one space."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from fairdemo.models import hub

TOWERS = {"ViT-B-32": "laion2b_s34b_b79k", "ViT-L-14": "laion2b_s32b_b82k"}  # model -> LAION's weights


class ImageTower(nn.Module):
    """A CLIP as a network from images to vectors."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model: Any = model  # open_clip's

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, 3, side, side) -> (n, d)."""
        return self.model.encode_image(x)


@dataclass(frozen=True)
class Clip:
    """`images` maps (n, 3, side, side), normalised by `mean` and `deviation` of values in [0, 1], to
    vectors; `scale` is the factor that the model was trained to put before a cosine similarity."""

    images: ImageTower
    tokenizer: Callable[[list[str]], torch.Tensor]
    side: int
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    scale: float

    @torch.no_grad()
    def words(self, ensembles: list[list[str]]) -> np.ndarray:
        """One unit vector (n, d) for each ensemble of texts: the mean of the texts' unit vectors (Radford
        et al. 2021, section 3.1.4)."""
        device = next(self.images.parameters()).device
        rows = []
        for texts in ensembles:
            z = F.normalize(
                self.images.model.encode_text(self.tokenizer(texts).to(device)).float(), dim=-1
            ).mean(0)
            rows.append(F.normalize(z, dim=-1).cpu().numpy())
        return np.stack(rows)


def _of_channels(values: Iterable[float]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue


@cache
def load(model: str, pretrained: str, device: str = "cpu") -> Clip:
    """A CLIP by open_clip's names, e.g. ViT-B-32 and laion2b_s34b_b79k (fetched on first use), or with the
    path of its weights; ValueError if it can't be had. Loaded once and shared."""
    import open_clip  # takes a second to import, and the embedded profile does without

    try:
        made: Any = (
            open_clip.create_model(model, pretrained=pretrained, device=device, require_pretrained=True)
            .eval()
            .requires_grad_(False)
        )
    except Exception as error:  # open_clip, the Hub and the network each raise their own kinds
        raise ValueError(hub.explain(error, f"CLIP {model} ({pretrained})")) from error
    size, mean, deviation = made.visual.image_size, made.visual.image_mean, made.visual.image_std
    return Clip(
        ImageTower(made),
        open_clip.get_tokenizer(model),
        size if isinstance(size, int) else size[0],
        _of_channels(mean or open_clip.OPENAI_DATASET_MEAN),
        _of_channels(deviation or open_clip.OPENAI_DATASET_STD),
        float(made.logit_scale.exp()),
    )
