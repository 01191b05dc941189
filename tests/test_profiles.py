"""Other models in the app, in a real browser: a pack, a tiny Stable Diffusion 1.5, a model that can't be
had."""

import pytest

from fairdemo.places import SHIPPED as ROOT
from tests import browser
from tests.conftest import SEEDS
from tests.small_models import save_profile

if browser.CHROMIUM is None:
    pytest.skip("needs Chromium (Debian: apt-get install chromium)", allow_module_level=True)


@pytest.fixture(scope="module")
def page(folder, tmp_path_factory):
    own = tmp_path_factory.mktemp("profiles")
    tiny = save_profile(own / "tiny", "sd15", title="Tiny 1.5", classifier=str(ROOT / "assets/classifier"))
    with (
        browser.served(
            FAIRDEMO_PROFILE=f"{folder},{tiny}", CUDA_VISIBLE_DEVICES="", HF_HOME=str(own / "hub")
        ) as url,
        browser.chromium() as chromium,
    ):
        yield browser.arrive(browser.visitor(chromium).new_page(), url)


def test_a_pack_is_the_same_screen_without_a_model(page):
    assert page.locator("#prompt textarea, #prompt input").first.input_value() == "a photo of a doctor"
    assert page.locator("#number input[type=number]").input_value() == str(SEEDS)
    page.click("#draw")
    page.wait_for_selector(f"text={SEEDS} pairs in", timeout=30_000)
    assert float(page.locator("#status").inner_text().split(" in ")[1].split(" s")[0]) < 3, (
        "chosen, not drawn"
    )
    assert (
        page.locator("#wall-baseline .tile img").count()
        == page.locator("#wall-debiased .tile img").count()
        == SEEDS
    )
    before = browser.faces(page, "debiased")
    browser.move(page, "Female", 1.0)
    page.wait_for_selector("#status >> text=Reassigned from images", timeout=30_000)
    assert browser.faces(page, "debiased") != before
    page.fill("#prompt textarea, #prompt input", "a photo of a unicorn")
    page.click("#draw")
    page.wait_for_selector("text=isn't one of them", timeout=20_000)


def test_a_tiny_stable_diffusion_draws(page):
    browser.turn_to(page, "Tiny 1.5")
    page.wait_for_selector("#status >> text=no GPU", timeout=20_000)
    page.fill("#prompt textarea, #prompt input", "a photo of a pilot")
    browser.draw(page, 4)
    assert page.locator("#findings >> text=No face found: 4 before, 4 after").count() == 1, (
        "random weights draw nobody"
    )


def test_a_model_that_cannot_be_had_says_so_and_the_app_goes_on(page):
    browser.turn_to(page, "SDXL")
    browser.set_number(page, 4)
    page.click("#draw")
    page.wait_for_selector("#status >> text=the Hub can't be reached", timeout=60_000)
    assert "profile embedded works without it" in page.locator("#status").inner_text()
    browser.turn_to(page, "Embedded")
    browser.draw(page, 4)
    assert page.locator("#wall-debiased .tile[data-race]").count() >= 3
