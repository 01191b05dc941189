"""A comparison: n pairs of images, baseline and debiased from the same noise, with the faces read in them.

Plain data, complete at every moment while it grows, saved as a folder (`comparison.json`, `vectors.npz` and
PNG files) and opened again without any model.
"""

import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import TypeAdapter

import fairdemo
from fairdemo import measures
from fairdemo.measures import Measures
from fairdemo.pairs import SIDES, Drawn, Face, Pair, largest_faces, limited
from fairdemo.request import Dtype, Request, renamed
from fairdemo.stats import targets
from fairdemo.stats.attributes import CLASSES
from fairdemo.stats.confusions import Confusions, read_confusions
from fairdemo.stats.targets import Target

FORMAT = 4  # of comparison.json
OPENED = (3, FORMAT)  # formats that `load` knows
MAX_JSON_BYTES = 50_000_000
MAX_VECTOR_BYTES = 50_000_000  # 512 pairs of crowds take less


@dataclass(frozen=True)
class PlannedMix:
    """What a wall is planned to be drawn with."""

    weights: dict[str, float] = field(default_factory=dict)  # by source
    expected: Target = field(default_factory=dict)  # shares, by attribute and class; empty: not known
    short: Target = field(default_factory=dict)  # expected minus wanted where that can't be reached
    # Whether images are chosen to fit the target (allotted, or steered), so that counts describe such grids.
    controlled: bool = False


@dataclass
class Comparison:
    """What was asked for, and the pairs so far."""

    request: Request
    target: Target  # the wished attributes with all their classes
    mix: PlannedMix = field(default_factory=PlannedMix)
    confusions: Confusions = field(default_factory=Confusions)  # how the classifier reads each class
    notices: list[str] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    prompts: dict[str, str] = field(default_factory=dict)  # as sources saw it, by label, where it was changed
    _measured: tuple[list[Pair], Measures] | None = field(default=None, repr=False, compare=False)

    @property
    def prompt(self) -> str:
        """The prompt's text."""
        return self.request.prompt.text

    @property
    def dtype(self) -> str:
        """The number formats that its images were computed in, as "bfloat16, float32"; empty: unknown."""
        drawn = (pair.side(side).dtype for pair in self.pairs for side in SIDES)
        return ", ".join(sorted({name for one in drawn if one for name in one.split(", ")}))

    @property
    def subject(self) -> str | None:
        """The profession that the prompt names, if any."""
        return self.request.prompt.profession

    @property
    def measures(self) -> Measures:
        """What is measured on the pairs that stand now; computed once for each state."""
        now = list(self.pairs)
        if self._measured is None or [*map(id, self._measured[0])] != [*map(id, now)]:
            self._measured = now, measures.of(now, self.target, self.confusions, self.subject)
        return self._measured[1]

    def faces(self, side: str) -> list[Face]:
        """One side's largest faces, images without a face left out."""
        return largest_faces(self.pairs, side)

    def counts(self, side: str) -> dict[str, Any]:
        """Counts of one side's largest faces by attribute and class, and "no_face"."""
        return measures.counts_of(self.measures.side(side))

    def as_json(self) -> dict[str, Any]:
        """Everything but the pixels; images are named by the file that `save` gives them."""
        return {
            "format": FORMAT,
            "version": fairdemo.__version__,
            **self.request.as_json(),
            "subject": self.subject,
            "wanted": self.target,
            "mix": asdict(self.mix),
            **self.confusions.as_json(),
            "notices": self.notices,
            "prompts": self.prompts,
            "dtype": self.dtype,
            "labels": "as perceived by the classifier; images are generated",
            "pairs": [_pair_json(p) for p in self.pairs],
            "summary": self.measures.summary(),
            "measures": self.measures.as_json(),
        }

    def save(self, folder: Path) -> None:
        """Writes a new folder; FileExistsError if it exists already."""
        if folder.exists():
            raise FileExistsError(f"output folder {str(folder)!r} exists already; name one that doesn't")
        vectors = {}
        for side in SIDES:
            (folder / side).mkdir(parents=True)
            drawn = [pair.side(side) for pair in self.pairs]
            for pair, one in zip(self.pairs, drawn):
                # A quarter of the usual time for a seventh more bytes: a server's visitors wait for it.
                one.image.save(folder / side / f"{pair.slot:04d}.png", compress_level=1)
            vectors[f"{side} looks"] = np.array([d.look for d in drawn], np.float32)
            vectors[f"{side} faces"] = np.array([f.embedding for d in drawn for f in d.faces], np.float32)
        np.savez_compressed(folder / "vectors.npz", **vectors)
        (folder / "comparison.json").write_text(json.dumps(self.as_json(), indent=1), encoding="utf-8")


