"""The Studio's components: everything of the loop on one screen; `studio_events.py` brings them to life.

Left the wish, in the middle both walls, right what was counted; on a phone the walls come first, and wish and
counts lie in a sheet at the bottom. `theme.css` places them."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from fairdemo.request import MIX, SERVER
from fairdemo.stats import mix, targets
from fairdemo.stats.attributes import CLASSES
from fairdemo.stats.prompts import ATTRIBUTES, PROFESSIONS
from fairdemo.studio.studio import Plan
from fairdemo.ui.board import board
from fairdemo.ui.foreseen import preview
from fairdemo.ui.language import label
from fairdemo.ui.mixer import mixer, wish
from fairdemo.ui.offered import (
    OPENING_PAIRS,
    asked_first,
    default,
    described,
    offered,
    opening,
    reference,
    studio,
    withheld,
)
from fairdemo.ui.operator import operator
from fairdemo.ui.sliding import pooled, slide
from fairdemo.ui.templates import render
from fairdemo.ui.visits import Visit

UNIFORM = next(iter(targets.PRESETS))
PLAIN: dict[str, Any] = {"apply_default_css": False}  # HTML that theme.css dresses
BARE: dict[str, Any] = {"container": False, "show_label": False}  # a field without a frame
FIRST = Visit()  # of a page that hasn't asked for anything yet
SURPRISE = "surprise"  # what the list of prompts calls one by chance


@dataclass(frozen=True)
class Ask:
    """What to draw, and with which model."""

    prompt: gr.Textbox
    pick: gr.Dropdown  # professions and attributes
    profile: gr.Dropdown
    n: gr.Number
    die: gr.Button
    seed: gr.Number
    steps: gr.Slider
    guidance: gr.Slider
    rounding: gr.Dropdown
    dependence: gr.Dropdown
    steering: gr.Checkbox
    ahead: gr.Checkbox  # whether other sources of a standing wall are drawn in idle time
    method: gr.Dropdown


@dataclass(frozen=True)
class Wish:
    """Which distribution is wanted."""

    preset: gr.Radio
    origin: gr.Markdown  # where its numbers come from
    mixer: gr.HTML
    foreseen: gr.HTML  # the planned mix


@dataclass(frozen=True)
class Shown:
    """What was drawn, and what it says."""

    status: gr.Markdown
    board: dict[str, gr.HTML]  # walls, summary and bars, by their place on the page
    corrected: gr.Radio
    charts: gr.Button
    plotted: gr.Column
    plots: dict[str, gr.Plot]
    findings: gr.HTML
    cells: gr.HTML
    history: gr.Dropdown
    download: gr.Button
    link: gr.HTML


@dataclass(frozen=True)
class Screen:
    """The whole tab."""

    ask: Ask
    wish: Wish
    draw: gr.Button
    stop: gr.Button
    agree: gr.Button  # to what a model takes before it draws
    shown: Shown
    visit: gr.State
    link: gr.State  # the link that was followed, whose slots are drawn as they are; None: they aren't meant
    words: gr.HTML  # what `page.js` says


def screen() -> Screen:
    """Builds the tab inside a `gr.Blocks`. It opens on a finished wall, if one comes with the model."""
    visit, link = gr.State(None, time_to_live=3600), gr.State(None)
    words = gr.HTML("", elem_id="words-holder", **PLAIN)
    FIRST.plan = first = opening(default(), first_prompt())
    fields, draw, stop = ask_bar()
    with gr.Row(elem_id="studio", equal_height=False):
        with gr.Column(elem_id="stage", min_width=0):
            status = gr.Markdown(label("finished_wall" if first else "ready"), elem_id="status")
            agree = gr.Button(
                label("agree"), visible=False, elem_id="agree", variant="primary", size="sm", scale=0
            )
            with gr.Row(elem_id="walls", equal_height=False):
                walls = parts(first, ("wall-baseline", "wall-debiased"))
        with gr.Column(elem_id="sheet", min_width=0):
            gr.HTML(render("handle.html"), elem_id="handle", **PLAIN)
            with gr.Column(elem_id="wish", min_width=0):
                wished, method = wish_column(first)
            with gr.Column(elem_id="seen", min_width=0):
                counted = parts(first, ("summary", "bars-gender", "bars-race", "bars-age"))
                gr.HTML(render("legend.html"), elem_id="legend", **PLAIN)
    with gr.Column(elem_id="details"):
        shown = details(status, {**walls, **counted})
    ask = Ask(*[*fields, method])
    return Screen(ask, wished, draw, stop, agree, shown, visit, link, words)


def first_prompt() -> str:
    """The prompt that a visitor finds."""
    return asked_first(studio(default()).artist)


def parts(plan: Plan | None, places: tuple[str, ...]) -> dict[str, gr.HTML]:
    """Parts of the board by place, as they stand for a plan."""
    shown = board(plan, 16, "en", FIRST.token if plan else "")
    return {place: gr.HTML(shown[place], elem_id=place, **PLAIN) for place in places}


def ask_bar() -> tuple[tuple[Any, ...], gr.Button, gr.Button]:
    """Prompt, model, number, noise, settings; the fields, and the buttons to draw and to stop."""
    picks = [(label("surprise"), SURPRISE), *PROFESSIONS, *(f"{word} person" for word in ATTRIBUTES)]
    with gr.Row(elem_id="ask", equal_height=True):
        prompt = gr.Textbox(
            first_prompt(),
            label=label("prompt"),
            lines=1,
            max_length=5000,
            elem_id="prompt",
            scale=5,
            min_width=160,
            **BARE,
        )
        pick = gr.Dropdown(
            picks, value="doctor", label=label("pick"), elem_id="pick", scale=1, min_width=120, **BARE
        )
        choices = [(described(name), name) for name in offered()]
        choices += [(f"{described(name)} (not offered here)", name) for name in withheld()]
        profile = gr.Dropdown(
            choices,
            value=default(),
            label=label("profile"),
            elem_id="profile",
            scale=2,
            min_width=150,
            **BARE,
        )
        n = gr.Number(
            min(OPENING_PAIRS, studio(default()).artist.most or OPENING_PAIRS),
            label=label("number"),
            precision=0,
            elem_id="number",
            scale=0,
            min_width=84,
            **BARE,
        )
        die = gr.Button("⚄", min_width=44, scale=0, elem_id="die")
        gr.Button("⚙", min_width=44, scale=0, elem_id="show-settings")
        gr.Button("⤢", min_width=44, scale=0, elem_id="present")
        draw = gr.Button(label("draw"), variant="primary", scale=0, min_width=104, elem_id="draw")
        stop = gr.Button(label("stop"), scale=0, min_width=64, elem_id="stop")
    with gr.Column(elem_id="settings"):
        tuned = settings()
    return (prompt, pick, profile, n, die, *tuned), draw, stop


def settings() -> tuple[Any, ...]:
    """What most people never change: noise, sampler, and how a mix becomes a wall."""
    first = studio(default()).artist.profile
    # Numbers have no bounds here: what a request says of a wrong one names it, which Gradio doesn't.
    seed = gr.Number(7, label=label("seed"), precision=0, elem_id="seed")
    with gr.Row():
        steps = gr.Slider(
            *SERVER.steps, first.steps, step=1, label=label("steps"), min_width=130, elem_id="steps"
        )
        guidance = gr.Slider(
            *SERVER.guidance, first.guidance, step=0.5, label=label("guidance"), min_width=130
        )
    rounding = gr.Dropdown(
        list(zip((label("largest_remainder"), label("random_rounding")), mix.ROUNDINGS)),
        value=mix.ROUNDINGS[0],
        label=label("rounding"),
        elem_id="rounding",
    )
    dependence = gr.Dropdown(
        list(zip((label("independent"), label("as_baseline")), targets.DEPENDENCES)),
        value=targets.DEPENDENCES[0],
        label=label("dependence"),
    )
    steering = gr.Checkbox(
        True, label=label("steering"), info=label("steering_info"), elem_id="steer", container=False
    )
    ahead = gr.Checkbox(
        operator().ahead == "on",
        label=label("ahead"),
        info=label("ahead_info"),
        elem_id="ahead",
        container=False,
    )
    return seed, steps, guidance, rounding, dependence, steering, ahead


def methods(profile: str) -> list[tuple[Any, str]]:
    """How a profile's walls can be debiased, for a list."""
    return [(label("mix_method") if m == MIX else m, m) for m in studio(profile).methods]


