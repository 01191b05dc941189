"""The walls that the app opens on: three prompts of the embedded model, drawn through every single adapter,
so that a wall stands and its sliders work before any model is loaded."""

from fairdemo.places import SHIPPED
from fairdemo.stats.prompts import photo_of
from fairdemo.studio import packs
from fairdemo.studio.live import Live
from fairdemo.studio.packs import Progress, silent

FOLDER = SHIPPED / "assets" / "walls" / "embedded"
PROMPTS = tuple(map(photo_of, ("doctor", "nurse", "CEO")))
PAIRS = 16
QUALITY = 62  # of the files: all of them together stay under 5 MB


def make(progress: Progress = silent) -> None:
    """Draws the pack into `FOLDER`; ValueError if another one lies there."""
    packs.make(Live("embedded"), FOLDER, packs.Order("walls", PROMPTS, PAIRS, QUALITY), progress)
