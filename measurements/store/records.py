"""What the store hands out, all frozen."""

from __future__ import annotations

import msgspec

from measurements.model import Measurement, Verdict


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list: a measurement without its observations, and its latest verdict.

    `judged_at` and `verdict` are None while it is not judged. Times are UTC seconds since the epoch.
    """

    id: str
    probe_id: str
    sequence: int
    nettest: str
    url: str
    host: str
    category: str
    country: str | None
    asn: int | None
    started: float
    runtime: float
    source: str
    judged_at: float | None
    verdict: Verdict | None


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A whole measurement, pages included, and its latest verdict."""

    measurement: Measurement
    judged_at: float | None
    verdict: Verdict | None


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict and when it was given."""

    judged_at: float
    verdict: Verdict


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How the store is. `place` is the path, or the URL without its password.

    `size` is the bytes on disk, the -wal included; `free` the bytes that are free there (None on a
    server). `waiting` changes are not yet durable; `trouble` says why the last ones were not stored.
    """

    place: str
    backend: str
    version: str
    measurements: int
    first: float | None
    last: float | None
    gaps: int
    size: int
    free: int | None
    waiting: int
    trouble: str | None
    notices: tuple[str, ...]
