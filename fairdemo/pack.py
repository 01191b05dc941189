"""Packs: pools of images drawn once, prompts x (baseline and adapters) x seeds, with the faces read in them, to choose from on any laptop.

A pack is a folder that `datasets` opens and the Hub can host: `data/metadata.parquet` with a row an image, `data/images/` with WebP files, `pack.json`
with settings and licenses, and a card. It is opened as a profile: the same screen, sliders and steering, by choosing instead of drawing.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from fairdemo import hub, prompts, response
from fairdemo.attributes import ATTRIBUTES, CLASSES
from fairdemo.comparison import MAX_PIXELS, Drawn, Face
from fairdemo.generate import Wanted
from fairdemo.mix import Slot
from fairdemo.models import Profile

if TYPE_CHECKING:
    from fairdemo.compare import Studio

FORMAT = 1
COLUMNS = ("file_name", "prompt", "source", "seed", "subject", "look", "faces", "sha256")
SEED = 2_000_000  # far from the seeds that people use


def is_pack(name: str) -> bool:
    """Whether a profile's name means a pack: a folder with a pack.json, or a Hub dataset (owner/name, with an optional @revision)."""
    return (Path(name) / "pack.json").is_file() or (
        bool(re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w.-]+)?", name))
        and not name.endswith(".toml")
        and not hub.is_local(name)
    )


@dataclass(frozen=True)
class Pack:
    """An opened pack. `about` is its pack.json and `table` its rows."""

    folder: Path
    about: dict[str, Any]
    table: pd.DataFrame

    @property
    def prompts(self) -> list[str]:
        return self.about["prompts"]

    @property
    def seeds(self) -> int:
        return self.about["seeds"]

    @property
    def profile(self) -> Profile:
        """What the app needs to know: name, size and settings of the images."""
        a = self.about
        return Profile(
            a["name"],
            a["family"],
            a["model"],
            a["classifier"],
            a["adapters"],
            a["size"],
            a["steps"],
            a["guidance"],
            first=4,
            batch=12,
            title=f"{a['title']}: a pack, nothing is drawn",
            file=self.folder / "pack.json",
        )

    @property
    def sources(self) -> list[Slot]:
        return [Slot(tuple(s["adapters"]), tuple(s["cell"])) for s in self.about["sources"]]

    @cached_property
    def rows(self) -> dict[tuple[str, str, int], int]:
        """The place in the table by prompt, source and seed."""
        return {key: i for i, key in enumerate(zip(self.table.prompt, self.table.source, self.table.seed))}

    @cached_property
    def counts(self) -> response.Counts:
        """What each source's images were classified as: of a pool it is known for sure."""
        counted = response.Counts(self.about["made"])
        for (prompt, source), rows in self.table.groupby(["prompt", "source"], sort=False):
            counted.add(prompt, source, [_faces(f)[0].cell if len(f) else None for f in rows.faces])
        return counted

    def check_request(self, prompt: str, n: int, steps: int, guidance: float) -> str:
        """The pack's own spelling of a prompt; ValueError if the pack has no such images."""
        same = next((p for p in self.prompts if p.casefold() == " ".join(prompt.split()).casefold()), None)
        if same is None:
            shown = ", ".join(f"“{p}”" for p in self.prompts[:6]) + (
                " and others" if len(self.prompts) > 6 else ""
            )
            raise ValueError(
                f"pack {self.about['name']!r} holds images for {len(self.prompts)} prompts: {shown}. “{prompt[:60]}” isn't one of them"
            )
        if n > self.seeds:
            raise ValueError(
                f"pack {self.about['name']!r} holds {self.seeds} images for a prompt and adapter; at most {self.seeds} pairs are possible, not {n}"
            )
        if (steps, guidance) != (self.about["steps"], self.about["guidance"]):
            raise ValueError(
                f"pack {self.about['name']!r} was drawn with {self.about['steps']} steps and guidance {self.about['guidance']}; other settings need the model itself"
            )
        return same

    def drawn(self, prompt: str, seed: int, wanted: Wanted) -> list[Drawn]:
        """Images and faces from the pool; which of a prompt's images a slot gets follows from the seed, twins share theirs."""
        order = np.random.default_rng(seed).permutation(self.seeds)
        return [
            self._one(self.rows[prompt, " + ".join(adapters) or "baseline", int(order[slot])])
            for slot, adapters in wanted
        ]

    def _one(self, place: int) -> Drawn:
        row = self.table.iloc[place]
        path = inside(self.folder, row.file_name)
        try:
            with Image.open(path, formats=["WEBP"]) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(
                        f"it has {image.width} x {image.height} pixels; at most {MAX_PIXELS:,} are allowed"
                    )
                return Drawn(
                    image.convert("RGB"), _faces(row.faces), row.subject, np.asarray(row.look, np.float32)
                )
        except (OSError, ValueError) as error:
            raise ValueError(
                f"pack {self.about['name']!r}: image {row.file_name} can't be opened ({error}); check it with: python -m fairdemo pack check {self.folder}"
            ) from None


