"""Reading a run's settings: a TOML file into a dataclass, and numbers within their bounds."""

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

Settings = TypeVar("Settings")


def read(path: Path, kind: type, make: Callable[..., Settings]) -> Settings:
    """What `make` makes of a TOML file's keys, which are fields of the dataclass `kind`, lists as tuples; ValueError names what is wrong with it."""
    try:
        data: dict[str, Any] = tomllib.loads(path.read_text())
        unknown = set(data) - {f.name for f in fields(kind)}
        if unknown:
            raise ValueError(
                f"unknown key {sorted(unknown)[0]!r}; known are {', '.join(f.name for f in fields(kind))}"
            )
        return make(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})
    except (OSError, TypeError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValueError) as error:
        raise ValueError(f"config {str(path)!r} can't be used: {error}") from None


def check_bounds(settings: object, bounds: Iterable[tuple[str, float, float]]) -> None:
    """ValueError names the first field of (name, lowest, highest) that is no number within its bounds."""
    for key, low, high in bounds:
        value = getattr(settings, key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise ValueError(f"{key} is {value!r}; a number from {low} to {high} is expected")
