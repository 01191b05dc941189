"""LoRA factors in training, whatever the loss: fresh ones, which of a router's are trained, resuming, and writing them down."""

from pathlib import Path

import torch
from torch import nn

from fairdemo.adapters import Factors, Router
from fairdemo.training.steps import load_checkpoint, save_checkpoint


def fresh_factors(layers: dict[str, nn.Linear], rank: int, generator: torch.Generator) -> Factors:
    """A random, B zero: an adapter that changes nothing yet."""
    return {name: (torch.randn(rank, m.in_features, generator=generator) / m.in_features ** 0.5, torch.zeros(m.out_features, rank)) for name, m in layers.items()}


def trainable(router: Router) -> list[torch.Tensor]:
    """Turns on the gradients of a router's factors, in float32 whatever the model's type; returns them in the order of its layers, A before B."""
    router.stacks = {layer: (a.float().requires_grad_(), b.float().requires_grad_()) for layer, (a, b) in router.stacks.items()}
    return [factor for pair in router.stacks.values() for factor in pair]


def resume(checkpoint: Path, factors: list[torch.Tensor], rule: torch.optim.Optimizer) -> int:
    """Brings factors and optimizer to where `keep` left them; the number of steps done, 0 where nothing was kept."""
    state = load_checkpoint(checkpoint)
    if not state:
        return 0
    rule.load_state_dict(state["optimizer"])
    with torch.no_grad():
        for factor, saved in zip(factors, state["factors"]):
            factor.copy_(saved)
    return state["step"]


def keep(checkpoint: Path, step: int, factors: list[torch.Tensor], rule: torch.optim.Optimizer) -> None:
    """Writes what `resume` needs after `step` steps."""
    save_checkpoint(checkpoint, {"step": step, "factors": [factor.detach() for factor in factors], "optimizer": rule.state_dict()})


def tensors(router: Router, name: str, strength: float = 1.0) -> dict[str, torch.Tensor]:
    """An adapter's tensors in fp16 as PEFT names them, by layer, at `strength` times what was trained; what diffusers' `save_lora_weights` takes."""
    i = router.names.index(name) + 1
    return {f"{layer}.lora_{half}.weight": factor.detach().T.contiguous().half().cpu() for layer, (a, b) in router.stacks.items() for half, factor in (("A", a[i]), ("B", strength * b[i]))}
