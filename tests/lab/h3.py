"""HTTP/3 servers: `python -m tests.lab.h3 PKI srv|wit` serves the sites that speak it, or all witnesses.

A witness answers under any name, with its own certificate, as many servers do.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated, QuicEvent

from tests.lab.pki import Pki
from tests.lab.sites import SITES, WITNESSES


class Page(QuicConnectionProtocol):
    """Answers every request with a page under the server's name."""

    title = ""
    _http: H3Connection | None = None

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ProtocolNegotiated):
            self._http = H3Connection(self._quic)
        for told in self._http.handle_event(event) if self._http else ():
            if isinstance(told, HeadersReceived) and self._http:
                body = f"<html><head><title>{self.title}</title></head><body>over QUIC</body></html>\n".encode()
                self._http.send_headers(told.stream_id, [(b":status", b"200"), (b"content-type", b"text/html")])
                self._http.send_data(told.stream_id, body, end_stream=True)
                self.transmit()


async def open_door(pki: Pki, name: str, address: str) -> None:
    """Serve a name's page on one address."""
    configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    configuration.load_cert_chain(pki.chain(name), pki.key(name))

    def make(*arguments: Any, **named: Any) -> Page:
        page = Page(*arguments, **named)
        page.title = name
        return page

    await serve(address, 443, configuration=configuration, create_protocol=make)


async def main() -> None:
    pki = Pki(Path(sys.argv[1]))
    doors = [(host.name, address) for host in WITNESSES for address in (host.address, host.address6)]
    if sys.argv[2] == "srv":
        doors = [(s.name, a) for s in SITES if s.http3 in ("announced", "unannounced") for a in s.alive]
    for name, address in doors:
        await open_door(pki, name, address)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
