"""Finding a server of ours that gives the same object under any name: a control that says so.

Only a Wazi control signs an answer at `/bytes/`, with how long its objects are and on which port it gives them over
TLS; OONI's test helper and an older Wazi do not. The answer is like a canary's, but does not hold our own address,
for it is kept. A control that is reached over TLS stands behind another server, which would not know strangers'
names: in clear it gives nothing, then, and its port for TLS is its own.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from measurements.model import TcpConnect, TlsHandshake, View
from measurements.reading import is_address
from probe.control import canary
from probe.network import Network

ANSWER = 1024  # bytes


@dataclass(frozen=True, slots=True)
class Pacer:
    """Where `GET /bytes/N` is answered under any name, N up to `most`: in clear at `port`, over TLS at `tls_port`.

    A port is None where it is not. `key` is the SHA-256 digest, in hex, of the key that its certificate shows.
    """

    address: str
    port: int | None
    tls_port: int | None
    most: int
    key: str

    def is_at(self, end: TlsHandshake) -> bool:
        """Whether a handshake ended here, and not at somebody who answers in its place."""
        return end.ended and canary.shows(end.chain, self.key)


async def find_pacer(net: Network) -> Pacer | None:
    """Ask the controls in turn whether they give objects; None when none that answers does."""
    for url in net.peers.controls:
        parts = urlsplit(url)
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        for address in ([host] if is_address(host) else await _addresses(net, host))[:1]:
            said = await _ask(net, shown, host, address, port)
            if said is not None and said.most > 0:
                clear = port if parts.scheme == "http" else None
                if clear is not None or said.port is not None:
                    return Pacer(address, clear, said.port, said.most, said.key)
    return None


async def _ask(net: Network, url: str, host: str, address: str, port: int) -> canary.Said | None:
    tcp = await net.connect(address, port, view=View.FOLLOW_UP)
    over: TcpConnect | TlsHandshake = tcp
    if tcp.failure is None and url.startswith("https:"):
        over = await net.handshake(tcp, name=None if is_address(host) else host, verify=host)
    if over.failure is not None:
        return None
    nonce = secrets.token_hex(8)
    page = await net.exchange(over, f"{url.rstrip('/')}/bytes/?nonce={nonce}", body_limit=ANSWER)
    return canary.read(page, nonce)


async def _addresses(net: Network, host: str) -> list[str]:
    """Find a control's public addresses: by our own resolver, else by one that is trusted."""
    rtype = "A" if net.route(ipv6=False) or net.preconditions.nat64 else "AAAA"
    for resolver in ([net.peers.local] if net.peers.local else []) + list(net.peers.trusted):
        lookup = await net.lookup(host, rtype, resolver, view=View.FOLLOW_UP, linger=0.0)
        if found := [a for a in lookup.addresses if not net.is_private(a)]:
            return found
    return []
