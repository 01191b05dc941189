"""The Audit tab: what ships, a map whose cells show their faces again, bad input."""

import csv
from dataclasses import asdict
from pathlib import Path

import gradio as gr
import pytest

from fairdemo.audit import summary
from fairdemo.audit.summary import Summary
from fairdemo.ui import audit_tab, data_tab
from tests import browser
from tests.conftest import alike

DOCTOR = {"prompt": "a photo of a doctor", "group": "women"}


@pytest.fixture(scope="module")
def own() -> Summary:
    return audit_tab.opened("professions")


def test_what_ships_is_whole_and_small(own):
    folders = [path for path in summary.offered().values()]
    files = [file for folder in folders for file in folder.iterdir()]
    assert sum(file.stat().st_size for file in files) < 3_000_000
    person = audit_tab.opened("person")
    assert {c.images for c in person.found.cells} == {2000}
    cells = [c for c in own.found.cells if c.listed == "professions"]
    methods = {o.name for o in own.study.origins}
    assert {c.images for c in cells} == {96} and len(cells) == 40 * len(methods)
    assert {b.origin for b in own.found.by_origin} == methods
    assert alike(asdict(summary.found_in(own.folder)[2]), asdict(own.found)), "made again from the rows"


def test_it_finds_what_the_model_was_trained_on(own):
    (learned,) = [
        b for b in own.found.beside if (b.origin, b.reference) == ("embedded, baseline", "its training data")
    ]
    assert learned.ranks.value >= 0.95 and learned.slope.interval[0] > 1


def test_faces_of_a_cell_are_drawn_again_as_they_were(own):
    of = audit_tab.behind(own, "embedded, mix", DOCTOR, 0)
    faces = audit_tab.drawn_again(of, "en")
    rows = of.rows.iloc[: audit_tab.AT_ONCE]
    assert [f.slot for f in faces] == list(rows.slot) and [f.source for f in faces] == list(rows.source)
    same = [f.chip is not None and f.chip.gender == "F" for f in faces]
    assert sum(same) >= 11, "in bfloat16 another batch may change a face by a hair"
    next_ = audit_tab.drawn_again(audit_tab.behind(own, "embedded, mix", DOCTOR, 12), "en")
    assert not {f.slot for f in next_} & {f.slot for f in faces}


def test_changed_prompts_are_shown(own):
    of = audit_tab.behind(own, "embedded, words", DOCTOR, 0)
    wrote = [f.wrote for f in audit_tab.drawn_again(of, "en")]
    assert all("woman" in text or "female" in text for text in wrote)
    assert "Drawn as “" in audit_tab.panel(of, "en")


def test_all_rows_of_a_cell_are_in_its_file(own):
    of = audit_tab.behind(own, "embedded, mix", DOCTOR, 0)
    with open(audit_tab.filed(of)) as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(of.rows) and {row["gender"] for row in table} == {"Female"}


@pytest.mark.parametrize(
    "origin, cell, message",
    [
        ("embedded, magic", DOCTOR, "origin 'embedded, magic' isn't in this audit"),
        ("embedded, mix", {**DOCTOR, "prompt": "<b>" * 200}, "prompt '<b><b>.*' isn't in this audit"),
        ("embedded, mix", {**DOCTOR, "group": ["women"]}, "group .* isn't in this audit"),
        ("embedded, mix", None, "prompt 'None' isn't in this audit"),
    ],
)
def test_whatever_a_browser_asks_is_answered_in_a_line(own, origin, cell, message):
    with pytest.raises(ValueError, match=message):
        audit_tab.behind(own, origin, cell, 0)
    with pytest.raises(ValueError, match="audit '../..' is unknown; offered are "):
        audit_tab.opened("../..")


@pytest.mark.skipif(browser.CHROMIUM is None, reason="needs a Chromium: apt-get install chromium")
def test_a_click_on_a_cell_shows_its_faces(address, chromium, tmp_path):
    page = browser.arrive(browser.visitor(chromium).new_page(), address)
    page.get_by_role("tab", name="Audit").click()
    page.wait_for_selector("#audit-map table")
    assert page.locator("#audit-overview li").count() >= 4
    page.locator("#audit-origin input").click()
    page.get_by_role("option", name="embedded, mix", exact=True).click()
    page.wait_for_selector('#audit-map [aria-label="embedded, mix"]')
    doctor = page.locator('#audit-map button[data-prompt="a photo of a doctor"][data-group="women"]')
    doctor.click()
    page.wait_for_selector("#audit-faces h3 >> text=a photo of a doctor · women", timeout=240_000)
    assert page.locator("#audit-faces .tile img").count() == 12
    first = page.locator("#audit-faces .tile img").first.get_attribute("src")
    page.get_by_role("button", name="More of these").click()
    page.wait_for_selector("#audit-faces p >> text=13 to 24 of", timeout=240_000)
    assert page.locator("#audit-faces .tile img").first.get_attribute("src") != first
    with page.expect_download() as download:
        page.get_by_role("link", name="Rows as a table").or_(
            page.get_by_role("button", name="Rows as a table")
        ).click()
    assert download.value.suggested_filename == "rows.csv"
    with page.expect_download() as download:
        page.locator("#audit-report").click()
    download.value.save_as(tmp_path / "report.html")
    assert "Who does it draw?" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("tab, name", [(audit_tab, "professions"), (data_tab, "embedded")])
def test_a_tab_opens_with_a_report_that_can_be_fetched(tab, name):
    """Also after the file has gone, since visitors' files go soon."""
    with gr.Blocks():
        screen = tab.screen()
    page = tab.Events(screen)
    for _ in range(2):
        path = Path(page.filled(name, None)[screen.report])
        assert path.is_file() and "as perceived by the" in path.read_text()
        assert screen.report.postprocess(str(path)).path
        path.unlink()