def wish_column(first: Plan | None) -> tuple[Wish, gr.Dropdown]:
    """Presets with their sources, the sliders, the mix that they make, and the method."""
    names = [*targets.PRESETS, "workforce", "own"]
    choices = [(label(preset_key(name)), name) for name in names]
    gr.HTML(render("wish.html"), elem_id="wish-title", **PLAIN)
    preset = gr.Radio(choices, value=UNIFORM, label=label("wanted"), elem_id="target", **BARE)
    origin = gr.Markdown("", elem_id="origin")
    sliders = mixer(
        wish(targets.PRESETS[UNIFORM].target, reference(first_prompt(), default())), [slide, pooled]
    )
    foreseen = gr.HTML(preview(first, "en") if first else "", elem_id="foreseen", **PLAIN)
    method = gr.Dropdown(
        methods(default()), value=MIX, label=label("method"), elem_id="method", container=False
    )
    return Wish(preset, origin, sliders, foreseen), method


def preset_key(name: str) -> str:
    """The key of a preset's short title among the page's words."""
    return "preset_" + name.replace(" ", "_").replace("/", "_")


def details(status: gr.Markdown, parts: dict[str, gr.HTML]) -> Shown:
    """Below the fold: findings in words, intersections, charts, and what can be kept."""
    with gr.Row(elem_id="keep"):
        history = gr.Dropdown([], label=label("history"), visible=False, elem_id="history", scale=3)
        gr.Button(label("copy_link"), elem_id="copy-link", scale=0, min_width=140)
        download = gr.Button(label("download"), interactive=False, elem_id="download", scale=0, min_width=160)
        charts = gr.Button(label("show_charts"), elem_id="show-charts", scale=0, min_width=140)
    findings = gr.HTML("", elem_id="findings", **PLAIN)
    cells = gr.HTML("", elem_id="cells", **PLAIN)
    with gr.Column(visible=False, elem_id="measured") as plotted:
        choices = [(label("observed"), "observed"), (label("corrected"), "corrected")]
        corrected = gr.Radio(choices, value="observed", label=label("shown"), elem_id="corrected")
        with gr.Row():
            plots = {a: gr.Plot(show_label=False, elem_id=f"plot-{a}", min_width=280) for a in CLASSES}
    gr.Markdown(label("limits"), elem_id="limits")
    link = gr.HTML("", elem_id="link")
    kept = (history, download, link)
    return Shown(status, parts, corrected, charts, plotted, plots, findings, cells, *kept)
