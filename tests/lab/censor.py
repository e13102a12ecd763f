"""Deep packet inspection on one router. Run as `python -m tests.lab.censor QUEUE RULES.json LOG`.

It sees the client's packets before the router has touched their TTL, and those that come back where a rule
looks at them. It puts a ClientHello or a request together from the segments it came in; a connection that was
condemned stays so, whatever else is sent on it, and what it leaves behind is kept in `grudges`. Each deed is a
line of JSON in its log.
"""

from __future__ import annotations

import heapq
import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TextIO

import msgspec

from tests.lab.nfqueue import ACCEPT, DROP, Queue
from tests.lab.packets import ACK, FIN, PSH, RST, SYN, UDP, Flow, Forger, Packet, parse
from tests.lab.payloads import (
    Read,
    asks_for,
    certificate_names,
    client_hello,
    dns_forgery,
    dns_question,
    encrypted_records,
    http_host,
    http_response,
    matches,
    tls_alert,
)
from tests.lab.quic_packets import Hello, begins_handshake
from tests.lab.scenario import CertificateFilter, Deed, DnsTampering, HelloFilter, HostFilter, QuicFilter, Throttle
from tests.lab.settings import CONTROL_PORT
from tests.lab.streams import Backlog, Bucket, Grudges, Stream
from tests.lab.wan import wait, watch

