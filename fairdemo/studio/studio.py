"""The studio: a request in, a growing comparison out. It plans, runs and steers; an artist draws."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from textwrap import shorten
from typing import Protocol

import numpy as np

from fairdemo.comparison import Comparison, PlannedMix
from fairdemo.methods.method import Method
from fairdemo.models.gpu import SILENT, Watch
from fairdemo.models.profiles import Profile
from fairdemo.models.sampling import Sample, Setting, next_batch
from fairdemo.pairs import SIDES, Drawn, Pair
from fairdemo.request import MIX, Request
from fairdemo.stats import mix, response, targets
from fairdemo.stats.attributes import CELLS, TARGET_CLASSES
from fairdemo.stats.confusions import Confusions
from fairdemo.stats.mix import Source
from fairdemo.stats.prompts import Prompt, find_syntax, heard, particular, unknown
from fairdemo.studio.live import Live
from fairdemo.studio.pool import Pool, is_pack, open_pack

JOINED = " + "  # between the names of methods that are mixed


class Artist(Protocol):
    """Who draws samples: `Live` by a model, `Pool` from images that were drawn before."""

    @property
    def profile(self) -> Profile:
        """What is known of it beforehand: its name, size and settings."""
        ...

    @property
    def device(self) -> str:
        """What it draws on: "cpu", "cuda" and so on; empty: nothing is computed."""
        ...

    @property
    def dtype(self) -> str:
        """The number format that its images are computed in, as "bfloat16"; empty: unknown."""
        ...

    @property
    def prompts(self) -> Sequence[str]:
        """The only prompts that it can draw; empty: any."""
        ...

    @property
    def most(self) -> int | None:
        """How many pairs it can draw at most; None: any number."""
        ...

    @property
    def sources(self) -> list[Source]:
        """What the mix is made of, the baseline first."""
        ...

    @property
    def registry(self) -> dict[str, Method]:
        """All methods by name, the mix first."""
        ...

    @property
    def counts(self) -> response.Counts | None:
        """How the sources' images are classified; None if that was never measured."""
        ...

    @property
    def confusions(self) -> Confusions:
        """How the classifier reads each class."""
        ...

    @property
    def known(self) -> Collection[str] | None:
        """The words that it knows, in lower case; None: any."""
        ...

    @property
    def loaded(self) -> bool:
        """Whether drawing starts at once."""
        ...

    def load(self) -> None:
        """Loads what drawing needs."""
        ...

    def warm(self, prompt: str) -> None:
        """Makes the first drawing as quick as later ones."""
        ...

    def fitted(self, request: Request) -> Request:
        """The request as this artist can draw it; ValueError if it can't."""
        ...

    def notices(self, prompt: str, sources: Sequence[Source]) -> list[str]:
        """What a visitor should know of how a prompt is drawn."""
        ...

    def written(self, prompt: str, source: Source) -> str:
        """The prompt as a source sees it."""
        ...

    def held(self, setting: Setting, wanted: Sequence[Sample]) -> dict[Sample, Drawn]:
        """Those of the wanted samples that are drawn already."""
        ...

    def draw(
        self, setting: Setting, wanted: Sequence[Sample], watch: Watch = SILENT
    ) -> Iterator[dict[Sample, Drawn]]:
        """Samples with what is read in them, as they are there."""
        ...


def artist_of(profile: str, device: str | None = None) -> Live | Pool:
    """Who draws for a profile's name, a TOML file or a pack; ValueError if there is none."""
    return open_pack(profile) if is_pack(profile) else Live(profile, device)


@dataclass(eq=False)
class Plan:
    """A comparison still to be drawn."""

    comparison: Comparison
    mix: mix.Mix  # behind the slots
    slots: list[Source]
    steering: bool  # whether slots may change while the comparison grows
    mixed: bool = True  # whether a solver chose among sources that the baseline is one of
    planned: list[Source] = field(default_factory=list)  # the slots before any steering

    def __post_init__(self) -> None:
        self.planned = self.planned or list(self.slots)

    @property
    def request(self) -> Request:
        """What was asked for, as the artist draws it."""
        return self.comparison.request

    @property
    def setting(self) -> Setting:
        """What all its samples share."""
        asked = self.request
        return Setting(asked.prompt.text, asked.seed, asked.steps or 0, asked.guidance or 0)

    def samples(self, part: Sequence[int]) -> list[Sample]:
        """What some slots are drawn with, each sample once, the baseline's first."""
        return list(dict.fromkeys([*map(Sample, part), *(Sample(i, self.slots[i]) for i in part)]))

    @property
    def left(self) -> list[int]:
        """The slots that have no pair yet, in order."""
        done = {p.slot for p in self.comparison.pairs}
        return [i for i in range(len(self.slots)) if i not in done]


