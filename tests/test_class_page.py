"""A class in real browsers: a teacher, a projector and phones of 390 px, from the code to the summary."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import browser
from tests.small_models import quick_profile
from tests.test_axe import violations

pytestmark = pytest.mark.skipif(browser.CHROMIUM is None, reason="needs a Chromium: apt-get install chromium")
LONG = 240_000  # milliseconds for what a model draws


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("class")
    settings = {"FAIRDEMO_AHEAD": "off", "FAIRDEMO_PROFILE": str(quick_profile(folder))}
    with browser.served(FAIRDEMO_HOME=str(folder / "home"), **settings) as url:
        yield url


FAULTS: list[str] = []  # of scripts, on any page of a test


@pytest.fixture(autouse=True)
def no_faults() -> Iterator[None]:
    """Fails a test on whose pages a script failed; raised where it happens, it would only end the browser."""
    FAULTS.clear()
    yield
    assert FAULTS == []


def opened(chromium: Browser, url: str, **settings) -> Page:
    """A page of somebody's own whose faults are kept."""
    page = browser.visitor(chromium, **settings).new_page()
    page.on("pageerror", lambda error: FAULTS.append(f"{page.url}: {error}"))
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(url)
    return page


def phone(chromium: Browser, address: str, code: str, **settings) -> Page:
    """A student who has scanned the code."""
    page = opened(chromium, f"{address}/class#{code}", viewport={"width": 390, "height": 844}, **settings)
    page.wait_for_selector(".who")
    return page


def room(chromium: Browser, address: str, kind: int = 0) -> tuple[Page, str]:
    """A teacher who has opened a lesson (0) or an experiment (1)."""
    teacher = opened(chromium, f"{address}/class/teacher", viewport={"width": 1366, "height": 768})
    teacher.locator("main button.main").nth(kind).click()
    teacher.wait_for_selector(".steps button")
    return teacher, teacher.inner_text(".big")


def step(teacher: Page, place: int, phones: list[Page]) -> None:
    """The teacher goes on, and everybody follows."""
    before = [one.inner_text("h1") for one in phones]
    button = teacher.locator("nav.steps button").nth(place)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    for one, was in zip(phones, before):
        one.wait_for_function("was => document.querySelector('h1')?.innerText !== was", arg=was)


def slide(page: Page, place: int, value: int) -> None:
    page.locator("input[type=range]").nth(place).fill(str(value))


def estimate(page: Page, *values: int) -> None:
    """Answers a question whose sliders stand nowhere yet."""
    page.wait_for_selector(".unset")
    for k, value in enumerate(values):
        assert page.locator("button.main").is_disabled(), "nobody sends what was never set"
        slide(page, k, value)
    with page.expect_response("**/answers/*"):
        page.click("button.main")


KINDS = {"Women": ("woman", "she", "daughter", "lady"), "Men": ("man", "he", "son", "gentleman")}
LEADING = ("lead", "decide", "command", "direct")


def sort_words(page: Page) -> None:
    """A round of the association test, the first word sorted wrong at first."""
    page.get_by_role("button", name="Start").click()
    focal = page.inner_text(".sort b").split(" + ")[0]
    right = {*KINDS[focal], *LEADING}
    for k in range(20):
        to_right = page.inner_text(".word[role=status]") in right
        if k == 0:
            page.keyboard.press("e" if to_right else "i")
            expect(page.locator(".bad.word")).to_have_text("✗")
        page.keyboard.press("i" if to_right else "e")


WHOLE = (
    "() => document.querySelectorAll('.wall img').length === 16"
    " && [...document.querySelectorAll('.wall img')].every(image => image.naturalWidth > 0)"
)


def lose_pictures(page: Page, most: int) -> list[str]:
    """Lets the first pictures that a page asks for fail, as in a crowded Wi-Fi; those that did."""
    lost: list[str] = []

    def answer(route):
        if len(lost) == most:
            return route.continue_()
        lost.append(route.request.url)
        route.abort()

    page.route("**/picture/*", answer)
    return lost


