"""Links: what a comparison's address holds, and what an address asks for."""

import hashlib
import string
from collections.abc import Mapping, Sequence
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
    check: str = ""  # of what its slots were drawn with; empty: an older link doesn't say


def query(plan: Plan, sources: list[Source]) -> str:
    """The address's query for a comparison: what was asked for, what every slot was drawn with, and in
    which number formats.
    `sources` are all that the studio has, in their order."""
    places = map(sources.index, plan.slots)
    letters = "".join(LETTERS[i // 62] + LETTERS[i % 62] for i in places)
    own, check = plan.comparison.dtype, checksum_of(plan.slots)
    return plan.request.as_link(slots=letters, check=check, **({"dtype": own} if own else {}))


def checksum_of(slots: Sequence[Source]) -> str:
    """Six hexadecimal digits of what slots are drawn with: the same letters mean others where adapters of
    one's own were added or don't load."""
    return hashlib.blake2b("\n".join(s.label for s in slots).encode(), digest_size=3).hexdigest()


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
    return Link(asked, slots, unknown, dtype, parameters.get("check", "") if slots else "")


def slots_of(asked: Link, sources: list[Source], n: int) -> list[Source] | None:
    """The slots that a link's letters stand for; None if they don't fit the number of images, or the sources
    that there are."""
    pairs = zip(asked.slots[::2], asked.slots[1::2])
    places = [LETTERS.index(a) * 62 + LETTERS.index(b) for a, b in pairs]
    if len(places) != n or max(places, default=0) >= len(sources):
        return None
    slots = [sources[i] for i in places]
    return slots if asked.check in ("", checksum_of(slots)) else None
