"""Trains a real classifier: embeddings of labelled photographs, then one SVM an
attribute, or for CLIP's words the temperature. A fifth of the pictures is kept aside; on it the report and
the confusions are counted."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from fairdemo.readers import classify, clip, embed
from fairdemo.readers.detect import Detector, find_subject
from fairdemo.readers.judge import BATCH, Judged, lines, row
from fairdemo.readers.labelled import Labelled
from fairdemo.readers.read import face
from fairdemo.stats.attributes import ATTRIBUTES, CLASSES

HELD_OUT = 0.2


def embeddings(
    backbone: embed.Backbone,
    detector: Detector,
    data: Labelled,
    cache: Path,
    progress: Callable[[int], object] = lambda done: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (m,) in which a face was found, and the embeddings (m, d) of the faces that pictures are labelled
    for; kept in the plain arrays of `cache` for another run."""
    if cache.is_file():
        with np.load(cache, allow_pickle=False) as stored:
            return stored["rows"], stored["embeddings"]
    rows: list[int] = []
    vectors: list[np.ndarray] = []
    done = 0
    for batch in data.batches(BATCH):
        opened = [(i, im) for i, im in enumerate(batch, done) if im is not None]
        crops = []
        for (i, im), found in zip(opened, detector.detect([im for _, im in opened])):
            if found:
                boxes = [f.box for f in found]
                own = boxes[find_subject(boxes, im.size)]
                crops.append(embed.crop(im, own, backbone.side, backbone.margin))
                rows.append(i)
        if crops:
            vectors.append(backbone.embed(np.stack(crops)))
        done += len(batch)
        progress(done)
    cache.parent.mkdir(parents=True, exist_ok=True)
    part = cache.with_suffix(".part.npz")
    kept, whole = np.array(rows, int), np.concatenate(vectors) if vectors else np.zeros((0, 1), np.float32)
    np.savez(part, rows=kept, embeddings=whole)
    part.rename(cache)
    return kept, whole


def temperature(similarities: np.ndarray, classes: np.ndarray) -> float:
    """The scale before the softmax of similarities (n, k) that makes the true classes (n,) likeliest,
    between 1 and 1,000: temperature scaling (Guo et al. 2017, section 4.2), its inverse."""

    def loss(log_scale: float) -> float:
        return -float(
            log_softmax(np.exp(log_scale) * similarities, 1)[np.arange(len(classes)), classes].mean()
        )

    found: Any = minimize_scalar(loss, bounds=(0.0, np.log(1000.0)), method="bounded")
    return float(np.exp(found.x))


@dataclass(frozen=True)
class Tower:
    """What embeds faces."""

    backbone: str  # facenet, openclip, or openclip-zero-shot
    model: str = "ViT-B-32"  # open_clip's
    pretrained: str = ""  # open_clip's name of the weights, or their file

    @property
    def described(self) -> dict[str, Any]:
        """What a classifier's `classifier.json` says of it."""
        kind = "zero-shot" if self.backbone == "openclip-zero-shot" else "svm"
        if self.backbone == "facenet":
            return {"backbone": "facenet", "kind": kind}
        return {"backbone": "openclip", "kind": kind, "model": self.model, "pretrained": self.pretrained}


