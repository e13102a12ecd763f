"""`wazi store stats` and `wazi store tidy`: how large the store is, how long the disk lasts, and what may go."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from measurements.keeping import Keeping, Terms, Tidied
from measurements.model import encode
from measurements.printable import plural
from probe.commands.building import load_settings, read_store
from probe.commands.console import FINE, FOUND, Common, Refusal, say, write, write_line
from probe.commands.exporting import judged
from probe.present import moment
from probe.wording import size

if TYPE_CHECKING:
    from measurements.store import Store
    from measurements.store.measures import Measures, Part
    from probe.settings import Settings


_ABOUT = {True: "~", False: ""}


def terms(settings: Settings) -> Terms:
    """Return for how long the store keeps what."""
    store = settings.store
    return Terms(store.keep, store.keep_bodies, store.keep_size, store.export_before_drop)


def keeping(store: Store, settings: Settings, *, now: Callable[[], float] = time.time) -> Keeping:
    """Return what keeps a store to its terms."""
    return Keeping(store, terms(settings), judged(settings), now=now)


def stats(common: Common, *, as_json: bool) -> int:
    """Tell how large the store is, part by part, how it grows, and what goes next."""
    from measurements.store import StoreError

    settings = load_settings(common)
    with read_store(settings) as store:
        try:
            found = store.measures()
            following = keeping(store, settings).following(found.growth)
        except StoreError as error:
            raise Refusal(str(error)) from None
    lasts = found.free / found.growth if found.free is not None and found.growth else None
    if as_json:
        record = {"store": found, "days_left": lasts, "next": following}
        write_line(encode(record) + b"\n")
        return FINE
    rows = [("table", "rows", "bytes", "from", "to"), *(_row(part) for part in found.parts if part.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for name, *numbers in rows:
        cells = [name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True))]
        write("  ".join(cells).rstrip())
    write("\n".join(["", *_summary(found, lasts), *following]))
    return FINE


def _row(part: Part) -> tuple[str, ...]:
    taken = "" if part.bytes is None else _ABOUT[part.about_bytes] + size(part.bytes)
    ends = ("" if end is None else moment(end)[:10] for end in (part.oldest, part.newest))
    return (part.name, f"{_ABOUT[part.about_rows]}{part.rows:,}", taken, *ends)


def _summary(found: Measures, lasts: float | None) -> list[str]:
    reusable = f", {size(found.reusable)} of it free for what comes" if found.reusable else ""
    lines = [f"size      {size(found.size)}{reusable}; ~ marks an estimate"]
    if found.growth is not None:
        lines.append(f"growth    about {size(round(found.growth))} a day, as in the last week")
    if found.free is not None:
        until = "" if lasts is None else f", which lasts for {_long(lasts)}"
        lines.append(f"disk      {size(found.free)} free{until}")
    return lines


def _long(days: float) -> str:
    return "more than ten years" if days > 3652 else f"about {plural(round(days), 'day')}"


def tidy(common: Common, *, dry_run: bool) -> int:
    """Delete what is due now, or say what would go."""
    from measurements.store import StoreError, open_store

    settings = load_settings(common)
    if not terms(settings).are_any:
        write("nothing is ever deleted: [store] keep, keep_bodies and keep_size are not set")
        return FINE
    if dry_run:
        with read_store(settings) as store:
            keeper = keeping(store, settings)
            _tell("would go", keeper.due())
            if keeper.is_too_large():
                write("the store is larger than [store] keep_size: its oldest pages and measurements would go as well")
        return FINE
    try:
        with open_store(settings.store.url) as store:
            store.discards.make_shrinkable()
            done = keeping(store, settings).tidy()
            waiting = store.discards.uncounted()
    except StoreError as error:
        raise Refusal(f"{error} (A probe that runs tidies by itself, once an hour.)") from None
    _tell("deleted", done)
    if waiting:
        write(f"{plural(waiting, 'measurement')} cannot go before `wazi run` has counted what they say")
    for why in done.trouble:
        say(why)
    return FOUND if done.trouble else FINE


def _tell(what: str, done: Tidied) -> None:
    write(f"{what}: {plural(done.measurements, 'measurement')}, {plural(done.pages, 'page')}")
    for path in done.files:
        write(f"written to {path}")
