"""The face wall: images as tiles, a box on every face, labels with the classifier's confidence. HTML as text."""

import base64
import html
import io

from PIL import Image

from fairdemo.attributes import ATTRIBUTES, COLOURS
from fairdemo.comparison import Comparison, Drawn, Pair

UNSURE = 0.6  # labels below this probability are marked with a question mark


def data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=90)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def chip(attribute: str, label: str, probability: float) -> str:
    """A label with its colour as a dot, its confidence in percent, and a mark when that is low."""
    unsure = " unsure" if probability < UNSURE else ""
    return (f'<span class="chip{unsure}" style="--c:{COLOURS[attribute][label]}"><i></i><span>{html.escape(label)}</span>'
            f'<small>{probability:.0%}{"?" if unsure else ""}</small></span>')


def tile(pair: Pair, side: str) -> str:
    drawn: Drawn = getattr(pair, side)
    size = drawn.image.width
    adapter = "baseline model" if side == "baseline" else f"adapter: {pair.adapter}"
    if drawn.faces:
        face = drawn.faces[0]
        left, top, right, bottom = (max(0.0, min(100.0, 100 * v / size)) for v in face.box)
        box = f'<span class="box" style="--c:{COLOURS["race"][face.race]};left:{left:.1f}%;top:{top:.1f}%;width:{right - left:.1f}%;height:{bottom - top:.1f}%"></span>'
        labels = "".join(chip(a, face.label(a), face.probability[a][face.label(a)]) for a in ATTRIBUTES)
        read = f"perceived as {face.race}, {face.gender}, {face.age}"
        more = f'<span class="more">{len(drawn.faces)} faces; the largest counts</span>' if len(drawn.faces) > 1 else ""
    else:
        box, read, more = "", "no face found", ""
        labels = '<span class="chip none"><i></i>no face</span>'
    title = html.escape(f"Image {pair.slot + 1}, {adapter}; {read}")
    return (f'<figure class="tile" tabindex="0" title="{title}"><div class="picture"><img src="{data_uri(drawn.image)}" alt="Generated: {title}">{box}</div>'
            f"<figcaption>{labels}{more}</figcaption></figure>")


def wall(comparison: Comparison | None, side: str, n: int) -> str:
    """All tiles of one side; images still to come are empty tiles, so that nothing moves while they arrive."""
    title = {"baseline": "Baseline", "debiased": "Debiased"}[side]
    what = {"baseline": "the model as it is", "debiased": "same noise, the chosen mix of adapters"}[side]
    pairs = comparison.pairs if comparison else []
    tiles = "".join(tile(p, side) for p in pairs) + '<figure class="tile empty"><div class="picture"></div><figcaption></figcaption></figure>' * max(0, n - len(pairs))
    return f'<section class="wall" aria-label="{title}"><h3>{title} <small>{what}</small></h3><div class="tiles">{tiles}</div></section>'
