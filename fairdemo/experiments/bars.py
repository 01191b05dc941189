"""What measurements were to show (`bars.toml`), and which of it they don't."""

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BARS = Path(__file__).parent / "bars.toml"


@dataclass(frozen=True)
class Bar:
    """A value of a part of the measurements, and between which bounds it was to lie."""

    part: str
    path: str  # of keys, with dots between them; "*" is every key
    at_least: float = float("-inf")
    at_most: float = float("inf")

    def told(self) -> str:
        """It in words."""
        bounds = {">=": self.at_least, "<=": self.at_most}
        wanted = " and ".join(f"{sign} {v:g}" for sign, v in bounds.items() if abs(v) < float("inf"))
        return f"{self.part}: {self.path} {wanted}"


def read_bars(path: Path = BARS) -> list[Bar]:
    """All bars of a file."""
    parts = tomllib.loads(path.read_text(encoding="utf-8"))
    return [Bar(part, key, **bounds) for part, bars in parts.items() for key, bounds in bars.items()]


def values(found: Any, keys: list[str]) -> Iterator[float]:
    """The numbers at a path of keys; KeyError if there is none."""
    if not keys:
        yield float(found)
        return
    for key in found if keys[0] == "*" else [keys[0]]:
        yield from values(found[key], keys[1:])


def missed(measured: Mapping[str, Any], bars: list[Bar]) -> list[tuple[Bar, float]]:
    """The bars that the measured values don't reach, with the value farthest off; parts that weren't measured
    miss nothing."""
    found = []
    for bar in bars:
        if bar.part in measured:
            off = [
                (max(bar.at_least - v, v - bar.at_most), v)
                for v in values(measured[bar.part], bar.path.split("."))
            ]
            if not off:
                raise KeyError(bar.told())
            worst, value = max((math.inf if math.isnan(v) else gap, v) for gap, v in off)
            if worst > 0:
                found.append((bar, value))
    return found
