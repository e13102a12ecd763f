"""The computer read at the edge, and handed inwards as a value: containers, tunnels, proxies, what names the home."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path

from probe.vantage import Machine

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_MARKS = (".dockerenv", "run/.containerenv")
_USES_GATEWAY = 2  # RTF_GATEWAY
_LONGEST = 64 * 1024
_MOST = 8  # domains and cards: each that is looked for takes time
_SEARCH = re.compile(r"^[ \t]*(?:search|domain)[ \t]+(.*)$", re.MULTILINE)


def read_machine(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> Machine:
    """Look around on this computer; what cannot be read is taken for absent."""
    named = {name.lower() for name, value in environment.items() if value}
    return Machine(
        container=any((root / mark).exists() for mark in _MARKS)
        or bool({"kubernetes_service_host", "container"} & named),
        proxies=tuple(name for name in _PROXIES if name in named),
        gateways=frozenset(_gateways(root / "proc/net/route")),
        tunnels=frozenset(_tunnels(root / "sys/class/net")),
    )


def read_home(root: Path = Path("/"), host: str | None = None) -> frozenset[str]:
    """Return the names of this machine and its network, and the hardware addresses near it: only to take them out.

    `host` is what the machine calls itself, by default what the system says. It is also given with each domain
    that the network gave. Of other machines' cards only the gateway's is given.
    """
    host = os.uname().nodename if host is None else host
    text = _text(root / "etc/resolv.conf") + "\n" + _text(root / "run/systemd/resolve/resolv.conf")
    domains = {domain.strip(".") for line in _SEARCH.findall(text) for domain in line.split()[:_MOST]}
    machine = host.partition(".")[0]
    names = {host, machine, *domains, *(f"{machine}.{domain}" for domain in domains)}
    cards = {_text(device / "address").strip() for device in _listed(root / "sys/class/net")[:_MOST]}
    return frozenset(filter(None, {*names, *cards, *_of_gateways(root)}))


def _of_gateways(root: Path) -> set[str]:
    gateways = {
        str(IPv4Address(bytes.fromhex(words[2])[::-1]))
        for words in map(str.split, _text(root / "proc/net/route").splitlines()[1:])
        if len(words) > 2 and re.fullmatch(r"[0-9A-Fa-f]{8}", words[2])
    }
    known = [line.split() for line in _text(root / "proc/net/arp").splitlines()[1:]]  # IP, type, flags, address …
    return {words[3] for words in known if len(words) > 3 and words[0] in gateways}


def _gateways(table: Path) -> list[str]:
    found = []
    for line in _text(table).splitlines()[1:]:
        words = line.split()  # Iface Destination Gateway Flags …
        if len(words) > 3 and re.fullmatch(r"[0-9A-Fa-f]{1,8}", words[3]) and int(words[3], 16) & _USES_GATEWAY:
            found.append(words[0])
    return found


def _tunnels(devices: Path) -> list[str]:
    return [
        folder.name
        for folder in _listed(devices)
        if (folder / "tun_flags").exists() or "DEVTYPE=wireguard" in _text(folder / "uevent").split()
    ]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        with path.open(errors="replace") as file:
            return file.read(_LONGEST)
    except OSError:
        return ""
