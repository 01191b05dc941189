"""What the documents say is what was measured: their tables are those of `assets/measured.json`, and what was
wanted and isn't reached is said to be so."""

import copy
import re

import pytest
from jinja2 import UndefinedError

from fairdemo.experiments import records, tables
from fairdemo.experiments.bars import Bar, missed, read_bars
from fairdemo.places import SHIPPED

MEASURED = tables.read_measured()


def read(name: str) -> str:
    return (SHIPPED / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("document", tables.DOCUMENTS)
def test_tables_are_what_was_measured(document):
    text = read(document)
    assert "<!-- table: " in text and tables.fill_tables(text, MEASURED) == text


def test_every_template_and_every_record_stands_in_a_document():
    texts = "".join(read(document) for document in tables.DOCUMENTS)
    folder, kept = SHIPPED / "fairdemo/experiments/tables", set(MEASURED["records"])
    templates = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    marked = set(re.findall(r"<!-- table: (\w+) -->", texts))
    assert marked - kept == set(templates)
    assert all(name in marked or any(f'"{name}"' in text for text in templates.values()) for name in kept)


def test_what_a_command_prints_is_kept_for_the_documents(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "made", lambda: tmp_path)
    (tmp_path / "assets").mkdir()
    records.write_record("a", "command one", ("what", "measured"), [("speed", "1.0 s")])
    records.write_record("b", "command two", ("what", "measured"), [("memory", "")])
    records.write_record("a", "command one", ("what", "measured"), [("speed", "0.5 s")])
    kept = records.read_records(tmp_path)
    assert list(kept) == ["a", "b"] and str(records.os.cpu_count()) in kept["a"]["processor"]
    assert records.write_table(kept["a"]) == "| what | measured |\n| --- | --- |\n| speed | 0.5 s |"
    joined = tables.join_records(["b", "a"], kept).splitlines()[2:]
    assert joined == ["| memory | |", "| speed | 0.5 s |"]


def test_a_table_follows_what_was_measured():
    measured = copy.deepcopy(MEASURED)
    measured["concepts"]["baseline"]["professions"]["mean"] = 0.123
    text = read("docs/experiments.md")
    assert "0.12 (0.82 to 1.00)" in tables.fill_tables(text, measured) and "0.12 (0.82" not in text
    with pytest.raises(UndefinedError, match="professions"):
        tables.fill_tables(text, {**MEASURED, "concepts": {}} | {"concepts": {"baseline": {}}})


def test_numbers_are_written_as_in_print():
    assert tables.write_significant(3.16e-05) == "0.00003" and tables.write_significant(0.0531) == "0.05"
    assert tables.write_share({"share": 1.0, "interval": [0.995, 1.0]}) == "100 % (99.5 to 100)"
    assert tables.write_share({"share": 0.93, "interval": [0.885, 0.962]}) == "93 % (88 to 96)"
    assert tables.write_span([0.004, 0.005, 0.0061]) == "0.004 to 0.006"


def test_bars_are_reached_or_said_not_to_be():
    """README says of these two that they aren't: 0.21 and 0.063 are wanted to be 0.20 and 0.06."""
    found = missed(MEASURED, read_bars())
    assert {bar.part for bar in read_bars()} <= set(MEASURED)
    assert [(bar.at_most, round(value, 3)) for bar, value in found] == [(0.2, 0.209), (0.06, 0.063)]
    assert "0.21 and 0.063; neither is reached" in read("README.md").replace("\n", " ")


def test_a_missed_bar_is_told_with_the_value_farthest_off():
    bars = [Bar("a", "x.*", at_least=0.5), Bar("a", "y", at_most=0.1), Bar("b", "z", at_least=1)]
    found = missed({"a": {"x": {"p": 0.4, "q": 0.2, "r": 0.9}, "y": 0.1}}, bars)
    assert found == [(bars[0], 0.2)] and bars[0].told() == "a: x.* >= 0.5"
    with pytest.raises(KeyError):
        missed({"a": {"x": {}}}, bars)
