"""Faults of the world that nobody means: narrow links, full tables, busy lines, sites that ration.

The values cross as JSON like those of `scenario`; beside each stand the nftables rules that make it true.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from tests.lab.topology import CLIENT_NETS

By = Literal["home", "isp", "censor", "edge", "srv"]

_SYN = "tcp flags & (syn | ack) == syn"


class PathMtu(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The link between the ISP and the border carries packets up to `mtu` bytes; when `silent`, nobody is told so."""

    mtu: int = 1280
    silent: bool = True


class ConnectionLoss(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A full translation table of the ISP's refuses `percent` of new connections, whatever is tried again on them."""

    percent: int


class LossyLine(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The home's line loses `percent` of all packets, each way."""

    percent: int


class BusyLine(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What comes from these addresses to the client gets through at `kilobytes` a second."""

    addresses: tuple[str, ...]
    kilobytes: int
    by: By = "censor"


class SlowLine(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The home's line carries `kbit` a second towards the home, whatever it is; a queue of 0.4 s stands before it."""

    kbit: int


class SynLimit(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The site takes `per_minute` connections to port 443 from the client's address.

    When `spent`, neighbours have used them up, and another is free after a `per_minute`th of a minute.
    """

    addresses: tuple[str, ...]
    per_minute: int = 5
    spent: bool = True


WorldFault = PathMtu | ConnectionLoss | LossyLine | BusyLine | SlowLine | SynLimit
SILENT = ConnectionLoss | LossyLine | SlowLine
"""What cannot be caught in the act, for it strikes by chance or is the kernel's own doing."""


def family(address: str) -> str:
    """Return nftables' word for the protocol of an address."""
    return "ip6" if ":" in address else "ip"


def client_net(address: str) -> str:
    """Return the client's network, of the same protocol as `address`."""
    return CLIENT_NETS[":" in address]


def named(action: str, address: str) -> str:
    """Return a counter's name, from which action and address are read back."""
    return f"{action}_{address.replace(':', '-')}"


def lost_connections(fault: ConnectionLoss) -> list[str]:
    """Return rules for the ISP's router: which connections are lost follows from their ports."""
    lots = f"jhash tcp sport . tcp dport mod 100 < {fault.percent} drop"
    return [f"{word} saddr {net} {_SYN} {lots}" for word, net in zip(("ip", "ip6"), CLIENT_NETS, strict=True)]


def busy_line(fault: BusyLine) -> list[str]:
    """Return a rule for each address: what is above the rate is dropped."""
    limit = f"limit rate over {fault.kilobytes} kbytes/second burst {fault.kilobytes} kbytes"
    return [
        f"{family(a)} saddr {a} {family(a)} daddr {client_net(a)} {limit} counter name {named('throttle', a)} drop"
        for a in fault.addresses
    ]


def rationed(fault: SynLimit) -> list[str]:
    """Return a rule for each address, for the site's own machine."""
    limit = f"limit rate over {fault.per_minute}/minute burst {fault.per_minute} packets"
    return [
        f"{family(a)} saddr {client_net(a)} {family(a)} daddr {a} tcp dport 443 {_SYN} {limit} "
        f"counter name {named('ration', a)} drop"
        for a in fault.addresses
    ]


def hushed() -> list[str]:
    """Return rules against telling a sender that his packet was too big."""
    kinds = ("icmp type destination-unreachable icmp code frag-needed", "icmpv6 type packet-too-big")
    return [f"{kind} counter name {named('mtu', 'any')} drop" for kind in kinds]
