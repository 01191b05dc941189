"""Finds faces with MTCNN (Zhang et al. 2016), as arXiv 2402.01002 does; facenet-pytorch carries its
weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from facenet_pytorch import MTCNN
from PIL import Image

CONFIDENT = 0.9  # detections below this are not counted as faces
SMALLEST = 20  # px, the smallest face that MTCNN can see
# px, the longer side that a picture is brought down to: at first, when faces are a fifth of the shorter side,
# and for small faces.
LONGEST = (320, 2048)
SMALL = 200  # px of the shorter side, up to which a picture is searched again at twice its size
AT_ONCE = 32 * 512**2  # pixels in one batch


@dataclass(frozen=True)
class Detection:
    """A found face: box (left, top, right, bottom) and five landmarks (5, 2) in pixels, confidence in [0, 1].

    The landmarks are the two eyes, the nose, the two corners of the mouth, as seen from left to right.
    """

    box: tuple[float, float, float, float]
    landmarks: np.ndarray
    confidence: float


Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


def area_inside(box: Box, size: tuple[int, int]) -> float:
    """Square pixels of a box inside of a picture of `size` (width, height): boxes of faces that the edge cuts
    reach beyond it."""
    left, top, right, bottom = box
    width, height = min(right, size[0]) - max(left, 0), min(bottom, size[1]) - max(top, 0)
    return max(0.0, width) * max(0.0, height)


def find_subject(boxes: Sequence[Box], size: tuple[int, int]) -> int:
    """Which of several faces a picture's label is about, by its place in `boxes`: the largest near the
    middle, by area less twice the squared distance of centres. Of 180 photographs of FairFace it is the
    labelled one in all; the largest box isn't in 8."""

    def weight(box: Box) -> float:
        left, top, right, bottom = box
        away = ((left + right - size[0]) / 2) ** 2 + ((top + bottom - size[1]) / 2) ** 2
        return (right - left) * (bottom - top) - 2 * away

    return max(range(len(boxes)), key=lambda i: weight(boxes[i]))


def skin_toned(image: Image.Image) -> Image.Image:
    """A grey picture in warm tones, others as they are: MTCNN was trained in colour and misses 5 % of the
    faces in 180 grey photographs, so 1 %."""
    small = np.asarray(image.resize((32, 32), Image.Resampling.BOX)).astype(int)
    if np.ptp(small, axis=-1).max() > 2:
        return image
    return Image.merge(
        "RGB",
        [
            channel.point([min(255, round(k * v)) for v in range(256)])
            for channel, k in zip(image.split(), (1.25, 0.9, 0.7))
        ],
    )


def _enlarged(box: np.ndarray | Box, scale: float) -> tuple[float, float, float, float]:
    left, top, right, bottom = (float(v) * scale for v in box)
    return left, top, right, bottom


class Detector:
    """MTCNN with its smallest face set in proportion to the picture, since its time goes with that size.

    A portrait's face fills most of the frame: at first faces under a fifth of the shorter side are not
    looked for. Pictures in which none is found are searched once more, for small faces: larger ones in more
    pixels, those of at most 200 px at twice their size, where MTCNN finds 56 faces in 75 pictures of 102 px
    instead of 39."""

    def __init__(self, device: str = "cpu"):
        self.network = MTCNN(keep_all=True, device=device, post_process=False)

    def detect(self, images: list[Image.Image]) -> list[list[Detection]]:
        """Faces of each image, the largest inside of it first; none in images too thin for one. Images of
        equal size are searched in batches."""
        found = self._search(images, LONGEST[0], 5)
        none = [i for i, faces in enumerate(found) if not faces]
        large = [i for i in none if min(images[i].size) > SMALL]
        for i, faces in zip(large, self._search([images[i] for i in large], LONGEST[1], 1000)):
            found[i] = faces
        small = [i for i in none if SMALLEST <= min(images[i].size) <= SMALL]
        doubled = [images[i].resize((2 * images[i].width, 2 * images[i].height)) for i in small]
        for i, faces in zip(small, self._search(doubled, LONGEST[1], 5)):
            found[i] = [replace(f, box=_enlarged(f.box, 0.5), landmarks=f.landmarks / 2) for f in faces]
        return found

    def _search(self, images: list[Image.Image], longest: int, share: int) -> list[list[Detection]]:
        """One search, with pictures' longer sides brought down to `longest` px, for faces of at least one
        `share`-th of the shorter side."""
        found: list[list[Detection]] = [[] for _ in images]
        scales = [max(1.0, max(im.size) / longest) for im in images]
        pictures = [
            skin_toned(
                im.convert("RGB")
                if s == 1
                else im.convert("RGB").resize(
                    (max(1, round(im.width / s)), max(1, round(im.height / s))),
                    Image.Resampling.BILINEAR,
                    reducing_gap=2.0,
                )
            )
            for im, s in zip(images, scales)
        ]
        sizes: dict[tuple[int, int], list[int]] = {}
        for i, picture in enumerate(pictures):
            sizes.setdefault(picture.size, []).append(i)
        for (width, height), members in sizes.items():
            if min(width, height) < SMALLEST:
                continue  # MTCNN fails where its smallest face doesn't fit
            self.network.min_face_size = max(SMALLEST, min(width, height) // share)
            step = max(1, AT_ONCE // (width * height))
            for k in range(0, len(members), step):
                part = members[k : k + step]
                with (
                    torch.no_grad(),
                    torch.autocast(torch.device(self.network.device).type, enabled=False),
                ):  # MTCNN goes through numpy, which knows no bfloat16
                    detected: Any = self.network.detect([pictures[i] for i in part], landmarks=True)
                boxes, scores, points = detected
                for i, b, s, p in zip(part, boxes, scores, points):
                    if b is not None:
                        faces = [
                            Detection(
                                _enlarged(box, scales[i]),
                                mark.astype(np.float32) * scales[i],
                                float(score),
                            )
                            for box, score, mark in zip(b, s, p)
                            if score > CONFIDENT
                        ]
                        found[i] = sorted(faces, key=lambda f: -area_inside(f.box, images[i].size))
        return found
