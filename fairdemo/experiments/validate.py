"""Checks the science against known truth: intervals, corrected distributions, the mix, steering. Prints one
table, wanted beside measured.

Intervals and the order of slots need no images; corrected distributions are tried on drawn portraits whose
labels are known; steering on walls that the embedded model really draws."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.stats import binom
from tqdm import tqdm

from fairdemo.experiments import dtypes as both_dtypes
from fairdemo.experiments import records, small_grids
from fairdemo.models.sampling import Sample, by_default, next_batch
from fairdemo.stats import measure, mix, prompts, response, targets
from fairdemo.stats.attributes import ADULT_AGES, CELLS, CLASSES, GENDERS, RACES, TARGET_CLASSES
from fairdemo.studio.live import Live
from fairdemo.studio.studio import Studio
from fairdemo.world import build, corpus, tiny

Row = tuple[str, str, str]
HEAD = ("what", "wanted", "measured")
SIZES = (4, 8, 16, 64, 256)
PROMPT = prompts.read("a photo of a doctor")


def task_of(live: Live, target: targets.Target) -> mix.Task:
    """What a mix is solved for, of the prompt that everything is tried on."""
    return Studio(live).task(PROMPT, target, "independent")


def intervals(live: Live, work: Path) -> Iterator[Row]:
    """Coverage of `measure.interval`, exactly (every possible count weighted by its probability), at 97
    shares; of `measure.simultaneous` on 2,000 walls a setting."""
    shares, lowest, means = np.linspace(0.02, 0.98, 97), [], []
    for n in SIZES:
        low, high = np.array([measure.interval(k, n) for k in range(n + 1)]).T
        covered = np.array(
            [binom.pmf(np.arange(n + 1), n, p)[(low <= p) & (p <= high)].sum() for p in shares]
        )
        lowest.append(covered.min())
        means.append(covered.mean())
    yield (
        "95 % interval covers, least over shares 0.02 to 0.98, n = 4 to 256",
        ">= 93 %",
        f"{min(lowest):.1%}",
    )
    yield (
        "the same, mean over shares, by n = " + ", ".join(map(str, SIZES)),
        "94 to 98 %",
        ", ".join(f"{m:.1%}" for m in means),
    )
    rng = np.random.default_rng(0)
    worst = 1.0
    for k in (2, 5, 6):
        for p in (
            np.full(k, 1 / k),
            np.r_[0.7, np.full(k - 1, 0.3 / (k - 1))],
            np.r_[0.94, np.full(k - 1, 0.06 / (k - 1))],
        ):
            for n in SIZES:
                walls = rng.multinomial(n, p, 2000)
                hit = [
                    all(
                        low <= q <= high
                        for (low, high), q in zip(
                            measure.simultaneous(dict(enumerate(map(int, w)))).values(), p
                        )
                    )
                    for w in walls
                ]
                worst = min(worst, float(np.mean(hit)))
    yield (
        "simultaneous intervals cover all classes at once, least of 45 settings, 2,000 walls each",
        ">= 94 %",
        f"{worst:.1%}",
    )


def corrected(live: Live, work: Path) -> Iterator[Row]:
    """20 random distributions over race, gender and age, a wall of 1,000 portraits drawn for each: observed
    and corrected shares against the truth."""
    rng, known = np.random.default_rng(1), live.confusions.known
    errors: dict[str, list[tuple[float, float]]] = {a: [] for a in CLASSES}
    inside: list[bool] = []
    for wall in range(20):
        law: dict[str, dict[str, float]] = {
            a: dict(zip(used, rng.dirichlet(np.ones(len(used)))))
            for a, used in (("race", RACES), ("gender", GENDERS), ("age", ADULT_AGES))
        }
        table = corpus.distributed(law, 1000, 100 + wall)
        with tqdm(total=len(table), desc=f"drawing wall {wall + 1} of 20") as bar:
            images = corpus.draw_all(
                table, work / f"wall_{wall:02d}", tiny.SIZE, lambda done, _: bar.update(done - bar.n)
            )
        truth, faces = build.true_classes(table), build.read_faces(live.reader, images)
        for a, shares in law.items():
            pairs = [(true, f) for true, f in zip(truth[a], faces) if f]
            fixed = measure.correct(Counter(f.reading(a) for _, f in pairs), known[a], seed=wall)
            true, seen = Counter(t for t, _ in pairs), Counter(f.label(a) for _, f in pairs)
            observed = {c: seen[c] / len(pairs) for c in shares}
            off = [[abs(told[c] - true[c] / len(pairs)) for c in shares] for told in (observed, fixed.shares)]
            errors[a].append((float(np.mean(off[0])), float(np.mean(off[1]))))
            inside += [fixed.intervals[c][0] <= shares[c] <= fixed.intervals[c][1] for c in shares]
    for a, pairs in errors.items():
        observed, fixed = np.mean(pairs, 0)
        yield (
            f"corrected {a}: mean error a class, 20 walls of 1,000 portraits",
            f"<= 1.5 points and < observed ({100 * observed:.2f})",
            f"{100 * fixed:.2f} points",
        )
    yield (
        "corrected: 95 % intervals cover the distribution",
        "92 to 98 %",
        f"{np.mean(inside):.1%} of {len(inside)}",
    )


def mixes(live: Live, work: Path) -> Iterator[Row]:
    """200 random mixtures of the measured responses as targets; then orders and moved sliders."""
    rng = np.random.default_rng(2)
    uniform = targets.PRESETS["uniform"].target
    task = task_of(live, uniform)
    far = 0.0
    for _ in range(200):
        reachable = rng.dirichlet(np.full(len(task.choice), 0.2)) @ task.response
        far = max(
            far,
            float(
                np.abs(
                    mix.solve(mix.Task(task.choice, task.response, reachable, tuple(TARGET_CLASSES))).expected
                    - reachable
                ).max()
            ),
        )
    yield "mix: 200 random reachable targets, largest error of a cell", "<= 0.001", f"{far:.1e}"
    off = 0.0
    for _ in range(50):
        some = mix.Mix(task, rng.dirichlet(np.full(len(task.choice), 0.2)))
        order, placed = mix.ordered(some, mix.counts(some, 64)), np.zeros(len(task.choice))
        for k, i in enumerate(order, 1):
            placed[i] += 1
            off = max(off, float(np.abs(placed - k * some.weights).max()))
    yield (
        "order: largest distance of any prefix's count from its expectation, 50 mixes of 64",
        "<= 1",
        f"{off:.3f}",
    )
    start = mix.allot(mix.solve(task), 24)
    changes, least = [], []
    for attribute in ("race", "gender"):
        for c in TARGET_CLASSES[attribute]:
            for step in (0.1, -0.1):
                planned, moved = mix.remix(
                    task_of(live, moved_slider(uniform, attribute, c, step)), 24, start
                )
                changes.append(sum(a != b for a, b in zip(start, moved)))
                least.append(fewest_changes(planned, start, moved))
    yield (
        "one slider moved by 10 points, n = 24: slots changed, mean of 16 moves",
        f"<= {np.mean(least):.2f}, the least that the moved target allows",
        f"{np.mean(changes):.2f}",
    )


def moved_slider(target: targets.Target, attribute: str, name: str, step: float) -> targets.Target:
    """The target with one class's share moved by `step` and the others scaled, as linked sliders do."""
    shares = target[attribute]
    new = min(1.0, max(0.0, shares[name] + step))
    return {
        **target,
        attribute: {c: new if c == name else v * (1 - new) / (1 - shares[name]) for c, v in shares.items()},
    }


