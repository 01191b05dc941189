"""Soft tokens (arXiv 2311.07604, section 5): a few trained vectors before every prompt, in each text
encoder's own table, saved as a textual inversion."""

from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from safetensors.torch import save_file

from fairdemo.models.routing import ENCODERS, add_tokens


class SoftTokens:
    """`rows` (one tensor (n, d) a text encoder) are trained in place of the table's rows; they begin at
    `start`, or near `words`, each in turn until all n have begun. ValueError if there are none."""

    def __init__(
        self,
        pipeline: DiffusionPipeline,
        name: str,
        n: int,
        words: str,
        generator: torch.Generator,
        start: dict[str, torch.Tensor] | None = None,
    ):
        self.rows: list[torch.Tensor] = []
        self.names: list[str] = []
        starts: dict[str, torch.Tensor] = {}
        for key, (encoder, tokenizer) in ENCODERS.items():
            module = getattr(pipeline, encoder, None)
            if module is not None:
                table = module.get_input_embeddings().weight.detach().float()
                ids = getattr(pipeline, tokenizer)(words, add_special_tokens=False).input_ids
                if not ids:
                    raise ValueError(f"words are {words!r}; expected some for the soft tokens to begin at")
                near = table[[ids[k % len(ids)] for k in range(n)]]
                starts[key] = near + 0.1 * near.std() * torch.randn(near.shape, generator=generator).to(near)
        starts = start or starts
        self.token = add_tokens(pipeline, name, starts)
        for key, begun in starts.items():
            encoder, tokenizer = (getattr(pipeline, name) for name in ENCODERS[key])
            rows, first = (
                begun.clone().requires_grad_(),
                getattr(pipeline, ENCODERS[key][1]).convert_tokens_to_ids(self.token),
            )
            encoder.requires_grad_(False)
            encoder.get_input_embeddings().register_forward_hook(
                lambda module, args, out, rows=rows, first=first: replaced(args[0], out, rows, first)
            )
            self.rows.append(rows)
            self.names.append(key)

    def save(self, path: Path) -> None:
        """Writes fp16 safetensors with one tensor a text encoder (clip_l, and SDXL's clip_g), each of which
        `load_textual_inversion` opens."""
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(
            {key: rows.detach().half().cpu().contiguous() for key, rows in zip(self.names, self.rows)}, path
        )


def replaced(ids: torch.Tensor, out: torch.Tensor, rows: torch.Tensor, first: int) -> torch.Tensor:
    """The embeddings (n, 77, d) of tokens `ids` (n, 77), with rows[k] for the token first + k."""
    place = ids - first
    soft = (place >= 0) & (place < len(rows))
    return torch.where(soft[..., None], rows[place.clamp(0, len(rows) - 1)].to(out.dtype), out)
