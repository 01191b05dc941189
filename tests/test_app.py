"""The page in a real browser: draw, watch walls and histograms fill, stop, bad input."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from fairdemo.models import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def address():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    process = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env={**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"},
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(url, timeout=2)
                break
            except OSError:
                assert process.poll() is None, "app.py ended"
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, address):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address, wait_until="load")
    page.wait_for_selector("#draw", timeout=60_000)
    yield page
    page.close()


def set_number(page, n: int) -> None:
    field = page.locator("#number input[type=number]")
    field.fill(str(n))
    field.press("Tab")


def choose(page, title: str) -> None:
    page.click("#target input")
    page.click(f"#target [role=option]:has-text('{title}')")


def test_draws_pairs_with_labels_and_histograms(page):
    set_number(page, 8)
    page.click("#draw")
    page.wait_for_function("document.querySelectorAll('#wall-debiased .tile img').length === 8", timeout=120_000)
    page.wait_for_selector("text=8 pairs in", timeout=30_000)
    assert page.locator("#wall-baseline .tile img").count() == 8
    assert page.locator("#wall-baseline .box").count() >= 7
    first = page.locator("#wall-debiased .tile").first
    assert "perceived as" in first.get_attribute("title") and first.locator(".chip").count() == 3
    assert first.locator("img").get_attribute("alt").startswith("Generated")
    assert page.locator(".js-plotly-plot").count() == 3
    assert "as perceived by the classifier" in page.locator("#words").inner_text()


def test_stop(page):
    set_number(page, 64)
    page.click("#draw")
    page.wait_for_function("document.querySelectorAll('#wall-debiased .tile img').length >= 4", timeout=120_000)
    page.click("#stop")
    page.wait_for_selector("text=Stopped after", timeout=20_000)
    assert page.locator("#wall-baseline .tile img").count() < 64


def test_bad_input_is_a_notice(page):
    page.fill("#prompt textarea, #prompt input", "")
    page.click("#draw")
    page.wait_for_selector("text=prompt is empty", timeout=20_000)
    assert "Traceback" not in page.content()


def test_own_target_sliders(page):
    choose(page, "My own")
    field = page.locator("#race-1 input[type=number]")
    field.fill("50")
    field.press("Tab")
    page.wait_for_function("[...Array(6).keys()].map(i => +document.querySelector(`#race-${i} input[type=number]`).value).every((v, i) => Math.abs(v - (i === 1 ? 50 : 10)) < 0.2)", timeout=10_000)
    page.wait_for_function("document.querySelector('#foreseen').innerText.includes('Black 5') || document.querySelector('#foreseen').innerText.includes('Black 4')", timeout=10_000)


def test_the_mix_is_foreseen_before_drawing(page):
    page.wait_for_selector("#foreseen .bar span", timeout=20_000)
    assert "Expected of the debiased wall" in page.locator("#foreseen").inner_text()
    choose(page, "As in the US workforce")
    page.wait_for_function("document.querySelector('#origin').innerText.includes('Bureau of Labor Statistics')", timeout=10_000)
    page.fill("#prompt textarea, #prompt input", "a photo of a soldier")
    page.wait_for_function("document.querySelector('#origin').innerText.includes('no US labour statistic')", timeout=10_000)
    page.click("#draw")
    page.wait_for_selector("text=needs a profession with a US labour statistic", timeout=20_000)


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_screen(browser, address, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(address)
    page.wait_for_selector("#draw", timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= width + 1
    page.close()
