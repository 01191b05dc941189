"""The page in a real browser: a newcomer's path, what-if, stop, two visitors, bad input, links, files,
phones."""

import zipfile

import pytest
from playwright.sync_api import expect

from fairdemo.report import archive
from tests import browser
from tests.browser import arrive, choose, draw, faces, move, set_number

pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason="needs a Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def address():
    with browser.served() as url:
        yield url


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as running:
        yield running


@pytest.fixture
def visitor(chromium):
    context = browser.visitor(chromium)
    yield context
    context.close()


@pytest.fixture
def page(visitor, address):
    return arrive(visitor.new_page(), address)


def test_a_newcomers_path(page, visitor, tmp_path):
    """Open, draw, read the numbers, ask for 70 % women, see the redraw, open a pair, download, reload the
    link: the same result."""
    draw(page)
    assert (
        page.locator("#wall-baseline .tile img").count()
        == page.locator("#wall-debiased .tile img").count()
        == 8
    )
    assert page.locator("#wall-baseline .box").count() >= 7
    first = page.locator("#wall-debiased .tile").first
    assert "perceived as" in first.get_attribute("title") and first.locator(".chip").count() == 3
    assert first.locator("img").get_attribute("alt").startswith("Generated")
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot').length === 3", timeout=20_000)
    words = page.locator("#findings").inner_text()
    assert (
        "of 8" in words and "bias(P)" in words and "as perceived by the classifier" in words and "%" in words
    )
    before, base = faces(page, "debiased"), faces(page, "baseline")

    move(page, "Female", 0.7)
    page.wait_for_selector("text=pairs redrawn in", timeout=60_000)
    after = faces(page, "debiased")
    changed = sum(a != b for a, b in zip(before, after))
    assert 1 <= changed < 8 and faces(page, "baseline") == base, "only what must change is drawn again"
    page.click("#mixer .undo")
    page.wait_for_selector("text=Shown again", timeout=20_000)
    assert faces(page, "debiased") == before, "going back shows what was there"
    move(page, "Female", 0.7)
    page.wait_for_function(
        "said => [...document.querySelectorAll('#wall-debiased .tile[data-slot]')].map(t => t.title).join()"
        " === said",
        arg=",".join(after),
        timeout=20_000,
    )

    page.locator("#wall-debiased .tile").nth(2).click()
    dialog = page.locator("dialog.pair[open]")
    assert (
        dialog.locator("img").count() == 2
        and dialog.locator("table").count() == 6
        and "Image 3" in dialog.inner_text()
    )
    page.keyboard.press("Escape")
    assert page.locator("dialog.pair").count() == 0

    page.wait_for_selector("#download:not([disabled])", timeout=20_000)
    with page.expect_download() as download:
        page.click("#download")
    download.value.save_as(tmp_path / "got.zip")
    comparison = archive.unzipped(tmp_path / "got.zip")
    assert len(comparison.pairs) == 8 and comparison.target["gender"]["Female"] == pytest.approx(
        0.7, abs=0.06
    )
    with zipfile.ZipFile(tmp_path / "got.zip") as got:
        assert {"comparison.json", "images.csv", "report.html"} <= set(got.namelist())
        assert (
            'src="data:image' in got.read("report.html").decode()
            and "http" not in got.read("report.html").decode()
        )

    shown = faces(page, "debiased")
    again = arrive(visitor.new_page(), page.url)
    again.click("#draw")
    again.wait_for_selector("text=8 pairs in", timeout=120_000)
    assert faces(again, "debiased") == shown and faces(again, "baseline") == base

    again.click("role=tab[name='Open a saved one']")
    again.set_input_files("#saved-file input[type=file]", tmp_path / "got.zip")
    again.wait_for_function("document.querySelectorAll('#saved .tile img').length === 16", timeout=20_000)


def test_the_lists_show_what_the_prompt_names(page):
    """A prompt written by hand turns the lists to what it names; a list that is used writes the prompt and
    empties the other."""
    profession, attribute = (
        page.get_by_label("Profession", exact=True),
        page.get_by_label("or an attribute", exact=True),
    )
    expect(profession).to_have_value("doctor")
    page.fill("#prompt textarea", "a photo of a pharmacist, oil painting")
    expect(profession).to_have_value("pharmacist")
    page.fill("#prompt textarea", "a photo of a castle")
    expect(profession).to_have_value("")
    attribute.click()
    page.click("[role=option]:has-text('wealthy')")
    expect(page.locator("#prompt textarea")).to_have_value("a photo of a wealthy person")
    page.fill("#prompt textarea", "a photo of a strong nurse")
    expect(profession).to_have_value("nurse")
    expect(attribute).to_have_value("")


