"""Pictures of the page's main states, to be looked at, and README's animation: python -m tests.screenshots
FOLDER [SCREEN ... | film]"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from tests import browser

SCREENS = (
    ("laptop", 1366, 650, "light"),
    ("laptop-dark", 1440, 780, "dark"),
    ("wide", 1920, 960, "light"),
    ("phone", 390, 844, "light"),
    ("phone-dark", 390, 844, "dark"),
)


class Camera:
    """Takes pictures of a page as NAME-STATE.png."""

    def __init__(self, page: Page, name: str, folder: Path):
        self.page, self.name, self.folder = page, name, folder

    def shot(self, state: str, full: bool = False) -> None:
        """What the screen shows, or the whole page."""
        self.page.mouse.move(2, 2)
        self.page.wait_for_timeout(900)
        path = self.folder / f"{self.name}-{state}.png"
        self.page.screenshot(path=path, full_page=full)
        print(path)


def loop(page: Page, camera: Camera, phone: bool) -> None:
    """The guess, the finished wall, a slider being dragged, a drawing, a pair."""
    page.wait_for_selector(".guess-card")
    camera.shot("guess")
    page.locator(".guess-card input").fill("8")
    page.click(".guess-card .primary")
    page.wait_for_selector(".tour")
    camera.shot("tour")
    page.click(".tour .skip")
    camera.shot("opened")
    if phone:
        page.click("#handle .grip")
        camera.shot("sheet")
    slider = page.locator("#mixer [data-class='Female'] input[type=range]")
    slider.scroll_into_view_if_needed()
    slider.evaluate("s => { s.value = 80; s.dispatchEvent(new Event('input', {bubbles: true})); }")
    camera.shot("dragged")
    slider.evaluate("s => s.dispatchEvent(new Event('change', {bubbles: true}))")
    page.wait_for_timeout(1500)
    if phone:
        page.click("#handle .grip")
    page.click("#draw")
    page.wait_for_selector("#wall-debiased .tile[data-slot]", timeout=240_000)
    page.wait_for_timeout(1200)
    camera.shot("drawing")
    page.wait_for_selector("text=16 pairs in", timeout=240_000)
    camera.shot("drawn")


def places(page: Page, camera: Camera) -> None:
    """A pair large, settings, Present, charts, the other tabs."""
    page.locator("#wall-debiased .tile").nth(1).click()
    camera.shot("pair")
    page.keyboard.press("Escape")
    page.click("#show-settings")
    camera.shot("settings")
    page.keyboard.press("Escape")
    page.locator("#stage").press("p")
    camera.shot("present")
    page.keyboard.press("Escape")
    page.click("#show-charts")
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .bars').length >= 3", timeout=240_000)
    camera.shot("details", full=True)
    for place, tab in ((1, "methods"), (2, "audit"), (3, "saved"), (4, "about")):
        page.locator("[role=tab]").nth(place).click()
        camera.shot(tab)


def film(page: Page, path: Path) -> None:
    """A slider being dragged over the wall that the page opens on, as a silent animation."""
    slider = page.locator("#mixer [data-class='Female'] input[type=range]")
    shares = [*range(50, 100, 5), *range(100, 0, -5), *range(0, 51, 5)]
    frames = []
    for share in shares:
        slider.evaluate(
            "(s, v) => { s.value = v; s.dispatchEvent(new Event('input', {bubbles: true})); }", share
        )
        page.wait_for_timeout(450)
        frame = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        frames.append(frame.resize((960, round(frame.height * 960 / frame.width)), Image.Resampling.LANCZOS))
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=220,
        loop=0,
        quality=60,
        method=6,
        minimize_size=True,
    )
    print(path, f"{path.stat().st_size / 1e6:.2f} MB")


def main(folder: Path, wanted: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with browser.served() as url, browser.chromium() as chromium:
        if wanted == ["film"]:
            page = browser.arrive(browser.visitor(chromium).new_page(), url)
            page.wait_for_selector("#wall-debiased .tile img")
            film(page, folder / "dragged.webp")
            return
        for name, width, height, scheme in SCREENS:
            if wanted and name not in wanted:
                continue
            fresh = browser.visitor(
                chromium, toured=False, viewport={"width": width, "height": height}, color_scheme=scheme
            )
            page = browser.arrive(fresh.new_page(), url)
            camera = Camera(page, name, folder)
            loop(page, camera, phone=width < 860)
            if width > 860:
                places(page, camera)
            fresh.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
