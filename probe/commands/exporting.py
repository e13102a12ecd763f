"""`wazi export`: write what was measured and judged, in a format that others read.

Rows are streamed, the oldest first, so that an export goes on where an earlier one ended (`--after ID`). A file or a
folder gets its name when it is whole; what goes to stdout is there as far as it was read.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from measurements.exports import EXPORTS
from measurements.exports.files import compressed, fresh_file, fresh_folder
from measurements.exports.judged import AnyFormat, FolderFormat, Format, Judged, MissingExtra
from measurements.exports.package import dress
from measurements.printable import plural
from probe.commands.building import judge_with, load_settings, read_store
from probe.commands.console import FINE, Common, Refusal, advancing, say, to_reader
from probe.commands.outputs import STDOUT
from probe.commands.which import Which
from probe.version import software

if TYPE_CHECKING:
    from measurements.store import Filter, Kept, Store
    from probe.settings import Settings


def export(common: Common, which: Which, *, form: str, output: str | None, after: str | None) -> int:
    """Write measurements with their verdicts to a file, a folder or stdout, the oldest first."""
    from measurements.store import StoreError

    output = None if output == STDOUT else output
    how = EXPORTS.get(form)
    if how is None:
        raise Refusal(f"--format {form}: must be one of {', '.join((*EXPORTS, 'bundle'))}")
    if isinstance(how, FolderFormat) and output is None:
        raise Refusal(f"--format {form} is many files: give it a folder, --output FOLDER")
    settings = load_settings(common)
    wanted = which.filter(time.time())
    with read_store(settings) as store:
        source = _Source(settings, store, wanted, _whole_id(store, after), how)
        try:
            count = _write(source, form, output, str(which))
        except MissingExtra as error:
            raise Refusal(str(error)) from None
        except StoreError as error:
            raise Refusal(str(error)) from None
    _report(source, count, output)
    return FINE


def judged(settings: Settings) -> Callable[[Kept], Judged]:
    """Return what takes the stored verdict, or judges what was never judged."""
    from probe.measuring import judge_carefully

    judge = judge_with(settings)

    def complete(kept: Kept) -> Judged:
        if kept.verdict is not None:
            return Judged(kept.measurement, kept.verdict)
        return Judged(kept.measurement, judge_carefully(lambda fact: judge(fact, ()), kept.measurement))

    return complete


@dataclass(slots=True)
class _Source:
    """The rows of an export; `read` and `last` tell how far it came."""

    settings: Settings
    store: Store
    wanted: Filter
    after: str | None
    form: AnyFormat
    read: int = field(default=0, init=False)
    last: str | None = field(default=None, init=False)

    def rows(self, *, hidden: bool) -> Iterator[Judged]:
        """Yield every row, with a bar on the terminal unless it is `hidden`."""
        complete = judged(self.settings)
        total = lambda: self.store.amount(self.wanted, after=self.after)  # noqa: E731 - counted only if it is shown
        with advancing("exporting", None if hidden else total) as advance:
            for kept in self.store.stream(self.wanted, after=self.after, whole=self.form.whole):
                yield (
                    Judged(kept.measurement, kept.verdict) if kept.verdict is not None else complete(self._whole(kept))
                )
                self.read += 1
                self.last = kept.measurement.id
                advance(self.read)

    def _whole(self, kept: Kept) -> Kept:
        """Fetch what is to be judged, which an outline cannot be."""
        return kept if self.form.whole else self.store.measurement(kept.measurement.id)


def _write(source: _Source, form: str, output: str | None, chosen: str) -> int:
    how = source.form
    if output is None:
        assert isinstance(how, Format)
        with to_reader() as stdout:
            return how.write(source.rows(hidden=os.isatty(1)), stdout)
    path = Path(output)
    try:
        if isinstance(how, FolderFormat) or output.endswith("/") or path.is_dir():
            return _write_folder(source, form, path, chosen)
        with fresh_file(path) as stream:
            return how.write(source.rows(hidden=False), stream)
    except OSError as error:
        raise Refusal(f"{output}: cannot be written ({error.strerror})") from None


def _write_folder(source: _Source, form: str, path: Path, chosen: str) -> int:
    how = source.form
    with fresh_folder(path) as folder:
        if isinstance(how, FolderFormat):
            count = how.write(source.rows(hidden=False), folder)
        else:
            with (folder / how.file).open("wb") as plain, compressed(plain, how.file) as stream:
                count = how.write(source.rows(hidden=False), stream)
        dress(folder, form, how, rows=count, made=time.time(), software=software(), chosen=chosen)
        return count


def _report(source: _Source, count: int, output: str | None) -> None:
    """Tell what was left out, and where the next export goes on."""
    if source.read > count:
        left = plural(source.read - count, "measurement")
        say(f"left out: {left} of a kind that this format has no place for")
    if output is not None:
        on = f"; --after {source.last} goes on from there" if source.last else ""
        say(f"{plural(count, 'measurement')} written to {output}{on}")


def _whole_id(store: Store, after: str | None) -> str | None:
    """Complete the beginning of an id."""
    from measurements.store import NotFound

    if after is None or re.fullmatch("[0-9a-f]{32}", after):
        return after
    try:
        return store.measurement(after).measurement.id
    except NotFound as error:
        raise Refusal(f"--after: {error}") from None
