"""The embedded model: a StableDiffusionXLPipeline in a tiny configuration, its tokenizer, and how its parts
are trained.

Each trainer is a generator of (step, steps, loss): the caller shows progress, and may stop at any step.
Weights of the parts are saved by diffusers' and transformers' own `save_pretrained`."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.models.attention_processor import AttnProcessor
from torch import nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from fairdemo.models.precision import autocast
from fairdemo.readers.vision import load_weights, save_weights, to_tensor
from fairdemo.training import losses
from fairdemo.training.denoise import dropped
from fairdemo.training.muon import muon_and_adamw
from fairdemo.training.steps import Average, Course, update, warm_cosine

SIZE = 128
LATENT_CHANNELS = 16
# Original size, crop, target size: SDXL's micro-conditioning, constant here.
TIME_IDS = (
    SIZE,
    SIZE,
    0,
    0,
    SIZE,
    SIZE,
)


def tokenizer() -> CLIPTokenizer:
    """CLIP's byte-pair tokenizer, built from the merges inside open_clip (49,408 tokens, 77 places)."""
    published = open_clip.tokenizer.SimpleTokenizer()
    merges: Any = list(published.bpe_ranks)  # pairs, which the tokenizer's types don't know
    names = {49406: "<|startoftext|>", 49407: "<|endoftext|>"}  # open_clip spells these two otherwise
    return CLIPTokenizer(
        vocab={names.get(i, token): i for token, i in published.encoder.items()},
        merges=merges,
        model_max_length=77,
    )


def autoencoder() -> AutoencoderKL:
    """An untrained autoencoder: 128 px to 16 x 16 latents of 16 channels."""
    # Any: diffusers takes as many blocks as one likes, whatever its types say
    blocks: dict[str, Any] = {
        "block_out_channels": (16, 32, 64, 128),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
    }
    return AutoencoderKL(
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=SIZE,
        scaling_factor=1.0,
        force_upcast=False,
        **blocks,
    )


def unet() -> UNet2DConditionModel:
    """An untrained U-Net in SDXL's layout."""
    return UNet2DConditionModel(
        sample_size=SIZE // 8,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(128, 128, 128),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=1,
        attention_head_dim=4,
        cross_attention_dim=128,
        norm_num_groups=16,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=6 * 32 + 64,
    )


def text_encoders() -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """Untrained text encoders in SDXL's layout."""
    config = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=2,
        projection_dim=64,
        bos_token_id=49406,
        eos_token_id=49407,
        pad_token_id=49407,
    )
    return CLIPTextModel(config), CLIPTextModelWithProjection(copy.deepcopy(config))


def scheduler() -> DPMSolverMultistepScheduler:
    """Training's noise schedule, and the sampler. That it adds noise in each step mends small faults: with
    adapters 95 % of 384 faces are whole at 16 steps, 90 % without."""
    return DPMSolverMultistepScheduler(
        algorithm_type="sde-dpmsolver++",
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
    )


def silence_unused_tokens(encoder: CLIPTextModel | CLIPTextModelWithProjection, used: set[int]) -> None:
    """Zeroes the embeddings of tokens that no caption contains, so that unknown words say nothing instead
    of noise."""
    with torch.no_grad():
        table: Any = encoder.get_input_embeddings().weight
        mask = torch.zeros(len(table), 1)
        mask[sorted(used)] = 1
        table *= mask


