"""From a target to slots: which adapters draw each of n images, and how the rest is steered while images
arrive.

Everything rests on a response: for each source (the baseline, an adapter, or a race and gender adapter with
an age adapter) the distribution over cells that its images are classified as. `solve` finds weights over
sources whose mixed response is nearest to what is wanted, `allot` makes whole slots of them, `rearrange`
keeps a moved slider from redrawing more than it must, and `steer` solves again for what is left after each
batch."""

import heapq
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from fairdemo.stats.attributes import CELLS, TARGET_CLASSES
from fairdemo.stats.targets import Target, marginals

BY_CHANCE = "random"
ROUNDINGS = ("largest remainder", BY_CHANCE)
AS_WELL = 0.02  # how much further a wall may be from the wish, in `features`, and reach it as well
SHAPE = tuple(map(len, TARGET_CLASSES.values()))


@dataclass(frozen=True)
class Source:
    """One way to draw an image; a slot is drawn with one."""

    adapters: tuple[str, ...] = ()  # names of adapters, added up; none: the model as it is
    cell: tuple[str, ...] = ()  # the classes that it stands for, at most one an attribute
    writer: str = ""  # who writes the prompt as this source sees it; empty: it is as it was asked
    edits: tuple[str, ...] = ()  # names of changes to the text's embeddings, done in this order
    guide: str = ""  # what leads its noise towards its cell while it is drawn; empty: nothing

    @property
    def label(self) -> str:
        """Its name in tables, responses and saved comparisons."""
        named = [
            " ".join((f"{who}:", *self.cell)).removesuffix(":") for who in (self.writer, self.guide) if who
        ]
        return " + ".join((*self.adapters, *named, *self.edits)) or "baseline"

    @property
    def is_baseline(self) -> bool:
        """Whether it is the model as it is, asked as it was asked."""
        return not (self.adapters or self.writer or self.edits or self.guide)

    def named(self, attribute: str) -> str | None:
        """The class of an attribute that the adapters stand for, None if they leave it to the model."""
        return next((c for c in self.cell if c in TARGET_CLASSES[attribute]), None)


BASELINE = Source()


def sources(adapters: Iterable[tuple[str, tuple[str, ...]]]) -> list[Source]:
    """Everything that can draw: the baseline first, then each adapter, then every combination of adapters
    for different attributes, e.g. of a race and gender with an age.

    `adapters` are names with the classes that they stand for, at most one an attribute; one that stands for
    none is never combined."""
    single = [Source((name,), cell) for name, cell in adapters]
    combined = [
        Source(tuple(s.adapters[0] for s in some), tuple(c for s in some for c in s.cell))
        for k in range(2, len(TARGET_CLASSES) + 1)
        for some in itertools.combinations(single, k)
        if all(s.cell for s in some)
        and all(sum(s.named(a) is not None for s in some) <= 1 for a in TARGET_CLASSES)
    ]
    return [BASELINE, *single, *combined]


def allowed(choice: list[Source], named: dict[str, str]) -> list[int]:
    """The sources that leave alone what the prompt itself names (`prompts.named`): indices into `choice`."""
    return [i for i, s in enumerate(choice) if all(s.named(a) in (None, c) for a, c in named.items())]


@dataclass(frozen=True)
class Task:
    """What a mix is solved for. `response` (S, 36): how each source's images are classified, rows sum to 1.
    `wanted` (36,): the joint distribution wanted; `wished`: the attributes that the target names, others
    are only kept if that costs the wished ones nothing.

    `drawn` (S,): the sources that the standing wall's pool draws first. Where they reach what was wished as
    well as all sources do, others are used no more than the wall has them already."""

    choice: list[Source]
    response: np.ndarray
    wanted: np.ndarray
    wished: tuple[str, ...]
    drawn: np.ndarray | None = None
    as_well: float = AS_WELL  # of the slots that are to be filled

    @property
    def baseline(self) -> np.ndarray:
        """1.0 for the sources that are the baseline, 0.0 for the others (S,)."""
        return np.array([float(s.is_baseline) for s in self.choice])


