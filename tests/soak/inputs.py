"""Generated inputs, from random ones to those of somebody hostile. Whatever they are: an answer, or a
ValueError of one line; no file outside its folder."""

import copy
import io
import json
import random
import struct
import tempfile
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

from fairdemo.audit import study
from fairdemo.audit.folders import opened as picture_opened
from fairdemo.models import catalog, profiles
from fairdemo.places import SHIPPED
from fairdemo.readers.labelled import read_labelled
from fairdemo.report import archive
from fairdemo.request import from_link
from fairdemo.studio.pool import open_pack
from fairdemo.ui import api, class_routes, link, mixer, sliding
from fairdemo.ui.audit_tab import behind, opened

SAVED = SHIPPED / "tests" / "format_3"  # a small saved comparison
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60)
ANYTHING = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
)
CLIMBS = (
    "../../escaped",
    "/tmp/escaped",
    "..\\escaped",
    "a/../../escaped",
    "\x00",
    "C:\\escaped",
    "~/escaped",
)


class Wrong(AssertionError):
    """An input that was answered otherwise than it may."""


def answered(call: Callable[[], Any], what: str) -> None:
    """Calls; ValueError (gr.Error from endpoints) with one line is an answer, anything else is Wrong."""
    try:
        call()
    except (ValueError, gr.Error) as error:
        told = str(getattr(error, "message", error))
        if isinstance(error, UnicodeError) or not told.strip() or told.count("\n") > 1 or len(told) > 2000:
            raise Wrong(f"{what}: {type(error).__name__}: {told[:300]!r}") from error
    except Exception as error:
        raise Wrong(f"{what}: {type(error).__name__}: {error}") from error


