"""What whoever runs the server decides about its visitors, from the environment."""

import os
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fairdemo.checked import one_line
from fairdemo.ui import reach

PREFIX = "FAIRDEMO_"
UNLIMITED = 10**9


class Operator(BaseModel):
    """The settings; each is the variable FAIRDEMO_ and its name in capitals. Limits are of one visitor in ten
    minutes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    password: str = ""  # asked for before anything is shown; empty: none
    limit_images: Annotated[int, Field(ge=1, le=UNLIMITED)] = 2000  # drawn
    limit_seconds: Annotated[int, Field(ge=1, le=UNLIMITED)] = 240  # in which the model works
    limit_uploads: Annotated[int, Field(ge=1, le=UNLIMITED)] = 30  # files
    limit_rooms: Annotated[int, Field(ge=1, le=UNLIMITED)] = 20  # of a class that are opened
    api: Literal["on", "off"] = "on"  # whether programs may call the endpoints
    mcp: Literal["on", "off"] = "on"  # whether they are tools of assistants too
    ahead: Literal["on", "off"] = "on"  # whether versions of a standing wall are drawn while nobody draws
    quota_gb: Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)] = 5.0  # of files of visitors
    # Origins whose pages may show this one in a frame, as a school's learning platform; with blanks between.
    frames: Annotated[str, Field(pattern=r"^(https?://[\w.*:-]+(\s+|$))*$")] = ""
    log: Literal["on", "off", "prompts"] = "off"  # a line of JSON an event; with the prompts only if told to


@lru_cache(1)
def operator() -> Operator:
    """The settings of this program. Where nobody else can visit, limits that aren't set are none; where
    others can, events are logged. SystemExit names a setting that is wrong."""
    names = {name: PREFIX + name.upper() for name in Operator.model_fields}
    told = {name: os.environ[variable] for name, variable in names.items() if os.environ.get(variable)}
    if reach.others_reach():
        told.setdefault("log", "on")
    else:
        told |= {name: str(UNLIMITED) for name in names if name.startswith("limit_") and name not in told}
    try:
        return Operator.model_validate(told)
    except ValidationError as error:
        raise SystemExit(f"fairdemo: {one_line(error, Operator, names)}") from None
