"""Shared parts: the shipped model, loaded once."""

import pytest

from fairdemo.studio import packs as packs
from fairdemo.studio.studio import Studio


@pytest.fixture(scope="session")
def studio() -> Studio:
    return Studio("embedded", "cpu")


PROMPTS = ["a photo of a doctor", "a photo of a nurse"]
SEEDS = 4


@pytest.fixture(scope="session")
def folder(studio, tmp_path_factory):
    """A small pack of the embedded model; its making is interrupted once."""
    path = tmp_path_factory.mktemp("packs") / "two-prompts"
    fresh, calls = studio.fresh, []

    def breaks(prompt, *args):
        calls.append(prompt)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return fresh(prompt, *args)

    studio.fresh = breaks
    try:
        with pytest.raises(KeyboardInterrupt):
            packs.make(studio, path, PROMPTS, SEEDS, "two-prompts")
        with pytest.raises(ValueError, match="damaged|misses"):
            packs.open_pack(str(path))
        shares = []
        packs.make(studio, path, PROMPTS, SEEDS, "two-prompts", lambda done, of: shares.append(done / of))
    finally:
        del studio.fresh
    assert calls.count(PROMPTS[0]) == 3, "the first prompt was complete and isn't drawn again"
    assert shares[-1] == 1 and shares == sorted(shares)
    return path
