"""The doctor names each thing that is wrong, and what to do about it."""

import shutil
from importlib import metadata

import huggingface_hub.constants
import pytest

from fairdemo import places
from fairdemo.cli import doctor, main


def wrong(check) -> dict[str, tuple[str, str]]:
    return {one.what: (one.found, one.mend) for one in check() if one.mend}


def test_a_machine_in_order_has_nothing_to_mend(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert wrong(doctor.packages) == wrong(doctor.folders) == wrong(doctor.profiles) == {}
    assert {one.what for one in doctor.machine()} == {"memory", "device", "computes in"}


def test_a_full_disk_and_one_that_cant_be_written_to(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**8))
    found = wrong(doctor.folders)
    assert "FAIRDEMO_HOME" in found["own files"][1] and "0.1 GB left" in found["own files"][0]
    monkeypatch.setattr(places, "writable", lambda folder: False)
    assert "can't be written to" in wrong(doctor.folders)["downloads"][0]


def test_half_a_download_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "models--x" / "blobs").mkdir(parents=True)
    (tmp_path / "models--x" / "blobs" / "ab.incomplete").write_bytes(b"0" * 1000)
    found, mend = wrong(doctor.folders)["downloads that stopped halfway"]
    assert found.startswith("1,") and "ab.incomplete" in mend


def test_an_old_torch_and_a_missing_package(monkeypatch):
    true = metadata.version

    def version(name):
        if name == "segno":
            raise metadata.PackageNotFoundError(name)
        return "1.13.0" if name == "torch" else true(name)

    monkeypatch.setattr(doctor, "version", version)
    found = wrong(doctor.packages)
    assert found["packages that are missing"][0] == "segno"
    assert "torch 1.13.0" in found["packages of other versions"][0]


def test_without_a_network_the_embedded_model_is_named(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    (hub,) = (one for one in doctor.network() if one.what == "Hub")
    assert "not reached" in hub.found and "embedded" in hub.found


def test_little_memory_and_no_browser(monkeypatch):
    monkeypatch.setattr(doctor, "MEMORY", 1e15)
    assert "close other programs" in wrong(doctor.machine)["memory"][1]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "skipped" in next(iter(doctor.tests())).found


def test_what_is_wrong_ends_the_command_with_a_line(monkeypatch, capsys):
    sick = [doctor.Finding("disk", "full", "make room")]
    monkeypatch.setattr(doctor, "CHECKS", (lambda: iter(sick),))
    assert main(["doctor"]) == 2
    told = capsys.readouterr()
    assert "!!  disk: full" in told.out and "make room" in told.out
    assert told.err == "fairdemo: 1 of the things above needs mending\n"


@pytest.mark.parametrize("folder", ["", "none/at/all"])
def test_a_folder_that_isnt_there_yet_is_made_when_needed(tmp_path, monkeypatch, folder):
    monkeypatch.setenv("FAIRDEMO_HOME", str(tmp_path / folder))
    assert "own files" not in wrong(doctor.folders)
