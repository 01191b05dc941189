"""`python -m tests.soak --minutes N`: all that a server must bear, measured. Nothing else running; what is
printed goes into docs/performance.md."""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fairdemo.request import SERVER, Request
from fairdemo.studio.live import Live
from fairdemo.studio.studio import Studio
from tests import browser
from tests.soak import chaos, inputs, wear

WARM = 200  # walls until as many images are kept as may be


def visited(minutes: float, users: int) -> dict[str, Any]:
    """What visitors of a server of its own met."""
    with tempfile.TemporaryDirectory() as home:
        out, log = Path(home) / "visited.json", Path(home) / "log"
        with browser.served(log, FAIRDEMO_HOME=home, FAIRDEMO_LOG="on") as address:
            time.sleep(10)  # the model is loaded
            command = [
                sys.executable,
                "-m",
                "tests.soak.visitors",
                address,
                str(minutes),
                str(users),
                str(out),
            ]
            subprocess.run(command, check=True, capture_output=True)
        found = json.loads(out.read_text())
        ended = re.findall(r"^Traceback [^\n]*\n(?: [^\n]*\n|\n)*([^\n]+)", log.read_text(), re.M)
        found["tracebacks"] = dict(Counter(line[:200] for line in ended))
    return found


def labels(pairs: list[dict[str, Any]]) -> list[Any]:
    """What was read in each image of some pairs."""
    return [
        [[f["race"], f["gender"], f["age"]] for f in pair[side]["faces"]]
        for pair in pairs
        for side in ("baseline", "debiased")
    ]


def alike(compared: list[dict[str, Any]], studio: Studio) -> tuple[int, int]:
    """How many images that the API drew among others are read as when the same request is drawn alone, of how
    many."""
    same = of = 0
    for one in compared:
        prompt, n, seed, target, name = one["asked"]
        more: dict[str, Any] = {"steps": 4, "steering": False}
        plan = studio.plan(
            Request.checked(SERVER, prompt=prompt, n=n, seed=seed, target=target, profile=name, **more)
        )
        for _ in studio.run(plan):
            pass
        theirs, ours = labels(one["pairs"]), labels(plan.comparison.as_json()["pairs"])
        same += sum(a == b for a, b in zip(theirs, ours, strict=True))
        of += len(ours)
    return same, of


def told(found: dict[str, Any], studio: Studio) -> str:
    """What visitors met, in lines."""
    asked = found["requests"]
    page = {k: v for k, v in asked.items() if k.startswith(("page", "class"))}
    n = sum(v["n"] for v in page.values())
    spread = np.repeat([v["p95"] for v in page.values()], [v["n"] for v in page.values()])
    walls = asked.get("draw: a wall", {"n": 0, "p50": 0, "p95": 0})
    same, of = alike(found["compared"], studio)
    lines = [
        f"{found['users']} visitors, {found['minutes']:g} minutes: {n:,} answers of the page, slowest kinds:",
        *(
            f"  {name}: p95 {v['p95']:.0f} ms of {v['n']}"
            for name, v in sorted(page.items(), key=lambda item: -item[1]["p95"])[:5]
        ),
        f"  kinds with p95 over 500 ms hold {np.mean(spread > 500):.1%} of the answers",
        f"  {walls['n']} walls, p50 {walls['p50'] / 1000:.1f} s, p95 {walls['p95'] / 1000:.1f} s",
        f"  errors: {found['errors'] or 'none'}; crashed: {found['crashed'] or 'none'};"
        f" tracebacks: {found['tracebacks'] or 'none'}",
        f"  labels as drawn alone: {same} of {of} images",
    ]
    return "\n".join(lines)


def main() -> None:
    """Runs what is asked for, all by default."""
    parts = ("inputs", "chaos", "walls", "lessons", "visitors")
    parser = argparse.ArgumentParser(description="what a server must bear")
    parser.add_argument("parts", nargs="*", choices=[*parts, []], help=f"of {', '.join(parts)}; default: all")
    parser.add_argument("--minutes", type=float, default=15, help="of visitors (default 15)")
    parser.add_argument("--users", type=int, default=100, help="visitors at once (default 100)")
    parser.add_argument("--inputs", type=int, default=20_000, help="generated inputs (default 20,000)")
    parser.add_argument("--walls", type=int, default=600, help="walls back to back (default 600)")
    parser.add_argument("--lessons", type=int, default=30, help="lessons back to back (default 30)")
    args = parser.parse_args()
    studio = Studio(Live("embedded", "cpu"))

    def lessons() -> str:
        seen = wear.lessons(args.lessons)
        ends = "; ".join(
            f"{what} {seen[0][k]:.0f} to {seen[-1][k]:.0f}" for k, what in enumerate(wear.LOOKED)
        )
        return f"{args.lessons} lessons: {ends}"

    runs: dict[str, Callable[[], str]] = {
        "inputs": lambda: (
            f"{inputs.run(args.inputs):,} generated inputs, none answered otherwise than it may"
        ),
        "chaos": lambda: "\n".join(f"{name}: {said}" for name, said in chaos.every(studio)),
        "walls": lambda: wear.walls(studio, args.walls, WARM).told(),
        "lessons": lessons,
        "visitors": lambda: told(visited(args.minutes, args.users), studio),
    }
    for name in args.parts or parts:
        start = time.monotonic()
        print(f"{runs[name]()}\n  ({name}: {time.monotonic() - start:.0f} s)\n", flush=True)


if __name__ == "__main__":
    main()
