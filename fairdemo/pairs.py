"""What is drawn and read: faces, images, and pairs of images from the same noise."""

import hashlib
import io
import threading
from dataclasses import dataclass, field, replace
from functools import cached_property
from weakref import WeakValueDictionary

import numpy as np
from PIL import Image

from fairdemo.stats import measure
from fairdemo.stats.attributes import CELLS, band

SIDES = ("baseline", "debiased")
LARGEST_TILE = 512  # px; a wall of photographs at 1024 px would be megabytes
MAX_PIXELS = 5_000_000  # of an image that is opened from a file
FLAT = 3  # of 255: an image whose pixels differ by no more shows nothing


def limited(image: Image.Image) -> Image.Image:
    """An image from elsewhere in RGB; ValueError, before it is decoded, if it is larger than `MAX_PIXELS`."""
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(
            f"image of {image.width} x {image.height} pixels; at most {MAX_PIXELS:,} are allowed"
        )
    return image.convert("RGB")


@dataclass(frozen=True)
class Face:
    """A face as perceived by the classifier."""

    box: tuple[float, float, float, float]  # left, top, right, bottom in pixels
    race: str
    gender: str
    age: str
    probability: dict[str, dict[str, float]]  # of every class, by attribute
    detection: float  # the detector's confidence, 0 to 1
    embedding: np.ndarray = field(compare=False, repr=False)  # (d,), unit; cosine similarity is likeness

    def label(self, attribute: str) -> str:
        """Its class of an attribute."""
        return getattr(self, attribute)

    def banded(self, attribute: str) -> str:
        """Its class among `TARGET_CLASSES`: ages in bands."""
        return band(self.age) if attribute == "age" else self.label(attribute)

    def reading(self, attribute: str) -> str:
        """Its label with the runner-up where the classifier wavers (`measure.reading`)."""
        return measure.reading(self.probability[attribute])

    def enlarged(self, scale: float) -> "Face":
        """The same face in a picture `scale` times as large."""
        left, top, right, bottom = (scale * v for v in self.box)
        return replace(self, box=(left, top, right, bottom))

    @property
    def cell(self) -> int:
        """The place in `CELLS` of the face's race, gender and age band."""
        return CELLS.index((self.race, self.gender, band(self.age)))


@dataclass(frozen=True, eq=False)
class Tile:
    """An image for pages."""

    name: str  # follows from its content
    jpeg: bytes

    @classmethod
    def of(cls, jpeg: bytes) -> "Tile":
        """The one of this content: found by its name in `TILES` for as long as any image has it."""
        name = hashlib.blake2b(jpeg, digest_size=16).hexdigest()
        with NAMING:
            return TILES.setdefault(name, cls(name, jpeg))


TILES: WeakValueDictionary[str, Tile] = WeakValueDictionary()
NAMING = threading.Lock()


@dataclass(frozen=True)
class Drawn:
    """One image and its faces, largest first; the largest one counts, an empty list counts as "no face"."""

    image: Image.Image
    faces: list[Face]
    subject: str  # the profession (or "person") that clothes and background show, as read by a network
    look: np.ndarray = field(compare=False, repr=False)  # (d,), the unit vector behind `subject`
    dtype: str = ""  # the number format that it was computed in, as "bfloat16"; empty: unknown

    @cached_property
    def failed(self) -> bool:
        """Whether it shows nothing: black, or of one colour. What a model gives that is no picture is drawn
        black."""
        extremes = np.asarray(self.image.convert("RGB").getextrema())  # (3, 2): least and most by channel
        return bool((extremes[:, 1] - extremes[:, 0] <= FLAT).all())

    @cached_property
    def tile(self) -> Tile:
        """The image as a JPEG of at most `LARGEST_TILE` px, for pages."""
        shown = self.image.convert("RGB")
        shown.thumbnail((LARGEST_TILE, LARGEST_TILE), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        shown.save(buffer, "JPEG", quality=90)
        return Tile.of(buffer.getvalue())


@dataclass(frozen=True)
class Pair:
    """One slot's twins."""

    slot: int
    adapter: str  # the label of the source that drew the debiased image
    baseline: Drawn
    debiased: Drawn

    def side(self, name: str) -> Drawn:
        """The twin of a side."""
        return self.baseline if name == "baseline" else self.debiased


def largest_faces(pairs: list[Pair], side: str) -> list[Face]:
    """One side's largest faces, images without a face left out."""
    return [drawn.faces[0] for drawn in (pair.side(side) for pair in pairs) if drawn.faces]
