"""The whole chain on real weights: what a profile needs is fetched, and each part of what fairdemo says of
itself is measured on it. A part that was measured isn't measured again, so a run that was stopped goes on.

What comes of it is a JSON and a page, which anybody can send to the project (docs/real.md)."""

import gc
import json
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, PackageLoader
from torch import nn

import fairdemo
from fairdemo import places
from fairdemo.audit import report, run, study, summary
from fairdemo.comparison import load
from fairdemo.experiments.bench import Plain, best, difference, spread, timed
from fairdemo.models import fetching, hub, pipelines
from fairdemo.models.catalog import Adapter
from fairdemo.models.generating import PairedGenerator
from fairdemo.models.precision import default_device
from fairdemo.models.profiles import Profile, profile
from fairdemo.models.routing import Router
from fairdemo.models.sampling import Sample, by_default
from fairdemo.pairs import SIDES
from fairdemo.readers import judge, labelled
from fairdemo.report.pictures import data_uri
from fairdemo.request import MIX, Request
from fairdemo.stats.attributes import ATTRIBUTES, band
from fairdemo.stats.measure import interval
from fairdemo.stats.mix import Source
from fairdemo.stats.prompts import PROFESSIONS, photo_of
from fairdemo.studio.live import Live
from fairdemo.studio.studio import Studio

