"""Measures a profile's response: what the baseline and each source of the mix are classified as, over all professions.

Resumable: the file is written after each profession, and a later run goes on with the missing ones, unless weights, sampler or default settings have changed.
"""

from collections.abc import Iterator

from fairdemo import models, response
from fairdemo.adapters import CATALOG
from fairdemo.compare import Studio
from fairdemo.prompts import PROFESSIONS, photo_of

SEED = 1_000_000  # far from the seeds that people use


def weights(studio: Studio) -> str:
    """The fingerprint of the adapters and their weights, the model, its sampler and default settings, and the classifier of a profile."""
    folders = [models.ROOT / studio.profile.model, models.ROOT / studio.profile.classifier]
    return response.fingerprint([*(CATALOG.parent / a.file for a in studio.adapters), *(p for f in folders for p in f.rglob("*.safetensors")), *folders[1].glob("*.skops"),
                                 *folders[0].rglob("scheduler_config.json")], studio.profile.steps, studio.profile.guidance,
                                *(a.weight for a in studio.adapters))


def calibrate(studio: Studio, images: int, baseline_images: int) -> Iterator[tuple[int, int]]:
    """Draws `images` with each source and `baseline_images` with the baseline for every profession; yields (done, of) professions.

    Each image has a noise of its own, so that no two sources share theirs.
    """
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
                part = wanted[start:start + 4 * profile.batch]
                drawn = studio.generator.draw(prompt, SEED + k, [(start + i, slot.adapters) for i, slot in enumerate(part)], profile.steps, profile.guidance)
                for slot, faces in zip(part, studio.reader.read(drawn)):
                    found[slot.label].append(faces[0].cell if faces else None)
            for label, cells in found.items():
                counts.add(prompt, label, cells)
            counts.save(target)
        yield k + 1, len(PROFESSIONS)
