"""FairImagen: the prompt's embedding without the directions in which groups differ, and with what a random
group has along its own direction put back. Fair PCA takes out less, and puts nothing back."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from fairdemo.methods import texts
from fairdemo.methods.method import Method
from fairdemo.stats import wording
from fairdemo.stats.attributes import GENDERS, RACES
from fairdemo.stats.mix import Source
from fairdemo.stats.prompts import PROFESSIONS, photo_of

if TYPE_CHECKING:
    from fairdemo.models.generating import Edit, PairedGenerator, Text

NAME, PLAIN = "fairimagen", "fair pca"
FITTED_ON = PROFESSIONS[::2]  # the others are what it is measured on
GROUPS = [(race, gender) for race in RACES for gender in GENDERS]
# As the authors' code has it for race and gender together: how many dimensions stay at most (more than the
# encoders of SDXL have), and the noise's scale, which is multiplied in twice.
DIMENSIONS = 1400
NOISE = 0.6


@dataclass(frozen=True)
class FairProjection:
    """What is taken out of a space of embeddings, and what may be put back."""

    projection: torch.Tensor  # (d, d)
    directions: torch.Tensor  # (groups, d), from everybody's mean to each group's, of length 1
    seen: torch.Tensor  # (groups, n): each group's own prompts along its direction


def fit_projection(values: torch.Tensor, groups: int, dimensions: int = DIMENSIONS) -> FairProjection:
    """Fair PCA (Kleindessner et al. 2023, arXiv 2302.05906) for several groups: principal components of
    `values` (groups * n, d), group by group and not centred, among the vectors orthogonal to all that groups'
    means differ in; at most so many."""
    x = values.double()
    means = x.view(groups, -1, x.shape[1]).mean(1)
    apart = means - x.mean(0)
    directions = apart / apart.norm(dim=1, keepdim=True)
    _, s, basis = torch.linalg.svd(apart)
    rest = basis[int((s > 1e-6 * s[0]).sum()) :].T
    _, vectors = torch.linalg.eigh(rest.T @ x.T @ x @ rest)  # the largest eigenvalues come last
    components = rest @ vectors[:, -dimensions:]
    seen = torch.einsum("gnd,gd->gn", x.view(groups, -1, x.shape[1]), directions)
    return FairProjection((components @ components.T).float(), directions.float(), seen.float())


def fit_edit(generator: "PairedGenerator") -> "Edit":
    """One projection for each encoder and one for the pooled vector, fitted on prompts that name race and
    gender. Each image gets a random group, and what one of this group's prompts has along its direction,
    the same prompt in all parts."""
    people = [(p, group) for group in GROUPS for p in FITTED_ON]
    text = texts.encoded(generator, [wording.written(photo_of(p), group) for p, group in people])
    fitted = [
        (part, fit_projection(texts.vectors(part.of(text)), len(GROUPS)))
        for part in texts.parts(generator, text)
    ]

    def edit(own: "Text", chance: torch.Generator) -> "Text":
        group = int(torch.randint(len(GROUPS), (1,), generator=chance))
        prompt = int(torch.randint(len(FITTED_ON), (1,), generator=chance))

        def change(fair: FairProjection, x: torch.Tensor) -> torch.Tensor:
            back = NOISE**2 * fair.seen[group, prompt] * fair.directions[group]
            return x @ fair.projection.to(x.device) + back.to(x.device)

        return texts.changed(own, [(part, partial(change, fair)) for part, fair in fitted])

    return edit


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


def fit_plain_edit(generator: "PairedGenerator") -> "Edit":
    """Fair PCA alone: what separates races, and what separates genders, is taken out around the mean of
    prompts that name nobody; nothing is put back."""
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
    return lambda text, chance: texts.changed(text, maps)


METHOD = Method(
    name=NAME,
    what=(
        "The directions in which prompts of twelve groups of race and gender differ are taken out of every"
        " prompt's embedding; each image gets back what a random group has along its own. Nobody is wished"
        " for."
    ),
    paper="FairImagen, arXiv 2510.21363, with its empirical noise; fair PCA of arXiv 2302.05906",
    sources=[Source(edits=(NAME,))],
    follows=False,
    edits={NAME: fit_edit},
    version=2,
)
WITHOUT_NOISE = Method(
    name=PLAIN,
    what=(
        "The directions in which prompts differ that name a race or a gender are taken out of every prompt's"
        " embedding: one projection for each text encoder and one for the pooled vector. Nobody is wished"
        " for."
    ),
    paper="fair PCA of arXiv 2302.05906, as FairImagen (arXiv 2510.21363) uses it, without its noise",
    sources=[Source(edits=(PLAIN,))],
    follows=False,
    edits={PLAIN: fit_plain_edit},
)
