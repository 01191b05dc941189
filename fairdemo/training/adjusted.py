"""Adjusted direct finetuning in constant memory (arXiv 2311.07604, section 4.2, eq. 10).

A sampler's step is z_(t-1) = A_t z_t - B_t eps(z_t, t). The plain gradient of a loss of z_0 multiplies the
A_t and B_t of all steps and explodes; the adjusted one takes A_t = 1 and B_t = I, which leaves g = dL/dz_0
the same at every step: dL/dtheta = - sum over t of <g, d eps(z_t, t) / d theta>. So no graph goes through
the
sampler: it samples without one, keeping what the U-Net was given, and afterwards each step is one forward
pass and one vector-Jacobian product."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DiffusionPipeline, SchedulerMixin


@dataclass(frozen=True)
class Step:
    """What the U-Net was given in one step of sampling: `sample` (n, c, h, w), the same for unconditional
    and conditional rows under guidance. `scale` is `output_scale` of the step."""

    sample: torch.Tensor
    timestep: torch.Tensor
    extra: dict[str, torch.Tensor]  # SDXL's time_ids
    scale: float


@dataclass(frozen=True)
class Text:
    """The U-Net's conditioning as a function of what is trained: `states` (n, 77, d), and SDXL's `pooled`
    (n, p)."""

    states: torch.Tensor
    pooled: torch.Tensor | None


def output_scale(scheduler: SchedulerMixin, timestep: torch.Tensor) -> float:
    """How much the step's -eps grows with the network's output: 1 where it predicts the noise, as in the
    paper. A velocity says of the clean image z_0 = sqrt(alpha_bar) z_t - sqrt(1 - alpha_bar) v, so there
    the scale is sqrt(1 - alpha_bar): at pure noise, where velocity models with a zero terminal signal
    begin, eps = z_t says nothing. ValueError for other predictions."""
    own: Any = scheduler  # its class declares neither `config` nor `alphas_cumprod`
    kind = own.config.prediction_type
    if kind not in ("epsilon", "v_prediction"):
        raise ValueError(f"the model predicts {kind!r}; finetuning knows epsilon and v_prediction")
    return (
        1.0
        if kind == "epsilon"
        else float((1 - own.alphas_cumprod[timestep.flatten()[:1].long().cpu()]).sqrt())
    )


@contextmanager
def recorded(pipeline: DiffusionPipeline, rows: Sequence[int], batch: int) -> Iterator[list[Step]]:
    """Within it, every call of the U-Net is kept, for the `rows` of a batch of `batch` samples."""
    steps: list[Step] = []

    def keep(module: torch.nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        sample, timestep = args[0], torch.as_tensor(args[1])
        doubled = [start + r for start in range(0, len(sample), batch) for r in rows]
        ids = (kwargs.get("added_cond_kwargs") or {}).get("time_ids")
        steps.append(
            Step(
                sample[list(rows)].detach(),
                timestep.detach(),
                {} if ids is None else {"time_ids": ids[doubled].detach()},
                output_scale(pipeline.scheduler, timestep),
            )
        )

    handle = pipeline.unet.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        yield steps
    finally:
        handle.remove()


def leaf_of(text: Text) -> Text:
    """The same values, as the leaves of graphs that begin there."""
    pooled = None if text.pooled is None else text.pooled.detach().requires_grad_()
    return Text(text.states.detach().requires_grad_(), pooled)


def gradient_of(leaf: torch.Tensor) -> torch.Tensor:
    """The gradient of a leaf that took part in a loss."""
    assert leaf.grad is not None
    return leaf.grad


def inner_product(
    pipeline: DiffusionPipeline, step: Step, text: Text, g: torch.Tensor, guidance: float
) -> torch.Tensor:
    """- <g, eps(z_t, t)> of one step, guided as the sampler was; its gradient is the step's share of eq.
    10."""
    added = None if text.pooled is None else {"text_embeds": text.pooled, **step.extra}
    out = pipeline.unet(
        torch.cat([step.sample] * 2) if guidance > 1 else step.sample,
        step.timestep,
        encoder_hidden_states=text.states,
        added_cond_kwargs=added,
    ).sample.float()
    if guidance > 1:
        unconditional, conditional = out.chunk(2)
        out = unconditional + guidance * (conditional - unconditional)
    return -step.scale * (g * out).sum()


def backward(
    pipeline: DiffusionPipeline,
    steps: Sequence[Step],
    text: Callable[[], Text],
    g: torch.Tensor,
    guidance: float,
    routed: Callable[[], AbstractContextManager],
) -> list[float]:
    """Adds the adjusted gradient to `.grad` of everything that is trained, one step at a time; returns the
    norm of what each step adds to the text's gradient, which shows how even the steps are. `text` is
    evaluated with a graph once; only its gradient is summed over the steps. `routed` turns the trained
    adapter on, anew for each step, so that each has a graph of its own."""
    with routed():
        whole = text()
    leaves = leaf_of(whole)
    norms, before = [], torch.zeros_like(leaves.states)
    for step in steps:
        with routed():
            inner_product(pipeline, step, leaves, g, guidance).backward()
        summed = gradient_of(leaves.states)
        norms.append(float((summed - before).norm()))
        before = summed.clone()
    pairs = [
        (t, leaf.grad)
        for t, leaf in ((whole.states, leaves.states), (whole.pooled, leaves.pooled))
        if t is not None and t.requires_grad and leaf is not None and leaf.grad is not None
    ]
    if pairs:
        torch.autograd.backward([t for t, _ in pairs], [g for _, g in pairs])
    return norms
