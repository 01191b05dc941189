"""Shared parts: the shipped model, loaded once in each process of the tests."""

import os
from typing import Any

import pytest
import torch

from fairdemo.request import Request
from fairdemo.studio import packs
from fairdemo.studio.live import Live
from fairdemo.studio.pool import open_pack
from fairdemo.studio.studio import Studio

if "PYTEST_XDIST_WORKER" in os.environ:  # more threads than cores would wait for each other
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # what the tests start as well


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory):
    """What the program writes goes to a folder of the tests' own."""
    patch = pytest.MonkeyPatch()
    patch.setenv("FAIRDEMO_HOME", str(tmp_path_factory.mktemp("home")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def live() -> Live:
    return Live("embedded", "cpu")


@pytest.fixture(scope="session")
def studio(live) -> Studio:
    return Studio(live)


def asked(prompt: str, target: Any, n: int, seed: int, **more: Any) -> Request:
    """A request, in the words that tests use most."""
    return Request.checked(prompt=prompt, target=target, n=n, seed=seed, **more)


PROMPTS = ["a photo of a doctor", "a photo of a nurse"]
SEEDS = 4


@pytest.fixture(scope="session")
def folder(live, tmp_path_factory):
    """A small pack of the embedded model; its making is interrupted once."""
    path = tmp_path_factory.mktemp("packs") / "two-prompts"
    order = packs.order("two-prompts", PROMPTS, SEEDS)
    fresh, calls = live.fresh, []

    def breaks(setting, *args):
        calls.append(setting.prompt)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return fresh(setting, *args)

    live.fresh = breaks
    try:
        with pytest.raises(KeyboardInterrupt):
            packs.make(live, path, order)
        with pytest.raises(ValueError, match="damaged|misses"):
            open_pack(str(path))
        shares = []
        packs.make(live, path, order, lambda done, of: shares.append(done / of))
    finally:
        del live.fresh
    assert calls.count(PROMPTS[0]) == 3, "the first prompt was complete and isn't drawn again"
    assert shares[-1] == 1 and shares == sorted(shares)
    return path
