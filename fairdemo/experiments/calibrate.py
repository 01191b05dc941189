"""Measures a profile's response: what the baseline and each source of the mix are classified as, over all
professions.

Resumable: the file is written after each profession, and a later run goes on with what is missing, another
method's sources for one, unless weights, sampler or default settings have changed."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors import safe_open

from fairdemo.models.sampling import Sample, by_default
from fairdemo.stats import response
from fairdemo.stats.mix import Source
from fairdemo.stats.prompts import PROFESSIONS, photo_of
from fairdemo.studio.live import Live

SEED = 1_000_000  # far from the seeds that people use


def digests(path: Path) -> Iterator[str]:
    """Hashes of what a file holds: of each tensor of a safetensors file, whichever shard it lies in, else of
    all its bytes."""
    whole = re.sub(r"-\d{5}-of-\d{5}", "", path.name)
    if path.suffix != ".safetensors":
        yield hashlib.sha256(whole.encode() + path.read_bytes()).hexdigest()
        return
    with safe_open(path, "pt") as file:
        for name in sorted(file.keys()):
            tensor = file.get_tensor(name)
            about = f"{path.parent.name}/{whole} {name} {tensor.dtype} {tuple(tensor.shape)}"
            values = tensor.flatten().view(torch.uint8).numpy().tobytes()
            yield hashlib.sha256(about.encode() + values).hexdigest()


def fingerprint(live: Live) -> str:
    """A short hash of the adapters and their weights, the model, its sampler and default settings, and the
    classifier of a profile: a response belongs to what it was measured on."""
    profile, mixed = live.profile, [a for a in live.adapters if not a.method]
    sources = [profile.source(key) for key in ("model", "classifier")]
    own = ("revision", "vae_revision", "unet_revision", "unet_file", "scheduler")
    own += ("opening", "suffix", "negative")
    pinned = [*sources, *(getattr(profile, key) for key in own), *(a.revision for a in mixed if a.repo)]
    settings = (
        profile.steps,
        profile.guidance,
        *(a.weight for a in mixed),
        *(s for s in pinned if s and not isinstance(s, Path)),
    )
    files = [a.home / a.file for a in mixed if not a.repo]
    shown = profile.source("crisp") if profile.crisp else None
    for source in sources:
        if isinstance(source, Path):
            for pattern in ("*.safetensors", "*.skops", "scheduler_config.json"):
                # The decoder of what is shown changes nothing that is read.
                files += (path for path in source.rglob(pattern) if path != shown)
    return response.fingerprint((digest for path in files for digest in digests(path)), *settings)


def calibrate(
    live: Live, methods: Sequence[str], images: int, baseline_images: int
) -> Iterator[tuple[int, int]]:
    """Draws `images` with each source of the methods and `baseline_images` with the baseline for every
    profession; yields (done, of) professions. ValueError names a method that can't be mixed.

    Each image has a noise of its own, so that no two sources share theirs."""
    allowed = [m.name for m in live.registry.values() if m.mixes]
    if unknown := [name for name in methods if name not in allowed]:
        raise ValueError(f"method is {unknown[0]!r}; those that can be calibrated: {', '.join(allowed)}")
    target, own = live.response_file, fingerprint(live)
    stored = [response.load(path) for path in (target, live.shipped_response) if path.is_file()]
    counts = next((c for c in stored if c.weights == own), response.Counts(own))
    for k, profession in enumerate(PROFESSIONS):
        for name in methods:
            seed = SEED + 100 * allowed.index(name) + k
            todo = [s for s in live.registry[name].sources if counts.done.get(s.label, 0) <= k]
            every = [s for s in todo for _ in range(baseline_images if s.is_baseline else images)]
            for label, cells in classified(live, photo_of(profession), seed, every).items():
                counts.add(photo_of(profession), label, cells)
        counts.save(target)
        yield k + 1, len(PROFESSIONS)


def classified(live: Live, prompt: str, seed: int, sources: list[Source]) -> dict[str, list[int | None]]:
    """Draws one image with each source; the cells that they are classified into, by the sources' labels."""
    setting, at_once = by_default(live.profile, prompt, seed), 4 * live.profile.batch
    samples = [Sample(i, source) for i, source in enumerate(sources)]
    found: dict[str, list[int | None]] = {}
    for start in range(0, len(samples), at_once):
        part = samples[start : start + at_once]
        for sample, faces in zip(part, live.reader.read(live.generator.draw(setting, part))):
            found.setdefault(sample.source.label, []).append(faces[0].cell if faces else None)
    return found
