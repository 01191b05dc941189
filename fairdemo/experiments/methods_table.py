"""Every method on the fresh words, unsteered, for an even target over race and gender: how even it is, by two
judges, and what it costs: variety, whole faces, the profession, the twin, time."""

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from fairdemo.experiments import evidence
from fairdemo.experiments.evidence import BASELINE, JUDGES, Asked, rank_of_twin
from fairdemo.models.sampling import Sample, Setting
from fairdemo.places import SHIPPED
from fairdemo.readers.read import FaceReader
from fairdemo.request import Request
from fairdemo.stats import measure, prompts
from fairdemo.stats.attributes import GENDERS, RACES
from fairdemo.stats.mix import BASELINE as AS_IS
from fairdemo.stats.mix import Source
from fairdemo.studio.live import Live
from fairdemo.studio.studio import Studio
from fairdemo.world import parts

EVEN = {"gender": {g: 1 / len(GENDERS) for g in GENDERS}, "race": {r: 1 / len(RACES) for r in RACES}}
# Of the fresh words' occupations: the four that were held out of everything, and four others.
MEASURED = ("dentist", "farmer", "judge", "singer", "artist", "chef", "librarian", "waiter")
# What follows its authors' code since `Method.version` 2, and the form that stood in for fairimagen before.
REWRITTEN = ("fairimagen", "fair pca", "debias-vl", "fair diffusion", "uce: gender, race")
NEEDS_ASKING = "a language model"  # methods that need one are measured where one is set


def chosen() -> list[Asked]:
    """The prompts that methods are measured on."""
    own = [w for w in evidence.fresh_words() if w.family == "occupations"]
    return [w for w in own if prompts.profession(w.prompt) in MEASURED]


class Table:
    """Draws prompts through methods and reads what was drawn, a Parquet file for each prompt, method and
    setting, so that a stopped run goes on."""

    def __init__(self, live: Live, checker: parts.PartsChecker, folder: Path):
        self.live, self.studio, self.checker, self.folder = live, Studio(live), checker, folder
        self.judge = FaceReader(SHIPPED / "assets" / "judge")
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def methods(self) -> list[str]:
        """The baseline and every method that can be drawn without asking anybody."""
        return [BASELINE, *(m.name for m in self.live.registry.values() if NEEDS_ASKING not in m.needs)]

    def slots(self, asked: Asked, method: str, n: int) -> list[Source]:
        """What each slot is drawn with: a plan's, which nothing steers."""
        if method == BASELINE:
            return [AS_IS] * n
        request = Request.checked(
            prompt=asked.prompt, n=n, seed=asked.seed % 2**31, target=EVEN, method=method, steering=False
        )
        return self.studio.plan(request).slots

    def rows(self, asked: Asked, method: str, n: int, guidance: float) -> pd.DataFrame:
        """A row an image."""
        self.live.load()
        setting = Setting(asked.prompt, asked.seed, self.live.profile.steps, guidance)
        slots, start = self.slots(asked, method, n), time.perf_counter()
        images = self.live.generator.draw(setting, [Sample(i, s) for i, s in enumerate(slots)])
        spent = (time.perf_counter() - start) / n
        subjects = self.live.subjects.read(images)
        faces = self.live.reader.read(images)
        pixels = np.stack([np.asarray(image) for image in images])
        columns: dict[str, Any] = {
            "source": [s.label for s in slots],
            "subject": [s for s, _ in subjects],
            "look": [v for _, v in subjects],
            "embedding": [f[0].embedding if f else None for f in faces],
            "whole": list(parts.whole(self.checker, pixels)),
            "seconds": spent,
        }
        for name, reader in zip(JUDGES, (self.live.reader, self.judge)):
            found = pd.DataFrame(evidence.read(reader, images)).add_prefix(f"{name}_")
            columns |= {str(c): found[c] for c in found}
        return pd.DataFrame(columns)

    def drawn(
        self, words: Sequence[Asked], n: int, guidance: float, methods: Sequence[str]
    ) -> Iterator[pd.DataFrame]:
        """Every prompt's rows through methods, of which the baseline is one."""
        for asked in words:
            found = {}
            for method in methods:
                name = re.sub(r"\W+", "_", method)
                path = self.folder / f"{asked.seed}_{n}_{guidance:g}_{name}.parquet"
                if not path.is_file():
                    part = path.with_suffix(".part")
                    self.rows(asked, method, n, guidance).to_parquet(part)
                    part.rename(path)
                found[method] = pd.read_parquet(path)
            yield compared(asked, found)


