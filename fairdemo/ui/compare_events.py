"""What happens on the Compare screen: ask, wish, see, measure, move the wish, share.

Callbacks take the values of components by component, and return what changes by component.
"""

import html
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import gradio as gr

from fairdemo.comparison import Comparison
from fairdemo.models import profiles
from fairdemo.models.generating import Cancelled
from fairdemo.models.gpu import Watch
from fairdemo.pairs import SIDES
from fairdemo.report import archive
from fairdemo.request import MIX, SERVER, Request
from fairdemo.stats import mix, prompts, targets
from fairdemo.stats.attributes import CLASSES
from fairdemo.stats.prompts import ATTRIBUTES, PROFESSIONS, photo_of
from fairdemo.stats.workforce import wished, workforce
from fairdemo.studio.studio import Plan
from fairdemo.ui import charts, link
from fairdemo.ui.compare_view import UNIFORM, Screen, Shown, methods
from fairdemo.ui.face_wall import wall
from fairdemo.ui.findings import cells, findings, page_words
from fairdemo.ui.foreseen import preview
from fairdemo.ui.language import language_of, say
from fairdemo.ui.mixer import target_of, wish
from fairdemo.ui.offered import EXAMPLE, asked_first, default, offered, studio
from fairdemo.ui.templates import render
from fairdemo.ui.visits import RUNNING, Visit, title

Values = dict[Any, Any]  # by component
FIELDS = (
    "prompt",
    "profile",
    "n",
    "seed",
    "method",
    "rounding",
    "steering",
    "dependence",
    "steps",
    "guidance",
)
# A wall says how far it is, and its first charts wait: they make the browser load its chart library, for
# seconds, so that a short first wall gets them at the end.
TOLD_EVERY, COUNTED_EVERY, SHORT = 0.5, 2.5, 4.0  # seconds


@contextmanager
def told(request: gr.Request) -> Iterator[None]:
    """Within it, bad input becomes a notice on the page."""
    try:
        yield
    except ValueError as error:
        heading = say(language_of(request), "check_input")
        raise gr.Error(str(error), title=heading, print_exception=False) from None


def reference(prompt: str, profile: str) -> targets.Target:
    """The shares that the baseline is expected to give for a prompt."""
    task = studio(profile).task(prompts.read(prompt or EXAMPLE), {}, targets.DEPENDENCES[0])
    return targets.marginals(task.wanted.reshape(mix.SHAPE))


def origin(preset: str, prompt: str, language: str) -> str:
    """Where a preset's numbers come from and what they leave out."""
    if preset == "own":
        return say(language, "origin_own")
    try:
        own = preset == "workforce"
        found = workforce(prompts.profession(prompt)) if own else targets.PRESETS[preset]
    except ValueError:
        return say(language, "no_statistic")
    return f"{say(language, 'source')}: {found.source}. {found.limits}"


def surprise() -> str:
    """The prompt of a profession or an attribute by chance."""
    return photo_of(random.choice([*PROFESSIONS, *(f"{word} person" for word in ATTRIBUTES)]))


def numbers(shown: Shown, comparison: Comparison, corrected: bool, language: str) -> Values:
    """The charts, what they say in words, and race and gender together."""
    plots = {shown.plots[a]: charts.histogram(comparison, a, corrected, language) for a in CLASSES}
    return {**plots, shown.findings: findings(comparison, language), shown.cells: cells(comparison, language)}


