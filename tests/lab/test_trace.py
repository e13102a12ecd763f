"""What only a trace does: raw packets where they are allowed, less where not, and a pcap without the volunteer."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, in6_chksum
from scapy.packet import Packet
from scapy.utils import rdpcap

from tests.lab.book import BOOK
from tests.lab.client import LabClient
from tests.lab.scenario import Scenario

pytestmark = pytest.mark.lab

NO_RAW = ("setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", "--ambient-caps=-net_raw")
HOME = [ip_address(text) for text in ("10.10.0.2", "10.10.0.1", "2001:db8:a0::2", "2001:db8:a0::1")]


@pytest.fixture(scope="module", params=["root", "rootless"])
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabClient]:
    """A lab of root's, and one inside a user namespace, where nobody is root outside."""
    lab = LabClient(tmp_path_factory.mktemp("trace"), rootless=request.param == "rootless")
    yield lab
    lab.close()


def trace(lab: LabClient, scenario: Scenario, *more: str, drop: bool = False) -> tuple[int, dict[str, Any], str]:
    lab.apply(scenario)
    argv = [sys.executable, "-m", "probe.cli", "--config", str(lab.config(control=False)), "check", "--json"]
    argv += ["--nettest", "trace", *more, scenario.target]
    code, out, err = lab.run("cli", [*(NO_RAW if drop else ()), *argv], timeout=100)
    return code, json.loads(out) if out else {}, err


def capture(line: dict[str, Any]) -> dict[str, Any]:
    (found,) = [o for o in line["measurement"]["observations"] if o["type"] == "capture"]
    return dict(found)


def test_the_injected_packets_are_told_from_the_sites_own(either: LabClient) -> None:
    _, line, _ = trace(either, BOOK["trace-reset-at-border"])
    seen = capture(line)
    assert (line["outcome"], seen["means"], seen["cut"]) == ("blocked", "raw", False)
    resets = {p["ip_ttl"] for p in seen["packets"] if "R" in p["flags"] and p["source"] == "203.0.113.10"}
    taken = {p["ip_ttl"] for p in seen["packets"] if p["flags"] == "SA"}
    assert (resets, taken) == ({62}, {59})
    assert "an IP TTL of 62 (flags RA), what took the connection with 59" in line["summary"]


def test_without_the_privilege_the_same_is_found_with_less(either: LabClient) -> None:
    _, line, _ = trace(either, BOOK["trace-reset-at-border"], drop=True)
    seen = capture(line)
    assert (line["outcome"], line["mechanism"], line["where"]) == ("blocked", "tls.reset", "network")
    assert (seen["means"], seen["packets"]) == ("recverr", [])
    assert "raw packets" in seen["detail"]
    assert "at hop 3 of 6" in line["summary"]
    code, _, err = trace(either, BOOK["open"], "--pcap", str(either.work / "none.pcap"), drop=True)
    assert code == 2
    assert "CAP_NET_RAW" in err


@pytest.mark.parametrize("name", ["trace-reset-at-border", "trace-dns-forged-at-isp", "trace-ipv6", "trace-open-http"])
def test_the_pcap_is_whole_and_holds_no_address_of_the_home(lab: LabClient, tmp_path: Path, name: str) -> None:
    path = tmp_path / "packets.pcap"
    _, line, err = trace(lab, BOOK[name], "--pcap", str(path))
    assert capture(line)["means"] == "raw", err
    assert path.stat().st_mode & 0o777 == 0o600
    data = path.read_bytes()
    for address in HOME:
        assert address.packed not in data
        assert str(address).encode() not in data
    packets = list(rdpcap(str(path)))
    assert len(packets) > 10
    own = {"192.0.2.1", "2001:db8::1"}
    assert all({p.src, p.dst} & own for p in packets)
    assert not [p for p in packets if wrong_sums(p)]
    if name == "trace-reset-at-border":
        assert [p for p in packets if TCP in p and p[TCP].flags == "RA" and p.ttl == 62]
        assert [p for p in packets if ICMP in p and p[ICMP].type == 11]
    if name == "trace-open-http":
        assert b"freeradio.example" in data, "what we asked is there"
        assert b"<html" not in data, "what the site said is not"
    if name == "trace-dns-forged-at-isp":
        assert ip_address("10.1.2.3").packed in data, "the forged answer is"


def wrong_sums(packet: Packet) -> bool:
    """Whether a checksum is wrong; where the packet was cut there is no telling."""
    kind = IP if IP in packet else IPv6
    if packet.wirelen not in (None, len(packet)):
        return False
    again = kind(bytes(packet))
    for layer in (IP, TCP, UDP, ICMP):
        if layer in again:
            del again[layer].chksum
    if kind is IPv6 and packet.nh == 58:
        return bool(in6_chksum(58, packet, bytes(packet.payload)))  # type: ignore[no-untyped-call]
    return bytes(again) != bytes(packet)
