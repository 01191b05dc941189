"""HTML from `templates/`. Whatever is put in is escaped."""

from functools import partial

from jinja2 import Environment, PackageLoader

from fairdemo.ui.language import say

ENVIRONMENT = Environment(
    loader=PackageLoader("fairdemo.ui", "templates"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


def render(template: str, language: str = "en", **values: object) -> str:
    """A template's HTML; in it `say("key")` are the page's words in the language."""
    return ENVIRONMENT.get_template(template).render(say=partial(say, language), language=language, **values)
