"""The chains of a store: what is in them, what was signed of them, and signing what they have come to.

A chain is signed only as far as it fits what was signed before. `Chains.sign` looks through what was added since the
last checkpoint; whoever signs also remembers, outside the store, the last checkpoint it made, so that a store that was
put back to an older copy is noticed. Neither stops the chain: a note tells of it in the chain itself, for everybody to
see, and what follows is signed with it.

Only the caller knows keys: the store holds public ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import msgspec
from sqlalchemy import Connection, Engine, RowMapping, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from measurements.evidence.canonical import record_as_kept
from measurements.evidence.chain import (
    Fault,
    Keys,
    Link,
    PublicKey,
    Rotation,
    SignedCheckpoint,
    genesis,
    note_after,
    sign_checkpoint,
)
from measurements.evidence.checking import find_fault
from measurements.store import statements, tables
from measurements.store.chaining import as_link, as_row, head, lock
from measurements.store.errors import NotFound, StoreError, explain
from measurements.store.months import in_their_months
from measurements.store.packing import id_bytes, unpack

_PAGE = 1000

_link, _checkpoint, _fact = tables.link, tables.checkpoint, tables.measurement


class Signer(Protocol):
    """Who can sign: the public part of a key, and what makes an Ed25519 signature with it."""

    @property
    def public(self) -> PublicKey: ...

    def sign(self, text: bytes, /) -> bytes: ...


class Signing(msgspec.Struct, frozen=True, kw_only=True):
    """What came of signing: the newest checkpoint, whether it is new, and what was found wrong, in sentences."""

    checkpoint: SignedCheckpoint | None = None
    is_new: bool = False
    remarks: tuple[str, ...] = ()


class Chained(msgspec.Struct, frozen=True, kw_only=True):
    """A link and, while its measurement is kept, the canonical record of that, or why it cannot be read."""

    link: Link
    record: bytes | None = None
    damage: str = ""


class Chains:
    """The hash chains of a store; `Store.chains` hands it out. Every method may be called from any thread.

    `broken` tells why nothing may be written any more; `given` is told the last number of a chain that got a note.
    """

    def __init__(
        self,
        engine: Engine,
        place: str,
        broken: Callable[[], StoreError | None],
        given: Callable[[str, int], None],
    ) -> None:
        self._given = given
        self._engine = engine
        self._writing = engine.execution_options(wazi_writes=True)
        self._place = place
        self._broken = broken

    # Reading

    def probes(self) -> list[str]:
        """Return the probes that have a chain here."""
        with self._reading() as connection:
            known = tables.probe.c.probe_id  # a list of all links' probes would read every link
            has_chain = select(_link.c.probe_id).where(_link.c.probe_id == known).exists()
            return list(connection.execute(select(known).where(has_chain).order_by(known)).scalars())

    def head(self, probe_id: str) -> Link | None:
        """Return the last link of a chain; None when there is none."""
        with self._reading() as connection:
            return head(connection, probe_id)

    def length(self, probe_id: str) -> int:
        """Count the links of a chain."""
        with self._reading() as connection:
            counted = select(func.count()).select_from(_link).where(_link.c.probe_id == probe_id)
            return int(connection.execute(counted).scalar_one())

    def links(self, probe_id: str, first: int | None = None, last: int | None = None) -> Iterator[Link]:
        """Stream the links of a chain in order, from number `first` to number `last`."""
        for page in self._pages(probe_id, first, last):
            yield from page

    def link_of(self, measurement_id: str) -> Link | None:
        """Find the link of a measurement, which may be gone; None when it has none."""
        statement = select(_link).where(_link.c.measurement_id == id_bytes(measurement_id)).limit(1)
        with self._reading() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else as_link(row)

    def record(self, measurement_id: str) -> bytes:
        """Return the canonical record of a measurement that is kept; raises NotFound, or StoreError when damaged."""
        key = id_bytes(measurement_id)
        found = self._records([key]).get(key)
        if found is None:
            raise NotFound(f"no measurement has the id {measurement_id}: `wazi list` shows their ids")
        return record_as_kept(unpack(measurement_id, *found))

    def records(self, probe_id: str, first: int | None = None, last: int | None = None) -> Iterator[Chained]:
        """Stream the links of a chain in order, each with the record of its measurement as far as that is kept."""
        for page in self._pages(probe_id, first, last, size=100):
            kept = self._records([id_bytes(link.measurement_id) for link in page if link.measurement_id])
            for link in page:
                yield _chained(link, kept.get(bytes.fromhex(link.measurement_id)))

    def notes(self, probe_id: str, limit: int = 10) -> list[Link]:
        """Return the last notes of a chain, in order."""
        mine = (_link.c.measurement_id == b"", _link.c.probe_id == probe_id)
        statement = select(_link).where(*mine).order_by(_link.c.sequence.desc()).limit(limit)
        with self._reading() as connection:
            return [as_link(row) for row in connection.execute(statement).mappings()][::-1]

    def unchained(self, probe_id: str) -> int:
        """Count the measurements of a probe that have no link: from before its chain, or brought from elsewhere."""
        linked = select(_link.c.measurement_id).where(_link.c.measurement_id == _fact.c.id).exists()
        counted = select(func.count()).select_from(_fact).where(_fact.c.probe_id == probe_id, ~linked)
        with self._reading() as connection:
            return int(connection.execute(counted).scalar_one())

    def checkpoints(
        self, probe_id: str, first: int | None = None, last: int | None = None
    ) -> Iterator[SignedCheckpoint]:
        """Stream what was signed of a chain, by number, from number `first` to number `last`."""
        where = [_checkpoint.c.probe_id == probe_id]
        where += [] if last is None else [_checkpoint.c.sequence <= last]
        order = (_checkpoint.c.sequence, _checkpoint.c.time, _checkpoint.c.key_id)
        after = first
        while True:
            here = where if after is None else [*where, _checkpoint.c.sequence >= after]
            with self._reading() as connection:
                rows = connection.execute(select(_checkpoint).where(*here).order_by(*order).limit(_PAGE)).mappings()
                page = [_as_checkpoint(row) for row in rows]
            if len(page) < _PAGE:
                yield from page
                return
            after = page[-1].sequence  # one number may have several: they come again with the next page
            yield from (one for one in page if one.sequence < after)

    def last_checkpoint(self, probe_id: str) -> SignedCheckpoint | None:
        """Return the newest checkpoint of a chain."""
        with self._reading() as connection:
            return _last_checkpoint(connection, probe_id)

    def keys(self, probe_id: str) -> Keys:
        """Return the keys that signed a probe's chain, the first one first, and how one follows the other."""
        first = func.min(_checkpoint.c.sequence)
        signed = (
            select(_checkpoint.c.key_id)
            .where(_checkpoint.c.probe_id == probe_id)
            .group_by(_checkpoint.c.key_id)
            .order_by(first, func.min(_checkpoint.c.time))
        )
        with self._reading() as connection:
            order = list(connection.execute(signed).scalars())
            turns = connection.execute(select(tables.rotation).order_by(tables.rotation.c.time)).mappings().all()
            rows, wanted = _succession(order, turns)
            table = tables.signing_key
            found = connection.execute(select(table).where(table.c.key_id.in_(wanted))).mappings().all()
        known = {row["key_id"]: row["public"] for row in found} | {row["next_id"]: row["public"] for row in rows}
        keys = tuple(PublicKey(key_id=one.hex(), public=known[one].hex()) for one in wanted if one in known)
        return Keys(keys=keys, rotations=tuple(map(_as_rotation, rows)))

    # Signing

    def sign(self, probe_id: str, signer: Signer, now: float, *, remembered: SignedCheckpoint | None = None) -> Signing:
        """Sign what a chain has come to, unless this key did already.

        `remembered` is the last checkpoint that the caller made. Raises StoreError.
        """
        last, at = self.last_checkpoint(probe_id), self.head(probe_id)
        fault = self._fault_since(probe_id, last, at)
        lost = remembered is not None and not self._holds(remembered)
        with self._changing() as connection:
            lock(connection, probe_id)
            remarks: list[str] = []
            if fault is not None:
                at = _note(connection, probe_id, kind="fault", sequence=fault.sequence, what=str(fault.kind))
                remarks.append(f"the chain did not fit what was signed before: {fault.words}")
            if lost and remembered is not None:
                at = _note_fork(connection, probe_id, remembered)
                remarks.append(
                    f"number {remembered.sequence} of the chain was signed, and this store does not hold it: it is an "
                    "older copy, or another store. The chain goes on, and says so"
                )
            if at is None:
                return Signing()
            if remarks:
                self._given(probe_id, at.sequence)
            if last is not None and (last.sequence, last.key_id) == (at.sequence, signer.public.key_id):
                return Signing(checkpoint=last)
            made = sign_checkpoint(at, int(now), signer.public.key_id, signer.sign)
            _insert(connection, tables.signing_key, [_key_row(signer.public)])
            _insert(connection, _checkpoint, [_checkpoint_row(made)])
        return Signing(checkpoint=made, is_new=True, remarks=tuple(remarks))

    def add_rotations(self, rotations: Sequence[Rotation], keys: Sequence[PublicKey]) -> None:
        """Keep how keys follow each other; those that are kept already stay as they are. Raises StoreError."""
        with self._changing() as connection:
            _insert(connection, tables.signing_key, [_key_row(key) for key in keys])
            _insert(connection, tables.rotation, [_rotation_row(one) for one in rotations])

    def add_stamp(self, checkpoint: SignedCheckpoint, stamp: bytes) -> None:
        """Keep the time stamp of a checkpoint; raises StoreError."""
        place = (_checkpoint.c.probe_id == checkpoint.probe_id, _checkpoint.c.sequence == checkpoint.sequence)
        mine = _checkpoint.c.key_id == bytes.fromhex(checkpoint.key_id)
        with self._changing() as connection:
            connection.execute(_checkpoint.update().where(*place, mine).values(stamp=stamp))

    def _fault_since(self, probe_id: str, last: SignedCheckpoint | None, at: Link | None) -> Fault | None:
        """Look through what was added since the last checkpoint, and whether that one still stands."""
        if at is None:
            return None
        if last is None:
            return find_fault(self.links(probe_id, last=at.sequence))
        if not self._holds(last):
            return find_fault(self.links(probe_id, last=at.sequence), [last], Keys(keys=self.keys(probe_id).keys))
        return find_fault(self.links(probe_id, last.sequence + 1, at.sequence), before=(last.sequence, last.chain))

    def _holds(self, checkpoint: SignedCheckpoint) -> bool:
        """Tell whether what was signed stands in the chain."""
        found = next(self.links(checkpoint.probe_id, checkpoint.sequence, checkpoint.sequence), None)
        return found is not None and found.chain == checkpoint.chain

    def _pages(self, probe_id: str, first: int | None, last: int | None, size: int = _PAGE) -> Iterator[list[Link]]:
        after = None if first is None else first - 1
        while True:
            where = [_link.c.probe_id == probe_id]
            where += [] if after is None else [_link.c.sequence > after]
            where += [] if last is None else [_link.c.sequence <= last]
            with self._reading() as connection:
                rows = connection.execute(select(_link).where(*where).order_by(_link.c.sequence).limit(size)).mappings()
                page = [as_link(row) for row in rows]
            if page:
                yield page
                after = page[-1].sequence
            if len(page) < size:
                return

    def _records(self, ids: Sequence[bytes]) -> dict[bytes, tuple[bytes, bytes]]:
        """Return what is kept of some measurements: encoded, and its digest."""
        with self._reading() as connection:
            mine = (_fact.c.id.in_(ids), in_their_months(ids))
            rows = connection.execute(select(_fact.c.id, _fact.c.encoded, _fact.c.digest).where(*mine))
            return {row.id: (row.encoded, row.digest) for row in rows}

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except (SQLAlchemyError, UnicodeDecodeError) as error:
            raise explain(error, self._place) from error

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        if (refusal := self._broken()) is not None:
            raise refusal
        try:
            with self._writing.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise explain(error, self._place) from error


