"""The soak in short: generated inputs, things that break, long use, visitors of a server, the notebook."""

import json
import os

import pytest

from fairdemo.places import SHIPPED as ROOT
from fairdemo.studio.live import Kept
from tests.soak import chaos, inputs, wear
from tests.soak.__main__ import alike, visited

FEW = 150  # inputs of each family


@pytest.mark.parametrize("family", inputs.FAMILIES)
def test_whatever_comes_in_is_answered(family):
    inputs.FAMILIES[family](FEW)


def test_what_breaks_is_said_and_the_next_request_works(studio):
    said = dict(chaos.every(studio))
    assert len(said) == 11 and all(said.values())


def test_long_use_holds_no_files_threads_or_images(studio, monkeypatch):
    live = studio.artist
    monkeypatch.setattr(live, "kept", Kept(40))
    worn = wear.walls(studio, 10, 4)
    assert worn.files[1] <= worn.files[0] + 1 and worn.threads[1] <= worn.threads[0] + 1, worn.told()
    assert len(live.kept.images) <= 40


def test_lessons_leave_nothing_behind():
    seen = wear.lessons(3)
    assert seen[-1][1] <= seen[0][1] + 2 and seen[-1][2] <= seen[0][2] + 2


def test_visitors_meet_no_error_and_get_what_they_would_alone(studio):
    found = visited(0.4, 8)
    assert found["errors"] == {} and found["crashed"] == [] and found["tracebacks"] == {}
    assert found["requests"]["page: arrive"]["n"] >= 8
    same, of = alike(found["compared"], studio)
    assert same >= 0.9 * of


def test_the_notebook_runs(tmp_path):
    """Its cells in a kernel of their own, on the embedded model, without the network; the app's cell serves
    the page until it is stopped."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "notebooks" / "fairdemo.ipynb", as_version=4)
    nbformat.validate(notebook)
    *cells, served = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "app.py" in served.source
    # The last cell serves until somebody stops it; here it is stopped from within.
    served.source = served.source.replace(
        'subprocess.run([sys.executable, "app.py"], check=False)',
        "print(subprocess.run(['timeout', '45', sys.executable, 'app.py'], capture_output=True, text=True))",
    )
    own = {"FAIRDEMO_PROFILE": "embedded", "FAIRDEMO_PAIRS": "2", "GRADIO_SHARE": "False"}
    own |= {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), "FAIRDEMO_HOME": str(tmp_path)}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update(own)
    try:
        NotebookClient(notebook, timeout=200, kernel_name="python3").execute(cwd=str(ROOT))
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    shown = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    assert "2 of 2 pairs" in shown and "data:image/webp" in shown
    assert "Running on local URL" in shown and "Traceback" not in shown
