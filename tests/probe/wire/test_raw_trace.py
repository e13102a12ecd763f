"""The helper that reads raw packets: its filter, its books, its disguise; and its parent. No privilege is needed."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6TimeExceeded, IPv6
from scapy.packet import Packet, Raw

from probe.wire.capture import Capturing, lesser_means
from probe.wire.raw_trace import Disguise, Seen, Watch, own_of, program, told, whole, whose
from probe.wire.sockets import Endpoint

OWN, HOME, SITE, ROUTER = "198.18.7.7", "192.168.1.1", "203.0.113.10", "198.51.100.9"
OWN6, HOME6, SITE6 = "2001:db8:77:1::5", "2001:db8:77::1", "2001:db8:113::13"
PEERS = {(SITE, 443), (SITE6, 443), (HOME, 53)}
OUT = IP(src=OWN, dst=SITE, ttl=3) / TCP(sport=40_000, dport=443, flags="PA", seq=7) / Raw(b"hello, site")
BACK = IP(src=SITE, dst=OWN, ttl=57, id=9) / TCP(sport=443, dport=40_000, flags="PA") / Raw(b"you are 198.18.7.7")
RESET = IP(src=SITE, dst=OWN, ttl=62) / TCP(sport=443, dport=40_000, flags="RA")
OUT6 = IPv6(src=OWN6, dst=SITE6, hlim=3) / TCP(sport=40_006, dport=443, flags="S")
QUERY = IP(src=OWN, dst=HOME) / UDP(sport=40_001, dport=53) / Raw(b"question")


def raw(packet: Packet) -> bytes:
    return bytes(packet)


def expired(about: Packet, router: str) -> bytes:
    """An ICMP error that quotes all of a packet."""
    if IP in about:
        return raw(IP(src=router, dst=OWN, ttl=63) / ICMP(type=11, code=0) / Raw(raw(about)))
    return raw(IPv6(src=router, dst=OWN6, hlim=63) / ICMPv6TimeExceeded() / Raw(raw(about)))


def seen(data: bytes) -> Seen:
    found = whose(data, PEERS, 1.5)
    assert found is not None
    return found


def accepts(code: Iterable[tuple[int, int, int, int]], packet: bytes) -> bool:
    """Run classic BPF as the kernel does, as far as `program` uses it; a load beyond the end rejects."""
    lines, at, held = list(code), 0, 0
    while True:
        operation, yes, no, number = lines[at]
        at += 1
        match operation:
            case 0x20 | 0x30:
                size = 4 if operation == 0x20 else 1
                part = packet[number : number + size]
                if len(part) < size:
                    return False
                held = int.from_bytes(part)
            case 0x74:
                held >>= number
            case 0x15:
                at += yes if held == number else no
            case 0x05:
                at += number
            case 0x06:
                return number > 0
            case _:
                raise AssertionError(operation)


@pytest.mark.parametrize("peers", [[SITE, SITE6, HOME], [SITE, HOME], [SITE6]])
def test_the_filter_lets_through_what_concerns_a_peer(peers: list[str]) -> None:
    code = program([ip_address(peer) for peer in peers])
    assert len(code) < 255
    other = IP(src=OWN, dst="192.0.2.9") / TCP(sport=1, dport=443)
    other6 = IPv6(src=OWN6, dst="2001:db8:113::14") / TCP(sport=1, dport=443)
    for packet, concerned in (
        (raw(OUT), SITE in peers),
        (raw(BACK), SITE in peers),
        (expired(OUT, ROUTER), SITE in peers),
        (raw(OUT6), SITE6 in peers),
        (expired(OUT6, "2001:db8:a1::1"), SITE6 in peers),
        (raw(QUERY), HOME in peers),
        (raw(other), False),
        (raw(other6), False),
        (expired(other, ROUTER), False),
        (expired(other6, "2001:db8:a1::1"), False),
        (b"", False),
        (b"\x45" + b"\0" * 10, False),
    ):
        assert accepts(code, packet) is concerned


@pytest.mark.parametrize(
    ("data", "ours", "port", "icmp"),
    [
        (raw(OUT), True, 40_000, False),
        (raw(BACK), False, 40_000, False),
        (expired(OUT, ROUTER), False, 40_000, True),
        (raw(OUT6), True, 40_006, False),
        (expired(OUT6, "2001:db8:a1::1"), False, 40_006, True),
        (raw(QUERY), True, 40_001, False),
    ],
)
def test_a_packet_belongs_to_one_of_our_ports(data: bytes, ours: bool, port: int, icmp: bool) -> None:
    found = seen(data)
    assert (found.ours, found.local_port, found.icmp) == (ours, port, icmp)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        raw(IP(src=OWN, dst=SITE) / TCP(sport=1, dport=80)),
        raw(IP(src=OWN, dst=SITE, proto=47) / Raw(b"....")),
        raw(IP(src=ROUTER, dst=OWN) / ICMP(type=11) / Raw(b"junk")),
        expired(IP(src=OWN, dst=SITE, proto=47) / Raw(b"...."), ROUTER),
        expired(IP(src=OWN, dst=SITE) / TCP(sport=1, dport=80), ROUTER),
        raw(OUT)[:22],
        raw(IP(src=SITE, dst=OWN, proto=6) / Raw(b"\x01\xbb\x9c\x40" + bytes(8))),
        raw(IP(src=HOME, dst=OWN, proto=17) / Raw(b"\x00\x35\x9c\x40")),
    ],
)
def test_what_is_no_flow_of_ours_is_nobodys(data: bytes) -> None:
    assert whose(data, PEERS, 0.0) is None


def test_padding_is_cut_off() -> None:
    for packet in (RESET, OUT6):
        assert whole(raw(packet) + b"\0" * 6) == raw(packet)
    assert whole(b"abc") == b"abc"


class Device:
    """A socket that is shown some packets."""

    def __init__(self, *shown: tuple[bytes, str, int]) -> None:
        self.shown = list(shown)

    def recvfrom(self, size: int) -> tuple[bytes, tuple[Any, ...]]:
        if not self.shown:
            raise BlockingIOError
        data, device, kind = self.shown.pop(0)
        return data, (device, 0x800, kind, 1, b"")


def test_what_is_read_is_bounded_and_loopback_is_seen_once() -> None:
    shown = [(raw(OUT), "eth0", 4), (raw(OUT), "lo", 4), (raw(RESET), "eth0", 0), (raw(BACK), "eth0", 0)]
    watch = Watch(PEERS, packets=2, room=10_000)
    device: Any = Device(*shown)
    for _ in range(6):
        watch.read(device)
    assert [each.data for each in watch.seen] == [raw(OUT), raw(RESET)]
    assert watch.cut
    small = Watch(PEERS, packets=10, room=len(raw(OUT)))
    device = Device(*shown)
    for _ in range(4):
        small.read(device)
    assert len(small.seen) == 1
    assert small.cut


def test_what_is_told_of_a_packet() -> None:
    assert told(seen(raw(RESET))) == {
        "when": 1.5,
        "local_port": 40_000,
        "protocol": "tcp",
        "source": SITE,
        "ip_ttl": 62,
        "ip_id": 1,
        "flags": "RA",
        "size": 0,
    }
    answer = told(seen(raw(IP(src=HOME, dst=OWN) / UDP(sport=53, dport=40_001) / Raw(b"answer"))))
    assert answer is not None
    assert (answer["protocol"], answer["size"]) == ("udp", 6)
    error = told(seen(expired(OUT6, "2001:db8:a1::1")))
    assert error is not None
    assert (error["protocol"], error["source"], error["ip_ttl"], error["ip_id"]) == ("icmp", "2001:db8:a1::1", 63, None)
    assert told(seen(raw(OUT))) is None, "what we sent is known"
    assert told(seen(raw(IP(src=SITE, dst=OWN) / TCP(sport=443, dport=40_000, flags="A")))) is None


def disguised(data: bytes) -> tuple[bytes, int]:
    return Disguise({ip_address(OWN), ip_address(OWN6)}).packet(seen(data))


def right(data: bytes) -> bool:
    """Whether all checksums of a packet are right."""
    again = IP(data) if data[0] >> 4 == 4 else IPv6(data)
    for layer in (IP, TCP, UDP, ICMP):
        if layer in again:
            del again[layer].chksum
    return raw(again) == data


def test_addresses_of_the_home_are_replaced_and_checksums_made_anew() -> None:
    for packet, source, target in ((OUT, "192.0.2.1", SITE), (RESET, SITE, "192.0.2.1"), (OUT6, "2001:db8::1", SITE6)):
        data, length = disguised(raw(packet))
        again = IP(data) if IP in packet else IPv6(data)
        assert (again.src, again.dst, length) == (source, target, len(raw(packet)))
        assert right(data)
        assert bytes(again[TCP].payload) == bytes(packet[TCP].payload)
    data, _ = disguised(raw(QUERY))
    assert (IP(data).src, IP(data).dst) == ("192.0.2.1", "192.0.2.10")
    assert right(data)


def test_what_a_site_sends_is_cut_after_its_header() -> None:
    data, length = disguised(raw(BACK))
    assert (len(data), length) == (40, len(raw(BACK)))
    assert ip_address(OWN).packed not in data


@pytest.mark.parametrize("secret", [OWN.encode(), ip_address(OWN).packed, ip_address(OWN6).packed])
def test_an_answer_that_holds_our_address_is_cut(secret: bytes) -> None:
    packet = IP(src=HOME, dst=OWN) / UDP(sport=53, dport=40_001) / Raw(b"you are " + secret)
    assert len(disguised(raw(packet))[0]) == 28
    plain = IP(src=HOME, dst=OWN) / UDP(sport=53, dport=40_001) / Raw(b"10.1.2.3")
    assert disguised(raw(plain))[0].endswith(b"10.1.2.3")


@pytest.mark.parametrize(
    ("about", "router", "shown"),
    [
        (OUT, ROUTER, ROUTER),
        (OUT, HOME, "192.0.2.10"),
        (QUERY, "100.64.0.1", "192.0.2.10"),
        (OUT6, HOME6, "2001:db8::a"),
    ],
)
def test_what_routers_quote_is_disguised_too(about: Packet, router: str, shown: str) -> None:
    data, length = disguised(expired(about, router))
    assert length == len(data)
    outer = IP(data) if IP in about else IPv6(data)
    assert outer.src == shown
    quoted = data[28:] if IP in about else data[48:]
    inner = IP(quoted) if IP in about else IPv6(quoted)
    assert inner.src == ("192.0.2.1" if IP in about else "2001:db8::1")
    assert len(quoted) == (28 if IP in about else 48)
    assert struct.unpack(">H", quoted[-8:-6])[0] == about.sport
    if UDP in about:
        assert quoted[-2:] == b"\0\0", "its checksum would tell of the true address"
    for own in (OWN, OWN6, HOME, HOME6, "100.64.0.1"):
        assert ip_address(own).packed not in data
    if IP in about:
        header = IP(data[:20])
        del header.chksum
        assert raw(header)[:20] == data[:20]
        icmp = ICMP(data[20:])
        del icmp.chksum
        assert raw(icmp) == data[20:]


def test_own_addresses_are_read_off_the_packets() -> None:
    packets = [seen(data) for data in (raw(OUT), raw(RESET), raw(OUT6), expired(OUT, ROUTER))]
    assert own_of(packets) == {ip_address(OWN), ip_address(OWN6)}


# -- the parent's half


def captured(tmp_path: Path, helper: str) -> Capturing:
    script = tmp_path / "helper.py"
    script.write_text(helper)

    async def go() -> Capturing:
        capturing = Capturing([Endpoint(SITE, 443)], helper=script, ports={40_000})
        await capturing.start(5.0)
        await capturing.finish({OWN}, zero=1.0)
        assert capturing._process is None
        return capturing

    return asyncio.run(go())


READY = "import json, sys\nprint('{\"ready\": true}', flush=True)\n"


def test_the_helpers_packets_are_taken_over(tmp_path: Path) -> None:
    packet = '{"when": 3.5, "local_port": 40000, "protocol": "tcp", "source": "x", "ip_ttl": 62, "ip_id": 1,'
    packet += '"flags": "RA", "size": 0}'
    asked = "asked = json.loads(sys.stdin.readline())\nassert asked == {'ports': [40000], 'own': ['198.18.7.7']}\n"
    done = captured(tmp_path, f'{READY}{asked}print(\'{{"cut": true, "packets": [{packet}]}}\', flush=True)')
    assert (done.means, done.cut, done.detail) == ("raw", True, "")
    assert [(p.at, p.ip_ttl, p.flags) for p in done.packets] == [(2.5, 62, "RA")]


@pytest.mark.parametrize(
    ("helper", "detail"),
    [
        ('print(\'{"refused": "Operation not permitted"}\')', "Operation not permitted"),
        ("raise SystemExit(1)", "the helper ended"),
        ("print('junk')", "raw packets"),
    ],
)
def test_a_helper_that_may_not_or_cannot_leaves_less(tmp_path: Path, helper: str, detail: str) -> None:
    done = captured(tmp_path, helper)
    assert (done.means, done.packets) == (lesser_means(), ())
    assert lesser_means() == "recverr"
    assert detail in done.detail


@pytest.mark.parametrize("end", ["", "print('junk', flush=True)", "print('{\"packets\": 7}', flush=True)"])
def test_packets_that_are_lost_are_said_to_be(tmp_path: Path, end: str) -> None:
    done = captured(tmp_path, f"{READY}{end}")
    assert (done.means, done.packets) == ("raw", ())
    assert "lost" in done.detail


def test_a_pcap_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    end = 'print(\'{"packets": [], "cut": false, "problem": "No space left"}\', flush=True)'
    assert "No space left" in captured(tmp_path, READY + end).detail


def test_a_helper_does_not_outlive_its_parents_patience(tmp_path: Path) -> None:
    script = tmp_path / "helper.py"
    script.write_text(READY + "import time\ntime.sleep(60)")

    async def go() -> int | None:
        capturing = Capturing([Endpoint(SITE, 443)], helper=script)
        await capturing.start(5.0)
        process = capturing._process
        assert process is not None
        await capturing.abandon()
        return process.returncode

    assert asyncio.run(go()) == -9


def test_no_device_is_opened_without_the_privilege() -> None:
    """The real helper, on whatever this machine allows: it says which, and ends with its input."""

    async def go() -> Capturing:
        capturing = Capturing([Endpoint("127.0.0.9", 9)])
        await capturing.start(5.0)
        await capturing.finish((), zero=0.0)
        return capturing

    done = asyncio.run(go())
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0).close()
        allowed = True
    except PermissionError:
        allowed = False
    assert (done.means, done.packets) == ("raw" if allowed else "recverr", ())
    assert bool(done.detail) is not allowed
