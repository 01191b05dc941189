"""Pools: images that were drawn before, from a pack, to choose from on any laptop.

A pack is a folder that `datasets` opens and the Hub can host: `data/metadata.parquet` with a row an image,
`data/images/` with WebP files, `pack.json` with settings and licenses, and a card (`packs.py` makes them).
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from fairdemo.checked import one_line, shown
from fairdemo.methods.method import Method
from fairdemo.methods.registry import mix_of
from fairdemo.models import hub, profiles
from fairdemo.models.gpu import SILENT, Watch
from fairdemo.models.profiles import Profile
from fairdemo.models.sampling import Sample, Setting
from fairdemo.pairs import Drawn, Face, limited
from fairdemo.places import is_inside
from fairdemo.request import MIX, Dtype, Request
from fairdemo.stats import response
from fairdemo.stats.attributes import ATTRIBUTES, CLASSES, TARGET_CLASSES
from fairdemo.stats.confusions import Confusions, read_confusions
from fairdemo.stats.mix import Source
from fairdemo.studio.cached import cached_property

FORMAT = 1
PACK_SEED = 2_000_000  # of a pack's first prompt, the next have the next: far from the seeds that people use
CELL_CLASSES = {c for classes in TARGET_CLASSES.values() for c in classes}
COLUMNS = ("file_name", "prompt", "source", "seed", "subject", "look", "faces", "sha256")


def is_pack(name: str) -> bool:
    """Whether a profile's name means a pack: a folder with a pack.json, or a Hub dataset (owner/name, with
    an optional @revision). A profile that the program knows is never one."""
    if name in profiles.PROFILES:
        return False
    if (Path(name) / "pack.json").is_file():
        return True
    repository = bool(re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w.-]+)?", name))
    return repository and not name.endswith(".toml") and not hub.is_local(name)


class Cause(BaseModel):
    """A source as a pack's description has it."""

    adapters: list[Annotated[str, Field(max_length=100)]] = Field(max_length=8)
    cell: list[str] = Field(max_length=3)

    @field_validator("cell")
    @classmethod
    def _known(cls, cell: list[str]) -> list[str]:
        if not set(cell) <= CELL_CLASSES:
            raise ValueError(f"cell is {cell!r:.80}; expected classes of race, gender and age")
        return cell


class Described(BaseModel):
    """What `pack.json` holds beside what a profile has; others may have made it."""

    model_config = ConfigDict(strict=True)

    title: Annotated[str, Field(max_length=200)]
    made: Annotated[str, Field(max_length=100)]
    seeds: Annotated[int, Field(ge=1, le=100_000)]
    prompts: Annotated[list[Annotated[str, Field(max_length=5000)]], Field(min_length=1, max_length=10_000)]
    sources: Annotated[list[Cause], Field(min_length=1, max_length=1000)]
    confusion: dict[str, dict[str, dict[str, Annotated[int, Field(ge=0)]]]]
    confusion_on_generated: dict[str, dict[str, dict[str, Annotated[float, Field(ge=0, lt=1e12)]]]] = {}
    dtype: Dtype = ""


