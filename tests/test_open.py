"""Open to the world: what visitors of a server that others can reach may ask for."""

import json
import subprocess
import sys

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from fairdemo.ui import health, reach

ASKED = """
import json
from fairdemo.ui import offered
found = {"offered": list(offered.offered()), "withheld": offered.withheld(), "default": offered.default()}
try:
    offered.studio("sdxl")
except ValueError as error:
    found["error"] = str(error)
print(json.dumps(found))
"""


def asked(monkeypatch, **environment) -> dict:
    """What a server offers that is started in an environment."""
    for name in ("SPACE_HOST", "GRADIO_SERVER_NAME", "GRADIO_SHARE", "FAIRDEMO_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    told = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=True)
    return json.loads(told.stdout.splitlines()[-1])


def test_on_ones_own_machine_all_profiles_are_offered(monkeypatch):
    found = asked(monkeypatch)
    assert found["offered"][0] == "embedded" and "sdxl" in found["offered"] and found["withheld"] == []


@pytest.mark.parametrize(
    "where", [{"SPACE_HOST": "x.hf.space"}, {"GRADIO_SERVER_NAME": "0.0.0.0"}, {"GRADIO_SHARE": "True"}]
)
def test_where_others_visit_only_what_was_named_is_drawn_with(monkeypatch, where):
    found = asked(monkeypatch, **where)
    assert found["offered"] == ["embedded"] and "sdxl" in found["withheld"]
    assert "FAIRDEMO_PROFILE=sdxl" in found["error"]
    named = asked(monkeypatch, FAIRDEMO_PROFILE="embedded,sd15", **where)
    assert named["offered"] == ["embedded", "sd15"] and "error" in named


def test_a_server_of_this_machine_alone_is_nobody_elses(monkeypatch):
    for name in ("SPACE_HOST", "GRADIO_SHARE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GRADIO_SERVER_NAME", "127.0.0.1")
    assert not reach.others_reach()
    monkeypatch.setenv("GRADIO_SERVER_NAME", "192.168.0.7")
    assert reach.others_reach()


def test_health_says_how_it_is_and_nothing_of_visitors(live):
    assert live.batches.length == 0
    told = TestClient(Starlette(routes=health.ROUTES)).get("/health").json()
    assert told["profile"] == "embedded" and told["waiting_images"] >= 0 and told["memory_mb"] > 50
    assert set(told) == {"version", "profile", "loaded", "waiting_images", "memory_mb"}
