"""Labels faces from their embeddings: SVMs with calibrated probabilities (as arXiv 2402.01002 does, from
another network's embeddings), linear heads, or CLIP's words for the classes, which need no training.

A classifier is a folder with `classifier.json` (its backbone and kind) and, for SVMs, one file an
attribute: scikit-learn's, stored with skops, so that opening them runs no code; for linear heads,
`heads.safetensors`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path
from safetensors.numpy import load_file
from scipy.special import softmax
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from fairdemo import places
from fairdemo.readers import clip, embed
from fairdemo.readers.embed import Backbone
from fairdemo.stats.attributes import ATTRIBUTES, CLASSES

BACKBONES = ("embedded", "judge", "facenet", "openclip")
KINDS = ("svm", "linear", "zero-shot")
# The only types from outside skops' own list of safe ones that a stored head may contain.
TRUSTED = ["sklearn.calibration._CalibratedClassifier", "sklearn.calibration._SigmoidCalibration"]
Probabilities = dict[str, dict[str, float]]  # of one face, by attribute and class
Labeller = Callable[[np.ndarray], list[Probabilities]]  # from embeddings (n, d)

# Zero-shot: several words a class in several sentences, so that no single wording decides. The lists are
# ours.
SENTENCES = ("a photo of {}", "a close-up photo of the face of {}", "a portrait of {}, looking at the camera")
WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "race": {
        "Asian": ("an East Asian person", "a Southeast Asian person", "an Asian person"),
        "Black": ("a Black person", "a person of African descent"),
        "Indian": ("an Indian person", "a South Asian person"),
        "Latinx": ("a Latino or Latina person", "a Hispanic person"),
        "Middle Eastern": ("a Middle Eastern person", "an Arab person", "a Persian or Turkish person"),
        "White": ("a white person", "a Caucasian person", "a person of European descent"),
    },
    "gender": {
        "Female": ("a woman", "a female person", "a lady"),
        "Male": ("a man", "a male person", "a gentleman"),
    },
    "age": {
        "0-19": ("a child", "a teenager"),
        "20-29": ("a person in their twenties", "a 25 year old person"),
        "30-39": ("a person in their thirties", "a 35 year old person"),
        "40-49": ("a person in their forties", "a 45 year old person"),
        "50-59": ("a person in their fifties", "a 55 year old person"),
        "60+": ("an old person", "a 70 year old person", "an elderly person"),
    },
}


def skops_io() -> Any:
    """`skops.io`, which takes three seconds to import: it looks at all that scikit-learn has."""
    import skops.io

    return skops.io


def home() -> Path:
    """Where classifiers that were trained on this machine are kept."""
    return places.home() / "classifiers"


def kept(name: str) -> Path:
    """The folder of a classifier by its name; one that an older version kept in the user's cache is found
    there."""
    older = user_cache_path("fairdemo", appauthor=False) / "classifiers" / name
    return older if older.is_dir() and not (home() / name).is_dir() else home() / name


def fit(embeddings: np.ndarray, labels: dict[str, np.ndarray]) -> dict[str, CalibratedClassifierCV]:
    """One SVM with a radial basis kernel per attribute, rare classes weighted up; Platt's calibration
    on three folds."""
    return {
        a: (
            CalibratedClassifierCV(
                make_pipeline(StandardScaler(), SVC(C=3.0, gamma="scale", class_weight="balanced")),
                method="sigmoid",
                cv=3,
                ensemble=False,  # pyright: ignore[reportArgumentType]  # "auto", True or False
            ).fit(embeddings, labels[a])
        )
        for a in ATTRIBUTES
    }


def save(heads: dict[str, CalibratedClassifierCV], folder: Path) -> None:
    """Writes one skops file an attribute."""
    for attribute, head in heads.items():
        skops_io().dump(head, folder / f"{attribute}.skops")


def probabilities(heads: dict[str, CalibratedClassifierCV], embeddings: np.ndarray) -> list[Probabilities]:
    """For each embedding (n, d) the probability of every class of every attribute."""
    tables: dict[str, tuple[Any, Any]] = {
        a: (head.classes_, head.predict_proba(embeddings)) for a, head in heads.items()
    }
    return [
        {a: {str(c): float(p) for c, p in zip(classes, table[i])} for a, (classes, table) in tables.items()}
        for i in range(len(embeddings))
    ]


def similarities(words: dict[str, np.ndarray], embeddings: np.ndarray) -> dict[str, np.ndarray]:
    """Cosine similarities (n, classes) of unit vectors to each attribute's classes (classes, d)."""
    return {a: embeddings @ rows.T for a, rows in words.items()}


