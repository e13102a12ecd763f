"""Deep packet inspection on one router. Run as `python -m tests.lab.censor QUEUE RULES.json LOG`.

It sees the client's packets only, before the router has touched their TTL. It puts a ClientHello or a
request together from the segments it came in; a connection that was condemned stays so, whatever else
is sent on it. Each deed is a line of JSON in its log.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import msgspec

from tests.lab.nfqueue import ACCEPT, DROP, Queue
from tests.lab.packets import ACK, FIN, PSH, SYN, UDP, Flow, Forger, Packet, parse
from tests.lab.payloads import Read, client_hello, dns_forgery, dns_question, http_host, http_response, matches
from tests.lab.scenario import Deed, DnsTampering, HelloFilter, HostFilter


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What one router does; where it draws lots, `seed` decides them."""

    by: str
    seed: int = 0
    dns: tuple[DnsTampering, ...] = ()
    hello: tuple[HelloFilter, ...] = ()
    host: tuple[HostFilter, ...] = ()


@dataclass(slots=True)
class Stream:
    """What a client has sent on one connection so far, as long as it is in order."""

    data: bytearray = field(default_factory=bytearray)
    next: int | None = None
    condemned: bool = False
    settled: bool = False

    def add(self, packet: Packet) -> None:
        if self.next in (None, packet.sequence):
            self.data += packet.data
            self.next = (packet.sequence + len(packet.data)) & 0xFFFFFFFF


class Censor:
    """Decides packet by packet; `see` returns the verdict for the queue."""

    def __init__(self, rules: Rules, log: TextIO) -> None:
        self.rules = rules
        self.log = log
        self.forge = Forger()
        self.streams: dict[Flow, Stream] = {}

    def see(self, raw: bytes) -> int:
        packet = parse(raw)
        if packet is None:
            return ACCEPT
        if packet.protocol == UDP:
            return self._dns(packet) if packet.target_port == 53 else ACCEPT
        return self._stream(packet)

    def _record(self, action: str, subject: str) -> None:
        self.log.write(msgspec.json.encode(Deed(by=self.rules.by, action=action, subject=subject)).decode() + "\n")

    def _dns(self, packet: Packet) -> int:
        question = dns_question(packet.data)
        if question is None:
            return ACCEPT
        for rule in self.rules.dns:
            if matches(question.name, rule.names):
                self._record(f"dns {rule.action}", question.name)
                if rule.action == "drop":
                    return DROP
                address = rule.address if rule.action == "forge" else None
                self.forge.answer(packet, dns_forgery(packet.data, question, address), ttl=rule.ip_ttl)
                return ACCEPT if rule.beside else DROP
        return ACCEPT

    def _stream(self, packet: Packet) -> int:
        if packet.flags & SYN:
            self.streams.pop(packet.flow, None)
            return ACCEPT
        if not packet.data and packet.flow not in self.streams:
            return ACCEPT
        stream = self.streams.setdefault(packet.flow, Stream())
        if stream.condemned:
            return DROP
        if stream.settled or not packet.data:
            return ACCEPT
        stream.add(packet)
        tls = packet.target_port == 443
        read = client_hello(bytes(stream.data)) if tls else http_host(bytes(stream.data))
        stream.settled = read.complete
        stream.condemned = self._hello(packet, read) if tls else self._request(packet, read)
        return DROP if stream.condemned else ACCEPT

    def _hello(self, packet: Packet, read: Read) -> bool:
        for rule in self.rules.hello:
            if read.name and matches(read.name, rule.names):
                self._record(f"hello {rule.action}", read.name)
                if rule.action == "reset":
                    self.forge.reset(packet)
                return True
        return False

    def _request(self, packet: Packet, read: Read) -> bool:
        for rule in self.rules.host:
            if read.name and matches(read.name, rule.names):
                self._record(f"host {rule.action}", read.name)
                if rule.action == "reset":
                    self.forge.reset(packet)
                elif rule.action != "drop":
                    moved = (f"Location: {rule.location}",) if rule.action == "redirect" else ()
                    status = "302 Found" if rule.action == "redirect" else "200 OK"
                    self.forge.reply(packet, PSH | FIN | ACK, http_response(status, rule.body, *moved))
                    self.forge.abort(packet)
                return True
        return False


def main() -> None:
    rules = msgspec.json.decode(Path(sys.argv[2]).read_bytes(), type=Rules)
    queue = Queue(int(sys.argv[1]))
    with Path(sys.argv[3]).open("a", buffering=1) as log:
        censor = Censor(rules, log)
        print("ready", flush=True)
        while True:
            packet = queue.receive()
            queue.judge(packet.id, censor.see(packet.payload))


if __name__ == "__main__":
    main()
