"""Shared parts: the shipped model, loaded once."""

import pytest

from fairdemo.compare import Studio


@pytest.fixture(scope="session")
def studio() -> Studio:
    return Studio("embedded", "cpu")
