"""PairedGenerator: pairs of images, baseline and debiased, from the same initial noise, in mixed batches."""

import math
import threading
from collections.abc import Callable

import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image

from fairdemo.adapters import Router
from fairdemo.models import Profile, compute_dtype

LAST = 5  # slots that are drawn together at the end of a steered wall


class Cancelled(Exception):
    """Raised inside a running batch once its `cancel` event is set."""


def cut_words(pipeline: StableDiffusionXLPipeline, prompt: str) -> str:
    """What the text encoders don't see of a prompt longer than their 77 tokens; empty if all is seen."""
    tokenizer = pipeline.tokenizer
    ids = tokenizer(prompt, truncation=False, add_special_tokens=False).input_ids
    return tokenizer.decode(ids[tokenizer.model_max_length - 2:]).strip()


class PairedGenerator:
    """Draws with one pipeline and one router; one run at a time."""

    def __init__(self, pipeline: StableDiffusionXLPipeline, router: Router, profile: Profile):
        self.pipeline, self.router, self.profile = pipeline, router, profile
        self.device = pipeline.device
        self.dtype = compute_dtype(self.device.type)
        self.lock = threading.Lock()

    def noise(self, seed: int, slot: int) -> tuple[torch.Tensor, torch.Generator]:
        """The initial latent of a slot, and where the sampler gets the noise of its steps from: depends on the seed and the slot alone, drawn on the
        CPU on every machine."""
        generator = torch.Generator().manual_seed(seed * 1_000_003 + slot)
        unet = self.pipeline.unet.config
        return torch.randn(1, unet.in_channels, unet.sample_size, unet.sample_size, generator=generator), generator

    @torch.no_grad()
    def draw(self, prompt: str, seed: int, wanted: list[tuple[int, tuple[str, ...]]], steps: int, guidance: float,
             step_done: Callable[[int], None] = lambda step: None, cancel: threading.Event | None = None) -> list[Image.Image]:
        """One mixed batch: an image for each (slot, adapters) in `wanted`, `step_done(k)` after each of the steps."""
        pipe = self.pipeline

        def after_step(_, step: int, __, tensors: dict) -> dict:
            if cancel is not None and cancel.is_set():
                raise Cancelled
            step_done(step + 1)
            return tensors

        with self.lock, torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            texts, no_texts, pooled, no_pooled = pipe.encode_prompt(prompt, device=self.device, do_classifier_free_guidance=guidance > 1)
            n = len(wanted)

            def repeated(t: torch.Tensor | None) -> torch.Tensor | None:
                return None if t is None else t.repeat(n, *[1] * (t.ndim - 1))

            latents, generators = zip(*(self.noise(seed, slot) for slot, _ in wanted))
            with self.router.routed([adapters for _, adapters in wanted]):
                return pipe(prompt_embeds=repeated(texts), negative_prompt_embeds=repeated(no_texts), pooled_prompt_embeds=repeated(pooled),
                            negative_pooled_prompt_embeds=repeated(no_pooled), latents=torch.cat(latents).to(self.device), generator=list(generators),
                            height=self.profile.size, width=self.profile.size, num_inference_steps=steps, guidance_scale=guidance,
                            callback_on_step_end=after_step).images

    def next_batch(self, todo: list[int], first: bool, steered: bool) -> list[int]:
        """The slots of `todo` to draw together: few at first, so that something shows early; when the rest is `steered`, smaller towards
        the end, so that the last images can make up for what went otherwise. The last few go together: a batch of one or two costs nearly
        what five do."""
        size = self.profile.first if first else self.profile.batch
        if steered and len(todo) > LAST:
            size = min(size, math.ceil(len(todo) / 2))
        return todo[:size]
