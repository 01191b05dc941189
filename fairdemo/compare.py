"""The whole chain: prompt, target, n and seed in; a growing Comparison out. Every front end runs this."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from fairdemo import adapters, mix, models, prompts, response, targets
from fairdemo.attributes import CELLS
from fairdemo.comparison import Comparison, Drawn, Pair
from fairdemo.faces import FaceReader
from fairdemo.generate import PairedGenerator, cut_words
from fairdemo.subject import SubjectReader

MAX_IMAGES = 512


@dataclass
class Plan:
    """A comparison still to be drawn: its slots, which steering may change while it grows, and the mix behind them."""

    comparison: Comparison
    mix: mix.Mix
    slots: list[mix.Slot]


class Studio:
    """A profile's model, adapters, classifiers and response, loaded once on first use."""

    def __init__(self, profile: str, device: str | None = None):
        self.profile = models.profile(profile)
        self.device = device or models.default_device()
        self.adapters = adapters.catalog(profile)
        self._loading = threading.Lock()

    @cached_property
    def generator(self) -> PairedGenerator:
        pipeline = models.load_pipeline(self.profile, self.device)
        return PairedGenerator(pipeline, adapters.attach(pipeline, self.adapters), self.profile)

    @cached_property
    def reader(self) -> FaceReader:
        return FaceReader(models.ROOT / self.profile.classifier, self.device)

    @cached_property
    def subjects(self) -> SubjectReader:
        return SubjectReader(models.ROOT / self.profile.classifier / "subject.safetensors", self.device)

    @property
    def response_file(self) -> Path:
        return adapters.CATALOG.parent / f"response.{self.profile.name}.json"

    @cached_property
    def counts(self) -> response.Counts | None:
        """The measured response, None if this profile was never calibrated."""
        return response.load(self.response_file) if self.response_file.is_file() else None

    @cached_property
    def confusion(self) -> dict[str, list[list[int]]]:
        """The classifier's confusion counts by attribute over `CLASSES`; empty if it was never measured."""
        path = models.ROOT / self.profile.classifier / "confusion.json"
        return json.loads(path.read_text()) if path.is_file() else {}

    def load(self) -> None:
        """Loads what isn't loaded yet; callers on other threads wait instead of loading twice."""
        with self._loading:
            _ = self.generator, self.reader, self.subjects

    def task(self, prompt: str, target: targets.Target, dependence: str) -> mix.Task:
        """What a mix is solved for: the sources that leave alone what the prompt names, their response, and the target completed from the baseline.

        Of a profile that was never measured only adapters for all that is wished are believed; nobody knows what its baseline draws.
        """
        named = prompts.named(prompt)
        wished = {a: shares for a, shares in target.items() if a not in named}
        every = mix.sources({a.cell: a.name for a in self.adapters})
        choice = [every[i] for i in mix.allowed(every, named)]
        if self.counts is None and wished:
            choice = [s for s in choice if all(s.named(a) for a in wished)] or choice
        reference = response.baseline(self.counts, prompt, named)
        wanted = targets.joint(wished, reference.reshape(mix.SHAPE), dependence)
        return mix.Task(choice, response.table(self.counts, choice, reference), wanted.ravel(), tuple(wished))

    def plan(self, prompt: str, target: targets.Target, n: int, seed: int, method: str = mix.METHODS[0], steps: int | None = None,
             guidance: float | None = None, steer: bool = True, dependence: str = targets.DEPENDENCES[0], before: list[mix.Slot] | None = None) -> Plan:
        """Checks every input and solves the mix. ValueError names the input and what is allowed.

        `before` are the slots of an earlier plan for the same wall: as few as possible of them change. Slots at random are never steered.
        """
        prompt, target = prompts.check(prompt), targets.check(target)
        steps = self.profile.steps if steps is None else steps
        guidance = self.profile.guidance if guidance is None else guidance
        for what, value, low, high in (("number of images", n, 1, MAX_IMAGES), ("seed", seed, 0, 2**31 - 1), ("number of steps", steps, 2, 100), ("guidance", guidance, 1, 20)):
            if not low <= value <= high:
                raise ValueError(f"{what} is {value}; {low} to {high} are allowed")
        if method not in mix.METHODS:
            raise ValueError(f"method of choosing slots is {method!r}; allowed are {', '.join(mix.METHODS)}")
        task = self.task(prompt, target, dependence)
        if before is not None and len(before) == n and method == mix.METHODS[0]:
            solved, slots = mix.remix(task, n, before)
        else:
            solved = mix.solve(task)
            slots = mix.allot(solved, n, method, seed)
        wanted = targets.marginals(task.wanted.reshape(mix.SHAPE))
        weights = {s.label: round(float(w), 4) for s, w in zip(task.choice, solved.weights) if w > 5e-5}
        comparison = Comparison(
            prompt, self.profile.name, seed, n, {a: wanted[a] for a in task.wished},
            {"steps": steps, "guidance": guidance, "method": method, "steer": steer and method == mix.METHODS[0], "dependence": dependence},
            {"weights": weights, "expected": rounded(mix.expected_target(solved)), "short": rounded(solved.short())},
            self.confusion, prompts.profession(prompt), self._notices(prompt, target, solved))
        return Plan(comparison, solved, slots)

    def _notices(self, prompt: str, target: targets.Target, solved: mix.Mix) -> list[str]:
        notices = [f"The prompt itself names {attribute} ({word}); the mix leaves it alone." for attribute, word in prompts.named(prompt).items() if attribute in target]
        if target and self.counts is None:
            notices.append(f"The adapters of profile {self.profile.name!r} were never measured and are taken at their word; to measure them: python -m fairdemo calibrate.")
        for attribute, gaps in solved.short(0.02).items():
            notices.append(f"Not fully reachable for {attribute}: " + ", ".join(f"{c} {gap:+.0%}" for c, gap in gaps.items()) + " against the wish.")
        return notices

    def run(self, plan: Plan, progress: Callable[[float], None] = lambda share: None, cancel: threading.Event | None = None) -> Iterator[Comparison]:
        """Fills the plan's comparison, yielding it after each batch. Raises `generate.Cancelled` when `cancel` is set."""
        self.load()
        generator, comparison, slots = self.generator, plan.comparison, plan.slots
        cut = cut_words(generator.pipeline, comparison.prompt)
        if cut:
            comparison.notices.append(f"The prompt is longer than 77 tokens; this was cut: “{cut}”.")
        steer = comparison.settings["steer"] and bool(plan.mix.task.wished)
        for batch in generator.pairs(comparison.prompt, comparison.seed, slots, comparison.settings["steps"], comparison.settings["guidance"], steer, progress, cancel):
            distinct = list({id(image): image for _, *images in batch for image in images}.values())
            drawn = {id(image): Drawn(image, faces, *subject) for image, faces, subject in zip(distinct, self.reader.read(distinct), self.subjects.read(distinct))}
            for slot, baseline, debiased in batch:
                comparison.pairs.append(Pair(slot, slots[slot].label, drawn[id(baseline)], drawn[id(debiased)]))
            done = len(comparison.pairs)
            if steer and done < len(slots):
                slots[done:] = mix.steer(self._updated(plan), seen(comparison, "debiased"), slots[done:])
            yield comparison

    def _updated(self, plan: Plan) -> mix.Task:
        """The plan's task with the baseline's row brought up to date by the baseline faces drawn so far."""
        task, named = plan.mix.task, prompts.named(plan.comparison.prompt)
        row = response.baseline(self.counts, plan.comparison.prompt, named, seen(plan.comparison, "baseline"))
        rows = np.array([old if slot.adapters else row for slot, old in zip(task.choice, task.response)])
        return mix.Task(task.choice, rows, task.wanted, task.wished)


def seen(comparison: Comparison, side: str) -> np.ndarray:
    """How many of a side's faces were classified into each cell (36,)."""
    return np.bincount([f.cell for f in comparison.faces(side)], minlength=len(CELLS))


def rounded(shares: targets.Target) -> targets.Target:
    return {a: {c: round(v, 4) for c, v in s.items()} for a, s in shares.items()}
