"""The lesson: its steps, its questions, and what an answer may be. Everything is chosen, nothing is typed."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, field_validator, model_validator

from fairdemo.checked import Whole
from fairdemo.stats import targets
from fairdemo.stats.attributes import RACES

STEPS = ("lobby", "guess", "look", "compare", "decide", "methods", "end")
WALL = 16  # images that are guessed and looked at
GUESSED = ("doctor", "nurse", "CEO", "housekeeper")  # professions
REASONS = ("world-is", "world-should-be", "everybody-alike", "as-asked", "dont-know")
PAIRS = 4  # blind pairs of walls
SHOWN = 6  # pictures of a wall in a blind pair
Percent = Annotated[Whole, Field(ge=0, le=100)]


class Guess(BaseModel, frozen=True, extra="forbid"):
    """How many of a wall's people somebody expects."""

    women: Annotated[Whole, Field(ge=0, le=WALL)]
    white: Annotated[Whole, Field(ge=0, le=WALL)]


class Wish(BaseModel, frozen=True, extra="forbid"):
    """What somebody would have a model draw, and why."""

    women: Percent
    race: dict[Literal[RACES], Percent]  # type: ignore[valid-type]  # in parts, whatever they add up to
    reason: Literal[REASONS]  # type: ignore[valid-type]

    @model_validator(mode="after")
    def _some(self) -> Self:
        if set(self.race) != set(RACES) or not sum(self.race.values()):
            raise ValueError("race needs all six classes, not all of them 0")
        return self


class Facts(BaseModel, frozen=True, extra="forbid"):
    """What a teacher has set in a lesson."""

    free: bool = False  # everybody at their own pace
    profession: Literal[GUESSED] = GUESSED[0]  # type: ignore[valid-type]  # that is looked at
    wish: dict[str, dict[str, float]] | None = None  # the class's target, once it is to be drawn
    revealed: bool = False  # whether the names of blind pairs are shown

    @field_validator("wish")
    @classmethod
    def _target(cls, value: Any) -> Any:
        return value if value is None else targets.check(value)


QUESTIONS: Mapping[str, tuple[str, TypeAdapter]] = {  # by the step at which they are open
    **{f"guess-{name}": ("guess", TypeAdapter(Guess)) for name in GUESSED},
    "wish": ("decide", TypeAdapter(Wish)),
    **{f"pair-{k}": ("methods", TypeAdapter(Literal["left", "right", "alike"])) for k in range(PAIRS)},
}


def mirrored(seed: int, number: int, pair: int) -> bool:
    """Whether a phone shows a blind pair's right side on the left: by chance for each phone and pair, so that
    what people prefer isn't where it stood."""
    # The last number keeps these apart from the order of the pair itself.
    return bool(np.random.default_rng([seed, number, pair, 1]).random() < 0.5)


def other_side(vote: Any) -> Any:
    """A vote for the other side of a pair; "alike" stays."""
    return {"left": "right", "right": "left"}.get(vote, vote)


def checked(questions: Mapping[str, tuple[str, TypeAdapter]], question: str, value: Any) -> Any:
    """An answer as it is kept; ValueError names what is wrong with it."""
    if question not in questions:
        raise ValueError(f"question {question[:40]!r} isn't asked here")
    kind = questions[question][1]
    try:
        return kind.dump_python(kind.validate_python(value), mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part)[:40] for part in first["loc"]) or "answer"
        told = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{question}: {where}: {told}") from None