@dataclass(frozen=True)
class Mix:
    """Weights over a task's sources (S,), summing to 1, and what they are expected to give (36,)."""

    task: Task
    weights: np.ndarray

    @cached_property
    def expected(self) -> np.ndarray:
        """The distribution over cells (36,) that the mix is expected to give."""
        return self.weights @ self.task.response

    @property
    def distance(self) -> float:
        """Euclidean distance between expected and wanted over `features` of the wished attributes."""
        view = features(self.task.wished)
        return float(np.linalg.norm(view @ (self.expected - self.task.wanted)))

    def short(self, tolerance: float = 0.01) -> dict[str, dict[str, float]]:
        """What can't be reached: expected minus wanted share of each wished class where they differ by more
        than `tolerance`."""
        have, want = (marginals(v.reshape(SHAPE)) for v in (self.expected, self.task.wanted))
        gaps = {
            a: {c: have[a][c] - want[a][c] for c in have[a] if abs(have[a][c] - want[a][c]) > tolerance}
            for a in self.task.wished
        }
        return {a: g for a, g in gaps.items() if g}


def features(attributes: tuple[str, ...]) -> np.ndarray:
    """What the distance of a mix looks at, as sums of cells (F, 36): every class of each attribute, and
    every joint cell of the attributes."""
    axes = [i for i, a in enumerate(TARGET_CLASSES) if a in attributes]
    cells = np.eye(len(CELLS)).reshape(len(CELLS), *SHAPE)
    views = [*([i] for i in axes), *([axes] if len(axes) > 1 else [])]
    sums = [
        cells.sum(tuple(1 + k for k in range(3) if k not in view)).reshape(len(CELLS), -1).T for view in views
    ]
    return np.concatenate(sums) if sums else np.zeros((0, len(CELLS)))


