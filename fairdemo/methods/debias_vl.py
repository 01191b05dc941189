"""Debias-VL: the prompt's embedding through a calibration matrix."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from fairdemo.methods import texts
from fairdemo.methods.fairimagen import FITTED_ON
from fairdemo.methods.method import Method
from fairdemo.stats import wording
from fairdemo.stats.attributes import GENDERS
from fairdemo.stats.mix import Source
from fairdemo.stats.prompts import photo_of

if TYPE_CHECKING:
    from fairdemo.models.generating import Edit, PairedGenerator

NAME = "debias-vl"
STRENGTH = 500.0  # lambda, the authors' for generation


def fit_calibration(first: torch.Tensor, second: torch.Tensor, strength: float = STRENGTH) -> torch.Tensor:
    """The calibration matrix (d, d) of arXiv 2302.00070, equation 6, as its authors' code for generation has
    it: the inverse of strength * M + I, where M is the mean of (a - b)(a - b)^T over pairs a, b of unit
    vectors, `first` and `second` (n, d), that say the same but for gender."""
    a, b = (F.normalize(x.double(), dim=-1) for x in (first, second))
    gap = a - b
    return torch.linalg.inv(strength / len(gap) * gap.T @ gap + torch.eye(gap.shape[1])).float()


def fit_edit(generator: "PairedGenerator") -> "Edit":
    """A matrix for each encoder, fitted where a prompt ends, and one for the pooled vector."""
    prompts = [[wording.written(photo_of(p), (g,)) for p in FITTED_ON] for g in GENDERS]
    pairs: list[Mapping[str, torch.Tensor]] = [texts.encoded(generator, own) for own in prompts]
    places = [texts.ends(generator, own) for own in prompts]
    maps: texts.Maps = []
    for part in texts.parts(generator, pairs[0]):
        first, second = (
            x if x.ndim == 2 else x[torch.arange(len(x)), ends]
            for ends, x in zip(places, map(part.of, pairs))
        )
        matrix = fit_calibration(first, second)
        maps.append((part, lambda x, p=matrix: x @ p.T.to(x.device)))
    return lambda text, chance: texts.changed(text, maps)


METHOD = Method(
    name=NAME,
    what=(
        "The prompt's embedding goes through a matrix that brings professions with “female” and with “male”"
        " before them to nearly the same place. Nobody is wished for."
    ),
    paper="Chuang et al. 2023, arXiv 2302.00070, as its authors' code for generation has it",
    sources=[Source(edits=(NAME,))],
    follows=False,
    edits={NAME: fit_edit},
    version=2,
)
