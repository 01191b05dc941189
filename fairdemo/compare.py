"""The whole chain: prompt, target, n and seed in; a growing Comparison out. Every front end runs this."""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from fairdemo import adapters, mix, models, prompts, response, targets
from fairdemo.attributes import CELLS
from fairdemo.comparison import Comparison, Drawn, Pair
from fairdemo.faces import FaceReader, classify
from fairdemo.generate import PairedGenerator, Wanted, cut_words, next_batch
from fairdemo.gpu import Watch, on_gpu
from fairdemo.pack import is_pack, open_pack
from fairdemo.subject import ClipSubjects, SubjectReader

MAX_IMAGES = 512
MAX_KEPT, MAX_KEPT_PIXELS = 1500, 250_000_000  # drawn images kept to be shown again, 3 bytes a pixel


@dataclass
class Plan:
    """A comparison still to be drawn: its slots, the mix behind them, and whether `steer`ing may change slots while it grows."""

    comparison: Comparison
    mix: mix.Mix
    slots: list[mix.Slot]
    steer: bool


STUDIOS: WeakValueDictionary[tuple[str, int], "Studio"] = WeakValueDictionary()  # by profile and id


def seconds(
    key: tuple[str, int], prompt: str, seed: int, wanted: Wanted, steps: int, guidance: float, watch: Watch
) -> float:
    """For how long a shared GPU is asked: a large one takes about 0.04 s for a step of one image of 1024 px, twice that with guidance."""
    return min(
        120.0,
        10 + 0.04 * len(wanted) * steps * (1 + (guidance > 1)) * (STUDIOS[key].profile.size / 1024) ** 2,
    )


@on_gpu(seconds)
def draw_and_read(
    key: tuple[str, int], prompt: str, seed: int, wanted: Wanted, steps: int, guidance: float, watch: Watch
) -> list[Drawn]:
    """Images and the faces in them, for (slot, adapters). It gets a studio by its key, since a model can't travel to the process that has the GPU."""
    studio = STUDIOS.get(key) or Studio(key[0])
    images = studio.generator.draw(prompt, seed, wanted, steps, guidance, watch.progress, watch.cancel)
    return [
        Drawn(image, faces, *subject)
        for image, faces, subject in zip(images, studio.reader.read(images), studio.subjects.read(images))
    ]


