"""Putting a scenario to work, and taking it back; and what those who interfere wrote about it.

Address filters and redirections are nftables rules with named counters. Whatever looks into packets
is a process that is ready before a rule sends it any: without a reader a queue drops, so a censor
that died cannot pass for an open network. (This kernel may lack nft's own `queue`, hence iptables-nft.)
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.lab import censor, liar, middlebox, world
from tests.lab.home_faults import HomeFault
from tests.lab.home_wiring import HomeWiring
from tests.lab.pki import Pki
from tests.lab.scenario import (
    AddressFilter,
    CertificateFilter,
    ControlCut,
    Deed,
    Delay,
    DnsTampering,
    HelloFilter,
    HostFilter,
    HttpProxy,
    LinkDown,
    QuicFilter,
    ResolverLie,
    Scenario,
    ServerAlert,
    SmallSegments,
    Throttle,
    TlsInterception,
)
from tests.lab.servers import ALERT_PORT, Servers
from tests.lab.settings import CONTROL_PORT
from tests.lab.sites import SITES
from tests.lab.spaces import Process, Spaces, ip_batch
from tests.lab.topology import CLIENT_NETS, CONTROL, ISP_RESOLVER, ISP_RESOLVER6, NODES
from tests.lab.world import (
    BusyLine,
    By,
    ConnectionLoss,
    LossyLine,
    PathMtu,
    SlowLine,
    SynLimit,
    client_net,
    family,
    named,
)

_DPI_QUEUE, _WAN_QUEUE = "2", "3"
_COUNTER = re.compile(r"counter name (\S+)")
_TOUCHED = ("home", "isp", "ispsrv", "censor", "wan", "edge", "srv")
_FILTER, _NAT = "type filter hook prerouting priority -300", "type nat hook prerouting priority -100"
_WIDE = 1500
_LINE = ("dev", "to-cli", "root")
_SENDING = "type filter hook output priority 0"
DpiRule = DnsTampering | HelloFilter | QuicFilter | CertificateFilter | Throttle | HostFilter
BoxPart = HttpProxy | TlsInterception


class Interference:
    """One scenario at a time, from a clean state to a clean state."""

    def __init__(self, spaces: Spaces, servers: Servers, pki: Pki) -> None:
        self._spaces, self._servers, self._pki = spaces, servers, pki
        self._home = HomeWiring(spaces, pki)
        self._processes: list[Process] = []
        self._logs: list[Path] = []
        self._tracked: set[str] = set()
        self._linked = True
        self._wide = True
        self._slowed = False
        self._seed = 0

    def apply(self, scenario: Scenario, *, seed: int = 0) -> None:
        """Undo what was there and make `scenario` true.

        `seed` draws the lots of what runs in Python (censor, wan), packet for packet; those of nftables it cannot.
        """
        self.clear()
        self._seed = seed
        rules: dict[By, list[DpiRule]] = defaultdict(list)
        filters: dict[str, list[str]] = defaultdict(list)
        lies: dict[str, list[ResolverLie]] = defaultdict(list)
        box: list[BoxPart] = []
        faults: list[HomeFault] = []
        for mechanism in scenario.mechanisms:
            match mechanism:
                case ResolverLie(at=at):
                    lies[at].append(mechanism)
                case (
                    DnsTampering(by=by)
                    | HelloFilter(by=by)
                    | CertificateFilter(by=by)
                    | Throttle(by=by)
                    | HostFilter(by=by)
                ):
                    rules[by].append(mechanism)
                case QuicFilter(by=by) if mechanism.names or mechanism.reads:
                    rules[by].append(mechanism)
                case QuicFilter(by=by):
                    filters[by] += quic_rules(mechanism)
                case AddressFilter(by=by):
                    filters[by] += address_rules(mechanism)
                case BusyLine(by=by):
                    filters[by] += world.busy_line(mechanism)
                case ConnectionLoss():
                    filters["isp"] += world.lost_connections(mechanism)
                case LossyLine(percent=percent):
                    filters["home"].append(f"numgen random mod 100 < {percent} drop")
                case SynLimit():
                    filters["srv"] += world.rationed(mechanism)
                case ControlCut():
                    filters["censor"] += address_rules(AddressFilter(addresses=(CONTROL,), action="drop"))
                case HttpProxy() | TlsInterception():
                    box.append(mechanism)
                case LinkDown():
                    self._link(up=False)
                case _ if isinstance(mechanism, HomeFault):
                    faults.append(mechanism)
                case _:
                    self._one(mechanism)
        for where, lines in filters.items():
            self._nft(where, "filter", _FILTER, lines)
        for mechanism in scenario.mechanisms:
            if isinstance(mechanism, SynLimit) and mechanism.spent:
                self._use_up(mechanism)
        for where, told in lies.items():
            self._lie(where, told)
        for router, found in rules.items():
            self._inspect(router, found)
        if box:
            self._middlebox(box)
        self._home.apply(faults)

    def _one(self, mechanism: ServerAlert | SmallSegments | PathMtu | SlowLine | Delay) -> None:
        """Put to work what stands alone."""
        match mechanism:
            case ServerAlert(address=address):
                self._alert(address)
            case SmallSegments(addresses=addresses, size=size):
                flags, smaller = "tcp flags & (syn | ack) == syn | ack", f"tcp option maxseg size set {size}"
                lines = [f"{family(address)} saddr {address} {flags} {smaller}" for address in addresses]
                self._nft("srv", "segments", _SENDING, lines)
            case PathMtu():
                self._narrow(mechanism.mtu)
                for where in ("isp", "censor") if mechanism.silent else ():
                    self._nft(where, "hushed", _SENDING, world.hushed())
            case SlowLine(kbit=kbit):
                self._slow(f"rate {kbit}kbit burst {max(3000, kbit * 2)} latency 400ms")
            case Delay():
                self._delay(mechanism)

    def _slow(self, shape: str) -> None:
        """Put a token bucket before the home's line, or with no shape take it away."""
        change = ["replace", *_LINE, "tbf", *shape.split()] if shape else ["del", *_LINE]
        self._spaces.check("home", ["tc", "qdisc", *change])
        self._slowed = bool(shape)

    def _use_up(self, ration: SynLimit) -> None:
        """Connect from the client's address, as neighbours behind it do, until the site takes no more."""
        script = "import socket,sys\nfor _ in range(int(sys.argv[2])): socket.create_connection((sys.argv[1], 443), 1)"
        for address in ration.addresses:
            self._spaces.run("cli", [sys.executable, "-S", "-c", script, address, str(ration.per_minute)])

    def _narrow(self, mtu: int) -> None:
        """Set what the link between the ISP and the border carries."""
        for where, device in (("isp", "to-censor"), ("censor", "to-isp")):
            ip_batch([f"link set dev {device} mtu {mtu}"], namespace=where)
        self._wide = mtu == _WIDE

    def clear(self) -> None:
        """Undo whatever was applied."""
        for where in _TOUCHED:
            self._spaces.check(where, ["nft", "flush", "ruleset"])
        for process in self._processes:
            process.stop()
        for where in self._tracked:
            self._spaces.run(where, ["conntrack", "-F"])
        self._home.clear()
        if not self._linked:
            self._link(up=True)
        if not self._wide:
            self._narrow(_WIDE)
        if self._slowed:
            self._slow("")
        self._processes.clear()
        self._logs.clear()
        self._tracked.clear()

    def _link(self, *, up: bool) -> None:
        ip_batch([f"link set dev to-cli {'up' if up else 'down'}"], namespace="home")
        self._linked = up
        if up:  # the kernel takes up to a second to notice; what is sent until then is lost
            answers = "until ping -q -c1 -W1 10.10.0.1; do sleep .1; done"
            self._spaces.check("cli", ["timeout", "15", "sh", "-c", answers])

    def _nft(self, where: str, table: str, hook: str, lines: list[str]) -> None:
        """Add a table with one chain, and the named counters that its lines speak of."""
        counters = "".join(f"  counter {name} {{ }}\n" for name in dict.fromkeys(_COUNTER.findall("\n".join(lines))))
        body = "".join(f"    {line}\n" for line in lines)
        text = f"table inet {table} {{\n{counters}  chain in {{\n    {hook}\n{body}  }}\n}}\n"
        self._spaces.check(where, ["nft", "-f", "-"], text=text)

    def _queue(self, where: str, chain: str, matches: list[str], queue: str) -> None:
        """Send packets to a queue; a match that names no address is for IPv4 and for IPv6."""
        for command, other in (("iptables-nft-restore", ":"), ("ip6tables-nft-restore", ".")):
            lines = [f"-A {chain} {match} -j NFQUEUE --queue-num {queue}\n" for match in matches if other not in match]
            self._spaces.check(where, [command, "-n"], text=f"*mangle\n{''.join(lines)}COMMIT\n")

    def _redirect(self, where: str, table: str, lines: list[str]) -> None:
        """Send connections elsewhere, and forget them in the end."""
        self._nft(where, table, _NAT, lines)
        self._tracked.add(where)

    def _lie(self, at: str, lies: Sequence[ResolverLie]) -> None:
        """Start a lying resolver, and send questions to it."""
        where, device = ("home", "to-cli") if at == "home" else ("ispsrv", "to-isp")
        node = NODES["cli"] if at == "home" else NODES["ispsrv"]
        own = (f"{node.net4}.1", f"{node.net6}::1") if at == "home" else (ISP_RESOLVER, ISP_RESOLVER6)
        plan, log = self._spaces.work / f"lies-{at}.json", self._spaces.work / f"deeds-lies-{at}.jsonl"
        by = "home" if at == "home" else "resolver"
        plan.write_bytes(msgspec.json.encode(liar.Plan(by=by, addresses=own, upstream=ISP_RESOLVER, lies=tuple(lies))))
        self._start(where, "liar", str(plan), log=log)
        lines = questions(device, own, liar.PORT)
        self._redirect(where, "lies", lines)
        if at == "isp" and any(lie.captures for lie in lies):
            self._redirect("isp", "captures", questions("to-home", own, 53))

    def _inspect(self, by: By, found: list[DpiRule]) -> None:
        work = self._spaces.work
        plan, log = work / f"rules-{by}.json", work / f"deeds-{by}.jsonl"
        rules = censor.Rules(
            by=by,
            seed=self._seed,
            dns=tuple(rule for rule in found if isinstance(rule, DnsTampering)),
            hello=tuple(rule for rule in found if isinstance(rule, HelloFilter)),
            quic=tuple(rule for rule in found if isinstance(rule, QuicFilter)),
            certificate=tuple(rule for rule in found if isinstance(rule, CertificateFilter)),
            throttle=tuple(rule for rule in found if isinstance(rule, Throttle)),
            host=tuple(rule for rule in found if isinstance(rule, HostFilter)),
        )
        plan.write_bytes(msgspec.json.encode(rules))
        self._start(by, "censor", _DPI_QUEUE, str(plan), log=log)
        both_ways = rules.certificate or rules.throttle
        looked_at = {
            "-s {} -p udp --dport 53": rules.dns,
            "-s {} -p tcp --dport 443": rules.hello or both_ways,
            "-s {} -p tcp --dport 80": rules.host or rules.throttle,
            f"-s {{}} -p tcp --dport {CONTROL_PORT}": rules.throttle,
            "-s {} -p udp --dport 443": rules.quic,
            "-d {} -p tcp --sport 443": both_ways,
            **{f"-d {{}} -p tcp --sport {port}": rules.throttle for port in censor.CLEAR},
        }
        matches = [match.format(net) for match, used in looked_at.items() if used for net in CLIENT_NETS]
        self._queue(by, "PREROUTING", matches, _DPI_QUEUE)

    def _start(self, where: str, module: str, *arguments: str, log: Path | None = None) -> None:
        """Start a module of this package, which writes its deeds to `log`."""
        if log:
            log.write_text("")
            self._logs.append(log)
        argv = [sys.executable, "-m", f"tests.lab.{module}", *arguments, *([str(log)] if log else [])]
        self._processes.append(self._spaces.spawn(where, argv, log=f"{module}-{where}.out", ready="ready"))

    def _middlebox(self, parts: list[BoxPart]) -> None:
        work = self._spaces.work
        plan, log = work / "middlebox.json", work / "deeds-middlebox.jsonl"
        proxy = next((part for part in parts if isinstance(part, HttpProxy)), None)
        interception = next((part for part in parts if isinstance(part, TlsInterception)), None)
        authority = self._pki.trusted_interceptor if interception and interception.trusted else self._pki.interceptor
        whole = middlebox.Plan(proxy=proxy, interception=interception, work=str(work), authority=str(authority))
        plan.write_bytes(msgspec.json.encode(whole))
        self._start("censor", "middlebox", str(plan), log=log)
        lines = []
        if proxy:
            lines.append(f'iifname "to-isp" tcp dport 80 redirect to :{middlebox.HTTP_PORT}')
        if interception:
            lines.append(f'iifname "to-isp" tcp dport 443 redirect to :{middlebox.TLS_PORT}')
        self._redirect("censor", "box", lines)

    def _alert(self, address: str) -> None:
        counter = f"counter name {named('alert', address)}"
        match = f"ip saddr {CLIENT_NETS[0]} ip daddr {address} tcp dport 443"
        self._redirect("srv", "alert", [f"{match} {counter} dnat ip to {address}:{ALERT_PORT}"])

    def _delay(self, delay: Delay) -> None:
        self._start("wan", "wan", _WAN_QUEUE, str(delay.rtt / 2), str(delay.jitter), str(self._seed))
        self._queue("wan", "FORWARD", [""], _WAN_QUEUE)
        if delay.loss:
            line = f"numgen random mod 1000 < {round(delay.loss * 10)} drop"
            self._nft("wan", "loss", "type filter hook forward priority 10", [line])

    def deeds(self) -> list[Deed]:
        """Return what those who interfere say they did since `apply`, from their own logs and counters."""
        found = [msgspec.json.decode(line, type=Deed) for log in self._logs for line in log.read_text().splitlines()]
        for where in _TOUCHED:
            found += counted(where, self._spaces.check(where, ["nft", "-j", "list", "counters"]))
        return found + self._home.deeds()


