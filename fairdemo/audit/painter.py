"""A painter makes the rows of shards, one after the other: it draws and reads, or reads what was made
elsewhere. Each of an audit's actors is one."""

import hashlib
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from fairdemo.audit import elsewhere, folders, rows
from fairdemo.audit.study import BASELINE, DATA, FOLDER, PIPELINE, PROFILE, SEEDS, Asked, Origin, Shard, Study
from fairdemo.data import look, opening
from fairdemo.data.people import placed
from fairdemo.experiments.calibrate import digests, fingerprint
from fairdemo.methods import llm
from fairdemo.models.sampling import Sample, Setting
from fairdemo.pairs import Drawn
from fairdemo.request import COMMAND_LINE, MIX, Request
from fairdemo.stats import wording
from fairdemo.stats.mix import BASELINE as AS_IS
from fairdemo.stats.mix import Source
from fairdemo.studio.live import Live
from fairdemo.studio.studio import Studio

HASHES = ThreadPoolExecutor(2, "hashes")
MOST = COMMAND_LINE.n[1]  # slots that are planned together; more repeat them


@lru_cache(1)
def live(profile: str) -> Live:
    """A profile's model, one at a time: an audit takes one after the other."""
    return Live(profile)


def checked(study: Study) -> None:
    """ValueError names what of a study can't be drawn: profiles, methods, folders, prompts."""
    for origin in study.origins:
        if origin.kind == FOLDER:
            folders.prompts(origin.model)
            continue
        if origin.kind == DATA:
            opening.opened(study.set_of(origin))
            continue
        if origin.kind != PROFILE:
            elsewhere.known(origin.method)
        own = Studio(live(origin.model)) if origin.kind == PROFILE else None
        for asked in study.asked:
            request = request_of(study, origin, asked)
            if own and origin.method != BASELINE:
                for method in own.asked(request.method):
                    method.told(asked.prompt)
    if any(origin.kind != PROFILE for origin in study.origins):
        live(study.reader)


def request_of(study: Study, origin: Origin, asked: Asked) -> Request:
    """A prompt through a method as a request: nothing steers it, so that images don't depend on what was
    drawn when. ValueError names what is wrong with it."""
    plain = origin.method == BASELINE
    return Request.checked(
        prompt=asked.prompt,
        profile=origin.model if origin.kind == PROFILE else study.reader,
        n=min(MOST, asked.images),
        seed=asked.seed,
        target={} if plain else study.target,
        method=MIX if plain else origin.method,
        steering=False,
        guidance=origin.guidance,
    )


def decided(study: Study, origin: Origin) -> str:
    """A hash of all that decides an origin's images beside what is asked for. What a name on the Hub or an
    address stands for is taken to stay."""
    own = live(origin.model if origin.kind == PROFILE else study.reader)
    parts = [fingerprint(own), own.profile.model_dump_json(), study.target]
    if origin.kind == FOLDER:
        parts.append(folders.fingerprint(origin.model))
    elif origin.kind == DATA:
        parts.append(opening.opened(study.set_of(origin)).fingerprint())
    elif origin.kind == PIPELINE and Path(origin.model).is_dir():
        parts += [d for f in sorted(Path(origin.model).rglob("*")) if f.is_file() for d in digests(f)]
    elif origin.kind == PROFILE and origin.method != BASELINE:
        methods = Studio(own).asked(origin.method)
        used = {name for m in methods for s in m.sources for name in s.adapters}
        adapters = [a for a in own.adapters if a.name in used]
        parts += [a.model_dump_json(exclude={"home"}) for a in adapters]
        parts += [d for a in adapters if not a.repo for d in digests(a.home / a.file)]
        parts += [f"{m.name} {m.version}" for m in methods if m.version > 1]
        parts += [str(llm.endpoint())] if llm.NAME in origin.method.split(" + ") else []
        if own.counts is not None:
            parts.append(json.dumps({k: v.tolist() for k, v in sorted(own.counts.sources.items())}))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def dtype_of(origin: Origin) -> str | None:
    """The numbers that an origin's images are computed in here; None where they are made elsewhere."""
    if origin.kind == PROFILE:
        return live(origin.model).dtype
    return elsewhere.dtype() if origin.kind == PIPELINE else None


class Made(NamedTuple):
    """An image of a shard, as it comes or read, or why there is none."""

    image: Any  # Image.Image, Drawn or str
    source: Source  # what drew it
    seen: str  # the prompt as that has it
    seeded: bool = True  # whether it is from the noise of its seed


