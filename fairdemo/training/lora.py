"""LoRA factors in training, whatever the loss: fresh ones, which of a router's are trained, and writing
them down."""

import torch
from torch import nn

from fairdemo.models.routing import Factors, Router


def fresh_factors(layers: dict[str, nn.Linear], rank: int, generator: torch.Generator) -> Factors:
    """A random, B zero: an adapter that changes nothing yet."""
    return {
        name: (
            torch.randn(rank, m.in_features, generator=generator) / m.in_features**0.5,
            torch.zeros(m.out_features, rank),
        )
        for name, m in layers.items()
    }


def widened(factors: Factors, rank: int, generator: torch.Generator) -> Factors:
    """An adapter of a lower rank that does what it did, with fresh rows up to `rank`."""
    wide = {}
    for name, (a, b) in factors.items():
        more = max(0, rank - len(a))
        wide[name] = (
            torch.cat([a, torch.randn(more, a.shape[1], generator=generator).to(a) / a.shape[1] ** 0.5]),
            torch.cat([b, b.new_zeros(len(b), more)], 1),
        )
    return wide


def trainable(router: Router) -> list[torch.Tensor]:
    """Turns on the gradients of a router's factors, in float32 whatever the model's type; returns them in
    the order of its layers, A before B."""
    router.stacks = {
        layer: (a.float().requires_grad_(), b.float().requires_grad_())
        for layer, (a, b) in router.stacks.items()
    }
    return [factor for pair in router.stacks.values() for factor in pair]


def tensors(router: Router, name: str, strength: float = 1.0) -> dict[str, torch.Tensor]:
    """An adapter's tensors in fp16 as PEFT names them, by layer, at `strength` times what was trained; what
    diffusers' `save_lora_weights` takes."""
    i = router.names.index(name) + 1
    return {
        f"{layer}.lora_{half}.weight": factor.detach().T.contiguous().half().cpu()
        for layer, (a, b) in router.stacks.items()
        for half, factor in (("A", a[i]), ("B", strength * b[i]))
    }
