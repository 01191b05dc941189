"""Methods side by side: the baseline and up to three ways to debias it, from the same noise, counted alike;
and blind pairs of their walls (`arena.js`)."""

import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from fairdemo.comparison import Comparison
from fairdemo.methods.method import Method
from fairdemo.models.gpu import Watch
from fairdemo.models.sampling import Cancelled
from fairdemo.report.numbers import format_bias
from fairdemo.request import MIX, SERVER, Request
from fairdemo.stats import targets
from fairdemo.studio.studio import Plan
from fairdemo.ui.face_wall import wall
from fairdemo.ui.language import label, language_of, say
from fairdemo.ui.limits import Spent, drawing
from fairdemo.ui.offered import EXAMPLE, agreed, default, described, offered, studio
from fairdemo.ui.studio_events import TOLD_EVERY, Values, told
from fairdemo.ui.studio_view import PLAIN, UNIFORM, preset_key
from fairdemo.ui.templates import render
from fairdemo.ui.visits import DRAWS, facts, running, stop
from fairdemo.ui.why import reasons

MOST = 3  # methods beside the baseline
PAIRS, MOST_PAIRS = 8, 16
FIRST = (MIX, "words", "fair diffusion")
METHODS = "methods"  # what is drawn, beside the Studio's wall
CONTROLS: tuple[str, ...] = ("prompt", "profile", "methods", "preset", "n", "seed")


ABOUT: dict[str, dict[str, str]] = tomllib.loads(
    (Path(__file__).parent / "about_methods.toml").read_text(encoding="utf-8")
)


def about(method: Method, language: str) -> str:
    """What a method is, in a language, in English where nobody has written it."""
    return ABOUT.get(language, {}).get(method.name.split(":")[0], method.what)


@dataclass(frozen=True)
class Row:
    """A line of a card."""

    name: str
    value: str
    note: str = ""


def card(comparison: Comparison, side: str, method: Method | None, language: str) -> str:
    """What came of one wall: shares with counts and intervals, bias(P), how far it is from the wish, and what
    else became of the pictures; all as perceived by the classifier."""
    found = comparison.measures.side(side)
    rows = []
    women = found.gender.classes["Female"]
    low, high = women.interval
    value = say(language, "counted_short", count=women.count, n=found.gender.n, low=low, high=high)
    rows.append(Row(say(language, "women"), value if found.gender.n else "–"))
    for attribute, classes in (("gender", 2), ("race", 6)):
        one = found.of(attribute)
        note = say(language, "by_chance", chance=one.bias_by_chance)
        if classes > 2:
            note += ", " + say(language, "of_maximum", share=one.bias * classes / 2)
        name = say(language, "bias_of", what=say(language, attribute).lower())
        rows.append(Row(name, format_bias(one), note))
        if one.to_target:
            name = say(language, "distance_of", what=say(language, attribute).lower())
            rows.append(Row(name, f"{one.to_target.total_variation:.2f}"))
    if kept := found.subject_kept:
        low, high = kept.interval
        value = say(language, "counted_short", count=kept.count, n=kept.n, low=low, high=high)
        rows.append(Row(say(language, "shows", what=comparison.subject), value))
    rows.append(
        Row(
            say(language, "distinct"),
            f"{found.distinct_faces:.1f}" if found.gender.n else "–",
            say(language, "of_faces", n=found.gender.n),
        )
    )
    if side != "baseline":
        rows.append(Row(say(language, "like_twin"), f"{comparison.measures.twins.same_look.value:.2f}"))
    if found.no_face:
        rows.append(Row(say(language, "none_found"), str(found.no_face)))
    if found.failed:
        rows.append(Row(say(language, "failed_short"), str(found.failed)))
    notices = comparison.notices if side != "baseline" else []
    what = about(method, language) if method else say(language, "baseline_card")
    return render("method_card.html", language, method=method, what=what, rows=rows, notices=notices)


# Walls and cards by place, and what is said.
Step = tuple[dict[str, str], dict[str, str], str]


