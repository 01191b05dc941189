"""Routing: every sample of one call through its own adapters, in the U-Net and in the text encoders.

Routing stacks the low-rank factors A and B of all adapters once per layer, gathers them per sample, and
adds x A^T B^T to the layer's output; the baseline's factors are zero. A batch with twelve adapters costs
what one with one adapter costs, and equals `set_adapters` before each single image."""

import hashlib
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from torch import nn
from torch.nn import functional as F
from transformers.utils import logging as transformers_logging

from fairdemo.models.catalog import Adapter
from fairdemo.models.lora_file import Factors, Layer, read_lora, read_vectors

PARTS = ("unet", "text_encoder", "text_encoder_2")  # what adapters may change
# Names in a file of soft tokens -> of a pipeline.
ENCODERS = {"clip_l": ("text_encoder", "tokenizer"), "clip_g": ("text_encoder_2", "tokenizer_2")}


class Router:
    """All adapters of a catalog attached to a model. Use: `with router.routed([("Asian Female",), (),
    ...]): unet(...)`."""

    def __init__(
        self,
        model: nn.Module,
        factors: dict[str, Factors],
        tokens: dict[str, str] | None = None,
        faults: dict[str, str] | None = None,
    ):
        """`factors` by adapter's name, their layers named as in `model`; `tokens` are what an adapter of
        soft tokens puts before the prompt; `faults` are why others can't be used."""
        self.names, self.faults = list(factors), faults or {}
        self.tokens = tokens or {}
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
                            f"adapter {self.names[i - 1]!r} has the wrong shape at {layer!r}; it was made for"
                            " another base model"
                        )
                    a[i, : down.shape[0]], b[i, : up.shape[1]] = down, up.T
            if a.ndim == 3:  # linear: (k, in, r), ready to multiply with
                a = a.transpose(1, 2).contiguous()
            self.stacks[layer] = (a.to(module.weight), b.to(module.weight))

            def add(
                module: Layer, args: tuple[torch.Tensor, ...], out: torch.Tensor, layer: str = layer
            ) -> torch.Tensor:
                return self._add(layer, module, args[0], out)

            module.register_forward_hook(add)

    def to(self, device: str | torch.device) -> "Router":
        """Moves the factors to where the model runs."""
        self.stacks = {layer: (a.to(device), b.to(device)) for layer, (a, b) in self.stacks.items()}
        return self

    def _add(self, layer: str, module: Layer, x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
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

    def routed(self, samples: Sequence[tuple[str, ...]]) -> AbstractContextManager["Router"]:
        """Within it, samples that each name their adapters (none = baseline) go through them; several are
        added up. ValueError if one is unknown."""
        return self._during(self._gather(samples))

    @contextmanager
    def _during(self, gathered: dict[str, tuple[torch.Tensor, torch.Tensor]]) -> Iterator["Router"]:
        before, self.gathered = self.gathered, gathered
        try:
            yield self
        finally:
            self.gathered = before

    def _gather(self, samples: Sequence[tuple[str, ...]]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Each touched layer's factors, sample by sample."""
        wanted = {name for names in samples for name in names}
        unknown = wanted - set(self.names)
        if unusable := sorted(unknown & set(self.faults)):
            raise ValueError(f"adapter {unusable[0]!r} can't be used: {self.faults[unusable[0]]}")
        if unknown:
            raise ValueError(
                f"adapter {sorted(unknown)[0]!r} is unknown; loaded are {', '.join(self.names) or 'none'}"
            )
        width = max((len(s) for s in samples), default=0)
        places = [[self.names.index(n) + 1 for n in s] + [0] * (width - len(s)) for s in samples]
        index = torch.tensor(places, dtype=torch.long).view(len(samples), width)
        rank = max((self.ranks[name] for name in wanted), default=0)
        gathered = {}
        for layer in {layer for name in wanted for layer in self.layers[name]}:
            a, b = self.stacks[layer]
            i = index.to(a.device)
            # Adapters of higher rank may lie beside; several adapters of a sample go along the rank.
            a, b = (a[..., :rank] if a.ndim == 3 else a[:, :rank]), b[:, :rank]
            down = a[i].transpose(1, 2).flatten(2) if a.ndim == 3 else a[i].flatten(1, 2)
            gathered[layer] = down, b[i].flatten(1, 2)
        return gathered

    def reads_text(self, names: tuple[str, ...]) -> bool:
        """Whether any of a sample's adapters changes a text encoder."""
        return any(layer.startswith("text_encoder") for name in names for layer in self.layers[name])

    def before(self, names: tuple[str, ...]) -> str:
        """What a sample's adapters put before its prompt."""
        return "".join(f"{self.tokens[name]} " for name in names if name in self.tokens)


def routable(pipeline: DiffusionPipeline) -> nn.ModuleDict:
    """What adapters may change of a pipeline, under the names that LoRA files use."""
    return nn.ModuleDict(
        {name: module for name in PARTS if (module := getattr(pipeline, name, None)) is not None}
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """A file that holds nothing for the text encoders is no reason to warn; nor is a table that grows by
    rows which are set at once."""
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
    """The factors of a LoRA file for a pipeline (`read_lora`)."""
    return read_lora(path, dict(routable(pipeline)))


def add_tokens(pipeline: DiffusionPipeline, name: str, rows: dict[str, torch.Tensor]) -> str:
    """Adds soft tokens, (n, d) for each text encoder of `ENCODERS`, to a pipeline as a textual inversion;
    returns the word that stands for all n in a prompt."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    # What the plain form leaves out tells names apart.
    token = f"<{plain or 'token'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}>"
    for key, vectors in rows.items():
        encoder, tokenizer = (getattr(pipeline, part) for part in ENCODERS[key])
        with _quiet():
            pipeline.load_textual_inversion(vectors, token=token, tokenizer=tokenizer, text_encoder=encoder)
    return token


def read_tokens(pipeline: DiffusionPipeline, path: Path, n: int) -> dict[str, torch.Tensor]:
    """A file's n soft tokens by text encoder; ValueError if it is damaged or was made for another base
    model."""
    rows = read_vectors(path)
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
    """Loads every adapter's file and routes the pipeline through them, each at its weight. Those that don't
    fit this model are left out; the router's `faults` say why."""
    factors: dict[str, Factors] = {}
    words, faults = {}, {}
    for a in adapters:
        try:
            if a.tokens:
                words[a.name] = add_tokens(pipeline, a.name, read_tokens(pipeline, a.path, a.tokens))
            factors[a.name] = {} if a.tokens else weighted(read_factors(pipeline, a.path), a.weight)
        except ValueError as error:
            faults[a.name] = str(error)
        except (re.error, AttributeError, TypeError) as error:  # settings of a file that are of another kind
            faults[a.name] = f"the settings of its file can't be read: {error}"
    return Router(routable(pipeline), factors, words, faults)


def weighted(factors: Factors, weight: float) -> Factors:
    """The factors of an adapter applied at `weight`."""
    return {layer: (down, weight * up) for layer, (down, up) in factors.items()}
