"""Signing what the chain has come to, now and then, while the probe runs: at its start, every ten minutes, at its end.

The last checkpoint that was made is remembered in a file beside the key, outside the store. If the store does not hold
it any more, it was put back to an older copy, or is another one: the chain then goes on with a note that says so
(`Chains.sign`). A store and a folder that are put back together cannot be told from those of an earlier day; only a
checkpoint that somebody else knows shows that.

Signing takes milliseconds in a thread of its own. What keeps it from being done is logged and tried again: it must
never stop the measuring.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import structlog
from msgspec import MsgspecError

from measurements.evidence.chain import PublicKey, Rotation, SignedCheckpoint
from measurements.model import decode, encode
from measurements.store.errors import StoreError
from probe.identity import IdentityError
from probe.keys import SigningKey, load_signing_key, read_signing_key

EVERY = 600.0  # seconds between two checkpoints, while there is something new
ENDING = 1.0  # seconds that what goes on may take to end
NAME = "last-checkpoint.json"

log = structlog.get_logger("wazi.signing")


class Signed(Protocol):
    """What came of signing (`measurements.store.chains.Signing`)."""

    @property
    def checkpoint(self) -> SignedCheckpoint | None: ...

    @property
    def is_new(self) -> bool: ...

    @property
    def remarks(self) -> tuple[str, ...]: ...


class Chains(Protocol):
    """What signing asks of a store."""

    def sign(
        self, probe_id: str, signer: SigningKey, now: float, *, remembered: SignedCheckpoint | None = None
    ) -> Signed: ...

    def add_rotations(self, rotations: Sequence[Rotation], keys: Sequence[PublicKey]) -> None: ...


class Notary:
    """Signs the chain of one probe. `now` is the wall clock; what is wrong is logged."""

    def __init__(self, chains: Chains, folder: Path, probe_id: str, *, now: Callable[[], float]) -> None:
        """Look for the key, which is made where there is none; raises IdentityError."""
        self._chains, self._folder, self._probe_id, self._now = chains, folder, probe_id, now
        self._handed_over = 0
        self._signing = threading.Lock()
        load_signing_key(folder)

    def sign(self) -> SignedCheckpoint | None:
        """Sign what the chain has come to; return the newest checkpoint, None when there is none or it failed."""
        try:
            with self._signing:
                return self._sign()
        except (StoreError, IdentityError, OSError) as error:
            log.warning("what was measured could not be signed", why=str(error))
        except Exception:  # whatever it is, the next measurement matters more
            log.exception("what was measured could not be signed")
        return None

    def _sign(self) -> SignedCheckpoint | None:
        key = read_signing_key(self._folder)
        if key is None:
            raise IdentityError(f"the signing key is gone from {self._folder}: put it back, or start Wazi anew")
        for remark in key.remarks:
            log.warning("signing key", why=remark)
        if self._handed_over < len(key.history.rotations):
            self._chains.add_rotations(key.history.rotations, key.history.keys)
            self._handed_over = len(key.history.rotations)
        remembered = self._remembered()
        if remembered is not None and key.history.of(remembered.key_id) is None:
            why = f"the last checkpoint was signed with {remembered.key_id[:16]}, which did not hand over to it"
            log.warning("the signing key is a new one", why=why)
        signed = self._chains.sign(self._probe_id, key, self._now(), remembered=remembered)
        for remark in signed.remarks:
            log.error("the chain is broken", why=remark)
        if signed.checkpoint is not None and signed.checkpoint != remembered:
            self._remember(signed.checkpoint)
        return signed.checkpoint

    def _remembered(self) -> SignedCheckpoint | None:
        """Return the last checkpoint that this probe made; None when there is none, or the file is damaged."""
        try:
            found = decode((self._folder / NAME).read_bytes()[:100_000], SignedCheckpoint)
        except FileNotFoundError:
            return None
        except (MsgspecError, UnicodeDecodeError):
            why = f"{self._folder / NAME} is damaged: whether the store is an older copy cannot be told this time"
            log.warning("the last checkpoint is not known", why=why)
            return None
        return found if found.probe_id == self._probe_id else None

    def _remember(self, checkpoint: SignedCheckpoint) -> None:
        descriptor, draft = tempfile.mkstemp(prefix=f".{NAME}-", dir=self._folder)  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(encode(checkpoint) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self._folder / NAME)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)


@contextmanager
def signing(
    notary: Notary,
    flush: Callable[[], object],
    *,
    pause: float = EVERY,
    stamp: Callable[[SignedCheckpoint], object] = lambda checkpoint: None,
) -> Iterator[None]:
    """Sign at once, every so many seconds while the block goes on, and at its end, when `flush` has stored the last.

    Between these `stamp` is given what was signed.
    """
    ended = threading.Event()

    def go_on() -> None:
        made = first
        while True:
            if made is not None:
                stamp(made)
            if ended.wait(pause):
                return
            made = notary.sign()

    first = notary.sign()
    thread = threading.Thread(target=go_on, name="wazi-signing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(ENDING)  # it may be waiting for a stamp
        with contextlib.suppress(StoreError, TimeoutError):  # it is told by who waits for what was not stored
            flush()
        notary.sign()
