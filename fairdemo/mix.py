"""From a target to slots: which adapters draw each of n images."""

import itertools
from dataclasses import dataclass

import numpy as np

from fairdemo.targets import TARGET_CLASSES, Target, cells

METHODS = ("largest remainder", "random")


@dataclass(frozen=True)
class Slot:
    """What one image is drawn with: names of adapters (none = baseline) and the cell that they stand for."""

    adapters: tuple[str, ...]
    cell: tuple[str, ...]

    @property
    def label(self) -> str:
        return " + ".join(self.adapters) or "baseline"


def largest_remainder(shares: dict[tuple[str, ...], float], n: int) -> dict[tuple[str, ...], int]:
    """Counts that sum to n, each share * n rounded down or up (Hamilton's method).

    Equal remainders go to the cell whose classes are furthest below their marginal shares, so that a small n stays
    balanced in each attribute too.
    """
    quota = {c: s * n for c, s in shares.items()}
    counts = {c: int(q + 1e-9) for c, q in quota.items()}
    open_ = {c: quota[c] - counts[c] for c in shares if quota[c] - counts[c] > 1e-9}

    def marginal_deficit(cell: tuple[str, ...]) -> float:
        return sum(sum(quota[c] - counts[c] for c in shares if c[i] == name) for i, name in enumerate(cell))

    for _ in range(n - sum(counts.values())):
        best = max(open_, key=lambda c: (round(open_[c], 9), round(marginal_deficit(c), 9)))
        counts[best] += 1
        del open_[best]
    return counts


def interleave(counts: dict[tuple[str, ...], int]) -> list[tuple[str, ...]]:
    """The cells in an order whose every prefix is close to the shares: each next cell has the largest deficit, in itself
    and in its classes."""
    n = sum(counts.values())
    left, order = dict(counts), []
    for step in range(1, n + 1):
        def deficit(cell: tuple[str, ...]) -> float:
            own = counts[cell] * step / n - (counts[cell] - left[cell])
            for i, name in enumerate(cell):
                same = [c for c in counts if c[i] == name]
                own += sum(counts[c] for c in same) * step / n - sum(counts[c] - left[c] for c in same)
            return round(own, 9)

        best = max((c for c in left if left[c]), key=deficit)
        left[best] -= 1
        order.append(best)
    return order


def slots(target: Target, n: int, adapters: dict[tuple[str, ...], str], named: dict[str, str], method: str, seed: int) -> list[Slot]:
    """The n slots for a target.

    `adapters` maps cells, (race, gender) and (age band,), to adapter names. Attributes that the prompt names itself
    (`named`, see `prompts.named`) are left to the prompt; so are attributes that the target doesn't set. When only one of
    race and gender is to be steered the other is held at what the prompt says, or spread evenly if it says nothing,
    since each adapter stands for a race and a gender. ValueError if an adapter for a wanted cell is missing.
    """
    if method not in METHODS:
        raise ValueError(f"method of choosing slots is {method!r}; allowed are {', '.join(METHODS)}")
    steered = {a: shares for a, shares in target.items() if a not in named}
    rows: list[list[tuple[str, ...]]] = []
    for group in (("race", "gender"), ("age",)):
        if not any(a in steered for a in group):
            continue
        full = {a: steered.get(a) or {c: float(c == named[a]) if a in named else 1 / len(TARGET_CLASSES[a]) for c in TARGET_CLASSES[a]} for a in group}
        shares = {c: s for c, s in cells(full, group).items() if s > 0}
        missing = [c for c in shares if c not in adapters]
        if missing:
            raise ValueError(f"no adapter in the catalog draws {' '.join(missing[0])}; it has {', '.join(sorted(adapters.values())) or 'none'}")
        rng = np.random.default_rng([seed, len(rows)])
        if method == "random":
            names = list(shares)
            picked = [names[i] for i in rng.choice(len(names), size=n, p=list(shares.values()))]
        else:
            picked = interleave(largest_remainder(shares, n))
            if rows:  # the second group is shuffled against the first, so that age is independent of race and gender
                picked = [picked[i] for i in rng.permutation(n)]
        rows.append(picked)
    return [Slot(tuple(adapters[c] for c in parts), tuple(itertools.chain(*parts))) for parts in zip(*rows)] if rows else [Slot((), ())] * n
