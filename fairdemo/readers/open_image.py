"""One way to open an image from elsewhere: as it is meant to be seen, within one limit."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, features

MAX_PIXELS = 100_000_000
# AVIF where this Pillow can read it.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", *(("AVIF",) if features.check("avif") else ()))
# Of files in folders and tar files that are taken for images.
SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")


def open_image(source: Path | bytes, longest: int = 0) -> Image.Image:
    """An image file or its bytes: upright, in RGB, the first of several frames; brought down to `longest`
    pixels a side, unless that is 0. ValueError in one line if it is damaged, in another format, or has more
    than `MAX_PIXELS`."""
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(file, formats=FORMATS) as image:
            check_size(image)
            if longest:
                image.draft("RGB", (longest, longest))  # a JPEG's own reduction, before its pixels are there
            found = turn_upright(image)
    except Image.UnidentifiedImageError:
        raise ValueError(f"it is no image in {', '.join(FORMATS)}, or is damaged") from None
    except Image.DecompressionBombError:
        raise ValueError(f"it has more than {MAX_PIXELS:,} pixels") from None
    except ValueError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds on damaged files
        raise ValueError(
            f"it is damaged: {str(error).splitlines()[0] if str(error) else 'no image'}"
        ) from None
    if longest:
        found.thumbnail((longest, longest))
    return found


def check_size(image: Image.Image) -> None:
    """ValueError, before it is decoded, if an image has more than `MAX_PIXELS`."""
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"it has {image.width} x {image.height} pixels; at most {MAX_PIXELS:,} are allowed")


def turn_upright(image: Image.Image) -> Image.Image:
    """The image as it is meant to be seen, in RGB: its orientation flag followed, transparency on grey,
    sixteen bits brought to eight, any colour mode (CMYK, palette, grey)."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # Pillow's own conversion cuts what is above 255
        wide = np.asarray(image, np.float64)
        image = Image.fromarray(
            np.clip(wide / (257 if wide.max(initial=0) > 255 else 1), 0, 255).astype(np.uint8)
        )
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        grey = Image.new("RGBA", image.size, (128, 128, 128, 255))
        return Image.alpha_composite(grey, image).convert("RGB")
    return image.convert("RGB")
