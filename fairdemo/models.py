"""Model profiles: which base model draws, how it is run, and which classifier reads it."""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Profile:
    """`steps` and `guidance` are the defaults; `first` and `batch` are pairs per call (a small first one shows early)."""

    name: str
    model: str
    classifier: str
    size: int
    steps: int
    guidance: float
    first: int
    batch: int


PROFILES = {
    "embedded": Profile("embedded", "assets/embedded", "assets/classifier", 128, steps=12, guidance=2.0, first=4, batch=12),
}


def profile(name: str) -> Profile:
    if name not in PROFILES:
        raise ValueError(f"profile {name!r} is unknown; allowed are {', '.join(PROFILES)}")
    return PROFILES[name]


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def compute_dtype(device: str) -> torch.dtype:
    """bfloat16 where the hardware multiplies it natively, else float32."""
    if device == "cpu":
        return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
    return torch.bfloat16


def load_pipeline(chosen: Profile, device: str) -> StableDiffusionXLPipeline:
    """The profile's pipeline in float32 weights, quiet; ValueError if its files are missing or damaged."""
    folder = ROOT / chosen.model
    if not (folder / "model_index.json").is_file():
        raise ValueError(f"model files of profile {chosen.name!r} are missing: no {chosen.model}/model_index.json")
    try:
        pipeline = StableDiffusionXLPipeline.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=torch.float32)
    except Exception as error:  # diffusers, safetensors and json each raise their own kinds for a damaged file
        raise ValueError(f"model files of profile {chosen.name!r} in {chosen.model} are damaged: {str(error).splitlines()[0]}") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)
