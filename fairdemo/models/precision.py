"""On which device a machine draws, and in which number format it computes: bfloat16 where its processor
multiplies that, else float32.

Images of the two kinds look alike and differ by rounding; `docs/validation.md` has how far."""

import os

import torch

from fairdemo.models.profiles import Profile

VARIABLE = "FAIRDEMO_DTYPE"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}  # that FAIRDEMO_DTYPE may name


def default_device() -> str:
    """FAIRDEMO_DEVICE if it is set, else a GPU where there is one."""
    chosen = os.environ.get("FAIRDEMO_DEVICE")
    if chosen:
        return chosen
    return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"


def compute_dtype(device: str) -> torch.dtype:
    """FAIRDEMO_DTYPE if it is set; else what the device multiplies fastest: bfloat16 where its hardware
    knows it, half precision on Apple's and older GPUs, else float32. ValueError if FAIRDEMO_DTYPE names
    anything else than float32 or bfloat16."""
    chosen = os.environ.get(VARIABLE, "").strip()
    if chosen:
        if chosen not in DTYPES:
            raise ValueError(f"{VARIABLE} is {chosen!r}; {' or '.join(DTYPES)} is allowed")
        return DTYPES[chosen]
    kind = torch.device(device).type
    if kind == "cpu":
        return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32
    return (
        torch.float16
        if kind == "mps" or kind == "cuda" and not torch.cuda.is_bf16_supported()
        else torch.bfloat16
    )


def dtype_name(device: str) -> str:
    """The name of `compute_dtype`, as files keep it: "float32", "bfloat16" or "float16"."""
    return str(compute_dtype(device)).removeprefix("torch.")


def weights_dtype(chosen: Profile, device: str) -> torch.dtype:
    """What a profile's weights are loaded as."""
    if chosen.dtype == "mixed":
        return torch.float32
    return compute_dtype(device) if chosen.dtype == "auto" else getattr(torch, chosen.dtype)


def drawing_dtype(chosen: Profile, device: str) -> str:
    """The number format that a profile's images are computed in: "float32", "bfloat16" or "float16"."""
    own = chosen.dtype in ("auto", "mixed")
    return dtype_name(device) if own else chosen.dtype


def autocast(device: str = "cpu") -> torch.autocast:
    """Within it, float32 weights are multiplied in what the device multiplies fastest."""
    dtype = compute_dtype(device)
    return torch.autocast(torch.device(device).type, dtype, enabled=dtype != torch.float32)
