"""What of a captioned image set is asked for, and what every kind of set gives."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Protocol

import pandas as pd
from pydantic import BaseModel, Field, field_validator

from fairdemo.checked import Real
from fairdemo.data.item import Item

# What may be left out of a finding.
SEVERAL_FACES, CHILDREN, DUPLICATES = "several faces", "children", "near-duplicates"
LEAVABLE = (SEVERAL_FACES, CHILDREN, DUPLICATES)


class Captioned(BaseModel, frozen=True, extra="forbid"):
    """A captioned image set. Columns that aren't named are guessed."""

    # "embedded" or "embedded balanced", a folder with a table of captions, Parquet, CSV, TSV or JSONL files,
    # WebDataset shards (.tar), or owner/name of a dataset on the Hub.
    source: str
    image: str = ""  # the column of images: their files, paths or addresses
    caption: str = ""  # the column of captions
    leave_out: tuple[str, ...] = LEAVABLE  # of what is found, beside images of nobody or of several people
    allow_hosts: tuple[str, ...] = ()  # hosts that may be in a private network
    seconds: Annotated[Real, Field(gt=0, le=600)] = 20.0  # that a download may take

    @field_validator("leave_out")
    @classmethod
    def _leavable(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [n for n in names if n not in LEAVABLE]:
            raise ValueError(f"{wrong[0]!r} can't be left out; these can: {', '.join(LEAVABLE)}")
        return names

    @property
    def name(self) -> str:
        """Its name in tables."""
        path = Path(self.source)
        return (path.resolve().name if path.exists() else self.source).replace(",", "")


class ImageSet(Protocol):
    """A captioned image set that is open: items by number, in the order of its files."""

    count: int
    drawn: bool  # people are drawn, not photographed
    notice: str  # what was guessed or left aside

    def items(self, numbers: Sequence[int]) -> list[Item]:
        """Images with captions."""
        ...

    def fingerprint(self) -> str:
        """A hash of what decides its items."""
        ...

    def truth(self, numbers: Sequence[int]) -> pd.DataFrame | None:
        """Who the images of some numbers show, in the columns race and gender, where that is known."""
        ...