class Drawing:
    """Walls that are drawn one after the other from the same noise; the baseline's images are drawn once."""

    def __init__(
        self, plans: Sequence[Plan], request: gr.Request, progress: Callable, cancel: threading.Event
    ):
        self.plans, self.request, self.progress, self.cancel = plans, request, progress, cancel
        self.language = language_of(request)
        self.start = self.last = time.perf_counter()

    def walls(self, k: int, plan: Plan) -> dict[str, str]:
        """The walls that a plan's comparison shows: its own, and of the first also the baseline's."""
        c, n, shown = plan.comparison, plan.request.n, {}
        for side, place in (("baseline", "0"), ("debiased", str(k + 1))):
            if side == "debiased" or k == 0:
                why = reasons(plan, self.language) if side == "debiased" else {}
                held = {"title": plan.request.method} if side == "debiased" else {}
                shown[place] = wall(c, side, n, self.language, why, held)
        return shown

    def run(self) -> Iterator[Step]:
        """Walls and cards by place as they arrive, and what is said. ValueError if the visitor has used up
        what one may draw."""
        images = sum(len(plan.samples(plan.left)) for plan in self.plans)
        with drawing(self.request, images, self.cancel, **facts(self.plans[0])) as spent:
            yield from self.growing(spent)

    def growing(self, spent: Spent) -> Iterator[Step]:
        """From empty walls to whole ones."""
        yield self.empty(), {str(i): "" for i in range(MOST + 1)}, say(self.language, "drawing")
        try:
            for k, plan in enumerate(self.plans):
                room = studio(plan.request.profile)
                watch = Watch(lambda part, k=k: self.step(k, part), self.cancel, self.waits, spent=spent)
                for _ in room.run(plan, watch):
                    far = say(
                        self.language,
                        "method_so_far",
                        method=plan.request.method,
                        done=len(plan.comparison.pairs),
                        n=plan.request.n,
                    )
                    yield self.walls(k, plan), {}, far
                yield {}, self.cards(k, plan), say(self.language, "drawing")
            took = time.perf_counter() - self.start
            yield {}, {}, say(self.language, "methods_done", k=len(self.plans), seconds=took)
        except Cancelled:
            why = f" ({spent.ended})" if spent.ended else ""
            yield {}, {}, say(self.language, "methods_stopped") + why

    def empty(self) -> dict[str, str]:
        """Walls whose images are still to come; no more than there are methods."""
        n = self.plans[0].request.n
        shown = {"0": wall(None, "baseline", n, self.language, {}, {})}
        for k, plan in enumerate(self.plans):
            shown[str(k + 1)] = wall(None, "debiased", n, self.language, {}, {"title": plan.request.method})
        return {str(k): shown.get(str(k), "") for k in range(MOST + 1)}

    def cards(self, k: int, plan: Plan) -> dict[str, str]:
        """What came of a plan's walls."""
        own = studio(plan.request.profile).asked(plan.request.method)[0]
        shown = {str(k + 1): card(plan.comparison, "debiased", own, self.language)}
        return shown | ({"0": card(plan.comparison, "baseline", None, self.language)} if k == 0 else {})

    def waits(self, seconds: float) -> None:
        """Says when the next pair comes, while others are drawn first."""
        if (now := time.perf_counter()) - self.last > TOLD_EVERY:
            self.last = now
            self.progress(None, desc=say(self.language, "others_first", seconds=max(1, seconds)))

    def step(self, k: int, part: float) -> None:
        """Moves the bar."""
        now = time.perf_counter()
        if now - self.last > TOLD_EVERY:
            self.last = now
            self.progress((k + part) / len(self.plans), desc=say(self.language, "drawing"))


def planned(asked: dict[str, Any]) -> list[Plan]:
    """A plan for each method that was chosen; ValueError names what is wrong."""
    chosen = list(dict.fromkeys(asked.pop("methods") or ()))
    if not 1 <= len(chosen) <= MOST:
        raise ValueError(f"methods are {len(chosen)}; choose 1 to {MOST}")
    if not 1 <= (asked["n"] or 0) <= MOST_PAIRS:
        raise ValueError(f"number of pairs is {asked['n']}; 1 to {MOST_PAIRS} are allowed here")
    target, prompt = asked.pop("preset"), asked.pop("prompt") or ""
    room = studio(asked["profile"])
    agreed(asked["profile"])
    return [
        room.plan(Request.checked(SERVER, **asked, prompt=prompt, target=target, method=method))
        for method in chosen
    ]


