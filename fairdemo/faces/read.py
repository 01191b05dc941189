"""FaceReader: the one way from images to labelled faces."""

from pathlib import Path

import numpy as np
from PIL import Image

from fairdemo.comparison import Face
from fairdemo.faces import classify, embed
from fairdemo.faces.detect import Detector
from fairdemo.vision import load_weights


class FaceReader:
    """Detects, embeds and labels the faces of many images at once. `folder` holds the face network and the machines."""

    def __init__(self, folder: Path, device: str = "cpu"):
        self.detector = Detector(device)
        self.network = load_weights(embed.FaceNetwork(), folder / "face_network.safetensors").to(device)
        self.heads = classify.load(folder)

    def read(self, images: list[Image.Image]) -> list[list[Face]]:
        """Faces of each image, largest first; an empty list where none is found."""
        found = self.detector.detect(images)
        crops = [embed.crop(image, d.box) for image, detections in zip(images, found) for d in detections]
        if not crops:
            return [[] for _ in images]
        embeddings = embed.embed(self.network, np.stack(crops))
        labelled = iter(zip(classify.probabilities(self.heads, embeddings), embeddings))
        return [[self._face(d.box, *next(labelled), d.confidence) for d in detections] for detections in found]

    @staticmethod
    def _face(box, probability: dict[str, dict[str, float]], embedding: np.ndarray, confidence: float) -> Face:
        best = {a: max(ps, key=ps.get) for a, ps in probability.items()}
        return Face(box, **best, probability=probability, detection=confidence, embedding=embedding)
