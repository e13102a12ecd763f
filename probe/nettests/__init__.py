"""The nettests: what can be measured. A new one is one file with a `measure`, and one line here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from measurements.model import Target
from probe.nettests import dns, quic, tcp, throttling, trace, web
from probe.network import Network

Nettest = Callable[[Target, Network], Awaitable[None]]

NETTESTS: dict[str, Nettest] = {
    "dns": dns.measure,
    "quic": quic.measure,
    "tcp": tcp.measure,
    "throttling": throttling.measure,
    "trace": trace.measure,
    "web": web.measure,
}
