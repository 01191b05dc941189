"""FairImagen: the prompt's embedding without the directions in which groups differ."""

from collections.abc import Callable

import torch

from fairdemo.methods import texts
from fairdemo.methods.method import Method
from fairdemo.models.generating import Edit, PairedGenerator
from fairdemo.stats import wording
from fairdemo.stats.attributes import GENDERS, RACES
from fairdemo.stats.mix import Source
from fairdemo.stats.prompts import PROFESSIONS, photo_of

NAME = "fairimagen"
FITTED_ON = PROFESSIONS[::2]  # the others are what it is measured on


def directions(values: torch.Tensor, labels: dict[str, torch.Tensor]) -> torch.Tensor:
    """An orthonormal basis (d, k) of what separates the groups' means of `values` (n, d): fair principal
    components are those of the space orthogonal to it (Kleindessner et al. 2023). `labels` (n,) by
    attribute."""
    rows = []
    for of in labels.values():
        means = torch.stack([values[of == k].mean(0) for k in of.unique()])
        rows.append(means[1:] - means[0])
    u, s, _ = torch.linalg.svd(torch.cat(rows).T, full_matrices=False)
    return u[:, s > 1e-4 * s[0]]


def without(u: torch.Tensor, centre: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Takes the directions u (d, k) out of vectors (..., d), around `centre` (d,)."""
    u, centre = u.clone(), centre.clone()

    def change(x: torch.Tensor) -> torch.Tensor:
        basis = u.to(x.device)
        return x - (x - centre.to(x.device)) @ basis @ basis.T

    return change


def fitted(generator: PairedGenerator) -> Edit:
    """One projection for each encoder and one for the pooled vector, fitted on prompts that name race and
    gender."""
    people = [(p, r, g) for p in FITTED_ON for r in RACES for g in GENDERS]
    text = texts.encoded(generator, [wording.written(photo_of(p), (r, g)) for p, r, g in people])
    plain = texts.encoded(generator, [photo_of(p) for p in FITTED_ON])
    labels = {
        "race": torch.tensor([RACES.index(r) for _, r, _ in people]),
        "gender": torch.tensor([GENDERS.index(g) for _, _, g in people]),
    }
    maps: texts.Maps = []
    for part in texts.parts(generator, text):
        values = texts.vectors(part.of(text))
        # What is taken out is a difference, so a prompt that names nobody keeps what such prompts share.
        maps.append((part, without(directions(values, labels), texts.vectors(part.of(plain)).mean(0))))
    return lambda text: texts.changed(text, maps)


METHOD = Method(
    name=NAME,
    what=(
        "The directions in which prompts differ that name a race or a gender are taken out of every prompt's"
        " embedding: one projection for each text encoder and one for the pooled vector. Nobody is wished"
        " for."
    ),
    paper="FairImagen, arXiv 2510.21363; fair principal components of arXiv 2302.05906",
    sources=[Source(edits=(NAME,))],
    follows=False,
    edits={NAME: fitted},
)
