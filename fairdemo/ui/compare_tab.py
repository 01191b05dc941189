"""The Compare screen: ask, wish, see, measure, move the wish, share."""

import html
import json
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr

from fairdemo.comparison import Comparison, measures
from fairdemo.models import profiles
from fairdemo.models.generating import Cancelled
from fairdemo.stats import mix, prompts, targets
from fairdemo.stats.attributes import CLASSES, TARGET_CLASSES
from fairdemo.stats.prompts import ATTRIBUTES, PROFESSIONS, photo_of
from fairdemo.stats.workforce import wished, workforce
from fairdemo.studio.studio import Plan
from fairdemo.ui import charts, share
from fairdemo.ui.face_wall import wall
from fairdemo.ui.findings import cells, explanations, findings
from fairdemo.ui.foreseen import preview
from fairdemo.ui.mixer import Wish, mixer, target_of, wish
from fairdemo.ui.profiles import EXAMPLE, asked_first, default, described, drawable, profiles, studio
from fairdemo.ui.text import label, language_of, say

UNIFORM = next(iter(targets.PRESETS))
HISTORY = 6  # comparisons that a visit keeps
MAX_PAIRS = 64
SAME = gr.skip()
RUNNING: dict[str, threading.Event] = {}  # one cancel event per browser session that draws or waits in line