def fewest_changes(planned: mix.Mix, before: list[mix.Source], after: list[mix.Source]) -> int:
    """How many slots of `before` must change at least to give a wall with the class totals of `after` and
    every source within 1 of its share in the
    mix: an integer program over all such walls."""
    choice, n = planned.task.choice, len(after)
    old, new = (np.array([wall.count(s) for s in choice], float) for wall in (before, after))
    member = np.array(
        [[s.named(a) == c for s in choice] for a, names in TARGET_CLASSES.items() for c in (*names, None)],
        float,
    )
    k = len(choice)
    low, high = np.floor(n * planned.weights + 1e-6), np.ceil(n * planned.weights - 1e-6)
    # Any: scipy takes arrays, whatever its types say
    least: Any = np.r_[low, np.zeros(k)]
    most: Any = np.r_[high, np.full(k, n)]
    had: Any = old
    same: Any = member @ new
    return round(
        milp(
            np.r_[np.zeros(k), np.ones(k)],
            integrality=np.r_[np.ones(k), np.zeros(k)],
            bounds=Bounds(least, most),
            constraints=[
                LinearConstraint(np.hstack([member, np.zeros_like(member)]), same, same),
                LinearConstraint(np.hstack([np.eye(k), -np.eye(k)]), ub=had),
            ],
        ).fun
    )


