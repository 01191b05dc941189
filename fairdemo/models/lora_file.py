"""LoRA files: whatever layout they were saved in, the factors of the layers that they change, with every
layer's own scale.

Known are the layouts of diffusers (old and new), PEFT, sd-scripts (kohya) with diffusers' or the original
code's names of layers, and files of one part alone. All of a file is used, or it is refused."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

# By layer: A (r, in) or (r, in, h, w), and B (out, r) with any scale folded into it.
Factors = dict[str, tuple[torch.Tensor, torch.Tensor]]
Layer = nn.Linear | nn.Conv2d  # that factors can be added to

# What tensors are named in files that hold something else, and what that is.
OTHER_KINDS = {
    r"hada_w\d": "LoHa factors",
    r"lokr_w\d": "LoKr factors",
    r"lora_mid": "Tucker factors (LoCon)",
    r"dora_scale|lora_magnitude_vector": "DoRA magnitudes",
    r"lora_embedding_[AB]": "a LoRA of token embeddings",
    r"(?:^|\.)bundle_emb\.": "embeddings bundled with the LoRA",
    r"oft_(?:blocks|diag|R)|oft_r": "OFT rotations",
    r"\.diff(?:_b)?$": "whole differences of weights",
    r"lora_B(?:\.\w+)?\.bias$|lora_up\.bias$": "biases (lora_bias)",
}
# A factor's name: its layer, and which of the two it is.
FACTOR = re.compile(
    r"(?P<layer>.+?)(?:\.lora_(?P<letter>[AB])(?:\.default)?|\.lora_(?P<word>down|up)"
    r"|(?:[._]lora|\.lora_linear_layer)\.(?P<part>down|up))\.weight"
)
KOHYA = {"unet": ("lora_unet_",), "text_encoder": ("lora_te_", "lora_te1_"), "text_encoder_2": ("lora_te2_",)}
# Names that files put before a layer's, and those that some leave out or write otherwise.
WRAPPED = re.compile(r"^(?:base_model\.model\.)+")
OLD_ATTENTION = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}
SETTINGS = "lora_adapter_metadata"  # of the file's header, as diffusers writes it
PEFT_SETTINGS = "adapter_config.json"  # beside a file that PEFT saved


def read_lora(path: Path, parts: Mapping[str, nn.Module]) -> Factors:
    """The factors of a LoRA file by "part.layer", for the parts of a pipeline (`routing.routable`).
    ValueError in one line if it is damaged, holds anything but a LoRA, or doesn't fit in whole."""
    what = f"adapter file {path.name}"
    state, header = _open_tensors(path)
    pairs, alphas = _sort_tensors(what, state)
    known, settings = _name_layers(parts), _read_settings(path, header)
    flat = _flat_names(known) if any(name.startswith("lora_") for name in pairs) else {}
    found, foreign = {}, []
    for name, both in pairs.items():
        layer = _find_layer(name, known, flat)
        fitted = layer and _fit(both["down"], both["up"], known[layer])
        if not layer or not fitted:
            foreign.append(name)
            continue
        if layer in found:
            raise ValueError(f"{what} has two pairs of factors for {layer!r}")
        down, up = fitted
        part, own = layer.split(".", 1)
        alpha = alphas.pop(name, None)
        scale = alpha / len(down) if alpha is not None else _scale(settings, part, own, len(down))
        found[layer] = down, up * scale
    if foreign:
        many = len(pairs)
        fit = f"{len(foreign)} of its {many} layers don't fit" if found else f"none of its {many} layers fits"
        raise ValueError(f"{what} was made for another base model: {fit} this one, e.g. {foreign[0]!r}")
    return found


def check_lora(path: Path) -> None:
    """ValueError in one line if a file is damaged, or holds anything but a LoRA, whatever it was made for."""
    state, header = _open_tensors(path)
    _sort_tensors(f"adapter file {path.name}", state)
    _read_settings(path, header)


def read_vectors(path: Path) -> dict[str, torch.Tensor]:
    """The soft tokens of a file, (n, d) by text encoder ("clip_l", "clip_g"); ValueError in one line if it is
    damaged or holds anything else."""
    state, _ = _open_tensors(path)
    what, known = f"adapter file {path.name}", ("clip_l", "clip_g")
    for key, value in state.items():
        if key not in known or value.ndim != 2:
            raise ValueError(
                f"{what} holds no soft tokens: it has a tensor {key!r}, {tuple(value.shape)}; expected clip_l"
                " and, for SDXL, clip_g, each a row a token"
            )
        if not value.float().isfinite().all():
            raise ValueError(f"{what} has values in {key!r} that are no numbers")
    return {key: value.float() for key, value in state.items()}


