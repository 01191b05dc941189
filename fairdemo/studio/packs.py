"""Packs: pools of images drawn once, prompts x (baseline and adapters) x noises, with what was read in them.
`pool.py` opens them."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fairdemo.models import hub
from fairdemo.models.sampling import Sample, by_default
from fairdemo.pairs import Drawn
from fairdemo.stats import prompts
from fairdemo.stats.attributes import ATTRIBUTES, CLASSES
from fairdemo.stats.mix import Source
from fairdemo.studio.live import Live
from fairdemo.studio.pool import FORMAT, PACK_SEED, inside, open_pack

Progress = Callable[[int, int], object]  # told (images done, images in all)


def silent(done: int, of: int) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class Order:
    """A pack that is to be made."""

    name: str
    prompts: tuple[str, ...]
    seeds: int  # noises for each prompt and source
    quality: int = 90  # of the images' files, WebP

    def __post_init__(self) -> None:
        if not hub.is_name(self.name):
            allowed = "up to 40 letters, digits, dots and dashes are allowed"
            raise ValueError(f"name of the pack is {self.name!r}; {allowed}")
        if not 1 <= self.seeds <= 512:
            raise ValueError(
                f"number of images for a prompt and adapter is {self.seeds}; 1 to 512 are allowed"
            )


def order(name: str, wanted: list[str], seeds: int) -> Order:
    """A pack of some prompts; ValueError names what is wrong."""
    return Order(name, tuple(dict.fromkeys(prompts.check(p) for p in wanted)), seeds)


def slug(text: str) -> str:
    """A text as a part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60]


def described(live: Live, asked: Order) -> dict[str, Any]:
    """A pack's `pack.json`."""
    profile = live.profile
    same = (
        "family",
        "model",
        "revision",
        "classifier",
        "adapters",
        "opening",
        "suffix",
        "negative",
        "steps",
        "guidance",
    )
    about = {
        "format": FORMAT,
        "name": asked.name,
        "title": profile.title or profile.name,
        **{key: getattr(profile, key) for key in same},
        "dtype": live.dtype,
        "size": profile.shown,
        "seeds": asked.seeds,
        "prompts": list(asked.prompts),
        "sources": [{"adapters": list(s.adapters), "cell": list(s.cell)} for s in sources_of(live)],
        **live.confusions.as_json(),
        "licenses": {
            a.name: a.model_dump(include={"license", "source", "repo", "revision", "weight"})
            for a in live.adapters
        },
        "labels": "as perceived by the classifier; every person is generated",
    }
    return {**about, "made": hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]}


def sources_of(live: Live) -> list[Source]:
    """What a pack is drawn with: the baseline and each single adapter."""
    return [s for s in live.sources if len(s.adapters) <= 1]


def make(live: Live, folder: Path, asked: Order, progress: Progress = silent) -> Path:
    """Draws a pack of all prompts with the baseline and each single adapter. What an interrupted run has
    drawn is kept; under `accelerate launch` each process draws its share of the prompts on its own GPU.
    ValueError if the folder holds another pack, or the model can't be had; then nothing is written."""
    from accelerate import PartialState

    state = PartialState()
    about = described(live, asked)
    path = free(folder, about) / "pack.json"
    live.load()
    unfinished = folder / "unfinished"
    unfinished.mkdir(parents=True, exist_ok=True)
    if state.is_main_process:
        path.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    if not (folder / "data" / "metadata.parquet").is_file():
        each = len(about["sources"]) * asked.seeds
        with state.split_between_processes(list(enumerate(asked.prompts))) as share:
            for done, (k, prompt) in enumerate(share):
                part = unfinished / f"{k:05d}.parquet"
                if not part.is_file():
                    told = partial(_told, progress, done * each, len(share) * each)
                    rows = list(_rows(live, folder, (k, prompt), asked, told))
                    pd.DataFrame(rows).to_parquet(part.with_suffix(".part"))
                    part.with_suffix(".part").rename(part)
                progress((done + 1) * each, len(share) * each)
        state.wait_for_everyone()
        if state.is_main_process:
            _finish(folder, about)
    if state.is_main_process:
        shutil.rmtree(unfinished)
    return folder


def _told(progress: Progress, before: int, of: int, images: int) -> None:
    """Tells how many images of all are done, `before` of them in earlier prompts."""
    progress(before + images, of)


def free(folder: Path, about: dict[str, Any]) -> Path:
    """The folder, if it is free for a pack or holds the same one unfinished; else ValueError."""
    path = folder / "pack.json"
    if path.is_file() and json.loads(path.read_text(encoding="utf-8")).get("made") != about["made"]:
        raise ValueError(
            f"folder {str(folder)!r} holds another pack (other prompts, model or settings); name a new one"
        )
    if folder.exists() and any(folder.iterdir()) and not path.is_file():
        raise ValueError(f"folder {str(folder)!r} isn't empty and holds no pack; name a new one")
    return folder