class Compare:
    """The screen's callbacks."""

    def __init__(self, screen: Screen):
        self.screen = screen
        self.shown = screen.shown

    def request(self, values: Values) -> Request:
        """What the Ask and Wish cards hold; ValueError names what is wrong."""
        asked = {name: values[getattr(self.screen.ask, name)] for name in FIELDS}
        target = target_of(values[self.screen.wish.mixer])
        return Request.checked(SERVER, **{**asked, "prompt": asked["prompt"] or ""}, target=target)

    def plan(self, values: Values) -> Plan:
        """The plan for what is set now; ValueError names what is wrong."""
        asked = self.request(values)
        return studio(asked.profile).plan(asked)

    def corrected(self, values: Values) -> bool:
        """Whether bars show corrected shares."""
        return values[self.shown.corrected] == "corrected"

    def look_ahead(self, values: Values, request: gr.Request) -> str:
        """The planned mix for what is set now; empty while the input is no good (pressing Draw says why)."""
        try:
            return preview(self.plan(values), language_of(request))
        except ValueError:
            return ""

    def chosen(self, values: Values, request: gr.Request) -> Values:
        """After a preset was chosen: the mixer, which stays where a preset has no numbers for the prompt, and
        the source line; a link's slots are no longer meant."""
        ask, wanted = self.screen.ask, self.screen.wish
        preset, prompt = values[wanted.preset], values[ask.prompt]
        words = origin(preset, prompt, language_of(request))
        changed: Values = {wanted.origin: words, self.screen.slots: ""}
        if preset != "own":
            try:
                target = wished(preset, prompts.profession(prompt))
                changed[wanted.mixer] = wish(target, reference(prompt, values[ask.profile]))
            except ValueError:
                pass
        return changed

    def source(self, values: Values, request: gr.Request) -> str:
        """Where the wish comes from, for the prompt as it is now."""
        return origin(values[self.screen.wish.preset], values[self.screen.ask.prompt], language_of(request))

    def own(self, request: gr.Request) -> Values:
        """After a slider moved: the wish is the visitor's own, and a link's slots are no longer meant."""
        wanted = self.screen.wish
        words = say(language_of(request), "origin_own")
        return {wanted.preset: "own", wanted.origin: words, self.screen.slots: ""}

    def named(self, prompt: str) -> Values:
        """The lists show the profession that a prompt names, or else the attribute."""
        ask, profession = self.screen.ask, prompts.profession(prompt)
        return {ask.profession: profession, ask.quality: None if profession else prompts.attribute(prompt)}

    def turned(self, values: Values, request: gr.Request) -> Values:
        """What a profile brings along when it is chosen: methods, steps, guidance, a prompt and a number of
        pairs that it has, and a line about it."""
        ask, language, name = self.screen.ask, language_of(request), values[self.screen.ask.profile]
        with told(request):
            artist = studio(name).artist
        own = artist.profile
        changed: Values = {
            ask.method: gr.Dropdown(choices=methods(name), value=MIX),
            ask.steps: own.steps,
            ask.guidance: own.guidance,
            ask.note: self.note(name, language),
        }
        if artist.prompts:
            if values[ask.prompt] not in artist.prompts:
                changed[ask.prompt] = artist.prompts[0]
            changed[ask.n] = min(int(values[ask.n] or 1), artist.most or 1)
        return changed

    def note(self, name: str, language: str) -> str:
        """What a visitor should know of a profile: what a pack holds, how fast a real model is."""
        artist = studio(name).artist
        if artist.prompts:
            shown = ", ".join(artist.prompts[:8]) + (" …" if len(artist.prompts) > 8 else "")
            return say(language, "pack_note", seeds=artist.most, prompts=shown)
        if name == profiles.DEFAULT:
            return ""
        return say(language, "no_gpu" if artist.device == "cpu" else "real_note", model=artist.profile.model)

    def wall(self, visit: Visit, status: str, language: str, n: int | None = None) -> Values:
        """Walls, status and link for what stands in `visit.plan`; n tiles, by default as many as pairs."""
        plan = visit.plan
        assert plan is not None
        c = plan.comparison
        whole = len(c.pairs) == c.request.n
        query = link.query(plan, studio(c.request.profile).all_sources) if whole else ""
        tiles = len(c.pairs) if n is None else n
        walls = {self.shown.walls[side]: wall(c, side, tiles, language) for side in SIDES}
        held = render("link.html", query=query)
        kept = {self.shown.download: gr.DownloadButton(interactive=False), self.screen.visit: visit}
        return {**walls, self.shown.status: status, self.shown.link: held, **kept}

    def counted(self, visit: Visit, values: Values, language: str) -> Values:
        """Charts and words for what stands in `visit.plan`."""
        assert visit.plan is not None
        c = visit.plan.comparison
        seen = {self.shown.measured: gr.Column(visible=bool(c.pairs))}
        return seen | numbers(self.shown, c, self.corrected(values), language)

    def again(self, values: Values, request: gr.Request) -> Values:
        """Charts of observed or corrected shares."""
        visit = values[self.screen.visit]
        if not visit or not visit.plan:
            return gr.skip()
        c, language = visit.plan.comparison, language_of(request)
        return {
            self.shown.plots[a]: charts.histogram(c, a, self.corrected(values), language) for a in CLASSES
        }

    def finished(self, values: Values) -> Values:
        """The download and the history once a wall is complete."""
        visit = values[self.screen.visit]
        if not visit or visit.plan is None or not visit.plan.comparison.pairs:
            return gr.skip()
        names = [title(p) for p in visit.history]
        zipped = str(archive.zipped(visit.plan.comparison))
        past = gr.Dropdown(choices=names, value=title(visit.plan), visible=len(names) > 1)
        return {
            self.shown.download: gr.DownloadButton(value=zipped, interactive=True),
            self.shown.history: past,
        }

    def wait(self, request: gr.Request) -> None:
        """Notes that a visitor is in line, so that Stop works there too."""
        RUNNING[request.session_hash or ""] = threading.Event()

    def stop(self, request: gr.Request) -> None:
        """Ends what this visitor draws or waits for."""
        if request.session_hash in RUNNING:
            RUNNING[request.session_hash].set()

    def draw(self, values: Values, request: gr.Request, progress=gr.Progress()) -> Iterator[Values]:
        """Draws what is asked for. A link's slots are drawn as they are."""
        try:
            with told(request):
                plan = self.plan(values)
                letters = values[self.screen.slots]
                ready = studio(plan.request.profile)
                fixed = link.slots_of(letters, ready.all_sources, plan.request.n) if letters else None
                if fixed:
                    plan = replace(plan, slots=fixed, steering=False)
                yield from Run(self, values, request, progress).of(plan, "done")
        finally:
            RUNNING.pop(request.session_hash or "", None)

    def move(self, values: Values, request: gr.Request, progress=gr.Progress()) -> Iterator[Values]:
        """After the wish moved: redraws the slots that change on the wall that stands, if it was drawn with
        the same settings; a wish seen before is shown again at once."""
        visit: Visit | None = values[self.screen.visit]
        drawing = request.session_hash in RUNNING
        if not visit or visit.plan is None or drawing or not self.stands(visit.plan, values):
            yield gr.skip()  # a generator that yields nothing would empty every output
            return
        language = language_of(request)
        try:
            with told(request):
                now = self.plan(values)
                back = visit.seen(now.request, now.comparison.target)
                if back is not None:
                    kept = visit.keep(back)
                    yield self.wall(kept, say(language, "back"), language) | self.counted(
                        kept, values, language
                    )
                    return
                plan = studio(now.request.profile).moved(visit.plan, now.request.target)
                yield from Run(self, values, request, progress).of(plan, "redrawn")
        finally:
            RUNNING.pop(request.session_hash or "", None)

    def stands(self, plan: Plan, values: Values) -> bool:
        """Whether all that is asked for but the wish is still as a wall was drawn with."""
        try:
            asked = self.request(values)
            return studio(asked.profile).artist.fitted(asked).same_wall(plan.request)
        except ValueError:  # pressing Draw says what is wrong
            return False

    def recall(self, values: Values, request: gr.Request) -> Values:
        """Shows a comparison of the history again, with what was asked and wished for it."""
        visit: Visit | None = values[self.screen.visit]
        name, language = values[self.shown.history], language_of(request)
        plan = next((p for p in visit.history if title(p) == name), None) if visit else None
        if visit is None or plan is None:
            return gr.skip()
        now, asked, ask = replace(visit, plan=plan), plan.request, self.screen.ask
        base = reference(asked.prompt.text, asked.profile)
        return {
            **self.wall(now, say(language, "back"), language),
            **self.counted(now, values, language),
            **{getattr(ask, name): getattr(asked, name) for name in FIELDS if name != "prompt"},
            ask.prompt: asked.prompt.text,
            ask.method: gr.Dropdown(choices=methods(asked.profile), value=asked.method),
            self.screen.wish.mixer: wish(plan.comparison.target, base),
            self.screen.wish.preset: "own",
            self.screen.slots: "",
            ask.note: self.note(asked.profile, language),
        }

    def arrive(self, request: gr.Request) -> Values:
        """What a link sets; a notice names what it couldn't."""
        asked, language = link.follow(dict(request.query_params), list(offered())), language_of(request)
        if asked.unknown:
            gr.Warning(say(language, "bad_link", what=", ".join(asked.unknown)))
        profile = asked.asked.get("profile") or default()
        ready = studio(profile)
        own, ask, wanted = ready.artist.profile, self.screen.ask, self.screen.wish
        start = {
            "n": min(16, ready.artist.most or 16),
            "seed": 7,
            "steps": own.steps,
            "guidance": own.guidance,
        }
        start |= {"prompt": asked_first(ready.artist), **asked.asked, "profile": profile}
        preset = "own" if "target" in asked.asked else UNIFORM
        target = start.pop("target", targets.PRESETS[UNIFORM].target)
        method = start.pop("method", MIX)
        slots = asked.slots if dict(request.query_params).get("profile", profile) == profile else ""
        if slots and "method" not in asked.asked:
            method = method_of(profile, slots)
        if method not in ready.methods:
            gr.Warning(say(language, "bad_link", what=f"method “{method[:40]}”"))
            method, slots = MIX, ""
        return {
            **{getattr(ask, name): value for name, value in start.items()},
            ask.method: gr.Dropdown(choices=methods(profile), value=method),
            wanted.mixer: wish(target, reference(start["prompt"], profile)),
            wanted.preset: preset,
            wanted.origin: origin(preset, start["prompt"], language),
            self.screen.slots: slots,
            self.screen.words: page_words(language),
        }