class Painter:
    """Makes shards of one study."""

    def __init__(self, study: Study):
        self.study = study
        self.plan = lru_cache(4)(self._plan)
        self.decided = lru_cache(16)(lambda origin: decided(study, origin))

    def paint(self, shard: Shard, name: str) -> bytes:
        """A shard's file, named `name`; RuntimeError where this machine has other weights or files than the
        one that named it."""
        if rows.digest(shard, self.decided(shard.origin)) != name:
            raise RuntimeError(f"weights or files of {shard.origin.name} are others here than when it began")
        if shard.origin.kind == DATA:
            return self._captioned(shard, name)
        start = time.perf_counter()
        found = self._drawn(shard) if shard.origin.kind == PROFILE else self._read(shard)
        spent = (time.perf_counter() - start) / max(1, len(found))
        made, dtype = [], dtype_of(shard.origin)
        for k, (drawn, source, seen, seeded) in enumerate(found):
            there = None if isinstance(drawn, str) else drawn
            row = rows.row(shard, name, k, there, source, seen) | {"dtype": dtype, "seconds": spent}
            row |= {"failed": drawn} if isinstance(drawn, str) else {}
            row |= {} if seeded else {"seed": None}
            made.append(row | ({"image": rows.webp(there)} if self.study.keep and there else {}))
        return rows.packed(made)

    def _captioned(self, shard: Shard, name: str) -> bytes:
        """The file of a shard of a captioned set: what its readers say of each image that is there."""
        start, numbers = time.perf_counter(), range(shard.first, shard.end)
        items = opening.opened(self.study.set_of(shard.origin)).items(numbers)
        images = [i.image for i in items if i.image]
        own = live(self.study.reader)
        looks = HASHES.map(look.of, images)  # on what the readers leave of the processor
        found = zip(images, own.reader.read(images), own.subjects.read(images), looks) if images else ()
        read = iter(list(found))
        made = []
        for k, item in enumerate(items):
            drawn: Drawn | None = None
            about: dict[str, Any] = {"look": None}
            if item.image:
                image, faces, subject, about["look"] = next(read)
                drawn = Drawn(image, faces, *subject)
            listed, prompt = placed(item.caption)
            about |= {"listed": listed, "prompt": prompt} | ({"failed": item.failed} if item.failed else {})
            made.append(rows.row(shard, name, k, drawn, AS_IS, item.caption) | about)
        spent = (time.perf_counter() - start) / len(items)
        return rows.packed([row | {"seconds": spent} for row in made], rows.SET_SCHEMA)

    def _drawn(self, shard: Shard) -> list[Made]:
        """A shard's images by a profile's model."""
        artist = live(shard.origin.model)
        setting, slots = self.plan(shard.origin, shard.asked)
        wanted = [Sample(i, slots[i % MOST]) for i in range(shard.first, shard.end)]
        prompt = shard.asked.prompt
        seen = [artist.written(prompt, s.source) for s in wanted]
        if why := llm.WRITER.failed.pop(prompt, None):  # rules aren't to stand in unnoticed
            raise RuntimeError(f"the language model couldn't be used: {why}")
        artist.load()
        images = artist.fresh(setting, wanted)
        return [Made(d, s.source, text) for d, s, text in zip(images, wanted, seen)]

    def _plan(self, origin: Origin, asked: Asked) -> tuple[Setting, Sequence[Source]]:
        """The setting of a prompt's images, and what each slot is drawn with."""
        studio, request = Studio(live(origin.model)), request_of(self.study, origin, asked)
        plan = studio.plan(request)
        return plan.setting, [AS_IS] * request.n if origin.method == BASELINE else plan.slots

    def _read(self, shard: Shard) -> list[Made]:
        """A shard's images from elsewhere, read by the study's reader."""
        own, found = live(self.study.reader), self._taken(shard)
        images = [one.image for one in found if not isinstance(one.image, str)]
        read = zip(images, own.reader.read(images), own.subjects.read(images)) if images else ()
        drawn = (Drawn(image, faces, *subject) for image, faces, subject in read)
        return [one._replace(image=one.image if isinstance(one.image, str) else next(drawn)) for one in found]

    def _taken(self, shard: Shard) -> list[Made]:
        """A shard's images from elsewhere."""
        origin, asked = shard.origin, shard.asked
        if origin.kind == FOLDER:
            paths = folders.prompts(origin.model)[asked.prompt][shard.first : shard.end]
            return [Made(folders.opened(path), AS_IS, asked.prompt) for path in paths]
        sources = elsewhere.slots(origin.method, asked, self.study.target)[shard.first : shard.end]
        texts = [wording.written(asked.prompt, s.cell) if s.writer else asked.prompt for s in sources]
        seeds = [(asked.seed + slot) % SEEDS for slot in range(shard.first, shard.end)]
        make = elsewhere.piped if origin.kind == PIPELINE else elsewhere.served
        found = make(origin.model, texts, seeds, origin.guidance)
        return [Made(image, s, text, seeded) for (image, seeded), s, text in zip(found, sources, texts)]