def _chained(link: Link, kept: tuple[bytes, bytes] | None) -> Chained:
    if kept is None:
        return Chained(link=link)
    try:
        return Chained(link=link, record=record_as_kept(unpack(link.measurement_id, *kept)))
    except StoreError as error:
        return Chained(link=link, damage=str(error))


def _note(connection: Connection, probe_id: str, *, kind: str, last: int = 0, **said: str | int) -> Link:
    """Add a note to a chain, which stands for the next number, or for all up to `last`."""
    before = head(connection, probe_id)
    number, chain = (0, genesis(probe_id, 0)) if before is None else (before.sequence, before.chain)
    until = max(last, number + 1)
    made = note_after(chain, probe_id=probe_id, first=number + 1, last=until, kind=kind, **said)
    _insert(connection, _link, [as_row(made)])
    statements.insert(connection, [{tables.probe: [{"probe_id": probe_id, "last_sequence": until}]}])
    return made


def _note_fork(connection: Connection, probe_id: str, lost: SignedCheckpoint) -> Link:
    """Go on behind what was signed and is not here, so that no number is given twice."""
    said: dict[str, str | int] = {"chain": lost.chain, "sequence": lost.sequence, "time": lost.time}
    return _note(connection, probe_id, kind="fork", last=lost.sequence + 1, **said)


