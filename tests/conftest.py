"""Shared parts: the shipped model, loaded once in each process of the tests."""

import math
import os
from typing import Any

import pytest
import torch

from fairdemo.request import Request
from fairdemo.studio import packs
from fairdemo.studio.live import Live
from fairdemo.studio.pool import open_pack
from fairdemo.studio.studio import Studio
from tests import browser

pytest.register_assert_rewrite("tests.soak")  # what it compares is printed

if "PYTEST_XDIST_WORKER" in os.environ:  # more threads than cores would wait for each other
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # what the tests start as well
# Ray's workers leave the processor to others, and would wait for the other process's tests.
os.environ.setdefault("RAY_worker_niceness", "0")


# Fixtures of tests that draw; others that do have the mark themselves.
DRAWING = {"live", "studio", "folder", "address", "server", "broken", "audited"}


def pytest_collection_modifyitems(items):
    """Marks the tests that draw."""
    for item in items:
        if DRAWING & set(item.fixturenames):
            item.add_marker("draws")


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory):
    """What the program writes goes to a folder of the tests' own."""
    patch = pytest.MonkeyPatch()
    patch.setenv("FAIRDEMO_HOME", str(tmp_path_factory.mktemp("home")))
    yield
    patch.undo()


STEPS = 4  # of the sampler where a test doesn't ask for more: faces are whole, in a third of the time


@pytest.fixture(scope="session")
def live() -> Live:
    """The shipped model, at few steps."""
    own = Live("embedded", "cpu")
    own.profile = own.profile.but(steps=STEPS)
    return own


@pytest.fixture(scope="session")
def studio(live) -> Studio:
    return Studio(live)


@pytest.fixture(scope="session")
def address():
    """The app as it comes, one for all files of a process; nothing is drawn ahead unless a test asks for it,
    since that would take the processor from others."""
    with browser.served(FAIRDEMO_AHEAD="off") as url:
        yield url


@pytest.fixture(scope="module")
def chromium():
    """A browser; visitors are contexts of it."""
    with browser.chromium() as running:
        yield running


def asked(prompt: str, target: Any, n: int, seed: int, **more: Any) -> Request:
    """A request, in the words that tests use most."""
    return Request.checked(prompt=prompt, target=target, n=n, seed=seed, **more)


PROMPTS = ["a photo of a doctor", "a photo of a nurse"]
SEEDS = 3


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
        first = calls.count(PROMPTS[0])
        with pytest.raises(ValueError, match="damaged|misses"):
            open_pack(str(path))
        shares = []
        packs.make(live, path, order, lambda done, of: shares.append(done / of))
    finally:
        del live.fresh
    assert calls.count(PROMPTS[0]) == first > 0, "the first prompt was complete and isn't drawn again"
    assert shares[-1] == 1 and shares == sorted(shares)
    return path


def alike(one: object, other: object, within: float = 1e-4) -> bool:
    """Whether two findings are the same but for what processors differ in."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key], within) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(alike(*both, within) for both in zip(one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=0, abs_tol=within) or (math.isnan(one) and math.isnan(other))
    return one == other