@dataclass(frozen=True)
class Pool:
    """An opened pack. It is an artist that chooses instead of drawing."""

    folder: Path
    about: dict[str, Any]  # pack.json
    table: pd.DataFrame  # a row an image

    known = None  # what was drawn was drawn
    loaded = True  # there is no model
    device = ""

    @cached_property
    def registry(self) -> dict[str, Method]:
        """The mix of what was drawn."""
        return {MIX: replace(mix_of(()), sources=self.sources)}

    @property
    def dtype(self) -> str:
        """The number format that its images were computed in; empty: an older pack doesn't say."""
        return self.about.get("dtype", "")

    @property
    def prompts(self) -> Sequence[str]:
        """The prompts that it has images for."""
        return self.about["prompts"]

    @property
    def most(self) -> int:
        """Noises for each prompt and source, so the most pairs that can be shown."""
        return self.about["seeds"]

    @cached_property
    def profile(self) -> Profile:
        """What the app needs to know: name, size and settings of the images."""
        same = ("name", "family", "model", "classifier", "adapters", "size", "steps", "guidance", "revision")
        return Profile(
            **{key: self.about[key] for key in same},
            **{key: self.about.get(key, "") for key in ("opening", "suffix")},
            first=4,
            batch=12,
            title=f"{self.about['title']}: a pack, nothing is drawn",
            file=self.folder / "pack.json",
        )

    @cached_property
    def sources(self) -> list[Source]:
        """What its images were drawn with."""
        return [Source(tuple(s["adapters"]), tuple(s["cell"])) for s in self.about["sources"]]

    @cached_property
    def rows(self) -> dict[tuple[str, str, int], int]:
        """The place in the table by prompt, source and seed."""
        return {key: i for i, key in enumerate(zip(self.table.prompt, self.table.source, self.table.seed))}

    @cached_property
    def counts(self) -> response.Counts:
        """What each source's images were classified as: of a pool it is known for sure."""
        counted = response.Counts(self.about["made"])
        groups: Any = self.table.groupby(["prompt", "source"], sort=False)
        for (prompt, source), rows in groups:
            counted.add(prompt, source, [_faces(f)[0].cell if len(f) else None for f in rows.faces])
        return counted

    @property
    def confusions(self) -> Confusions:
        """How the classifier reads each class."""
        return read_confusions(self.about)

    def load(self) -> None:
        """Nothing is left to load."""

    def warm(self, prompt: str) -> None:
        """Nothing needs warming up."""

    def notices(self, prompt: str, sources: Sequence[Source]) -> list[str]:
        """Nothing: what was drawn was drawn."""
        return []

    def written(self, prompt: str, source: Source) -> str:
        """The prompt: what was drawn was drawn."""
        return prompt

    def fitted(self, request: Request) -> Request:
        """The request with the pack's own spelling and settings; ValueError if the pack has no such
        images."""
        about, asked = self.about, request.prompt.text
        pack = f"pack {about['name']!r}"
        same = next((p for p in self.prompts if p.casefold() == " ".join(asked.split()).casefold()), None)
        if same is None:
            shown = ", ".join(f"“{p[:60]}”" for p in self.prompts[:6])
            others = " and others" if len(self.prompts) > 6 else ""
            raise ValueError(
                f"{pack} holds images for {len(self.prompts)} prompts: {shown}{others}. “{asked[:60]}” isn't"
                " one of them"
            )
        if request.n > self.most:
            raise ValueError(
                f"{pack} holds {self.most} images for a prompt and adapter; at most {self.most} pairs are"
                f" possible, not {request.n}"
            )
        if request.steps not in (None, about["steps"]) or request.guidance not in (None, about["guidance"]):
            raise ValueError(
                f"{pack} was drawn with {about['steps']} steps and guidance {about['guidance']}; other"
                " settings need the model itself"
            )
        settings = {"steps": about["steps"], "guidance": about["guidance"], "profile": about["name"]}
        return Request.model_validate({**request.as_json(), **settings, "prompt": same})

    def held(self, setting: Setting, wanted: Sequence[Sample]) -> dict[Sample, Drawn]:
        """All of them: which of a prompt's images a slot gets follows from the seed, twins share theirs."""
        order = np.random.default_rng(setting.seed).permutation(self.most)
        places = [(setting.prompt, sample.source.label, int(order[sample.slot])) for sample in wanted]
        return {one: self.image(self.rows[place]) for one, place in zip(wanted, places)}

    def draw(
        self, setting: Setting, wanted: Sequence[Sample], watch: Watch = SILENT
    ) -> Iterator[dict[Sample, Drawn]]:
        """Images and faces from the pool, all at once."""
        yield self.held(setting, wanted)

    def numbered(self, prompt: str, wanted: Sequence[Sample]) -> dict[Sample, Drawn]:
        """Those of the wanted samples that it has under their own numbers: as the model drew them."""
        places = {sample: self.rows.get((prompt, sample.source.label, sample.slot)) for sample in wanted}
        return {sample: self.image(row) for sample, row in places.items() if row is not None}

    def image(self, row: int) -> Drawn:
        """The image of a row of the table; ValueError if it can't be opened."""
        stored = self.table.iloc[row]
        path = inside(self.folder, stored.file_name)
        try:
            with Image.open(path, formats=["WEBP"]) as image:
                look = np.asarray(stored.look, np.float32)
                return Drawn(limited(image), _faces(stored.faces), stored.subject, look, self.dtype)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"pack {self.about['name']!r}: image {stored.file_name} can't be opened ({error}); check it"
                f" with: python -m fairdemo pack check {self.folder}"
            ) from None


