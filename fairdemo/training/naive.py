"""Direct finetuning as it was before arXiv 2311.07604, to compare with: the gradient through the whole sampler, whose graph is kept. Its memory grows with the steps, and the
product of all steps' Jacobians makes its size and direction erratic (section 4.2)."""

import torch
from diffusers import DiffusionPipeline

from fairdemo.training.adjusted import Text


def sampled(pipeline: DiffusionPipeline, text: Text, z: torch.Tensor, steps: int, guidance: float, extra: dict[str, torch.Tensor], generators: list[torch.Generator]) -> torch.Tensor:
    """Latents z_0 (n, c, h, w) from noise z (n, c, h, w), with a graph to the text's embeddings and to what is trained of the U-Net. `text` holds unconditional rows, then
    conditional ones, where `guidance` is above 1; `extra` is SDXL's time_ids for as many rows."""
    scheduler = pipeline.scheduler
    scheduler.set_timesteps(steps, device=z.device)
    z = z * scheduler.init_noise_sigma
    added = None if text.pooled is None else {"text_embeds": text.pooled, **extra}
    for t in scheduler.timesteps:
        x = scheduler.scale_model_input(torch.cat([z, z]) if guidance > 1 else z, t)
        out = pipeline.unet(x, t, encoder_hidden_states=text.states, added_cond_kwargs=added).sample
        if guidance > 1:
            unconditional, conditional = out.chunk(2)
            out = unconditional + guidance * (conditional - unconditional)
        options = {"generator": generators} if "generator" in scheduler.step.__code__.co_varnames else {}
        z = scheduler.step(out, t, z, **options).prev_sample
    return z
