"""What many visitors and a class ask of two cores: python -m tests.class_load visitors|class

`visitors`: fifty at once, four pairs each, by the same path as the page's. `class`: forty students on a
server of its own. Nothing else running; numbers are in docs/performance.md."""

import argparse
import threading
import time

import numpy as np

from fairdemo.models.generating import Sample
from fairdemo.request import SERVER, Request
from fairdemo.stats.prompts import PROFESSIONS, photo_of
from fairdemo.studio.live import MODEL, Live
from fairdemo.studio.studio import Studio

VISITORS, PAIRS = 50, 4


def visitors() -> None:
    """Fifty visitors who press Draw in the same moment, each with a prompt and noise of their own."""
    live = Live("embedded")
    studio = Studio(live)
    MODEL.do(live.load)
    live.warm("a photo of a doctor")
    names = list(PROFESSIONS)
    asked = [
        Request.checked(SERVER, prompt=photo_of(names[k % len(names)]), n=PAIRS, seed=k, target="uniform")
        for k in range(VISITORS)
    ]
    plans = [studio.plan(one) for one in asked]
    first, done, start = {}, {}, time.perf_counter()

    def visit(k: int) -> None:
        for grown in studio.run(plans[k]):
            if grown.pairs:
                first.setdefault(k, time.perf_counter() - start)
        done[k] = time.perf_counter() - start

    threads = [threading.Thread(target=visit, args=(k,)) for k in range(VISITORS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = time.perf_counter() - start
    drawn = sum(len(plan.samples(range(PAIRS))) for plan in plans)
    print(f"{VISITORS} visitors, {PAIRS} pairs each ({drawn} images): {len(done)} served in {spent:.1f} s")
    print(f"first pair of the last visitor after {max(first.values()):.1f} s; {drawn / spent:.1f} images/s")
    whole(live, plans, drawn / spent)


def whole(live: Live, plans: list, pace: float) -> None:
    """The same shots by one caller in full batches, and labels of both."""
    shots = [(p.setting, s) for p in plans for s in p.samples(range(PAIRS))]
    size, again, start = 2 * live.profile.batch, {}, time.perf_counter()
    for k in range(0, len(shots), size):
        part = shots[k : k + size]
        again |= dict(zip(part, live.shots(part)))
    alone = len(shots) / (time.perf_counter() - start)
    print(f"one caller, whole batches: {alone:.1f} images/s; shared against it {pace / alone:.2f}")
    same = []
    for plan in plans:
        drawn = dict(zip(plan.samples(range(PAIRS)), live.fresh(plan.setting, plan.samples(range(PAIRS)))))
        for pair in plan.comparison.pairs:
            sides = (
                (Sample(pair.slot), pair.baseline),
                (Sample(pair.slot, plan.slots[pair.slot]), pair.debiased),
            )
            for sample, one in sides:
                same.append([f.cell for f in one.faces] == [f.cell for f in drawn[sample].faces])
    print(f"labels as drawn alone: {np.mean(same):.1%} of {len(same)} images ({live.generator.dtype})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["visitors"])
    # The main thread draws by itself, which would give torch a second set of helpers.
    run = threading.Thread(target={"visitors": visitors}[parser.parse_args().what])
    run.start()
    run.join()
