"""Links: what a comparison's address holds, and what an address asks for."""

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fairdemo import request
from fairdemo.comparison import check_dtype
from fairdemo.stats.mix import Source
from fairdemo.studio.studio import Plan

LETTERS = string.ascii_letters + string.digits  # two a source: slots in a link
MAX_SLOTS = 64


@dataclass(frozen=True)
class Link:
    """What a link asks for."""

    asked: dict[str, Any] = field(default_factory=dict)  # fields of a request, each checked
    slots: str = ""  # letters, two each, for the sources of the wall; empty: the mix chooses
    unknown: list[str] = field(default_factory=list)  # what was left out since it isn't valid
    dtype: str = ""  # the number formats that its images were computed in; empty: an older link doesn't say


def query(plan: Plan, sources: list[Source]) -> str:
    """The address's query for a comparison: what was asked for, what every slot was drawn with, and in
    which number formats.
    `sources` are all that the studio has, in their order."""
    places = map(sources.index, plan.slots)
    letters = "".join(LETTERS[i // 62] + LETTERS[i % 62] for i in places)
    own = plan.comparison.dtype
    return plan.request.as_link(slots=letters, **({"dtype": own} if own else {}))


def follow(parameters: Mapping[str, str], profiles: list[str]) -> Link:
    """A link's parameters, each checked; a profile must be one of `profiles`."""
    asked, unknown = request.from_link(parameters, profiles)
    strange = "profile" in parameters and "profile" not in asked  # its slots mean nothing here
    slots, dtype = ("" if strange else parameters.get(key, "") for key in ("slots", "dtype"))
    try:
        check_dtype(dtype)
    except ValueError:
        unknown, dtype = [*unknown, f"dtype “{dtype[:40]}”"], ""
    if set(slots) - set(LETTERS) or len(slots) > 2 * MAX_SLOTS or len(slots) % 2:
        unknown, slots = [*unknown, f"slots “{slots[:40]}”"], ""
    return Link(asked, slots, unknown, dtype)


def slots_of(letters: str, sources: list[Source], n: int) -> list[Source] | None:
    """The slots that a link's letters stand for; None if they don't fit the number of images or the sources
    that there are."""
    places = [LETTERS.index(a) * 62 + LETTERS.index(b) for a, b in zip(letters[::2], letters[1::2])]
    fits = len(places) == n and max(places, default=0) < len(sources)
    return [sources[i] for i in places] if fits else None
