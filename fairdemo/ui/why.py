"""Why a slot is as it is: what the solver and the steering wanted of it, in a sentence."""

from fairdemo.stats.attributes import ATTRIBUTES
from fairdemo.stats.mix import Source
from fairdemo.studio.studio import Plan
from fairdemo.ui.language import say


def reasons(plan: Plan, language: str) -> dict[int, str]:
    """A sentence for every slot of a plan."""
    return {slot: reason(plan, slot, language) for slot in range(len(plan.slots))}


def reason(plan: Plan, slot: int, language: str) -> str:
    """What was wanted of a slot, whether steering changed that, and whether the classifier agrees."""
    source, planned = plan.slots[slot], plan.planned[slot]
    if not plan.mixed:
        told = say(language, "why_method", method=plan.request.method)
    elif source.is_baseline:
        told = say(language, "why_baseline")
    else:
        weight = plan.comparison.mix.weights.get(source.label, 0.0)
        told = say(language, "why_mix", who=who(source, language), source=source.label, weight=weight)
    if written := plan.comparison.prompts.get(source.label):
        told += " " + say(language, "why_words", prompt=written)
    if planned != source:
        told += " " + say(language, "why_steered", planned=planned.label)
    return told + outcome(plan, slot, source, language)


def who(source: Source, language: str) -> str:
    """The classes that a source stands for, in words."""
    return " · ".join(say(language, f"class_{c.replace(' ', '_')}") for c in source.cell)


def outcome(plan: Plan, slot: int, source: Source, language: str) -> str:
    """Whether the face that came is one of the classes that the slot stood for."""
    pair = next((p for p in plan.comparison.pairs if p.slot == slot), None)
    if pair is None or not pair.debiased.faces or not source.cell:
        return ""
    face = pair.debiased.faces[0]
    missed = [a for a in ATTRIBUTES if source.named(a) not in (None, face.banded(a))]
    if not missed:
        return " " + say(language, "why_hit")
    return " " + say(language, "why_missed", what=", ".join(say(language, a).lower() for a in missed))
