"""One image of a captioned set, and how bytes from elsewhere become it."""

import io
from dataclasses import dataclass

from PIL import Image

from fairdemo.readers.labelled import MAX_PIXELS, upright

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
SIDE = 1024  # px; faces are read at less
DAMAGED, TOO_LARGE = "damaged", "too many pixels"  # why there is no image


@dataclass(frozen=True)
class Item:
    """An image with what was said of it; without an image `failed` says why."""

    caption: str
    image: Image.Image | None
    failed: str = ""


def decoded(content: bytes) -> Image.Image | str:
    """An image from bytes, upright, in RGB and at most `SIDE` px wide and high; else why there is none."""
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        if image.width * image.height > MAX_PIXELS:
            return TOO_LARGE
        image.draft("RGB", (SIDE, SIDE))  # a JPEG's own reduction, before its pixels are there
        image = upright(image)
        image.thumbnail((SIDE, SIDE))
        return image
    except Image.DecompressionBombError:
        return TOO_LARGE
    except Exception:  # Pillow's decoders raise many kinds on damaged files
        return DAMAGED


def item(caption: str, content: bytes | str) -> Item:
    """An item from an image's bytes, or from why there are none."""
    found = content if isinstance(content, str) else decoded(content)
    return Item(caption, None, found) if isinstance(found, str) else Item(caption, found)
