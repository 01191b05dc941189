"""SDXL-Inc (arXiv 2402.01002): one LoRA per race and gender on its balanced profession set.

The embedded world's own adapters are trained the same way by `world build`, which adds one per age band in
the same run: some samples go through a group's and an age's adapter together, which is how they are used
later."""

from pathlib import Path

from fairdemo.models import profiles
from fairdemo.models.generating import PairedGenerator
from fairdemo.models.sampling import by_default, through
from fairdemo.readers.read import FaceReader
from fairdemo.stats.attributes import band
from fairdemo.stats.measure import interval
from fairdemo.stats.prompts import PROFESSIONS, photo_of
from fairdemo.training import denoise
from fairdemo.training.denoise import Config, OwnPeople

# For the embedded model adapters are saved stronger than trained. Measured on 384 images of professions
# that they never saw, after 2,300 steps: race and gender both right in 84 % at 1, 92 % at 1.4, 94 % at 1.7,
# 93 % at 2. Faces stay as whole (87, 87, 86, 85 %). How much less will do for one or the other is found
# afterwards (`world.build.weigh_adapters`).
EMBEDDED = Config(by=("race", "gender"), iterations=2500, batch=48, learning_rate=3e-3, strength=1.7, seed=17)


def defaults(profile: str) -> Config:
    """What a run has unless its file says otherwise: tuned for the embedded model, `denoise.LARGE` for
    others."""
    return EMBEDDED if profile == profiles.DEFAULT else EMBEDDED.but(**denoise.LARGE)


def run(profile: str, config: Config, out: Path, own: OwnPeople | None = None) -> list[Path]:
    """A whole run, see `denoise.run`."""
    return denoise.run(profile, config, out, denoise.Kind("", effect), own)


def effect(generator: PairedGenerator, cells: dict[str, tuple[str, ...]], n: int = 2) -> str:
    """How often each adapter's images are classified as its group, over n images of each of eight
    professions, in words."""
    reader = FaceReader(generator.profile.source("classifier"), str(generator.device))
    names = generator.router.names
    hits, used = dict.fromkeys(names, 0), PROFESSIONS[::4]
    for k, profession in enumerate(used):
        setting = by_default(generator.profile, photo_of(profession), 610_000 + k)
        images = generator.draw(setting, through([(name,) for name in names], n))
        for j, found in enumerate(reader.read(images)):
            name = names[j // n]
            seen = {found[0].race, found[0].gender, band(found[0].age)} if found else set()
            hits[name] += bool(found) and set(cells[name]) <= seen
    total = n * len(used)
    lines = [
        (
            f"Classified as the adapter's group, of {total} generated images each, as perceived by the"
            " classifier (95 % intervals):"
        ),
        "",
        "| adapter | share |",
        "| --- | --- |",
    ]
    for name, k in hits.items():
        low, high = interval(k, total)
        lines.append(f"| {name} | {k / total:.0%} ({low:.0%} to {high:.0%}) |")
    return "\n".join(lines)
