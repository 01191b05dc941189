"""ZeroGPU, the shared GPUs of Hugging Face Spaces: decorated work runs in a process that has a GPU for a
while. Elsewhere nothing is decorated.

Imported before torch uses a GPU, as `spaces` asks. What crosses over is pickled, so callbacks and events
stay behind (`Watch`)."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

Work = TypeVar("Work", bound=Callable)
ZERO = bool(os.environ.get("SPACES_ZERO_GPU"))
if ZERO:
    import spaces  # pyright: ignore[reportMissingImports]  # only on ZeroGPU


def on_gpu(duration: Callable[..., float]) -> Callable[[Work], Work]:
    """Decorates work that needs the GPU; `duration` takes the same arguments and says for how many
    seconds."""
    if not ZERO:
        return lambda work: work
    return spaces.GPU(duration=duration)


def _silent(*told: float) -> None:
    pass


class Flag(Protocol):
    """What may be set, as a `threading.Event`."""

    def is_set(self) -> bool:
        """Whether it is."""
        ...


@dataclass(frozen=True)
class Watch:
    """Who watches a drawing: `progress(share)` is told, and `cancel` ends it. In another process nobody
    does."""

    progress: Callable[[float], object] = _silent
    cancel: Flag | None = None
    wait: Callable[[float], object] = _silent  # told for how many seconds others come first
    done: int = 0  # images that this visitor's wall has already
    spent: Callable[[int, float], object] = _silent  # told of images that were drawn, and the model's seconds

    def part(self, done: int, size: int, of: int) -> "Watch":
        """For `size` of `of` images of a drawing of which `done` are drawn: its own share is told as one of
        the whole."""
        return replace(
            self, progress=lambda share: self.progress((done + share * size) / of), done=self.done + done
        )

    def __reduce__(self) -> tuple:
        return Watch, ()


SILENT = Watch()
