"""The catalog of adapters, and routing: every sample of one call through its own adapters, in the U-Net and in the text encoders.

Routing stacks the low-rank factors A and B of all adapters once per layer, gathers them per sample, and adds
x A^T B^T to the layer's output; the baseline's factors are zero. A batch with twelve adapters costs what one with one
adapter costs, and equals `set_adapters` before each single image.
"""

import json
import os
import re
import tomllib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from huggingface_hub import HfApi
from peft.tuners.lora import LoraLayer
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from transformers.utils import logging as transformers_logging

from fairdemo import hub
from fairdemo.attributes import TARGET_CLASSES
from fairdemo.models import Profile

Factors = dict[
    str, tuple[torch.Tensor, torch.Tensor]
]  # layer -> (A (r, in) or (r, in, h, w), B (out, r)), any scale folded into B
CATALOG = Path(__file__).resolve().parent.parent / "adapters" / "catalog.toml"
PARTS = ("unet", "text_encoder", "text_encoder_2")  # what adapters may change
ENCODERS = {
    "clip_l": ("text_encoder", "tokenizer"),
    "clip_g": ("text_encoder_2", "tokenizer_2"),
}  # names in a file of soft tokens -> of a pipeline


@dataclass(frozen=True)
class Adapter:
    """One entry of a catalog. `cell` holds the classes that it draws, at most one an attribute ((race, gender), (age band,), ...), empty for a free
    label, which is its name. `file` lies in the catalog's folder `home`, or in the Hub repository `repo` at the commit `revision`. `weight` is how
    strongly it is applied, what diffusers' `set_adapters` calls adapter weight. One with a `method` isn't in the mix: it draws
    under that name in the app, alone or with others of the same method. One of those that has no cell has a whole distribution in it (arXiv 2311.07604). One with `tokens` is no LoRA but that many soft tokens before the prompt."""

    name: str
    base: str
    file: str
    cell: tuple[str, ...]
    weight: float
    license: str
    source: str
    repo: str = ""
    revision: str | None = None
    method: str = ""
    tokens: int = 0
    home: Path = CATALOG.parent

    @property
    def path(self) -> Path:
        """Its weights' file on this machine, fetched from the Hub where that is its place; ValueError says why it can't be had."""
        if self.repo:
            return hub.weights_file(self.repo, self.file, self.revision)
        path = self.home / self.file
        if not path.is_file():
            raise ValueError(f"adapter file {path.name} is missing")
        return hub.weights_file(path.parent, path.name)


def catalog(base: str, path: Path = CATALOG) -> list[Adapter]:
    """The adapters made for `base` in a catalog, or in a profile's own file; ValueError that names what is wrong."""
    try:
        entries = tomllib.loads(path.read_text()).get("adapter", [])
        adapters = [_entry(e, path) for e in entries]
    except (OSError, KeyError, TypeError, ValueError, tomllib.TOMLDecodeError) as error:
        raise ValueError(
            f"catalog of adapters {path.name} is damaged: {type(error).__name__}: {error}"
        ) from None
    names = [a.name for a in adapters if a.base == base]
    twice = {n for n in names if names.count(n) > 1}
    if twice:
        raise ValueError(f"catalog of adapters {path.name} is damaged: {sorted(twice)[0]!r} is in it twice")
    return [a for a in adapters if a.base == base]


def of_profile(profile: Profile) -> list[Adapter]:
    """All adapters that a profile can use: ours, those in the catalog that FAIRDEMO_CATALOG names, and the [[adapter]] entries of the profile's own file."""
    own = [Path(path) for path in (os.environ.get("FAIRDEMO_CATALOG"),) if path]
    found = [a for path in (CATALOG, *own, profile.file) for a in catalog(profile.adapters, path)]
    names = [a.name for a in found]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"adapter {name!r} is in more than one catalog; give yours another name")
    return found


