"""What happens in the Studio: ask, wish, see, measure, move the wish, share.

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
from fairdemo.models import hub, profiles
from fairdemo.models.gpu import Watch
from fairdemo.models.sampling import Cancelled
from fairdemo.request import MIX, SERVER, Request
from fairdemo.stats import prompts, targets
from fairdemo.stats.attributes import CLASSES
from fairdemo.stats.mix import Source
from fairdemo.stats.prompts import ATTRIBUTES, PROFESSIONS, photo_of
from fairdemo.stats.workforce import wished, workforce
from fairdemo.studio.ahead import AHEAD
from fairdemo.studio.live import LIVES
from fairdemo.studio.studio import Plan
from fairdemo.ui import charts, link, log, wall_file
from fairdemo.ui.board import board
from fairdemo.ui.findings import cells, findings, page_words
from fairdemo.ui.foreseen import preview
from fairdemo.ui.language import language_of, say
from fairdemo.ui.limits import Spent, drawing
from fairdemo.ui.mixer import target_of, wish
from fairdemo.ui.offered import (
    AGREED,
    EXAMPLE,
    OPENING_PAIRS,
    asked_first,
    default,
    offered,
    opening,
    reference,
    studio,
    takes,
    to_agree,
)
from fairdemo.ui.sliding import reassigned
from fairdemo.ui.studio_view import FIRST, SURPRISE, UNIFORM, Screen, Shown, methods
from fairdemo.ui.templates import render
from fairdemo.ui.visits import DRAWS, RUNNING, Visit, facts, running, stop, title, waiting

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
TOLD_EVERY = 0.5  # seconds between two words on how far a drawing is


@contextmanager
def told(request: gr.Request) -> Iterator[None]:
    """Within it, bad input becomes a notice on the page; so does a disk that can't be written to."""
    try:
        yield
    except ValueError as error:
        heading = say(language_of(request), "check_input")
        raise gr.Error(str(error), title=heading, print_exception=False) from None
    except OSError as error:
        log.failed(error)
        words = say(language_of(request), "no_file", error=error.strerror or type(error).__name__)
        raise gr.Error(words, print_exception=False) from None


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


def picked(choice: str | None) -> str:
    """The prompt of a profession or an attribute that was picked, or of one by chance."""
    every = [*PROFESSIONS, *(f"{word} person" for word in ATTRIBUTES)]
    return photo_of(random.choice(every) if choice in (SURPRISE, None) else str(choice))


def plots(shown: Shown, comparison: Comparison, corrected: bool, language: str) -> Values:
    """The charts below the fold."""
    return {shown.plots[a]: charts.histogram(comparison, a, corrected, language) for a in CLASSES}


def file(visit: Visit | None) -> gr.Button:
    """The button that fetches a visit's wall as a file, if there is one."""
    if visit is None or visit.plan is None or not visit.plan.comparison.pairs:
        return gr.Button(interactive=False)
    return gr.Button(link=wall_file.address(visit), interactive=True)


def compare_dtypes(theirs: str, own: str, language: str) -> list[str]:
    """What to say of a link's wall that was computed in another number format than this machine's."""
    return [say(language, "other_numbers", theirs=theirs, own=own)] if theirs and own != theirs else []


