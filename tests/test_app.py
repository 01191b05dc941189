"""The page in a real browser: one screen, the finished wall, living sliders, a newcomer's path, stop, two
visitors, bad input, links, files, phones."""

import zipfile

import pytest
from playwright.sync_api import expect

from fairdemo.report import archive
from tests import browser
from tests.browser import arrive, choose, draw, faces, move, set_number

pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason="needs a Chromium: apt-get install chromium")


@pytest.fixture
def visitor(chromium):
    context = browser.visitor(chromium)
    yield context
    context.close()


@pytest.fixture
def page(visitor, address):
    return arrive(visitor.new_page(), address)


def settled(page) -> None:
    """Waits until a moved wish is drawn whole."""
    page.wait_for_selector("#status >> text=/redrawn in|drawn already|Shown again/", timeout=240_000)
    page.wait_for_function("!document.querySelector('.tile.empty')", timeout=240_000)


def shows(page, said: list[str]) -> None:
    """Waits until the debiased wall's tiles say this."""
    page.wait_for_function(
        "said => [...document.querySelectorAll('#wall-debiased .tile[data-slot]')].map(t => t.title).join()"
        " === said",
        arg=",".join(said),
        timeout=240_000,
    )


ONE_SCREEN = (
    *("#draw", "#mixer", "#wall-baseline", "#wall-debiased", "#summary"),
    *("#bars-gender", "#bars-race", "#bars-age", "#foreseen", "#method", "#prompt", "#profile"),
)


def inside(page, place: str, height: int) -> bool:
    """Whether all of something lies in the first screen."""
    box = page.locator(place).bounding_box()
    width = page.viewport_size["width"]
    return box["y"] >= 0 and box["y"] + box["height"] <= height and box["x"] + box["width"] <= width


@pytest.mark.parametrize("width, height", [(1366, 650), (1440, 780), (1920, 960)])
@pytest.mark.parametrize("locale", ["en-US", "es-ES"])
def test_everything_of_the_loop_is_on_one_screen(chromium, address, width, height, locale):
    context = browser.visitor(chromium, viewport={"width": width, "height": height}, locale=locale)
    page = arrive(context.new_page(), address)
    page.wait_for_selector("#wall-debiased .tile img")
    assert [place for place in ONE_SCREEN if not inside(page, place, height)] == []
    sides = page.locator(".tile img").evaluate_all("t => t.map(i => i.getBoundingClientRect().width)")
    assert len(sides) == 32 and min(sides) >= 72
    small = page.evaluate(
        """() => [...document.querySelectorAll('#ask *, #studio *')].filter((n) => n.offsetParent
        && [...n.childNodes].some((c) => c.nodeType === 3 && c.data.trim())
        && parseFloat(getComputedStyle(n).fontSize) < 11).map((n) => n.outerHTML.slice(0, 80))"""
    )
    assert small == []
    context.close()


def test_the_page_opens_on_a_finished_wall(page):
    """Labelled and counted, sliders working, before anybody draws; what it shows is said."""
    assert page.locator(".tile img").count() == 32 and "of 16" in page.inner_text("#summary")
    assert "comes with the app" in page.inner_text("#status")
    before = faces(page, "debiased")
    women = page.locator("#bars-gender [data-name=Female] b")
    first = int(women.inner_text())
    move(page, "Female", 0.9)
    settled(page)
    page.wait_for_function("location.search.includes('slots=')")  # the server has moved its wall as well
    assert int(women.inner_text()) > first and faces(page, "debiased") != before
    page.click("#pick input")
    page.click("[role=option]:has-text('nurse')")
    page.wait_for_function("!document.querySelector('#status').innerText.includes('drawn already')")
    assert page.locator("#prompt textarea").input_value() == "a photo of a nurse"
    page.wait_for_function(
        "+document.querySelector('#bars-gender [data-name=Female] .count').innerText.split(' ')[0] >= 8"
    )


