"""The page in a real browser: serving it, and what a visitor does with it. For the tests and for the
screenshots."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from fairdemo.places import SHIPPED as ROOT

expect.set_options(timeout=240_000)  # other programs may want the processor, too; Playwright's own is 5 s
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# What makes a page find storage as where cookies are blocked, in apps that scan codes, and on a full phone.
STORAGE = {
    "blocked": "for (const kind of ['localStorage', 'sessionStorage']) Object.defineProperty(window, kind,"
    " { get() { throw new DOMException('blocked', 'SecurityError'); } });",
    "none": "for (const kind of ['localStorage', 'sessionStorage']) Object.defineProperty(window, kind,"
    " { get: () => null });",
    "full": "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };",
}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def environment(port: int, **more: str) -> dict[str, str]:
    """What a server of ours runs in."""
    own = {"GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    own["PYTHONFAULTHANDLER"] = "1"  # where a crash was is in the log
    return {**os.environ, **own, **more}


def wait_for(url: str, process: subprocess.Popen) -> None:
    """Waits until a server answers."""
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=2)
            return
        except urllib.error.HTTPError:  # it wants a password
            return
        except OSError:
            assert process.poll() is None, "the server ended"
            time.sleep(0.2)


def until(condition: Callable[[], object], seconds: float = 240.0) -> None:
    """Waits for something to be true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


@contextmanager
def served(log: Path | None = None, root: Path = ROOT, **more: str) -> Iterator[str]:
    """Runs app.py of a checkout on a free port, with more settings if wanted, what it prints in a log; gives
    its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with open(log or os.devnull, "w") as out:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=root, env=environment(port, **more), stdout=out, stderr=out
        )
    try:
        wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def visitor(browser: Browser, toured: bool = True, **settings) -> BrowserContext:
    """A browser profile of its own; by default one that has guessed nothing and seen the tour."""
    # Animations would take the processor from what is tested.
    usual = {"viewport": {"width": 1366, "height": 650}, "reduced_motion": "reduce"}
    context = browser.new_context(**{**usual, **settings})
    if toured:
        seen = {"fairdemo-toured": "1", "fairdemo-guess": "skipped"}
        context.add_init_script(";".join(f"localStorage.setItem({k!r}, {v!r})" for k, v in seen.items()))
    return context


def arrive(page: Page, url: str) -> Page:
    page.goto(url, wait_until="load")
    page.wait_for_selector("#page-words", state="attached", timeout=240_000)
    page.wait_for_selector("#foreseen .mix", timeout=240_000)
    # The page's script has begun, and has asked for a guess or shown the tour if it wants to.
    page.wait_for_function("document.documentElement.style.getPropertyValue('--pairs')", timeout=240_000)
    return page


def set_number(page: Page, n: int) -> None:
    field = page.locator("#number input[type=number]")
    field.fill(str(n))
    field.press("Tab")


def set_seed(page: Page, seed: int) -> None:
    page.click("#show-settings")
    field = page.locator("#seed input[type=number]")
    field.fill(str(seed))
    field.press("Tab")
    page.keyboard.press("Escape")


def choose(page: Page, title: str) -> None:
    """Picks a preset of the wanted distribution."""
    page.click(f"#target label:has-text('{title}')")


def turn_to(page: Page, profile: str) -> None:
    """Chooses a model by a part of its title."""
    page.click("#profile input")
    page.click(f"[role=option]:has-text('{profile}')")


def set_steps(page: Page, steps: int) -> None:
    """Of the sampler, unless they are so already."""
    field = page.locator("#steps input[type=number]")
    if field.input_value() == str(steps):
        return
    page.click("#show-settings")
    field.fill(str(steps))
    field.press("Tab")
    page.keyboard.press("Escape")


def draw(page: Page, n: int = 8, steps: int = 4) -> None:
    """Draws n pairs, at few steps: faces are whole, in a third of the time."""
    set_number(page, n)
    set_steps(page, steps)
    page.click("#draw")
    page.wait_for_selector(f"text={n} pairs in", timeout=240_000)
    page.wait_for_function(
        "n => ['baseline', 'debiased'].every(side => document.querySelectorAll(`#wall-${side} .tile"
        " img`).length === n)",
        arg=n,
        timeout=240_000,
    )


def move(page: Page, name: str, share: float) -> None:
    """Clicks a class's slider at a share of its width."""
    slider = page.locator(f"#mixer [data-class='{name}'] input[type=range]")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    page.mouse.click(box["x"] + 8 + share * (box["width"] - 16), box["y"] + box["height"] / 2)


def faces(page: Page, side: str) -> list[str]:
    """What a wall's tiles say."""
    return page.locator(f"#wall-{side} .tile[data-slot]").evaluate_all("tiles => tiles.map(t => t.title)")
