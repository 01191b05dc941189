"""Pipelines: a profile's model, loaded and placed on its device."""

import difflib
import inspect
import json
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
from diffusers.utils import logging as diffusers_logging
from safetensors.torch import load_file
from transformers.utils import logging as transformers_logging

from fairdemo.models import gpu, hub
from fairdemo.models.precision import weights_dtype
from fairdemo.models.profiles import Profile

FAMILIES: dict[str, type[DiffusionPipeline]] = {
    "sdxl": StableDiffusionXLPipeline,
    "sd15": StableDiffusionPipeline,
}
# What a model's own index may call its class. SDXL's refiner, say, has another one.
CLASSES = {
    "sdxl": ("StableDiffusionXLPipeline",),
    "sd15": ("StableDiffusionPipeline", "LatentConsistencyModelPipeline"),
}


class Unfit(ValueError):
    """Parts of a profile that don't go together, said in one line."""


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
    index = folder / "model_index.json"
    if not index.is_file():
        raise ValueError(f"{what}: files are missing, there is no model_index.json in it")
    try:
        kind = json.loads(index.read_text(encoding="utf-8")).get("_class_name")
    except (ValueError, AttributeError):
        raise ValueError(f"{what}: its model_index.json is damaged") from None
    if kind not in (allowed := CLASSES[chosen.family]):
        raise ValueError(
            f"{what} is a {kind}, and family is {chosen.family!r}; expected {' or '.join(allowed)}"
        )
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
        raise Unfit(
            f"profile {chosen.name!r}: scheduler is {name!r}; expected a scheduler of diffusers, e.g."
            " EulerDiscreteScheduler"
        )
    known = set(inspect.signature(kind).parameters)
    for key in settings:
        if key not in known:
            close = difflib.get_close_matches(key, known, 1)
            raise Unfit(
                f"profile {chosen.name!r}: scheduler {name} has no setting {key!r}"
                + (f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(sorted(known))}")
            )
    try:
        made = kind.from_config(config, **settings)
    except Exception as error:  # each scheduler raises its own kinds for what it can't use
        why = " ".join(str(error).split())[:200]
        raise Unfit(f"profile {chosen.name!r}: scheduler {name} can't be made so: {why}") from None
    if not all(hasattr(made, needed) for needed in ("init_noise_sigma", "scale_model_input")):
        raise Unfit(f"profile {chosen.name!r}: scheduler {name} is of another kind than this model needs")
    return made


def read_unet(chosen: Profile, folder: Path, file: Path, dtype: torch.dtype) -> UNet2DConditionModel:
    """The model's U-Net with the weights of another file; ValueError names what doesn't fit."""
    config: Any = UNet2DConditionModel.load_config(folder, subfolder="unet")
    unet: Any = UNet2DConditionModel.from_config(config)
    unet.to(dtype)
    state, own = load_file(file), unet.state_dict()
    what = f"weights {chosen.unet_file!r} of profile {chosen.name!r} don't fit its U-Net"
    missing, foreign = [k for k in own if k not in state], [k for k in state if k not in own]
    if missing or foreign:
        lacks = f"they lack {len(missing)} of {len(own)} tensors, e.g. {missing[0]!r}" if missing else ""
        has = f"they have {foreign[0]!r}, which it lacks" if foreign else ""
        raise Unfit(f"{what}: {' and '.join(filter(None, (lacks, has)))}")
    if shapes := [k for k in own if own[k].shape != state[k].shape]:
        raise Unfit(f"{what}: {shapes[0]!r} has another shape")
    unet.load_state_dict(state)
    return unet


def read_vae(chosen: Profile, dtype: torch.dtype) -> AutoencoderKL:
    """The autoencoder that replaces the model's; ValueError if it is of another kind."""
    source, revision = chosen.source("vae"), chosen.vae_revision
    config: Any = AutoencoderKL.load_config(source, revision=revision)
    if (kind := config.get("_class_name")) != "AutoencoderKL":
        raise Unfit(f"vae of profile {chosen.name!r} is an {kind}; expected an AutoencoderKL")
    return AutoencoderKL.from_pretrained(source, revision=revision, use_safetensors=True, dtype=dtype)


def load_pipeline(chosen: Profile, device: str) -> DiffusionPipeline:
    """The profile's pipeline, quiet, on its device (in parts on a GPU with too little memory for all of
    it); ValueError if its files are missing or damaged, or memory is short."""
    diffusers_logging.disable_progress_bar()  # programs have a line of progress of their own
    transformers_logging.disable_progress_bar()
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
            extra["vae"] = read_vae(chosen, dtype)
        if fast:
            extra["unet"] = read_unet(chosen, folder, fast, dtype)
        pipeline = FAMILIES[chosen.family].from_pretrained(
            folder, local_files_only=True, use_safetensors=True, variant=chosen.variant, dtype=dtype, **extra
        )
        if chosen.family == "sdxl" and pipeline.text_encoder is None:
            raise Unfit(
                f"{what} has one text encoder, as SDXL's refiner; expected a base model, which has two"
            )
        if chosen.scheduler:
            pipeline.scheduler = sampler(chosen, pipeline.scheduler.config)
        if dtype == torch.float16 and pipeline.vae.config.force_upcast:
            pipeline.vae.to(torch.float32)  # SDXL's own autoencoder overflows in half precision
        pipeline.set_progress_bar_config(disable=True)
        return pipeline
    except Unfit:
        raise
    # Diffusers, safetensors and json each raise their own kinds for a damaged file.
    except Exception as error:
        local = isinstance(chosen.source("model"), Path)
        raise ValueError(hub.explain(error, what, local)) from error


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