def reconstruction_loss(out: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of pixels, of their differences to neighbours (edges), and of 8 x 8 means
    (colour)."""
    e = out - x
    edges = (e[..., 1:] - e[..., :-1]).abs().mean() + (e[..., 1:, :] - e[..., :-1, :]).abs().mean()
    return e.abs().mean() + 0.7 * edges + 1.5 * F.avg_pool2d(e, 8).abs().mean()


def train_autoencoder(
    vae: AutoencoderKL,
    images: np.ndarray,
    steps: int,
    seed: int,
    batch: int = 16,
    learning_rate: float = 1.5e-3,
) -> Iterator[tuple[int, int, float]]:
    """Trains on uint8 images (n, 128, 128, 3); `vae` holds the averaged weights at the end.

    The decoder sees posterior means with a little noise instead of posterior samples: samples drown the
    signal for most of a short training, and a denoiser's latents are slightly off in just this way."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    vae.train()
    optimizers = muon_and_adamw(vae, learning_rate)
    average = Average(list(vae.parameters()), 0.99)
    coder: Any = vae  # diffusers' types don't know what its parts return
    for step in range(steps):
        x = to_tensor(images[np.sort(rng.integers(len(images), size=batch))])
        x = x.flip(-1) if rng.random() < 0.5 else x
        with autocast():
            z = coder.encode(x).latent_dist.mean
            out = coder.decode(z + 0.1 * torch.randn_like(z)).sample
        loss = reconstruction_loss(out.float(), x) + 1e-3 * z.float().pow(2).mean()
        update(loss, optimizers, learning_rate * warm_cosine(step, steps))
        average.update()
        yield step + 1, steps, loss.item()
    average.swap()
    vae.eval()


def train_decoder(
    vae: AutoencoderKL,
    latents: torch.Tensor,
    images: np.ndarray,
    steps: int,
    seed: int,
    batch: int = 16,
    learning_rate: float = 1e-3,
) -> Iterator[tuple[int, int, float]]:
    """Trains the decoder alone, on the latents (n, 2, c, h, w) of images (n, 128, 128, 3) and their mirror
    images, so that latents stay valid.

    It sees them with noise of deviation 0 to 0.25 (theirs is 1): a denoiser's latents are slightly off, and
    this decoder brings them back to a face. The averaged weights are left in `vae`."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    coder: Any = vae  # diffusers' types don't know what its parts return
    decoder = nn.ModuleList([coder.decoder, coder.post_quant_conv]).train()
    optimizers = muon_and_adamw(decoder, learning_rate)
    average = Average(list(decoder.parameters()), 0.99)
    for step in range(steps):
        rows, side = np.sort(rng.integers(len(images), size=batch)), int(rng.integers(2))
        x = to_tensor(images[rows])
        x = x.flip(-1) if side else x
        z = latents[rows, side].float()
        with autocast():
            out = coder.decode(z + 0.25 * torch.rand(batch, 1, 1, 1) * torch.randn_like(z)).sample
        loss = reconstruction_loss(out.float(), x)
        update(loss, optimizers, learning_rate * warm_cosine(step, steps))
        average.update()
        yield step + 1, steps, loss.item()
    average.swap()
    decoder.eval()


@torch.no_grad()
def encode(vae: AutoencoderKL, images: np.ndarray, batch: int = 64) -> torch.Tensor:
    """Posterior means of uint8 images (n, 128, 128, 3): float16 (n, 16, 16, 16)."""
    parts = []
    coder: Any = vae  # diffusers' types don't know what its parts return
    for i in range(0, len(images), batch):
        with autocast():
            parts.append(coder.encode(to_tensor(images[i : i + batch])).latent_dist.mean.half())
    return torch.cat(parts)


@torch.no_grad()
def standardize_latents(vae: AutoencoderKL, images: np.ndarray) -> None:
    """Folds each latent channel's mean and deviation into `quant_conv` and `post_quant_conv`, so that
    latents have unit scale."""
    z = encode(vae, images).float()
    mean, std = z.mean((0, 2, 3)), z.std((0, 2, 3))
    c = LATENT_CHANNELS
    encoding: Any = vae.quant_conv  # diffusers may leave these two out; `autoencoder` has them
    decoding: Any = vae.post_quant_conv
    decoding.bias += decoding.weight[:, :, 0, 0] @ mean
    decoding.weight *= std[None, :, None, None]
    encoding.bias[:c] = (encoding.bias[:c] - mean) / std
    encoding.weight[:c] /= std[:, None, None, None]
    encoding.bias[c:] -= 2 * std.log()  # the other half is the log-variance


def encode_text(
    ids: torch.Tensor, one: CLIPTextModel, two: CLIPTextModelWithProjection
) -> tuple[torch.Tensor, torch.Tensor]:
    """SDXL's text conditioning: the last but one hidden states side by side (n, 77, 128) and the second's
    pooled vector (n, 64)."""
    first = one(ids, output_hidden_states=True)
    second = two(ids, output_hidden_states=True)
    return torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1), second.text_embeds


def condition(
    texts: list[str],
    words: CLIPTokenizer,
    one: CLIPTextModel,
    two: CLIPTextModelWithProjection,
    rng: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Text conditioning of a training batch. Dropped texts become SDXL's zero embedding for an empty negative
    prompt."""
    texts, keep = dropped(texts, rng)
    states, pooled = encode_text(
        words(texts, padding="max_length", truncation=True, max_length=77, return_tensors="pt").input_ids,
        one,
        two,
    )
    return states * keep[:, None, None], pooled * keep[:, None]


def denoising_loss(
    net: UNet2DConditionModel,
    z: torch.Tensor,
    states: torch.Tensor,
    pooled: torch.Tensor,
    rng: np.random.Generator,
) -> torch.Tensor:
    """Mean velocity loss of latents (n, c, h, w) at random times, with text conditioning (n, 77, d) and (n,
    p)."""
    t = torch.from_numpy(rng.integers(0, 1000, len(z)))
    a = scheduler().alphas_cumprod[t]
    noise = torch.randn_like(z)
    noisy = a.sqrt().view(-1, 1, 1, 1) * z + (1 - a).sqrt().view(-1, 1, 1, 1) * noise
    time_ids = torch.tensor([TIME_IDS], dtype=torch.float32).expand(len(z), -1)
    out = net(noisy, t, states, added_cond_kwargs={"text_embeds": pooled, "time_ids": time_ids}).sample
    return losses.denoising_loss(out.float(), z, noise, a, "v_prediction").mean()


@dataclass(frozen=True)
class Training:
    """How the denoiser is trained."""

    steps: int
    seed: int  # of what is drawn, noised and said in each step
    batch: int = 64  # images a step
    learning_rate: float = 2e-3  # at its highest
    save_every: int = 200  # steps


def train_denoiser(
    net: UNet2DConditionModel,
    one: CLIPTextModel,
    two: CLIPTextModelWithProjection,
    latents: torch.Tensor,
    captions: Callable[[np.ndarray, np.random.Generator], list[str]],
    checkpoint: Path,
    how: Training,
) -> Iterator[tuple[int, int, float]]:
    """Trains U-Net and text encoders together; the modules hold averaged weights at the end.

    `latents` (n, 2, c, h, w) holds each image and its mirror image; `captions` names rows and gets their
    texts. `checkpoint` is written every `save_every` steps and resumed from if it exists; in the last fifth
    of the training the averaged weights are kept beside it as candidates to choose from (`candidates`)."""
    words = tokenizer()
    modules = nn.ModuleList([net, one, two]).train()
    net.set_attn_processor(AttnProcessor())  # faster than fused attention for so few tokens on a CPU
    parameters = list(modules.parameters())
    optimizers = muon_and_adamw(modules, how.learning_rate, weight_decay=1e-2)
    course = Course(parameters, optimizers, 0.998, checkpoint)
    for step in range(course.step, how.steps):
        rng = np.random.default_rng([how.seed, step])
        torch.manual_seed(how.seed * 1_000_003 + step)
        rows = rng.integers(len(latents), size=how.batch)
        z = latents[rows, rng.integers(2, size=how.batch)].float()
        texts = captions(rows, rng)
        with autocast():
            loss = denoising_loss(net, z, *condition(texts, words, one, two, rng), rng)
        loss.backward()
        course.descend(how.learning_rate * warm_cosine(step, how.steps, 200))
        if course.step % how.save_every == 0 or course.step == how.steps:
            course.keep()
            if course.step >= 0.8 * how.steps:
                with course.averaged():
                    save_weights(modules, checkpoint.with_name(f"candidate_{course.step:06d}.safetensors"))
        yield course.step, how.steps, loss.item()
    course.finish()
    modules.eval()


def candidates(
    checkpoint: Path, net: UNet2DConditionModel, one: CLIPTextModel, two: CLIPTextModelWithProjection
) -> Iterator[int]:
    """Loads each candidate that `train_denoiser` kept into the modules, in order; yields its step."""
    modules = nn.ModuleList([net, one, two])
    for path in sorted(checkpoint.parent.glob("candidate_*.safetensors")):
        load_weights(modules, path)
        yield int(path.stem.split("_")[1])


def pipeline(
    vae: AutoencoderKL, net: UNet2DConditionModel, one: CLIPTextModel, two: CLIPTextModelWithProjection
) -> StableDiffusionXLPipeline:
    """The parts as an SDXL pipeline."""
    words = tokenizer()
    sampler: Any = scheduler()  # the pipeline's types want a name of one
    return StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=one,
        text_encoder_2=two,
        tokenizer=words,
        tokenizer_2=words,
        unet=net,
        scheduler=sampler,
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )
