"""What is said of few faces, against simulated truth: corrected shares, bias(P), whether a wish is reached,
whether anything changed. The shipped classifier's confusion is taken as the law by which faces are read."""

from collections.abc import Iterator, Mapping

import numpy as np
from scipy.stats import binom
from tqdm import tqdm

from fairdemo.stats import equivalence, measure
from fairdemo.stats.confusions import Confusions

SIZES = (4, 8, 16, 64, 500)
TOPS = (None, 0.6, 0.8, 0.9, 1.0)  # the largest class's share; None: all alike
GRIDS = 60  # a setting
WORST, AGAIN = 3, 10  # the settings that cover least are simulated again, on as many times the grids
HALF = {"Female": 0.5, "Male": 0.5}


def law_of(top: float | None, classes: int) -> np.ndarray:
    """Shares (K,) of which one is `top` and the others are alike."""
    if top is None:
        return np.full(classes, 1 / classes)
    return np.r_[top, np.full(classes - 1, (1 - top) / (classes - 1))]


def simulate_corrections(
    confusions: Confusions,
    attribute: str,
    n: int,
    top: float | None,
    grids: int,
    seed: int,
    by: str = "known",
) -> tuple[np.ndarray, float, float]:
    """Of grids of n faces that are read `by` the known confusion, or the one on "generated" faces: how often
    each class's corrected interval holds its share, the largest class first (K,); the share of grids whose
    intervals all hold their estimates; the intervals' mean width. Which class is the largest changes from
    grid to grid."""
    confusion = getattr(confusions, by)[attribute]
    columns = sorted({reading for row in confusion.values() for reading in row})
    table = np.array([[row.get(c, 0) for c in columns] for row in confusion.values()], float)
    table /= table.sum(1, keepdims=True)
    rng, law = np.random.default_rng(seed), law_of(top, len(confusion))
    held, inside, widths = np.zeros(len(law)), 0, []
    for grid in range(grids):
        order = rng.permutation(len(law))
        shares = np.empty(len(law))
        shares[order] = law
        counts = {c: int(k) for c, k in zip(columns, rng.multinomial(n, shares @ table)) if k}
        found = measure.correct(
            counts, confusions.known[attribute], confusions.generated.get(attribute), seed=grid
        )
        low, high = np.array([found.intervals[c] for c in confusion]).T
        held += ((low <= shares) & (shares <= high))[order]
        estimate = np.array(list(found.shares.values()))
        inside += bool(((low <= estimate) & (estimate <= high)).all())
        widths.append((high - low).mean())
    return held / grids, inside / grids, float(np.mean(widths))


def simulate_bias(n: int, top: float | None, classes: int, grids: int, seed: int) -> float:
    """How often the interval of bias(P) holds the law's, among grids of n faces."""
    rng, law = np.random.default_rng(seed), law_of(top, classes)
    true, held = measure.bias(dict(enumerate(law))), 0
    for _ in range(grids):
        low, high = measure.bias_interval(dict(enumerate(map(int, rng.multinomial(n, law)))))
        held += low - 1e-9 <= true <= high + 1e-9
    return held / grids


def called_as_wanted(n: int, share: float) -> float:
    """How often n faces of this share of women are called as wanted where half was; exactly."""
    verdicts = [equivalence.judge({"Female": k, "Male": n - k}, HALF) for k in range(n + 1)]
    weights = binom.pmf(np.arange(n + 1), n, share)
    return float(sum(w for w, verdict in zip(weights, verdicts) if verdict == "as_wanted"))


def simulate_looks(law: Mapping[str, float], pairs: int, grids: int, seed: int) -> float:
    """How many grids of twins with one law are called changed at any look, from 3 pairs on after every 12."""
    rng, ever = np.random.default_rng(seed), 0
    for _ in range(grids):
        one, other = (list(rng.choice(list(law), pairs, p=list(law.values()))) for _ in range(2))
        looks = (measure.anytime_parity(one[:n], other[:n], list(law)) for n in range(3, pairs + 1, 12))
        ever += any(p < 0.05 for p in looks)
    return ever / grids


def rows_of_corrections(
    confusions: Confusions, attribute: str, by: str, grids: int
) -> Iterator[tuple[str, str, str]]:
    """An attribute's corrected shares where faces are read `by` a confusion. The least coverage of 25
    settings is low by chance; so the settings that cover least are chosen on some grids and reported on
    others."""
    settings = [(n, top) for n in SIZES for top in TOPS]
    found = {
        (n, top): simulate_corrections(confusions, attribute, n, top, grids, 17 * k, by)
        for k, (n, top) in enumerate(tqdm(settings, desc=f"corrected {attribute}, {by}"))
    }
    worst = sorted(found, key=lambda setting: found[setting][0].min())[:WORST]
    again = [
        simulate_corrections(confusions, attribute, n, top, AGAIN * grids, 1009 + 17 * k, by)
        for k, (n, top) in enumerate(tqdm(worst, desc="the least of them again"))
    ]
    least = min(one[0].min() for one in again)
    mean = np.mean([one[0].mean() for one in found.values()])
    width = np.mean([one[2] for (n, _), one in found.items() if n == 16])
    read = {"known": "portraits", "generated": "generated faces"}[by]
    yield (
        f"corrected {attribute}, read as {read} are: 95 % interval covers, least of a class; mean",
        ">= 92 %; >= 95 %",
        f"{least:.1%}; {mean:.1%}",
    )
    yield (
        "the same: intervals hold their estimates; mean width at n = 16",
        "100 %",
        f"{np.mean([one[1] for one in found.values()]):.0%}; {width:.2f}",
    )


def row_of_bias(classes: int, grids: int) -> tuple[str, str, str]:
    """How often intervals of bias(P) cover; the least as in `rows_of_corrections`."""
    covered = {
        (n, top): simulate_bias(n, top, classes, grids, 5)
        for n, top in tqdm([(n, top) for n in SIZES[:-1] for top in TOPS], desc=f"bias(P) of {classes}")
    }
    worst = sorted(covered, key=covered.__getitem__)[:WORST]
    again = [simulate_bias(n, top, classes, AGAIN * grids, 1009) for n, top in worst]
    return (
        f"bias(P) of {classes} classes: 95 % interval covers, least (n = 4 to 64); mean",
        ">= 90 %; >= 95 %",
        f"{min(again):.1%}; {np.mean(list(covered.values())):.1%}",
    )


def rows(confusions: Confusions, grids: int = GRIDS) -> Iterator[tuple[str, str, str]]:
    """What, wanted, measured."""
    for attribute in confusions.known:
        yield from rows_of_corrections(confusions, attribute, "known", grids)
    for attribute in confusions.generated:
        yield from rows_of_corrections(confusions, attribute, "generated", grids)
    for classes in (2, 6, 12):
        yield row_of_bias(classes, grids)
    wrong = [called_as_wanted(n, 0.3) for n in (8, 16, 32)]
    yield (
        "called as wanted: 30 % women where 50 % are wanted, n = 8, 16, 32; 50 %, n = 256",
        "<= 5 %; >= 80 %",
        f"{', '.join(f'{w:.1%}' for w in wrong)}; {called_as_wanted(256, 0.5):.1%}",
    )
    laws = {"two classes": {"Female": 0.4, "Male": 0.6}, "six": dict(zip("abcdef", law_of(0.5, 6)))}
    yield (
        f"called changed at any look up to 256 pairs, though nothing did, {2 * grids:,} grids of"
        f" {' and of '.join(laws)}",
        "<= 5 %",
        ", ".join(f"{simulate_looks(law, 256, 2 * grids, 1):.1%}" for law in laws.values()),
    )
