"""FaceReader: the one way from images to labelled faces."""

from pathlib import Path

import numpy as np
from PIL import Image

from fairdemo.pairs import Face
from fairdemo.readers import classify, embed
from fairdemo.readers.detect import Detector


def face(
    box: tuple[float, float, float, float],
    probability: classify.Probabilities,
    embedding: np.ndarray,
    confidence: float,
) -> Face:
    """A face labelled with its likeliest classes."""
    best = {a: max(ps, key=ps.__getitem__) for a, ps in probability.items()}
    return Face(box, **best, probability=probability, detection=confidence, embedding=embedding)


class FaceReader:
    """Detects, embeds and labels the faces of many images at once, with a classifier that
    `classify.describe` knows."""

    def __init__(self, classifier: Path | str, device: str = "cpu"):
        self.detector = Detector(device)
        self.backbone, self.label = classify.load(classifier, device)

    def read(self, images: list[Image.Image]) -> list[list[Face]]:
        """Faces of each image, largest first; an empty list where none is found."""
        found = self.detector.detect(images)
        crops = [
            embed.crop(image, d.box, self.backbone.side, self.backbone.margin)
            for image, detections in zip(images, found)
            for d in detections
        ]
        if not crops:
            return [[] for _ in images]
        embeddings = self.backbone.embed(np.stack(crops))
        labelled = iter(zip(self.label(embeddings), embeddings))
        return [[face(d.box, *next(labelled), d.confidence) for d in detections] for detections in found]