def by_words(
    words: dict[str, np.ndarray], scales: dict[str, float], embeddings: np.ndarray
) -> list[Probabilities]:
    """Zero-shot probabilities: softmax of scaled cosine similarities; a scale is the inverse of a
    calibrated temperature."""
    tables = {a: softmax(scales[a] * s, 1) for a, s in similarities(words, embeddings).items()}
    return [
        {a: dict(zip(CLASSES[a], table[i].tolist())) for a, table in tables.items()}
        for i in range(len(embeddings))
    ]


def by_lines(lines: dict[str, np.ndarray], embeddings: np.ndarray) -> list[Probabilities]:
    """Probabilities of linear heads: softmax of each attribute's `weights` (d, classes) and `bias`
    (classes,), for its last classes (no drawn person is under 20)."""
    tables = {a: softmax(embeddings @ lines[f"{a}.weights"] + lines[f"{a}.bias"], 1) for a in ATTRIBUTES}
    return [
        {a: dict(zip(CLASSES[a][-table.shape[1] :], table[i].tolist())) for a, table in tables.items()}
        for i in range(len(embeddings))
    ]


def class_words(chosen: clip.Clip) -> dict[str, np.ndarray]:
    """The vectors of all classes (classes, d) by attribute."""
    return {
        a: chosen.words([[s.format(w) for w in WORDS[a][c] for s in SENTENCES] for c in classes])
        for a, classes in CLASSES.items()
    }


def describe(source: Path | str) -> dict[str, Any]:
    """What `classifier.json` says of a classifier: a folder, or one of the names facenet-svm, openclip-svm,
    openclip-zero-shot (each with an optional ":ViT-L-14"), which are looked for in `home()`. ValueError if
    there is none."""
    name, _, model = str(source).partition(":")
    folder = source if isinstance(source, Path) else kept(str(source).replace(":", "-"))
    if (folder / "classifier.json").is_file():
        try:
            described = json.loads((folder / "classifier.json").read_text(encoding="utf-8"))
            if described["backbone"] not in BACKBONES or described["kind"] not in KINDS:
                raise ValueError("its backbone or kind is unknown")
            return {**described, "folder": folder}
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"classifier {str(source)!r} is damaged: {type(error).__name__}: {error}"
            ) from None
    model = model or "ViT-B-32"
    if isinstance(source, str) and name == "openclip-zero-shot" and model in clip.TOWERS:
        return {
            "backbone": "openclip",
            "kind": "zero-shot",
            "model": model,
            "pretrained": clip.TOWERS[model],
            "folder": folder,
        }
    if isinstance(source, str) and name in ("facenet-svm", "openclip-svm") and model in clip.TOWERS:
        raise ValueError(
            f"classifier {source!r} isn't trained on this machine. Train it with: python -m fairdemo train"
            f" classifier --backbone {name.removesuffix('-svm')} --data HuggingFaceM4/FairFace; or use"
            " openclip-zero-shot, which needs no training"
        )
    raise ValueError(
        f"classifier {str(source)!r} is unknown: it is no folder with a classifier.json, and none of"
        f" facenet-svm, openclip-svm, openclip-zero-shot (with :{' or :'.join(clip.TOWERS)})"
    )


def backbone_of(described: dict[str, Any], device: str = "cpu") -> Backbone:
    """What embeds faces for a classifier that `describe` knows."""
    folder = described["folder"]
    ways = {
        "embedded": lambda: embed.embedded(folder, device),
        "judge": lambda: embed.judge(folder, device),
        "facenet": lambda: embed.facenet(device),
        "openclip": lambda: embed.tower(described["model"], described["pretrained"], device),
    }
    return ways[described["backbone"]]()


def load(source: Path | str, device: str = "cpu") -> tuple[Backbone, Labeller]:
    """A classifier's backbone and what labels its embeddings (see `describe`)."""
    described = describe(source)
    backbone = backbone_of(described, device)
    if described["kind"] == "svm":
        heads = {a: skops_io().load(described["folder"] / f"{a}.skops", trusted=TRUSTED) for a in ATTRIBUTES}
        return backbone, lambda embeddings: probabilities(heads, embeddings)
    if described["kind"] == "linear":
        lines = load_file(described["folder"] / "heads.safetensors")
        return backbone, lambda embeddings: by_lines(lines, embeddings)
    chosen = clip.load(described["model"], described["pretrained"], device)
    words, scales = (
        class_words(chosen),
        {a: float(described.get("scales", {}).get(a, chosen.scale)) for a in ATTRIBUTES},
    )
    return backbone, lambda embeddings: by_words(words, scales, embeddings)
