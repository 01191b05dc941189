"""Accessibility by axe-core: no serious or critical violation in any tab, light or dark, on a laptop and a
phone."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests import browser

pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason="needs a Chromium: apt-get install chromium")
# What is there once a tab is; those with the most elements last, since each look goes through all of them.
TABS = {
    "Methods": "#methods-draw",
    "Class": "#class-page iframe",
    "Open a saved one": "#saved-file",
    "About": "#show-tour",
    "Training data": "#data-more summary",
    "Audit": "#audit-more summary",
}

DARK = {tab: TABS[tab] for tab in ("Methods", "Audit")}


def violations(page) -> list[str]:
    """What axe calls serious or critical, by rule and place."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{v['id']}: {node['target']}"
        for v in found
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width, height", [(1366, 650), (390, 844)])
def test_nothing_serious_in_any_tab(address, chromium, scheme, width, height):
    context = browser.visitor(chromium, viewport={"width": width, "height": height}, color_scheme=scheme)
    page = browser.arrive(context.new_page(), address)
    page.wait_for_selector("#wall-debiased .tile img")
    found = {"studio": violations(page)}
    page.locator("#wall-debiased .tile").first.click()
    found["pair"] = violations(page)
    page.keyboard.press("Escape")
    page.click("#show-settings")
    found["settings"] = violations(page)
    page.keyboard.press("Escape")
    if width > 860:
        # Dark differs in colours alone, and what the others show is shown in these.
        for tab, place in TABS.items() if scheme == "light" else DARK.items():
            page.get_by_role("tab", name=tab, exact=True).click()
            page.wait_for_selector(f"{place} >> visible=true")
            if tab == "Methods":
                page.locator("#methods-ask input[type=number]").first.fill("2")
                page.click("#methods-draw")
                page.wait_for_selector("#methods-status >> text=3 methods in", timeout=240_000)
                page.click("#arena button.primary")
            found[tab] = violations(page)
    else:
        page.click("#handle .grip")
        page.wait_for_selector("#handle .grip[aria-expanded=true]")
        found["sheet"] = violations(page)
    assert {where: wrong for where, wrong in found.items() if wrong} == {}


def test_the_guess_and_the_tour_are_accessible(address, chromium):
    page = browser.arrive(browser.visitor(chromium, toured=False).new_page(), address)
    page.wait_for_selector(".guess-card")
    # What is blurred until the guess can't be read, and isn't meant to be.
    assert [v for v in violations(page) if "color-contrast" not in v] == []
    page.click(".guess-card .skip")
    page.wait_for_selector(".tour")
    assert violations(page) == []
