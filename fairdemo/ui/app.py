"""The page: ask, wish, see, measure."""

import random
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import gradio as gr

from fairdemo.attributes import CLASSES, RACES
from fairdemo.compare import Studio
from fairdemo.generate import Cancelled
from fairdemo.prompts import ATTRIBUTES, PROFESSIONS, article
from fairdemo.targets import PRESETS, Target
from fairdemo.ui import charts
from fairdemo.ui.face_wall import wall

CSS = Path(__file__).with_name("theme.css")
INTRO = """# fairdemo
Ask an image model for *a doctor* and look at who it draws. Left, the model as it is; right, the same model **from the same noise** with adapters
mixed for the distribution that you choose. A classifier labels every face; the bars count what it says."""
LIMITS = """The embedded model draws **characters made by code, not people**: a tiny SDXL trained by this project on portraits whose truth is known. It exercises the
instrument and is no claim about anyone. Race, gender and age are *as perceived by a classifier*, which errs; a binary gender and six races leave people out."""
CHOICES = {"Uniform: races and genders alike": "uniform", "Same as baseline": "baseline", "70 % women": "women 70", "My own": "own"}
RUNNING: dict[str, threading.Event] = {}  # one cancel event per browser session


@cache
def studio() -> Studio:
    return Studio("embedded")


def own_target(women: float, *races: float) -> Target:
    """The target of the sliders; shares of races are scaled to sum to one. gr.Error if all are zero."""
    if sum(races) <= 0:
        raise gr.Error("All race sliders are at 0 %; at least one must be above.", title="Target")
    return {"race": {r: v / sum(races) for r, v in zip(RACES, races)}, "gender": {"Female": women / 100, "Male": 1 - women / 100}}


def own_words(women: float, *races: float) -> str:
    total = sum(races)
    if total <= 0:
        return "At least one race must be above 0 %."
    return f"Wanted: {women:.0f} % women; " + ", ".join(f"{r} {v / total:.0%}" for r, v in zip(RACES, races)) + "."


def outputs(comparison, n: int, status: str) -> list:
    return [wall(comparison, "baseline", n), wall(comparison, "debiased", n), *(charts.histogram(comparison, a) for a in CLASSES),
            charts.words(comparison) if comparison and comparison.pairs else "", status]


def draw(prompt: str, n: float, seed: float, choice: str, women: float, asian: float, black: float, indian: float, latinx: float, middle_eastern: float,
         white: float, request: gr.Request, progress=gr.Progress()) -> Iterator[list]:
    """Draws n pairs and streams walls, histograms and words as batches finish. Shares in percent; they count for "My own"."""
    target = own_target(women, asian, black, indian, latinx, middle_eastern, white) if CHOICES[choice] == "own" else PRESETS[CHOICES[choice]]
    try:
        comparison, slots = studio().plan(prompt, target, int(n or 0), int(seed or 0))
    except ValueError as error:
        raise gr.Error(str(error), title="Please check the input", print_exception=False) from None
    cancel = RUNNING[request.session_hash] = threading.Event()
    start = time.perf_counter()
    yield outputs(comparison, comparison.n, "Drawing …")

    def step(share: float) -> None:
        seconds = (time.perf_counter() - start) * (1 - share) / max(share, 0.02)
        progress(share, desc=f"Drawing {comparison.n} pairs, about {seconds:.0f} s left" if share > 0.05 else f"Drawing {comparison.n} pairs")

    try:
        for grown in studio().run(comparison, slots, step, cancel):
            if len(grown.pairs) < comparison.n:
                yield outputs(grown, comparison.n, f"{len(grown.pairs)} of {comparison.n} pairs drawn …")
        status = f"{comparison.n} pairs in {time.perf_counter() - start:.1f} s."
    except Cancelled:
        status = f"Stopped after {len(comparison.pairs)} of {comparison.n} pairs."
    except ValueError as error:
        raise gr.Error(str(error), title="This can't be drawn", print_exception=False) from None
    finally:
        RUNNING.pop(request.session_hash, None)
    yield outputs(comparison, len(comparison.pairs), " ".join([status, *comparison.notices]))


