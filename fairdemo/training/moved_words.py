"""Words that no prompt has: a prompt's own, moved at random in the space that the run's words span, so that
what is learned of a few carries over to others.

NEFTune (arXiv 2310.05914) adds noise without a preferred direction; that of a table with a few words'
meaning in it moves a word towards some of them and away from others."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from diffusers import DiffusionPipeline

from fairdemo.models.routing import ENCODERS


class MovedWords:
    """Tokens that tell `prompts` apart (those in fewer than half of them) are moved by `deviation` times
    the standard deviation of their embeddings, in each direction in proportion, within `moved`. ValueError
    if the prompts have fewer than two such tokens."""

    def __init__(self, pipeline: DiffusionPipeline, prompts: tuple[str, ...], deviation: float):
        self.seed: int | None = None
        for encoder, tokenizer in ENCODERS.values():
            module = getattr(pipeline, encoder, None)
            if module is not None:
                found = [
                    set(ids)
                    for ids in getattr(pipeline, tokenizer)(list(prompts), add_special_tokens=False).input_ids
                ]
                counts = Counter(i for ids in found for i in ids)
                tokens = torch.tensor(sorted(i for i, n in counts.items() if n < len(prompts) / 2))
                if len(tokens) < 2:
                    raise ValueError("moving words needs prompts that differ in at least two of them")
                table = module.get_input_embeddings()
                rows = table.weight.detach()[tokens.to(table.weight.device)]
                table.register_forward_hook(
                    self._hook(tokens.to(rows.device), deviation * (rows - rows.mean(0)) / len(rows) ** 0.5)
                )

    def _hook(self, tokens: torch.Tensor, directions: torch.Tensor) -> Callable[..., torch.Tensor | None]:
        def move(
            module: torch.nn.Module, args: tuple[torch.Tensor], out: torch.Tensor
        ) -> torch.Tensor | None:
            if self.seed is None:
                return None
            # the same draw for every text encoder and sample: a word that moves means the same to both, and
            # in an image as in its twin
            how = torch.randn(
                out.shape[-2], len(tokens), generator=torch.Generator().manual_seed(self.seed)
            ).to(directions)
            return out + torch.isin(args[0], tokens)[..., None] * (how @ directions)

        return move

    @contextmanager
    def moved(self, seed: int) -> Iterator[None]:
        """Each seed moves words in its own way."""
        self.seed = seed
        try:
            yield
        finally:
            self.seed = None