def inside(folder: Path, name: str) -> Path:
    """The path of an image; ValueError if its name leads out of the pack's images."""
    path = (folder / "data" / name).resolve()
    if not path.is_relative_to((folder / "data" / "images").resolve()):
        raise ValueError(
            f"pack in {str(folder)!r} names the file {name[:80]!r}, which lies outside of its images"
        )
    return path


def _faces(stored: Any) -> list[Face]:
    """Faces from a table's cell; every label is one of ours by place."""
    faces = []
    for f in stored:
        probability = {a: {c: float(p) for c, p in zip(CLASSES[a], f[a])} for a in ATTRIBUTES}
        best = {a: max(ps, key=ps.get) for a, ps in probability.items()}
        faces.append(
            Face(
                tuple(float(v) for v in f["box"]),
                **best,
                probability=probability,
                detection=float(f["detection"]),
                embedding=np.asarray(f["embedding"], np.float32),
            )
        )
    return faces


def open_pack(name: str) -> Pack:
    """A pack from a folder or from the Hub; ValueError if it is damaged, incomplete, or names files outside of it."""
    folder = Path(name)
    if not (folder / "pack.json").is_file():
        from huggingface_hub import snapshot_download

        try:
            repo, _, revision = name.partition("@")
            folder = Path(snapshot_download(repo, repo_type="dataset", revision=revision or None))
        except Exception as error:  # the Hub's client, the network and the disk each raise their own kinds
            raise ValueError(hub.explain(error, f"pack {name!r}")) from error
    try:
        about = json.loads((folder / "pack.json").read_text())
        if about["format"] != FORMAT:
            raise ValueError(f"format {about['format']!r}, expected {FORMAT}")
        table = pd.read_parquet(folder / "data" / "metadata.parquet")
        if set(COLUMNS) - set(table.columns):
            raise ValueError(f"it lacks the columns {', '.join(sorted(set(COLUMNS) - set(table.columns)))}")
        pack = Pack(folder, about, table)
        if (
            not re.fullmatch(r"[\w.-]{1,40}", about["name"])
            or any(len(s.cell) > 3 for s in pack.sources)
            or pack.profile.size > 4096
        ):
            raise ValueError("its name, sources or size are strange")
    except Exception as error:  # json, pandas and pyarrow each raise their own kinds
        raise ValueError(
            f"pack in {str(folder)!r} is damaged: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        ) from None
    for file in table.file_name:
        inside(folder, file)
    missing = [key for key in expected(about) if key not in pack.rows]
    if missing:
        prompt, source, seed = missing[0]
        raise ValueError(
            f"pack in {str(folder)!r} misses {len(missing):,} of {len(expected(about)):,} images, first “{prompt}”, {source}, number {seed}. "
            "Fetch it again; or if it was made here, run the same pack make again: it goes on where it stopped"
        )
    return pack


def expected(about: dict[str, Any]) -> list[tuple[str, str, int]]:
    """All images of a pack by prompt, source and seed."""
    labels = [" + ".join(s["adapters"]) or "baseline" for s in about["sources"]]
    return [(p, label, k) for p in about["prompts"] for label in labels for k in range(about["seeds"])]


def slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60]


