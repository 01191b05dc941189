"""The wish before anything is drawn: which adapters will be mixed, what that is expected to give, and what can't be reached."""

import html

from fairdemo.attributes import COLOURS, SHORT, TARGET_CLASSES
from fairdemo.compare import Plan
from fairdemo.mix import Slot


def segments(plan: Plan) -> list[tuple[str, str, float]]:
    """The mix by race and gender as (name, colour, weight), ages added up, the baseline first; weights below half a percent are left out."""
    total: dict[str, tuple[str, float]] = {}
    for slot, weight in zip(plan.mix.task.choice, plan.mix.weights):
        name, colour = group(slot)
        total[name] = (colour, total.get(name, (colour, 0.0))[1] + float(weight))
    return [(name, colour, weight) for name, (colour, weight) in total.items() if weight >= 0.005]


def group(slot: Slot) -> tuple[str, str]:
    race, gender, age = (slot.named(a) for a in TARGET_CLASSES)
    if race:
        return f"{race} {gender}", COLOURS["race"][race]
    return (f"baseline, {age}" if age else "baseline"), "#9aa1ad"


def preview(plan: Plan) -> str:
    """A bar of the mix, and in words what it is expected to give."""
    comparison = plan.comparison
    if not comparison.target:
        return '<section class="mix"><p>Nothing is steered: both walls are the model as it is.</p></section>'
    bar = "".join(f'<span style="--c:{colour};--ink:{ink(colour)};flex-grow:{weight:.4f}" class="{"striped" if name.endswith("Female") else ""}" title="{html.escape(name)}: {weight:.0%} of the images">'
                  f"{html.escape(short(name)) if weight >= 0.045 else ''}</span>" for name, colour, weight in segments(plan))
    expected = "; ".join(", ".join(f"{c} {share:.0%}" for c, share in comparison.mix["expected"][a].items() if not (a == "gender" and c == "Male")) for a in comparison.target)
    missed = [f"{c} {abs(gap):.0%} {'above' if gap > 0 else 'below'} the wish" for gaps in comparison.mix["short"].values() for c, gap in gaps.items()]
    words = f"Out of reach for these adapters: {', '.join(missed)}." if missed else "The adapters can reach this."
    return (f'<section class="mix" aria-label="Planned mix of adapters"><div class="bar">{bar}</div><p>Expected of the debiased wall, as perceived by the classifier: {expected}. '
            f"{words}</p></section>")


def ink(colour: str) -> str:
    """Black or white, whichever is read better on a colour like "#0072B2" (its relative luminance, WCAG 2)."""
    r, g, b = (((int(colour[i:i + 2], 16) / 255 + 0.055) / 1.055) ** 2.4 for i in (1, 3, 5))
    return "#111" if 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 else "#fff"


def linked(shares: list[float], moved: int) -> list[float]:
    """Shares in percent that sum to 100 again after one of them was moved: the others keep their proportions (alike if all were 0)."""
    rest = 100 - shares[moved]
    others = sum(v for i, v in enumerate(shares) if i != moved)
    return [v if i == moved else rest * (v / others if others > 0 else 1 / (len(shares) - 1)) for i, v in enumerate(shares)]


def short(name: str) -> str:
    """A segment's name in a few letters: "As F" for Asian Female."""
    race, _, gender = name.rpartition(" ")
    return f"{SHORT[race]} {SHORT[gender]}" if race in SHORT else name