def test_walls_and_bars_follow_a_slider_that_moves(page):
    """Nothing is drawn and nothing released: tiles, bars, sentences and the mix follow the finger."""
    slider = page.locator("#mixer [data-class='Female'] input[type=range]")
    seen = []
    for share in (20, 90):
        slider.evaluate(
            "(s, v) => { s.value = v; s.dispatchEvent(new Event('input', {bubbles: true})); }", share
        )
        page.wait_for_function(
            "wanted => document.querySelector('#summary').innerText.includes(`wanted ${wanted}`)",
            arg=f"{share * 16 / 100:.1f}".removesuffix(".0"),
        )
        page.wait_for_selector("#status >> text=drawn already")
        seen.append((faces(page, "debiased"), int(page.inner_text("#bars-gender [data-name=Female] b"))))
    (few, some), (many, most) = seen
    assert few != many and some < most and faces(page, "baseline")
    assert page.locator("#target input:checked").get_attribute("value") == "uniform", "nothing is released"


def test_what_is_not_drawn_yet_shows_as_coming_and_is_drawn_on_release(page):
    """Ages need combinations of adapters, which don't come with the app."""
    slider = page.locator("#mixer [data-class='old'] input[type=range]")
    slider.evaluate("s => { s.value = 60; s.dispatchEvent(new Event('input', {bubbles: true})); }")
    page.wait_for_selector("#wall-debiased .coming")
    assert "still to come" in page.inner_text("#status")
    slider.evaluate("s => s.dispatchEvent(new Event('change', {bubbles: true}))")
    page.wait_for_selector("#status >> text=redrawn in", timeout=240_000)
    assert page.locator("#wall-debiased .tile img").count() == 16


def test_a_standing_wall_gets_its_pool_and_gives_way_to_draw(visitor, address):
    page = arrive(visitor.new_page(), address + "/?prompt=a+photo+of+a+doctor&n=2&seed=5&steps=2")
    page.click("#show-settings")
    page.check("#ahead input")
    page.keyboard.press("Escape")
    page.click("#draw")
    page.wait_for_selector("text=2 pairs in", timeout=240_000)
    page.wait_for_function(
        "document.querySelector('.pool').dataset.drawn.split('/').map(Number).reduce((k, n) => k === n)",
        timeout=240_000,
    )
    set_number(page, 3)
    page.click("#draw")
    page.wait_for_selector("text=3 pairs in", timeout=240_000)


def test_a_guess_is_asked_once_and_drawn_into_the_bars(chromium, address):
    context = browser.visitor(chromium, toured=False)
    page = arrive(context.new_page(), address)
    page.locator(".guess-card input").fill("12")
    page.click(".guess-card .primary")
    mark = page.locator("#bars-gender .guess")
    track = page.locator("#bars-gender .track").first.bounding_box()
    place = mark.bounding_box()
    assert place["x"] + place["width"] / 2 == pytest.approx(track["x"] + 0.75 * track["width"], abs=3)
    page.click(".tour .skip")
    arrive(page, address)
    mark.wait_for()
    assert page.locator(".guess-card").count() == 0
    context.close()


def test_a_key_fills_the_screen_for_a_projector(page):
    width = page.locator("#wall-debiased .tile").first.bounding_box()["width"]
    page.locator("#wall-debiased .tile").first.press("p")
    page.wait_for_function("document.documentElement.classList.contains('presenting')")
    assert not page.locator("#wish").is_visible() and not page.locator("#ask").is_visible()
    assert page.locator("#wall-debiased .tile").first.bounding_box()["width"] > width
    assert page.locator("#summary").is_visible() and page.locator("#bars-race").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#wish").is_visible()
    page.locator("#prompt textarea").press("p")
    assert page.locator("#wish").is_visible(), "typing a p is no wish to present"


