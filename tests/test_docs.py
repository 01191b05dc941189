"""What the documents say is what was measured: their tables are those of `assets/measured.json`, and what was
wanted and isn't reached is said to be so."""

import copy
import re

import pytest
from jinja2 import UndefinedError

from fairdemo.experiments import tables
from fairdemo.experiments.bars import Bar, missed, read_bars
from fairdemo.places import SHIPPED

MEASURED = tables.read_measured()


def read(name: str) -> str:
    return (SHIPPED / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("document", tables.DOCUMENTS)
def test_tables_are_what_was_measured(document):
    text = read(document)
    assert "<!-- table: " in text and tables.fill_tables(text, MEASURED) == text


def test_every_template_stands_in_a_document():
    texts = "".join(read(document) for document in tables.DOCUMENTS)
    templates = (SHIPPED / "fairdemo/experiments/tables").glob("*.md")
    assert {path.stem for path in templates} == set(re.findall(r"<!-- table: (\w+) -->", texts))


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
