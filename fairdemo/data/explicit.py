"""A model's own images of people whose race and gender its prompts name: what SDXL-Inc's adapters are
trained on (arXiv 2402.01002)."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from fairdemo.data.label import DRAWN, drawn_before
from fairdemo.methods import words
from fairdemo.models.sampling import Sample, by_default
from fairdemo.places import replace
from fairdemo.stats.attributes import GENDERS, RACES
from fairdemo.stats.mix import Source
from fairdemo.stats.prompts import PROFESSIONS, photo_of
from fairdemo.studio.live import Live

SEED = 830_000


def draw(live: Live, folder: Path, each: int, told: Callable[[int, int], None]) -> None:
    """`each` images of every race and gender, over the professions in turn, into a folder; what is there
    already isn't drawn again. Each is to be trained under its profession's plain prompt."""
    folder.mkdir(parents=True, exist_ok=True)
    groups = list(itertools.product(RACES, GENDERS))
    rows = [
        {
            "image": f"{race}_{gender}_{k:04d}.png".replace(" ", "_"),
            "prompt": photo_of(PROFESSIONS[k % len(PROFESSIONS)]),
            "race": race,
            "gender": gender,
            "profile": live.profile.name,
        }
        for k in range(each)
        for race, gender in groups
    ]
    table = pd.DataFrame(rows)
    if (folder / DRAWN).is_file():
        before = drawn_before(folder)
        if other := set(before.profile) - {live.profile.name}:
            raise ValueError(f"folder {str(folder)!r} holds people drawn by {other.pop()}; name a new folder")
        table = pd.concat([before, table]).drop_duplicates("image")
    replace(folder / DRAWN, table.to_csv(index=False))
    for k in range(each):  # those of one noise in one batch
        own = rows[k * len(groups) : (k + 1) * len(groups)]
        missing = [row for row in own if not (folder / row["image"]).is_file()]
        if missing:
            live.load()
            sources = [Source(writer=words.NAME, cell=(row["race"], row["gender"])) for row in missing]
            setting = by_default(live.profile, missing[0]["prompt"], SEED + k)
            for row, image in zip(missing, live.generator.draw(setting, [Sample(0, s) for s in sources])):
                part = folder / f"{row['image']}.part"
                image.save(part, "PNG")
                part.rename(folder / row["image"])
        told((k + 1) * len(groups), len(rows))
