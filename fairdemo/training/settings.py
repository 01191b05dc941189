"""The settings of a training run: a TOML file, checked."""

from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from fairdemo.checked import one_line, read_toml


class Settings(BaseModel):
    """A run's settings. Keys of older files are still read under their old names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def but(self, **changed: Any) -> Self:
        """The same settings with some changed, checked anew."""
        return type(self).model_validate({**self.model_dump(), **changed})


Config = TypeVar("Config", bound=Settings)
OLD_KEYS = {"peak": "learning_rate", "validate": "validate_every"}  # of earlier versions


def renamed(settings: dict[str, Any]) -> dict[str, Any]:
    """An earlier version's settings under today's names."""
    return {OLD_KEYS.get(key, key): value for key, value in settings.items()}


def read(path: Path, kind: type[Config], defaults: dict[str, Any] | None = None) -> Config:
    """Settings of a TOML file over some defaults; ValueError names the file and what is wrong with it."""
    data = renamed(read_toml(path, "a run's settings can't be used: config"))
    try:
        return kind.model_validate({**(defaults or {}), **data})
    except ValidationError as error:
        raise ValueError(f"config {str(path)!r} can't be used: {one_line(error, kind)}") from None
