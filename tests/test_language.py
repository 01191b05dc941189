"""The page's words: every language says the same things with the same values."""

import string
from dataclasses import replace

import pytest

from fairdemo.ui.language import WORDS
from fairdemo.ui.methods_tab import ABOUT, about


def values(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", [code for code in WORDS if code != "en"])
def test_languages_hold_the_same_keys_and_values(language):
    assert WORDS[language].keys() == WORDS["en"].keys()
    assert [
        key
        for key, text in WORDS[language].items()
        if values(text) != values(WORDS["en"][key]) or not text.strip()
    ] == []


def test_every_method_is_said_in_every_language(live):
    """English is the methods' own; what nobody has translated, as somebody's own adapter, stays English."""
    for language in WORDS.keys() - {"en"}:
        kinds = {name.split(":")[0] for name in live.registry}
        assert kinds == set(ABOUT[language]), "no more and no fewer"
        assert all(
            about(m, language) != m.what and "\n" not in about(m, language) for m in live.registry.values()
        )
    own = replace(live.registry["words"], name="mine: words")
    assert about(own, "es") == own.what == about(live.registry["words"], "en")
