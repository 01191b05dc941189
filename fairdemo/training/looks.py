"""What the semantics loss compares images by (arXiv 2311.07604, eq. 7): CLIP and DINO, or the embedded
world's own network."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F
from transformers import AutoModel

from fairdemo.models import hub
from fairdemo.readers.subject import SIDE, SubjectReader
from fairdemo.studio.live import Live
from fairdemo.training.soft_reader import Box

# Images (n, 3, h, w) in [-1, 1] -> unit vectors (n, d), with a gradient.
Look = Callable[[torch.Tensor], torch.Tensor]


def eased_on_faces(
    x: torch.Tensor, boxes: list[Box | None], twin_boxes: list[Box | None], shares: np.ndarray
) -> torch.Tensor:
    """The same images (n, 3, h, w), whose gradient is only `shares` (n,) of itself on the face: where the
    image and its twin have theirs."""
    left = x.new_ones(len(x), 1, *x.shape[2:])
    for i, (box, other) in enumerate(zip(boxes, twin_boxes)):
        if box is not None:
            both = [f(a, b) for f, a, b in zip((max, max, min, min), box, other or box)]
            x0, y0, x1, y1 = (max(0, round(v)) for v in both)
            left[i, :, y0:y1, x0:x1] = float(shares[i])
    return x.detach() + (x - x.detach()) * left


def looks_of(live: Live, dino: str) -> list[Look]:
    """The networks of the semantics loss: CLIP and DINO (eq. 7), or the embedded world's own."""
    subjects = live.subjects
    if isinstance(subjects, SubjectReader):
        return [lambda x: subjects.network(F.interpolate(x, (SIDE, SIDE), mode="area"))[0].float()]
    tower = subjects.tower
    try:
        self_taught = (
            AutoModel.from_pretrained(dino, use_safetensors=True).eval().requires_grad_(False).to(live.device)
        )
    except Exception as error:  # the Hub's client, the network and a damaged file each raise their own kinds
        raise ValueError(hub.explain(error, f"DINO network {dino!r}")) from error

    def seen(
        network: Callable[[torch.Tensor], torch.Tensor],
        side: int,
        mean: tuple[float, ...],
        deviation: tuple[float, ...],
    ) -> Look:
        def look(x: torch.Tensor) -> torch.Tensor:
            m, d = (torch.tensor(v).view(1, 3, 1, 1).to(x) for v in (mean, deviation))
            small = F.interpolate(x, (side, side), mode="bicubic", antialias=True)
            return F.normalize(network(((small + 1) * 127.5 - m) / d).float(), dim=-1)

        return look

    imagenet = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    return [
        seen(tower.network, tower.side, tower.mean, tower.deviation),
        seen(lambda x: self_taught(pixel_values=x).pooler_output, 224, *imagenet),
    ]
