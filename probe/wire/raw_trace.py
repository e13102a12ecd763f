"""A process of its own that reads our own packets off the network device, where the system lets it.

    python -I raw_trace.py '{"peers": [["203.0.113.10", 443]], "packets": 2000, "bytes": 1000000, "seconds": 60}'

It is apart for four reasons: scapy is dear to import, dissecting must not delay what is being timed, a fault
in it must cost no measurement, and only it need hold CAP_NET_RAW. So it is started by its path, in isolated
mode, and imports nothing of Wazi's.

It says `{"ready": true}`, or `{"refused": WHY}` and ends. A filter in the kernel lets through what goes to or
comes from a peer's address, and ICMP errors about that, without link-layer headers. Then a line
`{"ports": [PORT, …], "own": [ADDRESS, …]}` on stdin says which of the packets were ours: the rest, which may be
the volunteer's own visits to the same site, is forgotten. It writes the pcap if one was wanted, answers with
`{"packets": [...], "cut": BOOL, "problem": WHY}`, and ends; without that line it ends and keeps nothing.

In a pcap no address of the volunteer's stands: their own, and those of routers and resolvers of private space or in
their own prefix, are replaced by addresses kept for documentation, with all checksums made anew. There is no
link layer. What a site sends is cut after its TCP header, for pages may say who asked; so is what routers quote of
our packets, after the ports.
"""

from __future__ import annotations

import ctypes
import ipaddress
import json
import os
import select
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

ETH_P_ALL = 3
SO_ATTACH_FILTER = 26
SOL_PACKET, PACKET_STATISTICS = 263, 6
LOOPBACK = "lo"
PACKET_OUTGOING = 4
DLT_RAW = 101  # packets begin with the IP header
LONGEST_PACKET = 65_535
HEADERS = {socket.IPPROTO_TCP: 20, socket.IPPROTO_UDP: 8}  # bytes; what is shorter is damaged, or made to confuse
GRACE = 0.2  # seconds for what is still on its way to us when the end is asked for

OWN = {4: "192.0.2.1", 6: "2001:db8::1"}  # RFC 5737, RFC 3849
HOMES = [
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8")
] + [ipaddress.ip_network(text) for text in ("fc00::/7", "fe80::/10", "::1/128")]

ACCEPT, REJECT = (0x06, 0, 0, LONGEST_PACKET), (0x06, 0, 0, 0)
LOAD_WORD, LOAD_BYTE, RIGHT, EQUAL = 0x20, 0x30, 0x74, 0x15  # BPF_LD|BPF_W|BPF_ABS and so on (linux/filter.h)


def program(addresses: list[Address]) -> list[tuple[int, int, int, int]]:
    """Write a classic BPF program that lets through what has one of the addresses at an end, or quotes it.

    The first byte is IP's. ICMP's quotation of a packet begins after 8 bytes of its own.
    """
    four: list[tuple[int, int, int, int]] = []
    six: list[tuple[int, int, int, int]] = []
    words4 = [int(each) for each in addresses if each.version == 4]
    words6 = [struct.unpack(">4I", each.packed) for each in addresses if each.version == 6]
    for at in (12, 16, 20 + 8 + 16):  # source, target, a quoted target
        four += [(LOAD_WORD, 0, 0, at)]
        for word in words4:
            four += [(EQUAL, 0, 1, word), ACCEPT]
    for at in (8, 24, 40 + 8 + 24):
        for words in words6:
            for place, word in enumerate(words):
                beyond = 2 * (3 - place) + 1  # the rest of this comparison, and its ACCEPT
                six += [(LOAD_WORD, 0, 0, at + 4 * place), (EQUAL, 0, beyond, word)]
            six += [ACCEPT]
    head = [(LOAD_BYTE, 0, 0, 0), (RIGHT, 0, 0, 4), (EQUAL, 1, 0, 4), (0x05, 0, 0, len(four) + 1)]
    return [*head, *four, REJECT, *six, REJECT]


