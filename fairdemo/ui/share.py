"""Keeping and sharing: the link that brings a comparison back, the zip with everything in it, and opening
such a zip again."""

import atexit
import csv
import html
import io
import json
import shutil
import string
import tempfile
import time
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlencode

from fairdemo.comparison import SIDES, Comparison, attribute_measures, load
from fairdemo.stats import mix, targets
from fairdemo.stats.attributes import ATTRIBUTES, CLASSES
from fairdemo.ui.face_wall import data_uri

LETTERS = string.ascii_letters + string.digits  # two a source: slots in a link
MAX_ZIP_BYTES, MAX_OPEN_BYTES, MAX_FILES = 300_000_000, 400_000_000, 1100


@dataclass
class Link:
    """What a link asks for; `slots` are letters, two each, for the sources of the wall, empty to let the
    mix choose. `unknown` names what was left out."""

    prompt: str | None
    seed: int | None
    n: int | None
    target: targets.Target | None
    steps: int | None
    guidance: float | None
    slots: str
    profile: str | None
    unknown: list[str]


def query(comparison: Comparison, slots: list[mix.Slot], choice: list[mix.Slot]) -> str:
    """The address's query for a comparison: profile, prompt, seed, number, target, settings, and what every
    slot was drawn with."""
    target = ";".join(
        f"{a}:" + ",".join(f"{c}={v:.4f}" for c, v in shares.items())
        for a, shares in comparison.target.items()
    )
    settings = comparison.settings
    return "?" + urlencode(
        {
            "profile": comparison.profile,
            "prompt": comparison.prompt,
            "seed": comparison.seed,
            "n": comparison.n,
            "target": target or "baseline",
            "steps": settings["steps"],
            "guidance": settings["guidance"],
            "slots": "".join(
                LETTERS[i // len(LETTERS)] + LETTERS[i % len(LETTERS)] for i in map(choice.index, slots)
            ),
        }
    )


def follow(parameters: Mapping[str, str], profiles: Collection[str] = ()) -> Link:
    """A link's parameters, each checked (a profile must be one of `profiles`); what isn't valid is left out
    and named in `unknown`."""
    unknown: list[str] = []

    def take(name: str, read):
        if name not in parameters:
            return None
        try:
            return read(parameters[name][:4000])
        except (ValueError, AttributeError, OverflowError):
            unknown.append(f"{name} “{parameters[name][:40]}”")
            return None

    def number(kind, low, high):
        def read(text: str):
            value = kind(text)
            if not low <= value <= high:
                raise ValueError
            return value

        return read

    def offered(text: str) -> str:
        if text not in profiles:
            raise ValueError
        return text

    def slots(text: str) -> str:
        if set(text) - set(LETTERS) or len(text) > 128 or len(text) % 2:
            raise ValueError
        return text

    return Link(
        take("prompt", lambda text: text[:1000]),
        take("seed", number(int, 0, 2**31 - 1)),
        take("n", number(int, 4, 64)),
        take("target", targets.parse),
        take("steps", number(int, 2, 100)),
        take("guidance", number(float, 1, 20)),
        take("slots", slots) or "",
        take("profile", offered),
        unknown,
    )


def slots_of(link: Link, choice: list[mix.Slot], n: int) -> list[mix.Slot] | None:
    """The wall of a link, None if it doesn't fit the number of images or the sources that there are."""
    places = [
        LETTERS.index(a) * len(LETTERS) + LETTERS.index(b) for a, b in zip(link.slots[::2], link.slots[1::2])
    ]
    return [choice[i] for i in places] if len(places) == n and max(places) < len(choice) else None


def table(comparison: Comparison) -> str:
    """One line an image as CSV: what it was drawn with, and its largest face as perceived by the
    classifier."""
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(
        [
            "slot",
            "side",
            "adapter",
            "file",
            "faces",
            *(name for a in ATTRIBUTES for name in (a, f"{a} probability")),
        ]
    )
    for pair in comparison.pairs:
        for side in SIDES:
            drawn = getattr(pair, side)
            read = [
                v
                for a in ATTRIBUTES
                for v in (
                    (
                        drawn.faces[0].label(a),
                        round(drawn.faces[0].probability[a][drawn.faces[0].label(a)], 4),
                    )
                    if drawn.faces
                    else ("", "")
                )
            ]
            lines.writerow(
                [
                    pair.slot,
                    side,
                    pair.adapter if side == "debiased" else "baseline",
                    f"{side}/{pair.slot:04d}.png",
                    len(drawn.faces),
                    *read,
                ]
            )
    return text.getvalue()


def report(comparison: Comparison) -> str:
    """A page that needs nothing else: images, counts, intervals, settings."""

    def rows(attribute: str) -> str:
        found = {side: attribute_measures(comparison, side, attribute) for side in SIDES}
        lines = ""
        for c in CLASSES[attribute]:
            cells = ""
            for side in SIDES:
                row = found[side]["classes"][c]
                low, high = row["interval"]
                cells += (
                    f'<td><div class="bar {side}"'
                    f' style="width:{100 * row["share"]:.0f}%"></div>{row["count"]} of {found[side]["n"]},'
                    f" {row['share']:.0%} ({low:.0%} to {high:.0%})</td>"
                )
            wanted = comparison.target.get(attribute, {}).get(c)
            lines += f"<tr><th>{html.escape(c)}</th>{cells}<td>{'' if wanted is None else f'{wanted:.0%}'}</td></tr>"
        return (
            f"<h2>{attribute.capitalize()}, as perceived by the"
            f" classifier</h2><table><tr><th></th><th>baseline</th><th>debiased</th><th>wanted</th></tr>{lines}</table>"
        )

    def picture(pair, side: str) -> str:
        drawn = getattr(pair, side)
        read = ", ".join(drawn.faces[0].label(a) for a in ATTRIBUTES) if drawn.faces else "no face found"
        return (
            f'<figure><img src="{data_uri(drawn.image)}" alt="Generated, {side}:'
            f' {html.escape(read)}"><figcaption>{html.escape(read)}</figcaption></figure>'
        )

    walls = "".join(
        f"<h2>{side.capitalize()}</h2><div"
        f" class='wall'>{''.join(picture(p, side) for p in comparison.pairs)}</div>"
        for side in SIDES
    )
    settings = html.escape(
        json.dumps({"model": comparison.profile, "seed": comparison.seed, **comparison.settings})
    )
    missing = {side: comparison.counts(side)["no_face"] for side in SIDES}
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>fairdemo: {html.escape(comparison.prompt)}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#1f2430;background:#fff}} table{{border-collapse:collapse;width:100%}}
th,td{{text-align:left;padding:.3em .6em;border-bottom:1px solid #ddd}} .bar{{height:.6em;border-radius:3px;min-width:1px}} .baseline{{background:#9aa1ad}} .debiased{{background:#2a788e}}
.wall{{display:grid;grid-template-columns:repeat(auto-fill,minmax(120px,1fr));gap:8px}} figure{{margin:0}} img{{width:100%;border-radius:6px}} figcaption{{font-size:.75em}}</style>
<h1>{html.escape(comparison.prompt)}</h1><p>{len(comparison.pairs)} pairs, baseline and debiased from the same noise. Every person is generated. Labels are as perceived by a classifier, which errs; brackets
hold 95 % intervals. No face found: {missing["baseline"]} baseline, {missing["debiased"]} debiased.</p>{"".join(rows(a) for a in ("gender", "race", "age"))}{walls}<p>Settings: {settings}</p></html>"""


@cache
def shelf() -> Path:
    """Where zips wait to be fetched, gone when the app ends."""
    folder = Path(tempfile.mkdtemp(prefix="fairdemo-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def pack(comparison: Comparison) -> Path:
    """A zip with the saved comparison, `images.csv` and `report.html`. The page takes a copy at once, so
    those of ten minutes ago are thrown away."""
    for old in shelf().iterdir():
        if time.time() - old.stat().st_mtime > 600:
            shutil.rmtree(old, ignore_errors=True)
    path = Path(
        tempfile.mkdtemp(dir=shelf())
    ) / f"fairdemo-{comparison.subject or 'comparison'}-{comparison.seed}.zip".replace(" ", "-")
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        saved = Path(folder) / "saved"
        comparison.save(saved)
        for file in sorted(saved.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(saved))
        archive.writestr("images.csv", table(comparison))
        archive.writestr("report.html", report(comparison))
    return path


def unpack(path: Path) -> Comparison:
    """The comparison in a zip that somebody uploaded; ValueError that says what is wrong with it. Only the
    files that a saved comparison has are ever written, under names of our own, and no more than
    `MAX_OPEN_BYTES`."""
    if path.stat().st_size > MAX_ZIP_BYTES:
        raise ValueError(
            f"{path.name!r} is larger than {MAX_ZIP_BYTES // 10**6} MB; a comparison downloaded here is"
            " smaller"
        )
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory(prefix="fairdemo-") as folder:
            members = archive.infolist()
            if len(members) > MAX_FILES or sum(m.file_size for m in members) > MAX_OPEN_BYTES:
                raise ValueError(f"{path.name!r} unpacks to more than a comparison holds")
            names = {
                "comparison.json",
                "vectors.npz",
                *(f"{side}/{i:04d}.png" for side in SIDES for i in range(512)),
            }
            strange = [
                m.filename
                for m in members
                if m.filename not in names | {"images.csv", "report.html"} and not m.is_dir()
            ]
            if strange:
                raise ValueError(f"{path.name!r} holds {strange[0][:60]!r}, which a saved comparison doesn't")
            for side in SIDES:
                (Path(folder) / side).mkdir()
            left = MAX_OPEN_BYTES
            for member in members:
                if member.filename in names:
                    with archive.open(member) as source:  # what a zip says of its sizes needn't be true
                        data = source.read(left + 1)
                    left -= len(data)
                    if left < 0:
                        raise ValueError(f"{path.name!r} unpacks to more than a comparison holds")
                    (Path(folder) / member.filename).write_bytes(data)
            return load(Path(folder))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ValueError(f"{path.name!r} is no zip that was downloaded here ({error})") from None
