"""The catalog of adapters, and routing: every sample of one U-Net call through its own adapters.

Routing stacks the low-rank factors A and B of all adapters once per layer, gathers them per sample, and adds
x A^T B^T to the layer's output; the baseline's factors are zero. A batch with twelve adapters costs what one with one
adapter costs, and equals `set_adapters` before each single image.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import StableDiffusionXLPipeline
from diffusers.utils import convert_unet_state_dict_to_peft
from torch import nn

Factors = dict[str, tuple[torch.Tensor, torch.Tensor]]  # layer -> (A (r, in), B (out, r)), any scale folded into B
CATALOG = Path(__file__).resolve().parent.parent / "adapters" / "catalog.toml"


@dataclass(frozen=True)
class Adapter:
    """One entry of the catalog: `cell` is what it draws, (race, gender) or (age band,); `weight` is how strongly it is applied, what
    diffusers' `set_adapters` calls adapter weight."""

    name: str
    base: str
    file: str
    cell: tuple[str, ...]
    weight: float
    license: str
    source: str


def catalog(base: str, path: Path = CATALOG) -> list[Adapter]:
    """The adapters made for the profile `base`; ValueError that names a damaged catalog."""
    try:
        entries = tomllib.loads(path.read_text())["adapter"]
        adapters = [Adapter(e["name"], e["base"], e["file"], tuple(e["cell"]), float(e["weight"]), e["license"], e["source"]) for e in entries]
    except (OSError, KeyError, TypeError, ValueError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"catalog of adapters {path.name} is damaged: {type(error).__name__}: {error}") from None
    return [a for a in adapters if a.base == base]


class Router:
    """All adapters of a catalog attached to one U-Net. Use: `with router.routed([("Asian Female",), (), ...]): unet(...)`."""

    def __init__(self, unet: nn.Module, factors: dict[str, Factors]):
        """`factors` by adapter's name."""
        self.names = list(factors)
        self.stacks: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self.gathered: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        modules = dict(unet.named_modules())
        for layer in sorted({name for layers in factors.values() for name in layers}):
            if not isinstance(modules.get(layer), nn.Linear):
                raise ValueError(f"adapter has a layer {layer!r} that this model lacks; it was made for another base model")
            linear = modules[layer]
            rank = max(f[layer][0].shape[0] for f in factors.values() if layer in f)
            a = torch.zeros(len(factors) + 1, linear.in_features, rank)
            b = torch.zeros(len(factors) + 1, rank, linear.out_features)
            for i, layers in enumerate(factors.values(), 1):
                if layer in layers:
                    down, up = layers[layer]
                    if down.shape[1] != linear.in_features or up.shape[0] != linear.out_features:
                        raise ValueError(f"adapter {self.names[i - 1]!r} has the wrong shape at {layer!r}; it was made for another base model")
                    a[i, :, :down.shape[0]], b[i, :up.shape[1]] = down.T, up.T
            self.stacks[layer] = (a.to(linear.weight), b.to(linear.weight))
            linear.register_forward_hook(lambda module, args, out, layer=layer: self._add(layer, args[0], out))

    def _add(self, layer: str, x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        if layer not in self.gathered:
            return out
        a, b = self.gathered[layer]
        if len(a) != len(x):  # guidance doubles the batch
            a, b = (f.repeat(len(x) // len(f), 1, 1) for f in (a, b))
        return out + torch.bmm(torch.bmm(x, a.to(x.dtype)), b.to(x.dtype)).to(out.dtype)

    def routed(self, samples: list[tuple[str, ...]]) -> "Router":
        """Gathers factors for samples that each name their adapters (none = baseline); several are added up."""
        unknown = {name for names in samples for name in names} - set(self.names)
        if unknown:
            raise ValueError(f"adapter {sorted(unknown)[0]!r} is unknown; loaded are {', '.join(self.names) or 'none'}")
        width = max((len(s) for s in samples), default=0)
        index = torch.tensor([[self.names.index(n) + 1 for n in s] + [0] * (width - len(s)) for s in samples], dtype=torch.long).view(len(samples), width)
        if index.any():
            for layer, (a, b) in self.stacks.items():
                i = index.to(a.device)
                self.gathered[layer] = (a[i].transpose(1, 2).flatten(2), b[i].flatten(1, 2))
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception) -> None:
        self.gathered.clear()


def read_factors(pipeline: StableDiffusionXLPipeline, path: Path) -> Factors:
    """The U-Net layers of a LoRA file in any layout that diffusers reads, network alphas folded into B."""
    if not path.is_file():
        raise ValueError(f"adapter file {path.name} is missing")
    try:
        state, alphas = pipeline.lora_state_dict(path.parent, weight_name=path.name, local_files_only=True, use_safetensors=True)
        state = convert_unet_state_dict_to_peft({k.removeprefix("unet."): v for k, v in state.items() if k.startswith("unet.")})
    except Exception as error:  # safetensors and diffusers each raise their own kinds for a damaged file
        raise ValueError(f"adapter file {path.name} is damaged: {str(error).splitlines()[0]}") from error
    factors = {}
    for key, down in state.items():
        if key.endswith(".lora_A.weight"):
            layer = key.removesuffix(".lora_A.weight")
            up = state[f"{layer}.lora_B.weight"].float()
            alpha = (alphas or {}).get(f"unet.{layer}.alpha")
            factors[layer] = (down.float(), up * (alpha / down.shape[0]) if alpha is not None else up)
    if not factors:
        raise ValueError(f"adapter file {path.name} holds no U-Net layers")
    return factors


def attach(pipeline: StableDiffusionXLPipeline, adapters: list[Adapter], folder: Path = CATALOG.parent) -> Router:
    """Loads every adapter's file and routes the pipeline's U-Net through them, each at its weight."""
    return Router(pipeline.unet, {a.name: weighted(read_factors(pipeline, folder / a.file), a.weight) for a in adapters})


def weighted(factors: Factors, weight: float) -> Factors:
    """The factors of an adapter applied at `weight`."""
    return {layer: (down, weight * up) for layer, (down, up) in factors.items()}
