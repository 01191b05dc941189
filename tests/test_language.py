"""The page's words: every language says the same things with the same values."""

import string

import pytest

from fairdemo.ui.language import WORDS


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