def _entry(e: dict, path: Path) -> Adapter:
    cell = tuple(str(c) for c in e["cell"])
    of = [next((a for a, classes in TARGET_CLASSES.items() if c in classes), None) for c in cell]
    if None in of or len(set(of)) < len(of):
        raise ValueError(
            f"{e['name']!r} has the cell {list(cell)}; expected at most one class of race, gender and age each: {', '.join(c for cs in TARGET_CLASSES.values() for c in cs)}"
        )
    if e.get("revision") is not None and not re.fullmatch(r"[0-9a-f]{40}", e["revision"]):
        raise ValueError(
            f"{e['name']!r} has the revision {e['revision']!r}; expected a commit of 40 hex digits"
        )
    return Adapter(
        str(e["name"]),
        str(e["base"]),
        str(e["file"]),
        cell,
        float(e["weight"]),
        str(e["license"]),
        str(e["source"]),
        str(e.get("repo", "")),
        e.get("revision"),
        str(e.get("method", "")),
        int(e.get("tokens", 0)),
        path.resolve().parent,
    )


def add(path: Path, adapter: Adapter) -> None:
    """Appends an adapter to a user's catalog, made if it isn't there; ValueError if its file can't be had or is no LoRA, or the catalog has its name."""
    with safe_open(adapter.path, "pt") as file:
        if not adapter.tokens and not any("lora" in key.lower() for key in file.keys()):
            raise ValueError(f"{adapter.file!r} holds no LoRA: none of its tensors is named so")
    names = [a.name for a in catalog(adapter.base, path)] if path.is_file() else []
    if adapter.name in names:
        raise ValueError(
            f"catalog {str(path)!r} has an adapter {adapter.name!r} for {adapter.base!r} already; give this one another name"
        )
    keys = {
        "name": adapter.name,
        "base": adapter.base,
        "repo": adapter.repo or None,
        "file": adapter.file,
        "revision": adapter.revision,
        "cell": list(adapter.cell),
        "weight": adapter.weight,
        "method": adapter.method or None,
        "tokens": adapter.tokens or None,
        "license": adapter.license,
        "source": adapter.source,
    }
    text = (
        (path.read_text().rstrip() + "\n\n" if path.is_file() else "")
        + "[[adapter]]\n"
        + "".join(f"{k} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in keys.items() if v is not None)
    )
    _entry(tomllib.loads(text)["adapter"][-1], path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def entries_of(path: Path) -> list[str]:
    """A catalog's text in pieces: what stands before the first entry, then each entry."""
    return re.split(r"(?m)^(?=\[\[adapter\]\])", path.read_text())


def pin(path: Path) -> list[tuple[str, str]]:
    """Writes the present commit of its repository into each entry of a catalog that has none, so that the same catalog always means the same weights;
    returns (repository, commit). ValueError if the Hub doesn't answer."""
    comment, *entries = entries_of(path)
    pinned = []
    for i, text in enumerate(entries):
        repo = re.search(r'(?m)^repo = "(.+)"$', text)
        if repo and not re.search(r"(?m)^revision =", text):
            try:
                commit = HfApi().model_info(repo[1]).sha
            except Exception as error:  # the Hub's client and the network each raise their own kinds
                raise ValueError(hub.explain(error, f"commit of {repo[1]!r}")) from error
            entries[i] = text.replace(repo[0], f'{repo[0]}\nrevision = "{commit}"')
            pinned.append((repo[1], commit))
    path.write_text(comment + "".join(entries))
    return pinned


class Router:
    """All adapters of a catalog attached to a model. Use: `with router.routed([("Asian Female",), (), ...]): unet(...)`."""

    def __init__(self, model: nn.Module, factors: dict[str, Factors], words: dict[str, str] | None = None):
        """`factors` by adapter's name, their layers named as in `model`; `words` are what an adapter of soft tokens puts before the prompt."""
        self.names = list(factors)
        self.words = words or {}
        self.layers = {name: set(layers) for name, layers in factors.items()}
        self.ranks = {
            name: max((down.shape[0] for down, _ in layers.values()), default=0)
            for name, layers in factors.items()
        }
        self.stacks: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self.gathered: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        modules = dict(model.named_modules())
        for layer in sorted({name for layers in factors.values() for name in layers}):
            module = modules.get(layer)
            if not isinstance(module, (nn.Linear, nn.Conv2d)):
                raise ValueError(
                    f"adapter has a layer {layer!r} that this model lacks; it was made for another base model"
                )
            rank = max(f[layer][0].shape[0] for f in factors.values() if layer in f)
            inside = module.weight.shape[1:]  # (in,) or (in, h, w)
            a = torch.zeros(len(factors) + 1, rank, *inside)
            b = torch.zeros(len(factors) + 1, rank, module.weight.shape[0])
            for i, layers in enumerate(factors.values(), 1):
                if layer in layers:
                    down, up = layers[layer]
                    if down.shape[1:] != inside or up.shape[0] != module.weight.shape[0]:
                        raise ValueError(
                            f"adapter {self.names[i - 1]!r} has the wrong shape at {layer!r}; it was made for another base model"
                        )
                    a[i, : down.shape[0]], b[i, : up.shape[1]] = down, up.T
            if a.ndim == 3:  # linear: (k, in, r), ready to multiply with
                a = a.transpose(1, 2).contiguous()
            self.stacks[layer] = (a.to(module.weight), b.to(module.weight))
            module.register_forward_hook(
                lambda module, args, out, layer=layer: self._add(layer, module, args[0], out)
            )

    def to(self, device: str | torch.device) -> "Router":
        """Moves the factors to where the model runs."""
        self.stacks = {layer: (a.to(device), b.to(device)) for layer, (a, b) in self.stacks.items()}
        return self

    def _add(self, layer: str, module: nn.Module, x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        if layer not in self.gathered:
            return out
        a, b = (f.to(x.dtype) for f in self.gathered[layer])
        if len(a) != len(x):  # guidance doubles the batch
            a, b = (f.repeat(len(x) // len(f), *[1] * (f.ndim - 1)) for f in (a, b))
        n = len(x)
        if isinstance(module, nn.Linear):
            return out + torch.bmm(torch.bmm(x.reshape(n, -1, x.shape[-1]), a), b).to(out.dtype).view_as(out)
        low = F.conv2d(
            x.flatten(0, 1)[None], a.flatten(0, 1), None, module.stride, module.padding, module.dilation, n
        ).view(n, b.shape[1], -1)
        return out + torch.bmm(b.transpose(1, 2), low).to(out.dtype).view_as(out)

    def routed(self, samples: list[tuple[str, ...]]) -> "Router":
        """Gathers factors for samples that each name their adapters (none = baseline); several are added up."""
        wanted = {name for names in samples for name in names}
        unknown = wanted - set(self.names)
        if unknown:
            raise ValueError(
                f"adapter {sorted(unknown)[0]!r} is unknown; loaded are {', '.join(self.names) or 'none'}"
            )
        width = max((len(s) for s in samples), default=0)
        index = torch.tensor(
            [[self.names.index(n) + 1 for n in s] + [0] * (width - len(s)) for s in samples], dtype=torch.long
        ).view(len(samples), width)
        touched = {layer for name in wanted for layer in self.layers[name]}
        rank = max((self.ranks[name] for name in wanted), default=0)
        for layer, (a, b) in self.stacks.items():
            if layer in touched:
                i = index.to(a.device)
                a, b = (
                    (a[..., :rank] if a.ndim == 3 else a[:, :rank]),
                    b[:, :rank],
                )  # adapters of higher rank may lie beside
                # several adapters of a sample lie side by side along the rank
                self.gathered[layer] = (
                    a[i].transpose(1, 2).flatten(2) if a.ndim == 3 else a[i].flatten(1, 2),
                    b[i].flatten(1, 2),
                )
        return self

    def reads_text(self, samples: list[tuple[str, ...]]) -> bool:
        """Whether any adapter of the samples changes a text encoder, so that each sample's prompt has to be encoded by itself."""
        return any(
            name in self.words or any(layer.startswith("text_encoder") for layer in self.layers[name])
            for names in samples
            for name in names
        )

    def before(self, names: tuple[str, ...]) -> str:
        """What a sample's adapters put before its prompt."""
        return "".join(f"{self.words[name]} " for name in names if name in self.words)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception) -> None:
        self.gathered.clear()


def routable(pipeline: DiffusionPipeline) -> nn.ModuleDict:
    """What adapters may change of a pipeline, under the names that LoRA files use."""
    return nn.ModuleDict(
        {name: module for name in PARTS if (module := getattr(pipeline, name, None)) is not None}
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """A file that holds nothing for the text encoders is no reason to warn; nor is a table that grows by rows which are set at once."""
    libraries = (diffusers_logging, transformers_logging)
    levels = [logging.get_verbosity() for logging in libraries]
    for logging in libraries:
        logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logging, level in zip(libraries, levels):
            logging.set_verbosity(level)


def read_factors(pipeline: DiffusionPipeline, path: Path) -> Factors:
    """The factors of a LoRA file in any layout that `load_lora_weights` opens, scales folded into B; ValueError if it is damaged or was made for
    another base model. The pipeline is left as it was."""
    factors: Factors = {}
    try:
        with _quiet():
            pipeline.load_lora_weights(
                path.parent,
                weight_name=path.name,
                adapter_name="read",
                local_files_only=True,
                use_safetensors=True,
            )
        for part, module in routable(pipeline).items():
            for name, layer in module.named_modules():
                if isinstance(layer, LoraLayer) and "read" in layer.lora_A:
                    if layer.use_dora.get("read"):
                        raise ValueError("it is a DoRA adapter, whose magnitudes can't be routed per sample")
                    down, up = (
                        layer.lora_A["read"].weight.detach().float(),
                        layer.lora_B["read"].weight.detach().float().flatten(1),
                    )
                    factors[f"{part}.{name}"] = (down, up * layer.scaling["read"])
    except (
        Exception
    ) as error:  # safetensors, diffusers and peft each raise their own kinds for a damaged file
        if re.search(r"size mismatch|[Tt]arget modules|No modules were targeted|Invalid LoRA", str(error)):
            raise ValueError(
                f"adapter file {path.name} was made for another base model, or is no LoRA"
            ) from None
        raise ValueError(
            f"adapter file {path.name} is damaged: {(str(error).splitlines() or [type(error).__name__])[0]}"
        ) from error
    finally:
        with _quiet():
            pipeline.unload_lora_weights()
    if not factors:
        raise ValueError(
            f"adapter file {path.name} was made for another base model, or is no LoRA: none of its layers fit"
        )
    return factors


def add_tokens(pipeline: DiffusionPipeline, name: str, rows: dict[str, torch.Tensor]) -> str:
    """Adds soft tokens, (n, d) for each text encoder of `ENCODERS`, to a pipeline as a textual inversion; returns the word that stands for all n in a prompt."""
    token = f"<{re.sub(r'[^a-z0-9]+', '-', name.lower())}>"
    for key, vectors in rows.items():
        encoder, tokenizer = (getattr(pipeline, part) for part in ENCODERS[key])
        with _quiet():
            pipeline.load_textual_inversion(vectors, token=token, tokenizer=tokenizer, text_encoder=encoder)
    return token


def read_tokens(pipeline: DiffusionPipeline, path: Path, n: int) -> dict[str, torch.Tensor]:
    """A file's n soft tokens by text encoder; ValueError if it is damaged or was made for another base model."""
    try:
        rows = {key: t.float() for key, t in load_file(path).items()}
    except Exception as error:  # safetensors raises its own kinds for a damaged file
        raise ValueError(f"adapter file {path.name} is damaged: {error}") from error
    wanted = {
        key: getattr(pipeline, encoder).get_input_embeddings().weight.shape[1]
        for key, (encoder, _) in ENCODERS.items()
        if getattr(pipeline, encoder, None) is not None
    }
    if {key: tuple(t.shape) for key, t in rows.items()} != {key: (n, d) for key, d in wanted.items()}:
        raise ValueError(
            f"adapter file {path.name} was made for another base model, or doesn't hold {n} soft tokens"
        )
    return rows


def attach(pipeline: DiffusionPipeline, adapters: list[Adapter]) -> Router:
    """Loads every adapter's file and routes the pipeline through them, each at its weight."""
    factors: dict[str, Factors] = {
        a.name: {} if a.tokens else weighted(read_factors(pipeline, a.path), a.weight) for a in adapters
    }
    words = {
        a.name: add_tokens(pipeline, a.name, read_tokens(pipeline, a.path, a.tokens))
        for a in adapters
        if a.tokens
    }
    return Router(routable(pipeline), factors, words)


def weighted(factors: Factors, weight: float) -> Factors:
    """The factors of an adapter applied at `weight`."""
    return {layer: (down, weight * up) for layer, (down, up) in factors.items()}
