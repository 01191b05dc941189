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
from fairdemo.prompts import profession as profession_in
from fairdemo.targets import PRESETS, Target
from fairdemo.ui import charts
from fairdemo.ui.face_wall import wall
from fairdemo.ui.wish import linked, preview
from fairdemo.workforce import workforce

CSS = Path(__file__).with_name("theme.css")
INTRO = """# fairdemo
Ask an image model for *a doctor* and look at who it draws. Left, the model as it is; right, the same model **from the same noise** with adapters
mixed for the distribution that you choose. A classifier labels every face; the bars count what it says."""
LIMITS = """The embedded model draws **characters made by code, not people**: a tiny SDXL trained by this project on portraits whose truth is known. It exercises the
instrument and is no claim about anyone. Race, gender and age are *as perceived by a classifier*, which errs; a binary gender and six races leave people out."""
CHOICES = {preset.title: name for name, preset in PRESETS.items()} | {"As in the US workforce": "workforce", "My own": "own"}
RUNNING: dict[str, threading.Event] = {}  # one cancel event per browser session


@cache
def studio() -> Studio:
    return Studio("embedded")


def own_target(women: float, *races: float) -> Target:
    """The target of the sliders, in percent; races are linked, so that they sum to 100 but for rounding. ValueError if all are 0."""
    if sum(races) <= 0:
        raise ValueError("target shares of race are all 0 %; at least one must be above")
    return {"race": {r: v / sum(races) for r, v in zip(RACES, races)}, "gender": {"Female": women / 100, "Male": 1 - women / 100}}


def wished(choice: str, prompt: str, women: float, *races: float) -> Target:
    """The target of a choice; ValueError if the prompt names no profession with a US labour statistic and the choice needs one."""
    if choice == "own":
        return own_target(women, *races)
    return workforce(profession_in(prompt)).target if choice == "workforce" else PRESETS[choice].target


def origin_words(choice: str, prompt: str) -> str:
    """Where a choice's numbers come from and what they leave out."""
    if CHOICES[choice] == "own":
        return "Your own shares, from the sliders below; the races always sum to 100 %."
    try:
        preset = workforce(profession_in(prompt)) if CHOICES[choice] == "workforce" else PRESETS[CHOICES[choice]]
    except ValueError:
        return "There is no US labour statistic for this prompt. Name one profession, such as doctor, nurse or pilot."
    shares = ", ".join(f"{c} {v:.0%}" for shares in preset.target.values() for c, v in shares.items() if c != "Male")
    return f"{shares or 'Nothing is steered'}. Source: {preset.source}. {preset.limits}"


def foresee(prompt: str, n: float, seed: float, choice: str, women: float, *races: float) -> str:
    """The planned mix for what is set now; empty while the input is no good (pressing Draw says why)."""
    try:
        return preview(studio().plan(prompt, wished(CHOICES[choice], prompt, women, *races), int(n or 0), int(seed or 0)))
    except ValueError:
        return ""


def outputs(comparison, n: int, status: str) -> list:
    return [wall(comparison, "baseline", n), wall(comparison, "debiased", n), *(charts.histogram(comparison, a) for a in CLASSES),
            charts.words(comparison) if comparison and comparison.pairs else "", status]


def draw(prompt: str, n: float, seed: float, choice: str, women: float, asian: float, black: float, indian: float, latinx: float, middle_eastern: float,
         white: float, steer: bool, request: gr.Request, progress=gr.Progress()) -> Iterator[list]:
    """Draws n pairs and streams walls, histograms and words as batches finish. Shares in percent; they count for "My own"."""
    try:
        target = wished(CHOICES[choice], prompt, women, asian, black, indian, latinx, middle_eastern, white)
        plan = studio().plan(prompt, target, int(n or 0), int(seed or 0), steer=steer)
    except ValueError as error:
        raise gr.Error(str(error), title="Please check the input", print_exception=False) from None
    comparison = plan.comparison
    cancel = RUNNING[request.session_hash] = threading.Event()
    start = time.perf_counter()
    yield outputs(comparison, comparison.n, "Drawing …")

    def step(share: float) -> None:
        seconds = (time.perf_counter() - start) * (1 - share) / max(share, 0.02)
        progress(share, desc=f"Drawing {comparison.n} pairs, about {seconds:.0f} s left" if share > 0.05 else f"Drawing {comparison.n} pairs")

    try:
        for grown in studio().run(plan, step, cancel):
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
                choice = gr.Dropdown(list(CHOICES), value=next(iter(CHOICES)), label="Wanted distribution", filterable=False, elem_id="target")
                origin = gr.Markdown(origin_words(next(iter(CHOICES)), "a photo of a doctor"), elem_id="origin")
            with gr.Column(scale=3, min_width=240):
                n = gr.Slider(4, 64, 16, step=4, label="Number of pairs", elem_id="number")
                with gr.Row():
                    seed = gr.Number(7, label="Seed", precision=0, minimum=0, maximum=2**31 - 1, min_width=90, scale=3)
                    die = gr.Button("Roll", min_width=60, scale=1, elem_id="die")
                steer = gr.Checkbox(True, label="Steer", info="what was counted so far decides what is drawn next", elem_id="steer")
        with gr.Group(visible=False) as sliders:
            with gr.Row():
                women = gr.Slider(0, 100, 50, step=1, label="Women, %", min_width=150)
                races = [gr.Slider(0, 100, round(100 / 6, 1), step=0.1, label=f"{r}, %", min_width=130, elem_id=f"race-{i}") for i, r in enumerate(RACES)]
        foreseen = gr.HTML("", elem_id="foreseen", min_height=56)
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
        gr.on([choice.change, prompt.change], lambda c, p: (gr.Group(visible=CHOICES[c] == "own"), origin_words(c, p)), [choice, prompt], [sliders, origin], show_progress="hidden")
        for i, slider in enumerate(races):
            slider.input(lambda *shares, i=i: linked(list(shares), i), races, races, show_progress="hidden", trigger_mode="always_last")
        gr.on([blocks.load, prompt.change, choice.change, *(s.change for s in (women, *races))], foresee, [prompt, n, seed, choice, women, *races], foreseen,
              show_progress="hidden", trigger_mode="always_last")
        inputs, results = [prompt, n, seed, choice, women, *races, steer], [*walls, *plots, counted, status]
        gr.on([go.click, prompt.submit], draw, inputs, results, show_progress="full", show_progress_on=status, concurrency_limit=1, api_name="compare")
        halt.click(stop, None, None, queue=False)
    return blocks


def launch() -> None:
    """Serves the page; the model is loaded while the browser opens."""
    threading.Thread(target=studio().load, daemon=True).start()
    page().queue(default_concurrency_limit=4).launch(theme=gr.themes.Soft(primary_hue="teal", neutral_hue="slate", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]), css_paths=CSS, footer_links=["gradio", "settings"])