def _succession(order: Sequence[bytes], turns: Sequence[RowMapping]) -> tuple[list[RowMapping], list[bytes]]:
    """Return the rotations that come, over others, from keys that signed; and all these keys, each after its elder."""
    known, rows = set(order), []
    for _ in turns:
        rows = [turn for turn in turns if turn["key_id"] in known]
        known |= {turn["next_id"] for turn in rows}
    elder = {turn["next_id"]: turn["key_id"] for turn in rows}
    placed: dict[bytes, None] = {}
    for key in (*order, *(turn["next_id"] for turn in rows)):
        line = [key]
        while line[-1] in elder and elder[line[-1]] not in (*placed, *line):
            line.append(elder[line[-1]])
        placed.update(dict.fromkeys(reversed(line)))
    wanted = list(placed)
    return sorted(rows, key=lambda turn: wanted.index(turn["key_id"])), wanted


def _last_checkpoint(connection: Connection, probe_id: str) -> SignedCheckpoint | None:
    order = (_checkpoint.c.sequence.desc(), _checkpoint.c.time.desc())
    statement = select(_checkpoint).where(_checkpoint.c.probe_id == probe_id).order_by(*order).limit(1)
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else _as_checkpoint(row)


def _insert(connection: Connection, table: Table, rows: Sequence[dict[str, object]]) -> None:
    insert = sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
    if rows:
        connection.execute(insert.on_conflict_do_nothing(), rows)


