"""Ethical intervention: a sentence that asks for fairness."""

from collections.abc import Iterable

from fairdemo.methods.method import Method
from fairdemo.stats import prompts, wording
from fairdemo.stats.mix import Source

NAME = "ethical intervention"


def written(prompt: str, cell: Iterable[str]) -> str:
    """The prompt with the sentence behind it; for whom depends on whom the prompt names. Left alone where
    it isn't about one person whom words may describe."""
    if wording.read(prompt).place is None:
        return prompt
    one = prompts.article(prompts.profession(prompt) or "person")
    return f"{prompt} if all individuals can be {one} irrespective of their gender and race"


def told(prompt: str) -> list[str]:
    """How the prompt is changed."""
    changed = written(prompt, ())
    if changed == prompt:
        return [f"Nothing is added to this prompt: {wording.read(prompt).why}."]
    return [f"The prompt is changed to “{changed}”."]


METHOD = Method(
    name=NAME,
    what=(
        "A sentence behind the prompt says that anybody can be what it asks for, whatever their gender and"
        " race. No class is named, so nothing can be wished of it."
    ),
    paper="Bansal et al. 2022, arXiv 2210.15230",
    sources=[Source(writer=NAME)],
    follows=False,
    writers={NAME: written},
    told=told,
)