def method_of(profile: str, letters: str) -> str:
    """The method of a wall whose link, of an older version, doesn't say: that of its slots."""
    ready = studio(profile)
    slots = link.slots_of(letters, ready.all_sources, len(letters) // 2) or []
    methods = ready.artist.methods.items()
    return next((name for name, own in methods if slots and set(slots) <= set(own)), MIX)


class Run:
    """A wall that is being drawn: it streams as its batches finish, and whatever ends it, what was drawn
    stays."""

    def __init__(self, page: Compare, values: Values, request: gr.Request, progress: Callable):
        self.page, self.values, self.progress = page, values, progress
        self.language = language_of(request)
        self.visit: Visit = values[page.screen.visit] or Visit()
        self.cancel = RUNNING.setdefault(request.session_hash or "", threading.Event())
        self.start = self.told = self.counted = time.perf_counter()

    def of(self, plan: Plan, done: str) -> Iterator[Values]:
        """The page while a plan is drawn; `done` names the words at the end."""
        c, n, kept = plan.comparison, plan.request.n, len(plan.comparison.pairs)
        now, ready = replace(self.visit, plan=plan), studio(plan.request.profile)
        began = say(self.language, "drawing" if ready.artist.loaded else "loading")
        yield self.page.wall(now, began, self.language, n) | self.numbers(now)
        try:
            for grown in ready.run(plan, Watch(self.step, self.cancel)):
                if len(grown.pairs) < n:
                    far = say(self.language, "so_far", done=len(grown.pairs), n=n)
                    charts = self.numbers(now) if self.due(len(grown.pairs) / n) else {}
                    yield self.page.wall(now, far, self.language, n) | charts
            spent = time.perf_counter() - self.start
            status = say(self.language, done, n=n, k=n - kept, seconds=spent)
        except Cancelled:
            status = say(self.language, "stopped", done=len(c.pairs), n=n)
        except Exception as error:  # a model that can't be had, or memory that runs out
            status = self.failed(error, plan)
            c.notices.clear()
        last = self.visit.keep(plan) if c.pairs else self.visit if self.visit.plan else now
        yield self.page.wall(last, " ".join([status, *c.notices]), self.language) | self.numbers(last)

    def numbers(self, visit: Visit) -> Values:
        """Charts and words for the wall as it is now."""
        return self.page.counted(visit, self.values, self.language)

    def failed(self, error: Exception, plan: Plan) -> str:
        """What is said when a model fails; nobody loses what was drawn."""
        told = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        drawn = len(plan.comparison.pairs)
        key = "failed" if drawn else "not_drawn"
        return say(self.language, key, done=drawn, n=plan.request.n, error=html.escape(told[:500]))

    def due(self, part: float) -> bool:
        """Whether a wall that is drawn in `part` should be counted now."""
        now = time.perf_counter()
        left = (now - self.start) * (1 / part - 1)
        due = now - self.counted > COUNTED_EVERY and (bool(self.visit.history) or left > SHORT)
        self.counted = now if due else self.counted
        return due

    def step(self, part: float) -> None:
        """Moves the bar; one that moved at each step would take the processor from the model."""
        now = time.perf_counter()
        if now - self.told < TOLD_EVERY:
            return
        self.told = now
        seconds = (now - self.start) * (1 - part) / max(part, 0.02)
        words = say(self.language, "drawing_left", seconds=seconds) if part > 0.05 else None
        self.progress(part, desc=words or say(self.language, "drawing"))


def wire(screen: Screen, blocks: gr.Blocks) -> None:
    """Ties the components to what happens."""
    page, ask, wanted, shown = Compare(screen), screen.ask, screen.wish, screen.shown
    hidden: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    fields = [getattr(ask, name) for name in FIELDS]
    asked = {wanted.mixer, *fields}  # inputs are sets: callbacks get values by component
    known = {*asked, wanted.preset, shown.corrected, shown.history, screen.slots, screen.visit}
    numbers = [*shown.plots.values(), shown.findings, shown.cells, shown.measured]
    results = [*shown.walls.values(), *numbers, shown.status, shown.link, shown.download, screen.visit]
    wishes = [wanted.mixer, wanted.preset, wanted.origin]

    ask.profession.input(photo_of, ask.profession, ask.prompt, **hidden)
    ask.quality.input(lambda quality: photo_of(f"{quality} person"), ask.quality, ask.prompt, **hidden)
    ask.surprise.click(surprise, None, ask.prompt, **hidden)
    ask.prompt.change(
        page.named, ask.prompt, [ask.profession, ask.quality], trigger_mode="always_last", **hidden
    )
    ask.die.click(lambda: random.randrange(10_000), None, ask.seed, **hidden)
    # A link's slots are for its wall alone.
    others = [ask.prompt.input, ask.n.input, ask.seed.input, ask.profession.input, ask.quality.input]
    others += [ask.surprise.click, ask.die.click, ask.method.input, ask.rounding.input, ask.profile.input]
    others += [ask.dependence.input, ask.steering.input]
    gr.on(others, lambda: "", None, screen.slots, **hidden)
    picked = wanted.preset.input(page.chosen, known, [*wishes, screen.slots], **hidden)
    ask.prompt.change(page.source, known, wanted.origin, **hidden)
    wanted.mixer.input(page.own, None, [*wishes, screen.slots], trigger_mode="always_last", **hidden)
    looked = [wanted.mixer.input, *(c.change for c in (wanted.mixer, ask.prompt, ask.n, ask.dependence))]
    looked += [c.change for c in (ask.method, ask.rounding, ask.profile)]
    gr.on(looked, page.look_ahead, asked, wanted.foreseen, trigger_mode="always_last", **hidden)
    everything = [*fields, *wishes, screen.slots, screen.words]
    arrived = blocks.load(page.arrive, None, everything, **hidden)
    ask.profile.input(page.turned, known, [*fields, ask.note], **hidden)
    arrived.then(page.look_ahead, asked, wanted.foreseen, **hidden)

    one: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model", "api_visibility": "private"}
    drawing: dict[str, Any] = {"show_progress": "full", "show_progress_on": shown.status, **one}
    waited = gr.on([screen.draw.click, ask.prompt.submit], page.wait, None, None, queue=False, **hidden)
    drawn = waited.then(page.draw, known, results, **drawing)
    moved = wanted.mixer.release(page.move, known, results, trigger_mode="always_last", **drawing)
    followed = picked.then(page.move, known, results, **drawing)
    kept = [shown.download, shown.history]
    for done in (drawn, moved, followed):
        done.then(page.finished, known, kept, **hidden)
    again = [*results, *fields, *wishes, screen.slots, ask.note]
    recalled = shown.history.input(page.recall, known, again, **hidden)
    recalled.then(page.finished, known, kept, **hidden)
    shown.corrected.change(page.again, known, list(shown.plots.values()), **hidden)
    screen.stop.click(page.stop, None, None, queue=False, api_visibility="private")
