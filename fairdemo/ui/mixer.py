"""The target mixer: one slider a class, linked so that each attribute sums to 100 %, with locks and undo.
What Gradio's own sliders can't do."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from fairdemo.stats.attributes import AGE_BANDS, COLOURS, TARGET_CLASSES
from fairdemo.stats.targets import Target
from fairdemo.ui.templates import render

Wish = dict[str, Any]  # {"steered": [attribute, ...], "shares": {attribute: {class: percent}}}
BAND_COLOURS = {band: COLOURS["age"][groups[-1]] for band, groups in AGE_BANDS.items()}


def colour(attribute: str, name: str) -> str:
    """A class's colour on its slider."""
    return BAND_COLOURS[name] if attribute == "age" else COLOURS[attribute][name]


def wish(target: Target, reference: Target) -> Wish:
    """The mixer's value for a target; attributes that it leaves open show the shares of `reference`."""
    return {
        "steered": [a for a in TARGET_CLASSES if a in target],
        "shares": {
            a: {c: 100 * {**reference[a], **target.get(a, {})}[c] for c in classes}
            for a, classes in TARGET_CLASSES.items()
        },
    }


def target_of(value: Wish) -> Target:
    """The target of a mixer's value; ValueError if it isn't one (it comes from a browser)."""
    try:
        steered = [a for a in TARGET_CLASSES if a in value["steered"]]
        shares = {a: {c: max(0.0, float(value["shares"][a][c])) for c in TARGET_CLASSES[a]} for a in steered}
        return {a: {c: v / sum(s.values()) for c, v in s.items()} for a, s in shares.items()}
    except (KeyError, TypeError, ValueError, ZeroDivisionError, OverflowError):
        raise ValueError(
            "target is damaged; each attribute needs shares from 0 to 100 for all of its classes"
        ) from None


@dataclass(frozen=True)
class Row:
    """A class's slider."""

    name: str
    key: str  # of its words
    shown: str
    colour: str


@dataclass(frozen=True)
class Field:
    """An attribute's sliders."""

    attribute: str
    rows: list[Row]


def markup() -> str:
    """The sliders; `page.js` puts the browser's language in where `data-say` names a word."""
    fields = [
        Field(a, [Row(c, f"class_{c.replace(' ', '_')}", c, colour(a, c)) for c in classes])
        for a, classes in TARGET_CLASSES.items()
    ]
    return render("mixer.html", fields=fields)


def mixer(value: Wish, server: list[Callable]) -> gr.HTML:
    """The component: while a slider moves it asks functions of the `server`; its event is `release`."""
    return gr.HTML(
        value,
        html_template=markup(),
        js_on_load=Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
        server_functions=server,
        elem_id="mixer",
        apply_default_css=False,
    )
