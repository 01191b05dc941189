"""The classifier made differentiable, for training; what is measured is always read by the classifier
itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F
from tqdm import tqdm

from fairdemo.models.sampling import by_default, through
from fairdemo.pairs import Face
from fairdemo.readers.embed import Backbone
from fairdemo.readers.read import FaceReader
from fairdemo.stats.attributes import TARGET_CLASSES
from fairdemo.studio.live import Live

Box = tuple[float, float, float, float]


@dataclass
class SoftReader:
    """The classifier's detector and backbone, on crops taken with a gradient, and logistic regressions in
    place of its heads, fitted to the heads' own readings."""

    reader: FaceReader
    # Attribute -> (weights (k, d), bias (k,)) over TARGET_CLASSES.
    heads: dict[str, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)

    def fit(self, faces: list[Face]) -> None:
        """Learns every attribute from labelled faces; ages in bands. A class that was never read gets a
        bias that rules it out."""
        z = np.array([f.embedding for f in faces], float)
        for attribute, classes in TARGET_CLASSES.items():
            y = np.array([classes.index(f.banded(attribute)) for f in faces])
            known = sorted(set(y))
            weights, bias = np.zeros((len(classes), z.shape[1])), np.full(len(classes), -20.0)
            if len(known) == 1:
                bias[known] = 0
            else:
                model = LogisticRegression(C=10.0, max_iter=2000).fit(z, y)
                w, b = (
                    (
                        np.stack([-model.coef_[0], model.coef_[0]]) / 2,
                        np.array([-1, 1]) * model.intercept_[0] / 2,
                    )
                    if len(known) == 2
                    else (model.coef_, model.intercept_)
                )
                weights[known], bias[known] = w, b
            self.heads[attribute] = (
                torch.tensor(weights, dtype=torch.float32),
                torch.tensor(bias, dtype=torch.float32),
            )

    def read(self, attribute: str) -> list[str]:
        """The classes of an attribute that it can tell."""
        return [c for c, b in zip(TARGET_CLASSES[attribute], self.heads[attribute][1]) if b > -20]

    def boxes(self, images: list[Image.Image]) -> list[Box | None]:
        """The largest face of each image."""
        return [f[0].box if f else None for f in self.reader.detector.detect(images)]

    def embed(self, x: torch.Tensor, boxes: Sequence[Box]) -> torch.Tensor:
        """Unit vectors (n, d) of the faces in images (n, 3, h, w) in [-1, 1], with a gradient to the
        pixels."""
        b: Backbone = self.reader.backbone
        h, w = x.shape[2:]
        theta = torch.zeros(len(x), 2, 3)
        for i, (left, top, right, bottom) in enumerate(boxes):
            half = max(right - left, bottom - top) * (0.5 + b.margin)
            theta[i] = torch.tensor(
                [[2 * half / w, 0, (left + right) / w - 1], [0, 2 * half / h, (top + bottom) / h - 1]]
            )
        crops = F.grid_sample(
            x,
            F.affine_grid(theta.to(x), [len(x), 3, b.side, b.side], align_corners=False),
            padding_mode="border",
            align_corners=False,
        )
        mean, deviation = (torch.tensor(v).view(1, 3, 1, 1).to(x) for v in (b.mean, b.deviation))
        return F.normalize(b.network(((crops + 1) * 127.5 - mean) / deviation).float(), dim=-1)

    def logits(self, z: torch.Tensor) -> dict[str, torch.Tensor]:
        """Of unit vectors (n, d), by attribute (n, classes)."""
        return {
            attribute: z @ weights.to(z).T + bias.to(z) for attribute, (weights, bias) in self.heads.items()
        }


def teach(live: Live, images: int = 16) -> SoftReader:
    """A soft reader for a profile, from `images` faces of each of its sources, read by its classifier.
    Reproducible from the seed alone. ValueError if no face was found."""
    faces: list[Face] = []
    for k, source in enumerate(tqdm(live.sources, desc="reading what each adapter draws")):
        setting = by_default(live.profile, "a photo of a person", 77_000 + k)
        drawn = live.generator.draw(setting, through([source.adapters], images))
        faces += [f[0] for f in live.reader.read(drawn) if f]
    if not faces:
        raise ValueError(
            f"no face was found in {images * len(live.sources)} images that profile {live.profile.name!r}"
            " drew of a person; there is nothing to learn a classifier from"
        )
    reader = SoftReader(live.reader)
    reader.fit(faces)
    return reader


def bank(reader: FaceReader, images: list[Image.Image]) -> torch.Tensor:
    """Unit vectors (m, d) of the largest faces in pictures; ValueError if there is none."""
    vectors = [
        f[0].embedding for i in range(0, len(images), 64) for f in reader.read(images[i : i + 64]) if f
    ]
    if not vectors:
        raise ValueError(f"no face was found in {len(images)} pictures of real faces")
    return torch.tensor(np.array(vectors), dtype=torch.float32)