def test_a_newcomers_path(page, visitor, tmp_path):
    """Open, draw, read the numbers, ask for 70 % women, see what changes, open a pair, download, reload the
    link: the same result."""
    draw(page)
    assert (
        page.locator("#wall-baseline .tile img").count()
        == page.locator("#wall-debiased .tile img").count()
        == 8
    )
    assert page.locator("#wall-baseline .box").count() >= 7
    first = page.locator("#wall-debiased .tile").first
    assert "perceived as" in first.get_attribute("title") and first.locator("figcaption b").count() == 1
    page.wait_for_selector("#findings >> text=of 8,", timeout=240_000)
    words = page.locator("#findings").inner_text()
    assert (
        "of 8" in words and "bias(P)" in words and "as perceived by the classifier" in words and "%" in words
    )
    before, base = faces(page, "debiased"), faces(page, "baseline")

    move(page, "Female", 0.7)
    settled(page)
    after = faces(page, "debiased")
    changed = sum(a != b for a, b in zip(before, after))
    assert 1 <= changed < 8 and faces(page, "baseline") == base, "only what must change is drawn again"
    page.click("#wish-title .undo")
    shows(page, before)
    page.click("#wish-title .redo")
    shows(page, after)
    page.locator("#wall-debiased .tile").first.focus()
    page.keyboard.press("Control+z")
    shows(page, before)
    page.keyboard.press("Control+Shift+Z")
    shows(page, after)
    page.locator("#wall-debiased .tile").nth(2).click()
    dialog = page.locator("dialog.pair[open]")
    assert (
        dialog.locator("img").count() == 2
        and dialog.locator("table").count() == 6
        and "Image 3" in dialog.inner_text()
        and "Why this one" in dialog.inner_text()
    )
    page.keyboard.press("Escape")
    expect(page.locator("dialog.pair")).to_have_count(0)

    for _ in range(30):  # the page shows a known wall at once; the one that is wanted follows
        page.wait_for_selector("#download[aria-disabled=false]", timeout=240_000)
        with page.expect_download() as download:
            page.click("#download")
        download.value.save_as(tmp_path / "got.zip")
        comparison = archive.unzipped(tmp_path / "got.zip")
        if comparison.target["gender"]["Female"] > 0.6:
            break
        page.wait_for_timeout(500)
    assert len(comparison.pairs) == 8
    assert comparison.target["gender"]["Female"] == pytest.approx(0.7, abs=0.06)
    with zipfile.ZipFile(tmp_path / "got.zip") as got:
        assert {"comparison.json", "images.csv", "report.html"} <= set(got.namelist())
        assert (
            'src="data:image' in got.read("report.html").decode()
            and "://" not in got.read("report.html").decode()
        )

    shown = faces(page, "debiased")
    again = arrive(visitor.new_page(), page.url)
    again.click("#draw")
    again.wait_for_selector("text=8 pairs in", timeout=240_000)
    assert faces(again, "debiased") == shown and faces(again, "baseline") == base

    again.click("role=tab[name='Open a saved one']")
    again.set_input_files("#saved-file input[type=file]", tmp_path / "got.zip")
    again.wait_for_function("document.querySelectorAll('#saved .tile img').length === 16", timeout=240_000)


def test_the_list_shows_what_the_prompt_names(page):
    """A prompt written by hand turns the list to what it names; a choice writes the prompt."""
    pick = page.locator("#pick input")
    expect(pick).to_have_value("doctor")
    page.fill("#prompt textarea", "a photo of a pharmacist, oil painting")
    expect(pick).to_have_value("pharmacist")
    page.fill("#prompt textarea", "a photo of a castle")
    expect(pick).to_have_value("")
    pick.click()
    page.click("[role=option]:has-text('wealthy')")
    expect(page.locator("#prompt textarea")).to_have_value("a photo of a wealthy person")
    page.fill("#prompt textarea", "a photo of a strong nurse")
    expect(pick).to_have_value("nurse")


