"""`wazi redaction`: show what was taken out of one measurement, or check what somebody shows.

`open` gives away the salt of one measurement. `check` needs neither the store nor the probe: it makes the commitments
that a value would have under that salt, and says where they stand in a file, be it a bundle, an export or a page.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from measurements.address_forms import parse
from measurements.commitments import SALT_BYTES, commitment, removals, salt_of
from measurements.home_forms import Hardware, at_home
from measurements.model import encode
from measurements.printable import plural
from probe.commands.building import data_folder, load_settings, read_store
from probe.commands.console import FINE, FOUND, Common, Refusal, say, write, write_line
from probe.identity import IdentityError, read_redaction_secret

MOST_BYTES = 1 << 30  # of a file, or of what is packed in it
_AS_WRITTEN = ("cookie", "client", "parameter", "certificate")

_WARNING = (
    "whoever gets this salt can try addresses until one fits, and so learn your address at that time, and whatever "
    "else was taken out of this measurement and can be guessed. Other measurements stay shut. Give it only to whom you "
    "trust with that."
)


def open_redaction(common: Common, prefix: str) -> int:
    """Print the salt of one measurement, with what was taken out of it, as one JSON object."""
    from measurements.store import NotFound

    settings = load_settings(common)
    with read_store(settings) as store:
        try:
            measurement = store.measurement(prefix).measurement
        except NotFound as error:
            raise Refusal(str(error)) from None
    taken = list(removals(measurement.redacted))
    if not any(one.commitment for one in taken):
        raise Refusal(f"nothing was taken out of measurement {measurement.id} that could be shown")
    try:
        secret = read_redaction_secret(data_folder(settings))
    except IdentityError as error:
        raise Refusal(str(error)) from None
    say(_WARNING)
    write_line(
        encode(
            {
                "measurement": measurement.id,
                "salt": salt_of(secret, measurement.id).hex(),
                "redacted": [{"place": one.place, "kind": one.kind, "commitment": one.commitment} for one in taken],
            }
        )
        + b"\n"
    )
    return FINE


def check_redaction(salt: str, values: Sequence[str], file: Path) -> int:
    """Say for every value where its commitments stand in a file; 1 when one stands nowhere."""
    if not re.fullmatch(rf"[0-9a-f]{{{2 * SALT_BYTES}}}", salt):
        raise Refusal(f"--salt: write the {2 * SALT_BYTES} hexadecimal digits that `wazi redaction open` printed")
    missing = False
    texts = list(_texts(file))
    for value in values:
        found = False
        for kind, usual in _readings(value):
            made = commitment(bytes.fromhex(salt), kind, usual)
            counted = sum(text.count(made.encode()) for text in texts)
            if counted:
                found = True
                write(f"{value}: was taken out as {kind} {made}, which stands there {plural(counted, 'time')}")
        if not found:
            missing = True
            write(f"{value}: nothing in {file} was taken out under this salt that was this")
    return FOUND if missing else FINE


def _readings(value: str) -> Iterator[tuple[str, str | bytes]]:
    """Yield (kind, usual form) of everything that a value may have been taken out as."""
    if value.startswith("@"):
        try:
            yield from ((kind, Path(value[1:]).read_bytes()) for kind in _AS_WRITTEN)
        except OSError as error:
            raise Refusal(f"{value[1:]}: cannot be read ({error.strerror})") from None
        return
    yield from ((kind, value) for kind in _AS_WRITTEN)
    address, other = parse(value), at_home(value)
    if address is not None:
        yield from (("address", str(address)), ("router", str(address)))
    elif "/" in value:
        yield "address", value
    elif other is not None:
        yield "hardware" if isinstance(other, Hardware) else "name", str(other)


def _texts(file: Path) -> Iterator[bytes]:
    """Yield what is in a file, and in a ZIP what each of its files holds."""
    try:
        if file.stat().st_size > MOST_BYTES:
            raise Refusal(f"{file}: is larger than {MOST_BYTES} bytes")
        if not zipfile.is_zipfile(file):
            yield file.read_bytes()
            return
        with zipfile.ZipFile(file) as packed:
            if sum(each.file_size for each in packed.infolist()) > MOST_BYTES:
                raise Refusal(f"{file}: what is packed in it is larger than {MOST_BYTES} bytes")
            yield from (packed.read(each) for each in packed.infolist())
    except OSError as error:
        raise Refusal(f"{file}: cannot be read ({error.strerror or error})") from None
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise Refusal(f"{file}: is a damaged ZIP ({error})") from None
