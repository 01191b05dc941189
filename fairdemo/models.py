"""Model profiles: which base model draws, how it is run, and which classifier reads it. `profiles/` holds ours; a user's TOML file of the same form
names any SDXL or Stable Diffusion 1.5 model."""

import os
import re
import tomllib
from dataclasses import MISSING, dataclass, field, fields
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

from fairdemo import gpu, hub

ROOT = Path(__file__).resolve().parent.parent
FAMILIES: dict[str, type[DiffusionPipeline]] = {
    "sdxl": StableDiffusionXLPipeline,
    "sd15": StableDiffusionPipeline,
}
DTYPES = ("auto", "mixed", "float32", "float16", "bfloat16")
DEFAULT = "embedded"


@dataclass(frozen=True)
class Profile:
    """What a profile's TOML file holds; `file` is that file; paths in it that start with a dot begin at its folder.

    `model`, `vae` and `unet` are local folders or Hub ids, the latter pinned to a commit by `revision`. `unet_file` replaces the U-Net's weights,
    `scheduler` the sampler (its class as `name`, and settings). `adapters` says which of the catalog's adapters fit. `suffix` and `negative`
    are added to every prompt. `steps` and `guidance` are the defaults; `first` and `batch` are pairs per call (a small first one shows early).
    `dtype` is that of the weights: "auto" is what the device multiplies fastest, "mixed" float32 weights used in that. `compile` names a
    backend of torch.compile, e.g. "inductor".
    """

    name: str
    family: str
    model: str
    classifier: str
    adapters: str
    size: int
    steps: int
    guidance: float
    first: int
    batch: int
    title: str = ""
    revision: str | None = None
    variant: str | None = None
    vae: str | None = None
    vae_revision: str | None = None
    unet: str | None = None
    unet_revision: str | None = None
    unet_file: str | None = None
    scheduler: dict[str, Any] | None = None
    suffix: str = ""
    negative: str = ""
    dtype: str = "auto"
    compile: str = ""
    file: Path = field(default=Path(), compare=False)

    def source(self, key: str) -> Path | str:
        """The local folder or the Hub id in `model`, `vae`, `unet` or `classifier`."""
        value = getattr(self, key)
        return (self.file.parent / value).resolve() if hub.is_local(value) else value


def read_profile(path: Path) -> Profile:
    """A profile from its TOML file; ValueError names the key that is wrong and what was expected."""
    try:
        data = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"profile {str(path)!r} can't be read: {error}") from None
    known = {f.name: f for f in fields(Profile) if f.name != "file"}
    for key in data:
        if key not in known and key != "adapter":
            raise ValueError(
                f"profile {str(path)!r} has an unknown key {key!r}; known are {', '.join(known)}, and [[adapter]] entries"
            )
    kinds = {
        "size": int,
        "steps": int,
        "first": int,
        "batch": int,
        "guidance": (int, float),
        "scheduler": dict,
    }
    for key, f in known.items():
        kind = kinds.get(key, str)
        if key not in data and f.default is MISSING:
            raise ValueError(f"profile {str(path)!r} lacks {key!r}")
        if key in data and (not isinstance(data[key], kind) or isinstance(data[key], bool)):
            raise ValueError(
                f"profile {str(path)!r}: {key} is {data[key]!r}; expected {'a number' if key in kinds and kind is not dict else 'a table' if kind is dict else 'text'}"
            )
    made = Profile(**{k: v for k, v in data.items() if k != "adapter"}, file=path.resolve())
    for key, value, allowed in (("family", made.family, tuple(FAMILIES)), ("dtype", made.dtype, DTYPES)):
        if value not in allowed:
            raise ValueError(f"profile {str(path)!r}: {key} is {value!r}; allowed are {', '.join(allowed)}")
    for key, value, low, high in (
        ("size", made.size, 64, 2048),
        ("steps", made.steps, 2, 100),
        ("guidance", made.guidance, 1, 20),
        ("first", made.first, 1, 64),
        ("batch", made.batch, 1, 64),
    ):
        if not low <= value <= high:
            raise ValueError(f"profile {str(path)!r}: {key} is {value}; {low} to {high} are allowed")
    if made.size % 8:
        raise ValueError(f"profile {str(path)!r}: size is {made.size}; a multiple of 8 is needed")
    if not re.fullmatch(r"[\w.-]{1,40}", made.name):
        raise ValueError(
            f"profile {str(path)!r}: name is {made.name!r}; up to 40 letters, digits, dots and dashes are allowed"
        )
    for key, pin in (("model", "revision"), ("vae", "vae_revision"), ("unet", "unet_revision")):
        value, revision = getattr(made, key), getattr(made, pin)
        if value and not hub.is_local(value) and not re.fullmatch(r"[0-9a-f]{40}", revision or ""):
            raise ValueError(
                f"profile {str(path)!r}: {pin} is {revision!r}; a model from the Hub is pinned to a commit (40 hex digits, see its page's history), "
                "so that the same profile always draws the same. A local folder starts with . or /"
            )
    return made


