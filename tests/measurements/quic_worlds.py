"""Scripted worlds for QUIC: one open site, and what may keep QUIC from it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from measurements.case import Case
from measurements.judge import judge
from measurements.model import Failure, Verdict
from measurements.targets import normalise
from probe.nettests import quic
from probe.steps import harmless_name
from tests.scripted import BOGONS, WITNESSES, Page, ScriptedNetwork, World

HOST, ADDRESS = "site.example", "203.0.113.10"
URL = f"https://{HOST}/"
HARMLESS = harmless_name(HOST)
SILENT = Failure.TIMEOUT
ALT_SVC = (("alt-svc", 'h3=":443"; ma=86400'),)
SERVERS = (ADDRESS, *WITNESSES.values())
Path = dict[int, tuple[str, str | None]]
Paths = dict[tuple[str, str | None], Path]

USUAL: Path = {1: ("expired", "10.0.0.1"), 2: ("expired", "198.51.100.9"), 3: ("expired", "198.51.100.10")}
AT_HOME: Path = dict.fromkeys(range(1, 21), ("silence", None))
AT_EXIT: Path = {1: USUAL[1], **dict.fromkeys(range(2, 21), ("silence", None))}
BEYOND: Path = {1: USUAL[1], 2: USUAL[2], **dict.fromkeys(range(3, 21), ("silence", None))}
HIDDEN: Path = {1: USUAL[1], 2: ("expired", "10.9.9.9"), **dict.fromkeys(range(3, 21), ("silence", None))}
AT_SITE: Path = {**USUAL, **dict.fromkeys(range(4, 21), ("silence", None))}


def world(*, control: bool = True, announced: bool = True, **changes: Any) -> World:
    """An open site that speaks QUIC, and witnesses that do too."""
    page = Page(headers=ALT_SVC if announced else ())
    whole = World(
        names={HOST: [ADDRESS]},
        pages={(ADDRESS, HOST): page},
        versions=dict.fromkeys(SERVERS),
        quics={
            (ADDRESS, HOST): None,
            (ADDRESS, HARMLESS): Failure.SSL_INVALID_HOSTNAME,
            **{
                (address, name): Failure.SSL_INVALID_HOSTNAME
                for address in WITNESSES.values()
                for name in (HOST, HARMLESS)
            },
        },
        control_quics={ADDRESS: None},
        seen=page if control else None,
    )
    return replace(whole, **changes)


def by_name(whole: World, *addresses: str) -> dict[tuple[str, str | None], Failure | None]:
    """The handshakes of a world in which the name is swallowed at `addresses`, or wherever it goes."""
    return {
        at: SILENT if at[1] == HOST and at[0] in (addresses or SERVERS) else what for at, what in whole.quics.items()
    }


def without_quic(whole: World, *addresses: str, path: Path, everywhere: Path = USUAL) -> World:
    """A world in which all of QUIC is dropped towards `addresses`."""
    paths: Paths = {
        (address, name): path if address in addresses else everywhere
        for address in SERVERS
        for name in (HOST, HARMLESS)
    }
    return replace(
        whole,
        versions={a: SILENT if a in addresses else None for a in SERVERS},
        quics={at: SILENT if at[0] in addresses else what for at, what in whole.quics.items()},
        quic_paths=paths,
    )


def look(whole: World, url: str = URL) -> tuple[Verdict, ScriptedNetwork]:
    """Run the quic nettest in a world and judge it."""
    net = ScriptedNetwork(whole)
    target = normalise(url)
    asyncio.run(quic.measure(target, net))
    return judge(Case(measurement=net.measurement(target, "quic"), bogons=BOGONS)), net
