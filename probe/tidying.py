"""The store is kept to its terms beside the measuring, in a thread of its own.

Once an hour what is too old goes, first after ten minutes; and whenever a look, once a minute, finds the store larger
than it may be. Measuring does not wait for it and does not end with it: whatever goes wrong is logged, and tried again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import structlog

from measurements.keeping import Terms, Tidied

FIRST = 600.0  # seconds after the start
EVERY = 3600.0
LOOK = 60.0

log = structlog.get_logger("wazi.store")


class Keeper(Protocol):
    """Keeps a store to its terms; `measurements.keeping.Keeping` does."""

    terms: Terms

    def is_too_large(self) -> bool: ...

    def tidy(self) -> Tidied: ...

    def end(self) -> None: ...


@contextmanager
def tidying(
    keeper: Keeper,
    *,
    first: float = FIRST,
    every: float = EVERY,
    look: float = LOOK,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[None]:
    """Tidy while the block goes on; what is being deleted when it ends is finished to the end of its batch."""
    ended = threading.Event()

    def go_on() -> None:
        due = clock() + first
        while not ended.wait(look):
            try:
                if keeper.terms.are_any and (clock() >= due or keeper.is_too_large()):
                    due = clock() + every
                    _tell(keeper.tidy())
            except Exception:  # whatever it is, the next measurement matters more
                log.exception("the store could not be tidied")

    thread = threading.Thread(target=go_on, name="wazi-tidy", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        keeper.end()
        thread.join()


def _tell(done: Tidied) -> None:
    if done.measurements or done.pages:
        files = [str(path) for path in done.files]
        log.info("old measurements were deleted", measurements=done.measurements, pages=done.pages, archive=files)
    for why in done.trouble:
        log.warning("the store was not tidied", why=why)
