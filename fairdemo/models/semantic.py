"""Semantic guidance (Brack et al. 2023, arXiv 2301.12247): directions in words, added to the guided noise of
some samples of a mixed batch, with warm-up, threshold and momentum."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Directions:
    """What one sample is led to and away from, in words, and how; the defaults are those of Fair Diffusion
    (Friedrich et al. 2023, arXiv 2302.10893)."""

    towards: tuple[str, ...]
    away: tuple[str, ...] = ()
    scale: float = 4.0  # of each direction
    threshold: float = 0.95  # the share of a channel's places, where a direction is weakest, that it leaves
    warmup: float = 0.1  # share of the sampler's steps before it begins; published are 5 of 50
    momentum: float = 0.5
    beta: float = 0.6  # of the momentum's average

    @property
    def words(self) -> tuple[str, ...]:
        """All of them, what is gone towards first."""
        return self.towards + self.away

    @property
    def signs(self) -> list[float]:
        """1 for those that are gone towards, -1 for the others."""
        return [1.0] * len(self.towards) + [-1.0] * len(self.away)


def direction(edited: torch.Tensor, plain: torch.Tensor, own: Directions) -> torch.Tensor:
    """The sum of a sample's directions (c, h, w): predictions (d, c, h, w) under its words less the
    unconditional one (c, h, w), each kept only where it is strongest (equations 5 and 6), channel by channel
    and element by element, as the authors' code has it."""
    signs = torch.tensor(own.signs, device=edited.device, dtype=edited.dtype).view(-1, 1, 1, 1)
    psi = own.scale * signs * (edited - plain)
    least = torch.quantile(psi.abs().flatten(2).float(), own.threshold, 2).to(psi)[..., None, None]
    return torch.where(psi.abs() >= least, psi, torch.zeros_like(psi)).sum(0)


class Guided:
    """A U-Net's prediction with the directions of some samples. `places[k]` is the sample that `own[k]` is
    for; `text` holds the embeddings of all their words, in order."""

    def __init__(
        self, places: Sequence[int], own: Sequence[Directions], text: dict[str, Any], n: int, guidance: float
    ):
        self.places, self.own, self.text, self.n, self.guidance = places, own, text, n, guidance
        self.rows = [place for place, one in zip(places, own) for _ in one.words]
        self.momentum: list[torch.Tensor | float] = [0.0] * len(own)
        self.step = 0

    def call(self, unet: Any, steps: int, sample: torch.Tensor, timestep: Any, **options: Any) -> Any:
        """One call for the batch and all directions; the conditional rows get what guidance then adds."""
        extra = dict(options)
        extra["encoder_hidden_states"] = torch.cat(
            [
                options["encoder_hidden_states"],
                self.text["prompt_embeds"].to(options["encoder_hidden_states"]),
            ]
        )
        if added := options.get("added_cond_kwargs"):
            pooled = self.text["pooled_prompt_embeds"].to(added["text_embeds"])
            ids = added["time_ids"][self.rows]
            extra["added_cond_kwargs"] = {
                "text_embeds": torch.cat([added["text_embeds"], pooled]),
                "time_ids": torch.cat([added["time_ids"], ids]),
            }
        out = unet(torch.cat([sample, sample[self.rows]]), timestep, **{**extra, "return_dict": False})[0]
        whole, edited = out[: len(sample)].clone(), out[len(sample) :]
        for k, (place, own, part) in enumerate(
            zip(self.places, self.own, edited.split([len(o.words) for o in self.own]))
        ):
            # Without guidance there is no unconditional row: directions then begin at the conditional one.
            new = direction(part, whole[place], own) + own.momentum * self.momentum[k]
            self.momentum[k] = own.beta * self.momentum[k] + (1 - own.beta) * new
            if self.step >= own.warmup * steps:
                doubled = len(sample) > self.n
                whole[place + self.n * doubled] += new / (self.guidance if doubled else 1.0)
        self.step += 1
        return (whole,)


@contextmanager
def guided(unet: Any, one: Guided, steps: int) -> Iterator[None]:
    """Within it, the U-Net predicts with directions."""
    plain = unet.forward

    def forward(sample: torch.Tensor, timestep: Any, *args: Any, **options: Any) -> Any:
        unet.forward = plain  # the call itself goes through the U-Net, hooks and all
        try:
            return one.call(plain, steps, sample, timestep, **options)
        finally:
            unet.forward = forward

    unet.forward = forward
    try:
        yield
    finally:
        del unet.forward
