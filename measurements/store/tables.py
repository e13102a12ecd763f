"""The tables: facts, which are only ever added, and opinions, which are versioned.

`measurement` holds one row a fact: the columns that lists and filters need, and the whole measurement,
encoded and compressed, without page bodies. `body` holds each page once, under the SHA-256 of the copy
that is kept, whichever measurements saw it, and `body_seen` says when one last did. `verdict` holds an opinion per
measurement and version of the rules, so that judging again destroys nothing. The same definitions serve SQLite and
PostgreSQL, which has a table a month for most of it and one column more there (`months`).

`vote` holds what a measurement's first verdict said in each layer; its numbers grow in the order in which votes can
be seen, so that a reader who knows all up to a number misses none. `event` holds each event as it stands now, and
`event_version` what it said each time it was told to people: no event is ever deleted. `detector` and `detector_cell`
hold how far the votes were counted, and what the counting needs to go on.

`alert_event` holds what each alert hook was told of an event and whether there is news, stored with the event;
`alert_notice` the messages that were put together of them, and `alert_hook` how each hook is (`deliveries`).

`link` holds the hash chain of what each probe measured into this store (`measurements.evidence.chain`): it stays when
the measurement is gone. `checkpoint` holds what was signed of it, with `signing_key` and `rotation`.

Times are UTC seconds since the epoch. Ids and digests are raw bytes: half the size of hexadecimal, and
compared byte by byte on both databases, which the search by prefix relies on.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

HEAD = "0006"
"""The newest migration that this build knows; `migrations/versions/` ends with it."""

APPLICATION_ID = 0x57415A49  # "WAZI" in SQLite's file header: tells our files from other people's

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)

measurement = Table(
    "measurement",
    metadata,
    Column("id", LargeBinary, nullable=False),
    Column("probe_id", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("nettest", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("country", Text),
    Column("asn", BigInteger),
    Column("started", Double, nullable=False),
    Column("runtime", Double, nullable=False),
    Column("source", Text, nullable=False),
    Column("full_body", Boolean, nullable=False),  # a page was read to its end or to the full cap
    Column("digest", LargeBinary, nullable=False),  # SHA-256 of the encoded measurement, before compression
    Column("encoded", LargeBinary, nullable=False),
    PrimaryKeyConstraint("id"),
)
Index(None, measurement.c.started, measurement.c.id)
Index(None, measurement.c.url, measurement.c.started)
Index(None, measurement.c.host, measurement.c.started)

body = Table(
    "body",
    metadata,
    Column("sha256", LargeBinary, nullable=False),  # of the stored copy, decompressed
    Column("stored_at", Double, nullable=False),
    Column("copy", LargeBinary, nullable=False),
    PrimaryKeyConstraint("sha256"),
)

body_seen = Table(
    "body_seen",
    metadata,
    Column("sha256", LargeBinary, nullable=False),
    Column("seen", Double, nullable=False),  # to within a day; without an index, which every page would pay for
    PrimaryKeyConstraint("sha256"),
    sqlite_with_rowid=False,
)

verdict = Table(
    "verdict",
    metadata,
    Column("measurement_id", LargeBinary, ForeignKey("measurement.id"), nullable=False),
    Column("rules_version", BigInteger, nullable=False),
    Column("judged_at", Double, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("mechanism", Text),
    Column("trigger", Text),
    Column("where", Text),
    Column("pattern", Text),
    Column("confidence", Text),
    Column("reason", Text),
    Column("summary", Text, nullable=False),
    Column("findings", Text, nullable=False),  # JSON; not JSONB, which refuses the NUL a page may contain
    PrimaryKeyConstraint("measurement_id", "rules_version"),
)

gap = Table(
    "gap",
    metadata,
    Column("probe_id", Text, nullable=False),
    Column("since", Double, nullable=False),
    Column("until", Double, nullable=False),
    Column("why", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("worked", Double),
    Column("failed", Double),
    Column("restored", Boolean),
    PrimaryKeyConstraint("probe_id", "since", "why"),
)

probe = Table(
    "probe",
    metadata,
    Column("probe_id", Text, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    PrimaryKeyConstraint("probe_id"),
)

spent = Table(
    "spent",
    metadata,
    Column("probe_id", Text, nullable=False),
    Column("day", Text, nullable=False),  # UTC, as 2026-11-23
    Column("bytes", BigInteger, nullable=False),
    PrimaryKeyConstraint("probe_id", "day"),
)

link = Table(
    "link",
    metadata,
    Column("probe_id", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("measurement_id", LargeBinary, nullable=False),  # empty for a note; no foreign key: a link outlives it
    Column("record", LargeBinary, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),
    PrimaryKeyConstraint("probe_id", "sequence"),
    sqlite_with_rowid=False,
)
Index(None, link.c.measurement_id)

checkpoint = Table(
    "checkpoint",
    metadata,
    Column("probe_id", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("key_id", LargeBinary, nullable=False),
    Column("chain", LargeBinary, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("stamp", LargeBinary),  # an RFC 3161 token
    PrimaryKeyConstraint("probe_id", "sequence", "key_id"),
)

signing_key = Table(
    "signing_key",
    metadata,
    Column("key_id", LargeBinary, nullable=False),
    Column("public", LargeBinary, nullable=False),
    PrimaryKeyConstraint("key_id"),
)

rotation = Table(
    "rotation",
    metadata,
    Column("key_id", LargeBinary, nullable=False),
    Column("next_id", LargeBinary, nullable=False),
    Column("public", LargeBinary, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("next_signature", LargeBinary, nullable=False),
    PrimaryKeyConstraint("key_id", "next_id"),
)

vote = Table(
    "vote",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), nullable=False),  # given by the database
    Column("measurement_id", LargeBinary, ForeignKey("measurement.id"), nullable=False),
    Column("layer", Text, nullable=False),
    Column("blocked", Boolean, nullable=False),
    Column("strength", Text, nullable=False),
    Column("mechanism", Text, nullable=False),
    Column("software", Text, nullable=False),
    Column("placebo", Boolean, nullable=False),
    Column("rules_version", BigInteger, nullable=False),
    PrimaryKeyConstraint("number"),
    UniqueConstraint("measurement_id", "layer", "strength"),
)

event = Table(
    "event",
    metadata,
    Column("id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("opened", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Column("version", BigInteger, nullable=False),  # of what people were told, from 1
    Column("encoded", LargeBinary, nullable=False),  # JSON
    PrimaryKeyConstraint("id"),
)
Index(None, event.c.opened, event.c.id)

event_version = Table(
    "event_version",
    metadata,
    Column("event_id", Text, ForeignKey("event.id"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("updated", Double, nullable=False),
    Column("encoded", LargeBinary, nullable=False),
    PrimaryKeyConstraint("event_id", "version"),
)

detector = Table(
    "detector",
    metadata,
    Column("name", Text, nullable=False),
    Column("turn", BigInteger, nullable=False),  # how often it was saved: who knows another number must read it again
    Column("number", BigInteger, nullable=False),  # the last vote that was counted
    Column("updated", Double, nullable=False),
    Column("header", LargeBinary, nullable=False),
    PrimaryKeyConstraint("name"),
)

detector_cell = Table(
    "detector_cell",
    metadata,
    Column("detector", Text, ForeignKey("detector.name"), nullable=False),
    Column("cell", Text, nullable=False),
    Column("state", LargeBinary, nullable=False),
    PrimaryKeyConstraint("detector", "cell"),
)

alert_hook = Table(
    "alert_hook",
    metadata,
    Column("name", Text, nullable=False),
    Column("setting", Text, nullable=False),  # a digest of its settings: who was switched off stays so until it changes
    Column("disabled", Text, nullable=False),  # why; empty when it is not
    Column("seen", Double, nullable=False),  # when it was last in somebody's settings
    Column("lived", Double, nullable=False),  # for how many seconds it was ready to send: waiting is counted by these
    Column("delivered", Double),  # the last time
    Column("answer", Text, nullable=False),  # what came back then
    Column("failing", Double),  # since when, None when the last attempt went well
    Column("why", Text, nullable=False),
    PrimaryKeyConstraint("name"),
)

alert_event = Table(
    "alert_event",
    metadata,
    Column("event_id", Text, ForeignKey("event.id"), nullable=False),
    Column("hook", Text, nullable=False),
    Column("wanted", BigInteger, nullable=False),  # the newest version that has news
    Column("first", BigInteger),  # the version since which it could have been told
    Column("told", Text, nullable=False),  # opened, closed, or empty
    Column("status", Text, nullable=False),  # as it was told
    Column("told_at", Double),
    Column("since", Double),  # when the oldest news was stored that waits
    Column("due", Double),  # when to look at it; None when nothing waits
    Column("born", Double, nullable=False),  # how long the hook had lived at `since`
    Column("held", Boolean, nullable=False),  # gathered with others
    Column("notice", Text),  # the message it is part of, until that is delivered
    Column("skipped", Text, nullable=False),  # why the newest news are not told
    PrimaryKeyConstraint("event_id", "hook"),
)
Index(None, alert_event.c.hook, alert_event.c.due)
Index(None, alert_event.c.notice)

alert_notice = Table(
    "alert_notice",
    metadata,
    Column("id", Text, nullable=False),
    Column("hook", Text, nullable=False),
    Column("since", Double, nullable=False),  # when the oldest of its news was stored
    Column("time", Double, nullable=False),  # when it was put together
    Column("encoded", LargeBinary, nullable=False),  # JSON; it names versions of events
    Column("state", Text, nullable=False),  # waiting, delivered, given up, or dropped
    Column("attempts", BigInteger, nullable=False),
    Column("due", Double),  # when to try it; None when it is over
    Column("born", Double, nullable=False),  # how long the hook had lived
    Column("why", Text, nullable=False),  # the last attempt failed, or it was given up
    Column("ended", Double),
    PrimaryKeyConstraint("id"),
)
Index(None, alert_notice.c.hook, alert_notice.c.due)
