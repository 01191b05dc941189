"""All methods of a profile: those that need no weights, and those that its catalog's adapters are."""

from collections.abc import Sequence

from fairdemo.methods import debias_vl, fair_diffusion, fairimagen, intervention, llm, words
from fairdemo.methods.method import Method
from fairdemo.models.catalog import Adapter
from fairdemo.request import MIX
from fairdemo.stats import mix
from fairdemo.stats.mix import Source

OFFLINE = (words.METHOD, intervention.METHOD)  # what any profile can do
RANDOM = "published random"
EDITED = "fairdemo train uce"  # how the origin of an edit begins, in its entry


def of(adapters: Sequence[Adapter]) -> list[Method]:
    """The methods of a catalog's adapters, the mix first, and those that need none. The order is that in
    which links count sources: new ones come last."""
    mixed = [a for a in adapters if not a.method]
    groups = [Source((a.name,), a.cell) for a in mixed if len(a.cell) == 2]
    named: dict[str, list[Adapter]] = {}
    for a in adapters:
        if a.method:
            named.setdefault(a.method, []).append(a)
    trained = [adapted(name, own) for name, own in named.items() if not edited(own)]
    return [
        *(mix_of(mixed), *trained, *OFFLINE, *([at_random(groups)] if groups else [])),
        *(fairimagen.METHOD, debias_vl.METHOD, llm.METHOD, fair_diffusion.METHOD),
        *(adapted(name, own) for name, own in named.items() if edited(own)),
        fairimagen.WITHOUT_NOISE,
    ]


def edited(adapters: Sequence[Adapter]) -> bool:
    """Whether a method's adapters are edits in closed form, which nothing trained."""
    return adapters[0].source.startswith(EDITED)


def mix_of(adapters: Sequence[Adapter]) -> Method:
    """The mix of adapters, each for a race, a gender or an age."""
    return Method(
        name=MIX,
        what=(
            "Each image is drawn through an adapter for a race and gender, or an age, or through none."
            " A solver finds the shares whose measured result is nearest to the wish, and steers the rest."
        ),
        paper="adapters of arXiv 2402.01002 (SDXL-Inc); the solver is ours",
        sources=mix.sources((a.name, a.cell) for a in adapters),
        needs=("adapters",),
    )


def at_random(groups: Sequence[Source]) -> Method:
    """One of the adapters by chance for each image, as published."""
    return Method(
        name=RANDOM,
        what=(
            "Each image is drawn through one of the adapters for a race and gender, by chance, all alike."
            " Nothing is measured or wished: the result is what chance and the adapters give."
        ),
        paper="arXiv 2402.01002, SDXL-Inc",
        sources=groups,
        needs=("adapters",),
        follows=False,
    )


def adapted(name: str, adapters: Sequence[Adapter]) -> Method:
    """A method that a catalog's adapters are: one with a whole distribution in it, soft tokens, or several
    that stand for classes."""
    sources = [Source((a.name,), a.cell) for a in adapters]
    if any(a.cell for a in adapters):
        what = (
            "Each image is drawn through an adapter for its race, trained on faces that vary more within it."
            " Which race is wished decides which adapter."
        )
        return Method(name, what, "arXiv 2402.01002, SDXL-Div", sources, ("adapters", "training"))
    if edited(adapters):
        what = (
            "What the model reads in a concept's words is edited in closed form, until its images are as even"
            " as wished; the edit is one adapter. The target was fixed then, so sliders don't move it."
        )
        return Method(
            name, what, "Gandikota et al. 2023, arXiv 2308.14761", sources, ("adapters",), follows=False
        )
    kind = "A few trained vectors before the prompt" if adapters[0].tokens else "One adapter"
    what = (
        f"{kind} with a whole distribution in the weights: the same prompt and noise give another person."
        " The target was fixed when it was trained, so sliders don't move it."
    )
    return Method(name, what, "arXiv 2311.07604", sources, ("adapters", "training"), follows=False)
