"""Progress on the terminal."""

from collections.abc import Callable

from tqdm import tqdm


def following(bar: tqdm) -> Callable[[int, int], None]:
    """Moves a bar to (done, of)."""

    def follow(done: int, of: int) -> None:
        bar.total = of
        bar.update(done - bar.n)

    return follow