def test_a_bar_lights_up_its_faces_and_twins_light_up_together(page):
    page.locator("#wall-baseline .tile").nth(1).hover()
    assert page.locator(".tile.twin").evaluate_all("t => t.map(x => x.dataset.side + x.dataset.slot)") == [
        "baseline1",
        "debiased1",
    ]
    page.click("#bars-gender [data-name=Female]")
    clear = page.locator(".tile[data-slot]:not(.dim)")
    assert clear.count() == page.locator(".tile[data-gender=Female]").count() >= 1
    page.keyboard.press("Escape")
    assert page.locator(".tile.dim").count() == 0


def test_charts_are_drawn_when_they_are_opened(page):
    page.wait_for_selector("#findings .card", timeout=240_000)
    assert page.locator(".js-plotly-plot").count() == 0, "the page starts without their library"
    page.click("#show-charts")
    # A bar of no faces has no height.
    page.wait_for_selector("#plot-gender .js-plotly-plot .bars path", state="attached", timeout=240_000)
    page.click("#corrected label:nth-of-type(2)")
    page.wait_for_selector("#plot-race >> text=corrected", timeout=240_000)
    page.wait_for_selector("#plot-age >> text=too few faces to correct", timeout=240_000)
    shown = page.locator("#bars-gender").inner_text()
    page.locator("#mixer [data-class='Female'] input[type=range]").evaluate(
        "s => { s.value = 90; s.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    expect(page.locator("#bars-gender")).not_to_have_text(shown, use_inner_text=True)


def test_stop_keeps_what_was_drawn(page):
    set_number(page, 64)
    page.click("#draw")
    page.wait_for_selector("#status >> text=of 64 pairs drawn", timeout=240_000)
    page.click("#stop")
    page.wait_for_selector("text=/Stopped (after|before)/", timeout=240_000)
    assert 3 <= page.locator("#wall-baseline .tile img").count() < 64


def test_two_visitors_dont_touch_each_other(visitor, address):
    one, two = arrive(visitor.new_page(), address), arrive(visitor.new_page(), address)
    two.fill("#prompt textarea, #prompt input", "a photo of a nurse")
    for page in (one, two):
        browser.set_steps(page, 4)
    set_number(one, 64)
    one.click("#draw")
    one.wait_for_function(
        "document.querySelectorAll('#wall-debiased .tile img').length >= 4", timeout=240_000
    )
    set_number(two, 4)
    two.click("#draw")
    two.wait_for_selector("text=4 pairs in", timeout=240_000)
    assert two.locator("#wall-baseline .tile img").count() == 4
    assert one.locator("#wall-debiased .tile img").count() < 64, "a short wall doesn't wait for a long one"
    two.wait_for_selector("#history", timeout=240_000)  # counted, too: Draw can be pressed
    set_number(two, 64)
    two.click("#draw")
    two.wait_for_selector("#wall-debiased .tile.empty", timeout=240_000)
    two.click("#stop")
    two.wait_for_selector("text=/Stopped (after|before)/", timeout=240_000)
    drawn = one.locator("#wall-debiased .tile img").count()
    one.wait_for_function(
        "n => [n + 1, 64].some(k => document.querySelectorAll('#wall-debiased .tile img').length >= k)",
        arg=drawn,
        timeout=240_000,
    )
    assert "Stopped" not in one.locator("#status").inner_text()
    if one.locator("#wall-debiased .tile img").count() < 64:
        one.click("#stop")
        one.wait_for_selector("text=/Stopped (after|before)|64 pairs in/", timeout=240_000)


def test_bad_input_is_a_notice(page):
    page.fill("#prompt textarea, #prompt input", "")
    page.click("#draw")
    page.wait_for_selector("text=prompt is empty", timeout=240_000)
    assert "Traceback" not in page.content()
    page.fill("#prompt textarea, #prompt input", "a" * 5000)
    page.click("#draw")
    page.wait_for_selector("text=at most 1,000 are allowed", timeout=240_000)


def test_hostile_links_fall_back_with_a_notice(visitor, address):
    page = arrive(
        visitor.new_page(),
        address
        + "/?prompt=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E&n=100000&seed=-4&target=race:Blue=2"
        + "&slots=..%2F..&steps=NaN",
    )
    page.wait_for_selector("text=doesn't know; it was left out", timeout=240_000)
    assert page.locator("#number input[type=number]").input_value() == "16"
    assert page.locator("img[src=x]").count() == 0


def test_a_links_wall_of_other_numbers_is_said_to_be_one(visitor, address):
    """This processor has float32 or bfloat16; no processor computes in float16."""
    page = arrive(
        visitor.new_page(), address + "/?prompt=a+photo+of+a+nurse&n=2&seed=3&steps=2&dtype=float16"
    )
    page.click("#draw")
    page.wait_for_selector("#status >> text=was computed in float16, this one in", timeout=240_000)


@pytest.mark.parametrize(
    "content, message", [(b"no zip", "is no zip"), (None, "which a saved comparison doesn't")]
)
def test_uploads_that_are_no_comparison_are_refused(page, tmp_path, content, message):
    path = tmp_path / "bad.zip"
    if content is None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("../../evil.txt", "x")
    else:
        path.write_bytes(content)
    page.click("role=tab[name='Open a saved one']")
    page.set_input_files("#saved-file input[type=file]", path)
    page.wait_for_selector(f"text={message}", timeout=240_000)


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
        timeout=240_000,
    )
    # A third of a percent may be shown rounded up or down.
    assert sum(shares()) == 100 and abs(shares()[5] - white) <= 1 and abs(shares()[1] - 50) <= 3
    page.wait_for_function(
        "/Black (4|5)\\d%/.test(document.querySelector('#foreseen .bar').title)", timeout=240_000
    )
    page.click("#wish-title .undo")
    page.wait_for_function(
        "+document.querySelector('#mixer [data-class=Black] output').textContent.split(' ')[0] < 20",
        timeout=240_000,
    )
    slider = page.locator("#mixer [data-class='Female'] input[type=range]")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert "51" in page.locator("#mixer [data-class='Female'] output").inner_text(), "keys move sliders too"


