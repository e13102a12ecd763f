"""The CPU that one coroutine uses, whatever else runs in between.

A peer can make us work without sending much: a bomb that inflates, a million one-byte chunks. A wall
clock cannot tell that work from a slow line, and a thread's clock cannot tell it from the other
measurements that share the event loop. So the coroutine is stepped by hand, and only its own steps count.
"""

from __future__ import annotations

import time
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class CpuMeter:
    """Seconds of CPU used by the coroutines that it ran."""

    def __init__(self) -> None:
        self._total = 0.0
        self._slice_began: float | None = None

    @property
    def used(self) -> float:
        """What was used so far, the step that is running now included."""
        running = 0.0 if self._slice_began is None else time.thread_time() - self._slice_began
        return self._total + running

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work` and count its CPU."""
        return await _Stepped(self, work)

    def _start(self) -> None:
        self._slice_began = time.thread_time()

    def _stop(self) -> None:
        self._total = self.used
        self._slice_began = None


class _Stepped(Generic[T]):
    """An awaitable that steps a coroutine (PEP 380's delegation, written out) and times each step."""

    def __init__(self, meter: CpuMeter, work: Coroutine[Any, Any, T]) -> None:
        self._meter = meter
        self._work = work

    def __await__(self) -> Generator[Any, Any, T]:
        error: BaseException | None = None
        while True:
            self._meter._start()
            try:
                waiting_for = self._work.send(None) if error is None else self._work.throw(error)
            except StopIteration as stop:
                result: T = stop.value
                return result
            finally:
                self._meter._stop()
            error = None
            try:
                yield waiting_for
            except GeneratorExit:
                self._work.close()
                raise
            except BaseException as thrown:
                error = thrown
