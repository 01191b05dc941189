"""Reads what a picture is of: the profession that clothes, tools and background show. It measures whether
debiasing kept a prompt's meaning.

For the embedded world, where no CLIP knows the characters: a small network of ours, trained on drawn people
of every race and gender in every profession, takes the place of CLIP-T (its label against the prompt) and
CLIP-I (cosine similarity of its features) of arXiv 2311.07604."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from fairdemo.readers import clip, embed
from fairdemo.readers.vision import halving_convolutions, load_weights, to_tensor
from fairdemo.stats.prompts import SUBJECTS, article, photo_of

SIDE = 64
DIMENSIONS = 64


class SubjectNetwork(nn.Module):
    """(n, 3, 64, 64) in [-1, 1] -> unit look vectors (n, 64) and logits over `SUBJECTS` (n, 33)."""

    def __init__(self):
        super().__init__()
        self.features = halving_convolutions((32, 64, 128, 160))
        self.project = nn.Linear(160 * 16, DIMENSIONS)
        self.out = nn.Linear(DIMENSIONS, len(SUBJECTS))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, 3, 64, 64) -> look vectors (n, 64) and logits (n, 33)."""
        look = F.normalize(self.project(self.features(x).flatten(1)), dim=-1)
        return look, self.out(8 * look)


def to_input(images: list[Image.Image] | np.ndarray) -> torch.Tensor:
    """Images of any size to float (n, 3, 64, 64) in [-1, 1]."""
    small = [
        np.asarray(
            (im if isinstance(im, Image.Image) else Image.fromarray(im))
            .convert("RGB")
            .resize((SIDE, SIDE), Image.Resampling.BOX)
        )
        for im in images
    ]
    return to_tensor(np.stack(small))


class ClipSubjects:
    """The same for photographs, by CLIP: the profession whose words are nearest to the picture (CLIP-T),
    and the picture's vector (CLIP-I)."""

    def __init__(
        self, device: str = "cpu", model: str = "ViT-B-32", pretrained: str = clip.TOWERS["ViT-B-32"]
    ):
        self.tower = embed.tower(model, pretrained, device)
        self.words = clip.load(model, pretrained, device).words(
            [[photo_of(s), f"a portrait of {article(s)} at work"] for s in SUBJECTS]
        )

    def read(self, images: list[Image.Image]) -> list[tuple[str, np.ndarray]]:
        """The likeliest subject of each image and its look (d,), a unit vector."""
        if not images:
            return []
        side = (self.tower.side, self.tower.side)
        looks = self.tower.embed(
            np.stack([np.asarray(im.convert("RGB").resize(side, Image.Resampling.BICUBIC)) for im in images])
        )
        return [(SUBJECTS[k], look) for k, look in zip(self.fits(looks).argmax(1), looks)]

    def fits(self, looks: np.ndarray) -> np.ndarray:
        """How well looks (n, d) fit the words of each of `SUBJECTS` (n, 33): cosine similarities."""
        return looks @ self.words.T


class SubjectReader:
    """Reads professions in pictures of the embedded world."""

    def __init__(self, path: Path, device: str = "cpu"):
        self.network, self.device = load_weights(SubjectNetwork(), path).to(device), device

    @torch.no_grad()
    def read(self, images: list[Image.Image]) -> list[tuple[str, np.ndarray]]:
        """The likeliest subject of each image and its look (64,), a unit vector."""
        if not images:
            return []
        look, logits = self.network(to_input(images).to(self.device))
        return [(SUBJECTS[k], v) for k, v in zip(logits.argmax(1).tolist(), look.cpu().numpy())]

    @torch.no_grad()
    def fits(self, looks: np.ndarray) -> np.ndarray:
        """How well looks (n, 64) fit each of `SUBJECTS` (n, 33): log probabilities."""
        logits = self.network.out(8 * torch.from_numpy(looks.astype(np.float32)).to(self.device))
        return logits.log_softmax(-1).cpu().numpy()
