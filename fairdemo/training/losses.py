"""Losses as pure functions: those of distributional alignment (arXiv 2311.07604, section 4.1), with their
equation numbers, and the denoising loss."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

IGNORED = -1  # the target of an image whose transport is too uncertain, and of one without a face
CERTAIN = 0.9  # the authors' confidence from which on a twin's class counts as sure


def dynamic_targets(q: np.ndarray, threshold: float) -> np.ndarray:
    """Each image's target class (N,) where the expected transport q (N, K) is at least `threshold` sure of
    it, else `IGNORED`: the classes and confidences behind eq. 6, where only images with c >= C count."""
    return np.where(q.max(1) >= threshold, q.argmax(1), IGNORED)


def alignment_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The distributional alignment loss (eq. 6): cross-entropy of the logits (N, K) to the targets (N,),
    ignored images counting as zero in the mean over N."""
    kept = targets != IGNORED
    return (
        F.cross_entropy(logits[kept], targets[kept], reduction="sum") / len(targets)
        if kept.any()
        else logits.sum() * 0
    )


def semantics_loss(
    looks: list[torch.Tensor], twins: list[torch.Tensor], weights: torch.Tensor
) -> torch.Tensor:
    """The image-semantics loss (eq. 7): one minus cosine similarity to the frozen model's twin, summed over
    networks (CLIP and DINO in the paper) whose unit vectors are `looks` and `twins` (N, d) each, weighted
    by image (N,)."""
    parts = ((weights * (1 - (a * b).sum(-1))).mean() for a, b in zip(looks, twins))
    return sum(parts, weights.new_zeros(()))


def realism_loss(
    faces: torch.Tensor, bank: torch.Tensor, twins: torch.Tensor, stays: np.ndarray, counted: np.ndarray
) -> torch.Tensor:
    """The face-realism loss (eq. 8), summed over the `counted` (n,) of faces: one minus cosine similarity of
    each one's unit vector (n, d) to its twin's (n, d) where its class `stays` (n,), as in the authors' code,
    and else to the nearest of real faces (m, d)."""
    if not counted.any():
        return faces.sum() * 0
    nearest, own = (faces @ bank.T).max(-1).values, (faces * twins).sum(-1)
    like = torch.where(torch.from_numpy(stays).to(faces.device), own, nearest)
    return (1 - like)[torch.from_numpy(counted).to(faces.device)].sum()


def realism_targets(
    targets: np.ndarray, before: np.ndarray, certainty: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of which images (N,) the face is to stay its twin's, and of which it counts in the realism loss.

    `targets` and the twin's classes `before` are (N, attributes), `certainty` (N, attributes) is how sure the
    reader is of the latter. A face stays where it is surely of its target's classes already. One whose
    target is unsure doesn't count, unless there are several attributes, as in the authors' code."""
    stays = ((targets == before) & (targets != IGNORED) & (certainty >= CERTAIN)).all(1)
    return stays, np.full(len(targets), True) if targets.shape[1] > 1 else targets[:, 0] != IGNORED


@dataclass(frozen=True)
class Eased:
    """What is left of the semantics loss where an image's class of one attribute is to change (section 4.1,
    dynamic weights; values of the authors' code by `Config.eased`)."""

    around: float  # of the weight of the whole image, 0 to 1
    face: float  # of that, on the face, 0 to 1


def semantic_weights(
    targets: np.ndarray, before: np.ndarray, faces: np.ndarray, eased: Sequence[Eased]
) -> tuple[np.ndarray, np.ndarray]:
    """The dynamic weights of the semantics loss, as shares of lambda_img,1: of each image (N,), and what of
    it counts on the face (N,).

    `targets` and the twin's classes `before` are (N, attributes); `eased` is by attribute. An image whose
    targets are its twin's classes has 1 and 1. One that differs has the least of its attributes' that do; an
    unsure target differs. One without a face (`faces` False) has the least of all attributes', but the whole
    weight where there is one attribute alone, as in the authors' code."""
    differs = targets != before
    around, face = (
        np.where(differs, [getattr(e, part) for e in eased], 1.0).min(1) for part in ("around", "face")
    )
    alone = 1.0 if len(eased) == 1 else min(e.around for e in eased)
    return np.where(faces, around, alone), np.where(faces, face, 1.0)


def denoising_loss(
    prediction: torch.Tensor,
    z: torch.Tensor,
    noise: torch.Tensor,
    alpha_bar: torch.Tensor,
    kind: str,
    gamma: float = 5.0,
) -> torch.Tensor:
    """Mean squared error per sample (n,) of what the network predicts, the noise or the velocity (`kind`
    epsilon or v_prediction), of latents (n, c, h, w) at signal shares `alpha_bar` (n,). With `gamma` above
    0 weighted by min-SNR (Hang et al. 2023, eq. 5): min(SNR, gamma) / SNR for the noise, / (SNR + 1) for
    the velocity. ValueError for other predictions."""
    if kind not in ("epsilon", "v_prediction"):
        raise ValueError(f"the model predicts {kind!r}; training knows epsilon and v_prediction")
    a = alpha_bar.view(-1, 1, 1, 1)
    target = noise if kind == "epsilon" else a.sqrt() * noise - (1 - a).sqrt() * z
    error = (prediction - target).pow(2).mean((1, 2, 3))
    if not gamma:
        return error
    snr = (alpha_bar / (1 - alpha_bar).clamp(min=1e-8)).clamp(min=1e-8)
    weight = snr.clamp(max=gamma) / (snr if kind == "epsilon" else snr + 1)
    # The small constant keeps pure noise in training, where a velocity's SNR is 0.
    return error * (weight if kind == "epsilon" else weight + 0.05)
