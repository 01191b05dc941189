"""Labels faces: one support vector machine per attribute on face embeddings, with calibrated probabilities.

The chain of arXiv 2402.01002. Machines are scikit-learn's, stored with skops, so that opening them runs no code.
"""

from pathlib import Path

import numpy as np
import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from fairdemo.attributes import ATTRIBUTES

# The only types from outside skops' own list of safe ones that a stored head may contain.
TRUSTED = ["sklearn.calibration._CalibratedClassifier", "sklearn.calibration._SigmoidCalibration"]


def fit(embeddings: np.ndarray, labels: dict[str, np.ndarray]) -> dict[str, CalibratedClassifierCV]:
    """One machine with a radial basis kernel per attribute; Platt's calibration on three folds."""
    return {a: CalibratedClassifierCV(make_pipeline(StandardScaler(), SVC(C=3.0, gamma="scale")), method="sigmoid", cv=3, ensemble=False).fit(embeddings, labels[a])
            for a in ATTRIBUTES}


def save(heads: dict[str, CalibratedClassifierCV], folder: Path) -> None:
    for attribute, head in heads.items():
        skops.io.dump(head, folder / f"{attribute}.skops")


def load(folder: Path) -> dict[str, CalibratedClassifierCV]:
    return {a: skops.io.load(folder / f"{a}.skops", trusted=TRUSTED) for a in ATTRIBUTES}


def probabilities(heads: dict[str, CalibratedClassifierCV], embeddings: np.ndarray) -> list[dict[str, dict[str, float]]]:
    """For each embedding the probability of every class of every attribute."""
    tables = {a: (head.classes_, head.predict_proba(embeddings)) for a, head in heads.items()}
    return [{a: {str(c): float(p) for c, p in zip(classes, table[i])} for a, (classes, table) in tables.items()} for i in range(len(embeddings))]
