"""An event loop that does not wait: when nothing is left to do but a timer, it is that time already."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Hurry(selectors.DefaultSelector):
    ahead = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.ahead += timeout
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, hurry: _Hurry) -> None:
        self._hurry = hurry
        super().__init__(hurry)

    def time(self) -> float:
        return super().time() + self._hurry.ahead


def hurry(work: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """Run `work`, which may sleep but not use sockets; returns its result and the seconds it would have taken."""
    with asyncio.Runner(loop_factory=lambda: _Loop(_Hurry())) as runner:
        loop = runner.get_loop()
        start = loop.time()
        return runner.run(work), loop.time() - start
