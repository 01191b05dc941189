"""The face wall: images as tiles, a box on every face, labels with the classifier's confidence. HTML as
text; `page.js` lights up twins and opens pairs."""

import base64
import html
import io
import json
from functools import lru_cache

from PIL import Image

from fairdemo.comparison import Comparison, Drawn, Pair
from fairdemo.stats.attributes import ATTRIBUTES, COLOURS
from fairdemo.ui.text import say

UNSURE = 0.6  # labels below this probability are marked with a question mark


LARGEST = 512  # px; a wall of photographs at 1024 px would be megabytes with every update


@lru_cache(600)
def _encoded(pixels: bytes, size: tuple[int, int]) -> str:
    buffer = io.BytesIO()
    Image.frombytes("RGB", size, pixels).save(buffer, "WEBP", quality=90)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def data_uri(image: Image.Image) -> str:
    """The image for a page, at most `LARGEST` px wide."""
    if image.width > LARGEST:
        image = image.resize((LARGEST, round(image.height * LARGEST / image.width)), Image.Resampling.LANCZOS)
    return _encoded(image.convert("RGB").tobytes(), image.size)


def chip(attribute: str, label: str, probability: float) -> str:
    """A label with its colour as a dot, its confidence in percent, and a mark when that is low."""
    unsure = " unsure" if probability < UNSURE else ""
    return (
        f'<span class="chip{unsure}"'
        f' style="--c:{COLOURS[attribute][label]}"><i></i><span>{html.escape(label)}</span>'
        f"<small>{probability:.0%}{'?' if unsure else ''}</small></span>"
    )


def tile(pair: Pair, side: str, seed: int, language: str) -> str:
    drawn: Drawn = getattr(pair, side)
    size = drawn.image.width
    adapter = say(language, "as_is") if side == "baseline" else say(language, "adapter", name=pair.adapter)
    marks, box, more = "", "", ""
    if drawn.faces:
        face = drawn.faces[0]
        left, top, right, bottom = (max(0.0, min(100.0, 100 * v / size)) for v in face.box)
        box = (
            '<span class="box"'
            f' style="--c:{COLOURS["race"][face.race]};left:{left:.1f}%;top:{top:.1f}%;width:{right - left:.1f}%;height:{bottom - top:.1f}%"></span>'
        )
        labels = "".join(chip(a, face.label(a), face.probability[a][face.label(a)]) for a in ATTRIBUTES)
        read = say(language, "perceived", race=face.race, gender=face.gender, age=face.age)
        marks = "".join(f' data-{a}="{html.escape(face.label(a))}"' for a in ATTRIBUTES)
        if len(drawn.faces) > 1:
            more = f'<span class="more">{say(language, "several", k=len(drawn.faces))}</span>'
        detail = {a: {c: round(p, 3) for c, p in ps.items()} for a, ps in face.probability.items()}
    else:
        read, detail = say(language, "none_found"), {}
        labels = f'<span class="chip none"><i></i>{read}</span>'
    title = html.escape(f"{say(language, 'image', slot=pair.slot + 1)}, {adapter}; {read}")
    about = html.escape(
        json.dumps(
            {
                "title": f"{say(language, 'image', slot=pair.slot + 1)}",
                "adapter": adapter,
                "read": read,
                "seed": seed,
                "probability": detail,
            }
        )
    )
    return (
        f'<figure class="tile" tabindex="0" role="button" title="{title}" data-slot="{pair.slot}"'
        f' data-side="{side}"{marks} data-about="{about}"><div class="picture"><img'
        f' src="{data_uri(drawn.image)}" alt="Generated:'
        f' {title}">{box}</div><figcaption>{labels}{more}</figcaption></figure>'
    )


def wall(comparison: Comparison | None, side: str, n: int, language: str = "en") -> str:
    """All tiles of one side in the order of their slots; images still to come are empty tiles, so that
    nothing moves while they arrive."""
    done = {p.slot: p for p in comparison.pairs} if comparison else {}
    empty = '<figure class="tile empty"><div class="picture"></div><figcaption></figcaption></figure>'
    tiles = "".join(tile(done[i], side, comparison.seed, language) if i in done else empty for i in range(n))
    title = say(language, side)
    return (
        f'<section class="wall" aria-label="{title}"><h3>{title}'
        f' <small>{say(language, side + "_what")}</small></h3><div class="tiles">{tiles}</div></section>'
    )
