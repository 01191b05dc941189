"""A comparison: n pairs of images, baseline and debiased from the same noise, with the faces read in them.

Plain data, complete at every moment while it grows, saved as a folder (`comparison.json`, `vectors.npz` and PNG files) and
opened again without any model.
"""

import json
import math
import zipfile
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fairdemo import measure
from fairdemo.attributes import AGE_BANDS, CELLS, CLASSES, RACES, band
from fairdemo.prompts import PROFESSIONS
from fairdemo.targets import Target, check
from fairdemo.workforce import OCCUPATIONS

SIDES = ("baseline", "debiased")
FORMAT = 3
MAX_JSON_BYTES = 50_000_000
MAX_PIXELS = 5_000_000


@dataclass(frozen=True)
class Face:
    """A face as perceived by the classifier: `box` (left, top, right, bottom) in pixels, a class for each attribute, and
    the probability of every class (`probability[attribute][class]`); `detection` is the detector's confidence and `embedding` (d,) the
    unit vector whose cosine similarity measures likeness."""

    box: tuple[float, float, float, float]
    race: str
    gender: str
    age: str
    probability: dict[str, dict[str, float]]
    detection: float
    embedding: np.ndarray = field(compare=False, repr=False)

    def label(self, attribute: str) -> str:
        return getattr(self, attribute)

    def reading(self, attribute: str) -> str:
        """Its label with the runner-up where the classifier wavers (`measure.reading`)."""
        return measure.reading(self.probability[attribute])

    @property
    def cell(self) -> int:
        """The place in `CELLS` of the face's race, gender and age band."""
        return CELLS.index((self.race, self.gender, band(self.age)))


@dataclass(frozen=True)
class Drawn:
    """One image and its faces, largest first; the largest one counts, an empty list counts as "no face".

    `subject` is the profession (or "person") that the scene shows, as read by a classifier of clothes and background, and `look` (d,) the
    unit vector behind it.
    """

    image: Image.Image
    faces: list[Face]
    subject: str
    look: np.ndarray = field(compare=False, repr=False)


@dataclass(frozen=True)
class Pair:
    slot: int
    adapter: str
    baseline: Drawn
    debiased: Drawn


@dataclass
class Comparison:
    """`target` holds the wished attributes with all their classes; `mix` is the planned mix: "weights" by source, "expected" and "short" (what
    can't be reached) by attribute and class. `confusion[attribute][class][reading]` counts how faces of known class were read;
    attributes that it lacks can't be corrected. `subject` is the profession that the prompt names, if any."""

    prompt: str
    profile: str
    seed: int
    n: int
    target: Target
    settings: dict[str, Any]
    mix: dict[str, Any] = field(default_factory=dict)
    confusion: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    subject: str | None = None
    notices: list[str] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)

    def faces(self, side: str) -> list[Face]:
        """One side's largest faces, images without a face left out."""
        return [d.faces[0] for d in (getattr(pair, side) for pair in self.pairs) if d.faces]

    def counts(self, side: str) -> dict[str, Any]:
        """Counts of one side's largest faces per attribute and class, and "no_face"."""
        faces = self.faces(side)
        counted: dict[str, Any] = {
            a: {c: sum(f.label(a) == c for f in faces) for c in classes} for a, classes in CLASSES.items()
        }
        counted["no_face"] = len(self.pairs) - len(faces)
        return counted

    def summary(self) -> dict[str, Any]:
        """Counts of both sides and bias(P) of both sides per attribute."""
        counted = {side: self.counts(side) for side in SIDES}
        adults = {a: classes[1:] if a == "age" else classes for a, classes in CLASSES.items()}
        return {
            **counted,
            "bias": {
                side: {
                    a: round(measure.bias({c: counted[side][a][c] for c in classes}), 4)
                    for a, classes in adults.items()
                }
                for side in SIDES
            },
        }

    def as_json(self) -> dict[str, Any]:
        """Everything but the pixels; images are named by the file that `save` gives them."""

        def drawn(pair: Pair, side: str) -> dict[str, Any]:
            faces = [
                {
                    "box": [round(v, 1) for v in f.box],
                    "race": f.race,
                    "gender": f.gender,
                    "age": f.age,
                    "probability": {
                        a: {c: round(p, 4) for c, p in ps.items()} for a, ps in f.probability.items()
                    },
                    "detection": round(f.detection, 4),
                }
                for f in getattr(pair, side).faces
            ]
            return {
                "image": f"{side}/{pair.slot:04d}.png",
                "subject": getattr(pair, side).subject,
                "faces": faces,
            }

        return {
            "format": FORMAT,
            "prompt": self.prompt,
            "subject": self.subject,
            "profile": self.profile,
            "seed": self.seed,
            "n": self.n,
            "target": self.target,
            "settings": self.settings,
            "mix": self.mix,
            "confusion": self.confusion,
            "notices": self.notices,
            "labels": "as perceived by the classifier; images are generated",
            "pairs": [
                {"slot": p.slot, "adapter": p.adapter, **{side: drawn(p, side) for side in SIDES}}
                for p in self.pairs
            ],
            "summary": self.summary(),
            "measures": measures(self),
        }

    def save(self, folder: Path) -> None:
        """Writes a new folder; FileExistsError if it exists already."""
        if folder.exists():
            raise FileExistsError(f"output folder {str(folder)!r} exists already; name one that doesn't")
        for side in SIDES:
            (folder / side).mkdir(parents=True)
            for pair in self.pairs:
                getattr(pair, side).image.save(folder / side / f"{pair.slot:04d}.png")
        drawn = {side: [getattr(pair, side) for pair in self.pairs] for side in SIDES}
        np.savez_compressed(
            folder / "vectors.npz",
            **{f"{side} looks": np.array([d.look for d in ds], np.float32) for side, ds in drawn.items()},
            **{
                f"{side} faces": np.array([f.embedding for d in ds for f in d.faces], np.float32)
                for side, ds in drawn.items()
            },
        )
        (folder / "comparison.json").write_text(json.dumps(self.as_json(), indent=1))