def make(
    studio: "Studio",
    folder: Path,
    wanted: list[str],
    seeds: int,
    name: str,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Path:
    """Draws a pack of all prompts with the baseline and each single adapter. What an interrupted run has drawn is kept; under `accelerate launch`
    each process draws its share of the prompts on its own GPU. ValueError if the folder holds another pack."""
    from accelerate import PartialState

    state = PartialState()
    texts = list(dict.fromkeys(prompts.check(p) for p in wanted))
    profile, sources = studio.profile, [s for s in studio.sources if len(s.adapters) <= 1]
    about = {
        "format": FORMAT,
        "name": name,
        "title": profile.title or profile.name,
        "family": profile.family,
        "model": profile.model,
        "revision": profile.revision,
        "classifier": profile.classifier,
        "adapters": profile.adapters,
        "suffix": profile.suffix,
        "negative": profile.negative,
        "size": profile.size,
        "steps": profile.steps,
        "guidance": profile.guidance,
        "seeds": seeds,
        "prompts": texts,
        "sources": [{"adapters": list(s.adapters), "cell": list(s.cell)} for s in sources],
        "confusion": studio.confusion,
        "licenses": {
            a.name: {
                "license": a.license,
                "source": a.source,
                "repo": a.repo,
                "revision": a.revision,
                "weight": a.weight,
            }
            for a in studio.adapters
        },
        "labels": "as perceived by the classifier; every person is generated",
    }
    about["made"] = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
    if not re.fullmatch(r"[\w.-]{1,40}", name):
        raise ValueError(
            f"name of the pack is {name!r}; up to 40 letters, digits, dots and dashes are allowed"
        )
    if not 1 <= seeds <= 512:
        raise ValueError(f"number of images for a prompt and adapter is {seeds}; 1 to 512 are allowed")
    path = folder / "pack.json"
    if path.is_file() and json.loads(path.read_text()).get("made") != about["made"]:
        raise ValueError(
            f"folder {str(folder)!r} holds another pack (other prompts, model or settings); name a new one"
        )
    if folder.exists() and any(folder.iterdir()) and not path.is_file():
        raise ValueError(f"folder {str(folder)!r} isn't empty and holds no pack; name a new one")
    unfinished = folder / "unfinished"
    unfinished.mkdir(parents=True, exist_ok=True)
    if state.is_main_process:
        path.write_text(json.dumps(about, indent=1) + "\n")
    if not (folder / "data" / "metadata.parquet").is_file():
        with state.split_between_processes(list(enumerate(texts))) as share:
            for done, (k, prompt) in enumerate(share):
                part = unfinished / f"{k:05d}.parquet"
                if not part.is_file():
                    rows = list(
                        _draw(
                            studio,
                            folder,
                            prompt,
                            k,
                            sources,
                            seeds,
                            lambda images: progress(
                                done * len(sources) * seeds + images, len(share) * len(sources) * seeds
                            ),
                        )
                    )
                    pd.DataFrame(rows).to_parquet(part.with_suffix(".part"))
                    part.with_suffix(".part").rename(part)
                progress((done + 1) * len(sources) * seeds, len(share) * len(sources) * seeds)
        state.wait_for_everyone()
        if state.is_main_process:
            table = pd.concat(
                [pd.read_parquet(p) for p in sorted(unfinished.glob("*.parquet"))], ignore_index=True
            )
            (folder / "README.md").write_text(card(about, table))
            table.to_parquet(folder / "data" / "metadata.part")
            (folder / "data" / "metadata.part").rename(folder / "data" / "metadata.parquet")
    if state.is_main_process:
        shutil.rmtree(unfinished)
    return folder


def _draw(
    studio: "Studio",
    folder: Path,
    prompt: str,
    k: int,
    sources: list[Slot],
    seeds: int,
    progress: Callable[[int], None],
) -> Iterator[dict[str, Any]]:
    """A prompt's images, written, and their rows."""
    profile = studio.profile
    wanted = [(seed, source.adapters) for source in sources for seed in range(seeds)]
    for start in range(0, len(wanted), 2 * profile.batch):
        part = wanted[start : start + 2 * profile.batch]
        for (seed, adapters), drawn in zip(
            part, studio.fresh(prompt, SEED + k, part, profile.steps, profile.guidance)
        ):
            label = " + ".join(adapters) or "baseline"
            name = f"images/{k:03d}-{slug(prompt)}/{slug(label)}-{seed:04d}.webp"
            path = folder / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            drawn.image.save(path, "WEBP", quality=90, method=4)
            faces = [
                {
                    "box": [round(v, 2) for v in f.box],
                    "detection": round(f.detection, 4),
                    "embedding": np.asarray(f.embedding, np.float16).astype(np.float32).tolist(),
                    **{a: [round(f.probability[a].get(c, 0.0), 5) for c in CLASSES[a]] for a in ATTRIBUTES},
                }
                for f in drawn.faces
            ]
            yield {
                "file_name": name,
                "prompt": prompt,
                "source": label,
                "seed": seed,
                "subject": drawn.subject,
                "look": np.asarray(drawn.look, np.float16).astype(np.float32).tolist(),
                "faces": faces,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
        progress(start + len(part))


def card(about: dict[str, Any], table: pd.DataFrame) -> str:
    """The dataset card, with the header that tells the Hub and `datasets` where the rows are."""
    licenses = sorted(
        {f"{v['license']} ({v['repo'] or 'adapters of this project'})" for v in about["licenses"].values()}
    )
    found = int((table.faces.map(len) > 0).sum())
    return (
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/**\ntags:\n- fairdemo\n- generated\n---\n\n"
        f"# {about['title']}: a pack for fairdemo\n\n{len(table):,} generated images: {len(about['prompts'])} prompts x {len(about['sources'])} sources (the model as it is, and each adapter) x "
        f"{about['seeds']} noises, {about['size']} px, {about['steps']} steps, guidance {about['guidance']}. Model: {about['model']}{' at ' + about['revision'] if about['revision'] else ''}. "
        f"A face was found in {found:,}.\n\nEvery person is generated. Race, gender and age are as perceived by a classifier ({about['classifier']}), which errs.\n\n"
        f"Open it with `FAIRDEMO_PROFILE=<this folder> python app.py`.\n\nLicenses of the adapters: {'; '.join(licenses)}. The images follow the licenses of the model and the adapters.\n\nPrompts:\n\n"
        + "\n".join(f"- {p}" for p in about["prompts"])
        + "\n"
    )


def check(folder: Path, progress: Callable[[int, int], None] = lambda done, of: None) -> list[str]:
    """What is wrong with a pack, one line each; an empty list if every row, file and checksum is right. ValueError if it can't be opened at all."""
    pack = open_pack(str(folder))
    problems = [
        f"row {key} is in it {count} times"
        for key, count in pack.table.groupby(["prompt", "source", "seed"]).size().items()
        if count > 1
    ]
    for i, row in enumerate(pack.table.itertuples()):
        path = inside(pack.folder, row.file_name)
        if not path.is_file():
            problems.append(f"{row.file_name} is missing")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != row.sha256:
            problems.append(f"{row.file_name} isn't the file that was made")
        else:
            try:
                drawn = pack._one(i)
                if drawn.image.size != (pack.about["size"],) * 2:
                    problems.append(
                        f"{row.file_name} has {drawn.image.width} x {drawn.image.height} pixels, expected {pack.about['size']}"
                    )
            except (ValueError, KeyError, TypeError) as error:
                problems.append(f"{row.file_name}: {error}")
        progress(i + 1, len(pack.table))
    known = {path.resolve() for path in (folder / "data" / "images").rglob("*") if path.is_file()} - {
        inside(pack.folder, f) for f in pack.table.file_name
    }
    return problems + [f"{path.relative_to(folder.resolve())} belongs to no row" for path in sorted(known)]
