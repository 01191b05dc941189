"""`fairdemo doctor`: what this machine has, what will run on it, and what to do about what is wrong."""

import argparse
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

GB = 1e9
ROOM = 2 * GB  # bytes that a disk should have left
MEMORY = 3 * GB  # bytes that the embedded model, its readers and the page take together
REACHED = 4.0  # seconds in which the Hub should answer


@dataclass(frozen=True)
class Finding:
    """What was looked at, what was found and, where it is wrong, what to do."""

    what: str
    found: str
    mend: str = ""


def add(commands) -> None:
    """Describes the command."""
    p = commands.add_parser("doctor", help="what this machine has, and what to do about what is wrong")
    p.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Prints every finding; ValueError, and so exit code 2, if something is wrong."""
    wrong = 0
    for check in CHECKS:
        for one in check():
            print(f"{'!!' if one.mend else 'ok'}  {one.what}: {one.found}")
            if one.mend:
                print(f"    {one.mend}")
                wrong += 1
    if wrong:
        raise ValueError(f"{wrong} of the things above need{'s' if wrong == 1 else ''} mending")


def packages() -> Iterator[Finding]:
    """Python and what fairdemo is made of, against what it asks for."""
    from packaging.requirements import Requirement

    import fairdemo

    old = "" if sys.version_info >= (3, 11) else "fairdemo needs Python 3.11 or newer"
    yield Finding("python", f"{platform.python_version()}, {platform.system()} {platform.machine()}", old)
    yield Finding("fairdemo", fairdemo.__version__)
    try:
        asked = [Requirement(one) for one in requires("fairdemo") or []]
    except PackageNotFoundError:  # a checkout that isn't installed
        asked = [Requirement(one) for one in named_in_checkout()]
    missing, others = [], []
    for one in asked:
        if one.marker is not None and not one.marker.evaluate({"extra": ""}):
            continue
        try:
            if not one.specifier.contains(version(one.name), prereleases=True):
                others.append(f"{one.name} {version(one.name)} ({one.specifier} is needed)")
        except PackageNotFoundError:
            missing.append(one.name)
    mend = "install them: pip install -r requirements.txt"
    if missing:
        yield Finding("packages that are missing", ", ".join(missing), mend)
    if others:
        yield Finding("packages of other versions", ", ".join(others), mend)
    if not missing and not others:
        yield Finding("packages", f"all {len(asked)} that are needed")


def named_in_checkout() -> list[str]:
    """What pyproject.toml beside the package asks for; nothing where there is none."""
    import tomllib

    from fairdemo.places import PACKAGE

    path = PACKAGE.parent / "pyproject.toml"
    return (
        tomllib.loads(path.read_text(encoding="utf-8"))["project"]["dependencies"] if path.is_file() else []
    )


def machine() -> Iterator[Finding]:
    """Processor, memory, and the device that will draw."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("psutil") is None:
        return  # said among the packages
    import psutil
    import torch

    free = psutil.virtual_memory().available
    short = "" if free > MEMORY else "close other programs; the embedded model and the page take about 3 GB"
    yield Finding("memory", f"{free / GB:.1f} GB free of {psutil.virtual_memory().total / GB:.1f}", short)
    if torch.cuda.is_available():
        own = torch.cuda.get_device_properties(0)
        yield Finding("device", f"{own.name}, {own.total_memory / GB:.0f} GB: real models take seconds")
    else:
        yield Finding(
            "device",
            f"{os.cpu_count()} processor cores: the embedded model draws 16 pairs in 5 seconds on two with"
            " bfloat16, in 14 without; SDXL takes minutes an image, so use a GPU, or a pack of images that"
            " were drawn before",
        )
    from fairdemo.models.precision import VARIABLE, default_device, dtype_name

    try:
        yield Finding("computes in", dtype_name(default_device()))
    except ValueError as error:
        yield Finding(
            "computes in", str(error), f"unset {VARIABLE}: what this machine does best is chosen then"
        )


def folders() -> Iterator[Finding]:
    """Where files are written: whether that can be done, and how much room is left."""
    from huggingface_hub.constants import HF_HUB_CACHE

    from fairdemo import places

    for what, folder, setting in (
        ("own files", places.home(), "FAIRDEMO_HOME"),
        ("downloads", Path(HF_HUB_CACHE), "HF_HOME"),
    ):
        there = next((one for one in (folder, *folder.parents) if one.is_dir()), None)
        if there is None or not places.writable(there):
            yield Finding(what, f"{folder} can't be written to", f"set {setting} to a folder that can be")
            continue
        left = shutil.disk_usage(there).free
        full = "" if left > ROOM else f"make room, or set {setting} to a folder on another disk"
        yield Finding(what, f"{folder}, {left / GB:.1f} GB left", full)
    halves = sorted(Path(HF_HUB_CACHE).glob("**/*.incomplete"))
    if halves:
        yield Finding(
            "downloads that stopped halfway",
            f"{len(halves)}, {sum(one.stat().st_size for one in halves) / GB:.1f} GB",
            f"start the same again to go on with them, or delete them: {halves[0]}",
        )


def network() -> Iterator[Finding]:
    """Whether the Hub answers, and by which address phones find this machine."""
    import httpx
    from huggingface_hub.constants import ENDPOINT

    from fairdemo.ui.reach import own_addresses

    try:
        httpx.head(ENDPOINT, timeout=REACHED)
        yield Finding("Hub", "reached")
    except httpx.HTTPError as error:
        yield Finding(
            "Hub",
            f"not reached ({type(error).__name__}); the embedded model needs nothing from it. For others"
            " connect this machine, or set HTTPS_PROXY",
        )
    yield Finding("addresses for phones", ", ".join(own_addresses()) or "none: this machine is in no network")


def profiles() -> Iterator[Finding]:
    """Which models are offered, and whether their files are here."""
    if importlib.util.find_spec("torch") is None:
        return
    from fairdemo.ui import offered

    for name in offered.offered():
        try:
            own = offered.studio(name).artist.profile
            yield Finding(f"profile {name}", own.title or own.model)
        except ValueError as error:
            yield Finding(f"profile {name}", str(error), "see the message; profile embedded works without it")


def tests() -> Iterator[Finding]:
    """What only the tests need."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    yield Finding(
        "browser for the tests", found or "none; tests of the page are skipped (apt install chromium)"
    )


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (packages, machine, folders, network, profiles, tests)
