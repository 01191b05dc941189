"""Finds faces with MTCNN (Zhang et al. 2016), as arXiv 2402.01002 does; facenet-pytorch carries its weights."""

from dataclasses import dataclass

import numpy as np
import torch
from facenet_pytorch import MTCNN
from PIL import Image

CONFIDENT = 0.9  # detections below this are not counted as faces


@dataclass(frozen=True)
class Detection:
    """A found face: box (left, top, right, bottom) and five landmarks (5, 2) in pixels, confidence in [0, 1].

    The landmarks are the two eyes, the nose, the two corners of the mouth, as seen from left to right.
    """

    box: tuple[float, float, float, float]
    landmarks: np.ndarray
    confidence: float


class Detector:
    """MTCNN with its smallest face set in proportion to the picture, since its time goes with that size.

    A portrait's face fills most of the frame: faces under a fifth of the shorter side are not looked for.
    """

    def __init__(self, device: str = "cpu"):
        self.network = MTCNN(keep_all=True, device=device, post_process=False)

    def detect(self, images: list[Image.Image]) -> list[list[Detection]]:
        """Faces of each image, largest first. Images of equal size are searched in one batch."""
        found: list[list[Detection]] = [[] for _ in images]
        sizes: dict[tuple[int, int], list[int]] = {}
        for i, image in enumerate(images):
            sizes.setdefault(image.size, []).append(i)
        for size, members in sizes.items():
            self.network.min_face_size = max(20, min(size) // 5)
            with torch.no_grad():
                boxes, scores, points = self.network.detect([images[i].convert("RGB") for i in members], landmarks=True)
            for i, b, s, p in zip(members, boxes, scores, points):
                if b is None:
                    continue
                faces = [Detection(tuple(float(v) for v in box), mark.astype(np.float32), float(score)) for box, score, mark in zip(b, s, p) if score > CONFIDENT]
                found[i] = sorted(faces, key=lambda f: (f.box[0] - f.box[2]) * (f.box[3] - f.box[1]))
        return found