HTTP, TLS = 80, 443
CLEAR = (HTTP, CONTROL_PORT)
_HANDSHAKE_FAILURE = 40
_ENOUGH = 64 * 1024  # of one stream


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What one router does; where it draws lots, `seed` decides them."""

    by: str
    seed: int = 0
    dns: tuple[DnsTampering, ...] = ()
    hello: tuple[HelloFilter, ...] = ()
    quic: tuple[QuicFilter, ...] = ()
    certificate: tuple[CertificateFilter, ...] = ()
    throttle: tuple[Throttle, ...] = ()
    host: tuple[HostFilter, ...] = ()


class Censor:
    """Decides packet by packet; `see` returns the verdict for the queue, to be given in `hold` seconds."""

    def __init__(self, rules: Rules, log: TextIO) -> None:
        self.rules = rules
        self.log = log
        self.forge = Forger()
        self.streams: dict[Flow, Stream] = {}
        self.grudges = Grudges()
        self.hellos: dict[Flow, Hello] = {}  # of QUIC
        self.swallowed: dict[Flow, str] = {}
        self.hold = 0.0
        self.passed: Counter[Throttle] = Counter()  # connections that a rule was about
        self.luck: dict[HelloFilter | HostFilter, random.Random] = {}
        for port, filters in ((TLS, rules.hello), (HTTP, rules.host)):
            for rule in filters:
                if rule.residual:
                    self.grudges.prime(rule.residual, port)

    def see(self, raw: bytes) -> int:
        self.hold = 0.0
        packet = parse(raw)
        if packet is None:
            return ACCEPT
        if packet.protocol == UDP:
            return self._dns(packet) if packet.target_port == 53 else self._quic(packet)
        return self._there(packet) if packet.target_port in (TLS, *CLEAR) else self._back(packet)

    def _record(self, action: str, subject: str) -> None:
        self.log.write(msgspec.json.encode(Deed(by=self.rules.by, action=action, subject=subject)).decode() + "\n")

    def _dns(self, packet: Packet) -> int:
        question = dns_question(packet.data)
        if question is None:
            return ACCEPT
        for rule in self.rules.dns:
            if matches(question.name, rule.names) and asks_for(question, rule.kinds):
                self._record(f"dns {rule.action}", question.name)
                if rule.action == "drop":
                    return DROP
                addresses = [a for a in (rule.address, rule.address6) if a] if rule.action == "forge" else []
                error = rule.action if rule.action != "forge" else "nodata"
                forged = dns_forgery(packet.data, question, addresses, error=error)
                if rule.late:
                    threading.Timer(rule.late, self.forge.answer, (packet, forged), {"ttl": rule.ip_ttl}).start()
                else:
                    self.forge.answer(packet, forged, ttl=rule.ip_ttl)
                return ACCEPT if rule.beside else DROP
        return ACCEPT

    def _quic(self, packet: Packet) -> int:
        """See a datagram that a client sends to UDP port 443."""
        if grudge := self.grudges.against(packet):
            self._record("residual drop", grudge.subject)
            return DROP
        if packet.flow in self.swallowed:
            return DROP
        if not begins_handshake(packet.data):
            return ACCEPT
        read = self.hellos.setdefault(packet.flow, Hello()).add(packet.data)
        for rule in self.rules.quic:
            if not rule.names:
                return self._swallow(packet, rule, packet.target_address)
            if read.name and matches(read.name, rule.names) and not (rule.times and len(self.swallowed) >= rule.times):
                return self._swallow(packet, rule, read.name)
        return ACCEPT

    def _swallow(self, packet: Packet, rule: QuicFilter, subject: str) -> int:
        self._record("quic drop", subject)
        self.swallowed[packet.flow] = subject
        if rule.residual:
            self.grudges.bear(packet, rule.residual, subject)
        return DROP

    def _there(self, packet: Packet) -> int:
        """See what a client sends."""
        known = self.streams.get(packet.flow)
        if not (known and known.spared) and (grudge := self.grudges.against(packet)):
            self._record(f"residual {grudge.action}", grudge.subject)
            if grudge.action == "reset" and not packet.flags & RST:
                self.forge.reset(packet)
            return DROP
        if packet.flags & SYN:
            self.streams.pop(packet.flow, None)
            return ACCEPT
        if not packet.data and known is None:
            return ACCEPT
        stream = self.streams.setdefault(packet.flow, Stream())
        if stream.condemned:
            if stream.hounded and not packet.flags & RST:
                self.forge.reply(packet, RST | ACK)  # the first one was out of its window, had more come meanwhile
            return DROP
        if stream.settled or not packet.data:
            return ACCEPT
        first = stream.add(packet)
        if stream.waiting:
            return self._after(packet, stream, stream.waiting)
        return self._hello(packet, stream, first=first) if packet.target_port == TLS else self._request(packet, stream)

    def _hello(self, packet: Packet, stream: Stream, *, first: bool) -> int:
        read = client_hello(bytes(stream.data))
        split = next((rule for rule in self.rules.hello if rule.reads == "split"), None)
        if split and first and not read.complete:
            return self._strike(packet, stream, split, packet.target_address)
        if not read.complete:
            return ACCEPT
        stream.settled = True
        self._slow_down(stream, read)
        for rule in self.rules.hello:
            if rule.reads == "split" or (rule.reads == "segment" and not first):
                continue
            if self._hits(packet, read, rule):
                if rule.after:
                    stream.waiting, stream.settled = rule, False
                    return ACCEPT
                return self._strike(packet, stream, rule, stream.name)
        return ACCEPT

    def _slow_down(self, stream: Stream, read: Read) -> None:
        """Throttle what comes back on a connection with such a name."""
        stream.name = read.name or ""
        for rule in self.rules.throttle:
            if not stream.name or not matches(stream.name, rule.names):
                continue
            if rule.spares and matches(stream.name, rule.spares):
                continue
            self.passed[rule] += 1
            if self.passed[rule] > rule.passes:
                stream.slowed = (Bucket if rule.style == "police" else Backlog)(rule.kbit, rule.free)

    def _after(self, packet: Packet, stream: Stream, rule: HelloFilter) -> int:
        """Strike once enough encrypted records have passed."""
        if encrypted_records(bytes(stream.data)) > rule.after:
            return self._strike(packet, stream, rule, stream.name)
        stream.settled = len(stream.data) > _ENOUGH
        return ACCEPT

    def _request(self, packet: Packet, stream: Stream) -> int:
        read = http_host(bytes(stream.data))
        stream.settled = read.complete
        self._slow_down(stream, read)
        for rule in self.rules.host:
            wanted = not rule.keywords or any(keyword in read.path for keyword in rule.keywords)
            if wanted and self._hits(packet, read, rule):
                return self._strike(packet, stream, rule, read.name or "")
        return ACCEPT

    def _hits(self, packet: Packet, read: Read, rule: HelloFilter | HostFilter) -> bool:
        """Whether a rule is about this connection, and this time means it."""
        if not read.name or not matches(read.name, rule.names):
            return False
        if rule.addresses and packet.target_address not in rule.addresses:
            return False
        if rule.share == 1 or rule not in self.luck:
            self.luck[rule] = random.Random(self.rules.seed)
            return True
        return self.luck[rule].random() < rule.share

    def _strike(self, packet: Packet, stream: Stream, rule: HelloFilter | HostFilter, subject: str) -> int:
        self._record(f"{'hello' if isinstance(rule, HelloFilter) else 'host'} {rule.action}", subject)
        if rule.residual:
            self.grudges.bear(packet, rule.residual, subject)
            if rule.residual.spares_first:
                stream.spared = stream.settled = True
                return ACCEPT
        stream.condemned = True
        if rule.action == "reset":
            stream.hounded = True
            self.forge.reset(packet)
        elif rule.action != "drop":
            last = {"fin": b"", "alert": tls_alert(_HANDSHAKE_FAILURE)}
            said = _answer(rule) if isinstance(rule, HostFilter) and rule.action != "fin" else last[rule.action]
            self.forge.reply(packet, PSH | FIN | ACK, said)
            self.forge.abort(packet)
        return DROP

    def _back(self, packet: Packet) -> int:
        """See what comes back to a client."""
        stream = self.streams.get(packet.reverse)
        if stream is None:
            return ACCEPT
        if stream.condemned:
            return DROP
        if stream.slowed and packet.data:
            hold = stream.slowed.pay(len(packet.data))
            if hold != 0.0 and not stream.told:
                self._record("throttle", stream.name)
                stream.told = True
            if hold is None:
                return DROP
            self.hold = hold
        if not self.rules.certificate or len(stream.back) > _ENOUGH:
            return ACCEPT
        stream.back += packet.data
        named = certificate_names(bytes(stream.back))
        for rule in self.rules.certificate:
            if struck := next((name for name in named if matches(name, rule.names)), None):
                self._record("certificate reset", struck)
                stream.condemned = stream.hounded = True
                self.forge.reset(packet)
                return DROP
        return ACCEPT


def _answer(rule: HostFilter) -> bytes:
    """Write what is said in the site's name."""
    if rule.action == "redirect":
        return http_response(rule.status or "302 Found", rule.body, f"Location: {rule.location}")
    return http_response(rule.status or "200 OK", rule.body)


def main() -> None:
    rules = msgspec.json.decode(Path(sys.argv[2]).read_bytes(), type=Rules)
    queue = Queue(int(sys.argv[1]))
    with Path(sys.argv[3]).open("a", buffering=1) as log:
        censor = Censor(rules, log)
        poll = watch(queue)
        held: list[tuple[float, int, int]] = []
        print("ready", flush=True)
        while True:
            while held and held[0][0] <= time.monotonic():
                _, number, verdict = heapq.heappop(held)
                queue.judge(number, verdict)
            if wait(poll, held[0][0] if held else None):
                packet = queue.receive()
                verdict = censor.see(packet.payload)
                if censor.hold:
                    heapq.heappush(held, (time.monotonic() + censor.hold, packet.id, verdict))
                else:
                    queue.judge(packet.id, verdict)


if __name__ == "__main__":
    main()