class Studio:
    """Plans walls, lets them be drawn, and steers what is left by what was classified so far."""

    def __init__(self, artist: Artist):
        self.artist = artist

    @property
    def methods(self) -> list[str]:
        """How a wall can be debiased."""
        return list(self.artist.registry)

    @property
    def all_sources(self) -> list[Source]:
        """All that a slot can be drawn with, in the order that links count in."""
        return [source for method in self.artist.registry.values() for source in method.sources]

    def asked(self, method: str) -> list[Method]:
        """The methods that a request's method names: one, or several that can be mixed, as "mix + words".
        ValueError names what is unknown or can't be mixed."""
        registry, names = self.artist.registry, method.split(JOINED)
        if unknown := [name for name in names if name not in registry]:
            raise ValueError(f"method is {unknown[0]!r}; allowed are {', '.join(registry)}")
        found = [registry[name] for name in dict.fromkeys(names)]
        if len(found) > 1 and (apart := [m.name for m in found if not m.mixes]):
            mixed = ", ".join(m.name for m in registry.values() if m.mixes)
            raise ValueError(f"method {apart[0]!r} can't be mixed with others; these can: {mixed}")
        return found

    def task(
        self,
        prompt: Prompt,
        target: targets.Target,
        dependence: str,
        method: str = MIX,
        steering: bool = True,
    ) -> mix.Task:
        """What a mix is solved for: the sources that leave alone what the prompt names, their response, and
        the target completed from the baseline.

        Of a profile that was never measured only sources for all that is wished are believed; nobody knows
        what its baseline draws. Without `steering` neither: what it draws of a new prompt is a guess, and
        nothing would make up for a wrong one."""
        prompt = heard(prompt, self.artist.known)
        counts = self.artist.counts
        every = list(dict.fromkeys(s for one in self.asked(method) for s in one.sources))
        wished = {a: shares for a, shares in target.items() if a not in prompt.named}
        choice = [every[i] for i in mix.allowed(every, prompt.named)]
        if wished and (counts is None or not steering):
            choice = [s for s in choice if all(s.named(a) for a in wished)] or choice
        reference = response.baseline(counts, prompt)
        wanted = targets.joint(wished, reference.reshape(mix.SHAPE), dependence)
        return mix.Task(choice, response.table(counts, choice, reference), wanted.ravel(), tuple(wished))

    def plan(self, request: Request, before: list[Source] | None = None) -> Plan:
        """Solves the mix and fills the slots; ValueError if the artist can't draw what is asked.

        `before` are the slots of an earlier plan for the same wall: as few as possible of them change."""
        methods = self.asked(request.method)
        mixed = methods[0].mixes
        request = self.artist.fitted(request)
        request = request.but(prompt=heard(request.prompt, self.artist.known))
        method = request.method if mixed else MIX
        task = self.task(
            request.prompt, request.target, request.dependence, method, request.steering or not mixed
        )
        solved, slots = (
            self._allotted(request, task, before) if mixed else self._alone(request, task, methods[0])
        )
        wanted = targets.marginals(task.wanted.reshape(mix.SHAPE))
        shares = zip(solved.task.choice, solved.weights)
        steering = mixed and request.steers and bool(task.wished)
        followed = mixed or methods[0].follows
        foreseen = PlannedMix(
            {s.label: round(float(w), 4) for s, w in shares if w > 5e-5},
            rounded(mix.expected_target(solved)) if mixed else {},
            rounded(solved.short()),
            steering or (followed and len(set(slots)) > 1 and request.rounding == mix.ROUNDINGS[0]),
        )
        comparison = Comparison(
            request,
            {a: wanted[a] for a in task.wished},
            foreseen,
            self.artist.confusions,
            self._told(request, solved, methods),
        )
        return Plan(comparison, solved, slots, steering, mixed)

    def _allotted(
        self, request: Request, task: mix.Task, before: list[Source] | None
    ) -> tuple[mix.Mix, list[Source]]:
        """The mix and the slots of a request."""
        if before is not None and len(before) == request.n and request.rounding == mix.ROUNDINGS[0]:
            return mix.remix(replace(task, drawn=drawn_ahead(task)), request.n, before)
        solved = mix.solve(task)
        return solved, mix.allot(solved, request.n, request.rounding, request.seed)

    def _alone(self, request: Request, task: mix.Task, method: Method) -> tuple[mix.Mix, list[Source]]:
        """The mix and the slots of a method that isn't mixed with the baseline."""
        sources, counts = list(method.sources), self.artist.counts
        own = [sources[i] for i in mix.allowed(sources, request.prompt.named)] or sources
        rows = response.table(counts, own, response.baseline(counts, request.prompt))
        solved = mix.only(replace(task, wished=task.wished if method.follows else ()), own, rows)
        rounding = request.rounding if method.follows or len(own) == 1 else mix.BY_CHANCE
        return solved, mix.allot(solved, request.n, rounding, request.seed)

    def _told(self, request: Request, solved: mix.Mix, methods: Sequence[Method]) -> list[str]:
        """What a visitor should know of the planned mix."""
        lost = ", ".join(f"“{word}”" for word in unknown(request.prompt.text, self.artist.known)[:5])
        notices = [f"This model doesn't know {lost} and draws what the other words say."] if lost else []
        if (written := self.artist.profile.worded(request.prompt.text)) != request.prompt.text:
            notices.append(f"This model gets the prompt as “{written}”.")
        if foreign := find_syntax(request.prompt.text)[:3]:
            told = ", ".join(f"“{shorten(part, 40, placeholder='…')}”" for part in foreign)
            notices.append(f"{told}: other programs' syntax, which is read as plain words here.")
        notices += [told for method in methods for told in method.told(request.prompt.text)]
        if known := particular(request.prompt.text):
            notices.append(
                f"“{known}” reads as a particular person, time or place; evening it out may be wrong."
            )
        notices += [
            f"The prompt itself names {attribute} ({word}); the mix leaves it alone."
            for attribute, word in request.prompt.named.items()
            if attribute in request.target
        ]
        if request.target and self.artist.counts is None:
            notices.append(
                f"The adapters of profile {request.profile!r} were never measured and are taken at their"
                " word; to measure them: python -m fairdemo calibrate."
            )
        for attribute, gaps in solved.short(0.02).items():
            far = ", ".join(f"{c} {gap:+.0%}" for c, gap in gaps.items())
            notices.append(f"Not fully reachable for {attribute}: {far} against the wish.")
        return notices

    def moved(self, before: Plan, target: targets.Target) -> Plan:
        """The plan for another target on a wall that was drawn: pairs whose slots stay are kept, and the
        slots that change make up for what the kept ones show."""
        plan = self.plan(before.request.but(target=target), before.slots)
        kept = [p for p in before.comparison.pairs if plan.slots[p.slot] == before.slots[p.slot]]
        plan.comparison.pairs = kept
        self._steer(plan)
        return plan

    def run(self, plan: Plan, watch: Watch = SILENT) -> Iterator[Comparison]:
        """Fills the plan's comparison, yielding it after each batch. Raises `generating.Cancelled` when the
        watch is cancelled."""
        plan.comparison.notices += self.artist.notices(plan.request.prompt.text, plan.slots)
        todo, done = plan.left, 0
        while todo:
            part = next_batch(self.artist.profile, todo, not plan.comparison.pairs, plan.steering)
            todo = todo[len(part) :]
            ahead = len(todo) + sum(not plan.slots[i].is_baseline for i in todo)
            wanted = plan.samples(part)
            told = watch.part(done, len(wanted), done + len(wanted) + ahead)
            drawn: dict[Sample, Drawn] = {}
            for new in self.artist.draw(plan.setting, wanted, told):
                drawn |= new
                if len(drawn) < len(wanted) and self._add_whole(plan, part, drawn):
                    yield plan.comparison
            self._add(plan, sorted({*part} & {*plan.left}), drawn)
            done += len(wanted)
            if not todo:
                methods, prompt = self.asked(plan.request.method), plan.request.prompt.text
                plan.comparison.notices += [told for method in methods for told in method.after(prompt)]
                plan.comparison.notices += failures(plan.comparison.pairs)
            yield plan.comparison

    def _add_whole(self, plan: Plan, part: list[int], drawn: dict[Sample, Drawn]) -> bool:
        """Puts pairs of which both images are there into the plan's comparison; whether there were any.
        They steer nothing yet: what steers must not depend on who else draws."""
        left = {*plan.left}
        whole = [i for i in part if i in left and drawn.keys() >= set(plan.samples([i]))]
        self._add(plan, whole, drawn, False)
        return bool(whole)

    def filled(self, plan: Plan) -> Plan:
        """The plan with what is drawn already: batch by batch and steered, as `run` would, up to the first
        batch that isn't drawn whole; after it what there is."""
        todo = plan.left
        while todo:
            part = next_batch(self.artist.profile, todo, not plan.comparison.pairs, plan.steering)
            todo = todo[len(part) :]
            drawn = self.artist.held(plan.setting, plan.samples(part))
            if len(drawn) < len(plan.samples(part)):
                part += todo
                self._add_whole(plan, part, self.artist.held(plan.setting, plan.samples(part)))
                break
            self._add(plan, part, drawn)
        return plan

    def _add(self, plan: Plan, part: list[int], drawn: dict[Sample, Drawn], steered: bool = True) -> None:
        """Puts the pairs of some slots into the plan's comparison, and steers what is left."""
        for i in part:
            source = plan.slots[i]
            plan.comparison.pairs.append(Pair(i, source.label, drawn[Sample(i)], drawn[Sample(i, source)]))
            written = self.artist.written(plan.request.prompt.text, source)
            if written != plan.request.prompt.text:
                plan.comparison.prompts[source.label] = written
        plan.comparison.pairs.sort(key=lambda pair: pair.slot)
        if steered:
            self._steer(plan)

    def _steer(self, plan: Plan) -> None:
        """Lets what was classified so far choose the slots that are left."""
        left = plan.left
        if plan.steering and plan.comparison.pairs and left:
            counted = seen(plan.comparison, "debiased")
            steered = mix.steer(self._updated(plan), counted, [plan.slots[i] for i in left])
            for i, source in zip(left, steered):
                plan.slots[i] = source

    def _updated(self, plan: Plan) -> mix.Task:
        """The plan's task with the baseline's row brought up to date by the baseline faces drawn so far."""
        task = plan.mix.task
        row = response.baseline(self.artist.counts, plan.request.prompt, seen(plan.comparison, "baseline"))
        rows = np.array([row if s.is_baseline else old for s, old in zip(task.choice, task.response)])
        return replace(task, response=rows)