def offered_methods(profile: str) -> gr.Dropdown:
    """The list of a profile's methods; what it begins with is chosen."""
    names = studio(profile).methods
    return gr.Dropdown(choices=names, value=[m for m in FIRST if m in names] or names[:1])


@dataclass(frozen=True)
class Screen:
    """The tab's components; walls and cards by place, the baseline's first."""

    controls: dict[str, Any]
    draw: gr.Button
    stop: gr.Button
    status: gr.Markdown
    walls: dict[str, gr.HTML]
    cards: dict[str, gr.HTML]


def screen() -> Screen:
    """Builds the components inside a `gr.Blocks`."""
    names = studio(default()).methods
    small: dict[str, Any] = {"precision": 0, "scale": 1, "min_width": 76}
    many: dict[str, Any] = {"multiselect": True, "max_choices": MOST, "elem_id": "methods-chosen"}
    with gr.Row(elem_id="methods-ask"):
        prompt = gr.Textbox(EXAMPLE, label=label("prompt"), scale=4, max_lines=1, elem_id="methods-prompt")
        models = [(described(p), p) for p in offered()]
        profile = gr.Dropdown(models, value=default(), label=label("profile"), scale=2)
        value = [m for m in FIRST if m in names]
        chosen = gr.Dropdown(names, value=value, label=label("methods"), scale=5, **many)
        presets = [(label(preset_key(p)), p) for p in targets.PRESETS]
        preset = gr.Dropdown(presets, value=UNIFORM, label=label("wanted"), scale=2)
        n = gr.Number(PAIRS, label=label("pairs"), **small)
        seed = gr.Number(7, label=label("seed"), **small)
    with gr.Row(elem_id="methods-go"):
        draw = gr.Button(label("draw"), variant="primary", scale=0, elem_id="methods-draw")
        stop = gr.Button(label("stop"), scale=0, elem_id="methods-stop")
        status = gr.Markdown(label("methods_info"), elem_id="methods-status")
    walls, cards = {}, {}
    with gr.Row(elem_id="methods-walls", equal_height=False):
        for k in range(MOST + 1):
            with gr.Column(min_width=0, elem_classes="method-column"):
                walls[str(k)], cards[str(k)] = gr.HTML("", **PLAIN), gr.HTML("", **PLAIN)
    controls: dict[str, Any] = dict(zip(CONTROLS, (prompt, profile, chosen, preset, n, seed)))
    return Screen(controls, draw, stop, status, walls, cards)


def methods_tab() -> None:
    """Builds the tab inside a `gr.Blocks`, and ties it to what happens."""
    tab = screen()
    arena()

    def drawn(values: Values, request: gr.Request, progress=gr.Progress()) -> Iterator[Values]:
        """Draws all walls, one method after the other."""
        with running(request.session_hash, METHODS) as cancel, told(request):
            plans = planned({name: values[c] for name, c in tab.controls.items()})
            for now, counted, said in Drawing(plans, request, progress, cancel).run():
                shown: Values = {tab.walls[k]: html for k, html in now.items()}
                yield {**shown, **{tab.cards[k]: html for k, html in counted.items()}, tab.status: said}

    def stopped(request: gr.Request) -> None:
        """Ends what this visitor draws here."""
        stop(request.session_hash, METHODS)

    outputs = [*tab.walls.values(), *tab.cards.values(), tab.status]
    one: dict[str, Any] = {**DRAWS, "api_visibility": "private"}
    begins = [tab.draw.click, tab.controls["prompt"].submit]
    shown: dict[str, Any] = {"show_progress": "full", "show_progress_on": tab.status}
    gr.on(begins, drawn, set(tab.controls.values()), outputs, **shown, **one)
    tab.stop.click(stopped, None, None, queue=False, api_visibility="private")
    hidden: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    tab.controls["profile"].input(offered_methods, tab.controls["profile"], tab.controls["methods"], **hidden)


def arena() -> None:
    """The place of blind pairs; `arena.js` fills it."""
    gr.HTML(render("arena.html"), elem_id="arena", **PLAIN)
