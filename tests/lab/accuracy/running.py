"""Runs in parallel labs: one thread a lab, which is kept for many runs and replaced when it breaks.

A run that broke its lab is tried once more in a fresh one; only then is it given up, as broken. A lab that cannot
be started at all ends everything, and so do many broken runs in a row: then it is the lab that is broken.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import msgspec

from tests.lab.accuracy.results import Result, Run, broke, told
from tests.lab.attempt import Laboratory, attempt
from tests.lab.scenario import Scenario
from tests.lab.spaces import LabError

PATIENCE = 300.0  # seconds for one run; `wazi check` itself gets fewer
_TRIES = 2
_HOPELESS = 12  # broken runs in a row


class RunningLab(Laboratory, Protocol):
    """A lab that somebody started and must end."""

    def close(self) -> None: ...
    def kill(self) -> None: ...


Open = Callable[[Path], RunningLab]
Spoil = Callable[[Run, dict[str, Any]], None]


class Crew:
    """A number of labs that work off a plan. `see` is handed every line that was printed.

    `limit` says which deadline, in seconds, the labs' settings give a measurement of a nettest.
    """

    def __init__(
        self,
        code: str,
        book: Mapping[str, Scenario],
        open_lab: Open,
        work: Path,
        *,
        limit: Callable[[str], float],
        see: Spoil,
        patience: float = PATIENCE,
    ) -> None:
        self._code, self._book, self._open, self._work = code, book, open_lab, work
        self._limit, self._see, self._patience = limit, see, patience
        self._results: SimpleQueue[Result | LabError | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._labs: dict[int, RunningLab] = {}
        self._opened = 0
        self._lock = threading.Lock()

    def run(self, plan: Sequence[Run], labs: int) -> Iterator[Result]:
        """Yield results as they come; raises `LabError` when a lab cannot be started."""
        waiting: SimpleQueue[Run] = SimpleQueue()
        for one in plan:
            waiting.put(one)
        count = min(labs, len(plan))
        threads = [threading.Thread(target=self._work_off, args=(waiting, n), daemon=True) for n in range(count)]
        for thread in threads:
            thread.start()
        in_a_row = 0
        try:
            while count:
                result = self._results.get()
                if isinstance(result, LabError):
                    raise result
                if result is None:
                    count -= 1
                    continue
                yield result
                in_a_row = in_a_row + 1 if result.broken else 0
                if in_a_row == _HOPELESS:
                    raise LabError(f"{in_a_row} runs in a row broke, the last one because {result.broken}")
        finally:
            self._stopping.set()
            with self._lock:
                for lab in self._labs.values():
                    lab.kill()
            for thread in threads:
                thread.join(30)

    def _work_off(self, waiting: SimpleQueue[Run], place: int) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    run = waiting.get_nowait()
                except Empty:
                    break
                result = self._try(run, place)
                if not self._stopping.is_set():
                    self._results.put(result)
        except LabError as error:
            self._results.put(error)
        finally:
            self._drop(place)
            self._results.put(None)

    def _try(self, run: Run, place: int) -> Result:
        """Return what a run shows, or that it broke as often as it was tried."""
        why = ""
        for _ in range(_TRIES):
            lab = self._labs.get(place) or self._fresh(place)
            alarm = threading.Timer(self._patience, lab.kill)
            began = time.monotonic()
            alarm.start()
            try:
                return self._once(run, lab)
            except LabError as error:
                late = time.monotonic() - began >= self._patience
                why = f"it took longer than {self._patience:.0f} s" if late else str(error)
                self._drop(place)
            finally:
                alarm.cancel()
            if self._stopping.is_set():
                break
        return broke(self._code, run, why)

    def _once(self, run: Run, lab: Laboratory) -> Result:
        scenario = self._book[run.scenario]
        made = attempt(lab, scenario, control=run.control, seed=run.seed)
        if why := made.untrue(scenario):
            raise LabError(f"{why}; the probe said {made.line.get('outcome')}: {made.line.get('summary')}")
        self._see(run, made.line)
        return told(self._code, run, made.line, elapsed=made.seconds, limit=self._limit(scenario.nettest))

    def _fresh(self, place: int) -> RunningLab:
        with self._lock:
            if self._stopping.is_set():
                raise LabError("no lab is started any more")
            self._opened += 1
            work = self._work / f"lab-{self._opened}"
        work.mkdir()
        lab = self._open(work)
        with self._lock:
            self._labs[place] = lab
        return lab

    def _drop(self, place: int) -> None:
        with self._lock:
            lab = self._labs.pop(place, None)
        if lab is not None:
            lab.close()


def keep_line(folder: Path) -> Spoil:
    """Return what keeps every printed line in `folder`, for whoever looks into a wrong verdict."""
    folder.mkdir(parents=True, exist_ok=True)

    def keep(run: Run, line: dict[str, Any]) -> None:
        control = "control" if run.control else "no-control"
        (folder / f"{run.scenario}.{control}.{run.seed}.json").write_bytes(msgspec.json.encode(line) + b"\n")

    return keep
