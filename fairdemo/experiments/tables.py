"""The documents' tables, written from what was measured: a document has a mark where a table stands,
which names a template in `tables/` or a record, written as it is. `fairdemo world tables` writes them all."""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fairdemo.experiments import evidence, methods_table, records
from fairdemo.places import SHIPPED
from fairdemo.stats import measure
from fairdemo.stats.attributes import CLASSES, GENDERS, RACES

DOCUMENTS = ("README.md", "assets/README.md") + tuple(
    f"docs/{name}.md" for name in ("audit", "data", "experiments", "methods", "performance", "validation")
)
MARKED = re.compile(r"(?<=<!-- table: )(\w+) -->\n.*?(?=<!-- end of table -->)", re.DOTALL)
# The runs of `world measure --only adjusted`, as the documents call them.
GRADIENTS = {
    "naive": "naive",
    "adjusted, A_t kept": "adjusted, A_t kept",
    "adjusted": "adjusted, A_t standardised",
}


def fill_tables(text: str, measured: Mapping[str, Any]) -> str:
    """A document with its tables as they follow from `measured.json`; jinja2.TemplateNotFound if it asks for
    one that there isn't, UndefinedError if what it needs wasn't measured."""
    return MARKED.sub(lambda found: f"{found[1]} -->\n{render_table(found[1], measured)}\n", text)


def render_table(name: str, measured: Mapping[str, Any]) -> str:
    """One table as Markdown."""
    if name in measured["records"]:
        return records.write_table(measured["records"][name])
    return environment().get_template(f"{name}.md").render(m=measured).strip()


def read_measured(root: Path = SHIPPED) -> dict[str, Any]:
    """What was measured: `assets/measured.json`, under "audits" each shipped audit's biases by method, with
    the "change" of that for gender against the baseline on the same noises, under "records" what commands
    printed."""
    measured = json.loads((root / "assets" / "measured.json").read_text(encoding="utf-8"))
    audits = {}
    for file in sorted((root / "assets" / "audit").glob("*/findings.json")):
        found = json.loads(file.read_text(encoding="utf-8"))
        audits[file.parent.name] = {
            one["origin"].partition(", ")[2]: {
                what: e and {"mean": e["value"], "interval": e["interval"], "prompts": e["n"]}
                for what, e in {**one["bias"], "change": one["change"]}.items()
            }
            for one in found["by_origin"]
        }
    return measured | {"audits": audits, "records": records.read_records(root)}


def write_tables(root: Path = SHIPPED) -> list[str]:
    """Writes all documents' tables; the names of the documents that changed."""
    measured = read_measured(root)
    changed = []
    for name in DOCUMENTS:
        before = (root / name).read_text(encoding="utf-8")
        after = fill_tables(before, measured)
        if after != before:
            (root / name).write_text(after, encoding="utf-8")
            changed.append(name)
    return changed


@cache
def environment() -> Environment:
    """What the templates can use."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "tables"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        f.__name__.removeprefix("write_"): f
        for f in (
            *(write_decimals, write_percent, write_interval, write_share, write_of_n, write_number),
            *(write_least, write_labels, write_significant, write_span),
        )
    }
    made.filters |= {
        "shares_of_adapters": shares_of_adapters,
        "name_run": name_run,
        "join_records": join_records,
    }
    made.filters["of"] = lambda key, mapping: mapping[key]
    made.globals |= {
        "side_by_side": evidence.side_by_side,
        "methods_table": methods_table.as_markdown,
        "races": RACES,
        "chance": measure.bias_by_chance,
        "gradients": GRADIENTS,
        "methods_of": lambda part: [(k, v) for k, v in part.items() if isinstance(v, dict) and "women" in v],
    }
    return made


def write_decimals(value: float, digits: int = 2) -> str:
    """0.7578 as "0.76"."""
    return f"{value:.{digits}f}"


def write_number(value: int) -> str:
    """1024 as "1,024"."""
    return f"{value:,}"


def write_percent(share: float, digits: int = 0) -> str:
    """0.957 as "96 %"; all and nothing have no decimals."""
    return f"{100 * share:.{0 if share in (0, 1) else digits}f} %"


def write_interval(estimate: Mapping[str, Any], digits: int = 2) -> str:
    """A mean with its interval: "0.24 (0.16 to 0.32)"."""
    low, high = estimate["interval"]
    return f"{estimate['mean']:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def write_share(estimate: Mapping[str, Any], digits: int = 0) -> str:
    """A share with its interval: "93 % (89 to 96)", "100 % (99.5 to 100)", "3.1 % (2.3 to 4.0)"."""
    low, high = (f"{100 * v:.0f}" for v in estimate["interval"])
    if digits and estimate["share"] < 0.1:
        low, high = (f"{100 * v:.{digits}f}" for v in estimate["interval"])
    elif low == high:
        low, high = (f"{100 * v:.1f}".removesuffix(".0") for v in estimate["interval"])
    return f"{write_percent(estimate['share'], digits)} ({low} to {high})"


def write_of_n(estimate: Mapping[str, Any]) -> str:
    """A share and what it is of: "95.8 % of 3,328"."""
    return f"{write_percent(estimate['share'], 1)} of {estimate['n']:,}"


def write_least(shares: Mapping[str, float]) -> str:
    """The least share and whose it is: "91.8 % (Indian)"."""
    name = min(shares, key=shares.__getitem__)
    return f"{write_percent(shares[name], 1)} ({name})"


def write_labels(shares: Mapping[str, float]) -> str:
    """Shares of race, gender and age: "99.9 %, 100 %, 98.5 %"."""
    return ", ".join(write_percent(shares[a], 1) for a in CLASSES)


def write_significant(value: float) -> str:
    """One significant digit, without an exponent: "0.0003"."""
    rounded = f"{value:.0e}"
    return f"{float(rounded):.{max(0, -int(rounded.split('e')[1]))}f}"


def write_span(values: Iterable[float]) -> str:
    """The least and the largest of several: "0.004 to 0.006"."""
    low, *_, high = sorted(values)
    ends = dict.fromkeys((write_significant(low), write_significant(high)))
    return " to ".join(ends)


def shares_of_adapters(found: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The shares of the twelve adapters for a race and a gender."""
    return {f"{r} {g}": found[f"{r} {g}"]["share"] for r in RACES for g in GENDERS}


def name_run(seed: int, gradient: str, steps: int) -> str:
    """The key of a run of `world measure --only adjusted`."""
    return f"{gradient}, {steps} steps, seed {seed}"


def join_records(names: Iterable[str], kept: Mapping[str, Any]) -> str:
    """Several records with the same head as one table."""
    parts = [kept[name] for name in names]
    return records.write_table(
        {"head": parts[0]["head"], "rows": [row for part in parts for row in part["rows"]]}
    )