def address_rules(filter_: AddressFilter) -> list[str]:
    """Return one nftables rule per address."""
    ours, theirs, port = ("daddr", "saddr", "sport") if filter_.back else ("saddr", "daddr", "dport")
    ends = {"drop": "drop", "reset": "reject with tcp reset", "unreachable": "reject with icmpx type admin-prohibited"}
    matched = (
        f"tcp {port} {filter_.port} " if filter_.port else "meta l4proto tcp " if filter_.action == "reset" else ""
    )
    lines = []
    for address in filter_.addresses:
        word = family(address)
        client = "" if filter_.everyone else f"{word} {ours} {client_net(address)} "
        counter = named(filter_.action, address)
        lines.append(f"{client}{word} {theirs} {address} {matched}counter name {counter} {ends[filter_.action]}")
    return lines


def quic_rules(filter_: QuicFilter) -> list[str]:
    """Return nftables rules against QUIC: one for each address, or for each site that has it and then for all."""
    end = "drop" if filter_.action == "drop" else "reject with icmpx type admin-prohibited"
    found = filter_.addresses or [address for site in SITES if site.http3 for address in site.alive]
    lines = [
        f"{family(a)} saddr {client_net(a)} {family(a)} daddr {a} udp dport 443 counter name {named('quic', a)} {end}"
        for a in found
    ]
    all_of_it = [
        f"{word} saddr {net} udp dport 443 {end}" for word, net in zip(("ip", "ip6"), CLIENT_NETS, strict=True)
    ]
    return lines if filter_.addresses else lines + all_of_it


def questions(device: str, to: tuple[str, str], port: int) -> list[str]:
    """Return nftables rules that send every question which comes in over `device` to another place."""
    return [
        f'iifname "{device}" meta nfproto {protocol} {transport} dport 53 dnat {word} to {where}:{port}'
        for protocol, word, where in (("ipv4", "ip", to[0]), ("ipv6", "ip6", f"[{to[1]}]"))
        for transport in ("udp", "tcp")
    ]


def counted(where: str, listing: str) -> list[Deed]:
    """Read `nft -j list counters`: one deed for each counter that moved."""
    found = []
    for entry in json.loads(listing)["nftables"]:
        counter = entry.get("counter")
        if counter and counter["packets"]:
            action, _, subject = counter["name"].partition("_")
            found.append(Deed(by=where, action=action, subject=subject.replace("-", ":")))
    return found
