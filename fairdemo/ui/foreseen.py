"""What a wish will do, before anything is drawn: which adapters will be mixed, what that is expected to
give, and what can't be reached."""

from dataclasses import dataclass

from fairdemo.request import MIX
from fairdemo.stats.attributes import COLOURS, TARGET_CLASSES
from fairdemo.stats.mix import Source
from fairdemo.studio.studio import Plan
from fairdemo.ui.language import say
from fairdemo.ui.templates import render

GREY, VIOLET = "#9aa1ad", "#6d5bd0"  # the baseline; a method that has the whole distribution in it


@dataclass(frozen=True)
class Segment:
    """A piece of the mix's bar, as wide as its weight."""

    name: str
    colour: str
    weight: float

    @property
    def striped(self) -> bool:
        """Women's pieces are striped, since colours stand for races."""
        return self.name.endswith("Female")

    @property
    def title(self) -> str:
        """What pointing at it says."""
        return f"{self.name}: {self.weight:.0%}"


def segments(plan: Plan) -> list[Segment]:
    """The mix by race and gender, ages added up, the baseline first; weights below half a percent are left
    out."""
    total: dict[tuple[str, str], float] = {}
    for source, weight in zip(plan.mix.task.choice, plan.mix.weights):
        key = group(source)
        total[key] = total.get(key, 0.0) + float(weight)
    return [Segment(name, colour, round(w, 4)) for (name, colour), w in total.items() if w >= 0.005]


def group(source: Source) -> tuple[str, str]:
    """What a source is counted as in the bar: a name and a colour."""
    race, gender, age = (source.named(a) for a in TARGET_CLASSES)
    if race:
        return " ".join(filter(None, (race, gender))), COLOURS["race"][race]
    return (f"baseline, {age}" if age else "baseline"), GREY


def preview(plan: Plan, language: str) -> str:
    """A bar of the mix, and in words what it is expected to give."""
    if not plan.mixed:
        several = any(source.cell for source in plan.mix.task.choice)
        bar = segments(plan) if several else [Segment(plan.request.method, VIOLET, 1.0)]
        return render(
            "mix.html",
            language,
            segments=bar,
            words=say(language, "varied_note" if several else "aligned_note"),
        )
    named = plan.request.prompt.named
    note = say(language, "named", what=", ".join(f"{a} ({c})" for a, c in named.items())) if named else ""
    if not plan.comparison.target:
        words = f"{say(language, 'nothing_steered')} {note}"
        return render("mix.html", language, segments=[], words=words)
    drawn = sum(w > 0.005 for w in plan.comparison.mix.weights.values())
    warned = [n for n in plan.comparison.notices if n.startswith(("This model", "“"))]
    words = f"{' '.join(warned)} {say(language, 'sources', k=drawn)} {reachable(plan, language)} {note}"
    foreseen = f"{say(language, 'expected')}: {expected(plan)}."
    return render("mix.html", language, segments=segments(plan), words=words, expected=foreseen)


def expected(plan: Plan) -> str:
    """The shares that the mix is expected to give, of the attributes that are wished for."""
    shares = plan.comparison.mix.expected
    of = {
        a: {c: v for c, v in shares[a].items() if (a, c) != ("gender", "Male")}
        for a in plan.comparison.target
    }
    return "; ".join(", ".join(f"{c} {share:.0%}" for c, share in classes.items()) for classes in of.values())


def reachable(plan: Plan, language: str) -> str:
    """Whether the wish can be reached, and what can't."""
    short = [gap for gaps in plan.comparison.mix.short.values() for gap in gaps.items()]
    missed = [say(language, "above" if gap > 0 else "below", name=c, gap=abs(gap)) for c, gap in short]
    if missed:
        return say(language, "unreachable", gaps=", ".join(missed))
    # What adapters draw was counted; of other methods it is taken on trust that they show whom they ask for.
    return say(language, "reachable" if plan.request.method == MIX else "reachable_if_shown")
