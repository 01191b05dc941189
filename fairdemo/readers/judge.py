"""How well classifiers read labelled pictures: by race, gender and age, with intervals, and the confusions
that corrected estimates need; several beside each other."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fairdemo.comparison import Face
from fairdemo.readers.detect import find_subject
from fairdemo.readers.labelled import Labelled
from fairdemo.readers.read import FaceReader
from fairdemo.stats import measure
from fairdemo.stats.attributes import AGE_BANDS, ATTRIBUTES, CLASSES, TARGET_CLASSES, band
from fairdemo.stats.measure import interval

BATCH = 64


@dataclass(frozen=True)
class Judged:
    """A table with a row a picture: the true race, gender and age, whether it could be opened and a face
    was found in it, and how the largest face was read (`read_race`, ..., finer as `reading_race`, ...)."""

    table: pd.DataFrame

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """The classes that pictures are labelled with: ages in groups, or in bands where words label them."""
        return TARGET_CLASSES if set(self.table.age) <= set(AGE_BANDS) else CLASSES

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
            for a, classes in self.classes.items()
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
                **{by: {c: share(right[found[by] == c]) for c in self.classes[by]} for by in ATTRIBUTES},
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
        rows += [row(None) if im is None else row(next(faces), im.size) for im in batch]
        progress(len(rows))
    table = pd.concat([data.table.reset_index(drop=True), pd.DataFrame(rows)], axis=1)
    judged = Judged(table)
    if judged.classes is TARGET_CLASSES:
        table["read_age"] = table.read_age.map(band, na_action="ignore")
        table["reading_age"] = table.read_age
    return judged


def row(faces: list[Face] | None, size: tuple[int, int] = (0, 0)) -> dict[str, Any]:
    """What `Judged` holds of the face that a picture of `size` is labelled for; None for a picture that can't
    be opened."""
    face = faces[find_subject([f.box for f in faces], size)] if faces else None
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


def compared(judged: dict[str, Judged]) -> dict[str, Any]:
    """Several classifiers on the same faces, those that all of them found: by attribute, over all and by
    group, each one's share of readings that are right; for every one after the first the change against the
    first (`measure.change`: paired, with its interval and McNemar's exact p-value, which the number of groups
    corrects by Holm's method), and how far it agrees with the first (`measure.agreement`)."""
    from statsmodels.stats.multitest import multipletests

    names = list(judged)
    both = pd.concat([one.table.found for one in judged.values()], axis=1).all(axis=1)
    tables: dict[str, Any] = {name: one.table[both] for name, one in judged.items()}
    truth, classes = tables[names[0]], judged[names[0]].classes
    result: dict[str, Any] = {"faces": int(both.sum()), "classifiers": names}
    for a in ATTRIBUTES if both.any() else ():
        right = {name: (t[a] == t[f"read_{a}"]).to_numpy() for name, t in tables.items()}
        members = {"all": np.ones(len(truth), bool)}
        members |= {f"{by} {c}": (truth[by] == c).to_numpy() for by in ATTRIBUTES for c in classes[by]}
        members = {group: rows for group, rows in members.items() if rows.any()}
        groups: dict[str, Any] = {
            group: {name: _share(right[name][rows]) for name in names} for group, rows in members.items()
        }
        for name in names[1:]:
            changes = [measure.change(right[names[0]][rows], right[name][rows]) for rows in members.values()]
            held: Any = multipletests([c.p for c in changes], method="holm")[1]
            for group, change, p in zip(groups.values(), changes, held):
                group[name] |= {
                    "difference": round(change.difference, 4),
                    "difference_interval": [round(v, 4) for v in change.interval],
                    "p": round(float(p), 6),
                }
        agreed = {
            name: measure.agreement(list(truth[f"read_{a}"]), list(tables[name][f"read_{a}"]))
            for name in names[1:]
        }
        result[a] = {
            "groups": groups,
            "agreement": {
                name: {"kappa": round(v.kappa, 4), "interval": [round(x, 4) for x in v.interval], "n": v.n}
                for name, v in agreed.items()
            },
        }
    return result


def compared_lines(found: dict[str, Any]) -> list[str]:
    """`compared` as text: a table an attribute, and who agrees with whom."""
    names = found["classifiers"]
    text = [f"{found['faces']} faces that every classifier found; right readings, 95 % intervals"]
    for a in (a for a in ATTRIBUTES if a in found):
        text += ["", f"{a:24}" + "".join(f"{name[-24:]:>26}" for name in names)]
        for group, shares in found[a]["groups"].items():
            cells = []
            for name in names:
                s = shares[name]
                low, high = s["interval"]
                sign = "*" if s.get("p", 1) < 0.05 else " "
                cells.append(f"{s['share']:>8.1%} ({low:.1%} to {high:.1%}){sign}")
            text.append(f"{group:17}{shares[names[0]]['n']:>6} " + "".join(f"{cell:>26}" for cell in cells))
        for name, v in found[a]["agreement"].items():
            low, high = v["interval"]
            told = f"Cohen's kappa {v['kappa']:.3f} ({low:.3f} to {high:.3f})"
            text.append(f"  {name} and {names[0]} agree on {a}: {told}")
    return [
        *text,
        "",
        (
            f"* other than {names[0]}: McNemar's exact test on the same faces, p < 0.05 by Holm's method over"
            " the groups of an attribute."
        ),
        "Agreement isn't validity: classifiers that learned from like pictures may err alike.",
    ]


def _share(right: Any) -> dict[str, Any]:
    count, n = int(right.sum()), len(right)
    return {"n": n, "share": round(count / n, 4), "interval": [round(v, 4) for v in interval(count, n)]}