def open_device(addresses: list[Address]) -> socket.socket:
    """Open what all devices receive and send, as far as the filter lets it through; raises OSError."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    code = b"".join(struct.pack("HBBI", *line) for line in program(addresses))
    block = ctypes.create_string_buffer(code)
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(code) // 8, ctypes.addressof(block)))
    sock.setblocking(False)
    return sock


@dataclass(frozen=True)
class Seen:
    """A packet as it was read, and what of it tells whose it is."""

    when: float
    data: bytes
    ours: bool
    peer: tuple[str, int]
    local_port: int
    icmp: bool


@dataclass
class Watch:
    """What was read so far, within bounds."""

    peers: set[tuple[str, int]]
    packets: int
    room: int
    seen: list[Seen] = field(default_factory=list)
    cut: bool = False

    def read(self, sock: socket.socket) -> None:
        """Take one packet off the device, if it is of a flow to a peer."""
        try:
            data, (device, _protocol, kind, *_rest) = sock.recvfrom(LONGEST_PACKET)
        except BlockingIOError:
            return
        if device == LOOPBACK and kind == PACKET_OUTGOING:
            return  # it is shown a second time, as received
        if len(self.seen) >= self.packets or len(data) > self.room:
            self.cut = True
            return
        seen = whose(whole(data), self.peers, time.time())
        if seen is not None:
            self.room -= len(data)
            self.seen.append(seen)


def whole(data: bytes) -> bytes:
    """Cut off what a device padded a short packet with."""
    if len(data) < 20:
        return data
    length = struct.unpack(">H", data[2:4] if data[0] >> 4 == 4 else data[4:6])[0]
    return data[: length + (0 if data[0] >> 4 == 4 else 40)] if length else data


def whose(data: bytes, peers: set[tuple[str, int]], when: float) -> Seen | None:
    """Tell which flow a packet belongs to, or an ICMP error is about; None when it is none of ours."""
    ends = _ends(data)
    if ends is None:
        return None
    protocol, source, target, at = ends
    if protocol in (socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6):
        about = _ends(data[at + 8 :])
        if about is None or about[0] not in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):
            return None
        _, _, target, inner = about
        ports = data[at + 8 + inner : at + 12 + inner]
        if len(ports) < 4:
            return None
        own, there = struct.unpack(">HH", ports)
        return Seen(when, data, False, (target, there), own, True) if (target, there) in peers else None
    if protocol not in HEADERS or len(data) < at + HEADERS[protocol]:
        return None
    left, right = struct.unpack(">HH", data[at : at + 4])
    if (target, right) in peers:
        return Seen(when, data, True, (target, right), left, False)
    return Seen(when, data, False, (source, left), right, False) if (source, left) in peers else None


def _ends(data: bytes) -> tuple[int, str, str, int] | None:
    """Read an IP header: protocol, source, target, and where its payload begins."""
    if len(data) >= 20 and data[0] >> 4 == 4:
        return data[9], str(ipaddress.ip_address(data[12:16])), str(ipaddress.ip_address(data[16:20])), data[0] % 16 * 4
    if len(data) >= 40 and data[0] >> 4 == 6:
        return data[6], str(ipaddress.ip_address(data[8:24])), str(ipaddress.ip_address(data[24:40])), 40
    return None


# -- what is told, by scapy, once all is over


class Disguise:
    """Puts addresses kept for documentation in the place of the volunteer's and of their home's."""

    def __init__(self, own: set[Address]) -> None:
        self.own = own
        self.prefixes = [ipaddress.ip_network((each, 24 if each.version == 4 else 48), strict=False) for each in own]
        self.names: dict[Address, str] = {}

    def of(self, text: str) -> str:
        """Return what stands for an address: itself, when it is neither the volunteer's nor their home's."""
        address = ipaddress.ip_address(text)
        if address in self.own:
            return OWN[address.version]
        if not any(net.version == address.version and address in net for net in (*HOMES, *self.prefixes)):
            return text
        if address not in self.names:
            number = len(self.names) + 10
            self.names[address] = f"192.0.2.{number}" if address.version == 4 else f"2001:db8::{number:x}"
        return self.names[address]

    def knows(self, data: bytes) -> bool:
        """Whether data hold an own address, as text or as bytes."""
        return any(str(each).encode() in data or each.packed in data for each in self.own)

    def packet(self, seen: Seen) -> tuple[bytes, int]:
        """Return a packet as it may be kept, and the length that it had."""
        ends = _ends(seen.data)
        assert ends is not None
        protocol, source, target, at = ends
        own = OWN[seen.data[0] >> 4]
        source, target = (own, self.of(target)) if seen.ours else (self.of(source), own)
        if seen.icmp:
            data = _packed(seen.data, source, target, self._quoting(seen.data[at:]))
            return data, len(data)
        data = _packed(seen.data, source, target, seen.data[at:])
        begins = at + (data[at + 12] >> 4) * 4 if protocol == socket.IPPROTO_TCP else at + 8
        secret = not seen.ours if protocol == socket.IPPROTO_TCP else self.knows(data[begins:])
        return data[:begins] if secret else data, len(data)

    def _quoting(self, error: bytes) -> bytes:
        """Rewrite an ICMP error: its own header, the IP header it quotes, the ports after that, and no more."""
        ends = _ends(error[8:])
        assert ends is not None
        protocol, _, target, at = ends
        transport = error[8 + at :][:8]  # a UDP checksum would tell of the true address
        kept = transport if protocol == socket.IPPROTO_TCP else transport[:6] + b"\0\0"
        header = _header(error[8:], OWN[error[8] >> 4], self.of(target))
        return error[:8] + header + kept


def _header(data: bytes, source: str, target: str) -> bytes:
    """Return the IP header of a packet with other ends, its checksum made anew."""
    from scapy.utils import checksum

    ends = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    if data[0] >> 4 == 6:
        return data[:8] + ends
    bare = data[:10] + b"\0\0" + ends + data[20 : data[0] % 16 * 4]
    return bare[:10] + struct.pack(">H", checksum(bare)) + bare[12:]


def _packed(data: bytes, source: str, target: str, transport: bytes) -> bytes:
    """Return a packet with other ends and another payload, all lengths and checksums made anew."""
    from scapy.utils import checksum

    four = data[0] >> 4 == 4
    if four:
        data = data[:2] + struct.pack(">H", data[0] % 16 * 4 + len(transport)) + data[4:]
    else:
        data = data[:4] + struct.pack(">H", len(transport)) + data[6:]
    header = _header(data, source, target)
    protocol = data[9] if four else data[6]
    at = {socket.IPPROTO_TCP: 16, socket.IPPROTO_UDP: 6}.get(protocol, 2)
    bare = transport[:at] + b"\0\0" + transport[at + 2 :]
    pseudo = (header[12:20] if four else header[8:40]) + struct.pack(">II", len(bare), protocol)
    number = checksum(bare if protocol == socket.IPPROTO_ICMP else pseudo + bare)
    if protocol == socket.IPPROTO_UDP:
        number = number or 0xFFFF
    return header + bare[:at] + struct.pack(">H", number) + bare[at + 2 :]


def told(seen: Seen) -> dict[str, Any] | None:
    """Say of a packet that came back what a measurement keeps of it; None for one that says nothing."""
    from scapy.layers.inet import IP, TCP, UDP
    from scapy.layers.inet6 import IPv6

    packet = IP(seen.data) if seen.data[0] >> 4 == 4 else IPv6(seen.data)
    flags, size, protocol = "", 0, "icmp"
    if not seen.icmp and TCP in packet:
        header = packet[TCP]
        protocol, flags, size = "tcp", str(header.flags), len(header.payload)
    elif not seen.icmp and UDP in packet:
        protocol, size = "udp", len(packet[UDP].payload)
    if seen.ours or (flags == "A" and not size):
        return None
    four = isinstance(packet, IP)
    return {
        "when": seen.when,
        "local_port": seen.local_port,
        "protocol": protocol,
        "source": packet.src,
        "ip_ttl": packet.ttl if four else packet.hlim,
        "ip_id": packet.id if four else None,
        "flags": flags,
        "size": size,
    }


def own_of(seen: list[Seen]) -> set[Address]:
    """Read this machine's own addresses off its packets."""
    ends = [(each, _ends(each.data)) for each in seen]
    return {ipaddress.ip_address(found[1] if each.ours else found[2]) for each, found in ends if found}


