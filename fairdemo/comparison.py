"""A comparison: n pairs of images, baseline and debiased from the same noise, with the faces read in them.

Plain data, complete at every moment while it grows, saved as a folder (`comparison.json` and PNG files) and opened
again without any model.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from fairdemo import measure
from fairdemo.attributes import CLASSES
from fairdemo.targets import Target

SIDES = ("baseline", "debiased")
FORMAT = 1
MAX_JSON_BYTES = 50_000_000


@dataclass(frozen=True)
class Face:
    """A face as perceived by the classifier: `box` (left, top, right, bottom) in pixels, a class for each attribute, and
    the probability of every class (`probability[attribute][class]`); `detection` is the detector's confidence."""

    box: tuple[float, float, float, float]
    race: str
    gender: str
    age: str
    probability: dict[str, dict[str, float]]
    detection: float

    def label(self, attribute: str) -> str:
        return getattr(self, attribute)


@dataclass(frozen=True)
class Drawn:
    """One image and its faces, largest first; the largest one counts, an empty list counts as "no face"."""

    image: Image.Image
    faces: list[Face]


@dataclass(frozen=True)
class Pair:
    slot: int
    adapter: str
    baseline: Drawn
    debiased: Drawn


@dataclass
class Comparison:
    prompt: str
    profile: str
    seed: int
    n: int
    target: Target
    settings: dict[str, Any]
    notices: list[str] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)

    def counts(self, side: str) -> dict[str, Any]:
        """Counts of one side's largest faces per attribute and class, and "no_face"."""
        drawn = [getattr(pair, side) for pair in self.pairs]
        faces = [d.faces[0] for d in drawn if d.faces]
        counted: dict[str, Any] = {a: {c: sum(f.label(a) == c for f in faces) for c in classes} for a, classes in CLASSES.items()}
        counted["no_face"] = len(drawn) - len(faces)
        return counted

    def summary(self) -> dict[str, Any]:
        """Counts of both sides and bias(P) of both sides per attribute."""
        counted = {side: self.counts(side) for side in SIDES}
        adults = {a: classes[1:] if a == "age" else classes for a, classes in CLASSES.items()}
        return {**counted, "bias": {side: {a: round(measure.bias({c: counted[side][a][c] for c in classes}), 4) for a, classes in adults.items()}
                                    for side in SIDES}}

    def as_json(self) -> dict[str, Any]:
        """Everything but the pixels; images are named by the file that `save` gives them."""
        def drawn(pair: Pair, side: str) -> dict[str, Any]:
            faces = [{"box": [round(v, 1) for v in f.box], "race": f.race, "gender": f.gender, "age": f.age,
                      "probability": {a: {c: round(p, 4) for c, p in ps.items()} for a, ps in f.probability.items()},
                      "detection": round(f.detection, 4)} for f in getattr(pair, side).faces]
            return {"image": f"{side}/{pair.slot:04d}.png", "faces": faces}

        return {"format": FORMAT, "prompt": self.prompt, "profile": self.profile, "seed": self.seed, "n": self.n, "target": self.target,
                "settings": self.settings, "notices": self.notices, "labels": "as perceived by the classifier; images are generated",
                "pairs": [{"slot": p.slot, "adapter": p.adapter, **{side: drawn(p, side) for side in SIDES}} for p in self.pairs],
                "summary": self.summary()}

    def save(self, folder: Path) -> None:
        """Writes a new folder; FileExistsError if it exists already."""
        if folder.exists():
            raise FileExistsError(f"output folder {str(folder)!r} exists already; name one that doesn't")
        for side in SIDES:
            (folder / side).mkdir(parents=True)
            for pair in self.pairs:
                getattr(pair, side).image.save(folder / side / f"{pair.slot:04d}.png")
        (folder / "comparison.json").write_text(json.dumps(self.as_json(), indent=1))


def load(folder: Path) -> Comparison:
    """Opens a saved comparison; ValueError if the folder isn't one. Image paths are never read from the file."""
    path = folder / "comparison.json"
    if not path.is_file() or path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{str(folder)!r} holds no comparison.json (of at most {MAX_JSON_BYTES // 10**6} MB)")
    try:
        data = json.loads(path.read_text())
        if data["format"] != FORMAT:
            raise ValueError(f"format {data['format']!r}, expected {FORMAT}")

        def drawn(entry: dict[str, Any], side: str) -> Drawn:
            faces = [Face(tuple(f["box"]), f["race"], f["gender"], f["age"], f["probability"], f["detection"]) for f in entry[side]["faces"]]
            with Image.open(folder / side / f"{int(entry['slot']):04d}.png") as image:
                return Drawn(image.convert("RGB"), faces)

        pairs = [Pair(int(e["slot"]), e["adapter"], drawn(e, "baseline"), drawn(e, "debiased")) for e in data["pairs"]]
        return Comparison(data["prompt"], data["profile"], data["seed"], data["n"], data["target"], data["settings"], data["notices"], pairs)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ValueError(f"{str(path)!r} is damaged: {type(error).__name__}: {error}") from None