def test_a_bar_lights_up_its_faces_and_twins_light_up_together(page):
    draw(page)
    # A bar of no faces has no height.
    page.wait_for_selector("#plot-gender .js-plotly-plot .bars path", state="attached", timeout=20_000)
    page.locator("#wall-baseline .tile").nth(1).hover()
    assert page.locator(".tile.twin").evaluate_all("t => t.map(x => x.dataset.side + x.dataset.slot)") == [
        "baseline1",
        "debiased1",
    ]
    page.evaluate(
        "document.querySelector('#plot-gender .js-plotly-plot').emit('plotly_click', {points: [{x: 'Female',"
        " data: {type: 'bar', meta: 'debiased'}}]})"
    )
    clear = page.locator(".tile[data-slot]:not(.dim)")
    assert clear.count() == page.locator("#wall-debiased .tile[data-gender=Female]").count() >= 1
    page.keyboard.press("Escape")
    assert page.locator(".tile.dim").count() == 0
    page.click("#corrected label:nth-of-type(2)")
    page.wait_for_selector("#plot-age >> text=corrected", timeout=20_000)


def test_stop_keeps_what_was_drawn(page):
    set_number(page, 64)
    page.click("#draw")
    page.wait_for_function(
        "document.querySelectorAll('#wall-debiased .tile img').length >= 4", timeout=120_000
    )
    page.click("#stop")
    page.wait_for_selector("text=Stopped after", timeout=20_000)
    assert 4 <= page.locator("#wall-baseline .tile img").count() < 64


def test_two_visitors_dont_touch_each_other(visitor, address):
    one, two = arrive(visitor.new_page(), address), arrive(visitor.new_page(), address)
    two.fill("#prompt textarea, #prompt input", "a photo of a nurse")
    set_number(one, 64)
    one.click("#draw")
    one.wait_for_function(
        "document.querySelectorAll('#wall-debiased .tile img').length >= 4", timeout=120_000
    )
    set_number(two, 4)
    two.click("#draw")
    two.wait_for_selector("#status >> text=queue", timeout=20_000)
    two.click("#stop")
    one.wait_for_timeout(1500)
    assert "Stopped" not in one.locator("#status").inner_text()
    one.click("#stop")
    one.wait_for_selector("text=Stopped after", timeout=20_000)
    two.wait_for_selector("text=Stopped after 0 of 4", timeout=20_000)
    two.click("#draw")
    two.wait_for_selector("text=4 pairs in", timeout=60_000)
    assert two.locator("#wall-baseline .tile img").count() == 4


def test_bad_input_is_a_notice(page):
    page.fill("#prompt textarea, #prompt input", "")
    page.click("#draw")
    page.wait_for_selector("text=prompt is empty", timeout=20_000)
    assert "Traceback" not in page.content()
    page.fill("#prompt textarea, #prompt input", "a" * 5000)
    page.click("#draw")
    page.wait_for_selector("text=at most 1,000 are allowed", timeout=20_000)


def test_hostile_links_fall_back_with_a_notice(visitor, address):
    page = arrive(
        visitor.new_page(),
        address
        + "/?prompt=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E&n=100000&seed=-4&target=race:Blue=2"
        + "&slots=..%2F..&steps=NaN",
    )
    page.wait_for_selector("text=doesn't know; it was left out", timeout=20_000)
    assert page.locator("#number input[type=number]").input_value() == "16"
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("content, message", [(b"no zip", "is no zip"), (None, "doesn't")])
def test_uploads_that_are_no_comparison_are_refused(page, tmp_path, content, message):
    path = tmp_path / "bad.zip"
    if content is None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("../../evil.txt", "x")
    else:
        path.write_bytes(content)
    page.click("role=tab[name='Open a saved one']")
    page.set_input_files("#saved-file input[type=file]", path)
    page.wait_for_selector(f"text={message}", timeout=20_000)


