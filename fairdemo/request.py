"""A request: what somebody asks to see. The page, the command line, the API, links, saved comparisons and
plans all speak it, and it is checked here alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlencode

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    PlainValidator,
    StrictBool,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from fairdemo.checked import Real, Whole, one_line
from fairdemo.stats import mix, prompts, targets
from fairdemo.stats.prompts import Prompt
from fairdemo.stats.targets import Target
from fairdemo.stats.workforce import wished

MIX = "mix"  # the method that mixes adapters
Dtype = Literal["", "float32", "bfloat16", "float16"]  # a number format to compute in; "": unknown
NAMES = {"n": "number of pairs", "steps": "number of steps"}  # of keys, in messages


@dataclass(frozen=True)
class Limits:
    """What may be asked for, lowest and highest."""

    n: tuple[int, int] = (1, 512)  # pairs
    seed: tuple[int, int] = (0, 2**31 - 1)
    steps: tuple[int, int] = (2, 100)
    guidance: tuple[float, float] = (1, 20)


COMMAND_LINE = Limits()
SERVER = Limits(n=(1, 64), steps=(2, 50), guidance=(1, 10))  # one model serves everybody who visits


def _tuned(value: Any) -> Any:
    """An empty field means the profile's own setting."""
    return None if value == "" else value


class Request(BaseModel):
    """A comparison that is asked for. `Request.checked` makes one from outside input."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Annotated[Prompt, PlainValidator(prompts.read), PlainSerializer(str, return_type=str)]
    profile: str = "embedded"  # which model draws, or which pack is chosen from
    n: Whole = 16  # pairs
    seed: Whole = 0  # the same seed gives the same noise
    # The wished shares; what is left open stays as the baseline has it.
    target: Annotated[Target, PlainValidator(targets.check)] = targets.check(
        targets.PRESETS["uniform"].target
    )
    method: str = MIX  # how the wall is debiased
    rounding: Literal["largest remainder", "random"] = "largest remainder"  # how a mix becomes whole slots
    steering: StrictBool = True  # whether what was classified so far changes the slots that are left
    dependence: Literal["independent", "baseline"] = "independent"  # how the target's attributes go together
    steps: Annotated[Whole | None, BeforeValidator(_tuned)] = None  # of the sampler; none: the profile's
    guidance: Annotated[Real | None, BeforeValidator(_tuned)] = None  # none: the profile's

    @field_validator("target", mode="before")
    @classmethod
    def _parsed(cls, target: Any, info: ValidationInfo) -> Any:
        """A target may be written as text; "workforce" is that of the prompt's profession."""
        if isinstance(target, str) and "prompt" in info.data:
            return wished(target, info.data["prompt"].profession)
        return target

    @field_validator("n", "seed", "steps", "guidance")
    @classmethod
    def _within(cls, value: float | None, info: ValidationInfo) -> float | None:
        limits = (info.context or {}).get("limits", COMMAND_LINE)
        low, high = getattr(limits, info.field_name or "")
        if value is not None and not low <= value <= high:
            name = NAMES.get(info.field_name or "", info.field_name)
            raise ValueError(f"{name} is {value}; {low} to {high} are allowed")
        return value

    @classmethod
    def checked(cls, limits: Limits = COMMAND_LINE, **asked: Any) -> "Request":
        """A request within `limits`; ValueError names the input that is wrong and what is allowed."""
        try:
            return cls.model_validate(asked, context={"limits": limits})
        except ValidationError as error:
            told = one_line(error, cls, NAMES)
            raise ValueError(f"request {told}" if told.startswith(("lacks", "has an")) else told) from None

    def but(self, **changed: Any) -> Self:
        """The same request with some fields changed to values that were checked before."""
        return self.model_copy(update=changed)

    def same_wall(self, other: "Request") -> bool:
        """Whether it differs from another in the wish alone, so that images drawn for one still hold."""
        return self.but(target={}) == other.but(target={})

    @property
    def steers(self) -> bool:
        """Whether slots of a mix may change while the wall grows: not those that are left to chance."""
        return self.steering and self.rounding == mix.ROUNDINGS[0]

    def as_json(self) -> dict[str, Any]:
        """Plain values, from which `checked` makes the same request."""
        return self.model_dump()

    def as_link(self, **more: str) -> str:
        """The query of a link that asks for the same, with `more` parameters."""
        plain = {
            **self.as_json(),
            "target": targets.written(self.target),
            "steering": "yes" if self.steering else "no",
        }
        return "?" + urlencode({**{k: v for k, v in plain.items() if v is not None}, **more})

    def as_arguments(self) -> list[str]:
        """The arguments of `fairdemo compare` that ask for the same."""
        options = {
            k: v for k, v in self.as_json().items() if v is not None and k not in ("prompt", "steering")
        }
        options["target"] = targets.written(self.target)
        words = [f"--{k}={v}" for k, v in options.items() if k != "n"]
        return [
            f"-n={self.n}",
            *words,
            "--steering" if self.steering else "--no-steering",
            "--",
            self.prompt.text,
        ]


# What an older version's link or saved comparison called the settings.
OLD_KEYS = {"steer": "steering"}


def renamed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """An older version's settings under today's names: its one "method" was a rounding or a method."""
    found = {OLD_KEYS.get(k, k): v for k, v in settings.items()}
    if found.get("method") in mix.ROUNDINGS:
        found["rounding"] = found.pop("method")
    return found


def from_link(
    parameters: Mapping[str, str], profiles: Iterable[str], limits: Limits = SERVER
) -> tuple[dict[str, Any], list[str]]:
    """What a link asks for, each parameter checked by itself, and what was left out since it isn't valid."""
    found: dict[str, Any] = {}
    unknown: list[str] = []
    try:
        prompt = prompts.read(parameters.get("prompt", "")).text
    except ValueError:
        prompt = "a photo of a person"  # so that the others are still checked
    for key, text in renamed(parameters).items():
        if key not in Request.model_fields:
            continue
        try:
            value = _typed(key, text[:8000])
            if key == "profile" and value not in profiles:
                raise ValueError
            if key == "prompt":
                found[key] = prompts.read(value).text
            else:
                found[key] = getattr(Request.checked(limits, prompt=prompt, **{key: value}), key)
        except ValueError:
            unknown.append(f"{key} “{text[:40]}”")
    return found, unknown


def _typed(key: str, text: str) -> Any:
    """A link's text as the kind of value that a field holds; ValueError if it can't be."""
    if key in ("n", "seed", "steps"):
        return int(text)
    if key == "guidance":
        return float(text)
    if key == "steering":
        return {"yes": True, "no": False}.get(text, text)
    return text
