"""The wheel: built, installed beside nothing of this checkout, run in an empty folder, offline."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fairdemo

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that the wheel was installed into; what it needs comes from the tests' own environment."""
    folder, pip = (
        tmp_path_factory.mktemp("wheel"),
        [sys.executable, "-m", "pip", "--disable-pip-version-check"],
    )
    build = ["wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT)]
    subprocess.run([*pip, *build], check=True, cwd=folder)
    (wheel,) = folder.glob("fairdemo-*.whl")
    subprocess.run(
        [*pip, "install", "-q", "--no-deps", "--target", str(folder / "site"), str(wheel)], check=True
    )
    return folder / "site"


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """The `fairdemo` command in an empty folder."""
    environment = {"PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1", "FAIRDEMO_HOME": str(folder / "home")}
    command = [sys.executable, str(installed / "bin" / "fairdemo"), *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300
    )


def test_an_installed_fairdemo_draws_anywhere(installed, tmp_path):
    before = sorted(p for p in installed.rglob("*") if p.suffix not in (".pyc",))
    done = run(installed, tmp_path, "compare", "a photo of a nurse", "-n", "4", "--steps", "4", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout)
    assert len(result["pairs"]) == 4 and result["version"] == fairdemo.__version__
    assert list(tmp_path.iterdir()) == [], "nothing is written where it runs"
    after = sorted(p for p in installed.rglob("*") if p.suffix not in (".pyc",))
    kept = [p for p in after if p.name != "__pycache__"]
    assert kept == [p for p in before if p.name != "__pycache__"], "nor into the package"


def test_what_is_compiled_is_kept_outside_the_package(installed, tmp_path):
    code = "from fairdemo.world.field import smooth_min; print(smooth_min(0.0, 1.0, 0.5))"
    environment = {**os.environ, "PYTHONPATH": str(installed), "FAIRDEMO_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == "0.0", done.stderr
    assert list(tmp_path.rglob("*.nbi")) and not list(installed.rglob("*.nbi"))


def test_it_says_its_version_and_reads_its_catalog(installed, tmp_path):
    assert run(installed, tmp_path, "--version").stdout.strip() == f"fairdemo {fairdemo.__version__}"
    assert "Asian Female" in run(installed, tmp_path, "adapters", "list").stdout
    refused = run(installed, tmp_path, "adapters", "pin")
    assert refused.returncode == 2 and "needs --catalog" in refused.stderr


def test_the_wheel_holds_whatever_the_page_needs(installed):
    package = installed / "fairdemo"
    for name in ("ui/theme.css", "ui/page.js", "ui/words/es.toml", "ui/templates/wall.html"):
        assert (package / name).is_file()
    for name in ("shipped/assets/README.md", "shipped/adapters/catalog.toml", "models/shipped/sdxl.toml"):
        assert (package / name).is_file()
