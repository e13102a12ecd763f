"""The faults of volunteers' own networks and machines, as a vocabulary; `home_wiring` puts them to work.

Nobody censors here: a portal waits for a login, a bundle is spent, a VPN is up, a router is half dead. Some
keep a log of what they did to whom (`Portal`, `HouseDns`); the others are `SILENT`, as a cable that is out is.
"""

from __future__ import annotations

import sys
from typing import Literal

import msgspec

HouseBy = Literal["cli", "home", "isp"]
VPN_NET, VPN_NET6 = "10.99.0", "2001:db8:99"
NAT64_PREFIX = "2001:db8:64::/96"
DNS64 = "2001:db8:a53::64"


class GatewayOnly(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The home router answers, and passes nothing on; with `names`, it passes questions of the DNS."""

    names: bool = False


class Loss(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The home's line loses `percent` of the packets each way."""

    percent: float


class Portal(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A router keeps all that is not spared from passing, and says so, or not.

    `http` and `https` are what happens to ports 80 and 443: redirected to a login page, answered with one
    (page, login; `status511` is RFC 6585's), relayed under a certificate of its own, reset, dropped, or let pass.
    `wildcard` is the address that every name gets. Nothing else passes, but for DNS and what is `spared`.
    """

    by: HouseBy = "home"
    http: Literal["redirect", "page", "status511", "reset", "drop", "pass"] = "redirect"
    https: Literal["login", "relay", "reset", "drop", "pass"] = "reset"
    wildcard: str | None = None
    spared: tuple[str, ...] = ()
    rest: Literal["drop", "pass"] = "drop"


class HouseDns(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The home router takes every question to any resolver, and answers after `delay` seconds.

    `answer` is what `names` (none: all) get: an address, nxdomain, silence, or the truth, from the ISP's resolver.
    """

    names: tuple[str, ...] = ()
    answer: str = "truth"
    delay: float = 0.0


class SparedOnly(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The border lets nothing pass but what goes to or comes from these addresses."""

    spared: tuple[str, ...] = ()


class Vpn(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A tunnel takes all traffic to an exit beyond the border; from the start, or from the first packet `to`."""

    device: str = "tun0"
    to: str | None = None


class Ipv6Fault(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The machine has an IPv6 address, and its route is missing, or swallows everything."""

    how: Literal["no-route", "black-hole"]


class Ipv6Only(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The machine has IPv6 alone; the provider makes AAAA records up (DNS64) and translates (NAT64)."""


HomeFault = GatewayOnly | Loss | Portal | HouseDns | SparedOnly | Vpn | Ipv6Fault | Ipv6Only
SILENT = (GatewayOnly, Loss, SparedOnly, Vpn, Ipv6Fault, Ipv6Only)


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """How the probe is run: behind a command that runs it, and with variables besides."""

    wrapper: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


def open_files(count: int) -> Run:
    """Let the probe open no more than `count` files."""
    return Run(wrapper=("prlimit", f"--nofile={count}"))


def clock_wrong_by(days: int) -> Run:
    """Set the probe's wall clock wrong, and leave its monotonic one alone (libfaketime)."""
    return Run(wrapper=("faketime", "--exclude-monotonic", "-f", f"{days:+}d"))


def stopped(seconds: float, *, at: str) -> Run:
    """Stop the probe's process for a while when its first packet to `at` is sent, as a lid that is closed does."""
    return Run(wrapper=(sys.executable, "-m", "tests.lab.on_packet", at, "stop", str(seconds)))
