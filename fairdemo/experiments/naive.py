"""Direct finetuning as it was before arXiv 2311.07604, to compare with: the gradient through the whole
sampler, whose graph is kept. Its memory grows with the steps, and the product of all steps' Jacobians can
make its size and direction erratic (section 4.2)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers import DiffusionPipeline, SchedulerMixin

from fairdemo.training.adjusted import Text, gradient_of, leaf_of


def sampled(
    pipeline: DiffusionPipeline,
    texts: Sequence[Text],
    z: torch.Tensor,
    guidance: float,
    time_ids: torch.Tensor | None,
    generators: list[torch.Generator],
) -> torch.Tensor:
    """Latents z_0 (n, c, h, w) from noise z (n, c, h, w), with a graph to the texts' embeddings and to what
    is trained of the U-Net. `texts`, one a step, hold unconditional rows, then conditional ones, where
    `guidance` is above 1; SDXL's `time_ids` are for as many rows."""
    scheduler = pipeline.scheduler
    scheduler.set_timesteps(len(texts), device=z.device)
    z = z * scheduler.init_noise_sigma
    for t, text in zip(scheduler.timesteps, texts):
        x = scheduler.scale_model_input(torch.cat([z, z]) if guidance > 1 else z, t)
        added = None if text.pooled is None else {"text_embeds": text.pooled, "time_ids": time_ids}
        out = pipeline.unet(x, t, encoder_hidden_states=text.states, added_cond_kwargs=added).sample
        if guidance > 1:
            unconditional, conditional = out.chunk(2)
            out = unconditional + guidance * (conditional - unconditional)
        options = {"generator": generators} if "generator" in scheduler.step.__code__.co_varnames else {}
        z = scheduler.step(out, t, z, **options).prev_sample
    return z


def backward(
    pipeline: DiffusionPipeline,
    text: Text,
    steps: int,
    loss: Callable[[torch.Tensor], torch.Tensor],
    z: torch.Tensor,
    guidance: float,
    time_ids: torch.Tensor | None,
    generators: list[torch.Generator],
) -> tuple[float, list[float]]:
    """Adds the naive gradient of `loss` of z_0 to everything that `text` depends on; returns the loss and
    the norm of each step's gradient to the text's embeddings."""
    leaves = [leaf_of(text) for _ in range(steps)]
    value = loss(sampled(pipeline, leaves, z, guidance, time_ids, generators))
    value.backward()
    states = [gradient_of(leaf.states) for leaf in leaves]
    pooled = [gradient_of(leaf.pooled) for leaf in leaves if leaf.pooled is not None]
    parts = [
        (t, sum(grads[1:], grads[0]))
        for t, grads in ((text.states, states), (text.pooled, pooled))
        if t is not None and t.requires_grad
    ]
    torch.autograd.backward([t for t, _ in parts], [g for _, g in parts])
    return value.item(), [float(g.norm()) for g in states]


def weights(scheduler: SchedulerMixin, steps: int) -> list[float]:
    """A_t of each step (section 4.2, eq. 9): how much z_0 moves with the network's output of that step, if
    later outputs didn't move with it. Found on one number, since a sampler treats all alike."""
    own: Any = scheduler
    own.set_timesteps(steps)
    outputs = torch.zeros(len(own.timesteps), requires_grad=True)
    options = {"generator": torch.Generator()} if "generator" in own.step.__code__.co_varnames else {}
    z = torch.zeros(1, 1, 1, 1)
    for t, out in zip(own.timesteps, outputs):
        z = own.step(out.view_as(z), t, z, **options).prev_sample
    return torch.autograd.grad(z.sum(), outputs)[0].tolist()
