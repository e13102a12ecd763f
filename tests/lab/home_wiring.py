"""Putting the faults of a home to work, and taking them back: routes, devices, and a router's own doings."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from tests.lab import middlebox, portal
from tests.lab.home_faults import (
    DNS64,
    NAT64_PREFIX,
    VPN_NET,
    VPN_NET6,
    GatewayOnly,
    HomeFault,
    HouseDns,
    Ipv6Fault,
    Ipv6Only,
    Loss,
    Portal,
    SparedOnly,
    Vpn,
)
from tests.lab.pki import Pki
from tests.lab.scenario import Deed
from tests.lab.spaces import Process, Spaces, ip_batch
from tests.lab.topology import ISP_RESOLVER, NODES

_INSIDE = {"home": "to-cli", "isp": "to-home"}  # a router's device on the volunteer's side
_NAT64_POOL = "10.10.0.128/25"  # among the client's addresses, so that a censor treats them alike


class HomeWiring:
    """One scenario's faults of a home at a time, from a clean state to a clean state."""

    def __init__(self, spaces: Spaces, pki: Pki) -> None:
        self._spaces, self._pki = spaces, pki
        self._processes: list[Process] = []
        self._undo: list[tuple[str, str]] = []  # a namespace, and a line of `ip -batch` that may fail
        self._log: Path | None = None

    def apply(self, faults: list[HomeFault]) -> None:
        """Make the faults true, beside whatever else there is."""
        houses: dict[str, list[Portal | HouseDns]] = {}
        for fault in faults:
            match fault:
                case GatewayOnly(names=names):
                    passing = ["udp dport 53 accept", "udp sport 53 accept"] if names else []
                    self._filter("home", [*passing, "drop"])
                case Loss(percent=percent):
                    self._filter("home", [f"numgen random mod 1000 < {round(percent * 10)} drop"])
                case Portal(by=by):
                    houses.setdefault(by, []).append(fault)
                case HouseDns():
                    houses.setdefault("home", []).append(fault)
                case SparedOnly(spared=spared):
                    self._filter("censor", [*_spare(spared, both=True), 'iifname "to-isp" drop'])
                case Vpn():
                    self._vpn(fault)
                case Ipv6Fault(how="no-route"):
                    self._change("cli", ["route del default"], ["route add default via 2001:db8:a0::1"], six=True)
                case Ipv6Fault():
                    self._filter("home", ["meta nfproto ipv6 drop"])
                case Ipv6Only():
                    self._ipv6_only()
        for where, parts in houses.items():
            self._house(where, parts)

    def clear(self) -> None:
        """Undo whatever was applied."""
        self._spaces.check("cli", ["nft", "flush", "ruleset"])
        for process in self._processes:
            process.stop()
        for where, line in reversed(self._undo):
            self._spaces.run(where, ["ip", *line.split()])
        if self._log:
            for where in ("cli", "home", "isp"):
                self._spaces.run(where, ["conntrack", "-F"])
        self._processes.clear()
        self._undo.clear()
        self._log = None

    def deeds(self) -> list[Deed]:
        """Return what a portal or a house's resolver says it did."""
        lines = self._log.read_text().splitlines() if self._log else []
        return [msgspec.json.decode(line, type=Deed) for line in lines]

    def _filter(self, where: str, lines: list[str]) -> None:
        """Filter what a router passes on; not what it answers itself, so that hops still show."""
        self._nft(where, "home_filter", "type filter hook forward priority 0", lines)

    def _nft(self, where: str, table: str, hook: str, lines: list[str]) -> None:
        body = "".join(f"    {line}\n" for line in lines)
        text = f"table inet {table} {{\n  chain in {{\n    {hook}\n{body}  }}\n}}\n"
        self._spaces.check(where, ["nft", "-f", "-"], text=text)

    def _change(self, where: str, lines: list[str], undo: list[str], *, six: bool = False) -> None:
        family = "-6 " if six else ""
        for line in lines:
            self._spaces.check(where, ["ip", *f"{family}{line}".split()])
        self._undo += [(where, f"{family}{line}") for line in reversed(undo)]

    def _start(self, where: str, module: str, *arguments: str) -> None:
        argv = [sys.executable, "-m", f"tests.lab.{module}", *arguments]
        self._processes.append(self._spaces.spawn(where, argv, log=f"{module}-{where}.out", ready="ready"))

    def _house(self, by: str, parts: list[Portal | HouseDns]) -> None:
        """Start what a router does itself, and redirect to it."""
        work = self._spaces.work
        gate = next((part for part in parts if isinstance(part, Portal)), None)
        dns = tuple(part for part in parts if isinstance(part, HouseDns))
        forging = middlebox.Plan(authority=str(self._pki.interceptor), work=str(work))
        gateway = f"{NODES['cli'].net4}.1"
        house = portal.House(by=by, portal=gate, dns=dns, resolver=ISP_RESOLVER, gateway=gateway, forging=forging)
        plan, self._log = work / "house.json", work / "deeds-house.jsonl"
        plan.write_bytes(msgspec.json.encode(house))
        self._log.write_text("")
        self._start(by, "portal", str(plan), str(self._log))
        match = "" if by == "cli" else f'iifname "{_INSIDE[by]}" '
        lines = [f"{match}{line}" for line in _spare(gate.spared if gate else ())]
        if gate and gate.http in ("redirect", "page", "status511"):
            lines.append(f"{match}tcp dport 80 redirect to :{portal.HTTP_PORT}")
        if gate and gate.https in ("login", "relay"):
            lines.append(f"{match}tcp dport 443 redirect to :{portal.TLS_PORT}")
        if dns or (gate and gate.wildcard):
            lines.append(f"{match}udp dport 53 redirect to :{portal.DNS_PORT}")
        if by == "cli":
            hook = "type nat hook output priority -100"
            lines.insert(0, f"meta mark {portal.MARK} accept")
        else:
            hook = "type nat hook prerouting priority -100"
        self._nft(by, "house", hook, lines)
        if gate and by != "cli":
            self._filter(by, [f"{match}{line}" for line in _passing(gate)])

    def _vpn(self, vpn: Vpn) -> None:
        """Lay a cable from the home to beyond the border, and send everything over it."""
        device = vpn.device
        up = [
            f"link add name {device} type veth peer name to-vpn netns wan",
            f"addr add {VPN_NET}.2/24 dev {device}",
            f"addr add {VPN_NET6}::2/64 dev {device} nodad",
            f"link set dev {device} up",
        ]
        routes = [f"route add {net} via {VPN_NET}.1" for net in ("0.0.0.0/1", "128.0.0.0/1")]
        routes += [f"route add {net} via {VPN_NET6}::1" for net in ("::/1", "8000::/1")]
        ip_batch(up, namespace="cli")
        self._undo.append(("cli", f"link del {device}"))
        far = [f"addr add {VPN_NET}.1/24 dev to-vpn", f"addr add {VPN_NET6}::1/64 dev to-vpn nodad"]
        ip_batch([*far, "link set dev to-vpn up"], namespace="wan")
        ours = [f"ip saddr != {VPN_NET}.0/24", f"ip6 saddr != {VPN_NET6}::/64"]  # an exit takes no others' packets
        lines = [f'iifname "to-vpn" {net} drop' for net in ours]
        self._nft("wan", "vpn", "type filter hook prerouting priority 0", lines)
        self._spaces.check("cli", ["ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off", "gro", "off"])
        if vpn.to is None:
            ip_batch(routes, namespace="cli")
        else:
            script = "; ".join(f"ip {line}" for line in routes)
            self._start("cli", "on_packet", vpn.to, "run", "sh", "-c", script)

    def _ipv6_only(self) -> None:
        """Take the home's IPv4 away, and give the provider a DNS64 and a NAT64."""
        node = NODES["cli"]
        address = f"{node.address}/24 dev {node.uplink}"
        self._change("cli", [f"addr del {address}"], [f"addr add {address}", f"route add default via {node.net4}.1"])
        self._change("ispsrv", [f"addr add {DNS64}/64 dev to-isp nodad"], [f"addr del {DNS64}/64 dev to-isp"], six=True)
        self._dns64()
        self._nat64()

    def _dns64(self) -> None:
        config = self._spaces.work / "dns64.conf"
        config.write_text(
            f"""server:
  interface: {DNS64}@53
  chroot: ""
  username: ""
  directory: {self._spaces.work}
  pidfile: {self._spaces.work}/dns64.pid
  use-syslog: no
  do-daemonize: no
  num-threads: 1
  module-config: "dns64 iterator"
  dns64-prefix: {NAT64_PREFIX}
  access-control: ::0/0 allow
  do-not-query-localhost: no
forward-zone:
  name: "."
  forward-addr: {ISP_RESOLVER}
"""
        )
        argv = ["unbound", "-d", "-c", str(config)]
        self._processes.append(self._spaces.spawn("ispsrv", argv, log="dns64.out"))

    def _nat64(self) -> None:
        work = self._spaces.work
        config = work / "tayga.conf"
        (work / "tayga").mkdir(exist_ok=True)
        config.write_text(
            f"""tun-device nat64
ipv4-addr 10.10.0.129
ipv6-addr 2001:db8:65::1
prefix {NAT64_PREFIX}
dynamic-pool {_NAT64_POOL}
data-dir {work}/tayga
"""
        )
        self._spaces.check("isp", ["tayga", "-c", str(config), "--mktun"])
        self._undo.append(("isp", "link del nat64"))
        ip_batch(
            ["link set dev nat64 up", f"route add {_NAT64_POOL} dev nat64", f"route add {NAT64_PREFIX} dev nat64"],
            namespace="isp",
        )
        argv = ["tayga", "-c", str(config), "--nodetach"]
        self._processes.append(self._spaces.spawn("isp", argv, log="tayga.out"))


def _spare(addresses: tuple[str, ...], *, both: bool = False) -> list[str]:
    """Let what goes to these addresses pass, and with `both` what comes from them."""
    lines = []
    for address in addresses:
        family = "ip6" if ":" in address else "ip"
        lines.append(f"{family} daddr {address} accept")
        if both:
            lines.append(f"{family} saddr {address} accept")
    return lines


def _passing(gate: Portal) -> list[str]:
    """Return what a portal's router does with what it does not answer itself."""
    ends = {"reset": "reject with tcp reset", "drop": "drop", "pass": "accept"}
    lines = [*_spare(gate.spared), "udp dport 53 accept", "tcp dport 53 accept"]
    for port, how in ((80, gate.http), (443, gate.https)):
        if how in ends:
            lines.append(f"tcp dport {port} {ends[how]}")
    return [*lines, "drop"] if gate.rest == "drop" else lines