def fits(board: Page) -> bool:
    """Whether a board shows all of its step at once: nobody walks to it to scroll."""
    return board.evaluate(
        "() => document.documentElement.scrollHeight <= innerHeight && "
        "document.documentElement.scrollWidth <= innerWidth"
    )


def narrow(page: Page) -> bool:
    """Whether nothing sticks out of a phone's screen."""
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_whole_lesson(chromium, address):
    teacher, code = room(chromium, address)
    board = opened(chromium, f"{address}/class/projector#{code}", viewport={"width": 1280, "height": 720})
    phones = [phone(chromium, address, code, locale=where) for where in ("en-GB", "es-ES", "en-US")]
    names = {one.inner_text(".who") for one in phones}
    assert len(names) == 3
    expect(board.locator("header")).to_contain_text("3 here")
    assert fits(board)
    faults = {"lobby": violations(phones[0]), "board": violations(board), "teacher": violations(teacher)}

    step(teacher, 1, phones)
    slide(phones[0], 0, 3)
    for _ in range(2):
        with phones[0].expect_response(lambda r: r.request.method == "GET" and "/api/rooms/" in r.url):
            pass
    assert phones[0].locator("input[type=range]").first.input_value() == "3", "a poll moves no slider"
    faults["guess"] = violations(phones[0])
    for k, one in enumerate(phones):
        slide(one, 0, 2 + k)
        slide(one, 1, 8)
        with one.expect_response("**/answers/guess-doctor"):
            one.click("button.main")
    late = phone(chromium, address, code)
    assert late.inner_text(".who") not in names
    phones[0].reload()
    phones[0].wait_for_selector(".who")
    assert phones[0].inner_text(".who") in names, "the same seat again"
    expect(board.locator("header")).to_contain_text("4 here")

    lost = lose_pictures(late, 5)
    step(teacher, 2, phones)
    for one in (*phones, board):
        one.wait_for_selector(".wall button img", timeout=LONG)
        assert one.locator(".wall img").count() == 16
    assert phones[0].evaluate(WHOLE)
    late.wait_for_function(WHOLE, timeout=LONG)
    assert len(lost) == 5, "pictures that were lost are asked for again"
    phones[0].locator(".wall button").nth(5).click()
    expect(phones[0].locator("main p[role=status]")).to_contain_text("perceived by the classifier")
    faults["look"] = violations(phones[0])
    step(teacher, 3, phones)
    assert phones[0].locator("svg circle.guess").count() == 6
    faults["compare"], faults["board compare"] = violations(phones[0]), violations(board)

    step(teacher, 4, phones)
    for k, one in enumerate(phones):
        slide(one, 0, 40 + 10 * k)
        one.locator("input[type=radio]").nth(k).check()
        with one.expect_response("**/answers/wish"):
            one.click("button.main")
    faults["decide"] = violations(phones[0])
    teacher.get_by_role("button", name="Draw the class's wish").click()
    board.wait_for_selector(".walls .wall img", timeout=LONG)
    assert board.locator(".walls .wall img").count() == 32 and fits(board)
    expect(phones[0].locator("main")).to_contain_text("50 %")
    faults["wish"] = violations(board)

    step(teacher, 5, phones)
    board.wait_for_selector(".sides img", timeout=LONG)

    def first_side(page: Page) -> list[str]:
        """The pictures of the first pair's first side, once both sides have theirs."""
        seen = page.wait_for_function(
            """() => {
              const sides = [...document.querySelectorAll(".sides section")].slice(0, 2)
                .map((side) => [...side.querySelectorAll("img")].map((image) => image.src));
              return sides.length === 2 && sides.every((side) => side.length) && sides[0];
            }""",
            timeout=LONG,
        )
        return seen.json_value()

    for one in phones:  # each has the sides in an order of its own; all choose the same pictures
        one.wait_for_selector(".sides img", timeout=LONG)
        same = first_side(one) == first_side(board)
        buttons = one.locator(".row").first.locator("button")
        with one.expect_response("**/answers/pair-0"):
            (buttons.first if same else buttons.last).click()
    faults["methods"] = violations(phones[0])
    assert "mix" not in phones[0].inner_text("main") and "mix" not in board.inner_text("main")
    teacher.get_by_role("button", name="Show the names").click()
    expect(board.locator(".result").first).to_contain_text("3 : 0")
    assert fits(board)
    step(teacher, 6, [])
    board.wait_for_selector("table")
    assert fits(board)
    for one in (*phones, late):
        one.wait_for_selector("table")
        assert narrow(one)
    faults["end"] = violations(phones[0])
    assert {where: wrong for where, wrong in faults.items() if wrong} == {}

    phones[1].get_by_role("button", name="Salir").click()
    expect(phones[1].locator("h1")).to_contain_text("Has salido")
    expect(board.locator("header")).to_contain_text("3 here")
    teacher.get_by_role("button", name="Remove").first.click()
    expect(board.locator("header")).to_contain_text("2 here")
    teacher.get_by_role("button", name="Delete everything").click()
    expect(teacher.locator("h1")).to_contain_text("deleted")
    expect(phones[2].locator("h1")).to_contain_text("no room")