def _pair_json(pair: Pair) -> dict[str, Any]:
    sides = {}
    for side in SIDES:
        drawn = pair.side(side)
        image = f"{side}/{pair.slot:04d}.png"
        sides[side] = {
            "image": image,
            "subject": drawn.subject,
            "faces": [_face_json(f) for f in drawn.faces],
        }
    return {"slot": pair.slot, "adapter": pair.adapter, **sides}


def _face_json(face: Face) -> dict[str, Any]:
    return {
        "box": [round(v, 1) for v in face.box],
        **{a: face.label(a) for a in CLASSES},
        "probability": {a: {c: round(p, 4) for c, p in ps.items()} for a, ps in face.probability.items()},
        "detection": round(face.detection, 4),
    }


def load(folder: Path) -> Comparison:
    """Opens a saved comparison; ValueError if the folder isn't one. Image paths are never read from the
    file."""
    path = folder / "comparison.json"
    if not path.is_file() or path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(
            f"{str(folder)!r} holds no comparison.json (of at most {MAX_JSON_BYTES // 10**6} MB)"
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] not in OPENED:
            raise ValueError(f"format {data['format']!r}, expected {' or '.join(map(str, OPENED))}")
        request, target = _asked(data)
        slots = [int(e["slot"]) for e in data["pairs"]]
        if not set(slots) <= set(range(request.n)) or len(set(slots)) < len(slots):
            raise ValueError(f"{len(slots)} pairs; expected each of {request.n} slots once at most")
        vectors, dtype = _vectors(folder / "vectors.npz"), check_dtype(data.get("dtype", ""))
        pairs = [
            Pair(
                int(e["slot"]),
                str(e["adapter"]),
                *(_drawn(e, side, folder, vectors, dtype) for side in SIDES),
            )
            for e in data["pairs"]
        ]
        shares = (dict(data["mix"].get(k, {})) for k in ("weights", "expected", "short"))
        mix = PlannedMix(*shares, controlled=data["mix"].get("controlled") is True)
        notices = [str(n) for n in data["notices"]]
        seen = {str(k): str(v) for k, v in dict(data.get("prompts", {})).items()}
        return Comparison(request, target, mix, read_confusions(data), notices, pairs, seen)
    except (
        KeyError,
        TypeError,
        AttributeError,
        ValueError,
        OSError,
        OverflowError,
        MemoryError,
        RuntimeError,  # a vector is missing where a face needs one
        Image.DecompressionBombError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ValueError(f"{str(path)!r} is damaged: {type(error).__name__}: {error}") from None


def _vectors(path: Path) -> dict[str, Iterator]:
    """What is stored of looks and faces, in order; ValueError if it unpacks to more than a comparison has."""
    with zipfile.ZipFile(path) as parts:
        if sum(part.file_size for part in parts.infolist()) > MAX_VECTOR_BYTES:
            raise ValueError(f"its vectors unpack to more than {MAX_VECTOR_BYTES // 10**6} MB")
    with np.load(path, allow_pickle=False) as stored:
        names = {f"{side} {what}" for side in SIDES for what in ("looks", "faces")}
        return {name: iter(stored[name]) for name in names & set(stored.files)}


def _asked(data: dict[str, Any]) -> tuple[Request, Target]:
    """The request and the completed target of a saved comparison; in format 3 the completed one is the
    request's as well, and settings lie apart."""
    keys = [k for k in Request.model_fields if k in data]
    settings = renamed(data["settings"]) if data["format"] == 3 else {}
    request = Request.checked(**{k: data[k] for k in keys}, **settings)
    return request, targets.check(data["target" if data["format"] == 3 else "wanted"])


def check_dtype(names: Any) -> str:
    """The names of number formats, as `Comparison.dtype` has them; ValueError if one isn't known."""
    for name in str(names).split(", "):
        TypeAdapter(Dtype).validate_python(name)
    return str(names)


def _drawn(entry: dict[str, Any], side: str, folder: Path, vectors: dict[str, Iterator], dtype: str) -> Drawn:
    faces = [_face(f, next(vectors[f"{side} faces"])) for f in entry[side]["faces"]]
    with Image.open(folder / side / f"{int(entry['slot']):04d}.png", formats=["PNG"]) as image:
        look = next(vectors[f"{side} looks"])
        return Drawn(limited(image), faces, entry[side]["subject"], look, dtype)


def _face(entry: dict[str, Any], embedding: np.ndarray) -> Face:
    """A face from a file that anybody may have written: every label is a class, every probability a
    number."""
    left, top, right, bottom = map(float, entry["box"])
    probability = {
        a: {c: float(p) for c, p in entry["probability"][a].items() if c in CLASSES[a]} for a in CLASSES
    }
    strange = [entry[a] for a in CLASSES if entry[a] not in probability[a]]
    if strange:
        raise ValueError(f"label {str(strange[0])[:40]!r} is no class")
    return Face(
        (left, top, right, bottom),
        entry["race"],
        entry["gender"],
        entry["age"],
        probability,
        float(entry["detection"]),
        embedding,
    )
