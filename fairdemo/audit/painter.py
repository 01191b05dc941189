"""A painter makes the rows of shards, one after the other: it draws and reads, or reads what was made
elsewhere. Each of an audit's actors is one."""

import hashlib
import json
import time
from collections.abc import Sequence
from functools import lru_cache

from PIL import Image

from fairdemo.audit import elsewhere, folders, rows
from fairdemo.audit.study import BASELINE, FOLDER, PIPELINE, PROFILE, SEEDS, Asked, Origin, Shard, Study
from fairdemo.experiments.calibrate import digests, fingerprint
from fairdemo.models.generating import Sample, Setting
from fairdemo.pairs import Drawn
from fairdemo.request import COMMAND_LINE, MIX, Request
from fairdemo.stats import wording
from fairdemo.stats.mix import BASELINE as AS_IS
from fairdemo.stats.mix import Source
from fairdemo.studio.live import Live
from fairdemo.studio.studio import Studio

MOST = COMMAND_LINE.n[1]  # slots that are planned together; more repeat them


@lru_cache(1)
def live(profile: str) -> Live:
    """A profile's model, one at a time: an audit takes one after the other."""
    return Live(profile)


def checked(study: Study) -> None:
    """ValueError names what of a study can't be drawn: profiles, methods, folders."""
    for origin in study.origins:
        if origin.kind == FOLDER:
            folders.prompts(origin.model)
        elif origin.kind != PROFILE:
            elsewhere.known(origin.method)
        elif origin.method != BASELINE:
            Studio(live(origin.model)).asked(origin.method)
        else:
            live(origin.model)
    if any(origin.kind != PROFILE for origin in study.origins):
        live(study.reader)


def decided(study: Study, origin: Origin) -> str:
    """A hash of all that decides an origin's images beside what is asked for. What another model's name
    stands for is taken to stay."""
    if origin.kind != PROFILE:
        parts = [fingerprint(live(study.reader)), study.target]
        parts += [folders.fingerprint(origin.model)] if origin.kind == FOLDER else []
    else:
        own = live(origin.model)
        method = [] if origin.method == BASELINE else Studio(own).asked(origin.method)
        names = {a for m in method for s in m.sources for a in s.adapters}
        files = [a.home / a.file for a in own.adapters if a.name in names and not a.repo]
        parts = [fingerprint(own), *(d for file in files for d in digests(file)), study.target]
        if method and own.counts is not None:
            parts.append(json.dumps({k: v.tolist() for k, v in sorted(own.counts.sources.items())}))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class Painter:
    """Makes shards of one study."""

    def __init__(self, study: Study):
        self.study = study
        self.plan = lru_cache(4)(self._plan)

    def paint(self, shard: Shard, name: str) -> bytes:
        """A shard's file, named `name`."""
        start = time.perf_counter()
        found = self._drawn(shard) if shard.origin.kind == PROFILE else self._read(shard)
        spent = (time.perf_counter() - start) / max(1, len(found))
        made = []
        for k, (drawn, source, seen) in enumerate(found):
            row = rows.row(shard, name, k, drawn, source, seen) | {"seconds": spent}
            made.append(row | ({"image": rows.webp(drawn)} if self.study.keep else {}))
        return rows.packed(made)

    def _drawn(self, shard: Shard) -> list[tuple[Drawn, Source, str]]:
        """A shard's images by a profile's model, with what drew each and the prompt that it saw."""
        artist = live(shard.origin.model)
        setting, slots = self.plan(shard.origin, shard.asked)
        wanted = [Sample(i, slots[i % MOST]) for i in range(shard.first, shard.end)]
        artist.load()
        drawn = artist.fresh(setting, wanted)
        return [(d, s.source, artist.written(shard.asked.prompt, s.source)) for d, s in zip(drawn, wanted)]

    def _plan(self, origin: Origin, asked: Asked) -> tuple[Setting, Sequence[Source]]:
        """The setting of a prompt's images, and what each slot is drawn with: nothing steers them, so that
        they don't depend on what was drawn when."""
        studio = Studio(live(origin.model))
        request = Request.checked(
            prompt=asked.prompt,
            profile=origin.model,
            n=min(MOST, asked.images),
            seed=asked.seed,
            target=self.study.target if origin.method != BASELINE else {},
            method=MIX if origin.method == BASELINE else origin.method,
            steering=False,
            guidance=origin.guidance,
        )
        plan = studio.plan(request)
        return plan.setting, [AS_IS] * request.n if origin.method == BASELINE else plan.slots

    def _read(self, shard: Shard) -> list[tuple[Drawn, Source, str]]:
        """A shard's images from elsewhere, read by the study's reader."""
        own, found = live(self.study.reader), self._taken(shard)
        images = [image for image, _, _ in found]
        read = zip(found, own.reader.read(images), own.subjects.read(images))
        return [
            (Drawn(image, faces, *subject), source, seen) for (image, source, seen), faces, subject in read
        ]

    def _taken(self, shard: Shard) -> list[tuple[Image.Image, Source, str]]:
        """A shard's images from elsewhere, with what drew each and the prompt that it saw."""
        origin, asked = shard.origin, shard.asked
        if origin.kind == FOLDER:
            paths = folders.prompts(origin.model)[asked.prompt][shard.first : shard.end]
            return [(folders.opened(path), AS_IS, asked.prompt) for path in paths]
        sources = elsewhere.slots(origin.method, asked, self.study.target)[shard.first : shard.end]
        texts = [wording.written(asked.prompt, s.cell) if s.writer else asked.prompt for s in sources]
        seeds = [(asked.seed + slot) % SEEDS for slot in range(shard.first, shard.end)]
        make = elsewhere.piped if origin.kind == PIPELINE else elsewhere.served
        return list(zip(make(origin.model, texts, seeds, origin.guidance), sources, texts))
