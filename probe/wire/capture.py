"""Watching our own packets while other sockets do the asking: the parent's half of `raw_trace`.

The helper is a process that lives as long as the watching does. Where the system refuses it the network device,
or it does not answer, there are no packets, and the record says what is left to go by: `recverr` when the
system will tell which router an ICMP error came from, else `none`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from measurements.model import CapturedPacket
from probe.wire.sockets import Endpoint, hear_icmp, open_socket

HELPER = Path(__file__).with_name("raw_trace.py")
MOST_PACKETS = 2000
MOST_BYTES = 1_000_000
MOST_KEPT = 400  # packets in a record
LONGEST_LINE = 4_000_000
START = 5.0  # seconds for the helper to be there
FINISH = 8.0  # seconds for it to tell what it read


def may_capture() -> bool:
    """Say whether this process may read raw packets; a helper that it starts may do as much."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0).close()
    except OSError:
        return False
    return True


def lesser_means() -> str:
    """Say what an unprivileged process has here: recverr, or none."""
    try:
        with open_socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            hear_icmp(sock)
    except OSError:
        return "none"
    return "recverr"


class _Told(msgspec.Struct):
    """A packet in the helper's words."""

    when: float
    local_port: int
    protocol: str
    source: str
    ip_ttl: int
    ip_id: int | None
    flags: str
    size: int


class _Report(msgspec.Struct):
    packets: list[_Told]
    cut: bool
    problem: str = ""


@dataclass
class Capturing:
    """One helper, from `start` to `finish` or `abandon`; what it found out is in the other fields."""

    peers: Sequence[Endpoint]
    pcap: Path | None = None
    helper: Path = HELPER
    ports: set[int] = field(default_factory=set)  # of our own sockets meanwhile
    means: str = "none"
    packets: tuple[CapturedPacket, ...] = ()
    cut: bool = False
    detail: str = ""
    _process: asyncio.subprocess.Process | None = None

    async def start(self, seconds: float) -> None:
        """Let the helper begin to watch, for `seconds` at most; never raises for what it cannot do."""
        order: dict[str, Any] = {
            "peers": [[peer.address, peer.port] for peer in self.peers],
            "packets": MOST_PACKETS,
            "bytes": MOST_BYTES,
            "seconds": seconds,
            "pcap": str(self.pcap) if self.pcap else None,
        }
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", str(self.helper), json.dumps(order)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C is for the parent to judge
                limit=LONGEST_LINE,
            )
            said = json.loads(await self._line(START) or b"{}")
        except (OSError, ValueError, TimeoutError) as error:
            said = {"refused": str(error) or type(error).__name__}
        if said.get("ready"):
            self.means = "raw"
            return
        self.means = lesser_means()
        self.detail = f"raw packets: {said.get('refused', 'the helper ended')}"
        await self.abandon()

    async def finish(self, own: Iterable[str], zero: float) -> None:
        """Tell the helper which packets were ours, and take over what it read; `zero` is where `at` counts from."""
        if self.means != "raw":
            return
        try:
            assert self._process is not None
            assert self._process.stdin is not None
            last = json.dumps({"ports": sorted(self.ports), "own": sorted(own)})
            self._process.stdin.write(last.encode() + b"\n")
            report = msgspec.json.decode(await self._line(FINISH), type=_Report)
        except (OSError, ValueError, TimeoutError) as error:
            self.detail = f"the packets that were read are lost: {error or type(error).__name__}"
        else:
            self.packets = tuple(_packet(each, zero) for each in report.packets[:MOST_KEPT])
            self.cut = report.cut or len(report.packets) > MOST_KEPT
            self.detail = f"the pcap was not written: {report.problem}" if report.problem else ""
        finally:
            await self.abandon()

    async def abandon(self) -> None:
        """End the helper, whatever it does."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def _line(self, timeout: float) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(timeout):
            return await self._process.stdout.readline()


def _packet(told: _Told, zero: float) -> CapturedPacket:
    return CapturedPacket(
        at=told.when - zero,
        local_port=told.local_port,
        protocol=told.protocol,
        source=told.source,
        ip_ttl=told.ip_ttl,
        ip_id=told.ip_id,
        flags=told.flags,
        size=told.size,
    )