class Events:
    """The screen's callbacks."""

    def __init__(self, screen: Screen):
        self.screen = screen
        self.shown = screen.shown

    def request(self, values: Values) -> Request:
        """What the fields and the sliders hold; ValueError names what is wrong."""
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
        """The mix of the wall that stands if it is what is set now, else the planned one; empty while the
        input is no good (pressing Draw says why)."""
        visit, language = values[self.screen.visit], language_of(request)
        try:
            asked = self.request(values)
            own = visit.plan if visit else None
            same = own and (own.request.prompt, own.request.profile, own.request.method, own.request.target)
            if own and same == (asked.prompt, asked.profile, asked.method, asked.target):
                return preview(own, language)
            return preview(studio(asked.profile).plan(asked), language)
        except ValueError:
            return ""

    def chosen(self, values: Values, request: gr.Request) -> Values:
        """After a preset was chosen: the mixer, which stays where a preset has no numbers for the prompt, and
        the source line; a link's slots are no longer meant."""
        ask, wanted = self.screen.ask, self.screen.wish
        preset, prompt = values[wanted.preset], values[ask.prompt]
        words = origin(preset, prompt, language_of(request))
        changed: Values = {wanted.origin: words, self.screen.link: None}
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
        return {wanted.preset: "own", wanted.origin: words, self.screen.link: None}

    def named(self, prompt: str) -> str | None:
        """The list shows the profession that a prompt names, or else the attribute."""
        attribute = prompts.attribute(prompt)
        return prompts.profession(prompt) or (f"{attribute} person" if attribute else None)

    def ready(self, values: Values, request: gr.Request) -> Values:
        """A wall that comes with the model, at once, if there is one for the prompt and nobody draws."""
        ask, language = self.screen.ask, language_of(request)
        plan = opening(values[ask.profile], values[ask.prompt])
        if plan is None or (request.session_hash, "") in RUNNING:
            return gr.skip()
        visit = replace(values[self.screen.visit] or Visit(), plan=plan)
        now = visit.keep(reassigned(visit, target_of(values[self.screen.wish.mixer])))
        return self.standing(now, say(language, "finished_wall"), language) | self.counted(
            now, values, language
        )

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
            self.shown.status: self.note(name, language),
            self.screen.agree: gr.Button(visible=False),
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
            return say(language, "ready")
        if to_agree(name) and (told := takes(name)):
            return say(language, "takes_first", what=told)
        return say(language, "no_gpu" if artist.device == "cpu" else "real_note", model=artist.profile.model)

    def standing(self, visit: Visit, status: str, language: str, n: int | None = None) -> Values:
        """Walls, bars, status, link and file for what stands in `visit.plan`; n tiles, by default as many as
        pairs. The file is there unless n is given, which is while the wall grows."""
        plan = visit.plan
        assert plan is not None
        c = plan.comparison
        whole = len(c.pairs) == c.request.n
        # Of a wall that grows the link asks for the same: who reloads the page then finds what was asked.
        query = link.query(plan, studio(c.request.profile).all_sources) if whole else c.request.as_link()
        parts = board(plan, len(c.pairs) if n is None else n, language, visit.token)
        shown: Values = {self.shown.board[place]: part for place, part in parts.items()}
        held = render("link.html", query=query)
        kept = {self.shown.link: held, self.shown.download: file(visit if n is None else None)}
        return {**shown, **kept, self.shown.status: status, self.screen.visit: visit}

    def counted(self, visit: Visit, values: Values, language: str) -> Values:
        """Below the fold: words, intersections and, where they are open, charts."""
        assert visit.plan is not None
        c = visit.plan.comparison
        told: Values = {self.shown.findings: findings(c, language), self.shown.cells: cells(c, language)}
        return told | (plots(self.shown, c, self.corrected(values), language) if visit.charts else {})

    def charted(self, values: Values, request: gr.Request) -> Values:
        """Opens the charts. They are drawn only now, since a chart that is made in a hidden place stays
        empty."""
        visit = values[self.screen.visit]
        if not visit or not visit.plan:
            return gr.skip()
        visit.charts = True  # of the same visit, by whose name sliders find the wall
        drawn = plots(self.shown, visit.plan.comparison, self.corrected(values), language_of(request))
        return {self.shown.plotted: gr.Column(visible=True), self.screen.visit: visit, **drawn}

    def again(self, values: Values, request: gr.Request) -> Values:
        """Charts of observed or corrected shares."""
        visit = values[self.screen.visit]
        if not visit or not visit.plan:
            return gr.skip()
        return plots(self.shown, visit.plan.comparison, self.corrected(values), language_of(request))

    def finished(self, values: Values) -> Values:
        """The history once a wall is complete; other sources of it are drawn in idle time from now on."""
        visit = values[self.screen.visit]
        if not visit or visit.plan is None or not visit.plan.comparison.pairs:
            return gr.skip()
        if values[self.screen.ask.ahead] and visit.plan.mixed:
            AHEAD.stands(studio(visit.plan.request.profile), visit.plan)
        names = [title(p) for p in visit.history]
        return {self.shown.history: gr.Dropdown(names, value=title(visit.plan), visible=len(names) > 1)}

    def wait(self, request: gr.Request) -> None:
        """Notes that a visitor is in line, so that Stop works there too."""
        waiting(request.session_hash)
        for artist in list(LIVES.values()):
            artist.turns.touch()

    def stop(self, request: gr.Request) -> None:
        """Ends what this visitor draws or waits for."""
        stop(request.session_hash)

    def draw(self, values: Values, request: gr.Request, progress=gr.Progress()) -> Iterator[Values]:
        """Draws what is asked for. A link's slots are drawn as they are."""
        with running(request.session_hash, waited=True) as cancel, told(request):
            plan = self.plan(values)
            if to_agree(plan.request.profile) and (what := takes(plan.request.profile)):
                words = say(language_of(request), "asks_first", what=what)
                yield {self.shown.status: words, self.screen.agree: gr.Button(visible=True)}
                return
            followed: link.Link | None = values[self.screen.link]
            if followed:
                sources = studio(plan.request.profile).all_sources
                fixed = link.slots_of(followed, sources, plan.request.n)
                plan = replace(plan, slots=fixed, steering=False) if fixed else plan
                own = studio(plan.request.profile).artist.dtype
                plan.comparison.notices += compare_dtypes(followed.dtype, own, language_of(request))
            yield from Run(self, values, request, progress, cancel).of(plan, "done")

    def agree(self, values: Values) -> Values:
        """The visitor agrees to what the model takes, on their own machine."""
        AGREED.add(values[self.screen.ask.profile])
        return {self.screen.agree: gr.Button(visible=False)}

    def settle(self, values: Values, request: gr.Request) -> Values:
        """After the wish moved: the wall that stands, reassigned, if all of it is drawn already. Nobody waits
        in line for that."""
        visit, language, foreseen = values[self.screen.visit], language_of(request), self.screen.wish.foreseen
        if not visit or visit.plan is None or (request.session_hash, "") in RUNNING:
            return {foreseen: self.look_ahead(values, request)}
        try:
            plan = reassigned(visit, target_of(values[self.screen.wish.mixer]))
        except ValueError:  # a wish from a browser that is none; moving a slider makes it good
            return gr.skip()
        mixed: Values = {foreseen: preview(plan, language)}
        return mixed if plan.left else mixed | self.reassigned(visit.keep(plan), values, language)

    def reassigned(self, visit: Visit, values: Values, language: str) -> Values:
        """The wall of a moved wish of which all is drawn already."""
        shown = self.standing(visit, say(language, "reassigned"), language)
        return shown | self.counted(visit, values, language)

    def move(self, values: Values, request: gr.Request, progress=gr.Progress()) -> Iterator[Values]:
        """Draws what the moved wish still lacks on the wall that stands."""
        visit: Visit | None = values[self.screen.visit]
        if not visit or visit.plan is None or (request.session_hash, "") in RUNNING:
            yield gr.skip()  # a generator that yields nothing would empty every output
            return
        with running(request.session_hash) as cancel, told(request):
            plan = reassigned(visit, target_of(values[self.screen.wish.mixer]))
            if plan.left:
                yield from Run(self, values, request, progress, cancel).of(plan, "redrawn")
            elif plan.comparison.target != visit.plan.comparison.target:
                # `settle` gave way to a drawing that has ended since, or an earlier wish overtook it.
                yield self.reassigned(visit.keep(plan), values, language_of(request))
            else:
                yield gr.skip()

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
            **self.standing(now, say(language, "back"), language),
            **self.counted(now, values, language),
            **{getattr(ask, name): getattr(asked, name) for name in FIELDS if name != "prompt"},
            ask.prompt: asked.prompt.text,
            ask.method: gr.Dropdown(choices=methods(asked.profile), value=asked.method),
            self.screen.wish.mixer: wish(plan.comparison.target, base),
            self.screen.wish.preset: "own",
            self.screen.link: None,
        }

    def arrive(self, request: gr.Request) -> Values:
        """What a link sets; a notice names what it couldn't. Without one the page stays as it was made, so
        that a slider may be moved at once."""
        asked, language = link.follow(dict(request.query_params), list(offered())), language_of(request)
        if asked.unknown:
            gr.Warning(say(language, "bad_link", what=", ".join(asked.unknown)))
        words: Values = {self.screen.words: page_words(language)}
        if asked.asked or asked.slots:
            return words | self.followed(asked, language)
        first = FIRST.plan
        words[self.screen.wish.origin] = origin(UNIFORM, EXAMPLE, language)
        return words | self.opened(Visit(first, [first] if first else []), OPENING_PAIRS, language)

    def opened(self, visit: Visit, n: int, language: str) -> Values:
        """What a page shows first: a finished wall, if there is one, in the visitor's language."""
        parts = (
            board(visit.plan, n, language, visit.token)
            if visit.plan is not FIRST.plan or language != "en"
            else {}
        )
        shown: Values = {self.shown.board[place]: part for place, part in parts.items()}
        told = self.counted(visit, {self.shown.corrected: "observed"}, language) if visit.plan else {}
        if visit.plan is None:
            shown[self.shown.status] = self.note(default(), language)
        return {**shown, **told, self.shown.download: file(visit), self.screen.visit: visit}

    def followed(self, asked: link.Link, language: str) -> Values:
        """The fields, the wish and, if one comes with the model and no noise is named, the wall of a link."""
        profile = asked.asked.get("profile") or default()
        ready = studio(profile)
        own, ask, wanted = ready.artist.profile, self.screen.ask, self.screen.wish
        start: dict[str, Any] = {"n": min(OPENING_PAIRS, ready.artist.most or OPENING_PAIRS), "seed": 7}
        start |= {"steps": own.steps, "guidance": own.guidance}
        start |= {"prompt": asked_first(ready.artist), **asked.asked, "profile": profile}
        preset = "own" if "target" in asked.asked else UNIFORM
        target = start.pop("target", targets.PRESETS[UNIFORM].target)
        method, slots = start.pop("method", MIX), None
        if asked.slots:
            slots = link.slots_of(asked, ready.all_sources, len(asked.slots) // 2)
            if slots is None:
                gr.Warning(say(language, "other_adapters"))
        if slots and "method" not in asked.asked:
            method = method_of(profile, slots)
        if method not in ready.methods:
            gr.Warning(say(language, "bad_link", what=f"method “{method[:40]}”"))
            method, slots = MIX, None
        drawn = {"seed", "n", "steps", "guidance"} & set(asked.asked) or slots
        first = None if drawn else opening(profile, start["prompt"])
        visit = Visit(first, [first] if first else [])
        visit = visit.keep(reassigned(visit, target)) if first else visit
        if slots and (
            held := held_grid({**start, "profile": profile, "method": method, "target": target}, slots)
        ):
            held.comparison.notices += compare_dtypes(asked.dtype, ready.artist.dtype, language)
            first, visit = held, visit.keep(held)
        shown = "held" if slots else "finished_wall"
        status = shown if first else "linked" if drawn else ""
        return {
            **self.opened(visit, start["n"], language),
            self.shown.status: say(language, status) if status else self.note(profile, language),
            **{getattr(ask, name): value for name, value in start.items()},
            ask.method: gr.Dropdown(choices=methods(profile), value=method),
            wanted.mixer: wish(target, reference(start["prompt"], profile)),
            wanted.preset: preset,
            wanted.origin: origin(preset, start["prompt"], language),
            self.screen.link: asked if slots else replace(asked, slots=""),
        }


def held_grid(asked: dict[str, Any], slots: list[Source]) -> Plan | None:
    """The wall of a link if all its images are held, as after a dropped connection or a reload: it is shown
    without Draw."""
    try:
        request = Request.checked(SERVER, **asked)
        room = studio(request.profile)
        fits = len(slots) == request.n
        plan = room.filled(replace(room.plan(request), slots=slots, steering=False)) if fits else None
    except ValueError:  # pressing Draw says why
        return None
    return None if plan is None or plan.left else plan


def method_of(profile: str, slots: list[Source]) -> str:
    """The method of a wall whose link, of an older version, doesn't say: that of its slots."""
    methods = studio(profile).artist.registry.values()
    return next((m.name for m in methods if set(slots) <= set(m.sources)), MIX)


class Run:
    """A wall that is being drawn: it streams as its batches finish, and whatever ends it, what was drawn
    stays."""

    def __init__(
        self, page: Events, values: Values, request: gr.Request, progress: Callable, cancel: threading.Event
    ):
        self.page, self.values, self.progress, self.request = page, values, progress, request
        self.language = language_of(request)
        self.visit: Visit = values[page.screen.visit] or Visit()
        self.cancel = cancel
        self.start = self.told = time.perf_counter()

    def of(self, plan: Plan, done: str) -> Iterator[Values]:
        """The page while a plan is drawn; `done` names the words at the end. ValueError if the visitor has
        used up what one may draw."""
        images = len(plan.samples(plan.left))
        with drawing(self.request, images, self.cancel, **facts(plan)) as spent:
            yield from self.growing(plan, done, spent)

    def growing(self, plan: Plan, done: str, spent: Spent) -> Iterator[Values]:
        """The page from the empty wall to the whole one."""
        c, n, kept = plan.comparison, plan.request.n, len(plan.comparison.pairs)
        now, ready = replace(self.visit, plan=plan, grows=True), studio(plan.request.profile)
        began = say(self.language, "drawing" if ready.artist.loaded else "loading")
        yield self.page.standing(now, began, self.language, n)
        try:
            for grown in ready.run(plan, Watch(self.step, self.cancel, self.waits, spent=spent)):
                if len(grown.pairs) < n:
                    far = say(self.language, "so_far", done=len(grown.pairs), n=n)
                    yield self.page.standing(now, far, self.language, n)
            took = time.perf_counter() - self.start
            status = say(self.language, done, n=n, k=n - kept, seconds=took)
        except Cancelled:
            key = "stopped" if c.pairs else "stopped_before"
            status = say(self.language, key, done=len(c.pairs), n=n)
            status += f" ({spent.ended})" if spent.ended else ""
        except Exception as error:  # a model that can't be had, or memory that runs out
            status = self.failed(error, plan)
            c.notices.clear()
        if c.pairs:
            last = self.visit.keep(plan)
        else:
            last = self.visit if self.visit.plan else replace(now, grows=False)
        told = " ".join([status, *c.notices])
        # Counts with corrections take a moment: the wall comes before them.
        yield self.page.standing(last, told, self.language)
        yield self.page.counted(last, self.values, self.language)

    def failed(self, error: Exception, plan: Plan) -> str:
        """What is said when a model fails; nobody loses what was drawn."""
        if not isinstance(error, ValueError):
            log.failed(error)
        told = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        if hub.out_of_memory(error):
            told = hub.explain(error, "drawing and reading")
        drawn = len(plan.comparison.pairs)
        key = "failed" if drawn else "not_drawn"
        return say(self.language, key, done=drawn, n=plan.request.n, error=html.escape(told[:500]))

    def waits(self, seconds: float) -> None:
        """Says when the next pair comes, while others are drawn first."""
        if (now := time.perf_counter()) - self.told >= TOLD_EVERY:
            self.told = now
            self.progress(None, desc=say(self.language, "others_first", seconds=max(1, seconds)))

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
    page, ask, wanted, shown = Events(screen), screen.ask, screen.wish, screen.shown
    hidden: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    fields = [getattr(ask, name) for name in FIELDS]
    # Inputs are a set: callbacks get values by component.
    known = {wanted.mixer, *fields, wanted.preset, shown.corrected, shown.history}
    known |= {screen.link, screen.visit, ask.ahead}
    standing = [*shown.board.values(), shown.status, shown.link, shown.download, screen.visit]
    results = [*standing, shown.findings, shown.cells, *shown.plots.values()]
    wishes = [wanted.mixer, wanted.preset, wanted.origin]

    chosen = ask.pick.input(picked, ask.pick, ask.prompt, **hidden)
    chosen.then(page.ready, known, results, **hidden)
    ask.prompt.change(page.named, ask.prompt, ask.pick, trigger_mode="always_last", **hidden)
    ask.die.click(lambda: random.randrange(10_000), None, ask.seed, **hidden)
    # A link's slots are for its wall alone.
    others = [ask.prompt.input, ask.n.input, ask.seed.input, ask.pick.input, ask.die.click]
    others += [ask.method.input, ask.rounding.input, ask.profile.input, ask.dependence.input]
    gr.on([*others, ask.steering.input], lambda: None, None, screen.link, **hidden)
    preset = wanted.preset.input(page.chosen, known, [*wishes, screen.link], **hidden)
    ask.prompt.change(page.source, known, wanted.origin, **hidden)
    looked = [c.change for c in (ask.prompt, ask.n, ask.dependence, ask.method, ask.rounding, ask.profile)]
    gr.on(looked, page.look_ahead, known, wanted.foreseen, trigger_mode="always_last", **hidden)
    everything = [*standing, shown.findings, shown.cells, *fields, *wishes, screen.link, screen.words]
    arrived = blocks.load(page.arrive, None, everything, **hidden)
    ask.profile.input(page.turned, known, [*fields, shown.status, screen.agree], **hidden)
    arrived.then(page.look_ahead, known, wanted.foreseen, **hidden)

    one: dict[str, Any] = {**DRAWS, "api_visibility": "private"}
    drawing: dict[str, Any] = {"show_progress": "full", "show_progress_on": shown.status, **one}
    waited = gr.on([screen.draw.click, ask.prompt.submit], page.wait, None, None, queue=False, **hidden)
    drawn = waited.then(page.draw, known, [*results, screen.agree], **drawing)
    agreed = screen.agree.click(page.agree, known, screen.agree, **hidden)
    drawn_then = agreed.then(page.draw, known, [*results, screen.agree], **drawing)
    # A wish that moves while the last one is on its way isn't dropped.
    last: dict[str, Any] = {"trigger_mode": "always_last"}
    released = wanted.mixer.release(page.own, None, [*wishes, screen.link], **last, **hidden)
    ends = [drawn, drawn_then]
    for moved in (released, preset):
        settled = moved.then(page.settle, known, [*results, wanted.foreseen], **last, **hidden)
        ends.append(settled.then(page.move, known, results, **last, **drawing))
    whose = {screen.visit, ask.ahead}
    for done in ends:
        done.then(page.finished, whose, [shown.history], **last, **hidden)
    again = [*results, *fields, *wishes, screen.link]
    recalled = shown.history.input(page.recall, known, again, **hidden)
    recalled.then(page.finished, whose, [shown.history], **last, **hidden)
    open_charts = [shown.plotted, screen.visit, *shown.plots.values()]
    shown.charts.click(page.charted, known, open_charts, **hidden)
    shown.corrected.change(page.again, known, list(shown.plots.values()), **hidden)
    screen.stop.click(page.stop, None, None, queue=False, api_visibility="private")