def _open_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """A file's tensors and what its header says; ValueError if it is damaged."""
    try:
        with safe_open(path, "pt") as file:
            names: list[str] = list(file.keys())
            return {key: file.get_tensor(key) for key in names}, file.metadata() or {}
    except Exception as error:  # safetensors raises its own kinds
        raise ValueError(f"adapter file {path.name} is damaged: {str(error).splitlines()[0]}") from None


def _sort_tensors(
    what: str, state: Mapping[str, torch.Tensor]
) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, float]]:
    """Pairs of factors and alphas by the names that the file has for layers; ValueError names what else is in
    it."""
    pairs: dict[str, dict[str, torch.Tensor]] = {}
    alphas: dict[str, float] = {}
    for key, value in state.items():
        for pattern, kind in OTHER_KINDS.items():
            if re.search(pattern, key):
                raise ValueError(
                    f"{what} holds {kind} ({key!r}), which can't be routed; a plain LoRA is needed"
                )
        if value.is_floating_point() and not value.float().isfinite().all():
            raise ValueError(f"{what} has values in {key!r} that are no numbers")
        if named := FACTOR.fullmatch(key):
            which = named["word"] or named["part"] or {"A": "down", "B": "up"}[named["letter"]]
            pairs.setdefault(named["layer"], {})[which] = value.float()
        elif key.endswith(".alpha") and value.numel() == 1:
            alphas[key.removesuffix(".alpha")] = float(value)
        else:
            raise ValueError(f"{what} is no LoRA, or not one alone: it has a tensor {key!r}")
    if not pairs:
        raise ValueError(f"{what} is no LoRA: it has no factors")
    if half := next((name for name, both in pairs.items() if len(both) < 2), None):
        raise ValueError(f"{what} has only one of two factors for {half!r}")
    # One alpha for the q, k, v and out of an attention, as the first files had it.
    for name, alpha in list(alphas.items()):
        for of in (n for n in pairs if n.startswith((f"{name}.to_", f"{name}.processor.to_"))):
            alphas.setdefault(of, alpha)
            alphas[name] = math.nan
    stray = next((n for n, alpha in alphas.items() if n not in pairs and not math.isnan(alpha)), None)
    if stray:
        raise ValueError(f"{what} has an alpha for {stray!r}, but no factors")
    return pairs, {name: alpha for name, alpha in alphas.items() if name in pairs}


def _name_layers(parts: Mapping[str, nn.Module]) -> dict[str, Layer]:
    """All layers that factors can be added to, by "part.layer"."""
    return {
        f"{part}.{name}": module
        for part, model in parts.items()
        for name, module in model.named_modules()
        if isinstance(module, Layer)
    }


def _find_layer(name: str, known: Mapping[str, Layer], flat: Mapping[str, str]) -> str | None:
    """The layer that a file's name stands for; None if there is none."""
    return flat.get(name) or next((layer for layer in _possible_names(name) if layer in known), None)


def _possible_names(name: str) -> Iterator[str]:
    """What a file's name of a layer may mean, as "part.layer"."""
    part, _, rest = name.partition(".")
    inside = [(part, rest)] if part in KOHYA else [(p, name) for p in KOHYA]
    for part, own in inside:
        own = WRAPPED.sub("", own)
        for written in (own, *_older_names(part, own)):
            yield f"{part}.{written}"
            if part != "unet":  # releases of transformers differ in it
                yield f"{part}.text_model.{written}"
                yield f"{part}.{written.removeprefix('text_model.')}"


def _older_names(part: str, name: str) -> Iterator[str]:
    """A layer of attention as old files name it: by its processor, and in text encoders by the U-Net's
    words."""
    plain = name.replace(".processor.", ".")
    head, _, last = plain.rpartition(".")
    if part != "unet" and last in OLD_ATTENTION:
        yield f"{head}.{OLD_ATTENTION[last]}"
    yield f"{plain}.0" if last == "to_out" else plain