def inside(folder: Path, name: str) -> Path:
    """The path of an image; ValueError if its name leads out of the pack's images."""
    path = folder / "data" / name
    named = Path(os.path.normpath(path)).is_relative_to(os.path.normpath(folder / "data" / "images"))
    if not named or not is_inside(path, folder):
        raise ValueError(
            f"pack in {str(folder)!r} names the file {name[:80]!r}, which lies outside of its images"
        )
    return path


def _faces(stored: Any) -> list[Face]:
    """Faces from a table's cell; every label is one of ours by place."""
    faces = []
    for f in stored:
        probability = {a: {c: float(p) for c, p in zip(CLASSES[a], f[a])} for a in ATTRIBUTES}
        label = {a: max(ps, key=ps.__getitem__) for a, ps in probability.items()}
        left, top, right, bottom = map(float, f["box"])
        faces.append(
            Face(
                (left, top, right, bottom),
                label["race"],
                label["gender"],
                label["age"],
                probability,
                float(f["detection"]),
                np.asarray(f["embedding"], np.float32),
            )
        )
    return faces


def open_pack(name: str) -> Pool:
    """A pack from a folder or from the Hub; ValueError if it is damaged, incomplete, or names files outside
    of it."""
    folder = Path(name) if Path(name).is_dir() else _fetched(name)
    if not (folder / "pack.json").is_file():
        raise ValueError(f"folder {str(folder)!r} holds no pack: there is no pack.json in it")
    try:
        about = json.loads((folder / "pack.json").read_text(encoding="utf-8"))
        if not isinstance(about, dict):
            raise ValueError("its description is no table")
        if about.get("format") != FORMAT:
            raise ValueError(f"format {shown(about.get('format'))}, expected {FORMAT}")
        Described.model_validate(about)
        table = pd.read_parquet(folder / "data" / "metadata.parquet")
        if set(COLUMNS) - set(table.columns):
            raise ValueError(f"it lacks the columns {', '.join(sorted(set(COLUMNS) - set(table.columns)))}")
        table = table.astype({"file_name": str, "prompt": str, "source": str, "seed": int})
        pool = Pool(folder, about, table)
        if not pool.profile.name:
            raise ValueError("it has no name")
    except ValidationError as error:
        told = one_line(error, Described)
        raise ValueError(f"pack in {str(folder)!r} is damaged: its description {told}") from None
    except Exception as error:  # json, pandas and pyarrow each raise their own kinds
        told = (str(error).splitlines() or [""])[0]
        raise ValueError(f"pack in {str(folder)!r} is damaged: {type(error).__name__}: {told}") from None
    for file in table.file_name:
        inside(folder, file)
    missing = [key for key in expected(pool) if key not in pool.rows]
    if missing:
        prompt, source, seed = missing[0]
        raise ValueError(
            f"pack in {str(folder)!r} misses {len(missing):,} of {len(expected(pool)):,} images, first"
            f" “{prompt[:60]}”, {source}, number {seed}. Fetch it again; or if it was made here, run the same"
            " pack make again: it goes on where it stopped"
        )
    return pool


def _fetched(name: str) -> Path:
    """The folder of a pack on the Hub; ValueError says why it can't be had."""
    from huggingface_hub import snapshot_download

    repo, _, revision = name.partition("@")
    hub.repository(repo, "pack")
    try:
        return Path(snapshot_download(repo, repo_type="dataset", revision=revision or None))
    except Exception as error:  # the Hub's client, the network and the disk each raise their own kinds
        raise ValueError(hub.explain(error, f"pack {name!r}")) from error


def expected(pool: Pool) -> list[tuple[str, str, int]]:
    """All images of a pack by prompt, source and seed."""
    return [(p, s.label, k) for p in pool.prompts for s in pool.sources for k in range(pool.most)]
