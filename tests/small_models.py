"""Small models of the real classes, saved in the real layout: a tiny SDXL, a tiny Stable Diffusion 1.5,
adapters for both. Random weights."""

import re
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from fairdemo.models import profiles
from fairdemo.models.catalog import Adapter
from fairdemo.models.pipelines import FAMILIES
from fairdemo.places import SHIPPED
from fairdemo.stats.attributes import TARGET_CLASSES
from fairdemo.world.tiny import tokenizer

NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
VIT = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 224, "layers": 2, "width": 64, "patch_size": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def adapter(name: str, base: str, file: str, **more) -> Adapter:
    """A catalog's entry."""
    return Adapter(
        **{"cell": (), "weight": 1.0, "license": "", "source": "", **more}, name=name, base=base, file=file
    )


def random_heads() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """A soft reader's weights and biases for each attribute, the same each time."""
    return {
        a: (torch.randn(len(c), 128, generator=torch.Generator().manual_seed(1)), torch.zeros(len(c)))
        for a, c in TARGET_CLASSES.items()
    }


def pipeline(family: str, seed: int = 0) -> DiffusionPipeline:
    torch.manual_seed(seed)
    text = CLIPTextConfig(
        vocab_size=49408,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=16,
        bos_token_id=49406,
        eos_token_id=49407,
        pad_token_id=49407,
    )
    vae = AutoencoderKL(
        block_out_channels=(8, 16, 16, 16),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        sample_size=64,
        scaling_factor=0.18215,
        force_upcast=family == "sdxl",
    )
    common = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "norm_num_groups": 8,
    }
    if family == "sd15":
        unet = UNet2DConditionModel(**common, attention_head_dim=4, cross_attention_dim=16)
        return StableDiffusionPipeline(
            vae=vae,
            text_encoder=CLIPTextModel(text),
            tokenizer=tokenizer(),
            unet=unet,
            scheduler=DDIMScheduler(**NOISE, clip_sample=False, set_alpha_to_one=False),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    unet = UNet2DConditionModel(
        **common,
        attention_head_dim=(2, 4),
        transformer_layers_per_block=(1, 2),
        cross_attention_dim=32,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 16,
    )
    return StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        text_encoder_2=CLIPTextModelWithProjection(text),
        tokenizer=tokenizer(),
        tokenizer_2=tokenizer(),
        unet=unet,
        scheduler=EulerDiscreteScheduler(**NOISE),
        add_watermarker=False,
    )


def lora(
    model: nn.Module, pattern: str, seed: int, rank: int = 4
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Random factors for the layers whose names match, large enough to show."""
    torch.manual_seed(seed)
    found = {}
    for name, m in model.named_modules():
        if re.search(pattern, name) and isinstance(m, (nn.Linear, nn.Conv2d)):
            size = m.kernel_size if isinstance(m, nn.Conv2d) else ()
            up = torch.randn(m.weight.shape[0], rank, *[1] * len(size)) * 0.3
            found[name] = (torch.randn(rank, m.weight.shape[1], *size) * 0.3, up)
    return found


ATTENTION = r"attn\d\.to_(k|q|v|out\.0)$"


def save_lora(
    path: Path, parts: dict[str, dict[str, tuple[torch.Tensor, torch.Tensor]]], peft: bool = False
) -> Path:
    """A LoRA file with keys as diffusers' training scripts write them, or as PEFT does."""
    state = {}
    for part, layers in parts.items():
        names = (
            ("lora_A", "lora_B")
            if peft
            else (
                ("lora.down", "lora.up")
                if part == "unet"
                else ("lora_linear_layer.down", "lora_linear_layer.up")
            )
        )
        for layer, factors in layers.items():
            # Which newer encoders leave out of their names.
            inside = "" if part == "unet" or layer.startswith("text_model.") else "text_model."
            for name, factor in zip(names, factors):
                state[f"{part}.{inside}{layer}.{name}.weight"] = factor.contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)
    return path


def save_profile(folder: Path, family: str, adapters: str = "", **keys) -> Path:
    """A tiny pipeline and the TOML file of its profile in `folder`; the file's path."""
    pipeline(family).save_pretrained(folder / "model")
    values = {
        "name": f"tiny-{family}",
        "family": family,
        "model": "./model",
        "classifier": "openclip-zero-shot",
        "adapters": f"tiny-{family}",
        "size": 64,
        "steps": 3,
        "guidance": 3.0,
        "first": 2,
        "batch": 3,
        "dtype": "float32",
        **keys,
    }
    path = folder / "profile.toml"
    path.write_text(
        "".join(
            f"{k} = {v if isinstance(v, (int, float)) else repr(v) if isinstance(v, str) else v}\n"
            for k, v in values.items()
        )
        + adapters
    )
    return path


assert set(FAMILIES) == {"sdxl", "sd15"}


def quick_profile(folder: Path) -> Path:
    """The shipped model's profile at few steps, for a server whose pictures are only looked at."""
    shipped = Path(profiles.__file__).parent / "shipped" / "embedded.toml"
    text = shipped.read_text(encoding="utf-8").replace('"./assets', f'"{SHIPPED}/assets')
    path = folder / "quick.toml"
    path.write_text(re.sub(r"^steps = \d+$", "steps = 4", text, flags=re.M), encoding="utf-8")
    return path
