"""`wazi key …`, `wazi store verify`, and what `wazi status` says of the chain: who signs what, and whether it fits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from measurements.evidence.chain import Fault, Kind, Link, holes, strangers
from measurements.evidence.checking import find_fault
from measurements.model import encode
from measurements.printable import clean, plural
from probe.commands.building import data_folder, load_settings, read_store
from probe.commands.console import FINE, FOUND, Common, Refusal, advancing, say, write, write_line
from probe.identity import IdentityError
from probe.keys import SigningKey, read_signing_key, replace_signing_key
from probe.present import moment

if TYPE_CHECKING:
    from measurements.store import Store
    from measurements.store.chains import Chained
    from probe.settings import Settings

MOST = 5  # chains that `wazi status` tells of
SHOWN = 16  # digits of a key's id
NOTES = {
    "hole 1": "given to measurements that could not be stored",
    "fork 1": "this store did not hold what was signed: an older copy, or another store",
    "fault 1": "what followed the last checkpoint did not fit it",
}


class State(msgspec.Struct, frozen=True, kw_only=True):
    """How a chain stands: the last number and hash, the last number that was signed and when, notes, and the key."""

    probe_id: str
    sequence: int
    chain: str
    signed: int | None = None
    signed_at: int | None = None
    stamped: int | None = None
    notes: tuple[str, ...] = ()
    key_id: str | None = None
    trouble: str | None = None


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What came of going along a chain: how many links, how many of their measurements are kept, and what is wrong.

    `dropped` have no measurement any more, `unchained` are measurements without a link; `remarks` are no faults.
    """

    probe_id: str
    links: int
    kept: int
    dropped: int
    unchained: int
    signed: int | None
    fault: Fault | None
    remarks: tuple[str, ...] = ()


# wazi status


def states(store: Store, settings: Settings) -> list[State]:
    """Return how each chain of a store stands; our own knows its key."""
    key_id, trouble = None, None
    try:
        key = read_signing_key(data_folder(settings))
        key_id = key.public.key_id if key else None
    except IdentityError as error:
        trouble = str(error)
    found = []
    for probe_id in store.chains.probes():
        head, last = store.chains.head(probe_id), store.chains.last_checkpoint(probe_id)
        if head is None:
            continue
        ours = last is not None and last.key_id == key_id
        found.append(
            State(
                probe_id=probe_id,
                sequence=head.sequence,
                chain=head.chain,
                signed=last.sequence if last else None,
                signed_at=last.time if last else None,
                notes=tuple(_notes(store.chains.notes(probe_id))),
                key_id=key_id if ours or last is None else last.key_id,
                trouble=trouble,
            )
        )
    return found


def told(found: list[State]) -> list[str]:
    """Write how chains stand, for people."""
    lines = []
    for state in found[:MOST]:
        signed = "not signed yet"
        if state.signed is not None and state.signed_at is not None:
            signed = f"signed up to {state.signed} at {moment(state.signed_at)} with key {str(state.key_id)[:SHOWN]}"
        lines.append(f"chain    {state.sequence} of probe {clean(state.probe_id)[:SHOWN]}; {signed}")
        lines += [f"         {clean(note)}" for note in state.notes[-3:]]
        lines += [f"         {clean(state.trouble, 500)}"] if state.trouble else []
    return lines + ([f"         and chains of {plural(len(found) - MOST, 'probe')} more"] if len(found) > MOST else [])


def _notes(links: list[Link]) -> Iterator[str]:
    for first, last, kind in holes(links):
        where = f"{first}" if first == last else f"{first} to {last}"
        yield f"{where}: {NOTES.get(kind, kind)}"


# wazi key


def show_key(common: Common, *, as_json: bool) -> int:
    """Show the public part of the signing key."""
    folder = data_folder(load_settings(common))
    key = _key(folder)
    for remark in key.remarks:
        say(remark)
    if as_json:
        record = {"key_id": key.public.key_id, "public": key.public.public, "pem": key.pem, "history": key.history}
        write_line(encode(record) + b"\n")
        return FINE
    write(f"key      {key.public.key_id}")
    for turn in reversed(key.history.rotations):
        write(f"         follows {turn.key_id} since {moment(turn.time)}")
    write(key.pem.strip())
    return FINE