def turned_to(profile: str, prompt: str, n: float, request: gr.Request) -> tuple[Any, ...]:
    """What a profile brings along when it is chosen: methods, steps, guidance, a prompt and a number of
    pairs that it has, and a line about it."""
    language = language_of(request)
    try:
        ready = studio(profile)
    except ValueError as error:
        raise gr.Error(str(error), title=say(language, "check_input"), print_exception=False) from None
    settings = [
        gr.Dropdown(choices=ready.methods, value=mix.METHODS[0]),
        ready.profile.steps,
        ready.profile.guidance,
    ]
    if ready.pack:
        known = prompt if prompt in ready.pack.prompts else ready.pack.prompts[0]
        return (
            *settings,
            known,
            max(4, min(int(n), ready.pack.seeds // 4 * 4)),
            say(
                language,
                "pack_note",
                seeds=ready.pack.seeds,
                prompts=", ".join(ready.pack.prompts[:8]) + (" …" if len(ready.pack.prompts) > 8 else ""),
            ),
        )
    note = (
        ""
        if profile == profiles.DEFAULT
        else say(language, "no_gpu" if ready.device == "cpu" else "real_note", model=ready.profile.model)
    )
    return *settings, prompt, n, note


@dataclass
class Visit:
    """What one browser tab has drawn: the wall that stands on the screen, and earlier ones, newest first."""

    plan: Plan | None = None
    history: list[Plan] = field(default_factory=list)

    def keep(self, plan: Plan) -> "Visit":
        return Visit(
            plan, [plan, *(p for p in self.history if p is not plan and title(p) != title(plan))][:HISTORY]
        )


@dataclass(frozen=True)
class Settings:
    """What the Ask and Wish cards hold."""

    prompt: str
    n: int
    seed: int
    wish: Wish
    profile: str
    steps: int
    guidance: float
    method: str
    dependence: str
    steer: bool

    def plan(self) -> Plan:
        """ValueError that names bad input."""
        if not 4 <= self.n <= MAX_PAIRS:
            raise ValueError(f"number of pairs is {self.n}; 4 to {MAX_PAIRS} are allowed here")
        return studio(self.profile).plan(
            self.prompt,
            target_of(self.wish),
            self.n,
            self.seed,
            self.method,
            self.steps,
            self.guidance,
            self.steer,
            self.dependence,
        )

    def same_wall(self, plan: Plan) -> bool:
        """Whether a plan was drawn with all of this but the wish, so that its images still hold."""
        c = plan.comparison
        return (
            c.prompt,
            c.n,
            c.seed,
            c.profile,
            *(c.settings[k] for k in ("steps", "guidance", "method", "dependence", "steer")),
        ) == (
            self.prompt.strip(),
            self.n,
            self.seed,
            self.profile,
            self.steps,
            self.guidance,
            self.method,
            self.dependence,
            self.steer and self.method == mix.METHODS[0],
        )


def settings(
    prompt: str,
    n: float,
    seed: float,
    value: Wish,
    profile: str,
    steps: float,
    guidance: float,
    method: str,
    dependence: str,
    steer: bool,
) -> Settings:
    return Settings(
        prompt or "",
        int(n or 0),
        int(-1 if seed is None else seed),
        value,
        profile,
        int(steps or 0),
        float(guidance or 0),
        method,
        dependence,
        steer,
    )


def title(plan: Plan) -> str:
    """A comparison in the history."""
    c = plan.comparison
    wanted = (
        "; ".join(
            f"{name} {share:.0%}"
            for a, shares in c.target.items()
            for name, share in sorted(shares.items(), key=lambda item: -item[1])[: 2 if a == "gender" else 1]
        )
        or "as baseline"
    )
    return f"{c.prompt} · seed {c.seed} · {len(c.pairs)} pairs · {wanted}"


def reference(prompt: str, profile: str) -> targets.Target:
    """The shares that the baseline is expected to give for a prompt."""
    task = studio(profile).task(prompt or EXAMPLE, {}, targets.DEPENDENCES[0])
    return targets.marginals(task.wanted.reshape(mix.SHAPE))


def origin(choice: str, prompt: str, language: str) -> str:
    """Where a preset's numbers come from and what they leave out."""
    if choice == "own":
        return say(language, "origin_own")
    try:
        preset = workforce(prompts.profession(prompt)) if choice == "workforce" else targets.PRESETS[choice]
    except ValueError:
        return say(language, "no_statistic")
    return f"{say(language, 'source')}: {preset.source}. {preset.limits}"


def look_ahead(
    prompt: str,
    n: float,
    seed: float,
    value: Wish,
    profile: str,
    steps: float,
    guidance: float,
    method: str,
    dependence: str,
    steer: bool,
    request: gr.Request,
) -> str:
    """The planned mix for what is set now; empty while the input is no good (pressing Draw says why)."""
    try:
        return preview(
            settings(prompt, n, seed, value, profile, steps, guidance, method, dependence, steer).plan(),
            language_of(request),
        )
    except ValueError:
        return ""


def chosen(choice: str, prompt: str, value: Wish, profile: str, request: gr.Request) -> tuple[Any, str]:
    """The mixer and the source line after a preset was chosen; the mixer stays where a preset has no
    numbers for the prompt."""
    words = origin(choice, prompt, language_of(request))
    if choice == "own":
        return gr.skip(), words
    try:
        return wish(wished(choice, prompt), reference(prompt, profile)), words
    except ValueError:
        return gr.skip(), words


def shown(
    visit: Visit, status: str, corrected: bool, language: str, n: int | None = None, counted: bool = True
) -> list:
    """Everything below the Draw button, for what stands in `visit.plan`; `n` tiles, by default as many as
    there are pairs. Not `counted`: charts and words stay as they are."""
    plan = visit.plan
    c = plan.comparison
    link = share.query(c, plan.slots, drawable(studio(c.profile))) if len(c.pairs) == c.n else ""
    tiles = len(c.pairs) if n is None else n
    numbers = numbers_of(c, corrected, language) if counted else [SAME] * (len(CLASSES) + 2)
    return [
        wall(c, "baseline", tiles, language),
        wall(c, "debiased", tiles, language),
        *numbers,
        status,
        f'<div id="share-link" data-query="{html.escape(link)}"></div>',
        gr.Column(visible=bool(c.pairs)) if counted else SAME,
        visit,
        gr.DownloadButton(interactive=False),
    ]


def numbers_of(comparison: Comparison, corrected: bool, language: str) -> list:
    """The charts, what they say in words, and race and gender together; all of one measuring."""
    found = measures(comparison)
    return [
        *charts_of(comparison, found, corrected, language),
        findings(comparison, found, language),
        cells(comparison, language),
    ]


def charts_of(comparison: Comparison, found: dict[str, Any], corrected: bool, language: str) -> list:
    return [charts.histogram(comparison, found, a, corrected, language) for a in CLASSES]


def charts_again(corrected: str, visit: Visit, request: gr.Request) -> list:
    return (
        charts_of(
            visit.plan.comparison,
            measures(visit.plan.comparison),
            corrected == "corrected",
            language_of(request),
        )
        if visit.plan
        else [gr.skip()] * len(CLASSES)
    )


def finished(visit: Visit) -> tuple[Any, Any]:
    """The download and the history once a wall is complete."""
    if visit.plan is None or not visit.plan.comparison.pairs:
        return gr.skip(), gr.skip()
    names = [title(p) for p in visit.history]
    return gr.DownloadButton(value=str(share.pack(visit.plan.comparison)), interactive=True), gr.Dropdown(
        choices=names, value=title(visit.plan), visible=len(names) > 1
    )


def run(
    plan: Plan,
    visit: Visit,
    corrected: bool,
    language: str,
    request: gr.Request,
    progress: gr.Progress,
    done: str = "done",
) -> Iterator[list]:
    """Streams a plan's walls and numbers as its batches finish; whatever ends it, what was drawn stays."""
    c, kept = plan.comparison, len(plan.comparison.pairs)
    cancel = RUNNING.setdefault(request.session_hash, threading.Event())
    now = replace(visit, plan=plan)
    start = time.perf_counter()
    yield shown(
        now, say(language, "drawing" if studio(c.profile).loaded else "loading"), corrected, language, c.n
    )

    told = counted = start

    def step(part: float) -> None:
        nonlocal told
        if (
            time.perf_counter() - told < 0.5
        ):  # a browser that redraws its bar at each step takes the processor from the model
            return
        told = time.perf_counter()
        seconds = (told - start) * (1 - part) / max(part, 0.02)
        progress(
            part,
            desc=say(language, "drawing_left", seconds=seconds) if part > 0.05 else say(language, "drawing"),
        )

    try:
        for grown in studio(c.profile).run(plan, step, cancel):
            if len(grown.pairs) < c.n:
                # A first chart makes the browser load its chart library, for seconds; a short first wall
                # gets its charts at the end.
                elapsed, fresh = time.perf_counter() - start, time.perf_counter() - counted
                due = fresh > 2.5 and (bool(visit.history) or elapsed * (c.n / len(grown.pairs) - 1) > 4)
                counted = time.perf_counter() if due else counted
                yield shown(
                    now, say(language, "so_far", done=len(grown.pairs), n=c.n), corrected, language, c.n, due
                )
        status = say(language, done, n=c.n, k=c.n - kept, seconds=time.perf_counter() - start)
    except Cancelled:
        status = say(language, "stopped", done=len(c.pairs), n=c.n)
    except (
        Exception
    ) as error:  # a model that can't be had, or memory that runs out: nobody loses what was drawn
        told = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        status = say(
            language,
            "failed" if c.pairs else "not_drawn",
            done=len(c.pairs),
            n=c.n,
            error=html.escape(told[:500]),
        )
        c.notices.clear()
    yield shown(
        visit.keep(plan) if c.pairs else visit if visit.plan else now,
        " ".join([status, *c.notices]),
        corrected,
        language,
    )


def wait(request: gr.Request) -> None:
    """Notes that a visitor is in line, so that Stop works there too."""
    RUNNING[request.session_hash] = threading.Event()


def draw(
    prompt: str,
    n: float,
    seed: float,
    value: Wish,
    profile: str,
    steps: float,
    guidance: float,
    method: str,
    dependence: str,
    steer: bool,
    corrected: str,
    walls: str,
    visit: Visit,
    request: gr.Request,
    progress=gr.Progress(),
) -> Iterator[list]:
    """Draws n pairs. `walls` holds the slots of a link, which are drawn as they are."""
    language = language_of(request)
    try:
        plan = settings(prompt, n, seed, value, profile, steps, guidance, method, dependence, steer).plan()
        fixed = (
            share.slots_of(share.follow({"slots": walls}), drawable(studio(profile)), plan.comparison.n)
            if walls
            else None
        )
        if fixed:
            plan = replace(plan, slots=fixed, steer=False)
        yield from run(plan, visit, corrected == "corrected", language, request, progress)
    except ValueError as error:
        raise gr.Error(str(error), title=say(language, "check_input"), print_exception=False) from None
    finally:
        RUNNING.pop(request.session_hash, None)


def move(
    prompt: str,
    n: float,
    seed: float,
    value: Wish,
    profile: str,
    steps: float,
    guidance: float,
    method: str,
    dependence: str,
    steer: bool,
    corrected: str,
    visit: Visit,
    request: gr.Request,
    progress=gr.Progress(),
) -> Iterator[list]:
    """After the wish moved: redraws the slots that change on the wall that stands, if it was drawn with the
    same settings; a wish seen before is shown again at once."""
    now, language = (
        settings(prompt, n, seed, value, profile, steps, guidance, method, dependence, steer),
        language_of(request),
    )
    if visit.plan is None or not now.same_wall(visit.plan) or request.session_hash in RUNNING:
        yield [SAME] * 12
        return
    try:
        goal = now.plan().comparison.target
        back = next((p for p in visit.history if now.same_wall(p) and p.comparison.target == goal), None)
        if back is not None:
            yield shown(visit.keep(back), say(language, "back"), corrected == "corrected", language)
            return
        plan = studio(profile).moved(visit.plan, target_of(value))
        yield from run(plan, visit, corrected == "corrected", language, request, progress, "redrawn")
    except ValueError as error:
        raise gr.Error(str(error), title=say(language, "check_input"), print_exception=False) from None
    finally:
        RUNNING.pop(request.session_hash, None)


def stop(request: gr.Request) -> None:
    if request.session_hash in RUNNING:
        RUNNING[request.session_hash].set()


def recall(name: str, corrected: str, visit: Visit, request: gr.Request) -> list:
    """Shows a comparison of the history again, with what was asked and wished for it."""
    plan = next((p for p in visit.history if title(p) == name), None)
    if plan is None:
        return [SAME] * 17
    language, c = language_of(request), plan.comparison
    return [
        *shown(replace(visit, plan=plan), say(language, "back"), corrected == "corrected", language),
        c.prompt,
        c.n,
        c.seed,
        wish(c.target, reference(c.prompt, c.profile)),
        "own",
    ]


def arrive(request: gr.Request) -> list:
    """What a link sets: prompt, number, seed, wish, steps, guidance and slots; a notice names what it
    couldn't."""
    link, language = share.follow(dict(request.query_params), profiles()), language_of(request)
    if link.unknown:
        gr.Warning(say(language, "bad_link", what=", ".join(link.unknown)))
    profile = link.profile or default()
    ready = studio(profile)
    prompt = link.prompt or asked_first(ready)
    try:
        base = reference(prompts.check(prompt), profile)
    except ValueError:
        prompt = asked_first(ready)
        base = reference(prompt, profile)
    target = targets.PRESETS[UNIFORM].target if link.target is None else targets.check(link.target)
    words = {
        key: say(language, key)
        for key in (
            "baseline",
            "debiased",
            "close",
            "copied",
            "next",
            "skip",
            "start",
            "undo",
            "lock",
            "race",
            "gender",
            "age",
            *(f"tour_{i}" for i in range(1, 5)),
        )
    }
    settings_of, pairs = ready.profile, min(16, ready.pack.seeds // 4 * 4) if ready.pack else 16
    return [
        profile,
        prompt,
        link.n or pairs,
        7 if link.seed is None else link.seed,
        wish(target, base),
        UNIFORM if link.target is None else "own",
        link.steps or settings_of.steps,
        link.guidance or settings_of.guidance,
        link.slots,
        f'<div id="page-words" data-words="{html.escape(json.dumps(words))}"></div>{explanations(language)}',
    ]


def surprise() -> str:
    """The prompt of a profession or an attribute by chance."""
    return photo_of(random.choice([*PROFESSIONS, *(f"{word} person" for word in ATTRIBUTES)]))


def named_in(prompt: str) -> tuple[str | None, str | None]:
    """The profession that a prompt names, or else the attribute."""
    profession = prompts.profession(prompt)
    return profession, None if profession else prompts.attribute(prompt)


def compare_tab(blocks: gr.Blocks) -> None:
    """Builds the screen inside `blocks`."""
    first = studio(default()).profile
    even: targets.Target = {
        a: {c: 1 / len(classes) for c in classes} for a, classes in TARGET_CLASSES.items()
    }
    visit, walls = gr.State(Visit(), time_to_live=3600), gr.State("")
    page_words = gr.HTML("", elem_id="words-holder", apply_default_css=False)
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300, elem_id="ask"):
            prompt = gr.Textbox(
                EXAMPLE,
                label=label("prompt"),
                info=label("prompt_info"),
                lines=1,
                max_length=5000,
                elem_id="prompt",
            )
            with gr.Row():
                profession = gr.Dropdown(
                    list(PROFESSIONS), value="doctor", label=label("profession"), min_width=130
                )
                quality = gr.Dropdown(list(ATTRIBUTES), value=None, label=label("attribute"), min_width=130)
                lucky = gr.Button(label("surprise"), min_width=140, scale=0, elem_id="surprise")
            with gr.Row():
                n = gr.Slider(
                    4, MAX_PAIRS, 16, step=4, label=label("number"), elem_id="number", min_width=200, scale=3
                )
                seed = gr.Number(
                    7,
                    label=label("seed"),
                    precision=0,
                    minimum=0,
                    maximum=2**31 - 1,
                    min_width=90,
                    scale=1,
                    elem_id="seed",
                )
                die = gr.Button(label("roll"), min_width=60, scale=0, elem_id="die")
            with gr.Accordion(label("advanced"), open=False):
                profile = gr.Dropdown(
                    [(described(name), name) for name in profiles()],
                    value=default(),
                    label=label("profile"),
                    min_width=200,
                    elem_id="profile",
                )
                about = gr.Markdown("", elem_id="profile-note")
                with gr.Row():
                    steps = gr.Slider(2, 50, first.steps, step=1, label=label("steps"), min_width=130)
                    guidance = gr.Slider(
                        1, 10, first.guidance, step=0.5, label=label("guidance"), min_width=130
                    )
                method = gr.Dropdown(
                    studio(default()).methods, value=mix.METHODS[0], label=label("method"), elem_id="method"
                )
                dependence = gr.Dropdown(
                    list(targets.DEPENDENCES), value=targets.DEPENDENCES[0], label=label("dependence")
                )
                steer = gr.Checkbox(True, label=label("steer"), info=label("steer_info"), elem_id="steer")
        with gr.Column(scale=7, min_width=320, elem_id="wish"):
            presets = [
                *((preset.title, name) for name, preset in targets.PRESETS.items()),
                (label("workforce"), "workforce"),
                (label("own"), "own"),
            ]
            choice = gr.Dropdown(
                presets, value=UNIFORM, label=label("wanted"), filterable=False, elem_id="target"
            )
            source = gr.Markdown(origin(UNIFORM, EXAMPLE, "en"), elem_id="origin")
            mixed = mixer(wish(targets.PRESETS[UNIFORM].target, even))
    foreseen = gr.HTML("", elem_id="foreseen", min_height=58, apply_default_css=False)
    with gr.Row():
        go = gr.Button(label("draw"), variant="primary", scale=4, elem_id="draw")
        halt = gr.Button(label("stop"), scale=1, min_width=80, elem_id="stop")
    status = gr.Markdown(label("ready"), elem_id="status", min_height=48)
    with gr.Row(equal_height=False, elem_id="walls"):
        seen = [
            gr.HTML(wall(None, side, 16), elem_id=f"wall-{side}", min_height=200, apply_default_css=False)
            for side in ("baseline", "debiased")
        ]
    with gr.Column(visible=False, elem_id="measured") as measured:
        corrected = gr.Radio(
            [(label("observed"), "observed"), (label("corrected"), "corrected")],
            value="observed",
            label=label("shown"),
            elem_id="corrected",
        )
        with gr.Row():
            plots = [gr.Plot(show_label=False, elem_id=f"plot-{a}", min_width=280) for a in CLASSES]
        said = gr.HTML("", elem_id="findings", apply_default_css=False)
        together = gr.HTML("", elem_id="cells", apply_default_css=False)
        with gr.Row():
            past = gr.Dropdown([], label=label("history"), visible=False, elem_id="history", scale=3)
            gr.Button(label("copy_link"), elem_id="copy-link", scale=1, min_width=140)
            download = gr.DownloadButton(
                label("download"), interactive=False, elem_id="download", scale=1, min_width=160
            )
    link = gr.HTML("", elem_id="link")
    gr.Markdown(label("limits"), elem_id="limits")

    asked = [prompt, n, seed, mixed, profile, steps, guidance, method, dependence, steer]
    results = [*seen, *plots, said, together, status, link, measured, visit, download]
    hidden = {"show_progress": "hidden", "api_visibility": "private"}
    profession.input(photo_of, profession, prompt, **hidden)
    quality.input(lambda q: photo_of(f"{q} person"), quality, prompt, **hidden)
    lucky.click(surprise, None, prompt, **hidden)
    prompt.change(named_in, prompt, [profession, quality], trigger_mode="always_last", **hidden)
    die.click(lambda: random.randrange(10_000), None, seed, **hidden)
    gr.on(
        [prompt.input, n.input, seed.input, profession.input, quality.input, lucky.click, die.click],
        lambda: "",
        None,
        walls,
        **hidden,
    )  # a link's slots are for its wall alone
    picked = choice.input(chosen, [choice, prompt, mixed, profile], [mixed, source], **hidden)
    gr.on([prompt.change, blocks.load], source_line, [choice, prompt], source, **hidden)
    mixed.input(own, None, [choice, walls, source], trigger_mode="always_last", **hidden)
    gr.on(
        [
            mixed.input,
            mixed.change,
            prompt.change,
            n.change,
            dependence.change,
            method.change,
            profile.change,
        ],
        look_ahead,
        asked,
        foreseen,
        trigger_mode="always_last",
        **hidden,
    )
    arrived = blocks.load(
        arrive, None, [profile, prompt, n, seed, mixed, choice, steps, guidance, walls, page_words], **hidden
    )
    profile.input(turned_to, [profile, prompt, n], [method, steps, guidance, prompt, n, about], **hidden)
    arrived.then(look_ahead, asked, foreseen, **hidden)
    drawing = {
        "show_progress": "full",
        "show_progress_on": status,
        "concurrency_limit": 1,
        "concurrency_id": "model",
        "api_visibility": "private",
    }
    drawn = gr.on([go.click, prompt.submit], wait, None, None, queue=False, **hidden).then(
        draw, [*asked, corrected, walls, visit], results, **drawing
    )
    moved = mixed.release(move, [*asked, corrected, visit], results, trigger_mode="always_last", **drawing)
    followed = picked.then(move, [*asked, corrected, visit], results, **drawing)
    for done in (drawn, moved, followed):
        done.then(finished, visit, [download, past], **hidden)
    past.input(recall, [past, corrected, visit], [*results, prompt, n, seed, mixed, choice], **hidden).then(
        finished, visit, [download, past], **hidden
    )
    corrected.change(charts_again, [corrected, visit], plots, **hidden)
    halt.click(stop, None, None, queue=False, api_visibility="private")


def own(request: gr.Request) -> tuple[str, str, str]:
    """After a slider moved: the wish is the visitor's own, and a link's slots are no longer meant."""
    return "own", "", say(language_of(request), "origin_own")


def source_line(choice: str, prompt: str, request: gr.Request) -> str:
    return origin(choice, prompt, language_of(request))