def test_sliders_are_linked_locked_and_undone(page):
    def shares() -> list[int]:
        outputs = page.locator("#mixer fieldset[data-attribute=race] output")
        return [int(t.split()[0]) for t in outputs.all_inner_texts()]

    assert sum(shares()) == 100
    page.click("#mixer [data-class='White'] .lock")
    white = shares()[5]
    move(page, "Black", 0.5)
    page.wait_for_function(
        "+document.querySelector('#mixer [data-class=Black] output').textContent.split(' ')[0] > 40",
        timeout=10_000,
    )
    # A third of a percent may be shown rounded up or down.
    assert sum(shares()) == 100 and abs(shares()[5] - white) <= 1 and abs(shares()[1] - 50) <= 3
    page.wait_for_function(
        "/Black (4|5)\\d%/.test(document.querySelector('#foreseen').innerText)", timeout=10_000
    )
    page.click("#mixer .undo")
    page.wait_for_function(
        "+document.querySelector('#mixer [data-class=Black] output').textContent.split(' ')[0] < 20",
        timeout=10_000,
    )
    slider = page.locator("#mixer [data-class='Female'] input[type=range]")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert "51" in page.locator("#mixer [data-class='Female'] output").inner_text(), "keys move sliders too"


def test_presets_say_where_their_numbers_come_from(page):
    choose(page, "As in the US workforce")
    page.wait_for_function(
        "document.querySelector('#origin').innerText.includes('Bureau of Labor Statistics')", timeout=10_000
    )
    page.fill("#prompt textarea, #prompt input", "a photo of a soldier")
    page.wait_for_function(
        "document.querySelector('#origin').innerText.includes('no US labour statistic')", timeout=10_000
    )
    page.fill("#prompt textarea, #prompt input", "a photo of an old man, a doctor")
    page.wait_for_function(
        "document.querySelector('#foreseen').innerText.includes('itself names')", timeout=10_000
    )


def test_a_preset_before_the_first_drawing_wipes_nothing(page):
    status, tiles = page.inner_text("#status"), page.locator(".tile").count()
    assert status and tiles
    choose(page, "70 % women")
    page.wait_for_function(
        "document.querySelector('#mixer [data-class=Female] output').textContent.startsWith('70')",
        timeout=10_000,
    )
    page.wait_for_timeout(1500)
    assert page.inner_text("#status") == status and page.locator(".tile").count() == tiles


def test_the_tour_shows_once_and_the_page_speaks_spanish(chromium, address):
    context = browser.visitor(chromium, toured=False, viewport={"width": 400, "height": 800}, locale="es-ES")
    page = arrive(context.new_page(), address)
    page.wait_for_selector(".tour", timeout=20_000)
    assert (
        "Dibujar" in page.locator("#draw").inner_text()
        and "Siguiente" in page.locator(".tour").inner_text()
        and "Deshacer" in page.locator("#mixer").inner_text()
    )
    for _ in range(4):
        page.click(".tour div button:last-child")
    assert page.locator(".tour").count() == 0
    arrive(page, address)
    page.wait_for_timeout(500)
    assert page.locator(".tour").count() == 0
    context.close()


@pytest.mark.parametrize("width, scheme", [(360, "light"), (1280, "dark"), (1920, "light")])
def test_nothing_is_wider_than_the_screen_and_nothing_leaves_the_machine(chromium, address, width, scheme):
    context = browser.visitor(chromium, viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    outside, weight = [], []
    page.on(
        "request",
        lambda r: outside.append(r.url) if not r.url.startswith((address, "data:", "blob:")) else None,
    )
    page.on("response", lambda r: weight.append(int(r.headers.get("content-length") or 0)))
    arrive(page, address)
    page.wait_for_timeout(1500)
    assert page.evaluate("document.documentElement.scrollWidth") <= width + 1
    assert outside == [] and sum(weight) < 1_500_000
    context.close()


def test_the_phone_path(chromium, address):
    context = browser.visitor(
        chromium, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = arrive(context.new_page(), address)
    draw(page, 4)
    page.wait_for_selector("#plot-race .js-plotly-plot", timeout=20_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 391
    first, second = (page.locator("#wall-debiased .tile").nth(i).bounding_box() for i in range(2))
    assert first["y"] == second["y"] and first["width"] >= 60, "two faces a row on each wall"
    page.locator("#wall-debiased .tile").first.tap()
    dialog = page.locator("dialog.pair[open]")
    assert dialog.bounding_box()["width"] <= 390
    dialog.locator(".close").tap()
    move(page, "Female", 0.8)
    page.wait_for_selector("text=pairs redrawn in", timeout=60_000)
    context.close()
