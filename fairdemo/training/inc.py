"""SDXL-Inc (arXiv 2402.01002): one LoRA per race and gender on its balanced profession set.

The embedded world's own adapters are trained the same way by `world build`, which adds one per age band in the same run: some samples go through a group's and an age's adapter
together, which is how they are used later.
"""

from pathlib import Path

import torch
from diffusers import DiffusionPipeline

from fairdemo import models
from fairdemo.adapters import Router
from fairdemo.attributes import band
from fairdemo.faces import FaceReader
from fairdemo.generate import PairedGenerator
from fairdemo.measure import interval
from fairdemo.prompts import PROFESSIONS, photo_of
from fairdemo.training import denoise
from fairdemo.training.denoise import Config

# Adapters are saved this much stronger than trained. Measured on 384 images of professions that they never saw, after 2,300
# steps: race and gender both right in 84 % at 1, 92 % at 1.4, 94 % at 1.7, 93 % at 2. Faces stay as whole (87, 87, 86, 85 %).
# How much less will do for one or the other is found afterwards (`world.build.weigh_adapters`).
DEFAULTS = Config(("race", "gender"), iterations=2500, batch=48, peak=3e-3, strength=1.7, seed=17)


def run(profile: str, config: Config, out: Path, work: Path) -> list[Path]:
    """A whole run, see `denoise.run`; the embedded world's people are drawn into `work`."""
    return denoise.run(profile, config, out, "", lambda pipe: balanced_professions(pipe, work), effect)


def balanced_professions(pipe: DiffusionPipeline, work: Path) -> tuple:
    """Labels, latents and captions of the embedded world's balanced people, without the professions that adapters are measured on."""
    from fairdemo.world import build, corpus

    table, z = build.latents(pipe.vae, "balanced", work)
    seen = ~table.subject.isin(build.HELD_OUT).to_numpy()
    rows = list(table[seen].itertuples())
    labels = [{"race": r.race, "gender": r.gender, "age": band(build.age_group(r.age))} for r in rows]
    return (
        labels,
        z[torch.from_numpy(seen)],
        lambda picked, rng: [corpus.caption(rows[i], rng) for i in picked],
    )


def effect(
    profile: models.Profile,
    pipe: DiffusionPipeline,
    router: Router,
    cells: dict[str, tuple[str, ...]],
    n: int = 2,
) -> str:
    """How often each adapter's images are classified as its group, over n images of each of eight professions, in words."""
    generator, reader = (
        PairedGenerator(pipe, router, profile, str(pipe.unet.device)),
        FaceReader(profile.source("classifier"), str(pipe.unet.device)),
    )
    hits = dict.fromkeys(router.names, 0)
    for k, profession in enumerate(PROFESSIONS[::4]):
        images = generator.draw(
            photo_of(profession),
            610_000 + k,
            [(i, (name,)) for name in router.names for i in range(n)],
            profile.steps,
            profile.guidance,
        )
        for j, found in enumerate(reader.read(images)):
            name = router.names[j // n]
            hits[name] += bool(found) and set(cells[name]) <= {
                found[0].race,
                found[0].gender,
                band(found[0].age),
            }
    total = n * len(PROFESSIONS[::4])
    lines = [
        f"Classified as the adapter's group, of {total} generated images each, as perceived by the classifier (95 % intervals):",
        "",
        "| adapter | share |",
        "| --- | --- |",
    ]
    for name, k in hits.items():
        low, high = interval(k, total)
        lines.append(f"| {name} | {k / total:.0%} ({low:.0%} to {high:.0%}) |")
    return "\n".join(lines)
