"""The folder of a training run: its settings, log, curves, pictures, and at the end the adapter's card and
catalog."""

import csv
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from accelerate import Accelerator
from filelock import FileLock, Timeout
from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

from fairdemo.models import catalog
from fairdemo.models.catalog import Adapter
from fairdemo.models.profiles import Profile
from fairdemo.places import replace
from fairdemo.training.settings import renamed


class Folder:
    """Within it the folder is this run's alone. A run that was started with the same settings goes on;
    ValueError if the folder holds another one, or is in use."""

    def __init__(
        self, path: Path, settings: dict[str, Any], columns: Iterable[str], total: int, devices: Accelerator
    ):
        self.path, self.columns, self.devices = path, ("step", *columns, "seconds"), devices
        self.settings = json.dumps(settings, indent=1, default=str) + "\n"
        self.rows: list[dict[str, float | None]] = []
        self.bar = tqdm(total=total, disable=not devices.is_main_process, desc=path.name, mininterval=2)

    def __enter__(self) -> "Folder":
        self.main = self.devices.is_main_process
        if self.main:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                self.lock = FileLock(self.path / ".lock")
                self.lock.acquire(timeout=0)
            except Timeout:
                raise ValueError(
                    f"folder {str(self.path)!r} is in use by a run that goes on; name another, or wait for it"
                ) from None
            except OSError as error:
                raise ValueError(f"folder {str(self.path)!r} can't be written: {error}") from None
            kept = self.path / "config.json"
            if kept.is_file() and renamed(json.loads(kept.read_text(encoding="utf-8"))) != json.loads(
                self.settings
            ):
                self.lock.release()
                raise ValueError(
                    f"folder {str(self.path)!r} holds a run with other settings; name a new one, or give the"
                    " same settings to go on"
                )
            log = self.path / "log.csv"
            if log.is_file():
                with log.open(encoding="utf-8") as file:  # a kill may have torn the last line
                    self.rows = [
                        {k: float(v) if v else None for k, v in row.items()}
                        for row in csv.DictReader(line for line in file if line.endswith("\n"))
                    ]
            self.devices.init_trackers("fairdemo")
        self.start = time.perf_counter()
        return self

    def write(self, step: int, row: dict[str, float | None]) -> None:
        """Adds a step's numbers to the log, the trackers and the bar; the curves are drawn every 20 steps.
        Steps logged before a kill that are done again replace what was logged."""
        if not self.main:
            return
        if not self.bar.n:
            # Not earlier: a run that found its data bad leaves the folder free.
            replace(self.path / "config.json", self.settings)
            self.rows = [r for r in self.rows if (r["step"] or 0) < step]
            self.before = (self.rows[-1]["seconds"] if self.rows else 0) or 0
            # The time left is told by steps alone: what was prepared before the first isn't one.
            self.bar.initial = self.bar.last_print_n = step
            self.bar.n, self.bar.start_t = step - 1, time.time()
            self.bar.last_print_t = self.bar.start_t
            replace(self.path / "log.csv", ",".join(self.columns) + "\n" + "".join(map(self.line, self.rows)))
        self.rows.append(
            {"step": step, **row, "seconds": round(self.before + time.perf_counter() - self.start, 1)}
        )
        with (self.path / "log.csv").open("a", encoding="utf-8") as file:
            file.write(self.line(self.rows[-1]))
        self.devices.log({k: v for k, v in row.items() if v is not None}, step=step)
        self.bar.update()
        if step % 20 == 0 or len(self.rows) == 1:  # and once the run ends
            self.draw()

    def line(self, row: dict[str, float | None]) -> str:
        """A row of the log as CSV."""
        return ",".join("" if (v := row.get(c)) is None else f"{v:.6g}" for c in self.columns) + "\n"

    def draw(self) -> None:
        """Draws the curves anew, whole or not at all."""
        curves(self.rows, [c for c in self.columns if c not in ("step", "seconds")]).savefig(
            self.path / "curves.part.png", dpi=110
        )
        (self.path / "curves.part.png").rename(self.path / "curves.png")

    def picture(self, step: int, make: Callable[[], Image.Image]) -> None:
        """Keeps a picture of a step."""
        if self.main:
            make().save(self.path / f"step_{step:05d}.png")

    def card(self, profile: Profile, found: list[Adapter], text: str) -> None:
        """Writes the model card and a catalog with the adapters, which FAIRDEMO_CATALOG can name."""
        self.bar.close()
        replace(
            self.path / "card.md",
            f"# {self.path.name}\n\nBase model: {profile.title or profile.name} (`{profile.model}`). Written"
            f" by `python -m fairdemo train`.\n\n{text.strip()}\n\n##"
            f" Settings\n\n```json\n{self.settings}```\n\nRace, gender and age are as perceived by a"
            " classifier; people in its images are generated.\n",
        )
        made = self.path / "catalog.toml"
        made.unlink(missing_ok=True)
        for adapter in found:
            catalog.add(made, adapter)

    def __exit__(self, kind: type | None, *rest: object) -> None:
        self.bar.close()
        if self.main:
            if self.rows:
                self.draw()
            self.devices.end_training()
            self.lock.release()


def curves(rows: list[dict[str, float | None]], columns: list[str]) -> Figure:
    """A small chart for each column over steps: every value faintly, the mean of the last twenty in full."""
    across = 3
    down = -(-len(columns) // across)
    figure = Figure(figsize=(4 * across, 2.4 * down), layout="constrained")
    for k, column in enumerate(columns):
        axes = figure.add_subplot(down, across, k + 1)
        known = [(r["step"], r[column]) for r in rows if r.get(column) is not None]
        points = pd.Series(dict(known), dtype=float)
        many = len(points) > 40
        marker = "" if len(points) > 60 else "."
        axes.plot(points, color="#2A788E", alpha=0.25 if many else 1, linewidth=1, marker=marker)
        if many:
            axes.plot(points.rolling(20, min_periods=1).mean(), color="#2A788E", linewidth=1.8)
        axes.set_title(column, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return figure
