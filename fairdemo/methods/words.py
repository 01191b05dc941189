"""Words: the wanted race, gender and age put into the prompt by rules."""

from fairdemo.methods.method import Method
from fairdemo.stats import wording
from fairdemo.stats.attributes import AGE_BANDS, GENDERS, RACES
from fairdemo.stats.mix import BASELINE, Source

NAME = "words"
CELLS = [
    *((race, gender) for race in RACES for gender in GENDERS),
    *((age,) for age in AGE_BANDS),
    *((race, gender, age) for race in RACES for gender in GENDERS for age in AGE_BANDS),
]


def told(prompt: str) -> list[str]:
    """Whether the rules change the prompt, and how."""
    found = wording.read(prompt)
    if found.place is None:
        return [f"No words are put into this prompt: {found.why}."]
    example = wording.written(prompt, ("Black", "Female", "old"))
    return [f"The prompt is changed image by image, for instance to “{example}”."]


METHOD = Method(
    name=NAME,
    what=(
        "The wanted race, gender and age are written into the prompt, image by image, by rules. What the"
        " prompt says or implies already stays, and prompts about particular people, several or nobody are"
        " left alone."
    ),
    paper="the prompt injector of arXiv 2402.01002, with rules instead of a language model",
    sources=[BASELINE, *(Source(writer=NAME, cell=cell) for cell in CELLS)],
    writers={NAME: wording.written},
    told=told,
)
