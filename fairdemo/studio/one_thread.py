"""One thread for what torch computes: each thread that calls torch has helpers of its own, and where there
are more helpers than cores, they wait for each other (a third slower on two cores)."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


class OneThread:
    """Does work for other threads, in turn. It ends with the program, in the midst of what it does, which a
    `ThreadPoolExecutor` would wait for."""

    def __init__(self) -> None:
        self.work: SimpleQueue[tuple[Future, Callable[[], object]]] = SimpleQueue()
        self.started = threading.Lock()

    def do(self, call: Callable[[], T], seconds: float | None = None) -> T:
        """The result of a call, or what it raises; it sees the caller's context variables. TimeoutError if
        it takes longer than `seconds`."""
        return self.later(call).result(seconds)

    def later(self, call: Callable[[], T]) -> Future[T]:
        """The same without waiting for it."""
        if self.started.acquire(blocking=False):
            threading.Thread(target=self._run, daemon=True, name="model").start()
        future: Future[T] = Future()
        context = copy_context()
        self.work.put((future, lambda: context.run(call)))
        return future

    def _run(self) -> None:
        while True:
            future, call = self.work.get()
            try:
                future.set_result(call())
            except BaseException as error:  # also what ends a run early
                future.set_exception(error)
            del future, call  # until the next call, results belong to the caller alone
