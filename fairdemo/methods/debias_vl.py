"""Debias-VL: the prompt's embedding through a calibrated projection."""

import torch

from fairdemo.methods import texts
from fairdemo.methods.fairimagen import FITTED_ON
from fairdemo.methods.method import Method
from fairdemo.models.generating import Edit, PairedGenerator
from fairdemo.stats import wording
from fairdemo.stats.attributes import GENDERS
from fairdemo.stats.mix import Source
from fairdemo.stats.prompts import photo_of

NAME = "debias-vl"
PEOPLE = ("a photo of a woman", "a photo of a man")  # whose embeddings are projected away
STRENGTH = 500.0  # lambda, the authors' for generation


def projection(spurious: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The calibrated projection (d, d) of equations 3 and 6: away from the span of `spurious` (k, d), and
    such that `first` and `second` (n, d), the same but for gender, come to the same place."""
    q = torch.linalg.qr(spurious.T.double())[0]
    away = torch.eye(q.shape[0], dtype=torch.float64) - q @ q.T
    gap = (first - second).double()
    calibrated = torch.eye(q.shape[0], dtype=torch.float64) + STRENGTH / len(gap) * gap.T @ gap
    return (away @ torch.linalg.inv(calibrated)).float()


def fitted(generator: PairedGenerator) -> Edit:
    """A projection for each encoder and one for the pooled vector."""
    pairs = [
        texts.encoded(generator, [wording.written(photo_of(p), (g,)) for p in FITTED_ON]) for g in GENDERS
    ]
    spurious = texts.encoded(generator, PEOPLE)
    maps: texts.Maps = []
    for part in texts.parts(generator, spurious):
        p = projection(*(texts.vectors(part.of(text)) for text in (spurious, *pairs)))
        maps.append((part, lambda x, p=p: x @ p.T.to(x.device)))
    return lambda text: texts.changed(text, maps)


METHOD = Method(
    name=NAME,
    what=(
        "The prompt's embedding goes through a projection away from “a photo of a woman” and “a photo of a"
        " man”, calibrated so that professions with either word come to the same place. Nobody is wished for."
    ),
    paper="Chuang et al. 2023, arXiv 2302.00070",
    sources=[Source(edits=(NAME,))],
    follows=False,
    edits={NAME: fitted},
)
