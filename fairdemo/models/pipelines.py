"""Pipelines: a profile's model, loaded and placed on its device."""

import re
from pathlib import Path
from typing import Any

import diffusers
import psutil
import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import load_file

from fairdemo.models import gpu, hub
from fairdemo.models.precision import weights_dtype
from fairdemo.models.profiles import Profile

FAMILIES: dict[str, type[DiffusionPipeline]] = {
    "sdxl": StableDiffusionXLPipeline,
    "sd15": StableDiffusionPipeline,
}


def folder_of(chosen: Profile) -> Path:
    """The folder with all files of the profile's model, fetched from the Hub on first use (safetensors
    only); ValueError that says what to do."""
    source, what = chosen.source("model"), f"model {chosen.model!r} of profile {chosen.name!r}"
    if isinstance(source, Path):
        folder = source
    else:
        try:
            folder = Path(
                FAMILIES[chosen.family].download(
                    source, revision=chosen.revision, variant=chosen.variant, use_safetensors=True
                )
            )
        except Exception as error:  # the Hub's client, the network and the disk each raise their own kinds
            raise ValueError(hub.explain(error, what)) from error
    if not (folder / "model_index.json").is_file():
        raise ValueError(f"{what}: files are missing, there is no model_index.json in it")
    return folder


def enough_memory(chosen: Profile, folder: Path, dtype: torch.dtype) -> None:
    """ValueError if the weights can't fit into this machine's free memory."""
    suffix = f".{chosen.variant}.safetensors" if chosen.variant else ".safetensors"
    weights = sum(p.stat().st_size for p in folder.glob(f"*/*{suffix}"))
    need = weights * dtype.itemsize / (2 if chosen.variant == "fp16" else 4)
    free = psutil.virtual_memory().available
    if need > free:
        raise ValueError(
            f"profile {chosen.name!r} needs about {need / 1e9:.0f} GB of memory and {free / 1e9:.1f} GB are"
            f" free. Close other programs or use a larger machine; {hub.WITHOUT}"
        )


def sampler(chosen: Profile, config: dict[str, Any]) -> diffusers.SchedulerMixin:
    """The profile's scheduler, made from the model's own `config`."""
    settings = dict(chosen.scheduler or {})
    name = settings.pop("name", "")
    kind = getattr(diffusers, name, None) if re.fullmatch(r"\w+Scheduler", name) else None
    if kind is None:
        raise ValueError(
            f"profile {chosen.name!r}: scheduler is {name!r}; expected a scheduler of diffusers, e.g."
            " EulerDiscreteScheduler"
        )
    return kind.from_config(config, **settings)


def load_pipeline(chosen: Profile, device: str) -> DiffusionPipeline:
    """The profile's pipeline, quiet, on its device (in parts on a GPU with too little memory for all of
    it); ValueError if its files are missing or damaged, or memory is short."""
    folder, dtype = folder_of(chosen), weights_dtype(chosen, device)
    enough_memory(chosen, folder, dtype)
    extra: dict[str, Any] = (
        {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        if chosen.family == "sd15"
        else {"add_watermarker": False}
    )
    what = f"model {chosen.model!r} of profile {chosen.name!r}"
    fast = (
        hub.weights_file(
            chosen.source("unet") if chosen.unet else folder, chosen.unet_file, chosen.unet_revision
        )
        if chosen.unet_file
        else None
    )
    try:
        if chosen.vae:
            extra["vae"] = AutoencoderKL.from_pretrained(
                chosen.source("vae"), revision=chosen.vae_revision, use_safetensors=True, dtype=dtype
            )
        if fast:
            config: Any = UNet2DConditionModel.load_config(folder, subfolder="unet")
            unet: Any = UNet2DConditionModel.from_config(config)
            unet.to(dtype)
            unet.load_state_dict(load_file(fast))
            extra["unet"] = unet
        pipeline = FAMILIES[chosen.family].from_pretrained(
            folder, local_files_only=True, use_safetensors=True, variant=chosen.variant, dtype=dtype, **extra
        )
        if chosen.scheduler:
            pipeline.scheduler = sampler(chosen, pipeline.scheduler.config)
        if dtype == torch.float16 and pipeline.vae.config.force_upcast:
            pipeline.vae.to(torch.float32)  # SDXL's own autoencoder overflows in half precision
        pipeline.set_progress_bar_config(disable=True)
        return pipeline
    # Diffusers, safetensors and json each raise their own kinds for a damaged file.
    except Exception as error:
        raise ValueError(hub.explain(error, what)) from error


def place(pipeline: DiffusionPipeline, device: str) -> None:
    """Puts a pipeline onto its device; on a GPU that can't hold all of it each part comes when it is
    needed."""
    weights = sum(
        p.numel() * p.element_size()
        for part in pipeline.components.values()
        if isinstance(part, torch.nn.Module)
        for p in part.parameters()
    )
    try:
        if device.startswith("cuda") and not gpu.ZERO and torch.cuda.mem_get_info()[0] < 1.3 * weights:
            pipeline.enable_model_cpu_offload(device=device)
        else:
            pipeline.to(device)
    except Exception as error:
        raise ValueError(hub.explain(error, f"device {device!r}")) from error
