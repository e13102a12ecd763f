"""The control as a process of its own: `python -m tests.probe.control.serving HOST:PORT RESOLVER CA_FILE`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from measurements.bogons import Bogons
from measurements.model import View
from probe.control.app import ServiceLimits
from probe.control.server import serve
from probe.network import Limits, Peers, Resolver

BOGONS = Bogons.parse("127.0.0.0/8,loopback\n::1/128,loopback\n10.0.0.0/8,private\n", "test")
LIMITS = Limits(dns_timeout=0.5, tcp_timeout=3.0, tls_timeout=3.0, http_timeout=3.0)


def peers(resolver: str) -> Peers:
    return Peers(local=Resolver(resolver, View.LOCAL))


if __name__ == "__main__":
    asyncio.run(
        serve(
            sys.argv[1],
            peers=peers(sys.argv[2]),
            limits=LIMITS,
            bogons=BOGONS,
            ca_file=Path(sys.argv[3]),
            allow_private=True,
            service=ServiceLimits(goodbye_seconds=1.0),
            announce=lambda url: print(url, flush=True),
        )
    )
