"""The class's light pages: one file of HTML each, with its own style, script and words, in `classroom/`."""

import io
import json
import re
import secrets
import tomllib
from functools import lru_cache
from pathlib import Path

import segno
from jinja2 import Environment, PackageLoader
from markupsafe import Markup

HERE = Path(__file__).parent / "classroom"
ENVIRONMENT = Environment(
    loader=PackageLoader("fairdemo.ui", "classroom"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
WORDS: dict[str, dict[str, str]] = {
    path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(HERE.glob("??.toml"))
}
SCRIPTS = {
    "student": ("../fallbacks.js", "common.js", "student.js"),
    "projector": ("../fallbacks.js", "common.js", "projector.js"),
    "teacher": ("../fallbacks.js", "common.js", "teacher.js"),
    "plan": (),
    "form": ("../fallbacks.js", "form.js"),
}
LINK = re.compile(r"https?://[^\s<>\"']{1,200}/class/#[A-Z0-9]{5}")


@lru_cache
def file(name: str) -> str:
    """A file of the pages."""
    return (HERE / name).read_text(encoding="utf-8")


def page(name: str, language: str) -> tuple[str, str] | None:
    """A page's HTML and its content security policy; None if there is none of this name."""
    if name not in SCRIPTS:
        return None
    nonce, body = secrets.token_urlsafe(12), f"{name}.{language}.html"
    html = ENVIRONMENT.get_template("page.html").render(
        page=name,
        language=language,
        words=WORDS[language],
        nonce=nonce,
        # What could end a script's element is written so that it can't.
        told=_safe(json.dumps(WORDS[language], ensure_ascii=False).replace("<", "\\u003c")),
        style=_safe(file("style.css")),
        scripts=[_safe(file(script)) for script in SCRIPTS[name]],
        body=_safe(file(body)) if (HERE / body).is_file() else "",
    )
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'self' https://huggingface.co https://*.hf.space"
    )
    return html, policy


def _safe(ours: str) -> Markup:
    """Our own files go into the page as they are."""
    return Markup(ours)


def qr(link: str) -> bytes:
    """A class's address as a QR code in SVG; ValueError for anything else."""
    if not LINK.fullmatch(link):
        raise ValueError("link isn't the address of a class")
    file = io.BytesIO()
    segno.make(link, error="m").save(file, kind="svg", scale=8, border=2, xmldecl=False, svgns=True)
    return file.getvalue()