def test_presets_say_where_their_numbers_come_from(page):
    choose(page, "Workforce")
    page.wait_for_function(
        "document.querySelector('#origin').innerText.includes('Bureau of Labor Statistics')", timeout=240_000
    )
    page.fill("#prompt textarea, #prompt input", "a photo of a soldier")
    page.wait_for_function(
        "document.querySelector('#origin').innerText.includes('no US labour statistic')", timeout=240_000
    )
    page.fill("#prompt textarea, #prompt input", "a photo of an old man, a doctor")
    page.wait_for_function(
        "document.querySelector('#foreseen').innerText.includes('itself names')", timeout=240_000
    )


def test_a_preset_moves_the_wall_that_stands(page):
    choose(page, "As it is")
    page.wait_for_function("document.querySelector('#bars-gender [data-name=Female] b').innerText === '0'")
    looks = "images => images.map(i => i.src)"
    twins = [page.locator(f"#wall-{side} .tile img").evaluate_all(looks) for side in ("baseline", "debiased")]
    assert twins[0] == twins[1], "nothing is wished, so the twins are the same images"
    choose(page, "70 % women")
    page.wait_for_function("+document.querySelector('#bars-gender [data-name=Female] b').innerText >= 9")


def test_the_tour_shows_once_and_the_page_speaks_spanish(chromium, address):
    context = browser.visitor(chromium, toured=False, viewport={"width": 400, "height": 800}, locale="es-ES")
    page = arrive(context.new_page(), address)
    page.click(".guess-card .skip")
    page.wait_for_selector(".tour", timeout=240_000)
    assert (
        "Dibujar" in page.locator("#draw").inner_text()
        and "Siguiente" in page.locator(".tour").inner_text()
        and page.locator("#wish-title .undo").get_attribute("title") == "Deshacer"
        and "Oriente Medio" in page.locator("#mixer").inner_text()
    )
    for _ in range(4):
        page.click(".tour div button:last-child")
    assert page.locator(".tour").count() == 0
    arrive(page, address)
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
    page.wait_for_selector("#wall-debiased .tile img")
    page.wait_for_function("[...document.images].every(image => image.complete)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width + 1
    assert outside == [] and sum(weight) < 2_500_000
    context.close()


def test_the_phone_path(chromium, address):
    context = browser.visitor(
        chromium, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = arrive(context.new_page(), address)
    page.wait_for_selector("#wall-debiased .tile img")
    browser.set_steps(page, 4)
    for place in (
        "#wall-baseline .tile >> nth=0",
        "#wall-debiased .tile >> nth=1",
        "#summary",
        "#handle .grip",
    ):
        assert inside(page, place, 844), place
    page.locator("#draw").tap()
    page.wait_for_selector("text=16 pairs in", timeout=240_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 391
    first, second = (page.locator("#wall-debiased .tile").nth(i).bounding_box() for i in range(2))
    assert first["y"] == second["y"] and first["width"] >= 72, "two faces a row on each wall"
    page.locator("#wall-debiased .tile").first.tap()
    dialog = page.locator("dialog.pair[open]")
    assert dialog.bounding_box()["width"] <= 390
    dialog.locator(".close").tap()
    page.locator("#handle .grip").tap()
    first, sheet = "#wall-debiased .tile >> nth=0", page.locator("#sheet")
    browser.until(lambda: inside(page, first, int(sheet.bounding_box()["y"])), 20)
    move(page, "Female", 0.8)
    settled(page)
    context.close()


def test_methods_side_by_side_and_blind_pairs(page, tmp_path):
    """Three walls from the baseline's noise, each counted; a pair opens with its own baseline; a blind pair
    is answered, told and kept in this browser."""
    page.click("role=tab[name='Methods']")
    number = page.locator("#methods-ask input[type=number]").first
    number.fill("17")
    page.click("#methods-draw")
    page.wait_for_selector("text=1 to 16 are allowed here")
    number.fill("4")
    page.click("#methods-draw")
    page.wait_for_selector("#methods-status >> text=3 methods in", timeout=240_000)
    walls = page.locator("#methods-walls .wall")
    assert [walls.nth(i).locator("h2").inner_text().split("\n")[0] for i in range(4)][1:] == [
        *("mix", "words", "fair diffusion")
    ]
    assert page.locator("#methods-walls .tile img").count() == 16
    cards = page.locator(".method-card").all_inner_texts()
    assert len(cards) == 4 and all("bias(P), gender" in card and "of 4" in card for card in cards)
    assert "The prompt is changed image by image" in cards[2] and "likeness to the twin" not in cards[0]

    walls.nth(2).locator(".tile").nth(1).click()
    dialog = page.locator("dialog.pair[open]")
    assert "words" in dialog.inner_text() and "Image 2, seed 7" in dialog.inner_text()
    same = walls.nth(0).locator(".tile img").nth(1).get_attribute("src")
    assert dialog.locator("img.before").get_attribute("src").endswith(same)
    page.keyboard.press("Escape")

    page.click("#arena button.primary")
    assert page.locator("#arena .pictures img").count() == 8
    assert page.locator("#arena h3").all_inner_texts() == ["A", "B"], "no names before the answer"
    page.click("#arena .vote button >> nth=1")
    names = page.locator("#arena h3").all_inner_texts()
    assert set(names) <= {"Baseline", "mix", "words", "fair diffusion"} and len(set(names)) == 2
    assert "1 : 0" in page.inner_text("#arena .score") or "0 : 1" in page.inner_text("#arena .score")
    with page.expect_download() as download:
        page.click("#arena .score button >> nth=0")
    download.value.save_as(tmp_path / "votes.csv")
    head, vote = (tmp_path / "votes.csv").read_text().splitlines()
    assert (
        head == '"when","prompt","a","b","winner"'
        and f'"{names[1]}"' in vote
        and "a photo of a doctor" in vote
    )


def test_a_link_whose_images_are_held_needs_no_draw(visitor, address):
    """After a reload, or where a dropped connection made the page begin anew."""
    page = arrive(visitor.new_page(), address)
    draw(page, 4)
    page.wait_for_function("location.search.includes('slots')")
    before = browser.faces(page, "debiased")
    again = arrive(page, page.url)
    again.wait_for_function("document.querySelectorAll('#wall-debiased .tile img').length === 4")
    assert browser.faces(again, "debiased") == before


def test_the_tour_leaves_with_whoever_turns_to_another_tab(chromium, address):
    page = arrive(browser.visitor(chromium, toured=False).new_page(), address)
    page.click(".guess-card .skip")
    page.wait_for_selector(".tour")
    page.get_by_role("tab", name="Methods", exact=True).click()
    page.wait_for_selector(".tour", state="detached")


@pytest.mark.parametrize("kind", browser.STORAGE)
def test_a_newcomer_whose_browser_keeps_nothing_gets_past_the_guess(chromium, address, kind):
    context = browser.visitor(chromium, toured=False)
    context.add_init_script(browser.STORAGE[kind])
    page = arrive(context.new_page(), address)
    page.click(".guess-card .skip")
    page.wait_for_selector(".guess-card", state="detached")
    page.click(".tour .skip")
    page.wait_for_selector(".tour", state="detached")


@pytest.mark.parametrize("width, height", [(844, 390), (667, 375), (683, 384)])
def test_a_phone_held_sideways_shows_faces(chromium, address, width, height):
    """683 x 384 is a laptop of 1366 px at 200 %."""
    context = browser.visitor(chromium, viewport={"width": width, "height": height})
    page = arrive(context.new_page(), address)
    page.wait_for_selector("#wall-baseline .tile img")
    handle = page.locator("#handle .grip").bounding_box()
    assert handle["y"] > 0.85 * height, "the sheet is its handle alone"
    tops = page.locator(".wall .tile").evaluate_all(
        "tiles => tiles.map(t => t.getBoundingClientRect()).filter(b => b.height).map(b => [b.top, b.bottom])"
    )
    assert sum(bottom <= handle["y"] + 1 for _, bottom in tops) >= 4
    page.click("#handle .grip")
    page.wait_for_function(
        "y => document.querySelector('#handle').getBoundingClientRect().top < y / 4", arg=height
    )


@pytest.mark.parametrize("width", [390, 700, 1024, 1140, 1366])
def test_walls_stand_beside_each_other_whole(chromium, address, width):
    context = browser.visitor(chromium, viewport={"width": width, "height": 768})
    page = arrive(context.new_page(), address)
    page.wait_for_selector("#wall-baseline .tile img")
    left, right = (
        page.locator(f"#wall-{side} .tile").evaluate_all(
            "tiles => [Math.min(...tiles.map(t => t.getBoundingClientRect().left)),"
            " Math.max(...tiles.map(t => t.getBoundingClientRect().right))]"
        )
        for side in ("baseline", "debiased")
    )
    assert left[1] <= right[0] and right[1] <= width


def test_a_reload_in_the_middle_of_a_drawing_keeps_what_was_asked(visitor, address):
    page = arrive(visitor.new_page(), address)
    page.fill("#prompt textarea, #prompt input", "a photo of a chef")
    browser.set_steps(page, 4)
    set_number(page, 32)
    page.click("#draw")
    page.wait_for_function("location.search.includes('chef')")
    page.reload()
    arrive(page, page.url)
    field = page.locator("#prompt textarea, #prompt input").first
    expect(field).to_have_value("a photo of a chef")
    assert page.locator("#number input[type=number]").input_value() == "32"
