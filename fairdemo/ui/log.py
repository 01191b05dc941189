"""What happens on a server, a line of JSON each on standard error, for whoever watches it. Nothing of who
visits, and no prompts unless FAIRDEMO_LOG=prompts."""

import json
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fairdemo.places import PACKAGE
from fairdemo.ui.operator import operator


def log(event: str, **facts: Any) -> None:
    """Writes an event with its facts; a fact named `prompt` only where that is wanted."""
    how = operator().log
    if how == "off":
        return
    if how != "prompts":
        facts.pop("prompt", None)
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"time": now, "event": event, **facts}, ensure_ascii=False) + "\n"
    sys.stderr.write(line)  # once, or lines of two threads get into one
    sys.stderr.flush()


def failed(error: BaseException) -> None:
    """Writes that something failed that nobody who visits can mend: its kind and the place in our files. Its
    words stay out, since they may hold a visitor's."""
    ours = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).is_relative_to(PACKAGE)]
    where = f"{Path(ours[-1].filename).relative_to(PACKAGE)}:{ours[-1].lineno}" if ours else ""
    log("failed", kind=type(error).__name__, where=where)