def drawn_ahead(task: mix.Task) -> np.ndarray:
    """Which of a task's sources are drawn first while a wall stands (S,): the baseline and each single
    adapter that changes only what was wished."""
    apart = [a for a in TARGET_CLASSES if a not in task.wished]
    return np.array([len(s.adapters) <= 1 and not any(s.named(a) for a in apart) for s in task.choice])


def failures(pairs: Sequence[Pair]) -> list[str]:
    """A line for each side that has images which show nothing, with what drew them."""
    lines = []
    for side in SIDES:
        by = Counter(p.adapter if side == "debiased" else "baseline" for p in pairs if p.side(side).failed)
        if by:
            named = ", ".join(f"{name}: {count}" for name, count in by.items())
            lines.append(
                f"{sum(by.values())} of {len(pairs)} {side} images failed ({named}): they are black or of one"
                " colour, so there is nothing to count in them."
            )
    return lines


def seen(comparison: Comparison, side: str) -> np.ndarray:
    """How many of a side's faces were classified into each cell (36,)."""
    return np.bincount([f.cell for f in comparison.faces(side)], minlength=len(CELLS))


def rounded(shares: targets.Target) -> targets.Target:
    """Shares for showing, to four places."""
    return {a: {c: round(v, 4) for c, v in s.items()} for a, s in shares.items()}
