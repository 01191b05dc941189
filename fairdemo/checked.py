"""What a pydantic model refuses, in one line that names the key, its value and what is expected.

Requests, profiles, catalog entries and run files are all checked this way.
"""

import json
import reprlib
import tomllib
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo

Model = TypeVar("Model", bound=BaseModel)


def _integral(value: Any) -> Any:
    """16.0, as a browser may send it, is 16."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_integral), Field(strict=True)]  # no text, and neither true nor false
Real = Annotated[float, Field(strict=True, allow_inf_nan=False)]


def shown(value: Any) -> str:
    """A value in a message, never long: true, false and null as files have them."""
    return json.dumps(value) if isinstance(value, (bool, type(None))) else reprlib.repr(value)


KINDS = {
    "string_type": "text",
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a number",
    "bool": "true or false",
    "dict": "a table",
    "tuple": "a list",
    "list": "a list",
    "missing_argument": "more values",
}


def expected(field: FieldInfo | None, fault: dict[str, Any]) -> str:
    """What a field wants, in words: its kind, its bounds, or both."""
    kind = fault["type"]
    bounds = {
        k: getattr(m, k) for m in (field.metadata if field else ()) for k in ("ge", "le") if hasattr(m, k)
    }
    reach = f"{bounds['ge']} to {bounds['le']}" if len(bounds) == 2 else ""
    if kind == "literal_error" and field:
        return f"allowed are {', '.join(map(str, get_args(field.annotation)))}"
    known = next((text for start, text in KINDS.items() if kind.startswith(start)), None)
    if known:
        return f"expected {known}" + (f" from {reach}" if reach else "")
    return f"{reach} are allowed" if reach else fault["msg"].lower()


def one_line(error: ValidationError, model: type[BaseModel], names: dict[str, str] | None = None) -> str:
    """The first fault of a refused input. `names` are plainer words for keys."""
    fault: dict[str, Any] = dict(error.errors(include_url=False)[0])
    place = [str(part) for part in fault["loc"]]
    key = ".".join(place)
    if fault["type"] == "value_error":  # a check of ours says it all
        return str(fault["ctx"]["error"])
    if fault["type"] == "missing":
        return f"lacks {key!r}"
    if fault["type"] == "extra_forbidden":
        known = [info.alias or name for name, info in model.model_fields.items() if not info.exclude]
        return f"has an unknown key {key!r}; known are {', '.join(known)}"
    field = model.model_fields.get(place[0]) if place else None
    name = (names or {}).get(key, key) or "the whole"
    return f"{name} is {shown(fault['input'])}; {expected(field, fault)}"


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """A TOML file's keys; ValueError that names the file, as `what`, if it can't be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{what} {str(path)!r} can't be read: {error}") from None
