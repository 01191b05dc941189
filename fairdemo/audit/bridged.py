"""From a captioned set to a model: how women's shares by profession carry over, for each origin of an
audit."""

from collections.abc import Sequence
from dataclasses import dataclass

from fairdemo.audit.findings import CONTROL, Cell, Share
from fairdemo.stats import prompts
from fairdemo.stats.bridge import Bridge, Carried, bridge

WOMEN = "women"


@dataclass(frozen=True)
class Bridged:
    """How a group's shares carry over from a set into what an origin draws; without a line it says why."""

    origin: str
    group: str
    points: list[Carried]
    line: Bridge | None
    why: str = ""


def share_of(cell: Cell, group: str) -> Share:
    """A group's share among a cell's faces."""
    return cell.women if group == WOMEN else cell.races[group]


def counts(cells: Sequence[Cell], origin: str, group: str) -> dict[str, tuple[int, int]]:
    """Count and faces of a group, by profession."""
    found: dict[str, tuple[int, int]] = {}
    for c in cells:
        name = prompts.profession(c.prompt)
        if c.origin == origin and c.listed != CONTROL and name:
            one, (count, n) = share_of(c, group), found.get(name, (0, 0))
            found[name] = count + one.count, n + one.n
    return found


def bridged(data: Sequence[Cell], of: str, model: Sequence[Cell], group: str = WOMEN) -> list[Bridged]:
    """The bridges from the set `of` among the cells of `data` to every origin of a model's audit."""
    there, found = counts(data, of, group), []
    for origin in dict.fromkeys(c.origin for c in model):
        drawn = counts(model, origin, group)
        points = [
            Carried(name, there[name], drawn[name])
            for name in there
            if name in drawn and there[name][1] > 1 and drawn[name][1] > 1
        ]
        try:
            found.append(Bridged(origin, group, points, bridge(points)))
        except ValueError as error:
            found.append(Bridged(origin, group, points, None, str(error)))
    return found