PROFILES = {
    p.name: p
    for p in (
        read_profile(Path(__file__).parent / "profiles" / f"{name}.toml")
        for name in (DEFAULT, "sdxl", "sdxl-lightning", "sd15")
    )
}


def profile(name: str) -> Profile:
    """A profile by its name, or by the path of a TOML file that holds one; ValueError if there is none."""
    if name.endswith(".toml"):
        return read_profile(Path(name))
    if name not in PROFILES:
        raise ValueError(
            f"profile {name!r} is unknown; allowed are {', '.join(PROFILES)}, or a TOML file's path"
        )
    return PROFILES[name]


def default_device() -> str:
    """FAIRDEMO_DEVICE if it is set, else a GPU where there is one."""
    chosen = os.environ.get("FAIRDEMO_DEVICE")
    if chosen:
        return chosen
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def compute_dtype(device: str) -> torch.dtype:
    """What the device multiplies fastest: bfloat16 where its hardware knows it, half precision on Apple's, else float32."""
    if device == "cpu":
        return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
    return (
        torch.float16
        if device == "mps" or device == "cuda" and not torch.cuda.is_bf16_supported()
        else torch.bfloat16
    )


def weights_dtype(chosen: Profile, device: str) -> torch.dtype:
    if chosen.dtype == "mixed":
        return torch.float32
    return compute_dtype(device) if chosen.dtype == "auto" else getattr(torch, chosen.dtype)


def folder_of(chosen: Profile) -> Path:
    """The folder with all files of the profile's model, fetched from the Hub on first use (safetensors only); ValueError that says what to do."""
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
            f"profile {chosen.name!r} needs about {need / 1e9:.0f} GB of memory and {free / 1e9:.1f} GB are free. Close other programs or use a larger machine; {hub.WITHOUT}"
        )


def sampler(chosen: Profile, config: dict[str, Any]) -> diffusers.SchedulerMixin:
    """The profile's scheduler, made from the model's own `config`."""
    settings = dict(chosen.scheduler or {})
    name = settings.pop("name", "")
    kind = getattr(diffusers, name, None) if re.fullmatch(r"\w+Scheduler", name) else None
    if kind is None:
        raise ValueError(
            f"profile {chosen.name!r}: scheduler is {name!r}; expected a scheduler of diffusers, e.g. EulerDiscreteScheduler"
        )
    return kind.from_config(config, **settings)


def load_pipeline(chosen: Profile, device: str) -> DiffusionPipeline:
    """The profile's pipeline, quiet, on its device (in parts on a GPU with too little memory for all of it); ValueError if its files are missing or
    damaged, or memory is short."""
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
            unet = UNet2DConditionModel.from_config(
                UNet2DConditionModel.load_config(folder, subfolder="unet")
            ).to(dtype)
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
    except (
        Exception
    ) as error:  # diffusers, safetensors and json each raise their own kinds for a damaged file
        raise ValueError(hub.explain(error, what)) from error


def place(pipeline: DiffusionPipeline, device: str) -> None:
    """Puts a pipeline onto its device; on a GPU that can't hold all of it each part comes when it is needed."""
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