def _nearest(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The weights w on the simplex that minimise |a w - b|, by non-negative least squares with the sum as a
    heavy last row."""
    from scipy.optimize import nnls

    heavy = 1e3 * max(1.0, np.abs(a).max())
    w = nnls(np.vstack([a, np.full(a.shape[1], heavy)]), np.append(b, heavy))[0]
    return w / w.sum()


def solve(task: Task, keep: np.ndarray | None = None) -> Mix:
    """The mix whose expected result is nearest to the wanted one: first in what was wished (`features`),
    then, at no cost to that, in all cells.

    Of the mixes with the same expected result the one with the most baseline images is taken, or, where
    `keep` gives the shares (S,) of a wall that exists, rather the one that changes least of it.
    `task.wanted` may have negative cells, as happens while steering."""
    from scipy.optimize import linprog

    if not task.wished:
        return Mix(task, task.baseline)
    view = features(task.wished)
    first = view @ task.response.T
    w = _nearest(first, view @ task.wanted)
    near = _of_pool(task, first, view @ task.wanted, np.zeros(len(w)) if keep is None else keep)
    if near is not None and np.linalg.norm(first @ (near - w)) <= task.as_well:
        return Mix(task, near)
    w = _nearest(np.vstack([3000 * first, task.response.T]), np.concatenate([3000 * first @ w, task.wanted]))
    s = len(w)
    # Variables: weights, and how much of each stays within `keep`. What was wished is held to a millionth,
    # single cells to half a thousandth.
    goal = np.concatenate([-task.baseline, np.full(s, 0.0 if keep is None else -4.0)])
    rows = np.vstack([first, task.response.T])
    slack = np.concatenate([np.full(len(first), 1e-6), np.full(len(CELLS), 5e-4)])
    held = np.hstack([rows, np.zeros_like(rows)])
    result = linprog(
        goal,
        A_ub=np.vstack([held, -held, np.hstack([-np.eye(s), np.eye(s)])]),
        b_ub=np.concatenate([slack + rows @ w, slack - rows @ w, np.zeros(s)]),
        A_eq=np.concatenate([np.ones(s), np.zeros(s)])[None],
        b_eq=[1],
        bounds=[(0, 1)] * s + [(0, k) for k in (np.zeros(s) if keep is None else keep)],
    )
    if result.status == 0:
        w = np.where(result.x[:s] > 1e-9, result.x[:s], 0)
    return Mix(task, w / w.sum())


def _of_pool(task: Task, first: np.ndarray, goal: np.ndarray, keep: np.ndarray) -> np.ndarray | None:
    """Weights (S,) that are as near to `goal` as the task's drawn sources come, of these the ones that keep
    most of the wall's shares `keep` and then use the baseline most; None where nothing is known of a
    pool."""
    from scipy.optimize import linprog

    if task.drawn is None or not task.drawn.any():
        return None
    best = np.zeros(len(keep))
    best[task.drawn] = _nearest(first[:, task.drawn], goal)
    s = len(best)
    result = linprog(
        np.concatenate([-task.baseline, np.full(s, -4.0)]),
        A_ub=np.hstack([-np.eye(s), np.eye(s)]),
        b_ub=np.zeros(s),
        A_eq=np.vstack(
            [np.hstack([first, np.zeros_like(first)]), np.concatenate([np.ones(s), np.zeros(s)])[None]]
        ),
        b_eq=np.append(first @ best, 1),
        bounds=[(0, 1 if d else k) for d, k in zip(task.drawn, keep)] + [(0, k) for k in keep],
    )
    return np.where(result.x[:s] > 1e-9, result.x[:s], 0) / result.x[:s].sum() if result.status == 0 else best


def only(task: Task, choice: list[Source], rows: np.ndarray) -> Mix:
    """A mix of other sources alone, with response `rows` (S, 36), for the same target: as near to it as
    they come where they stand for something wished, else all alike."""
    wished = tuple(a for a in task.wished if any(s.named(a) for s in choice))
    own = Task(choice, rows, task.wanted, wished)
    return solve(own) if wished else Mix(own, np.full(len(choice), 1 / len(choice)))


def counts(mix: Mix, n: int, keep: np.ndarray | None = None) -> np.ndarray:
    """Whole numbers of slots (S,) that sum to n: each weight times n rounded down or up.

    What is rounded up is chosen by a small integer program: the totals of every race, gender and age come
    first (else 60 % women of 24 could end as 12), then fewest changes against the counts `keep`, then the
    largest remainders, which alone decide where the program isn't solved. No more is rounded up than can
    come as late as `ordered` lets it."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    quota = n * mix.weights
    base = np.floor(quota + 1e-6)
    rest = np.clip(quota - base, 0, None)
    open_ = np.flatnonzero(rest > 1e-6)
    more = n - int(base.sum())
    if not more:
        return base.astype(int)
    classes = [(a, c) for a, names in TARGET_CLASSES.items() for c in (*names, None)]
    member = np.array([[s.named(a) == c for s in mix.task.choice] for a, c in classes], float)
    member = member[(member @ quota) > 0]
    k, m = len(open_), len(member)
    changes = (
        np.zeros(k)
        if keep is None
        else np.maximum(0, base[open_] + 1 - keep[open_]) - np.maximum(0, base[open_] - keep[open_])
    )
    # Then how far each total is from its quota.
    goal = np.round(np.concatenate([0.01 * changes - 0.001 * rest[open_], np.ones(m)]), 6)
    # Any: scipy takes arrays, whatever its types say
    gap: Any = np.round(member @ (quota - base), 6)
    most: Any = np.concatenate([np.ones(k), np.full(m, np.inf)])
    rows, eye = member[:, open_], np.eye(m)
    room: Any
    late, room = late_slots(mix.weights, base, open_, n)
    # Sparse, since for dense ones scipy makes every warning an error meanwhile, in other threads too.
    constraints = [
        LinearConstraint(csr_array(np.hstack([rows, -eye])), ub=gap),
        LinearConstraint(csr_array(np.hstack([rows, eye])), lb=gap),
        LinearConstraint(csr_array([[1.0] * k + [0.0] * m]), more, more),
        LinearConstraint(csr_array(np.hstack([late, np.zeros((len(room), m))])), ub=room),
    ]
    for presolve in (True, False):  # HiGHS gives up on some mixes of equal weights, mostly in its presolve
        result = milp(
            goal,
            integrality=np.concatenate([np.ones(k), np.zeros(m)]),
            bounds=Bounds(0, most),
            constraints=constraints,
            options={"presolve": presolve},
        )
        if result.x is not None:
            break
    up = (
        np.round(result.x[:k])
        if result.x is not None
        else np.argsort(np.argsort(-rest[open_], kind="stable")) < more
    )
    base[open_] += up
    return base.astype(int)


def late_slots(
    weights: np.ndarray, base: np.ndarray, open_: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """For each step at which it matters: which slots that may be rounded up come only later (steps, K), and
    how many of them still fit beside the whole ones (steps,). Slot j comes no earlier than (j - 1) / w."""
    step = np.arange(n)[:, None]
    whole = np.maximum(0, base - 1 - np.floor(step * weights + 1e-9)).sum(1)
    late = np.ceil(base[open_] / weights[open_] - 1e-9) > step
    room = n - step[:, 0] - whole
    matters = late.sum(1) > room
    return late[matters].astype(float), room[matters]


def ordered(mix: Mix, numbers: np.ndarray) -> list[int]:
    """Sources in an order whose every prefix of k slots holds each one within 1 of k times its weight.

    The j-th slot of a source with weight w may come no earlier than (j - 1) / w and no later than one after
    j / w; earliest deadline first finds such an order (as for the chairman assignment problem, Tijdeman
    1980). Ties go to the source whose classes are furthest behind, so that every prefix is balanced in each
    attribute as well."""
    n = int(numbers.sum())
    labels = [[s.named(a) for a in TARGET_CLASSES] for s in mix.task.choice]
    weights = np.where(numbers > 0, np.maximum(mix.weights, 1e-12), 0)
    total: dict[tuple[int, str | None], float] = {}
    for i, names in enumerate(labels):
        for key in enumerate(names):
            total[key] = total.get(key, 0) + numbers[i] / n
    waiting = [(0, int(i)) for i in np.flatnonzero(numbers)]  # (first place, source)
    heapq.heapify(waiting)
    ready: list[int] = []
    done = np.zeros(len(numbers), int)
    placed: dict[tuple[int, str | None], int] = {}
    order: list[int] = []
    for step in range(1, n + 1):
        while waiting and waiting[0][0] <= step:
            ready.append(heapq.heappop(waiting)[1])
        if not ready:
            ready.append(heapq.heappop(waiting)[1])

        def urgency(i: int, step: int = step) -> tuple[float, float, int]:
            due = min(n, math.floor((done[i] + 1) / weights[i] + 1e-9) + 1)
            behind = sum(total[key] * step - placed.get(key, 0) for key in enumerate(labels[i]))
            return due, -round(behind, 9), i

        best = min(ready, key=urgency)
        ready.remove(best)
        done[best] += 1
        for key in enumerate(labels[best]):
            placed[key] = placed.get(key, 0) + 1
        order.append(best)
        if done[best] < numbers[best]:
            heapq.heappush(waiting, (math.ceil(done[best] / weights[best] - 1e-9), best))
    return order


def rearrange(before: list[Source], after: list[Source]) -> list[Source]:
    """The slots `after`, in the order that changes fewest of those `before` and otherwise strays least from
    their own: an assignment problem."""
    from scipy.optimize import linear_sum_assignment

    place = np.arange(len(after))
    cost = np.array([[old != new for new in after] for old in before], float) + 1e-6 * np.abs(
        place[:, None] - place
    )
    return [after[j] for j in linear_sum_assignment(cost)[1]]


def allot(
    mix: Mix, n: int, rounding: str = ROUNDINGS[0], seed: int = 0, before: list[Source] | None = None
) -> list[Source]:
    """The n slots of a mix: by largest remainder in low-discrepancy order, or each at random by weight, as
    published.

    `before` are slots drawn or planned already: as few as possible of them change. ValueError if
    `rounding` is unknown."""
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding is {rounding!r}; allowed are {', '.join(ROUNDINGS)}")
    choice = mix.task.choice
    if rounding == BY_CHANCE:
        return [choice[i] for i in np.random.default_rng(seed).choice(len(choice), size=n, p=mix.weights)]
    keep = None if before is None else np.array([before.count(s) for s in choice])
    slots = [choice[i] for i in ordered(mix, counts(mix, n, keep))]
    return slots if before is None else rearrange(before, slots)


def remix(task: Task, n: int, before: list[Source]) -> tuple[Mix, list[Source]]:
    """The mix and slots for a moved target: of equally good mixes the one nearest to the slots `before`,
    with as few changes as possible."""
    shares = np.array([before.count(s) for s in task.choice]) / max(1, len(before))
    mix = solve(task, shares)
    return mix, allot(mix, n, before=before if len(before) == n else None)


def steer(task: Task, seen: np.ndarray, planned: list[Source]) -> list[Source]:
    """New slots for the ones still `planned`, now that faces were classified as `seen` (36,) counts: what
    is left makes up for what went otherwise, so that the finished wall is as near to the target as it can
    be."""
    n = seen.sum() + len(planned)
    share = len(planned) / n
    left = replace(task, wanted=task.wanted / share - seen / len(planned), as_well=AS_WELL / share)
    return remix(left, len(planned), planned)[1]


def expected_target(mix: Mix) -> Target:
    """The shares of every class that the mix is expected to give, as classified."""
    return marginals(mix.expected.reshape(SHAPE))
