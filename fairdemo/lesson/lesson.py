"""The lesson: its steps, its questions, and what an answer may be. Everything is chosen, nothing is typed."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from fairdemo.checked import Whole

STEPS = ("lobby", "guess", "look", "compare", "decide", "methods", "end")
WALL = 16  # images that are guessed and looked at
GUESSED = ("doctor", "nurse", "CEO", "housekeeper")  # professions
REASONS = (
    "as the world is",
    "as the world should be",
    "everybody alike",
    "as the question was",
    "don't know",
)


class Guess(BaseModel, frozen=True, extra="forbid"):
    """How many of a wall's people somebody expects."""

    women: Annotated[Whole, Field(ge=0, le=WALL)]
    white: Annotated[Whole, Field(ge=0, le=WALL)]


class Wish(BaseModel, frozen=True, extra="forbid"):
    """What somebody would have a model draw, in percent of women, and why."""

    women: Annotated[Whole, Field(ge=0, le=100)]
    reason: Literal[REASONS]  # type: ignore[valid-type]


QUESTIONS: Mapping[str, tuple[str, TypeAdapter]] = {  # by the step at which they are open
    **{f"guess-{name}": ("guess", TypeAdapter(Guess)) for name in GUESSED},
    "wish": ("decide", TypeAdapter(Wish)),
    **{f"pair-{k}": ("methods", TypeAdapter(Literal["left", "right", "alike"])) for k in range(4)},
}


def checked(question: str, value: Any) -> Any:
    """An answer as it is kept; ValueError names what is wrong with it."""
    if question not in QUESTIONS:
        raise ValueError(f"question {question[:40]!r} isn't in the lesson")
    kind = QUESTIONS[question][1]
    try:
        return kind.dump_python(kind.validate_python(value), mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "answer"
        raise ValueError(f"{question}: {where}: {first['msg']}") from None
