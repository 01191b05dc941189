"""Tables as a command printed them once, kept in `assets/records.json`: the documents' tables of speed,
memory and checks are written from these. A record has its `command`, the `processor` it ran on, the table's
`head` and its `rows`."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from fairdemo.models.precision import compute_dtype
from fairdemo.places import made, replace

FILE = "assets/records.json"


def read_records(root: Path) -> dict[str, dict[str, Any]]:
    """All records by name; none where there is no file."""
    path = root / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def write_record(name: str, command: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Keeps a table under its name, in the place of an earlier one."""
    root = made()
    record = {"command": command, "processor": describe_processor(), "head": head, "rows": rows}
    text = json.dumps(read_records(root) | {name: record}, indent=1, ensure_ascii=False)
    replace(root / FILE, text + "\n")


def describe_processor() -> str:
    """How many cores this machine has, what they can do, and in which format the models compute."""
    can = torch.backends.cpu.get_cpu_capability()
    return f"{os.cpu_count()} cores, {can}, {str(compute_dtype('cpu')).removeprefix('torch.')}"


def write_table(record: dict[str, Any]) -> str:
    """A record as a Markdown table."""
    head = record["head"]
    lines = [head, ["---"] * len(head), *record["rows"]]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)
