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
from pathlib import Path

import msgspec

from tests.lab import censor, middlebox
from tests.lab.pki import Pki
from tests.lab.scenario import (
    AddressFilter,
    By,
    ControlCut,
    Deed,
    Delay,
    DnsTampering,
    HelloFilter,
    HostFilter,
    HttpProxy,
    LinkDown,
    ResolverLie,
    Scenario,
    ServerAlert,
    TlsInterception,
)
from tests.lab.servers import ALERT_PORT, Servers
from tests.lab.spaces import Process, Spaces, ip_batch
from tests.lab.topology import CLIENT_NETS, CONTROL

_DPI_QUEUE, _WAN_QUEUE = "2", "3"
_COUNTER = re.compile(r"counter name (\S+)")
_TOUCHED = ("home", "isp", "censor", "wan", "edge", "srv")
DpiRule = DnsTampering | HelloFilter | HostFilter


class Interference:
    """One scenario at a time, from a clean state to a clean state."""

    def __init__(self, spaces: Spaces, servers: Servers, pki: Pki) -> None:
        self._spaces, self._servers, self._pki = spaces, servers, pki
        self._processes: list[Process] = []
        self._logs: list[Path] = []
        self._lies: set[str] = set()
        self._log_start = 0
        self._linked = True
        self._seed = 0

    def apply(self, scenario: Scenario, *, seed: int = 0) -> None:
        """Undo what was there and make `scenario` true.

        `seed` draws the lots of what runs in Python (censor, wan), packet for packet; those of nftables it cannot.
        """
        self.clear()
        self._seed = seed
        self._log_start = self._servers.isp.log.stat().st_size
        rules: dict[By, list[DpiRule]] = defaultdict(list)
        filters: dict[str, list[str]] = defaultdict(list)
        box: list[HttpProxy | TlsInterception] = []
        for mechanism in scenario.mechanisms:
            match mechanism:
                case ResolverLie(names=names, answer=answer):
                    for name in names:
                        self._servers.isp.lie(name, answer)
                        self._lies.add(name)
                case DnsTampering(by=by) | HelloFilter(by=by) | HostFilter(by=by):
                    rules[by].append(mechanism)
                case AddressFilter(by=by):
                    filters[by] += address_rules(mechanism)
                case ControlCut():
                    filters["censor"] += address_rules(AddressFilter(addresses=(CONTROL,), action="drop"))
                case ServerAlert(address=address):
                    self._alert(address)
                case HttpProxy() | TlsInterception():
                    box.append(mechanism)
                case LinkDown():
                    self._link(up=False)
                case Delay():
                    self._delay(mechanism)
        for where, lines in filters.items():
            self._nft(where, "filter", "type filter hook prerouting priority -300", lines)
        for router, found in rules.items():
            self._inspect(router, found)
        if box:
            self._middlebox(box)

    def clear(self) -> None:
        """Undo whatever was applied."""
        self._servers.isp.tell_the_truth()
        for where in _TOUCHED:
            self._spaces.check(where, ["nft", "flush", "ruleset"])
        for process in self._processes:
            process.stop()
        if self._logs:
            self._spaces.run("censor", ["conntrack", "-F"])
        if not self._linked:
            self._link(up=True)
        self._processes.clear()
        self._logs.clear()
        self._lies.clear()

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

    def _inspect(self, by: By, found: list[DpiRule]) -> None:
        work = self._spaces.work
        plan, log = work / f"rules-{by}.json", work / f"deeds-{by}.jsonl"
        rules = censor.Rules(
            by=by,
            seed=self._seed,
            dns=tuple(rule for rule in found if isinstance(rule, DnsTampering)),
            hello=tuple(rule for rule in found if isinstance(rule, HelloFilter)),
            host=tuple(rule for rule in found if isinstance(rule, HostFilter)),
        )
        plan.write_bytes(msgspec.json.encode(rules))
        self._start(by, "censor", _DPI_QUEUE, str(plan), log=log)
        ports = {"-p udp --dport 53": rules.dns, "-p tcp --dport 443": rules.hello, "-p tcp --dport 80": rules.host}
        matches = [f"-s {net} {port}" for port, used in ports.items() if used for net in CLIENT_NETS]
        self._queue(by, "PREROUTING", matches, _DPI_QUEUE)

    def _start(self, where: str, module: str, *arguments: str, log: Path | None = None) -> None:
        """Start a module of this package, which writes its deeds to `log`."""
        if log:
            log.write_text("")
            self._logs.append(log)
        argv = [sys.executable, "-m", f"tests.lab.{module}", *arguments, *([str(log)] if log else [])]
        self._processes.append(self._spaces.spawn(where, argv, log=f"{module}-{where}.out", ready="ready"))

    def _middlebox(self, parts: list[HttpProxy | TlsInterception]) -> None:
        work = self._spaces.work
        plan, log = work / "middlebox.json", work / "deeds-middlebox.jsonl"
        proxy = next((part for part in parts if isinstance(part, HttpProxy)), None)
        interception = next((part for part in parts if isinstance(part, TlsInterception)), None)
        authority = {"ca_certificate": str(self._pki.interceptor), "ca_key": str(self._pki.interceptor_key)}
        whole = middlebox.Plan(proxy=proxy, interception=interception, work=str(work), **authority)
        plan.write_bytes(msgspec.json.encode(whole))
        self._start("censor", "middlebox", str(plan), log=log)
        lines = []
        if proxy:
            lines.append(f'iifname "to-isp" tcp dport 80 redirect to :{middlebox.HTTP_PORT}')
        if interception:
            lines.append(f'iifname "to-isp" tcp dport 443 redirect to :{middlebox.TLS_PORT}')
        self._nft("censor", "box", "type nat hook prerouting priority -100", lines)

    def _alert(self, address: str) -> None:
        counter = f"counter name {named('alert', address)}"
        match = f"ip saddr {CLIENT_NETS[0]} ip daddr {address} tcp dport 443"
        line = f"{match} {counter} dnat ip to {address}:{ALERT_PORT}"
        self._nft("srv", "alert", "type nat hook prerouting priority -100", [line])

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
        return found + self._lies_told()

    def _lies_told(self) -> list[Deed]:
        with self._servers.isp.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
        found = []
        for line in lines:
            words = line.split(" info: ", 1)[-1].split()  # ZONE KIND CLIENT@PORT NAME TYPE CLASS
            zone = words[0].rstrip(".") if words else ""
            if zone in self._lies and len(words) >= 4:
                found.append(Deed(by="resolver", action=f"dns {words[1]}", subject=words[3].rstrip(".").lower()))
        return found


def named(action: str, address: str) -> str:
    """Return a counter's name, from which `counted` reads action and address back."""
    return f"{action}_{address.replace(':', '-')}"


def address_rules(filter_: AddressFilter) -> list[str]:
    """Return one nftables rule per address."""
    port = f"tcp dport {filter_.port} " if filter_.port else ""
    if filter_.action == "reset" and not port:
        port = "meta l4proto tcp "
    end = "drop" if filter_.action == "drop" else "reject with tcp reset"
    lines = []
    for address in filter_.addresses:
        family, net = ("ip6", CLIENT_NETS[1]) if ":" in address else ("ip", CLIENT_NETS[0])
        source = "" if filter_.everyone else f"{family} saddr {net} "
        counter = named(filter_.action, address)
        lines.append(f"{source}{family} daddr {address} {port}counter name {counter} {end}")
    return lines


def counted(where: str, listing: str) -> list[Deed]:
    """Read `nft -j list counters`: one deed for each counter that moved."""
    found = []
    for entry in json.loads(listing)["nftables"]:
        counter = entry.get("counter")
        if counter and counter["packets"]:
            action, _, subject = counter["name"].partition("_")
            found.append(Deed(by=where, action=action, subject=subject.replace("-", ":")))
    return found