def _as_checkpoint(row: RowMapping) -> SignedCheckpoint:
    return SignedCheckpoint(
        probe_id=row["probe_id"],
        sequence=row["sequence"],
        chain=row["chain"].hex(),
        time=row["time"],
        key_id=row["key_id"].hex(),
        signature=row["signature"].hex(),
        stamp=row["stamp"] or b"",
    )


def _checkpoint_row(one: SignedCheckpoint) -> dict[str, object]:
    return {
        "probe_id": one.probe_id,
        "sequence": one.sequence,
        "key_id": bytes.fromhex(one.key_id),
        "chain": bytes.fromhex(one.chain),
        "time": one.time,
        "signature": bytes.fromhex(one.signature),
        "stamp": one.stamp or None,
    }


def _key_row(key: PublicKey) -> dict[str, object]:
    return {"key_id": bytes.fromhex(key.key_id), "public": bytes.fromhex(key.public)}


def _as_rotation(row: RowMapping) -> Rotation:
    return Rotation(
        key_id=row["key_id"].hex(),
        next_id=row["next_id"].hex(),
        public=row["public"].hex(),
        time=row["time"],
        signature=row["signature"].hex(),
        next_signature=row["next_signature"].hex(),
    )


def _rotation_row(one: Rotation) -> dict[str, object]:
    return {
        "key_id": bytes.fromhex(one.key_id),
        "next_id": bytes.fromhex(one.next_id),
        "public": bytes.fromhex(one.public),
        "time": one.time,
        "signature": bytes.fromhex(one.signature),
        "next_signature": bytes.fromhex(one.next_signature),
    }
