"""Live: images drawn by a model on this machine, through routed adapters, and read by its classifiers.

What draws and what reads is imported on first use: diffusers and the classifiers take seconds, and a page
that shows what is kept doesn't wait for them."""

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from fairdemo import places
from fairdemo.methods import registry
from fairdemo.methods.method import Method
from fairdemo.models import catalog, profiles
from fairdemo.models.gpu import SILENT, ZERO, Watch, on_gpu
from fairdemo.models.precision import default_device, drawing_dtype
from fairdemo.models.sampling import Sample, Setting, Shot
from fairdemo.pairs import Drawn
from fairdemo.places import SHIPPED
from fairdemo.request import MIX, Request
from fairdemo.stats import response
from fairdemo.stats.confusions import FILES, Confusions, read_confusions
from fairdemo.stats.mix import Source
from fairdemo.studio.batches import Batches
from fairdemo.studio.cached import cached_property
from fairdemo.studio.one_thread import OneThread
from fairdemo.studio.pool import PACK_SEED, Pool, open_pack

if TYPE_CHECKING:
    from fairdemo.models.generating import PairedGenerator
    from fairdemo.readers.read import FaceReader
    from fairdemo.readers.subject import ClipSubjects, SubjectReader

MAX_KEPT, MAX_KEPT_PIXELS = 1500, 250_000_000  # drawn images kept to be shown again, 3 bytes a pixel
SURELY_SEEN = 60  # characters: no more than as many tokens, and room for soft ones
QUIET = 0.7  # seconds without a visitor's drawing or slider before images are drawn ahead
MODEL = OneThread()  # visitors' threads draw on it
LIVES: WeakValueDictionary[tuple[str, int], "Live"] = WeakValueDictionary()  # by profile and id


def seconds(key: tuple[str, int], shots: Sequence[Shot], watch: Watch) -> float:
    """For how long a shared GPU is asked: a large one takes about 0.04 s for a step of one image of 1024 px,
    twice that with guidance."""
    calls = sum(setting.steps * (1 + (setting.guidance > 1)) for setting, _ in shots)
    return min(120.0, 10 + 0.04 * calls * (LIVES[key].profile.size / 1024) ** 2)


@on_gpu(seconds)
def draw_and_read(key: tuple[str, int], shots: Sequence[Shot], watch: Watch) -> list[Drawn]:
    """Images to show, and what is read in them, at the size that the readers were measured on. It gets a
    model by its key, since one can't travel to the process that has the GPU."""
    live = LIVES.get(key) or Live(key[0])
    drawn = live.generator.draw_twofold(shots, watch)
    images = [image for image, _ in drawn]
    scale = live.profile.shown / live.profile.size
    return [
        Drawn(shown, [face.enlarged(scale) for face in faces], *subject, live.dtype)
        for (_, shown), faces, subject in zip(drawn, live.reader.read(images), live.subjects.read(images))
    ]


