"""Fair Diffusion: while it is drawn, an image is led towards its wanted group and away from the other
gender."""

from collections.abc import Sequence

from fairdemo.methods import words
from fairdemo.methods.method import Method
from fairdemo.models.semantic import Directions
from fairdemo.stats import wording
from fairdemo.stats.attributes import GENDERS
from fairdemo.stats.mix import BASELINE, Source

NAME = "fair diffusion"


def directions(cell: Sequence[str]) -> Directions:
    """Towards a person of the cell in words; away from the other gender, as published, if it has one."""
    towards = wording.written("a person", cell).removeprefix("a ").removeprefix("an ")
    others = [g for g in GENDERS if g not in cell] if set(GENDERS) & set(cell) else []
    return Directions((towards,), tuple(f"{wording.ADJECTIVES[g]} person" for g in others))


METHOD = Method(
    name=NAME,
    what=(
        "While an image is drawn, its noise is led towards words for the wanted race, gender and age, and"
        " away from the other gender. The prompt stays as it is, and each direction costs one more call."
    ),
    paper="Friedrich et al. 2023, arXiv 2302.10893; semantic guidance of arXiv 2301.12247",
    sources=[BASELINE, *(Source(guide=NAME, cell=cell) for cell in words.CELLS)],
    calls=2.0,
    guides={NAME: directions},
    version=2,
)
