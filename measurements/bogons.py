"""Bogons: the addresses that no public host has, by a list that says why.

The list is data (`config/bogons.csv`, columns `prefix,why`), so that a laboratory or an unusual
network brings its own. The longest prefix that holds an address decides. A row without a reason
cuts a public prefix out of a wider one, as IANA's registries do.

An IPv6 address that only carries an IPv4 address to a translator is as public as that one:
64:ff9b::/96 (NAT64, RFC 6052) and 2002::/16 (6to4, RFC 3056). So a NAT64 network's answers are not
called private, and 64:ff9b::10.0.0.1 is.

That is for judging answers. Whoever is about to connect for somebody else asks `why_not_public`, which trusts no list
alone and looks at every IPv4 address that an IPv6 one may stand for.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_CARRIERS = (
    ("NAT64", IPv6Network("64:ff9b::/96"), 0),
    ("6to4", IPv6Network("2002::/16"), 80),
)


NEVER_PUBLIC = tuple(
    ip_network(prefix)
    for prefix in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "::/127", "fe80::/10", "ff00::/8")
)
"""What no public host has, whatever a list says."""

_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))


class BadBogons(ValueError):
    """A list of bogons that cannot be read; the message names its line and what to write."""


class Bogons:
    """Prefixes, each with the reason why no public host has an address in it ("" when some do).

    Immutable. A lookup costs one dictionary access for each prefix length in the list.
    """

    __slots__ = ("_tables", "prefixes")

    def __init__(self, prefixes: Iterable[tuple[IPv4Network | IPv6Network, str]] = ()) -> None:
        self.prefixes = tuple(prefixes)
        tables: dict[int, dict[int, dict[int, str]]] = {4: {}, 6: {}}
        for network, why in self.prefixes:
            shift = network.max_prefixlen - network.prefixlen
            tables[network.version].setdefault(shift, {})[int(network.network_address) >> shift] = why
        self._tables = {version: tuple(sorted(table.items())) for version, table in tables.items()}

    @classmethod
    def parse(cls, text: str, origin: str) -> Bogons:
        """Read the CSV `prefix,why` (header, blank lines and # comments allowed); raise `BadBogons`."""
        prefixes: dict[IPv4Network | IPv6Network, str] = {}
        for number, cells in _rows(text, origin):
            place = f"{origin} line {number}"
            if len(cells) != 2:
                raise BadBogons(f"{place}: {len(cells)} columns; write prefix,why and quote a reason that has a comma")
            network = _network(cells[0], place)
            if network in prefixes:
                raise BadBogons(f"{place}: {network} is in the list already; keep one of the two lines")
            prefixes[network] = cells[1]
        return cls(prefixes.items())

    def why(self, address: str) -> str | None:
        """Say why no public host has `address`; None when one may. `ValueError` if it is no address."""
        parsed = ip_address(address)
        why = self._longest(parsed)
        if why is None and parsed.version == 6:
            return self._why_carried(parsed)
        return why or None

    def about(self, addresses: Iterable[str]) -> Bogons:
        """Return the rows that say something of some addresses: of these, the two lists say the same."""
        asked: set[IPv4Address | IPv6Address] = {ip_address(address) for address in addresses}
        asked |= {inner for address in asked if isinstance(address, IPv6Address) for _, inner in _carried(address)}
        return Bogons((network, why) for network, why in self.prefixes if any(one in network for one in asked))

    def _longest(self, address: IPv4Address | IPv6Address) -> str | None:
        """Return the reason of the longest prefix that holds `address`; None when none does."""
        number = int(address)
        for shift, table in self._tables[address.version]:
            why = table.get(number >> shift)
            if why is not None:
                return why
        return None

    def _why_carried(self, address: IPv6Address) -> str | None:
        for carrier, inner in _carried(address):
            why = self._longest(inner)
            return f"{carrier} of {inner}: {why}" if why else None
        return None


def why_not_public(address: str, bogons: Bogons) -> str | None:
    """Say why one should not connect to `address` for a stranger; None when nothing speaks against it.

    An IPv6 address is also judged by every IPv4 address that it may stand for. `ValueError` if it is no address.
    """
    for face in faces(ip_address(address)):
        why = bogons.why(str(face))
        if why is None and any(face in prefix for prefix in NEVER_PUBLIC):
            why = "never a public host"
        if why is not None:
            return why
    return None


def faces(ip: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """Return the address and the IPv4 addresses that it stands for (RFC 4291, 3056, 4380, 6052, 8215)."""
    if isinstance(ip, IPv4Address):
        return [ip]
    inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if any(ip in prefix for prefix in _NAT64) or (int(ip) >> 32 == 0 and int(ip) > 1):  # ::a.b.c.d, deprecated
        inner.append(IPv4Address(int(ip) & 0xFFFFFFFF))
    return [ip, *(face for face in inner if face is not None)]


def _carried(address: IPv6Address) -> Iterator[tuple[str, IPv4Address]]:
    """Yield what carries an IPv4 address within this one, and that address."""
    for carrier, network, shift in _CARRIERS:
        if address in network:
            yield carrier, IPv4Address(int(address) >> shift & 0xFFFFFFFF)


def _rows(text: str, origin: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=None), strict=True)
    number = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells) and not cells[0].startswith("#") and cells != ["prefix", "why"]:
                yield number, cells
            number = reader.line_num + 1
    except csv.Error as error:
        raise BadBogons(f"{origin} line {number}: no CSV from here on ({error}); close the quotation mark") from None


def _network(text: str, place: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise BadBogons(f"{place}: {text[:60]!r} is no prefix; write one such as 192.168.0.0/16 or fc00::/7") from None
    raise BadBogons(f"{place}: {text} has bits beyond its length; write {network}")
