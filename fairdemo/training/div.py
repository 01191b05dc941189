"""SDXL-Div (arXiv 2402.01002): one LoRA per race on faces that vary widely, against the sameness inside a
race. What it does is measured as the cosine similarity of face embeddings within a race: the lower, the
more the faces differ."""

from pathlib import Path

import numpy as np

from fairdemo.models import profiles
from fairdemo.models.generating import PairedGenerator
from fairdemo.models.sampling import Sample, by_default
from fairdemo.readers.read import FaceReader
from fairdemo.stats.attributes import TARGET_CLASSES
from fairdemo.stats.measure import likeness
from fairdemo.stats.mix import Source
from fairdemo.stats.prompts import photo_of
from fairdemo.training import denoise
from fairdemo.training.denoise import Config, OwnPeople

EMBEDDED = Config(by=("race",), iterations=2000, batch=40, learning_rate=3e-3, ema=0.995, seed=23)


def defaults(profile: str) -> Config:
    """What a run has unless its file says otherwise: tuned for the embedded model, `denoise.LARGE` for
    others."""
    return EMBEDDED if profile == profiles.DEFAULT else EMBEDDED.but(**denoise.LARGE)


def run(profile: str, config: Config, out: Path, own: OwnPeople | None = None) -> list[Path]:
    """A whole run, see `denoise.run`."""
    return denoise.run(profile, config, out, denoise.Kind("varied faces", effect), own)


def effect(generator: PairedGenerator, cells: dict[str, tuple[str, ...]], n: int = 32) -> str:
    """Within-race similarity of faces drawn for "a photo of a <race> person", before and after, in words."""
    reader = FaceReader(generator.profile.source("classifier"), str(generator.device))
    lines = [
        (
            "Cosine similarity of face embeddings within a race (95 % intervals), as perceived by the"
            " classifier, of generated faces:"
        ),
        "",
        "| | baseline | adapter | faces | race right |",
        "| --- | --- | --- | --- | --- |",
    ]
    for k, race in enumerate(TARGET_CLASSES["race"]):
        setting = by_default(generator.profile, photo_of(f"{race} person"), 600_000 + k)
        faces = []
        for routes in ([()], [(name,) for name, cell in cells.items() if race in cell]):
            images = generator.draw(setting, [Sample(i, Source(routes[i % len(routes)])) for i in range(n)])
            faces.append([f[0] for f in reader.read(images) if f])
        alike = [likeness(np.array([f.embedding for f in found])) for found in faces]
        shown = [f"{e.value:.3f} ({e.interval[0]:.3f} to {e.interval[1]:.3f})" for e in alike]
        right = sum(f.race == race for f in faces[1])
        lines.append(f"| {race} | {shown[0]} | {shown[1]} | {len(faces[1])} of {n} | {right} |")
    return "\n".join(lines)
