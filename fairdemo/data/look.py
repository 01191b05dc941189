"""How images look, as hashes that stay nearly the same when an image is scaled, cut a little or saved
again; so near-duplicates are found (ImageHash's perceptual hash)."""

from collections import defaultdict
from collections.abc import Sequence

import imagehash
import numpy as np
from PIL import Image

SIDE = 16  # of 256 bits: with 64, drawn people of one dress are taken for the same
NEAR = 10  # bits at most in which near-duplicates differ


def of(image: Image.Image) -> str:
    """An image's hash, as 64 hexadecimal digits."""
    return str(imagehash.phash(image, hash_size=SIDE))


def repeated(looks: Sequence[str | None]) -> list[bool]:
    """Which images nearly are one that stands before them; None is an image that isn't there."""
    places = [k for k, look in enumerate(looks) if look]
    if not places:
        return [False] * len(looks)
    bits = np.unpackbits(np.array([list(bytes.fromhex(looks[k] or "")) for k in places], np.uint8), axis=1)
    # Hashes that differ in at most NEAR bits agree in at least one of NEAR + 1 parts.
    parts = np.array_split(np.arange(bits.shape[1]), NEAR + 1)
    seen: list[dict[bytes, list[int]]] = [defaultdict(list) for _ in parts]
    found = [False] * len(looks)
    for row, place in enumerate(places):
        keys = [bits[row, part].tobytes() for part in parts]
        near = {other for own, key in zip(seen, keys) for other in own[key]}
        found[place] = bool(near) and bool((bits[sorted(near)] != bits[row]).sum(1).min() <= NEAR)
        if not found[place]:
            for own, key in zip(seen, keys):
                own[key].append(row)
    return found