def test_an_experiment_and_wrong_codes(chromium, address):
    teacher, code = room(chromium, address, 1)
    other, other_code = room(chromium, address)
    expect(teacher.locator("main")).to_contain_text("power")
    phones = [phone(chromium, address, code) for _ in range(2)]
    stranger = opened(chromium, f"{address}/class", viewport={"width": 390, "height": 844})
    stranger.fill("#code", "ab")
    stranger.keyboard.press("Enter")
    expect(stranger.locator("[role=alert]")).to_contain_text("five")
    stranger.fill("#code", "AAAAA")
    stranger.keyboard.press("Enter")
    expect(stranger.locator("[role=alert]")).to_contain_text("no room")
    stranger.fill("#code", other_code.lower())
    stranger.keyboard.press("Enter")
    stranger.wait_for_selector(".who")
    expect(other.locator("main")).to_contain_text("1 here")

    teacher.locator("#implicit").check()
    expect(teacher.locator("#implicit")).to_be_checked()
    teacher.get_by_role("button", name="Begin the experiment").click()
    for one in phones:
        one.get_by_role("button", name="I take part").click()
        for _ in range(4):
            estimate(one, 30, 20)
        estimate(one, 30)
        for _ in range(4):
            one.wait_for_selector(".wall img", timeout=LONG)
            title = one.inner_text("h1")
            one.locator("button.main:not([disabled])").click(timeout=LONG)
            one.wait_for_function("was => document.querySelector('h1').innerText !== was", arg=title)
        for _ in range(4):
            estimate(one, 40, 20)
        for _ in range(4):
            sort_words(one)
        expect(one.locator("h1")).to_contain_text("Thank you")
    expect(teacher.locator("main")).to_contain_text("2 take part, 2 have finished")
    with teacher.expect_download() as saved:
        teacher.get_by_role("button", name="Answers as CSV").click()
    lines = saved.value.path().read_text().splitlines()
    assert len(lines) == 3 and ",30,30,30,30,40,40,40,40,20,20,20,20,20,20,20,20," in lines[1]
    rounds = [cell.split() for cell in lines[1].split(",") if cell.startswith(("women ", "men "))]
    assert [len(cell) for cell in rounds] == [21] * 4 and {cell[0] for cell in rounds} == {"women", "men"}
    teacher.locator("nav.steps button").last.click()
    expect(phones[0].locator("h1")).to_contain_text("What this was about")
    phones[0].wait_for_selector(".wall img", timeout=LONG)
    assert violations(phones[0]) == [] and violations(teacher) == []


