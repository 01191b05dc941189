"""What the page costs and how fast it answers, measured in a browser: python -m tests.page_speed

An empty Gradio page of the same run is what opening is compared with. Two cores; nothing else running."""

import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, Page

from tests import browser

EMPTY = "import gradio as gr\nwith gr.Blocks() as b: gr.Markdown('empty')\nb.launch()"
POSITIONS = (55, 60, 65, 70, 75, 80, 70, 60, 40, 30)  # of the slider, in percent
DRAG = """async (positions) => {
  const slider = document.querySelector("#mixer [data-class=Female] input[type=range]");
  const part = (place) => document.querySelector(`${place} section`).dataset.revision;
  const state = () => ["#wall-debiased", "#bars-gender"].map(part);
  const times = [];
  for (const position of positions) {
    const before = state(), start = performance.now();
    slider.value = position;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    while (state().some((s, i) => s === before[i]) && performance.now() - start < 5000)
      await new Promise(requestAnimationFrame);
    times.push(performance.now() - start);
  }
  slider.dispatchEvent(new Event("change", { bubbles: true }));
  return times;
}"""
COMING = "document.querySelectorAll('#wall-debiased .coming').length"


@contextmanager
def empty_page():
    """An empty Gradio page's address."""
    port = browser.free_port()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "empty.py"
        script.write_text(EMPTY)
        process = subprocess.Popen(
            [sys.executable, str(script)],
            env=browser.environment(port),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            browser.wait_for(f"http://127.0.0.1:{port}", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def opened(chromium: Browser, url: str, shown: str) -> tuple[float, float, set[str]]:
    """Seconds until something is shown, MB over the wire, and the hosts asked, for a new visitor."""
    context = browser.visitor(chromium)
    page = context.new_page()
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    sizes: list[float] = []
    hosts: set[str] = set()
    network.on("Network.loadingFinished", lambda e: sizes.append(e["encodedDataLength"]))
    page.on("request", lambda r: hosts.add(r.url.split("/")[2]) if r.url.startswith("http") else None)
    start = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.wait_for_function(shown, timeout=240_000)
    seconds = time.perf_counter() - start
    page.wait_for_timeout(2500)
    context.close()
    return seconds, sum(sizes) / 1e6, hosts


WALL = (
    "[...document.querySelectorAll('.tile img')].filter(i => i.complete && i.naturalWidth).length === 32"
    " && document.querySelector('#summary b')"
)


def opening(chromium: Browser) -> None:
    """The finished wall against an empty page, while the model is loading: the server starts for each."""
    plain, own = [], []
    for _ in range(3):
        with empty_page() as url:
            plain.append(opened(chromium, url, "document.querySelector('.prose')")[0])
        with browser.served() as url:
            seconds, weight, hosts = opened(chromium, url, WALL)
            own.append(seconds)
    print(
        f"finished wall on opening: {median(own):.2f} s; an empty page: {median(plain):.2f} s (medians of 3)"
    )
    print(f"page weight before drawing: {weight:.2f} MB; hosts: {', '.join(hosts)}")


def dragged(page: Page, what: str) -> None:
    """Ten positions of a slider."""
    times = page.evaluate(DRAG, list(POSITIONS))
    coming = page.evaluate(COMING)
    print(
        f"dragged over {what}: {median(times):.0f} ms a position (median), {max(times):.0f} at worst;"
        f" {coming} coming"
    )


def soon(page: Page, true: str) -> None:
    """Waits until something is true, asked ten times a second: asked at each frame, the browser takes a
    fifth of two cores from the model."""
    page.wait_for_function(true, timeout=240_000, polling=100)


def drawn(page: Page, seed: int) -> None:
    """16 pairs with a noise of their own: the first pair, and all of them counted."""
    browser.set_seed(page, seed)
    start = time.perf_counter()
    page.click("#draw")
    soon(page, "document.querySelector('#wall-baseline .tiles .empty')")
    begun = time.perf_counter() - start
    soon(page, "document.querySelector('#wall-debiased .tile img')?.complete")
    first = time.perf_counter() - start
    soon(page, "document.querySelector('#status').innerText.includes('16 pairs in')")
    print(
        f"16 pairs, seed {seed}: begun after {begun:.2f} s, first pair {first:.2f} s,"
        f" all labelled and counted {time.perf_counter() - start:.2f} s"
    )


def pooled(page: Page) -> None:
    """From a finished wall to its pool of the baseline and the twelve adapters."""
    start = time.perf_counter()
    soon(page, "(([k, n]) => n && k === n)(document.querySelector('.pool').dataset.drawn.split('/'))")
    print(f"pool of a 16-pair wall complete after {time.perf_counter() - start:.1f} s (asked every 2 s)")


def main() -> None:
    with browser.chromium() as chromium:
        opening(chromium)
        with browser.served() as url:
            page = browser.arrive(browser.visitor(chromium).new_page(), url)
            page.wait_for_timeout(12_000)  # the model loads and warms up
            dragged(page, "the shipped wall")
            page.wait_for_timeout(2000)
            drawn(page, 11)
            page.wait_for_timeout(6000)  # its pool is being drawn
            drawn(page, 12)
            pooled(page)
            dragged(page, "a drawn wall with its pool")


if __name__ == "__main__":
    main()
