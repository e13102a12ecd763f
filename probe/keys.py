"""The key by which a probe signs what it measured: Ed25519, made when it first starts, kept beside its id.

One file holds all of it, so that one rename replaces all of it: the private key as PEM (PKCS#8), which other programs
read (`openssl pkey -in signing-key.pem -pubout`), and before it, where PEM allows any text, the public keys that came
before and the records by which each handed over to the next. Whoever has the file can sign as this probe; whoever
knows the public key knows what is the same probe's. Nobody but its owner may read it, and one that cannot be read is
never replaced without being told.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from measurements.evidence.chain import Keys, PublicKey, handed_over, public_key, rotate
from measurements.model import decode, encode
from probe.identity import IdentityError

NAME = "signing-key.pem"
LONGEST = 1_000_000  # bytes of the file
OTHERS = stat.S_IRWXG | stat.S_IRWXO

_BEGIN, _END = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"
_HISTORY = "keys: "
_HEAD = (
    "The signing key of a Wazi probe. Whoever has this file can sign as this probe: keep it to yourself.\n"
    "`wazi key show` tells of it; `wazi key replace` puts a new one in its place.\n"
)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that can sign. `history` holds all keys up to this one, and how each handed over to the next."""

    public: PublicKey
    history: Keys
    remarks: tuple[str, ...] = ()
    private: Ed25519PrivateKey = field(repr=False, kw_only=True)

    def sign(self, text: bytes) -> bytes:
        """Return the 64 bytes of an Ed25519 signature."""
        return self.private.sign(text)

    @property
    def pem(self) -> str:
        """The public key, as other programs read it."""
        return self.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def load_signing_key(folder: Path) -> SigningKey:
    """Return the key kept in `folder`, or make one; two that start at once agree. Raises IdentityError."""
    path = folder / NAME
    with _told(path):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _write(path, _new(Keys()), replace=False)
        return _read(path)


def read_signing_key(folder: Path) -> SigningKey | None:
    """Return the key kept in `folder`; None when there is none. Raises IdentityError."""
    path = folder / NAME
    with _told(path):
        return _read(path) if path.exists() else None


def replace_signing_key(folder: Path, now: float) -> tuple[SigningKey, SigningKey]:
    """Put a new key in the place of the one in `folder`, which signs that it follows; return the old and the new.

    A kill leaves the old one or the new one, whole. The old private key is overwritten as far as a disk lets us: one
    that copies what it writes elsewhere (most flash does) may keep it. Raises IdentityError.
    """
    path = folder / NAME
    with _told(path), _alone(folder):
        if not path.exists():
            raise IdentityError(f"there is no signing key in {path} yet: `wazi run` makes one")
        old = _read(path)
        new = _new(old.history, old, int(now))
        with path.open("r+b") as before:
            _write(path, new, replace=True)
            _overwrite(before.fileno())
        return old, _read(path)


def _new(history: Keys, old: SigningKey | None = None, now: int = 0) -> SigningKey:
    private = Ed25519PrivateKey.generate()
    public = public_key(private.public_key().public_bytes_raw())
    rotations = history.rotations
    if old is not None:
        rotations = (*rotations, rotate(old.public.key_id, public, now, old.sign, private.sign))
    return SigningKey(public, Keys(keys=(*history.keys, public), rotations=rotations), private=private)


def _read(path: Path) -> SigningKey:
    """Read the file, and see that nobody else can."""
    remarks = _close_to_others(path)
    with path.open("rb") as file:
        text = file.read(LONGEST).decode("ascii", "replace")
    begin, end = text.find(_BEGIN), text.find(_END)
    try:
        if begin < 0 or end < begin:
            raise ValueError("it holds no private key")
        private = load_pem_private_key(text[begin : end + len(_END)].encode() + b"\n", None)
        if not isinstance(private, Ed25519PrivateKey):
            raise ValueError("its key is not of the kind Ed25519")
        public = public_key(private.public_key().public_bytes_raw())
        history = _history(text[:begin], public)
    except ValueError as error:  # cryptography's and msgspec's errors are ValueErrors, too
        raise IdentityError(
            f"{path} cannot be used ({error}): put the old file back; or move it away, and a new key is made, which "
            "nobody can know to be the same probe's"
        ) from None
    return SigningKey(public, history, remarks, private=private)


def _history(text: str, public: PublicKey) -> Keys:
    told = next((line.removeprefix(_HISTORY) for line in text.splitlines() if line.startswith(_HISTORY)), None)
    if told is None:
        return Keys(keys=(public,))  # somebody made it with another program
    history = decode(told, Keys)
    if not history.keys or history.keys[-1] != public or not _is_sound(history):
        raise ValueError("the keys that it says came before do not lead to its own")
    return history


def _is_sound(history: Keys) -> bool:
    """Tell whether each key handed over to the next."""
    steps = zip(history.keys, history.keys[1:], history.rotations, strict=False)
    follow = all((turn.key_id, turn.next_id) == (one.key_id, two.key_id) for one, two, turn in steps)
    whole = len(history.rotations) == len(history.keys) - 1
    return whole and follow and all(handed_over(turn, history) for turn in history.rotations)


def _text(key: SigningKey) -> bytes:
    pem = key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return _HEAD.encode() + _HISTORY.encode() + encode(key.history) + b"\n" + pem


def _write(path: Path, key: SigningKey, *, replace: bool) -> None:
    """Write a file whole and then give it its name; unless it is to `replace`, whoever was faster stays."""
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_text(key))
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(draft, path)
        else:
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        _sync(path.parent)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)


def _sync(folder: Path) -> None:
    """See that a name in a folder outlives a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _overwrite(descriptor: int) -> None:
    size = os.fstat(descriptor).st_size
    os.pwrite(descriptor, bytes(size), 0)
    os.fsync(descriptor)


def _close_to_others(path: Path) -> tuple[str, ...]:
    """Take from others the right to read the file; say so, for they may have read it already."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & OTHERS:
        return ()
    with contextlib.suppress(OSError):
        path.chmod(mode & ~OTHERS)
    now = stat.S_IMODE(path.stat().st_mode)
    done = "it is closed to them now" if not now & OTHERS else "and that cannot be changed on this disk"
    return (
        f"others on this computer could read the signing key {path}; {done}. If somebody may have copied it, replace "
        "it: `wazi key replace`",
    )


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one program at a time replace the key."""
    descriptor = os.open(folder / "signing-key.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise IdentityError(
            f"the signing key cannot be kept in {path} ({error.strerror}): give this user the right to write there"
        ) from error
