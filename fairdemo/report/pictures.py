"""Images inside HTML."""

import base64
import io
from functools import lru_cache

from markupsafe import Markup
from PIL import Image

LARGEST = 512  # px; a wall of photographs at 1024 px would be megabytes with every update


@lru_cache(600)
def _encoded(pixels: bytes, size: tuple[int, int]) -> Markup:
    buffer = io.BytesIO()
    Image.frombytes("RGB", size, pixels).save(buffer, "WEBP", quality=90)
    return Markup("data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode())


def data_uri(image: Image.Image) -> Markup:
    """The image for a page, at most `LARGEST` px wide."""
    if image.width > LARGEST:
        smaller = (LARGEST, round(image.height * LARGEST / image.width))
        image = image.resize(smaller, Image.Resampling.LANCZOS)
    return _encoded(image.convert("RGB").tobytes(), image.size)
