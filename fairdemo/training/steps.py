"""What every trainer's step shares: the learning rate's course, the update and the checkpoint to resume
from."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn


@contextmanager
def without_denormals() -> Iterator[None]:
    """Denormal numbers count as 0: on CPUs, products with them are a hundred times slower."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


def warm_cosine(step: int, steps: int, warmup: int = 50) -> float:
    """Learning rate as a share of its highest, in (0, 1]: rises over `warmup` steps, falls as half a
    cosine to 1 %."""
    return min(1.0, (step + 1) / warmup) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def update(loss: torch.Tensor, optimizers: Sequence[torch.optim.Optimizer], rate: float) -> None:
    """One step of all optimizers down the gradient of `loss`, its norm clipped to 1, at learning rate
    `rate`."""
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()
    descend(optimizers, rate)


def descend(optimizers: Sequence[torch.optim.Optimizer], rate: float) -> None:
    """One step of all optimizers down the gradients that there are, their norm clipped to 1, at learning
    rate `rate`."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], 1.0)
    for group in groups:
        group["lr"] = rate
    for optimizer in optimizers:
        optimizer.step()


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes tensors and numbers to resume from; an interrupted write leaves the checkpoint before it."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.rename(path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """What `save_checkpoint` wrote, or None where nothing was written yet."""
    return torch.load(path, weights_only=True, mmap=True) if path.exists() else None


class Average:
    """Exponential moving average of parameters, with warm-up: decay at step t is min(decay, (1 + t) / (10 +
    t))."""

    def __init__(self, parameters: list[torch.Tensor], decay: float):
        self.parameters = parameters
        self.shadow = [p.detach().clone() for p in parameters]
        self.decay, self.steps = decay, 0

    @torch.no_grad()
    def update(self) -> None:
        """Moves the averages towards the parameters as they are now."""
        self.steps += 1
        torch._foreach_lerp_(
            self.shadow, self.parameters, 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        )

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges the averaged and the live values; call twice to come back."""
        for s, p in zip(self.shadow, self.parameters):
            s_old = s.clone()
            s.copy_(p)
            p.copy_(s_old)


def adamw(parameters: Sequence[torch.Tensor], learning_rate: float) -> torch.optim.AdamW:
    """The optimizer of adapters and soft tokens: without weight decay, which would pull them to the
    baseline."""
    return torch.optim.AdamW(parameters, learning_rate, betas=(0.9, 0.99), weight_decay=0.0)


class Course:
    """A training's state: its optimizers, moving average, the best that validation saw, and the checkpoint
    that all of it is resumed from."""

    def __init__(
        self,
        parameters: Sequence[torch.Tensor],
        optimizers: Sequence[torch.optim.Optimizer],
        decay: float,
        checkpoint: Path,
    ):
        self.parameters, self.optimizers, self.checkpoint = list(parameters), optimizers, checkpoint
        self.average = Average(self.parameters, decay)
        self.step = self.kept = 0
        self.best: list[torch.Tensor] = []
        self.distance, self.waited = math.inf, 0
        if state := load_checkpoint(checkpoint):
            self.resume(state)

    @torch.no_grad()
    def resume(self, state: dict[str, Any]) -> None:
        """Goes on from what `keep` wrote; ValueError if an earlier version wrote something else there."""
        if "factors" not in state:
            raise ValueError(
                f"{self.checkpoint} is an earlier version's; delete it to start that stage again"
            )
        saved = state["optimizers"] if "optimizers" in state else [state["optimizer"]]
        for optimizer, moments in zip(self.optimizers, saved, strict=True):
            optimizer.load_state_dict(moments)
        for parameter, value in zip(self.parameters, state["factors"], strict=True):
            parameter.copy_(value)
        self.average.shadow = [
            t.clone().to(p.device) for t, p in zip(state["average"], self.parameters, strict=True)
        ]
        self.best = [t.clone() for t in state["best"]]
        self.distance, self.waited = state["distance"], state["waited"]
        self.step = self.kept = self.average.steps = state["step"]

    def descend(self, rate: float) -> None:
        """One step down the gradients that there are, which are cleared."""
        descend(self.optimizers, rate)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        self.average.update()
        self.step += 1

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it the parameters hold their averages."""
        self.average.swap()
        try:
            yield
        finally:
            self.average.swap()

    def compare(self, distance: float) -> None:
        """Keeps the parameters as they are now if none before were nearer to the goal; else counts how long
        none has been."""
        if distance < self.distance:
            self.best, self.distance, self.waited = [p.detach().clone() for p in self.parameters], distance, 0
        else:
            self.waited += 1

    def keep(self) -> None:
        """Writes what a resumed run needs."""
        self.kept = self.step
        save_checkpoint(
            self.checkpoint,
            {
                "step": self.step,
                "factors": [p.detach() for p in self.parameters],
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "average": self.average.shadow,
                "best": self.best,
                "distance": self.distance,
                "waited": self.waited,
            },
        )

    @torch.no_grad()
    def finish(self) -> None:
        """Leaves in the parameters the best that was compared, or their averages."""
        for parameter, final in zip(self.parameters, self.best or self.average.shadow):
            parameter.copy_(final)
