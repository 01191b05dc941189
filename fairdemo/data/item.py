"""One image of a captioned set, and how bytes from elsewhere become it."""

from dataclasses import dataclass

from PIL import Image

from fairdemo.readers.open_image import open_image

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
        return open_image(content, SIDE)
    except ValueError as error:
        return TOO_LARGE if "pixels" in str(error) else DAMAGED


def item(caption: str, content: bytes | str) -> Item:
    """An item from an image's bytes, or from why there are none."""
    found = content if isinstance(content, str) else decoded(content)
    return Item(caption, None, found) if isinstance(found, str) else Item(caption, found)