METHODS = (study.BASELINE, MIX, "words", "fair diffusion")
SEED = 3_000_000  # far from the seeds that people use, and from calibration's
ENVIRONMENT = Environment(
    loader=PackageLoader("fairdemo.proof", "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True)
class Amounts:
    """How much is measured."""

    adapters: int = 3  # that are compared with `set_adapters`
    photographs: int = 2000  # that the classifier reads
    professions: int = 8  # of the adapters' responses
    images: int = 8  # of each adapter and profession
    prompts: int = 5  # of the study
    study_images: int = 32  # of each prompt and method
    pairs: int = 5  # to look at, of each of four professions


QUICK = Amounts(1, 40, 1, 1, 1, 4, 1)  # whether everything runs, before a long run


@dataclass
class Proof:
    """What is measured of a profile, and where it is written."""

    name: str  # what opens the profile
    amounts: Amounts
    out: Path
    faces: str  # labelled photographs: a folder, or a dataset of the Hub
    say: Callable[[str], object] = print
    results: dict[str, dict[str, Any]] = field(default_factory=dict)

    @cached_property
    def profile(self) -> Profile:
        """The profile."""
        return profile(self.name)

    @cached_property
    def live(self) -> Live:
        """The profile's model, loaded on first use."""
        live = Live(self.name)
        live.load()
        return live

    @property
    def groups(self) -> list[Adapter]:
        """The adapters that the mix is made of."""
        return [a for a in self.live.adapters if not a.method]

    def release(self) -> None:
        """Gives the model's memory back."""
        self.__dict__.pop("live", None)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def prove(proof: Proof) -> Path:
    """Measures what isn't measured yet, and writes `proof.json` and `proof.html`; the page. ValueError if
    the folder holds a proof of something else."""
    kept = proof.out / "proof.json"
    about = {"profile": described(proof.profile), "amounts": vars(proof.amounts)}
    if kept.is_file():
        known = json.loads(kept.read_text(encoding="utf-8"))
        if {k: known.get(k) for k in about} != about:
            raise ValueError(f"folder {str(proof.out)!r} holds a proof of another profile or other amounts")
        proof.results = known["results"]
    for k, (name, part) in enumerate(PARTS.items(), 1):
        if name in proof.results:
            proof.say(f"{k} of {len(PARTS)}, {name}: measured before")
            continue
        proof.say(f"{k} of {len(PARTS)}, {name} …")
        start = time.monotonic()
        found = part(proof)
        proof.results[name] = {"by": where(), "seconds": round(time.monotonic() - start, 1), "found": found}
        places.replace(kept, json.dumps({**about, "results": proof.results}, indent=1) + "\n")
    path = proof.out / "proof.html"
    path.write_text(page(proof), encoding="utf-8")
    return path


def described(own: Profile) -> dict[str, Any]:
    """A profile's keys; of a path on this machine only the last part."""
    return {
        key: Path(value).name if isinstance(value, str) and hub.is_local(value) else value
        for key, value in own.model_dump(mode="json").items()
    }


def where() -> dict[str, str]:
    """Which commit measured, and on what: nothing of whose machine it is."""
    asked = ["git", "-C", str(places.PACKAGE), "rev-parse", "HEAD"]
    try:
        commit = subprocess.run(
            asked, capture_output=True, text=True, encoding="utf-8", check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = ""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    return {"version": fairdemo.__version__, "commit": commit, "device": device, "torch": torch.__version__}


def fetched(proof: Proof) -> dict[str, Any]:
    """All files that the profile needs."""
    fetching.fetch(proof.profile)
    return {"commits": fetching.commits(proof.profile)}


@contextmanager
def published(proof: Proof, chosen: list[Adapter]) -> Iterator[Plain]:
    """The published way to draw with some adapters, gone afterwards."""
    pipe = pipelines.load_pipeline(proof.profile, default_device())
    pipelines.place(pipe, default_device())
    bare = PairedGenerator(pipe, Router(nn.Module(), {}), proof.profile)
    plain = Plain(pipe, chosen, bare, proof.profile.steps)
    del pipe, bare
    try:
        yield plain
    finally:
        plain.__dict__.clear()
        proof.release()


def routing(proof: Proof) -> dict[str, Any]:
    """Images through routed adapters against those of `set_adapters`, the published way, from the same
    noise: mean difference of pixels, of 255, beside how much each adapter changes."""
    chosen = proof.groups[: proof.amounts.adapters]
    if not chosen:
        return {"adapters": {}}
    proof.release()
    slots = [0, 1]
    with published(proof, chosen) as plain:  # and nothing of it stays when ours is loaded
        theirs = {a.name: [plain.draw([slot], a.name)[0] for slot in slots] for a in chosen}
        seconds = best(lambda: plain.draw([0], chosen[0].name), 1)
    setting = by_default(proof.profile, "a photo of a doctor", 0)
    # One mixed batch: what every adapter draws stands beside what the others draw.
    wanted = [Sample(slot, Source((a.name,))) for slot in slots for a in chosen]
    wanted += [Sample(slot, Source()) for slot in slots]
    drawn = dict(zip(wanted, proof.live.generator.draw(setting, wanted)))
    base = [drawn[Sample(slot, Source())] for slot in slots]
    found = {}
    for a in chosen:
        ours = [drawn[Sample(slot, Source((a.name,)))] for slot in slots]
        found[a.name] = {
            "routed_to_published": round(difference(ours, theirs[a.name]), 3),
            "adapter_to_baseline": round(difference(ours, base), 3),
        }
    return {"adapters": found, "published_seconds_an_image": round(seconds, 3)}


def performance(proof: Proof) -> dict[str, Any]:
    """The rows of docs/performance.md: seconds a pair at the profile's steps and at 4, the mixed batch
    against one without adapters, memory."""
    generator = proof.live.generator
    cuda = torch.cuda.is_available()
    if cuda:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    mixed = spread(proof.groups) if proof.groups else [Sample(i) for i in range(24)]
    found: dict[str, Any] = {}
    for steps in (proof.profile.steps, 4):
        twins = [twin for s in mixed[: proof.profile.batch] for twin in (Sample(s.slot), s)]
        setting = by_default(proof.profile, "a photo of a doctor", 0)
        setting = replace(setting, steps=steps)
        seconds = best(lambda s=setting, t=twins: generator.draw(s, t), 1)
        found[f"seconds_a_pair_at_{steps}_steps"] = round(seconds / proof.profile.batch, 3)
    setting, size = by_default(proof.profile, "a photo of a doctor", 0), 2 * proof.profile.batch
    alone = timed(lambda: generator.draw(setting, [Sample(i) for i in range(size)]))
    together = timed(lambda: generator.draw(setting, mixed[:size]))
    found["mixed_to_no_adapter"] = round(alone / together, 3)
    found["image_gb"] = round(generator.image_bytes / 1e9, 3)
    found["peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2) if cuda else None
    return found


def classifier(proof: Proof) -> dict[str, Any]:
    """What the profile's classifier reads in labelled photographs, and its confusions."""
    data = labelled.read_labelled(proof.faces, proof.amounts.photographs, "validation")
    found = judge.judge(proof.live.reader, data)
    return {"data": data.name, "report": found.report(), "confusion": found.confusion()}


def responses(proof: Proof) -> dict[str, Any]:
    """How often each adapter's images are classified as its group, on professions spread over all."""
    groups, amounts = proof.groups, proof.amounts
    counts: dict[str, dict[str, Any]] = {a.name: {"right": 0, "faces": 0, "images": 0} for a in groups}
    for k, profession in enumerate(some(amounts.professions)):
        sources = [Source((a.name,), a.cell) for a in groups for _ in range(amounts.images)]
        proof.say(f"  {profession}")
        cells = seen(proof, photo_of(profession), SEED + k, sources)
        for a in groups:
            own = cells.get(a.name, [])
            counts[a.name]["images"] += len(own)
            counts[a.name]["faces"] += sum(one is not None for one in own)
            counts[a.name]["right"] += sum(set(a.cell) <= one for one in own if one is not None)
    for own in counts.values():
        own["interval"] = [round(v, 4) for v in interval(own["right"], own["images"])]
    return {"adapters": counts, "cells": {a.name: list(a.cell) for a in groups}}


def some(n: int) -> Sequence[str]:
    """Professions spread over all."""
    return list(PROFESSIONS)[:: len(PROFESSIONS) // n][:n]


def seen(proof: Proof, prompt: str, seed: int, sources: list[Source]) -> dict[str, list[set[str] | None]]:
    """The classes that each source's images are read as, by its adapter; None where no face is found."""
    setting, samples = by_default(proof.profile, prompt, seed), [Sample(i, s) for i, s in enumerate(sources)]
    found: dict[str, list[set[str] | None]] = {}
    size = 2 * proof.profile.batch
    for start in range(0, len(samples), size):
        part = samples[start : start + size]
        for sample, faces in zip(part, proof.live.reader.read(proof.live.generator.draw(setting, part))):
            read = {faces[0].race, faces[0].gender, band(faces[0].age)} if faces else None
            found.setdefault(sample.source.adapters[0], []).append(read)
    return found


def studied(proof: Proof) -> dict[str, Any]:
    """A study of some professions by four methods, with its own report beside the page."""
    names = proof.live.registry
    methods = [m for m in METHODS if m == study.BASELINE or m in names]
    proof.release()
    asked = study.Study(
        prompts=tuple(map(photo_of, some(proof.amounts.prompts))),
        profiles=(proof.name,),
        methods=tuple(methods),
        images=proof.amounts.study_images,
        seed=11,
    )
    folder = proof.out / "study"
    result = run.run(asked, folder, run.Place(), lambda done, of: None)
    if result.failed:
        raise ValueError(f"the study: {next(iter(result.failed.values()))}; the same command tries it again")
    report.write(folder)
    _, _, found = summary.found_in(folder)
    return {
        "images": found.images,
        "no_face": found.no_face,
        "sentences": report.sentences(asked, found),
        "bias": {b.origin: {a: report.estimate(one) for a, one in b.bias.items()} for b in found.by_origin},
    }


def looked_at(proof: Proof) -> dict[str, Any]:
    """Pairs to look at, saved as comparisons."""
    room, told = Studio(proof.live), {}
    for profession in ("doctor", "nurse", "CEO", "cleaner"):
        asked = Request.checked(
            prompt=photo_of(profession), profile=proof.name, n=proof.amounts.pairs, seed=SEED % 1000
        )
        plan = room.plan(asked)
        for _ in room.run(plan):
            pass
        plan.comparison.save(proof.out / "pairs" / profession)
        told[profession] = {
            side: {a: [f.label(a) for f in plan.comparison.faces(side)] for a in ATTRIBUTES} for side in SIDES
        }
    return told


PARTS: dict[str, Callable[[Proof], dict[str, Any]]] = {
    "files": fetched,
    "routing": routing,
    "performance": performance,
    "classifier": classifier,
    "responses": responses,
    "study": studied,
    "pairs": looked_at,
}


def page(proof: Proof) -> str:
    """What was proved, as a page that needs nothing else but the study's report beside it."""
    pairs = {p: load(proof.out / "pairs" / p) for p in proof.results["pairs"]["found"]}
    walls = {
        prompt: {side: [data_uri(pair.side(side).image) for pair in c.pairs] for side in SIDES}
        for prompt, c in pairs.items()
    }
    return ENVIRONMENT.get_template("proof.html").render(proof=proof, found=proof.results, walls=walls)