def load(folder: Path) -> Comparison:
    """Opens a saved comparison; ValueError if the folder isn't one. Image paths are never read from the file."""
    path = folder / "comparison.json"
    if not path.is_file() or path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(
            f"{str(folder)!r} holds no comparison.json (of at most {MAX_JSON_BYTES // 10**6} MB)"
        )
    try:
        data = json.loads(path.read_text())
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']!r}, expected {FORMAT}")

        with np.load(folder / "vectors.npz", allow_pickle=False) as stored:
            vectors = {name: iter(stored[name]) for name in stored.files}

        def drawn(entry: dict[str, Any], side: str) -> Drawn:
            faces = [_face(f, next(vectors[f"{side} faces"])) for f in entry[side]["faces"]]
            with Image.open(folder / side / f"{int(entry['slot']):04d}.png", formats=["PNG"]) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(
                        f"image of {image.width} x {image.height} pixels; at most {MAX_PIXELS:,} are allowed"
                    )
                return Drawn(
                    image.convert("RGB"), faces, entry[side]["subject"], next(vectors[f"{side} looks"])
                )

        pairs = [
            Pair(int(e["slot"]), e["adapter"], drawn(e, "baseline"), drawn(e, "debiased"))
            for e in data["pairs"]
        ]
        target = {
            str(a): {str(c): float(v) for c, v in shares.items()} for a, shares in data["target"].items()
        }
        check(target)
        return Comparison(
            str(data["prompt"]),
            str(data["profile"]),
            int(data["seed"]),
            int(data["n"]),
            target,
            dict(data["settings"]),
            dict(data["mix"]),
            {
                a: {
                    c: {str(r): int(k) for r, k in readings.items()}
                    for c, readings in rows.items()
                    if c in CLASSES[a]
                }
                for a, rows in data["confusion"].items()
                if a in CLASSES
            },
            data["subject"] if data["subject"] in PROFESSIONS else None,
            [str(n) for n in data["notices"]],
            pairs,
        )
    except (
        KeyError,
        TypeError,
        AttributeError,
        ValueError,
        OSError,
        StopIteration,
        zipfile.BadZipFile,
    ) as error:
        raise ValueError(f"{str(path)!r} is damaged: {type(error).__name__}: {error}") from None


def _face(entry: dict[str, Any], embedding: np.ndarray) -> Face:
    """A face from a file that anybody may have written: every label is a class, every probability a number."""
    left, top, right, bottom = map(float, entry["box"])
    probability = {
        a: {c: float(p) for c, p in entry["probability"][a].items() if c in CLASSES[a]} for a in CLASSES
    }
    strange = [entry[a] for a in CLASSES if entry[a] not in probability[a]]
    if strange:
        raise ValueError(f"label {str(strange[0])[:40]!r} is no class")
    return Face(
        (left, top, right, bottom),
        *(entry[a] for a in CLASSES),
        probability,
        float(entry["detection"]),
        embedding,
    )


def _number(value: float) -> float | None:
    """Rounded for a file; nan, which JSON lacks, becomes null."""
    return None if math.isnan(value) else round(float(value), 4)


def _estimate(estimate: measure.Estimate) -> dict[str, Any]:
    return {
        "value": _number(estimate.value),
        "interval": [_number(v) for v in estimate.interval],
        "n": estimate.n,
    }


