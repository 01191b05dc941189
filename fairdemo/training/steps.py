"""What every trainer's step shares: the learning rate's course, the update and the checkpoint to resume from."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import nn


def warm_cosine(step: int, steps: int, warmup: int = 50) -> float:
    """Learning rate as a share of its peak, in (0, 1]: rises over `warmup` steps, falls as half a cosine to 1 %."""
    return min(1.0, (step + 1) / warmup) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def update(loss: torch.Tensor, rules: list[torch.optim.Optimizer], rate: float) -> None:
    """One step of all optimizers down the gradient of `loss`, its norm clipped to 1, at learning rate `rate`."""
    for rule in rules:
        rule.zero_grad(set_to_none=True)
    loss.backward()
    descend(rules, rate)


def descend(rules: list[torch.optim.Optimizer], rate: float) -> None:
    """One step of all optimizers down the gradients that there are, their norm clipped to 1, at learning rate `rate`."""
    groups = [group for rule in rules for group in rule.param_groups]
    nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], 1.0)
    for group in groups:
        group["lr"] = rate
    for rule in rules:
        rule.step()


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes tensors and numbers to resume from; an interrupted write leaves the checkpoint before it."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.rename(path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """What `save_checkpoint` wrote, or None where nothing was written yet."""
    return torch.load(path, weights_only=True, mmap=True) if path.exists() else None
