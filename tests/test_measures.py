"""Measures are computed once for a state of a comparison, and every front end renders the same object."""

import csv
import io
import json
from dataclasses import replace

import pytest

from fairdemo import measures
from fairdemo.pairs import SIDES
from fairdemo.report import archive, page, table, terminal
from fairdemo.ui import charts
from fairdemo.ui.findings import cells, findings
from tests.conftest import asked


@pytest.fixture(scope="module")
def wall(studio):
    plan = studio.plan(asked("a photo of a nurse", "uniform", 5, 12, steps=4))
    *_, comparison = studio.run(plan)
    return comparison


def test_nothing_is_measured_twice(wall, monkeypatch):
    """The page, toggled twice, the terminal, the report, the table and the zip share one measuring; another
    pair makes another state."""
    calls, real = [], measures.of

    def counted(*arguments):
        calls.append(1)
        return real(*arguments)

    monkeypatch.setattr(measures, "of", counted)
    wall._measured = None
    for corrected in (False, True, False):
        for attribute in ("race", "gender", "age"):
            charts.histogram(wall, attribute, corrected, "en")
    findings(wall, "en"), cells(wall, "es"), terminal.table(wall), page.report(wall), table.images(wall)
    archive.zipped(wall)
    assert len(calls) == 1
    last = wall.pairs.pop()
    assert wall.measures.baseline.gender.n <= 4 and len(calls) == 2
    wall.pairs.append(last)


def test_every_front_end_says_the_same_counts(wall):
    found = wall.measures
    women = {side: found.side(side).gender.classes["Female"].count for side in SIDES}
    written = json.loads(json.dumps(wall.as_json()))["measures"]["debiased"]["gender"]["classes"]
    assert written["Female"]["count"] == women["debiased"]
    rows = list(csv.DictReader(io.StringIO(table.images(wall))))
    assert len(rows) == 10
    for side in SIDES:
        assert sum(row["gender"] == "Female" for row in rows if row["side"] == side) == women[side]
        n = found.side(side).gender.n
        for text in (terminal.table(wall), findings(wall, "en")):
            assert f"{women[side]} of {n}" in text
        assert f"{women[side]} of {n}," in page.report(wall)
    bars = {bar.meta: bar for bar in charts.histogram(wall, "gender", False, "en").data if bar.type == "bar"}
    assert {side: bar.customdata[0][0] for side, bar in bars.items()} == women


def test_a_prompt_is_no_formula_in_a_spreadsheet(wall):
    formula = replace(wall, prompts={pair.adapter: '=HYPERLINK("http://x")' for pair in wall.pairs})
    told = {row["prompt"] for row in csv.DictReader(io.StringIO(table.images(formula)))}
    assert '\'=HYPERLINK("http://x")' in told and not any(prompt.startswith("=") for prompt in told)


def test_what_is_put_into_html_is_escaped(wall):
    from dataclasses import replace

    from fairdemo.ui.face_wall import wall as tiles

    hostile = replace(wall.pairs[0], adapter='<img src=x onerror="alert(1)">')
    other = replace(wall, pairs=[hostile], notices=["<script>alert(2)</script>"], _measured=None)
    for text in (tiles(other, "debiased", 1, "en", {0: hostile.adapter}, {}), page.report(other)):
        assert "<img src=x" not in text and "<script>" not in text


def test_an_empty_comparison_has_measures(wall):
    from dataclasses import replace

    empty = replace(wall, pairs=[], _measured=None)
    assert empty.measures.twins.n == 0 and empty.measures.baseline.gender.to_target is None
    assert findings(empty, "en") == "" and json.dumps(empty.as_json(), allow_nan=False)
