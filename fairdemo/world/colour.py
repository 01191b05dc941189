"""Colour conversions of the drawn world: sRGB, linear RGB, CIELAB (D65), and the film curve of the camera."""

import numpy as np
from PIL import Image

_XYZ_TO_RGB = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])


def linear(srgb) -> np.ndarray:
    """sRGB 0-255 to linear RGB 0-1 (IEC 61966-2-1)."""
    c = np.asarray(srgb, float) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab_to_linear(lightness: float, a: float, b: float) -> np.ndarray:
    """CIELAB (D65, 2 degrees) to linear RGB, clipped to [0.005, 1]."""
    fy = (lightness + 16) / 116
    f = np.array([fy + a / 500, fy, fy - b / 200])
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * _WHITE
    return np.clip(_XYZ_TO_RGB @ xyz, 0.005, 1)


def encode(image: np.ndarray, size: int) -> np.ndarray:
    """Linear RGB (n, n, 3) through a gentle film curve to uint8 sRGB (size, size, 3)."""
    x = np.maximum(image, 0)
    x = x * (1 + 0.12 * x) / (1 + 0.28 * x) * 1.06
    grey = (x @ np.array([0.25, 0.62, 0.13]))[..., None]
    x = np.clip(grey + (x - grey) * 1.10, 0, 1)
    x = np.where(x <= 0.0031308, x * 12.92, 1.055 * x ** (1 / 2.4) - 0.055)
    x = np.clip(x + 0.10 * (x * x * (3 - 2 * x) - x), 0, 1)
    drawn = Image.fromarray((x * 255 + 0.5).astype(np.uint8))
    return np.asarray(
        drawn
        if drawn.width == size
        else drawn.resize(
            (size, size), Image.Resampling.BOX if drawn.width % size == 0 else Image.Resampling.LANCZOS
        )
    )
