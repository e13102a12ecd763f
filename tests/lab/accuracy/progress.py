"""How far a run is, on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from tests.lab.accuracy.results import Result
from tests.lab.scenario import Scenario

_EVERY = 30.0  # seconds between lines


class Progress:
    """Counts results towards `total`; use as a context manager. Wrong and broken ones are named at once."""

    def __init__(self, total: int, book: Mapping[str, Scenario]) -> None:
        self._total, self._book = total, book
        self._console = Console(stderr=True, soft_wrap=True)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task("verdicts", total=total)
        self._done = self._wrong = self._broken = 0
        self._began = self._said = time.monotonic()

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, result: Result) -> None:
        """Count one result."""
        run = result.run
        wanted = self._book[run.scenario].expected(control=run.control)
        found = [result.broken] if result.broken else wanted.disagreements(dict(result.said))
        self._done += 1
        self._broken += bool(result.broken)
        self._wrong += bool(found) and not result.broken
        if found:
            control = "" if run.control else ", no control"
            word = "BROKEN" if result.broken else "WRONG"
            self._console.print(
                f"{word} {run.scenario} (seed {run.seed}{control}): {found[0][:300]}", markup=False, highlight=False
            )
        self._bar.update(self._task, advance=1, description=f"{self._wrong} wrong, {self._broken} broken")
        now = time.monotonic()
        if self._bar.disable and (now - self._said >= _EVERY or self._done == self._total):
            self._said = now
            print(
                f"{self._done} of {self._total} verdicts in {now - self._began:.0f} s, "
                f"{self._wrong} wrong, {self._broken} broken",
                file=sys.stderr,
                flush=True,
            )
