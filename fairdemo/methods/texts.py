"""What the text encoders make of prompts, encoder by encoder: what edits of embeddings are fitted on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from fairdemo.models.generating import PairedGenerator, Text


@dataclass(frozen=True)
class Part:
    """A piece of a text's embeddings that has a space of its own: an encoder's part of `prompt_embeds`, or
    the pooled vector."""

    name: str  # of the pipeline's argument
    start: int
    stop: int

    def of(self, text: Mapping[str, torch.Tensor | None]) -> torch.Tensor:
        """Its values (n, 77, d) or (n, d)."""
        whole = text[self.name]
        assert whole is not None
        return whole[..., self.start : self.stop]


def parts(generator: "PairedGenerator", text: Mapping[str, torch.Tensor | None]) -> list[Part]:
    """The parts of a pipeline's text: one for each encoder, and SDXL's pooled vector."""
    from fairdemo.models.routing import ENCODERS  # brings diffusers

    found, start = [], 0
    for encoder, _ in ENCODERS.values():
        if (module := getattr(generator.pipeline, encoder, None)) is not None:
            found.append(Part("prompt_embeds", start, start + module.config.hidden_size))
            start = found[-1].stop
    pooled = text.get("pooled_prompt_embeds")
    return found if pooled is None else [*found, Part("pooled_prompt_embeds", 0, pooled.shape[-1])]


@torch.no_grad()
def encoded(
    generator: "PairedGenerator", prompts: Sequence[str], at_once: int = 64
) -> dict[str, torch.Tensor]:
    """The embeddings of prompts as the model gets them, on the CPU in float32."""
    own = generator.pipeline.encode_prompt
    found: dict[str, list[torch.Tensor]] = {}
    for i in range(0, len(prompts), at_once):
        written = [generator.profile.worded(p) for p in prompts[i : i + at_once]]
        out = own(
            prompt=written,
            device=generator.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
        )
        named = {"prompt_embeds": out[0]} | ({"pooled_prompt_embeds": out[2]} if len(out) > 2 else {})
        for name, value in named.items():
            found.setdefault(name, []).append(value.float().cpu())
    return {name: torch.cat(values) for name, values in found.items()}


def ends(generator: "PairedGenerator", prompts: Sequence[str]) -> list[int]:
    """The place of each prompt's end, which CLIP's text encoders were trained to gather it in."""
    longest = generator.pipeline.tokenizer.model_max_length
    return [
        min(len(generator.pipeline.tokenizer(generator.profile.worded(p)).input_ids), longest) - 1
        for p in prompts
    ]


def vectors(values: torch.Tensor) -> torch.Tensor:
    """One vector (n, d) for each prompt: a pooled one as it is, else the mean over all places but the first,
    which is the same for all prompts."""
    return values if values.ndim == 2 else values[:, 1:].mean(1)


Maps = list[tuple[Part, Callable[[torch.Tensor], torch.Tensor]]]


def changed(text: "Text", maps: Maps) -> "Text":
    """A text whose parts went through maps; what is unconditional stays."""
    result = dict(text)
    for part, change in maps:
        whole = result[part.name]
        assert whole is not None
        new = whole.clone()
        new[..., part.start : part.stop] = change(part.of(text).float()).to(whole.dtype)
        result[part.name] = new
    return result