def often(n: int) -> Any:
    """How often a family is tried."""
    return settings(
        max_examples=n,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


def links(n: int) -> None:
    """A link's parameters, and what a browser sends for sliders and walls."""
    names = st.sampled_from(
        ["prompt", "profile", "n", "seed", "target", "method", "steps", "slots", "guidance"]
    )
    texts = st.text(max_size=300) | st.sampled_from(
        ["1e999", "NaN", "-1", "uniform", "women 70", "mix", "AA" * 9]
    )

    @often(n)
    @given(st.dictionaries(names | st.text(max_size=9), texts, max_size=9), ANYTHING)
    def tried(parameters: dict[str, str], sent: Any) -> None:
        answered(lambda: link.follow(parameters, ["embedded"]), "a link")
        answered(lambda: from_link(parameters, ["embedded"]), "a link")
        answered(lambda: mixer.target_of(sent), "the mixer")
        answered(lambda: sliding.slide(sent if isinstance(sent, dict) else {"wish": sent}, None), "a slider")
        answered(lambda: sliding.pooled(sent), "a wall")

    tried()


def endpoints(n: int) -> None:
    """Inputs of the API's endpoints, of any kind; nothing is drawn."""
    prompts = st.text(max_size=80) | st.just("a photo of a nurse") | ANYTHING

    @often(n)
    @given(prompts, ANYTHING, ANYTHING | st.just("embedded"), ANYTHING)
    def tried(prompt: Any, target: Any, profile: Any, more: Any) -> None:
        answered(lambda: api.foresee(prompt, target, profile, more), "foresee")
        answered(lambda: api.plan_of(more, prompt=prompt, n=target, seed=more, profile=profile), "compare")

    tried()


def cells(n: int) -> None:
    """What a browser says was clicked in an audit."""
    own = opened("professions")

    @often(n)
    @given(ANYTHING, ANYTHING, ANYTHING)
    def tried(name: Any, origin: Any, cell: Any) -> None:
        answered(lambda: opened(name if isinstance(name, str) else repr(name)), "an audit's name")
        answered(lambda: behind(own, origin if isinstance(origin, str) else repr(origin), cell, 0), "a cell")

    tried()


@cache
def whole_zip() -> dict[str, bytes]:
    """The files of a saved comparison."""
    return {str(p.relative_to(SAVED)): p.read_bytes() for p in SAVED.rglob("*") if p.is_file()}


def bent(files: dict[str, bytes], rng: random.Random) -> dict[str, bytes]:
    """The files with one thing wrong: torn, flipped, missing, renamed, of another kind, or much too large."""
    files = dict(files)
    name = rng.choice(sorted(files))
    data = bytearray(files[name])
    kind = rng.randrange(8)
    if kind == 0:
        files[name] = bytes(data[: rng.randrange(len(data))])
    elif kind == 1:
        for _ in range(rng.randrange(1, 30)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        files[name] = bytes(data)
    elif kind == 2:
        del files[name]
    elif kind == 3:
        files[rng.choice(CLIMBS).replace("\x00", "zero")] = files.pop(name)
    elif kind == 4:
        files[name] = rng.choice(hostile_images(rng.randrange(10**6)))
    elif kind == 5:
        files[name] = b"\x00" * rng.choice((0, 10, 10**7))
    elif kind == 6 and name.endswith(".json"):
        files[name] = json.dumps(changed(json.loads(bytes(data)), rng)).encode()
    else:
        files[name] = rng.randbytes(rng.randrange(2000))
    return files


def changed(value: Any, rng: random.Random) -> Any:
    """A JSON value with one place replaced by something of another kind."""
    value = copy.deepcopy(value)
    place = value
    while isinstance(place, (dict, list)) and place:
        key = rng.choice(sorted(place)) if isinstance(place, dict) else rng.randrange(len(place))
        if rng.random() < 0.4 or not isinstance(place[key], (dict, list)):
            odd = (None, -1, 10**30, float("nan"), "", "x" * 5000, [], {}, "../../escaped", True, [[1]])
            place[key] = rng.choice(odd)
            break
        place = place[key]
    return value


def zips(n: int) -> None:
    """Saved comparisons that somebody bent, and zips that are none."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "some.zip"

        @often(n)
        @given(st.integers(0, 2**32))
        def tried(seed: int) -> None:
            rng = random.Random(seed)
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as z:
                for name, data in bent(whole_zip(), rng).items():
                    z.writestr(name, data)
            data = bytearray(buffer.getvalue())
            if rng.random() < 0.3:
                del data[rng.randrange(len(data)) :]
            if rng.random() < 0.3 and data:
                data[rng.randrange(len(data))] ^= 255
            path.write_bytes(data)
            answered(lambda: archive.unzipped(path), "a zip")

        tried()


def hostile_images(seed: int) -> list[bytes]:
    """Images that aren't what they seem: torn, animated, 16-bit, CMYK, bombs, EXIF nonsense, other kinds."""
    rng = random.Random(seed)

    def kept(image: Image.Image, kind: str, **more: Any) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, kind, **more)
        return buffer.getvalue()

    plain = Image.effect_noise((40, 30), 50).convert("RGB")
    png = kept(plain, "PNG")
    header = struct.pack(">IIBBBBB", 10**5, 10**5, 8, 2, 0, 0, 0)  # ten thousand million pixels
    frames = [plain.rotate(10 * k) for k in range(5)]
    exif = Image.Exif()
    exif[0x0112] = 99
    exif[0x9286] = b"\xff" * 3000
    return [
        png[: rng.randrange(1, len(png))],
        png[:16] + header + png[29:],
        kept(plain, "GIF", save_all=True, append_images=frames),
        kept(plain.convert("CMYK"), "JPEG"),
        kept(Image.new("I;16", (30, 30)), "PNG"),
        kept(plain.convert("RGBA"), "WEBP", save_all=True, append_images=frames),
        kept(plain, "JPEG", exif=exif),
        kept(plain.convert("1"), "TIFF"),
        kept(plain.convert("P"), "BMP"),
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"<html><script>alert(1)</script>",
        rng.randbytes(rng.randrange(500)),
    ]


def images(n: int) -> None:
    """Image files that others made."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.png"

        @often(n)
        @given(st.integers(0, 2**32))
        def tried(seed: int) -> None:
            path.write_bytes(random.Random(seed).choice(hostile_images(seed)))
            answered(lambda: picture_opened(path), "an image")

        tried()


def settings_files(n: int) -> None:
    """Profiles, catalogs, studies and labels as TOML and CSV, whole ones with lines bent."""
    texts = [(SHIPPED / "fairdemo/models/shipped/sd15.toml").read_text(), catalog.CATALOG.read_text()[:3000]]
    texts += [
        'prompts = ["a photo of a nurse"]\nimages = 4\nlists = ["professions"]\n',
        "image,race,gender,age\n",
    ]

    def bend(text: str, rng: random.Random) -> str:
        lines = text.splitlines()
        for _ in range(rng.randrange(1, 4)):
            k = rng.randrange(len(lines))
            odd = [
                "=1+1",
                "nan",
                "-1",
                '"' * 3,
                "[[]]",
                "{a=1}",
                "\x00",
                "é" * 200,
                '"../../escaped"',
                "1e999",
                "",
            ]
            key = lines[k].partition("=")[0] or "key"
            lines[k] = rng.choice(
                [f"{key}= {rng.choice(odd)}", rng.choice(odd), lines[k][: len(lines[k]) // 2], ""]
            )
        return "\n".join(lines)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "some.toml"

        @often(n)
        @given(st.integers(0, 2**32), st.text(max_size=100))
        def tried(seed: int, text: str) -> None:
            rng = random.Random(seed)
            whole = bend(rng.choice(texts), rng) if rng.random() < 0.9 else text
            path.write_text(whole, errors="surrogatepass", newline="")
            answered(lambda: profiles.read_profile(path), "a profile's file")
            answered(lambda: catalog.catalog("sd15", path), "a catalog")
            answered(lambda: study.read(path), "a study")
            (Path(folder) / "labels.csv").write_text(whole, errors="surrogatepass", newline="")
            answered(lambda: read_labelled(folder), "labels")

        tried()


def packs(n: int) -> None:
    """Packs that somebody bent: their description, their table, their names."""
    source = SHIPPED / "assets" / "walls" / "embedded"
    about = json.loads((source / "pack.json").read_text())
    table = pd.read_parquet(source / "data" / "metadata.parquet").head(40)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "pack"
        (folder / "data").mkdir(parents=True)

        @often(n)
        @given(st.integers(0, 2**32))
        def tried(seed: int) -> None:
            rng = random.Random(seed)
            text = json.dumps(changed(about, rng)) if rng.random() < 0.7 else rng.randbytes(200).hex()
            (folder / "pack.json").write_text(text)
            own = table.copy()
            if rng.random() < 0.5:
                own.loc[rng.randrange(len(own)), "file_name"] = rng.choice(CLIMBS)
            if rng.random() < 0.3:
                own = own.drop(columns=rng.choice(list(own.columns)))
            own.to_parquet(folder / "data" / "metadata.parquet")
            answered(lambda: open_pack(str(folder)), "a pack")

        tried()


def routes(n: int) -> None:
    """Requests to the class's routes, made from their own description: no 5xx but 503 with a reason."""
    client = TestClient(class_routes.APP, raise_server_exceptions=False)
    schema = schemathesis.openapi.from_asgi("/openapi.json", class_routes.APP)
    operations = [one.ok() for one in schema.get_all_operations()]
    each = max(1, n // len(operations))
    for operation in operations:

        @often(each)
        @given(case=operation.as_strategy())
        def tried(case: Any) -> None:
            path = case.formatted_path
            headers = {k: v for k, v in (case.headers or {}).items() if v.isascii() and v.isprintable()}
            query = {k: str(v) for k, v in (case.query or {}).items()}
            body = (
                None
                if not isinstance(case.body, (dict, list, str, int, float, bool, type(None)))
                else case.body
            )
            try:
                told = client.request(case.method, path, headers=headers, params=query, json=body)
            except (UnicodeError, ValueError):  # no client could send it
                return
            if told.status_code >= 500 and not (told.status_code == 503 and "error" in told.json()):
                raise Wrong(f"{case.method} {path} {body!r}: {told.status_code} {told.text[:200]}")

        tried()


FAMILIES: dict[str, Callable[[int], None]] = {
    "links and sliders": links,
    "endpoints": endpoints,
    "cells of an audit": cells,
    "zips": zips,
    "images": images,
    "TOML and CSV": settings_files,
    "packs": packs,
    "routes": routes,
}


def run(total: int) -> int:
    """Tries `total` inputs of all families; how many. Wrong names the first that was answered badly."""
    each = max(1, total // len(FAMILIES))
    outside = [Path("/tmp/escaped"), Path(tempfile.gettempdir()).parent / "escaped", Path("escaped")]
    for name, family in FAMILIES.items():
        try:
            family(each)
        except Exception as error:
            raise Wrong(f"{name}: {error}") from error
    for path in outside:
        if path.exists():
            raise Wrong(f"{path} was written")
    return each * len(FAMILIES)
