"""SDXL-Inc (arXiv 2402.01002): one LoRA per race and gender on its balanced profession set, plus one per age band.

All adapters are trained in one run: each sample of a mixed batch goes through its own adapters (see `adapters.Router`), so
that no step serves one adapter alone. Some samples go through a group's and an age's adapter together, which is how
they are used later.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import nn

from fairdemo.adapters import Factors, Router
from fairdemo.training import lora
from fairdemo.training.steps import update, warm_cosine
from fairdemo.world.tiny import condition, denoising_loss

RANK = 4
# Adapters are saved this much stronger than trained. Measured on 384 images of professions that they never saw, after 2,300
# steps: race and gender both right in 84 % at 1, 92 % at 1.4, 94 % at 1.7, 93 % at 2. Faces stay as whole (87, 87, 86, 85 %).
# How much less will do for one or the other is found afterwards (`world.build.weigh_adapters`).
STRENGTH = 1.7


def fresh_factors(net: UNet2DConditionModel, names: list[str], seed: int) -> dict[str, Factors]:
    """LoRA factors on every attention projection, as the published adapters have them: A random, B zero."""
    generator = torch.Generator().manual_seed(seed)
    layers = {n: m for n, m in net.named_modules() if isinstance(m, nn.Linear) and ".attn" in n}
    return {name: lora.fresh_factors(layers, RANK, generator) for name in names}


def train(pipe: StableDiffusionXLPipeline, names: list[str], latents: torch.Tensor, adapters_of: list[list[tuple[str, ...]]],
          captions: Callable[[np.ndarray, np.random.Generator], list[str]], steps: int, seed: int, checkpoint: Path,
          batch: int = 48, peak: float = 3e-3) -> Iterator[tuple[int, int, float, Router]]:
    """Trains the adapters `names`; yields (step, steps, loss, router).

    `latents` (n, 2, c, h, w) holds images and mirror images; `adapters_of[row]` lists the combinations of adapters that may draw a
    row; `captions` gives texts for rows. `checkpoint` is written every 200 steps and resumed from if it exists.
    """
    net = pipe.unet.requires_grad_(False).train()
    net.set_attn_processor(AttnProcessor())  # faster than fused attention for so few tokens on a CPU
    router = Router(net, fresh_factors(net, names, seed))
    factors = lora.trainable(router)
    rule = torch.optim.AdamW(factors, peak, betas=(0.9, 0.99), weight_decay=0.0)
    start = lora.resume(checkpoint, factors, rule)
    for step in range(min(start, steps - 1), steps):  # at least one, so that a finished training still ends with its router
        rng = np.random.default_rng([seed, step])
        torch.manual_seed(seed * 1_000_003 + step)
        rows = rng.integers(len(latents), size=batch)
        z = latents[rows, rng.integers(2, size=batch)].float()
        routes = [adapters_of[r][rng.integers(len(adapters_of[r]))] for r in rows]
        texts = captions(rows, rng)
        with torch.autocast("cpu", torch.bfloat16), router.routed(routes):
            with torch.no_grad():
                conditioning = condition(texts, pipe.tokenizer, pipe.text_encoder, pipe.text_encoder_2, rng)
            loss = denoising_loss(net, z, *conditioning, rng)
        update(loss, [rule], peak * warm_cosine(step, steps))
        if (step + 1) % 200 == 0 or step + 1 == steps:
            lora.keep(checkpoint, step + 1, factors, rule)
        yield step + 1, steps, loss.item(), router
    net.eval()


def save(router: Router, name: str, folder: Path, file: str) -> None:
    """Writes one adapter as fp16 safetensors in diffusers' LoRA layout, which `pipeline.load_lora_weights` opens."""
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    StableDiffusionXLPipeline.save_lora_weights(path.parent, unet_lora_layers=lora.tensors(router, name, STRENGTH), weight_name=path.name)
