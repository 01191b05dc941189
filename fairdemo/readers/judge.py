"""How well a classifier reads labelled photographs: by race, gender and age, with intervals, and the
confusions that corrected estimates need."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fairdemo.comparison import Face
from fairdemo.readers.labelled import Labelled
from fairdemo.readers.read import FaceReader
from fairdemo.stats.attributes import ATTRIBUTES, CLASSES
from fairdemo.stats.measure import interval

BATCH = 64


@dataclass(frozen=True)
class Judged:
    """A table with a row a picture: the true race, gender and age, whether it could be opened and a face
    was found in it, and how the largest face was read (`read_race`, ..., finer as `reading_race`, ...)."""

    table: pd.DataFrame

    def confusion(self) -> dict[str, dict[str, dict[str, int]]]:
        """Counts by attribute, true class and reading, as `measure.correct` wants them; classes without
        faces are left out."""
        found: Any = self.table[self.table.found]
        return {
            a: {
                c: dict(Counter(found[f"reading_{a}"][found[a] == c]))
                for c in classes
                if (found[a] == c).any()
            }
            for a, classes in CLASSES.items()
        }

    def report(self) -> dict[str, Any]:
        """Shares with counts and 95 % intervals: faces found; for each attribute what was read right, over
        all and by race, gender, age, and all three."""

        def share(flags: pd.Series) -> dict[str, Any]:
            count, n = int(flags.sum()), len(flags)
            return {
                "count": count,
                "n": n,
                "share": round(count / n, 4) if n else None,
                "interval": [round(v, 4) for v in interval(count, n)],
            }

        found: Any = self.table[self.table.found]
        result: dict[str, Any] = {
            "pictures": len(self.table),
            "not_opened": int((~self.table.opened).sum()),
            "found": share(self.table.found),
        }
        for a in ATTRIBUTES:
            right = found[a] == found[f"read_{a}"]
            result[a] = {
                "all": share(right),
                **{by: {c: share(right[found[by] == c]) for c in CLASSES[by]} for by in ATTRIBUTES},
                "groups": {
                    " ".join(key): share(right[rows.index]) for key, rows in found.groupby(list(ATTRIBUTES))
                },
            }
        return result


def judge(
    reader: FaceReader, data: Labelled, progress: Callable[[int], object] = lambda done: None
) -> Judged:
    """Reads all pictures; `progress(done)` after each batch."""
    rows: list[dict[str, Any]] = []
    for batch in data.batches(BATCH):
        faces = iter(reader.read([im for im in batch if im is not None]))
        rows += [row(None if im is None else next(faces)) for im in batch]
        progress(len(rows))
    return Judged(pd.concat([data.table.reset_index(drop=True), pd.DataFrame(rows)], axis=1))


def row(faces: list[Face] | None) -> dict[str, Any]:
    """What `Judged` holds of one picture's faces, largest first; None for a picture that can't be opened."""
    face = faces[0] if faces else None
    return {
        "opened": faces is not None,
        "found": face is not None,
        **{f"read_{a}": face.label(a) if face else None for a in ATTRIBUTES},
        **{f"reading_{a}": face.reading(a) if face else None for a in ATTRIBUTES},
    }


def lines(report: dict[str, Any]) -> list[str]:
    """A report as text, one line a number."""

    def words(title: str, s: dict[str, Any]) -> str:
        return f"{title:34}" + (
            f"{s['count']:>6} of {s['n']:<6} {s['share']:>6.1%}  ({s['interval'][0]:.1%} to"
            f" {s['interval'][1]:.1%})"
            if s["n"]
            else "none"
        )

    text = [
        f"{report['pictures']} pictures, {report['not_opened']} of them can't be opened",
        words("a face was found", report["found"]),
    ]
    for a in ATTRIBUTES:
        text += ["", words(f"{a} read as labelled", report[a]["all"])]
        text += [words(f"  of {c}", s) for by in ATTRIBUTES for c, s in report[a][by].items() if s["n"]]
        worst = sorted((s["share"], key) for key, s in report[a]["groups"].items() if s["n"] >= 5)[:3]
        text += [words(f"  least: {key}", report[a]["groups"][key]) for _, key in worst]
    return text