def apart(cells: np.ndarray, wanted: targets.Target) -> float:
    """Mean total variation of the wished attributes between counted cells (36,) and the target."""
    have = targets.marginals((cells / cells.sum()).reshape(mix.SHAPE))
    return float(np.mean([measure.total_variation(have[a], wanted[a]) for a in wanted]))


def steering(live: Live, work: Path, walls: int = 100, n: int = 16) -> Iterator[Row]:
    """Debiased walls of 16 really drawn, uniform target: adapters picked at random as published (taken at
    their word), the mix without steering, and steered; distance is the mean total variation over race and
    gender."""
    target = targets.PRESETS["uniform"].target
    task = task_of(live, target)
    at_their_word = np.array([response.nominal(s, task.response[0]) for s in task.choice])
    word = mix.solve(mix.Task(task.choice, at_their_word, task.wanted, task.wished))
    solved = mix.solve(task)
    drawn = {
        "random": counted(live, [mix.allot(word, n, "random", k) for k in range(walls)]),
        "unsteered": counted(live, [mix.allot(solved, n) for _ in range(walls)]),
        "steered": counted(live, [mix.allot(solved, n) for _ in range(walls)], task),
    }
    means = {name: np.mean([apart(c, target) for c in cells]) for name, cells in drawn.items()}
    yield (
        f"steered walls of {n}: mean distance to uniform race and gender, {walls} walls",
        f"<= half of random ({means['random'] / 2:.3f})",
        f"{means['steered']:.3f}",
    )
    yield (
        "the same against slots without steering",
        f"<= 0.8 x {means['unsteered']:.3f} = {0.8 * means['unsteered']:.3f}",
        f"{means['steered']:.3f}",
    )


def counted(live: Live, slots: list[list[mix.Source]], steered: mix.Task | None = None) -> np.ndarray:
    """Draws walls of n slots each and counts the cells of their faces (walls, 36); slots that are left are
    `steered` after each batch where a task is given."""
    walls, n = len(slots), len(slots[0])
    cells, start = np.zeros((walls, len(CELLS))), 0
    setting = by_default(live.profile, PROMPT.text, 50_000)
    with tqdm(total=walls * n, desc="steered" if steered else "drawing") as bar:
        while start < n:
            size = len(next_batch(live.profile, list(range(start, n)), not start, steered is not None))
            wanted = [(w, i) for w in range(walls) for i in range(start, start + size)]
            for k in range(0, len(wanted), 64):
                part = wanted[k : k + 64]
                images = live.generator.draw(setting, [Sample(w * n + i, slots[w][i]) for w, i in part])
                for (w, _), faces in zip(part, live.reader.read(images)):
                    if faces:
                        cells[w, faces[0].cell] += 1
                bar.update(len(part))
            start += size
            if steered and start < n:
                for w in range(walls):
                    slots[w][start:] = mix.steer(steered, cells[w], slots[w][start:])
    return cells


def small(live: Live, work: Path) -> Iterator[Row]:
    """What is said of few faces, against simulated truth."""
    yield from small_grids.rows(live.confusions)


def dtypes(live: Live, work: Path) -> Iterator[Row]:
    """The same images in float32 and in bfloat16: 40 prompts of 16 noises, the baseline and the mix."""
    yield from both_dtypes.rows(both_dtypes.draw_twice(both_dtypes.every_prompt()))


CHECKS: dict[str, Callable[[Live, Path], Iterator[Row]]] = {
    f.__name__: f for f in (intervals, small, mixes, corrected, steering, dtypes)
}


def validate(only: str | None, work: Path, record: bool = False) -> None:
    """Prints a Markdown table of all checks or of the one named `only`; with `record` each check's rows are
    kept for the documents."""
    if only is not None and only not in CHECKS:
        raise ValueError(f"check {only!r} is unknown; allowed are {', '.join(CHECKS)}")
    live = Live("embedded")
    print(f"| {' | '.join(HEAD)} |\n| --- | --- | --- |")
    for name, check in CHECKS.items():
        if only in (None, name):
            rows = []
            for row in check(live, work):
                print(f"| {' | '.join(row)} |", flush=True)
                rows.append(row)
            if record:
                command = f"python -m fairdemo validate --only {name}"
                records.write_record(f"validate_{name}", command, HEAD, rows)
