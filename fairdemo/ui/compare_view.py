"""The Compare screen's components; `compare_events.py` brings them to life."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from fairdemo.request import MIX, SERVER
from fairdemo.stats import mix, targets
from fairdemo.stats.attributes import CLASSES, TARGET_CLASSES
from fairdemo.stats.prompts import ATTRIBUTES, PROFESSIONS
from fairdemo.ui.face_wall import wall
from fairdemo.ui.language import label
from fairdemo.ui.mixer import mixer, wish
from fairdemo.ui.offered import EXAMPLE, default, described, offered, studio

UNIFORM = next(iter(targets.PRESETS))
PLAIN: dict[str, Any] = {"apply_default_css": False}  # HTML that theme.css dresses


@dataclass(frozen=True)
class Ask:
    """What to draw, and with which model."""

    prompt: gr.Textbox
    profession: gr.Dropdown
    quality: gr.Dropdown
    surprise: gr.Button
    n: gr.Slider
    seed: gr.Number
    die: gr.Button
    profile: gr.Dropdown
    note: gr.Markdown  # about the profile
    steps: gr.Slider
    guidance: gr.Slider
    method: gr.Dropdown
    rounding: gr.Dropdown
    dependence: gr.Dropdown
    steering: gr.Checkbox


@dataclass(frozen=True)
class Wish:
    """Which distribution is wanted."""

    preset: gr.Dropdown
    origin: gr.Markdown  # where its numbers come from
    mixer: gr.HTML
    foreseen: gr.HTML  # the planned mix


@dataclass(frozen=True)
class Shown:
    """What was drawn, and what it says."""

    status: gr.Markdown
    walls: dict[str, gr.HTML]
    measured: gr.Column
    corrected: gr.Radio
    plots: dict[str, gr.Plot]
    findings: gr.HTML
    cells: gr.HTML
    history: gr.Dropdown
    download: gr.DownloadButton
    link: gr.HTML


@dataclass(frozen=True)
class Screen:
    """The whole tab."""

    ask: Ask
    wish: Wish
    draw: gr.Button
    stop: gr.Button
    shown: Shown
    visit: gr.State
    slots: gr.State  # letters of a link's slots, which are drawn as they are
    words: gr.HTML  # what `page.js` says


def screen() -> Screen:
    """Builds the tab inside a `gr.Blocks`."""
    visit, slots = gr.State(None, time_to_live=3600), gr.State("")
    words = gr.HTML("", elem_id="words-holder", **PLAIN)
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300, elem_id="ask"):
            ask = ask_card()
        with gr.Column(scale=7, min_width=320, elem_id="wish"):
            preset, origin, mixed = wish_card()
    foreseen = gr.HTML("", elem_id="foreseen", min_height=58, **PLAIN)
    with gr.Row():
        draw = gr.Button(label("draw"), variant="primary", scale=4, elem_id="draw")
        stop = gr.Button(label("stop"), scale=1, min_width=80, elem_id="stop")
    shown = results()
    gr.Markdown(label("limits"), elem_id="limits")
    return Screen(ask, Wish(preset, origin, mixed, foreseen), draw, stop, shown, visit, slots, words)


def ask_card() -> Ask:
    """Prompt, number, noise, and under "Advanced" the model and how it is run."""
    first = studio(default()).artist.profile
    prompt = gr.Textbox(
        EXAMPLE, label=label("prompt"), info=label("prompt_info"), lines=1, max_length=5000, elem_id="prompt"
    )
    with gr.Row():
        profession = gr.Dropdown(list(PROFESSIONS), value="doctor", label=label("profession"), min_width=130)
        quality = gr.Dropdown(list(ATTRIBUTES), value=None, label=label("attribute"), min_width=130)
        surprise = gr.Button(label("surprise"), min_width=140, scale=0, elem_id="surprise")
    with gr.Row():
        n = gr.Slider(*SERVER.n, 16, step=1, label=label("number"), elem_id="number", min_width=200, scale=3)
        low, high = SERVER.seed
        seed = gr.Number(
            7,
            label=label("seed"),
            precision=0,
            minimum=low,
            maximum=high,
            min_width=90,
            scale=1,
            elem_id="seed",
        )
        die = gr.Button(label("roll"), min_width=60, scale=0, elem_id="die")
    with gr.Accordion(label("advanced"), open=False):
        choices = [(described(name), name) for name in offered()]
        profile = gr.Dropdown(
            choices, value=default(), label=label("profile"), min_width=200, elem_id="profile"
        )
        note = gr.Markdown("", elem_id="profile-note")
        with gr.Row():
            steps = gr.Slider(*SERVER.steps, first.steps, step=1, label=label("steps"), min_width=130)
            guidance = gr.Slider(
                *SERVER.guidance, first.guidance, step=0.5, label=label("guidance"), min_width=130
            )
        method = gr.Dropdown(methods(default()), value=MIX, label=label("method"), elem_id="method")
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
        steering = gr.Checkbox(True, label=label("steering"), info=label("steering_info"), elem_id="steer")
    return Ask(
        *(prompt, profession, quality, surprise, n, seed, die, profile, note),
        *(steps, guidance, method, rounding, dependence, steering),
    )


def methods(profile: str) -> list[tuple[Any, str]]:
    """How a profile's walls can be debiased, for a list."""
    return [(label("mix_method") if m == MIX else m, m) for m in studio(profile).methods]


def wish_card() -> tuple[gr.Dropdown, gr.Markdown, gr.HTML]:
    """Presets with their sources, and the sliders."""
    even: targets.Target = {a: {c: 1 / len(cs) for c in cs} for a, cs in TARGET_CLASSES.items()}
    own = [(label("workforce"), "workforce"), (label("own"), "own")]
    presets = [*((preset.title, name) for name, preset in targets.PRESETS.items()), *own]
    preset = gr.Dropdown(presets, value=UNIFORM, label=label("wanted"), filterable=False, elem_id="target")
    origin = gr.Markdown("", elem_id="origin")
    return preset, origin, mixer(wish(targets.PRESETS[UNIFORM].target, even))


def results() -> Shown:
    """Walls, charts, words, and what can be kept of them."""
    status = gr.Markdown(label("ready"), elem_id="status", min_height=48)
    with gr.Row(equal_height=False, elem_id="walls"):
        walls = {
            side: gr.HTML(wall(None, side, 16), elem_id=f"wall-{side}", min_height=200, **PLAIN)
            for side in ("baseline", "debiased")
        }
    with gr.Column(visible=False, elem_id="measured") as measured:
        choices = [(label("observed"), "observed"), (label("corrected"), "corrected")]
        corrected = gr.Radio(choices, value="observed", label=label("shown"), elem_id="corrected")
        with gr.Row():
            plots = {a: gr.Plot(show_label=False, elem_id=f"plot-{a}", min_width=280) for a in CLASSES}
        findings = gr.HTML("", elem_id="findings", **PLAIN)
        cells = gr.HTML("", elem_id="cells", **PLAIN)
        with gr.Row():
            history = gr.Dropdown([], label=label("history"), visible=False, elem_id="history", scale=3)
            gr.Button(label("copy_link"), elem_id="copy-link", scale=1, min_width=140)
            download = gr.DownloadButton(
                label("download"), interactive=False, elem_id="download", scale=1, min_width=160
            )
    link = gr.HTML("", elem_id="link")
    return Shown(status, walls, measured, corrected, plots, findings, cells, history, download, link)