def replace_key(common: Common) -> int:
    """Put a new signing key in the place of the old one, which signs that it follows."""
    folder = data_folder(load_settings(common))
    _key(folder)
    try:
        old, new = replace_signing_key(folder, time.time())
    except IdentityError as error:
        raise Refusal(str(error)) from None
    write(f"key      {new.public.key_id}")
    write(f"         follows {old.public.key_id}, which signed that it does and is gone")
    say("what is measured is signed with it from the next checkpoint on; give its id to those who know the old one")
    return FINE


def _key(folder: Path) -> SigningKey:
    try:
        key = read_signing_key(folder)
    except IdentityError as error:
        raise Refusal(str(error)) from None
    if key is None:
        raise Refusal(f"there is no signing key in {folder} yet: `wazi run` makes one")
    return key


# wazi store verify


def verify_store(common: Common, *, as_json: bool) -> int:
    """Go along every chain of the store and name the first thing that is wrong; end with 1 when something is."""
    settings = load_settings(common)
    found: list[Verified] = []
    with read_store(settings) as store:
        probes = store.chains.probes()
        with advancing("verifying", lambda: sum(map(store.chains.length, probes))) as advance:
            for probe_id in probes:
                before = sum(one.links for one in found)
                found.append(verify_chain(store, probe_id, _behind(before, advance)))
                if as_json:
                    write_line(encode(found[-1]) + b"\n")
    if not found:
        say("nothing is chained here yet: `wazi run` chains what it measures")
    if not as_json:
        for one in found:
            write("\n".join(_said(one)))
    return FOUND if any(one.fault is not None for one in found) else FINE


def verify_chain(store: Store, probe_id: str, advance: Callable[[int], None] = lambda links: None) -> Verified:
    """Go along one chain in bounded memory, computing the digest of each record that is kept again."""
    walk = _Walk(advance)
    chains = store.chains
    signed = chains.last_checkpoint(probe_id)
    keys = chains.keys(probe_id)
    fault = find_fault(walk.along(chains.records(probe_id)), chains.checkpoints(probe_id), keys)
    if walk.fault is not None and (fault is None or walk.fault.sequence <= fault.sequence):
        fault = walk.fault
    remarks = list(_notes(chains.notes(probe_id, 1000)))
    remarks += [f"key {key.key_id} signed here, and no earlier key handed over to it" for key in strangers(keys)]
    if walk.gone is not None:
        remarks.append(f"{plural(walk.dropped, 'measurement')} gone, the first {walk.gone}: by retention, or removed")
    return Verified(
        probe_id=probe_id,
        links=walk.links,
        kept=walk.kept,
        dropped=walk.dropped,
        unchained=chains.unchained(probe_id),
        signed=signed.sequence if signed else None,
        fault=fault,
        remarks=tuple(remarks),
    )


def _behind(before: int, advance: Callable[[int], None]) -> Callable[[int], None]:
    return lambda links: advance(before + links)


class _Walk:
    """Counts what passes, and compares each record with its link."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self.advance = advance
        self.links = self.kept = self.dropped = 0
        self.fault: Fault | None = None
        self.gone: str | None = None

    def along(self, chained: Iterator[Chained]) -> Iterator[Link]:
        for one in chained:
            link = one.link
            self.links += 1
            self.advance(self.links)
            if one.record is not None:
                self.kept += 1
                if sha256(one.record).hexdigest() != link.record:
                    self._wrong(link, "its record is not the one that was chained: it was changed")
            elif one.damage:
                self.kept += 1
                self._wrong(link, one.damage)
            elif link.measurement_id:
                self.dropped += 1
                self.gone = self.gone or f"measurement {link.measurement_id} ({link.sequence} in the chain)"
            yield link

    def _wrong(self, link: Link, words: str) -> None:
        if self.fault is None:
            what = f"measurement {link.measurement_id} ({link.sequence} in the chain)"
            self.fault = Fault(
                kind=Kind.CHANGED, sequence=link.sequence, measurement_id=link.measurement_id, words=f"{what}: {words}"
            )


def _said(one: Verified) -> list[str]:
    lines = [f"chain    of probe {clean(one.probe_id)}: {plural(one.links, 'link')}, {one.kept} with their measurement"]
    if one.fault is not None:
        lines.append(f"         WRONG: {clean(one.fault.words, 500)} ({one.fault.kind})")
    elif one.signed is None:
        lines.append("         it fits in itself, and nothing was signed yet")
    else:
        lines.append(f"         it fits, and what was signed up to {one.signed}")
    if one.unchained:
        lines.append(f"         {plural(one.unchained, 'measurement')} without a link: from before it, or imported")
    return [*lines, *(f"         {clean(remark, 300)}" for remark in one.remarks[:20])]
