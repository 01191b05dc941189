"""A method: a way to debias, said in the terms in which every image is drawn. Each is one short file; all of
them join the same mixed batch, the same sliders and the same counts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fairdemo.stats.mix import Source

if TYPE_CHECKING:
    from fairdemo.models.generating import Fit, Guide, Writer


@dataclass(frozen=True)
class Method:
    """What a person should know of a method, and how it draws."""

    name: str  # as a request asks for it
    what: str  # two sentences
    paper: str
    # What it draws with; the baseline among them means that it is mixed and steered, and leaves alone what
    # nobody wished.
    sources: Sequence[Source]
    needs: tuple[str, ...] = ()  # beside the model: "adapters", "training", "a language model"
    follows: bool = True  # whether it follows a wished distribution
    calls: float = 1.0  # of the U-Net for an image, against an image without a method
    # Grows when the same name draws other images than before, so that an audit doesn't mix both.
    version: int = 1
    writers: Mapping[str, "Writer"] = field(default_factory=dict)  # who writes the prompts of its sources
    edits: Mapping[str, "Fit"] = field(default_factory=dict)  # of the text's embeddings, by name
    guides: Mapping[str, "Guide"] = field(default_factory=dict)  # what leads the noise of its sources
    # What a visitor should know of a prompt with it, before and after it is drawn; ValueError if it can't be.
    told: Callable[[str], Sequence[str]] = lambda prompt: ()
    after: Callable[[str], Sequence[str]] = lambda prompt: ()

    @property
    def mixes(self) -> bool:
        """Whether a solver mixes its sources with the baseline, and with other such methods."""
        return any(source.is_baseline for source in self.sources)

    def as_json(self) -> dict[str, object]:
        """What there is to know, as plain values."""
        about = {k: getattr(self, k) for k in ("name", "what", "paper", "follows", "calls")}
        return {**about, "needs": list(self.needs), "sources": [s.label for s in self.sources]}
