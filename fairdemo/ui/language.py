"""Every word of the page that is ours, by language: `words/en.toml`, `words/es.toml`. Components take
`label("key")`, HTML that is made here takes `say(language, "key")`."""

import math
import tomllib
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.requests import Request

WORDS: dict[str, dict[str, str]] = {
    path.stem: tomllib.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "words").glob("*.toml"))
}
# Gradio has keys of its own, so ours carry a name.
I18N = gr.I18n(
    **{code: {f"fairdemo_{key}": text for key, text in words.items()} for code, words in WORDS.items()}
)


def label(key: str) -> Any:
    """The words under a key, in the browser's language; Gradio takes them wherever it takes text."""
    return I18N(f"fairdemo_{key}")


def language_of(request: gr.Request | Request | None) -> str:
    """The first of the browser's languages that the page speaks, else English."""
    return language_named(request.headers.get("accept-language", "") if request else "")


def language_named(wanted: str) -> str:
    """The first of some languages, as a browser names them, that the page speaks, else English."""
    codes = (one.strip()[:2].lower() for one in wanted.split(","))
    return next((code for code in codes if code in WORDS), "en")


class Unknown:
    """Stands in words for a number that there isn't: a dash, however it is written."""

    def __format__(self, how: str) -> str:
        return "–"


def say(language: str, key: str, **values) -> str:
    """The words under a key in a language, with their values; a dash for one that is nan."""
    known = {k: Unknown() if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}
    return WORDS[language][key].format(**known)