def write_pcap(path: str, seen: list[Seen], disguise: Disguise) -> None:
    """Write packets to a file of the user's own, whole or not at all; raises OSError."""
    from scapy.utils import RawPcapWriter

    draft = f"{path}.part"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        writer = RawPcapWriter(stream, linktype=DLT_RAW)
        writer.write_header(None)
        for each in seen:
            data, length = disguise.packet(each)
            second, rest = divmod(each.when, 1)
            writer.write_packet(data, sec=int(second), usec=int(rest * 1e6), caplen=len(data), wirelen=length)
        writer.flush()
        os.replace(draft, path)


def say(**words: Any) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def listen(sock: socket.socket, watch: Watch, seconds: float) -> dict[str, Any] | None:
    """Read packets until a line on stdin ends it; returns that line, None when there was none in time."""
    end = time.monotonic() + seconds
    poller = select.poll()
    for stream in (sock, sys.stdin):
        poller.register(stream, select.POLLIN)
    asked: dict[str, Any] | None = None
    while (left := end - time.monotonic()) > 0:
        ready = {number for number, _ in poller.poll(left * 1000)}
        if sock.fileno() in ready:
            watch.read(sock)
        elif sys.stdin.fileno() in ready:
            line = sys.stdin.readline()
            if not line:
                return None
            asked = json.loads(line)
            poller.unregister(sys.stdin)
            end = time.monotonic() + GRACE
    return asked


def main() -> None:
    order = json.loads(sys.argv[1])
    peers = {(str(ipaddress.ip_address(address)), int(port)) for address, port in order["peers"]}
    try:
        sock = open_device(sorted({ipaddress.ip_address(address) for address, _ in peers}, key=lambda a: a.packed))
    except OSError as error:
        say(refused=error.strerror or str(error))
        return
    with sock:
        say(ready=True)
        watch = Watch(peers, order["packets"], order["bytes"])
        asked = listen(sock, watch, order["seconds"])
        lost = struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
    if asked is None:
        return
    ports = set(asked["ports"])
    seen = [each for each in watch.seen if each.local_port in ports]
    problem = ""
    if order.get("pcap"):
        try:
            write_pcap(
                order["pcap"], seen, Disguise({ipaddress.ip_address(text) for text in asked["own"]} | own_of(seen))
            )
        except OSError as error:
            problem = error.strerror or str(error)
    packets = [words for each in seen if (words := told(each)) is not None]
    say(packets=packets, cut=watch.cut or lost > 0, problem=problem)


if __name__ == "__main__":
    main()
