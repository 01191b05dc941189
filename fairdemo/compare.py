"""The whole chain: prompt, target, n and seed in; a growing Comparison out. Every front end runs this."""

import threading
from collections.abc import Callable, Iterator
from functools import cached_property

from fairdemo import adapters, mix, models, prompts, targets
from fairdemo.comparison import Comparison, Drawn, Pair
from fairdemo.faces import FaceReader
from fairdemo.generate import PairedGenerator, cut_words

MAX_IMAGES = 512


class Studio:
    """A profile's model, adapters and classifier, loaded once on first use."""

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

    def load(self) -> None:
        """Loads what isn't loaded yet; callers on other threads wait instead of loading twice."""
        with self._loading:
            _ = self.generator, self.reader

    def plan(self, prompt: str, target: targets.Target, n: int, seed: int, method: str = mix.METHODS[0], steps: int | None = None,
             guidance: float | None = None) -> tuple[Comparison, list[mix.Slot]]:
        """Checks every input; an empty comparison and its slots. ValueError names the input and what is allowed."""
        prompt = prompts.check(prompt)
        if not 1 <= n <= MAX_IMAGES:
            raise ValueError(f"number of images is {n}; 1 to {MAX_IMAGES} are allowed")
        if not 0 <= seed < 2**31:
            raise ValueError(f"seed is {seed}; 0 to {2**31 - 1} are allowed")
        steps = self.profile.steps if steps is None else steps
        guidance = self.profile.guidance if guidance is None else guidance
        if not 2 <= steps <= 100:
            raise ValueError(f"number of steps is {steps}; 2 to 100 are allowed")
        if not 1 <= guidance <= 20:
            raise ValueError(f"guidance is {guidance}; 1 to 20 are allowed")
        target = targets.check(target)
        named = prompts.named(prompt)
        slots = mix.slots(target, n, {a.cell: a.name for a in self.adapters}, named, method, seed)
        settings = {"steps": steps, "guidance": guidance, "method": method}
        notices = [f"The prompt itself names {attribute} ({word}); the mix leaves it alone." for attribute, word in named.items() if attribute in target]
        return Comparison(prompt, self.profile.name, seed, n, target, settings, notices), slots

    def run(self, comparison: Comparison, slots: list[mix.Slot], progress: Callable[[float], None] = lambda share: None,
            cancel: threading.Event | None = None) -> Iterator[Comparison]:
        """Fills the comparison, yielding it after each batch. Raises `generate.Cancelled` when `cancel` is set."""
        self.load()
        generator = self.generator
        cut = cut_words(generator.pipeline, comparison.prompt)
        if cut:
            comparison.notices.append(f"The prompt is longer than 77 tokens; this was cut: “{cut}”.")
        for batch in generator.pairs(comparison.prompt, comparison.seed, slots, comparison.settings["steps"], comparison.settings["guidance"], progress, cancel):
            distinct = [image for _, *images in batch for image in {id(i): i for i in images}.values()]
            faces = dict(zip(map(id, distinct), self.reader.read(distinct)))
            for slot, baseline, debiased in batch:
                comparison.pairs.append(Pair(slot, slots[slot].label, Drawn(baseline, faces[id(baseline)]), Drawn(debiased, faces[id(debiased)])))
            yield comparison
