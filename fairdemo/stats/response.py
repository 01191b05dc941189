"""Responses: how the images of each source are classified, counted once per profile (`python -m fairdemo
calibrate`) and kept beside the catalog. An adapter's name is a promise; its response is what it does."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fairdemo.stats import prompts
from fairdemo.stats.attributes import CELLS, TARGET_CLASSES, band
from fairdemo.stats.measure import interval, label, unmix
from fairdemo.stats.mix import SHAPE, Source
from fairdemo.stats.prompts import Prompt

# How many images the adapters' word, or the baseline over all prompts, is worth against counted ones.
PRIOR = 2.0


def fingerprint(digests: Iterable[str], *settings: object) -> str:
    """A short hash of weights' hashes, in any order, and of default settings."""
    return hashlib.sha256("\n".join([repr(settings), *sorted(digests)]).encode()).hexdigest()[:16]


@dataclass
class Counts:
    """Counted cells: `sources[label]` (36,) over all prompts, `baseline[prompt]` (36,) for the baseline
    prompt by prompt; faces that weren't found in `no_face[label]`, prompts that were counted in
    `done[label]`. `weights` is the fingerprint of what drew and read them."""

    weights: str
    sources: dict[str, np.ndarray] = field(default_factory=dict)
    baseline: dict[str, np.ndarray] = field(default_factory=dict)
    no_face: dict[str, int] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)

    def add(self, prompt: str, label: str, cells: list[int | None]) -> None:
        """Counts the cells (indices into `CELLS`, None for no face) of images that a source drew for a
        prompt."""
        row = np.bincount([c for c in cells if c is not None], minlength=len(CELLS))
        self.sources[label] = self.sources.get(label, np.zeros(len(CELLS), int)) + row
        self.no_face[label] = self.no_face.get(label, 0) + cells.count(None)
        self.done[label] = self.done.get(label, 0) + 1
        if label == "baseline":
            self.baseline[prompt] = row

    def save(self, path: Path) -> None:
        """Writes the counts, whole or not at all."""
        rows = {
            k: {name: v.tolist() for name, v in getattr(self, k).items()} for k in ("sources", "baseline")
        }
        cells = [" ".join(c) for c in CELLS]
        text = json.dumps(
            {"weights": self.weights, "cells": cells, **rows, "no_face": self.no_face, "done": self.done}
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(text.replace("], ", "],\n") + "\n", encoding="utf-8")
        part.rename(path)


def load(path: Path) -> Counts:
    """Counts from a file; ValueError if it is damaged."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["cells"] != [" ".join(c) for c in CELLS]:
            raise ValueError("its cells are others")
        sources, of_baseline = (
            {k: np.array(v, int) for k, v in data[name].items()} for name in ("sources", "baseline")
        )
        done = data.get("done", dict.fromkeys(sources, len(of_baseline)))  # earlier files counted all alike
        return Counts(data["weights"], sources, of_baseline, data["no_face"], done)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"response file {path.name} is damaged ({error}); make it again with: python -m fairdemo"
            " calibrate"
        ) from None


def nominal(source: Source, reference: np.ndarray) -> np.ndarray:
    """A source taken at its word (36,): its classes for sure, the rest as in `reference` (36,)."""
    agrees = np.array(
        [all(source.named(a) in (None, c) for a, c in zip(TARGET_CLASSES, cell)) for cell in CELLS]
    )
    row = agrees * (reference + 1e-6)
    return row / row.sum()


def baseline(counts: Counts | None, prompt: Prompt, seen: np.ndarray | None = None) -> np.ndarray:
    """What the baseline is expected to draw (36,): over all calibration prompts, then for the ones whose
    profession the prompt names, then as `seen` (36,) counts so far. Classes that the prompt names itself
    are taken as given. Without counts: every cell alike."""
    row = np.full(len(CELLS), 1 / len(CELLS))
    if counts is not None and counts.baseline:
        everything = np.sum(list(counts.baseline.values()), 0)
        row = (everything + PRIOR * row) / (everything.sum() + PRIOR)
        same = [v for p, v in counts.baseline.items() if prompts.profession(p) == prompt.profession]
        if len(same) == 1:
            row = (same[0] + PRIOR * row) / (same[0].sum() + PRIOR)
    row = nominal(Source((), tuple(prompt.named.values())), row) if prompt.named else row
    return row if seen is None else (seen + 3 * PRIOR * row) / (seen.sum() + 3 * PRIOR)


def table(counts: Counts | None, choice: list[Source], reference: np.ndarray) -> np.ndarray:
    """The response (S, 36) of every source in `choice`; `reference` (36,) is the baseline's row and fills
    in what was never counted."""
    rows = []
    for source in choice:
        word = nominal(source, reference)
        seen = (
            np.zeros(len(CELLS)) if counts is None else counts.sources.get(source.label, np.zeros(len(CELLS)))
        )
        rows.append(reference if source.is_baseline else (seen + PRIOR * word) / (seen.sum() + PRIOR))
    return np.array(rows)


def corrected(counts: np.ndarray, confusion: Mapping[str, Mapping[str, Mapping[str, float]]]) -> np.ndarray:
    """What a source's images are estimated to be, (36,), from what they are classified as: the confusions
    of race, gender and age (counts by class and reading) taken out together, as if the classifier erred in
    each attribute independently."""
    merged = []
    for attribute, classes in TARGET_CLASSES.items():
        square = np.zeros((len(classes),) * 2)
        for true, readings in confusion[attribute].items():
            for read, k in readings.items():
                square[
                    tuple(classes.index(band(c) if attribute == "age" else c) for c in (true, label(read)))
                ] += k
        merged.append(square / square.sum(1, keepdims=True))
    whole = merged[0]
    for one in merged[1:]:
        whole = np.kron(whole, one)
    assert whole.shape == (np.prod(SHAPE),) * 2
    return unmix(counts, whole)


def report(
    counts: Counts, choice: list[Source], confusion: Mapping[str, Mapping[str, Mapping[str, float]]]
) -> list[str]:
    """One line a source: faces, images without one, how often they are classified as what the source stands
    for (with interval), and the estimate of how often they are that, where the classifier's confusion is
    known."""
    lines = [f"{'source':32}{'faces':>7}{'no face':>9}   classified as its name says    corrected"]
    for source in choice:
        row = counts.sources[source.label]
        hits = np.array(
            [all(source.named(a) in (None, c) for a, c in zip(TARGET_CLASSES, cell)) for cell in CELLS]
        )
        if not source.is_baseline:
            low, high = interval(int(row[hits].sum()), int(row.sum()))
            true = f"{corrected(row, confusion)[hits].sum():.0%}" if confusion else ""
            lines.append(
                f"{source.label:32}{row.sum():>7}{counts.no_face[source.label]:>9}  "
                f" {row[hits].sum() / max(1, row.sum()):>6.0%} ({low:.0%} to {high:.0%}){true:>19}"
            )
    return lines
