"""How a command speaks: results on stdout, all else on stderr, and how it ends."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from measurements.model import Outcome

FINE, FOUND, USAGE, UNSETTLED = 0, 1, 2, 3
INTERRUPTED, TERMINATED = 130, 143  # 128 + the signal, as a shell has it

_FOUND = frozenset({Outcome.BLOCKED, Outcome.THROTTLED, Outcome.UNREACHABLE})
_UNSETTLED = frozenset({Outcome.INVALID, Outcome.INCONCLUSIVE})


class Refusal(Exception):
    """A command cannot do what was asked: the text goes to stderr, the code ends the program."""

    def __init__(self, text: str, code: int = USAGE) -> None:
        super().__init__(text)
        self.code = code


class ReaderLeft(Exception):
    """Whoever read stdout has enough."""


class CannotWrite(Exception):
    """Results cannot be written to stdout, for the reason that the system gives."""


@dataclass(frozen=True, slots=True)
class Common:
    """The flags that stand before every command."""

    config: Path | None = None
    verbose: bool = False


def exit_code(outcomes: Iterable[Outcome], *, bad: bool = False) -> int:
    """Return the exit code of `check` and `judge`; `bad` is whether something could not be judged at all."""
    seen = set(outcomes)
    if seen & _FOUND:
        return FOUND
    return UNSETTLED if bad or seen & _UNSETTLED else FINE


def open_what_is_closed() -> None:
    """Give a program that was started with closed streams the empty device in their place.

    Otherwise the first file that is opened would take the place, and get what was meant for people. What
    stands for stdout can only be read, so that a result that is lost is told.
    """
    for number, name, mode, flags in (
        (0, "stdin", "r", os.O_RDONLY),
        (1, "stdout", "w", os.O_RDONLY),
        (2, "stderr", "w", os.O_WRONLY),
    ):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, os.fdopen(number, mode))


def leave(stream: TextIO) -> None:
    """Let what is still to be written to a stream go nowhere, or Python would complain of it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    stream.flush()


def say(text: str) -> None:
    """Tell a person something that is no result; that nobody can be told changes nothing."""
    with suppress(OSError):
        sys.stderr.write(f"wazi: {text}\n")
        sys.stderr.flush()


def write(text: str) -> None:
    """Write a result for people, at once."""
    with to_reader():
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def write_line(line: bytes) -> None:
    """Write a result for programs, at once."""
    with to_reader() as stream:
        stream.write(line)


@contextmanager
def to_reader() -> Iterator[BinaryIO]:
    """Lend stdout for bytes; raises `ReaderLeft` when nobody reads them, and `CannotWrite`."""
    try:
        yield cast(BinaryIO, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise ReaderLeft from None
    except OSError as error:
        raise CannotWrite(error.strerror) from None


def width(stream: TextIO) -> int:
    """How many columns a line may have: those of the terminal, and without one as many as it needs."""
    return shutil.get_terminal_size().columns if stream.isatty() else 10_000


def wants_colour(stream: TextIO) -> bool:
    """Whether a stream is a terminal whose owner has nothing against colour."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Progress:
    """A count of what is done, on a terminal only; `hidden` makes room for a result."""

    def __init__(self, total: int) -> None:
        self._done = 0
        self._total = total
        self._shown = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def __enter__(self) -> Progress:
        if self._shown:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            columns = (SpinnerColumn(), TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            console = Console(stderr=True)
            self._bar = Bar(
                *columns,
                console=console,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
                refresh_per_second=4,
            )
            self._task = self._bar.add_task("measuring", total=self._total)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._bar.stop()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Count one more as done, and stay out of the way while its result is written."""
        self._done += 1
        if not self._shown:
            yield
            return
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.update(self._task, completed=self._done)
            if self._done < self._total:
                self._bar.start()


@contextmanager
def advancing(what: str, total: Callable[[], int] | None, *, size: bool = False) -> Iterator[Callable[[int], None]]:
    """Show how far a long work is, on a terminal only; what is lent takes how much is done.

    `total` is asked for only when it is shown, and None hides all. `size` counts bytes.
    """
    if total is None or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    count = DownloadColumn() if size else MofNCompleteColumn()
    columns = (TextColumn(what), BarColumn(), count, TimeRemainingColumn())
    console = Console(stderr=True)
    with Bar(
        *columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False, refresh_per_second=4
    ) as bar:
        task = bar.add_task(what, total=total())
        yield lambda done: bar.update(task, completed=done)
