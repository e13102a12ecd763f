"""The computer read at the edge, and handed inwards as a value: containers, tunnels, proxies."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from probe.vantage import Machine

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_MARKS = (".dockerenv", "run/.containerenv")
_USES_GATEWAY = 2  # RTF_GATEWAY
_LONGEST = 64 * 1024


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


def _gateways(table: Path) -> list[str]:
    found = []
    for line in _text(table).splitlines()[1:]:
        words = line.split()  # Iface Destination Gateway Flags …
        if len(words) > 3 and re.fullmatch(r"[0-9A-Fa-f]{1,8}", words[3]) and int(words[3], 16) & _USES_GATEWAY:
            found.append(words[0])
    return found


def _tunnels(devices: Path) -> list[str]:
    try:
        folders = list(devices.iterdir())
    except OSError:
        return []
    return [
        folder.name
        for folder in folders
        if (folder / "tun_flags").exists() or "DEVTYPE=wireguard" in _text(folder / "uevent").split()
    ]


def _text(path: Path) -> str:
    try:
        with path.open(errors="replace") as file:
            return file.read(_LONGEST)
    except OSError:
        return ""