def _finish(folder: Path, about: dict[str, Any]) -> None:
    """Puts the prompts' tables together and writes the card."""
    parts = [pd.read_parquet(p) for p in sorted((folder / "unfinished").glob("*.parquet"))]
    table = pd.concat(parts, ignore_index=True)
    (folder / "README.md").write_text(card(about, table), encoding="utf-8")
    table.to_parquet(folder / "data" / "metadata.part")
    (folder / "data" / "metadata.part").rename(folder / "data" / "metadata.parquet")


def _rows(
    live: Live, folder: Path, numbered: tuple[int, str], asked: Order, progress: Callable[[int], object]
) -> Iterator[dict[str, Any]]:
    """The images of a prompt with its number, written, and their rows."""
    k, prompt = numbered
    wanted = [Sample(seed, source) for source in sources_of(live) for seed in range(asked.seeds)]
    at_once = 2 * live.profile.batch
    for start in range(0, len(wanted), at_once):
        part = wanted[start : start + at_once]
        for sample, drawn in zip(part, live.fresh(by_default(live.profile, prompt, PACK_SEED + k), part)):
            label = sample.source.label
            name = f"images/{k:03d}-{slug(prompt)}/{slug(label)}-{sample.slot:04d}.webp"
            path = folder / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            drawn.image.save(path, "WEBP", quality=asked.quality, method=4)
            yield {
                "file_name": name,
                "prompt": prompt,
                "source": label,
                "seed": sample.slot,
                **_stored(drawn),
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
        progress(start + len(part))


def _stored(drawn: Drawn) -> dict[str, Any]:
    """What was read in an image, as a row holds it."""
    faces = [
        {
            "box": [round(v, 2) for v in f.box],
            "detection": round(f.detection, 4),
            "embedding": halved(f.embedding),
            **{a: [round(f.probability[a].get(c, 0.0), 5) for c in CLASSES[a]] for a in ATTRIBUTES},
        }
        for f in drawn.faces
    ]
    return {"subject": drawn.subject, "look": halved(drawn.look), "faces": faces}


def halved(vector: np.ndarray) -> list[float]:
    """A vector in half precision, which is enough for similarities."""
    return np.asarray(vector, np.float16).astype(np.float32).tolist()


def card(about: dict[str, Any], table: pd.DataFrame) -> str:
    """The dataset card, with the header that tells the Hub and `datasets` where the rows are."""
    licenses = sorted(
        {f"{v['license']} ({v['repo'] or 'adapters of this project'})" for v in about["licenses"].values()}
    )
    found = int((table.faces.map(len) > 0).sum())
    return (
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/**\ntags:\n-"
        f" fairdemo\n- generated\n---\n\n# {about['title']}: a pack for fairdemo\n\n{len(table):,} generated"
        f" images: {len(about['prompts'])} prompts x {len(about['sources'])} sources (the model as it is, and"
        f" each adapter) x {about['seeds']} noises, {about['size']} px, {about['steps']} steps, guidance"
        f" {about['guidance']}. Model:"
        f" {about['model']}{' at ' + about['revision'] if about['revision'] else ''}. A face was found in"
        f" {found:,}.\n\nEvery person is generated. Race, gender and age are as perceived by a classifier"
        f" ({about['classifier']}), which errs.\n\nOpen it with `FAIRDEMO_PROFILE=<this folder> python"
        f" app.py`.\n\nLicenses of the adapters: {'; '.join(licenses)}. The images follow the licenses of the"
        " model and the adapters.\n\nPrompts:\n\n" + "\n".join(f"- {p}" for p in about["prompts"]) + "\n"
    )


def check(folder: Path, progress: Progress = lambda done, of: None) -> list[str]:
    """What is wrong with a pack, one line each; an empty list if every row, file and checksum is right.
    ValueError if it can't be opened at all."""
    pack = open_pack(str(folder))
    found: Any = pack.table.groupby(["prompt", "source", "seed"]).size()
    problems = [f"row {key} is in it {count} times" for key, count in found.items() if count > 1]
    rows: Iterable[Any] = pack.table.itertuples()
    for i, row in enumerate(rows):
        path = inside(pack.folder, row.file_name)
        if not path.is_file():
            problems.append(f"{row.file_name} is missing")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != row.sha256:
            problems.append(f"{row.file_name} isn't the file that was made")
        else:
            try:
                drawn = pack.image(i)
                if drawn.image.size != (pack.profile.size,) * 2:
                    problems.append(
                        f"{row.file_name} has {drawn.image.width} x {drawn.image.height} pixels, expected"
                        f" {pack.profile.size}"
                    )
            except (ValueError, KeyError, TypeError) as error:
                problems.append(f"{row.file_name}: {error}")
        progress(i + 1, len(pack.table))
    known = {path.resolve() for path in (folder / "data" / "images").rglob("*") if path.is_file()} - {
        inside(pack.folder, f) for f in pack.table.file_name
    }
    return problems + [f"{path.relative_to(folder.resolve())} belongs to no row" for path in sorted(known)]