def stop(request: gr.Request) -> None:
    if request.session_hash in RUNNING:
        RUNNING[request.session_hash].set()


def page() -> gr.Blocks:
    with gr.Blocks(title="fairdemo: who does an image model draw?", fill_width=True) as blocks:
        gr.Markdown(INTRO, elem_id="intro")
        with gr.Row(equal_height=False):
            with gr.Column(scale=5, min_width=300):
                prompt = gr.Textbox("a photo of a doctor", label="Prompt", info="Who to draw, in English", lines=1, max_length=1000, elem_id="prompt")
                with gr.Row():
                    profession = gr.Dropdown(list(PROFESSIONS), value="doctor", label="Profession", min_width=130)
                    quality = gr.Dropdown(list(ATTRIBUTES), value=None, label="or an attribute", min_width=130)
            with gr.Column(scale=4, min_width=280):
                choice = gr.Radio(list(CHOICES), value=next(iter(CHOICES)), label="Wanted distribution", elem_id="target")
            with gr.Column(scale=3, min_width=240):
                n = gr.Slider(4, 64, 16, step=4, label="Number of pairs", elem_id="number")
                with gr.Row():
                    seed = gr.Number(7, label="Seed", precision=0, minimum=0, maximum=2**31 - 1, min_width=90, scale=3)
                    die = gr.Button("Roll", min_width=60, scale=1, elem_id="die")
        with gr.Group(visible=False) as sliders:
            with gr.Row():
                women = gr.Slider(0, 100, 50, step=1, label="Women, %", min_width=150)
                races = [gr.Slider(0, 100, 17, step=1, label=f"{r}, %", min_width=130) for r in RACES]
            wanted = gr.Markdown(own_words(50, *[17] * 6), elem_id="wanted", padding=True)
        with gr.Row():
            go = gr.Button("Draw", variant="primary", scale=4, elem_id="draw")
            halt = gr.Button("Stop", scale=1, min_width=80, elem_id="stop")
        status = gr.Markdown("Ready. Drawing 16 pairs takes some seconds on a laptop.", elem_id="status", min_height=48)
        with gr.Row(equal_height=False):
            walls = [gr.HTML(wall(None, side, 16), elem_id=f"wall-{side}", min_height=200) for side in ("baseline", "debiased")]
        with gr.Row():
            plots = [gr.Plot(charts.histogram(None, a), show_label=False, elem_id=f"plot-{a}", min_width=280) for a in CLASSES]
        counted = gr.Markdown("", elem_id="words")
        gr.Markdown(LIMITS, elem_id="limits")

        profession.input(lambda p: (f"a photo of {article(p)}", None), profession, [prompt, quality], show_progress="hidden")
        quality.input(lambda q: (f"a photo of {article(q)} person", None), quality, [prompt, profession], show_progress="hidden")
        die.click(lambda: random.randrange(10_000), None, seed, show_progress="hidden")
        choice.change(lambda c: gr.Group(visible=CHOICES[c] == "own"), choice, sliders, show_progress="hidden")
        for slider in (women, *races):
            slider.input(own_words, [women, *races], wanted, show_progress="hidden")
        inputs, results = [prompt, n, seed, choice, women, *races], [*walls, *plots, counted, status]
        gr.on([go.click, prompt.submit], draw, inputs, results, show_progress="full", show_progress_on=status, concurrency_limit=1, api_name="compare")
        halt.click(stop, None, None, queue=False)
    return blocks


def launch() -> None:
    """Serves the page; the model is loaded while the browser opens."""
    threading.Thread(target=studio().load, daemon=True).start()
    page().queue(default_concurrency_limit=4).launch(theme=gr.themes.Soft(primary_hue="teal", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]), css_paths=CSS, footer_links=["gradio", "settings"])
