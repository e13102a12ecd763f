"""Which network an address is in, by a database that the user has: MMDB, as MaxMind's GeoLite2-ASN or IPinfo's."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import maxminddb


class BadDatabase(Exception):
    """A file is no database of networks; the text says why."""


def open_asns(path: Path | None) -> Callable[[str], int | None]:
    """Return what tells the number of an address's network, or None; without a database it never knows.

    Raises `BadDatabase`.
    """
    if path is None:
        return lambda address: None
    try:
        reader = maxminddb.open_database(path)
    except OSError as error:
        raise BadDatabase(f"cannot be read ({error.strerror}); correct the path or its permissions") from None
    except (maxminddb.InvalidDatabaseError, ValueError):
        raise BadDatabase("is no MMDB file, such as GeoLite2-ASN.mmdb") from None

    def asn_of(address: str) -> int | None:
        try:
            return _number(reader.get(address))
        except (maxminddb.InvalidDatabaseError, ValueError):  # damaged, or an address of a family that it lacks
            return None

    return asn_of


def _number(row: Any) -> int | None:
    """Read a row's number: an integer, or text such as "AS64496"."""
    if not isinstance(row, dict):
        return None
    said = row.get("autonomous_system_number", row.get("asn"))
    digits = re.fullmatch(r"(?:AS)?([0-9]{1,10})", str(said), re.IGNORECASE)
    return int(digits[1]) if digits and 0 < int(digits[1]) < 2**32 else None