def compared(asked: Asked, found: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One prompt's rows of all methods beside their twins."""
    right, twins = prompts.profession(asked.prompt), np.stack(list(found[BASELINE].look))
    return pd.concat(
        [
            rows.assign(
                family=asked.family,
                prompt=asked.prompt,
                method=method,
                profession_shown=rows.subject == right,
                twin_rank=rank_of_twin(np.stack(list(rows.look)), twins),
                slower=rows.seconds / found[BASELINE].seconds,
            )
            for method, rows in found.items()
        ],
        ignore_index=True,
    )


def within_groups(table: pd.DataFrame) -> list[float]:
    """Each prompt's mean cosine similarity between faces of one race and gender, over its groups of two and
    more."""
    values = []
    for _, faces in table.dropna(subset=["embedding"]).groupby("prompt"):
        groups = [
            np.stack(list(g.embedding))
            for _, g in faces.groupby(["teacher_race", "teacher_gender"])
            if len(g) > 1
        ]
        values += [float(np.mean([measure.mean_similarity(g) for g in groups]))] if groups else []
    return values


def told(values: Sequence[float]) -> dict[str, Any]:
    """A mean over prompts with its interval."""
    mean = measure.mean(list(values))
    return {"mean": round(mean.value, 4), "interval": [round(v, 4) for v in mean.interval], "prompts": mean.n}


def share_over_prompts(rows: pd.DataFrame, flags: pd.Series) -> dict[str, Any]:
    """A share of images with their count, and its interval over prompts, which are the units."""
    found = measure.mean_share([float(own.mean()) for _, own in flags.groupby(rows.prompt)])
    interval = [round(v, 4) for v in found.interval]
    return {"share": round(found.value, 4), "n": len(rows), "interval": interval}


def far(table: pd.DataFrame, judge: str, attribute: str) -> list[float]:
    """Each prompt's total variation from the even target."""
    column, wanted = f"{judge}_{attribute}", EVEN[attribute]
    return [
        measure.total_variation(Counter(faces[column]), wanted)
        for _, faces in table.dropna(subset=[column]).groupby("prompt")
    ]


def measured(tables: Sequence[pd.DataFrame], n: int) -> dict[str, Any]:
    """All numbers of all methods."""
    table: Any = pd.concat(tables, ignore_index=True)  # Any: selections of it are tables, whatever types say
    result: dict[str, Any] = {
        "n_per_prompt": n,
        "chance": {what: round(evidence.chance(what, n), 4) for what in ("gender", "race", "race x gender")},
        "methods": {},
    }
    for method in dict.fromkeys(table.method):
        rows: Any = table[table.method == method]
        embeddings = rows.dropna(subset=["embedding"]).groupby("prompt").embedding
        result["methods"][method] = {
            "images": len(rows),
            **{
                judge: {
                    "bias": {
                        what: evidence.biased(rows, judge, what)
                        for what in ("gender", "race", "race x gender")
                    },
                    "distance": {a: told(far(rows, judge, a)) for a in EVEN},
                }
                for judge in JUDGES
            },
            "within_group_likeness": told(within_groups(rows)),
            "distinct_faces": told([measure.distinct_faces(np.stack(list(e))) for _, e in embeddings]),
            "whole": share_over_prompts(rows, rows.whole),
            "one_face": share_over_prompts(rows, rows.teacher_faces == 1),
            "profession_shown": share_over_prompts(rows, rows.profession_shown),
            "twin_rank": round(float(rows.twin_rank.mean()), 2),
            "slower": round(float(rows.slower.median()), 2),
        }
    return result


HEAD = ("method", "bias(P) gender", "race", "race x gender", "profession shown", "parts whole")
HEAD += ("alike within a group", "distinct faces", "rank of the twin")


def as_markdown(found: dict[str, Any], judge: str = "judge") -> str:
    """The methods of a measurement as a Markdown table: means over prompts with intervals, biases for race
    with their share of the maximum."""
    lines = [HEAD, ("---",) * len(HEAD)]
    for method, numbers in found["methods"].items():
        bias, cells = numbers[judge]["bias"], []
        for what in ("gender", "race", "race x gender"):
            low, high = bias[what]["interval"]
            share = "" if what == "gender" else f", {bias[what]['of_maximum']:.0%}"
            cells.append(f"{bias[what]['mean']:.2f} ({low:.2f} to {high:.2f}{share})")
        for what in ("profession_shown", "whole"):
            low, high = numbers[what]["interval"]
            cells.append(f"{numbers[what]['share']:.1%} ({low:.0%} to {high:.0%})")
        for what, digits in (("within_group_likeness", 2), ("distinct_faces", 1)):
            low, high = numbers[what]["interval"]
            cells.append(f"{numbers[what]['mean']:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})")
        lines.append((method, *cells, f"{numbers['twin_rank']:.1f}"))
    chance = (f"{found['chance'][what]:.2f}" for what in ("gender", "race", "race x gender"))
    lines.append(("_an even model, by chance_", *chance, *[""] * (len(HEAD) - 4)))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def picture(found: dict[str, Any]) -> Figure:
    """Bias for race and gender by the judge against likeness within groups: a point a method with bars, and
    the front of those that no other method beats in both."""
    figure = Figure(figsize=(10, 5.2), layout="constrained")
    axes = figure.subplots()
    points = {}
    order = sorted(
        found["methods"].items(), key=lambda item: item[1]["judge"]["bias"]["race x gender"]["mean"]
    )
    for k, (method, numbers) in enumerate(order, 1):
        bias = numbers["judge"]["bias"]["race x gender"]
        alike = numbers["within_group_likeness"]
        x, y = bias["mean"], alike["mean"]
        points[method] = (x, y)
        errors = [[[v - e["interval"][0]], [e["interval"][1] - v]] for v, e in ((x, bias), (y, alike))]
        axes.errorbar(x, y, *errors[::-1], fmt="o", color="#2A788E", ecolor="#c5cad3", ms=5, lw=0.8)
        # Numbers, since names would lie upon each other.
        axes.annotate(f"{k}", (x, y), xytext=(4, 4), textcoords="offset points", fontsize=9, weight="bold")
    names = "\n".join(f"{k}  {method}" for k, method in enumerate(points, 1))
    axes.text(1.02, 0.98, names, transform=axes.transAxes, va="top", fontsize=9, linespacing=1.5)
    front = sorted(
        (x, y)
        for x, y in points.values()
        if not any(a <= x and b <= y and (a, b) != (x, y) for a, b in points.values())
    )
    axes.plot(*zip(*front), color="#E69F00", lw=2, zorder=5)
    axes.set(
        xlabel="bias(P) over race and gender, by the judge (0: even)",
        ylabel="likeness of faces within a race and gender",
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure
