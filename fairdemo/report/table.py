"""A comparison as a table."""

import pandas as pd

from fairdemo.comparison import Comparison
from fairdemo.pairs import SIDES, Pair
from fairdemo.stats.attributes import ATTRIBUTES


def harmless(text: str) -> str:
    """A cell's text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def images(comparison: Comparison) -> str:
    """One line an image as CSV: what it was drawn with, and its largest face as perceived by the
    classifier."""
    rows = [row(pair, side, comparison) for pair in comparison.pairs for side in SIDES]
    table = pd.DataFrame(rows).map(lambda v: harmless(v) if isinstance(v, str) else v)
    return table.to_csv(index=False)


def row(pair: Pair, side: str, comparison: Comparison) -> dict[str, object]:
    """One image's line, with the prompt that it was drawn with."""
    faces = pair.side(side).faces
    read: dict[str, object] = {}
    for a in ATTRIBUTES:
        read[a] = faces[0].label(a) if faces else ""
        read[f"{a} probability"] = round(faces[0].probability[a][faces[0].label(a)], 4) if faces else ""
    return {
        "slot": pair.slot,
        "side": side,
        "adapter": pair.adapter if side == "debiased" else "baseline",
        "prompt": comparison.prompts.get(pair.adapter if side == "debiased" else "", comparison.prompt),
        "file": f"{side}/{pair.slot:04d}.png",
        "faces": len(faces),
        **read,
    }