def train(
    tower: Tower,
    data: Labelled,
    out: Path,
    device: str = "cpu",
    progress: Callable[[int], object] = lambda done: None,
) -> dict[str, Any]:
    """Trains on four fifths of the pictures and writes the classifier's folder `out` at once; returns the
    report on the last fifth. ValueError if a class has too few faces to learn from."""
    described = tower.described
    chosen = classify.backbone_of({**described, "folder": out}, device)
    cache = classify.home().parent / "embeddings" / f"{key_of(described, data)}.npz"
    rows, vectors = embeddings(chosen, Detector(device), data, cache, progress)
    kept = np.random.default_rng(0).permutation(len(rows))
    aside, used = np.split(kept, [int(HELD_OUT * len(kept))])
    truth = {a: data.table[a].to_numpy(str)[rows] for a in ATTRIBUTES}
    learnable(data, {a: labels[used] for a, labels in truth.items()})
    heads: dict = {}
    if described["kind"] == "zero-shot":
        words = classify.class_words(clip.load(tower.model, tower.pretrained, device))
        scales = calibrated(words, vectors[used], {a: labels[used] for a, labels in truth.items()})
        described["scales"] = scales
        probabilities = classify.by_words(words, scales, vectors[aside])
    else:
        heads = classify.fit(vectors[used], {a: truth[a][used] for a in ATTRIBUTES})
        probabilities = classify.probabilities(heads, vectors[aside])
    read = [[face((0, 0, 1, 1), p, z, 1.0)] for p, z in zip(probabilities, vectors[aside])]
    # A fifth of the pictures without a face counts, too.
    lost = np.setdiff1d(np.arange(len(data)), rows)[: int(HELD_OUT * (len(data) - len(rows)))]
    table = data.table.iloc[np.r_[rows[aside], lost]].reset_index(drop=True)
    judged = Judged(pd.concat([table, pd.DataFrame([row(f) for f in read] + [row([])] * len(lost))], axis=1))
    report = judged.report()
    written = {
        "classifier.json": json.dumps(described, indent=1) + "\n",
        "confusion.json": json.dumps(judged.confusion(), indent=1) + "\n",
        "report.json": json.dumps(report, indent=1) + "\n",
        "README.md": card(described, data, len(used), report),
    }
    write(out, heads, written)
    return report


def key_of(described: dict[str, Any], data: Labelled) -> str:
    """A name for the embeddings of some pictures by some backbone."""
    sizes = [(str(p), p.stat().st_size) for p in data.pictures if isinstance(p, Path) and p.is_file()]
    # Embeddings that an older version kept are of the largest faces, not of those near the middle.
    same = [described["backbone"], described.get("model"), described.get("pretrained"), data.name, "middle"]
    return hashlib.sha256(repr((*same, data.table.to_csv(), sizes)).encode()).hexdigest()[:16]


def learnable(data: Labelled, truth: dict[str, np.ndarray]) -> None:
    """ValueError if an attribute has too few faces of a class to learn it from."""
    for a, classes in CLASSES.items():
        present = {c: int((truth[a] == c).sum()) for c in set(truth[a])}
        few = [c for c, k in present.items() if k < 5]
        if few or len(present) < 2:
            counted = ", ".join(f"{c} {present.get(c, 0)}" for c in few or classes)
            raise ValueError(
                f"{data.name!r} has too few faces to learn {a} from: {counted}; at least 5 a class are needed"
            )


def calibrated(
    words: dict[str, np.ndarray], vectors: np.ndarray, truth: dict[str, np.ndarray]
) -> dict[str, float]:
    """The scale before the softmax of each attribute's similarities that fits known faces best."""
    similar = classify.similarities(words, vectors)
    places = {a: np.array([CLASSES[a].index(c) for c in labels]) for a, labels in truth.items()}
    return {a: round(temperature(similar[a], places[a]), 3) for a in ATTRIBUTES}


def write(out: Path, heads: dict, texts: dict[str, str]) -> None:
    """Writes a classifier's folder, whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as part:
        folder = Path(part) / "made"
        folder.mkdir()
        classify.save(heads, folder)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        folder.rename(out)


def card(described: dict[str, Any], data: Labelled, n: int, report: dict[str, Any]) -> str:
    """The classifier's model card."""
    what = (
        "InceptionResnetV1 (VGGFace2)"
        if described["backbone"] == "facenet"
        else f"CLIP {described['model']} ({described['pretrained']})"
    )
    how = (
        "one SVM an attribute, calibrated by Platt's method"
        if described["kind"] == "svm"
        else "zero-shot words, the temperature calibrated"
    )
    return (
        f"# A face classifier\n\nMTCNN finds faces, {what} embeds them, {how}. Made with `python -m fairdemo"
        f" train classifier` on {n:,} faces of {data.name}; measured on faces that it wasn't made"
        " from.\n\nRace, gender and age are as perceived by this classifier. It errs, and more for some"
        " groups than for others; see below. A binary gender and six races leave people out. Use it to count"
        " over many pictures, never to judge a person.\n\n```\n" + "\n".join(lines(report)) + "\n```\n"
    )
