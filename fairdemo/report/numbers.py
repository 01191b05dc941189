"""Numbers as people read them: shares and bias(P) with their intervals, a dash where nothing was counted."""

import math

from fairdemo.measures import Interval, Shares

DASH = "–"


def format_share(share: float, interval: Interval) -> str:
    """A share with its interval."""
    return DASH if math.isnan(share) else f"{share:.0%} ({interval[0]:.0%} to {interval[1]:.0%})"


def format_bias(found: Shares) -> str:
    """An attribute's bias(P) with its interval."""
    low, high = found.bias_interval
    return DASH if math.isnan(found.bias) else f"{found.bias:.2f} ({low:.2f} to {high:.2f})"


def format_chance(found: Shares) -> str:
    """The bias(P) that an even model shows by chance among as many faces."""
    return DASH if math.isnan(found.bias_by_chance) else f"{found.bias_by_chance:.2f}"
