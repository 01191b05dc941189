"""Pictures of the page's main states, to be looked at; README's come from here: python -m tests.screenshots
FOLDER"""

import sys
from pathlib import Path

from playwright.sync_api import Page

from tests import browser


def settle(page: Page) -> None:
    """Waits until three charts stand and what moves has moved."""
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .bars').length >= 3", timeout=30_000)
    page.mouse.move(2, 2)
    page.wait_for_timeout(1200)


def states(page: Page, name: str, folder: Path) -> None:
    """Drawn, moved, a pair open, the other tabs; each as NAME-STATE.png."""

    def shot(state: str, full: bool = True) -> None:
        page.screenshot(path=folder / f"{name}-{state}.png", full_page=full)
        print(folder / f"{name}-{state}.png")

    browser.draw(page, 16)
    settle(page)
    shot("drawn")
    page.locator("#ask").scroll_into_view_if_needed()
    browser.move(page, "Female", 0.75)
    page.wait_for_selector("text=pairs redrawn in", timeout=60_000)
    settle(page)
    shot("moved")
    page.locator("#wall-debiased .tile").nth(1).click()
    page.wait_for_timeout(500)
    shot("pair", full=False)
    page.keyboard.press("Escape")
    if page.viewport_size["width"] > 640:
        for place, tab in ((1, "saved"), (2, "about")):
            page.locator("[role=tab]").nth(place).click()
            page.wait_for_timeout(800)
            shot(tab)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with browser.served() as url, browser.chromium() as chromium:
        for name, width, height, scheme in (
            ("desktop", 1440, 900, "light"),
            ("desktop-dark", 1440, 900, "dark"),
            ("phone", 390, 844, "light"),
            ("phone-dark", 390, 844, "dark"),
        ):
            fresh = browser.visitor(
                chromium, toured=False, viewport={"width": width, "height": height}, color_scheme=scheme
            )
            page = browser.arrive(fresh.new_page(), url)
            page.wait_for_selector(".tour")
            page.screenshot(path=folder / f"{name}-tour.png")
            page.click(".tour .skip")
            states(page, name, folder)
            fresh.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