class Live:
    """A profile's model, adapters, classifiers and response, loaded once on first use."""

    prompts: Sequence[str] = ()  # it draws any
    most: int | None = None  # and as many as a request may ask for

    def __init__(self, profile: str, device: str | None = None):
        self.profile = profiles.profile(profile)
        self.device = device or default_device()
        drawing_dtype(self.profile, self.device)  # ValueError now, not in the middle of a drawing
        found = catalog.of_profile(self.profile)
        self.faults = catalog.find_faults(found)  # why adapters of the catalog can't be used, by name
        self.adapters = [a for a in found if a.name not in self.faults]
        self.key = (profile, id(self))
        LIVES[self.key] = self
        self.kept = Kept(min(MAX_KEPT, MAX_KEPT_PIXELS // self.profile.shown**2))
        self.turns = Turns()
        self.batches = Batches(MODEL, partial(draw_and_read, self.key), 2 * self.profile.batch)
        self._loading = threading.Lock()

    @cached_property
    def generator(self) -> "PairedGenerator":
        """What draws."""
        from fairdemo.models import pipelines, routing
        from fairdemo.models.generating import PairedGenerator

        pipeline = pipelines.load_pipeline(self.profile, self.device)
        router = routing.attach(pipeline, self.adapters)
        if router.faults:  # what was planned with them ends with the reason; what comes now is without them
            self.faults |= router.faults
            self.adapters = [a for a in self.adapters if a.name not in router.faults]
            self.__dict__.pop("registry", None)
        pipelines.place(pipeline, self.device)
        made = PairedGenerator(pipeline, router.to(self.device), self.profile, self.device)
        for method in self.registry.values():
            made.writers |= method.writers
            made.fits |= method.edits
            made.guides |= method.guides
        return made

    @cached_property
    def reader(self) -> "FaceReader":
        """What reads faces."""
        from fairdemo.readers.read import FaceReader

        return FaceReader(self.profile.source("classifier"), self.device)

    @cached_property
    def subjects(self) -> "SubjectReader | ClipSubjects":
        """What reads professions."""
        from fairdemo.readers.subject import ClipSubjects, SubjectReader

        folder = self._classifier["folder"]
        if (folder / "subject.safetensors").is_file():
            return SubjectReader(folder / "subject.safetensors", self.device)
        tower = {key: self._classifier[key] for key in ("model", "pretrained") if key in self._classifier}
        return ClipSubjects(self.device, **tower)

    @cached_property
    def _classifier(self) -> dict[str, Any]:
        from fairdemo.readers import classify

        return classify.describe(self.profile.source("classifier"))

    @property
    def response_file(self) -> Path:
        """Where `calibrate` writes what this profile's sources are classified as."""
        return places.home() / "responses" / f"{self.profile.name}.json"

    @property
    def shipped_response(self) -> Path:
        """What comes with the catalog of it, if anything does."""
        return catalog.CATALOG.parent / f"response.{self.profile.name}.json"

    @cached_property
    def counts(self) -> response.Counts | None:
        """The measured response, one's own before the shipped one; None if it was never measured."""
        files = (self.response_file, self.shipped_response)
        found = next((path for path in files if path.is_file()), None)
        return response.load(found) if found else None

    @cached_property
    def registry(self) -> dict[str, Method]:
        """All methods by name, the mix first."""
        return {method.name: method for method in registry.of(self.adapters)}

    @property
    def sources(self) -> list[Source]:
        """What the mix is made of: the baseline, each adapter, and combinations for different attributes."""
        return list(self.registry[MIX].sources)

    def written(self, prompt: str, source: Source) -> str:
        """The prompt as a source sees it."""
        writers = {name: write for m in self.registry.values() for name, write in m.writers.items()}
        return writers[source.writer](prompt, source.cell) if source.writer else prompt

    @cached_property
    def confusions(self) -> Confusions:
        """How the classifier reads each class, as far as it was measured."""
        files = {key: self._classifier["folder"] / f"{key}.json" for key in FILES}
        there = {key: file.read_text(encoding="utf-8") for key, file in files.items() if file.is_file()}
        return read_confusions({key: json.loads(text) for key, text in there.items()})

    @cached_property
    def known(self) -> frozenset[str] | None:
        """The words that the model was trained on, in lower case; None: any."""
        if self.profile.words is None:
            return None
        return frozenset(Path(self.profile.source("words")).read_text(encoding="utf-8").split())

    @cached_property
    def shipped(self) -> Pool | None:
        """Walls that were drawn for the app to open on, if the profile has some."""
        folder = SHIPPED / "assets" / "walls" / self.profile.name
        return open_pack(str(folder)) if (folder / "data" / "metadata.parquet").is_file() else None

    @property
    def loaded(self) -> bool:
        """Whether drawing starts at once."""
        return "subjects" in self.__dict__

    @property
    def dtype(self) -> str:
        """The number format that it computes in."""
        return drawing_dtype(self.profile, self.device)

    def load(self) -> None:
        """Loads what isn't loaded yet; callers on other threads wait instead of loading twice."""
        with self._loading:
            _ = self.generator, self.reader, self.subjects

    def warm(self, prompt: str) -> None:
        """Draws and reads a little, in two steps."""
        setting = Setting(prompt, 0, 2, self.profile.guidance)
        self.fresh(setting, [Sample(i, s) for s in self.sources[:2] for i in range(self.profile.first)])

    def fitted(self, request: Request) -> Request:
        """The request with the profile's own steps and guidance where it leaves them open."""
        steps = self.profile.steps if request.steps is None else request.steps
        guidance = self.profile.guidance if request.guidance is None else request.guidance
        return request.but(profile=self.profile.name, steps=steps, guidance=guidance)

    def notices(self, prompt: str, sources: Sequence[Source]) -> list[str]:
        """Which adapters can't be used, and what of the prompt the text encoders don't see."""
        unused = [f"Adapter {name!r} isn't used: {why}" for name, why in self.faults.items()]
        once = list(dict.fromkeys(sources))
        with ThreadPoolExecutor(8) as asked:  # a language model may write them
            seen = dict(zip(once, asked.map(lambda source: self.written(prompt, source), once)))
        written = [self.profile.worded(seen[source]) for source in sources]
        if max(map(len, written), default=0) < SURELY_SEEN:
            return unused
        from fairdemo.models.generating import cut_words

        self.load()
        texts = [self.generator.router.before(s.adapters) + text for s, text in zip(sources, written)]
        cut = cut_words(self.generator.pipeline, max(texts, key=len, default=""))
        told = [f"The prompt is longer than 77 tokens; this was cut: “{cut}”."] if cut else []
        return unused + told

    def held(self, setting: Setting, wanted: Sequence[Sample]) -> dict[Sample, Drawn]:
        """Those of the wanted samples that were kept, or come with the app."""
        found = self.kept.of(setting, wanted)
        missing = [w for w in wanted if w not in found]
        if missing and self.shipped is not None and self._is_shipped(setting):
            own = self.shipped.numbered(setting.prompt, missing)
            self.kept.keep(setting, own)
            found |= own
        return found

    def _is_shipped(self, setting: Setting) -> bool:
        """Whether a drawing is one of those that come with the app."""
        own = self.shipped
        if own is None or setting.prompt not in own.prompts:
            return False
        seed = PACK_SEED + list(own.prompts).index(setting.prompt)
        return setting == Setting(setting.prompt, seed, own.about["steps"], own.about["guidance"])

    def draw(
        self, setting: Setting, wanted: Sequence[Sample], watch: Watch = SILENT
    ) -> Iterator[dict[Sample, Drawn]]:
        """Images and what is read in them as they are there: first those that were kept, then those that are
        drawn, in batches with other visitors'. What is drawn ahead gives way."""
        found = self.held(setting, wanted)
        missing = [w for w in wanted if w not in found]
        if found:
            yield found
        if missing:
            with self.turns.visitor():
                self.load()
                for new in self._drawn(setting, missing, watch):
                    self.kept.keep(setting, new)
                    yield new
        self.kept.keep(setting, found)

    def _drawn(
        self, setting: Setting, wanted: Sequence[Sample], watch: Watch
    ) -> Iterator[dict[Sample, Drawn]]:
        """Samples drawn now: on a shared GPU for each visitor alone, since each one's own time is charged."""
        if ZERO or threading.current_thread() is threading.main_thread():
            start = time.monotonic()
            yield dict(zip(wanted, self.fresh(setting, wanted, watch)))
            watch.spent(len(wanted), time.monotonic() - start)
        else:
            yield from self.batches.draw(setting, wanted, watch)

    def ahead(self, setting: Setting, wanted: Sequence[Sample]) -> None:
        """Draws samples to be kept while nobody draws; Cancelled once somebody wants to."""
        drawn = dict(zip(wanted, self.fresh(setting, wanted, Watch(cancel=self.turns.give_way))))
        self.kept.keep(setting, drawn)

    def fresh(self, setting: Setting, wanted: Sequence[Sample], watch: Watch = SILENT) -> list[Drawn]:
        """Images and what is read in them, drawn now in a batch of their own."""
        return self.shots([(setting, sample) for sample in wanted], watch)

    def shots(self, shots: Sequence[Shot], watch: Watch = SILENT) -> list[Drawn]:
        """The same for samples of several drawings that have the same steps and guidance."""
        if ZERO or threading.current_thread() is threading.main_thread():
            return draw_and_read(self.key, shots, watch)
        return MODEL.do(lambda: draw_and_read(self.key, shots, watch))


class Turns:
    """Visitors before what is drawn ahead of them."""

    def __init__(self) -> None:
        self.give_way = threading.Event()  # set: what is drawn ahead is to end
        self.visitors, self.last = 0, 0.0
        self.lock = threading.Lock()

    def touch(self) -> None:
        """Somebody is about to want the processor."""
        self.last = time.monotonic()
        self.give_way.set()

    @contextmanager
    def visitor(self) -> Iterator[None]:
        """Within it a visitor's images are drawn."""
        with self.lock:
            self.visitors += 1
        self.touch()
        try:
            yield
        finally:
            with self.lock:
                self.visitors -= 1
            self.last = time.monotonic()

    def idle(self) -> bool:
        """Whether nobody has drawn or moved a slider for a while; what is drawn ahead may then begin."""
        free = not self.visitors and time.monotonic() - self.last > QUIET
        if free:
            self.give_way.clear()
        return free


class Kept:
    """Drawn images that may be shown again, at most `most`; the oldest go first."""

    def __init__(self, most: int):
        self.most = most
        self.images: OrderedDict[tuple[Setting, Sample], Drawn] = OrderedDict()
        self.lock = threading.Lock()

    def of(self, setting: Setting, wanted: Sequence[Sample]) -> dict[Sample, Drawn]:
        """Those of the wanted ones that are kept."""
        with self.lock:
            return {w: self.images[setting, w] for w in wanted if (setting, w) in self.images}

    def keep(self, setting: Setting, drawn: dict[Sample, Drawn]) -> None:
        """Keeps images, as the newest."""
        with self.lock:
            for sample, image in drawn.items():
                self.images[setting, sample] = image
                self.images.move_to_end((setting, sample))
            while len(self.images) > self.most:
                self.images.popitem(last=False)
