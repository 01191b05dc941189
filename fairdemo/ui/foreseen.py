"""What a wish will do, before anything is drawn: which adapters will be mixed, what that is expected to
give, and what can't be reached."""

import html

from fairdemo.stats import prompts
from fairdemo.stats.attributes import COLOURS, SHORT, TARGET_CLASSES
from fairdemo.stats.mix import METHODS, Slot
from fairdemo.studio.studio import Plan
from fairdemo.ui.text import say


def segments(plan: Plan) -> list[tuple[str, str, float]]:
    """The mix by race and gender as (name, colour, weight), ages added up, the baseline first; weights
    below half a percent are left out."""
    total: dict[str, tuple[str, float]] = {}
    for slot, weight in zip(plan.mix.task.choice, plan.mix.weights):
        name, colour = group(slot)
        total[name] = (colour, total.get(name, (colour, 0.0))[1] + float(weight))
    return [(name, colour, weight) for name, (colour, weight) in total.items() if weight >= 0.005]


def group(slot: Slot) -> tuple[str, str]:
    race, gender, age = (slot.named(a) for a in TARGET_CLASSES)
    if race:
        return " ".join(filter(None, (race, gender))), COLOURS["race"][race]
    return (f"baseline, {age}" if age else "baseline"), "#9aa1ad"


def preview(plan: Plan, language: str) -> str:
    """A bar of the mix, and in words what it is expected to give."""
    comparison = plan.comparison
    if comparison.settings["method"] not in METHODS:
        several = any(slot.cell for slot in plan.mix.task.choice)
        whole = (
            "<span"
            f' style="--c:#6d5bd0;--ink:#fff;flex-grow:1">{html.escape(comparison.settings["method"])}</span>'
        )
        return (
            '<section class="mix"><div'
            f' class="bar">{bar_of(plan) if several else whole}</div><p>{say(language, "varied_note" if several else "aligned_note")}</p></section>'
        )
    named = prompts.named(comparison.prompt)
    note = say(language, "named", what=", ".join(f"{a} ({c})" for a, c in named.items())) if named else ""
    if not comparison.target:
        return f'<section class="mix"><p>{say(language, "nothing_steered")} {html.escape(note)}</p></section>'
    expected = "; ".join(
        ", ".join(
            f"{c} {share:.0%}"
            for c, share in comparison.mix["expected"][a].items()
            if not (a == "gender" and c == "Male")
        )
        for a in comparison.target
    )
    missed = [
        say(language, "above" if gap > 0 else "below", name=c, gap=abs(gap))
        for gaps in comparison.mix["short"].values()
        for c, gap in gaps.items()
    ]
    words = say(language, "unreachable", gaps=", ".join(missed)) if missed else say(language, "reachable")
    return (
        f'<section class="mix" aria-label="{say(language, "mix")}"><div'
        f' class="bar">{bar_of(plan)}</div><p>{say(language, "expected")}: {expected}. {words}'
        f" {html.escape(note)}</p></section>"
    )


def bar_of(plan: Plan) -> str:
    """The mix as coloured pieces, as wide as their weights."""
    return "".join(
        f'<span style="--c:{colour};--ink:{ink(colour)};flex-grow:{weight:.4f}"'
        f' class="{"striped" if name.endswith("Female") else ""}" title="{html.escape(name)}: {weight:.0%}">'
        f"{html.escape(short(name)) if weight >= 0.045 else ''}</span>"
        for name, colour, weight in segments(plan)
    )


def ink(colour: str) -> str:
    """Black or white, whichever is read better on a colour like "#0072B2" (its relative luminance, WCAG
    2)."""
    r, g, b = (((int(colour[i : i + 2], 16) / 255 + 0.055) / 1.055) ** 2.4 for i in (1, 3, 5))
    return "#111" if 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 else "#fff"


def short(name: str) -> str:
    """A segment's name in a few letters: "As F" for Asian Female."""
    race, _, gender = name.rpartition(" ")
    return SHORT[name] if name in SHORT else f"{SHORT[race]} {SHORT[gender]}" if race in SHORT else name
