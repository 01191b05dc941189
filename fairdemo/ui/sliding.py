"""While a slider moves: the wall that stands is reassigned from what is drawn already, without drawing."""

from typing import Any

import gradio as gr

from fairdemo.stats.targets import Target
from fairdemo.studio.ahead import first
from fairdemo.studio.live import Live
from fairdemo.studio.studio import Plan
from fairdemo.ui.board import counts, walls
from fairdemo.ui.foreseen import preview
from fairdemo.ui.language import language_of, say
from fairdemo.ui.mixer import target_of
from fairdemo.ui.offered import studio
from fairdemo.ui.templates import render
from fairdemo.ui.visits import STANDING, Visit


def slide(asked: dict[str, Any], request: gr.Request) -> dict[str, str]:
    """Parts of the page, by place, for a wish on the wall that stands; empty if it doesn't stand here.

    `asked` is {"wish": the mixer's value, "wall": token}, from a browser."""
    try:
        visit, target = STANDING[asked["wall"]], target_of(asked["wish"])
    except (KeyError, TypeError, ValueError):
        return {}
    return parts(visit, target, language_of(request)) if visit.plan else {}


def pooled(wall: str) -> list[int]:
    """How many images that the sliders of a standing wall may ask for are drawn, and how many there are;
    empty if the wall doesn't stand here."""
    visit = STANDING.get(wall) if isinstance(wall, str) else None
    if visit is None or visit.plan is None or not visit.plan.mixed:
        return []
    plan, wanted = visit.plan, first(visit.plan)
    return [len(studio(plan.request.profile).artist.held(plan.setting, wanted)), len(wanted)]


def parts(visit: Visit, target: Target, language: str) -> dict[str, str]:
    """The page's parts for another target on the wall that stands."""
    plan = reassigned(visit, target)
    shown = walls(plan, plan.request.n, language, visit.token) | counts(plan.comparison, language)
    del shown["wall-baseline"]  # nothing changes there
    coming = len(plan.left)
    status = render("status.html", words=say(language, "coming_slots" if coming else "reassigned", k=coming))
    return {**shown, "foreseen": preview(plan, language), "status": status}


def reassigned(visit: Visit, target: Target) -> Plan:
    """The visit's wall for another target, from what is drawn; a wish seen before has the wall it had."""
    assert visit.plan is not None
    room = studio(visit.plan.request.profile)
    if isinstance(room.artist, Live):
        room.artist.turns.touch()
    plan = room.moved(visit.plan, target)
    return visit.seen(plan.request, plan.comparison.target) or room.filled(plan)
