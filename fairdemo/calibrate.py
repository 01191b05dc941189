"""Measures a profile's response: what the baseline and each source of the mix are classified as, over all professions.

Resumable: the file is written after each profession, and a later run goes on with the missing ones, unless weights, sampler or default settings have changed.
"""

from collections.abc import Iterator
from pathlib import Path

from fairdemo import response
from fairdemo.compare import Studio
from fairdemo.prompts import PROFESSIONS, photo_of

SEED = 1_000_000  # far from the seeds that people use


def weights(studio: Studio) -> str:
    """The fingerprint of the adapters and their weights, the model, its sampler and default settings, and the classifier of a profile."""
    profile, mixed = studio.profile, [a for a in studio.adapters if not a.method]
    sources = [profile.source(key) for key in ("model", "classifier")]
    kept = [
        p
        for source in sources
        if isinstance(source, Path)
        for pattern in ("*.safetensors", "*.skops", "scheduler_config.json")
        for p in source.rglob(pattern)
    ]
    pinned = [
        s
        for s in (
            *sources,
            profile.revision,
            profile.vae_revision,
            profile.unet_revision,
            profile.unet_file,
            profile.scheduler,
            profile.suffix,
            profile.negative,
            *(a.revision for a in mixed if a.repo),
        )
        if s and not isinstance(s, Path)
    ]
    return response.fingerprint(
        [*(a.home / a.file for a in mixed if not a.repo), *kept],
        profile.steps,
        profile.guidance,
        *(a.weight for a in mixed),
        *pinned,
    )


def calibrate(studio: Studio, images: int, baseline_images: int) -> Iterator[tuple[int, int]]:
    """Draws `images` with each source and `baseline_images` with the baseline for every profession; yields (done, of) professions.

    Each image has a noise of its own, so that no two sources share theirs.
    """
    if studio.pack:
        raise ValueError(
            f"pack {studio.profile.name!r} needs no calibration: what its images are classified as is known"
        )
    target = studio.response_file
    counts = response.load(target) if target.is_file() else None
    if counts is None or counts.weights != weights(studio):
        counts = response.Counts(weights(studio))
    choice = studio.sources
    profile = studio.profile
    for k, profession in enumerate(PROFESSIONS):
        prompt = photo_of(profession)
        if prompt not in counts.baseline:
            wanted = [slot for slot in choice for _ in range(images if slot.adapters else baseline_images)]
            found: dict[str, list[int | None]] = {slot.label: [] for slot in choice}
            for start in range(0, len(wanted), 4 * profile.batch):
                part = wanted[start : start + 4 * profile.batch]
                drawn = studio.generator.draw(
                    prompt,
                    SEED + k,
                    [(start + i, slot.adapters) for i, slot in enumerate(part)],
                    profile.steps,
                    profile.guidance,
                )
                for slot, faces in zip(part, studio.reader.read(drawn)):
                    found[slot.label].append(faces[0].cell if faces else None)
            for label, cells in found.items():
                counts.add(prompt, label, cells)
            counts.save(target)
        yield k + 1, len(PROFESSIONS)