def test_simulated_students_plan_form_and_tab(chromium, address):
    teacher, _ = room(chromium, address, 1)
    teacher.get_by_role("button", name="simulated students").click()
    expect(teacher.locator("main")).to_contain_text("Simulated students: nothing here is about real people")
    expect(teacher.locator("main")).to_contain_text("Analysis of covariance")
    form = teacher.get_by_role("link", name="Preregistration form").get_attribute("href")
    page = opened(chromium, f"{address}{form}")
    assert page.input_value("#n") == "40" and "points" in page.input_value("#smallest")
    plan = opened(chromium, f"{address}/class/plan?lang=es")
    expect(plan.locator("h1")).to_contain_text("45 minutos")
    assert violations(page) == violations(plan) == []
    app = browser.arrive(opened(chromium, address), address)
    app.get_by_role("tab", name="Class").click()
    inside = app.frame_locator(".class-page")
    inside.get_by_role("button", name="Open a room for a lesson").click()
    inside.locator(".big").wait_for()


@pytest.mark.parametrize("kind", browser.STORAGE)
def test_a_class_meets_in_browsers_that_keep_nothing(chromium, address, kind):
    """As where cookies are blocked, in apps that scan codes, and on a full phone."""

    def page(url: str) -> Page:
        context = browser.visitor(chromium, toured=False)
        context.add_init_script(browser.STORAGE[kind])
        own = context.new_page()
        own.on("pageerror", lambda error: FAULTS.append(f"{own.url}: {error}"))
        own.goto(f"{address}{url}")
        return own

    teacher = page("/class/teacher")
    teacher.locator("main button.main").first.click()
    teacher.wait_for_selector(".steps button")
    student = page(f"/class#{teacher.inner_text('.big')}")
    student.wait_for_selector(".who")
    step(teacher, 1, [student])
    slide(student, 0, 3)
    with student.expect_response("**/answers/guess-doctor"):
        student.click("button.main")
    expect(student.locator("main p[role=status]")).to_contain_text("1 of")
    page("/class/form").fill("textarea >> nth=0", "What we ask")


def test_an_answer_that_a_lost_line_swallowed_comes_when_it_is_back(chromium, address):
    teacher, code = room(chromium, address)
    student = phone(chromium, address, code)
    step(teacher, 1, [student])
    slide(student, 0, 6)
    student.context.set_offline(True)
    student.click("button.main")
    expect(student.locator("p.bad")).to_contain_text("sent as soon as it is back")
    expect(student.locator("main p[role=status]")).to_contain_text("0 of")
    student.context.set_offline(False)
    expect(student.locator("main p[role=status]")).to_contain_text("1 of")
    expect(student.locator("p.bad")).to_have_count(0)


def test_a_summary_needs_no_drawn_wish(chromium, address):
    """Some said what they wish, and the teacher goes on before it is drawn."""
    teacher, code = room(chromium, address)
    student = phone(chromium, address, code)
    step(teacher, 4, [student])
    slide(student, 0, 60)
    student.locator("input[type=radio]").first.check()
    with student.expect_response("**/answers/wish"):
        student.click("button.main")
    step(teacher, 6, [student])
    for one in (teacher, student):
        one.wait_for_selector("table")
    expect(teacher.locator(".wish")).to_contain_text("60 %")


def test_a_table_that_cannot_be_had_is_no_file(chromium, address):
    teacher, code = room(chromium, address, kind=1)
    teacher.get_by_role("button", name="simulated").click()  # which begins it
    table = teacher.get_by_role("button", name="CSV").first
    table.wait_for()
    teacher.route("**/table.csv", lambda route: route.fulfill(status=503, json={"error": "try again"}))
    downloads: list[object] = []
    teacher.on("download", lambda file: downloads.append(file))
    table.click()
    expect(teacher.get_by_text("That didn't work: try again")).to_be_visible()
    assert not downloads


def test_a_browser_that_cannot_read_the_script_gets_a_sentence(chromium, address):
    context = browser.visitor(chromium, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/class")
    assert "needs JavaScript and a browser of the last few years" in page.inner_text("main")