class Studio:
    """A profile's model, adapters, classifiers and response, loaded once on first use."""

    def __init__(self, profile: str, device: str | None = None):
        self.pack = open_pack(profile) if profile not in models.PROFILES and is_pack(profile) else None
        self.profile = self.pack.profile if self.pack else models.profile(profile)
        self.device = device or models.default_device()
        self.adapters = [] if self.pack else adapters.of_profile(self.profile)
        self.key = (profile, id(self))
        STUDIOS[self.key] = self
        self._loading = threading.Lock()
        self._kept: OrderedDict[tuple, Drawn] = (
            OrderedDict()
        )  # by prompt, seed, settings, slot and adapters; the oldest go first
        self._keeping = threading.Lock()

    @cached_property
    def generator(self) -> PairedGenerator:
        pipeline = models.load_pipeline(self.profile, self.device)
        router = adapters.attach(pipeline, self.adapters)
        models.place(pipeline, self.device)
        return PairedGenerator(pipeline, router.to(self.device), self.profile, self.device)

    @cached_property
    def reader(self) -> FaceReader:
        return FaceReader(self.profile.source("classifier"), self.device)

    @cached_property
    def subjects(self) -> SubjectReader | ClipSubjects:
        folder = self._classifier["folder"]
        if (folder / "subject.safetensors").is_file():
            return SubjectReader(folder / "subject.safetensors", self.device)
        tower = {key: self._classifier[key] for key in ("model", "pretrained") if key in self._classifier}
        return ClipSubjects(self.device, **tower)

    @cached_property
    def _classifier(self) -> dict[str, Any]:
        return classify.describe(self.profile.source("classifier"))

    @property
    def response_file(self) -> Path:
        return adapters.CATALOG.parent / f"response.{self.profile.name}.json"

    @cached_property
    def counts(self) -> response.Counts | None:
        """The measured response, None if this profile was never calibrated."""
        if self.pack:
            return self.pack.counts
        return response.load(self.response_file) if self.response_file.is_file() else None

    @cached_property
    def sources(self) -> list[mix.Slot]:
        """Everything that a slot can be drawn with: the baseline, each adapter, each group's with each age's."""
        return (
            self.pack.sources
            if self.pack
            else mix.sources((a.name, a.cell) for a in self.adapters if not a.method)
        )

    @property
    def own_methods(self) -> dict[str, list[mix.Slot]]:
        """What draws under each method beside the mix."""
        return {
            method: [mix.Slot((a.name,), a.cell) for a in self.adapters if a.method == method]
            for method in dict.fromkeys(a.method for a in self.adapters if a.method)
        }

    @property
    def methods(self) -> list[str]:
        """How a wall can be debiased: a mix, its slots chosen in one of two ways, or the adapters of another method."""
        return [*mix.METHODS, *self.own_methods]

    @cached_property
    def confusion(self) -> dict[str, dict[str, dict[str, int]]]:
        """How the classifier reads faces of known class, counts by attribute, class and reading; empty if it was never measured."""
        if self.pack:
            return self.pack.about["confusion"]
        path = self._classifier["folder"] / "confusion.json"
        return json.loads(path.read_text()) if path.is_file() else {}

    @property
    def loaded(self) -> bool:
        return self.pack is not None or "subjects" in self.__dict__

    def load(self) -> None:
        """Loads what isn't loaded yet; callers on other threads wait instead of loading twice."""
        with self._loading:
            _ = self.pack or (self.generator, self.reader, self.subjects)

    def task(self, prompt: str, target: targets.Target, dependence: str) -> mix.Task:
        """What a mix is solved for: the sources that leave alone what the prompt names, their response, and the target completed from the baseline.

        Of a profile that was never measured only adapters for all that is wished are believed; nobody knows what its baseline draws.
        """
        named = prompts.named(prompt)
        wished = {a: shares for a, shares in target.items() if a not in named}
        choice = [self.sources[i] for i in mix.allowed(self.sources, named)]
        if self.counts is None and wished:
            choice = [s for s in choice if all(s.named(a) for a in wished)] or choice
        reference = response.baseline(self.counts, prompt, named)
        wanted = targets.joint(wished, reference.reshape(mix.SHAPE), dependence)
        return mix.Task(choice, response.table(self.counts, choice, reference), wanted.ravel(), tuple(wished))

    def plan(
        self,
        prompt: str,
        target: targets.Target,
        n: int,
        seed: int,
        method: str = mix.METHODS[0],
        steps: int | None = None,
        guidance: float | None = None,
        steer: bool = True,
        dependence: str = targets.DEPENDENCES[0],
        before: list[mix.Slot] | None = None,
    ) -> Plan:
        """Checks every input and solves the mix. ValueError names the input and what is allowed.

        `before` are the slots of an earlier plan for the same wall: as few as possible of them change. Slots at random are never steered.
        """
        prompt, target = prompts.check(prompt), targets.check(target)
        steps = self.profile.steps if steps is None else steps
        guidance = self.profile.guidance if guidance is None else guidance
        for what, value, low, high in (
            ("number of images", n, 1, MAX_IMAGES),
            ("seed", seed, 0, 2**31 - 1),
            ("number of steps", steps, 2, 100),
            ("guidance", guidance, 1, 20),
        ):
            if not low <= value <= high:
                raise ValueError(f"{what} is {value}; {low} to {high} are allowed")
        if method not in self.methods:
            raise ValueError(f"method is {method!r}; allowed are {', '.join(self.methods)}")
        if self.pack:
            prompt = self.pack.check_request(prompt, n, steps, guidance)
        task = self.task(prompt, target, dependence)
        own = self.own_methods.get(method)
        if own:
            own = [own[i] for i in mix.allowed(own, prompts.named(prompt))] or own
            solved = mix.only(
                task,
                own,
                response.table(
                    self.counts, own, response.baseline(self.counts, prompt, prompts.named(prompt))
                ),
            )
            slots = mix.allot(solved, n, mix.METHODS[0], seed)
        elif before is not None and len(before) == n and method == mix.METHODS[0]:
            solved, slots = mix.remix(task, n, before)
        else:
            solved = mix.solve(task)
            slots = mix.allot(solved, n, method, seed)
        wanted = targets.marginals(task.wanted.reshape(mix.SHAPE))
        weights = {
            s.label: round(float(w), 4) for s, w in zip(solved.task.choice, solved.weights) if w > 5e-5
        }
        comparison = Comparison(
            prompt,
            self.profile.name,
            seed,
            n,
            {a: wanted[a] for a in task.wished},
            {
                "steps": steps,
                "guidance": guidance,
                "method": method,
                "steer": steer and method == mix.METHODS[0],
                "dependence": dependence,
            },
            {
                "weights": weights,
                "expected": {} if own else rounded(mix.expected_target(solved)),
                "short": rounded(solved.short()),
            },
            self.confusion,
            prompts.profession(prompt),
            self._notices(prompt, target, solved),
        )
        return Plan(comparison, solved, slots, comparison.settings["steer"] and bool(task.wished))

    def moved(self, before: Plan, target: targets.Target) -> Plan:
        """The plan for another target on a wall that was drawn: pairs whose slots stay are kept, and the slots that change make up for what the
        kept ones show."""
        old = before.comparison
        plan = self.plan(
            old.prompt,
            target,
            old.n,
            old.seed,
            *(old.settings[k] for k in ("method", "steps", "guidance", "steer", "dependence")),
            before.slots,
        )
        plan.comparison.pairs = [p for p in old.pairs if plan.slots[p.slot] == before.slots[p.slot]]
        self._steer(plan)
        return plan

    def _notices(self, prompt: str, target: targets.Target, solved: mix.Mix) -> list[str]:
        notices = [
            f"The prompt itself names {attribute} ({word}); the mix leaves it alone."
            for attribute, word in prompts.named(prompt).items()
            if attribute in target
        ]
        if target and self.counts is None:
            notices.append(
                f"The adapters of profile {self.profile.name!r} were never measured and are taken at their word; to measure them: python -m fairdemo calibrate."
            )
        for attribute, gaps in solved.short(0.02).items():
            notices.append(
                f"Not fully reachable for {attribute}: "
                + ", ".join(f"{c} {gap:+.0%}" for c, gap in gaps.items())
                + " against the wish."
            )
        return notices

    def run(
        self,
        plan: Plan,
        progress: Callable[[float], None] = lambda share: None,
        cancel: threading.Event | None = None,
    ) -> Iterator[Comparison]:
        """Fills the plan's comparison, yielding it after each batch. Raises `generate.Cancelled` when `cancel` is set."""
        self.load()
        comparison, slots = plan.comparison, plan.slots
        if not self.pack:
            before = max((self.generator.router.before(slot.adapters) for slot in slots), key=len, default="")
            if cut := cut_words(self.generator.pipeline, before + comparison.prompt + self.profile.suffix):
                comparison.notices.append(f"The prompt is longer than 77 tokens; this was cut: “{cut}”.")
        todo, done = plan_left(plan), 0
        while todo:
            part = next_batch(self.profile, todo, not comparison.pairs, plan.steer)
            todo = todo[len(part) :]
            ahead = len(todo) + sum(bool(slots[i].adapters) for i in todo)
            wanted = [(i, ()) for i in part] + [(i, slots[i].adapters) for i in part if slots[i].adapters]
            drawn = self._draw(
                comparison,
                wanted,
                lambda share: progress((done + share * len(wanted)) / (done + len(wanted) + ahead)),
                cancel,
            )
            done += len(wanted)
            comparison.pairs += [
                Pair(i, slots[i].label, drawn[i, ()], drawn[i, slots[i].adapters]) for i in part
            ]
            comparison.pairs.sort(key=lambda pair: pair.slot)
            self._steer(plan)
            yield comparison

    def _draw(
        self,
        comparison: Comparison,
        wanted: list[tuple[int, tuple[str, ...]]],
        progress: Callable[[float], None],
        cancel: threading.Event | None,
    ) -> dict[tuple[int, tuple[str, ...]], Drawn]:
        """Images and faces for (slot, adapters), drawn in one batch but for those that were kept."""
        steps, guidance = comparison.settings["steps"], comparison.settings["guidance"]
        same = (comparison.prompt, comparison.seed, steps, guidance)
        with self._keeping:
            found = {w: self._kept[same, w] for w in wanted if (same, w) in self._kept}
        missing = [w for w in wanted if w not in found]
        if missing:
            found |= dict(
                zip(
                    missing,
                    self.fresh(
                        comparison.prompt, comparison.seed, missing, steps, guidance, Watch(progress, cancel)
                    ),
                )
            )
        with self._keeping:
            for w in wanted:
                self._kept[same, w] = found[w]
                self._kept.move_to_end((same, w))
            while len(self._kept) > min(MAX_KEPT, MAX_KEPT_PIXELS // self.profile.size**2):
                self._kept.popitem(last=False)
        return found

    def fresh(
        self, prompt: str, seed: int, wanted: Wanted, steps: int, guidance: float, watch: Watch = Watch()
    ) -> list[Drawn]:
        """Images and faces for (slot, adapters): drawn and read, or from the pack."""
        if self.pack:
            return self.pack.drawn(prompt, seed, wanted)
        return draw_and_read(self.key, prompt, seed, wanted, steps, guidance, watch)

    def _steer(self, plan: Plan) -> None:
        """Lets what was classified so far choose the slots that are left."""
        left = plan_left(plan)
        if plan.steer and plan.comparison.pairs and left:
            for i, slot in zip(
                left,
                mix.steer(
                    self._updated(plan), seen(plan.comparison, "debiased"), [plan.slots[i] for i in left]
                ),
            ):
                plan.slots[i] = slot

    def _updated(self, plan: Plan) -> mix.Task:
        """The plan's task with the baseline's row brought up to date by the baseline faces drawn so far."""
        task, named = plan.mix.task, prompts.named(plan.comparison.prompt)
        row = response.baseline(self.counts, plan.comparison.prompt, named, seen(plan.comparison, "baseline"))
        rows = np.array([old if slot.adapters else row for slot, old in zip(task.choice, task.response)])
        return mix.Task(task.choice, rows, task.wanted, task.wished)


def plan_left(plan: Plan) -> list[int]:
    """The slots that have no pair yet, in order."""
    done = {p.slot for p in plan.comparison.pairs}
    return [i for i in range(len(plan.slots)) if i not in done]


def seen(comparison: Comparison, side: str) -> np.ndarray:
    """How many of a side's faces were classified into each cell (36,)."""
    return np.bincount([f.cell for f in comparison.faces(side)], minlength=len(CELLS))


def rounded(shares: targets.Target) -> targets.Target:
    return {a: {c: round(v, 4) for c, v in s.items()} for a, s in shares.items()}