def attribute_measures(comparison: Comparison, side: str, attribute: str) -> dict[str, Any]:
    """One side's shares of an attribute's classes: count, share, interval, simultaneous interval, and, where the classifier's confusion is known,
    corrected share with interval; bias(P); and distances to the target where there is one (ages in bands)."""
    classes = CLASSES[attribute]
    counts = comparison.counts(side)[attribute]
    n, together = sum(counts.values()), measure.simultaneous(counts)
    rows = {
        c: {
            "count": counts[c],
            "share": _number(measure.proportions(counts)[c]),
            "interval": [_number(v) for v in measure.interval(counts[c], n)],
            "simultaneous": [_number(v) for v in together[c]],
        }
        for c in classes
    }
    if attribute in comparison.confusion and n:
        fixed = measure.correct(
            Counter(f.reading(attribute) for f in comparison.faces(side)), comparison.confusion[attribute]
        )
        for (
            c
        ) in fixed.shares:  # classes that nobody showed the classifier (children, here) can't be corrected
            rows[c] |= {
                "corrected": _number(fixed.shares[c]),
                "corrected_interval": [_number(v) for v in fixed.intervals[c]],
            }
    result = {"n": n, "classes": rows, "bias": comparison.summary()["bias"][side][attribute]}
    wanted = comparison.target.get(attribute)
    if wanted and n:
        seen = (
            {b: sum(counts[g] for g in groups) for b, groups in AGE_BANDS.items()}
            if attribute == "age"
            else counts
        )
        result["to_target"] = {
            "total_variation": _number(measure.total_variation(seen, wanted)),
            "jensen_shannon": _number(measure.jensen_shannon(seen, wanted)),
            "discrepancy": _number(measure.discrepancy(seen, wanted)),
            "p": _number(measure.goodness_of_fit(seen, wanted)),
        }
    return result


def beyond_workforce(comparison: Comparison, side: str) -> dict[str, Any] | None:
    """How far the share of women lies beyond the prompt's profession's US workforce, away from one half (`measure.amplification`)."""
    counts = comparison.counts(side)["gender"]
    if comparison.subject not in OCCUPATIONS or not sum(counts.values()):
        return None
    reference = OCCUPATIONS[comparison.subject].women / 100
    beyond = measure.amplification(counts["Female"], sum(counts.values()), reference)
    return {
        "reference": reference,
        "points": _number(beyond.points),
        "interval": [_number(v) for v in beyond.interval],
    }


def measures(comparison: Comparison) -> dict[str, Any]:
    """Everything that is measured on a comparison, as plain numbers: per side and attribute (`attribute_measures`), bias(P) of intersections,
    likeness of faces within each race, distinct faces, the prompt's subject kept; and what changed between twins."""
    result: dict[str, Any] = {}
    for side in SIDES:
        faces = comparison.faces(side)
        joint = Counter((f.race, f.gender) for f in faces)
        whole = Counter(CELLS[f.cell] for f in faces)
        drawn = [getattr(p, side) for p in comparison.pairs]
        kept = [d.subject == comparison.subject for d in drawn]
        result[side] = {
            "no_face": len(drawn) - len(faces),
            **{a: attribute_measures(comparison, side, a) for a in CLASSES},
            "bias_of_intersections": {
                "race and gender": _number(measure.bias({c[:2]: joint[c[:2]] for c in CELLS})),
                "race, gender and age band": _number(measure.bias({c: whole[c] for c in CELLS})),
            },
            "likeness": {
                r: _estimate(measure.likeness(np.array([f.embedding for f in faces if f.race == r], float)))
                for r in RACES
            },
            "distinct_faces": _number(measure.distinct_faces(np.array([f.embedding for f in faces], float))),
            "women_beyond_workforce": beyond_workforce(comparison, side),
            "subject_kept": {
                "count": sum(kept),
                "n": len(kept),
                "interval": [_number(v) for v in measure.interval(sum(kept), len(kept))],
            }
            if comparison.subject
            else None,
        }
    both = [
        (p.baseline.faces[0], p.debiased.faces[0])
        for p in comparison.pairs
        if p.baseline.faces and p.debiased.faces
    ]
    result["twins"] = {
        "n": len(both),
        "same_look": _estimate(
            measure.mean([float(np.dot(p.baseline.look, p.debiased.look)) for p in comparison.pairs])
        ),
    }
    for attribute, classes in CLASSES.items():
        before, after = ([pair[k].label(attribute) for pair in both] for k in (0, 1))
        if both:
            moves = {
                c: asdict(measure.change([v == c for v in before], [v == c for v in after])) for c in classes
            }
            result["twins"][attribute] = {
                "p": _number(measure.parity(before, after)),
                "change": {
                    c: {
                        "difference": _number(m["difference"]),
                        "interval": [_number(v) for v in m["interval"]],
                        "p": _number(m["p"]),
                    }
                    for c, m in moves.items()
                },
            }
    return result