def _flat_names(known: Mapping[str, Layer]) -> dict[str, str]:
    """The layers by the names that sd-scripts has for them, with underscores for dots."""
    depth, found = _layers_per_block(known), {}
    for layer in known:
        part, name = layer.split(".", 1)
        bare = name.removeprefix("text_model.")
        every = (name, *_original_names(name, depth)) if part == "unet" else (bare, f"text_model.{bare}")
        found |= {prefix + one.replace(".", "_"): layer for prefix in KOHYA[part] for one in every}
    return found


def _layers_per_block(layers: Iterable[str]) -> int:
    """How many layers a block of the U-Net has on its way down."""
    places = (re.match(r"unet\.down_blocks\.\d+\.resnets\.(\d+)\.", layer) for layer in layers)
    return 1 + max((int(place[1]) for place in places if place), default=0)


def _original_names(name: str, depth: int) -> Iterator[str]:
    """What the original code of Stable Diffusion calls a layer of the U-Net, whose blocks have `depth` layers
    on the way down and one more on the way up."""
    fixed = {
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "add_embedding.linear_1": "label_emb.0.0",
        "add_embedding.linear_2": "label_emb.0.2",
        "conv_in": "input_blocks.0.0",
        "conv_out": "out.2",
    }
    if name in fixed:
        yield fixed[name]
    within = {"conv1": "in_layers.2", "conv2": "out_layers.3", "time_emb_proj": "emb_layers.1"}
    within["conv_shortcut"] = "skip_connection"
    if middle := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)", name):
        kind, k, rest = middle[1], int(middle[2]), middle[3]
        yield f"middle_block.{2 * k + (kind == 'attentions')}.{within.get(rest, rest)}"
    side = re.fullmatch(
        r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", name
    )
    if not side:
        return
    block, kind, k, rest = int(side[2]), side[3], int(side[4]), side[5]
    start = block * (depth + 1)
    if kind == "downsamplers":
        yield f"input_blocks.{start + depth + 1}.0.op"
    elif kind == "upsamplers":  # behind an attention, where the block has one
        yield from (f"output_blocks.{start + depth}.{place}.conv" for place in (1, 2))
    else:
        place = f"input_blocks.{1 + start + k}" if side[1] == "down" else f"output_blocks.{start + k}"
        yield f"{place}.{0 if kind == 'resnets' else 1}.{within.get(rest, rest)}"


def _fit(down: torch.Tensor, up: torch.Tensor, module: Layer) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The factors in the shape of a layer; None if they have another. A convolution of one pixel and a linear
    layer are the same."""
    weight = module.weight
    if down.ndim < 2 or up.ndim < 2:
        return None
    pixels = down.shape[2:] if down.ndim == 4 else (1, 1)
    wanted = weight.shape[2:] if weight.ndim == 4 else (1, 1)
    if tuple(pixels) != tuple(wanted) or up.flatten(1).shape != (weight.shape[0], len(down)):
        return None
    if down.shape[1] != weight.shape[1]:
        return None
    return down.reshape(len(down), *weight.shape[1:]), up.flatten(1)


def _read_settings(path: Path, header: Mapping[str, str]) -> dict[str, Any]:
    """How the file was saved: `lora_alpha` and the like, by part where the file says so ("unet.lora_alpha");
    ValueError if that is damaged."""
    beside = path.parent / PEFT_SETTINGS
    own = path.name == "adapter_model.safetensors" and beside.is_file()
    written = header.get(SETTINGS) or (beside.read_text(encoding="utf-8") if own else "{}")
    try:
        settings = json.loads(written)
        if not isinstance(settings, dict):
            raise TypeError("no table")
    except (ValueError, TypeError) as error:
        raise ValueError(f"adapter file {path.name}: its settings are damaged: {error}") from None
    return settings


def _scale(settings: Mapping[str, Any], part: str, layer: str, rank: int) -> float:
    """The scale of a layer without an alpha of its own: alpha / rank, with a root for rsLoRA; 1 where nothing
    is said."""

    def setting(key: str) -> Any:
        return settings.get(f"{part}.{key}", settings.get(key))

    alpha = setting("lora_alpha")
    for pattern, own in (setting("alpha_pattern") or {}).items():
        if re.fullmatch(rf"(?:.*\.)?{pattern}", layer):
            alpha = own
            break
    if alpha is None:
        return 1.0
    return float(alpha) / (math.sqrt(rank) if setting("use_rslora") else rank)
