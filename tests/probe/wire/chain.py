"""A client, two routers and a server in namespaces of their own, for what needs real hops.

    client -- near router -- far router -- server

Run as a program it enters fresh namespaces, in which nothing has a way out, lets the wire ask about hops,
and prints what it saw as JSON. The far router resets port 81, refuses port 82 by ICMP, drops port 83 and
answers port 84 itself. The server's resolver sends a forged ICMP error before its true reply.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from measurements.model import View
from probe.network import Resolver
from probe.wire.sockets import Endpoint
from tests.probe.wire.peers import answer, network, run

CLIENT, NEAR, FAR, SERVER = "client", "near", "far", "server"
LINKS = [(CLIENT, NEAR), (NEAR, FAR), (FAR, SERVER)]
CLONE_NEWNET = 0x40000000
ADDRESSES = {4: "10.0.3.2", 6: "2001:db8:3::2"}
NAME = "site.example"
RULES = """
table inet censor {
    chain forward {
        type filter hook forward priority 0;
        tcp dport 81 reject with tcp reset
        tcp dport 82 reject with icmpx type admin-prohibited
        tcp dport 83 drop
    }
}
table inet proxy {
    chain pre {
        type nat hook prerouting priority -100;
        tcp dport 84 redirect to :8084
    }
}
"""


def inside(*command: str, given: str | None = None) -> None:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")


def build() -> None:
    """Make the namespaces, links, addresses, routes and the far router's rules."""
    inside("mount", "-t", "tmpfs", "tmpfs", "/run")
    os.mkdir("/run/netns")
    for space in (CLIENT, NEAR, FAR, SERVER):
        inside("ip", "netns", "add", space)
        inside("ip", "-n", space, "link", "set", "lo", "up")
        inside("ip", "netns", "exec", space, "sysctl", "-qw", "net.ipv6.conf.default.accept_dad=0")
    for number, (left, right) in enumerate(LINKS, 1):
        ends = (f"{left}-{right}"[:15], f"{right}-{left}"[:15])
        inside("ip", "link", "add", ends[0], "netns", left, "type", "veth", "peer", "name", ends[1], "netns", right)
        for space, device, last in ((left, ends[0], 1), (right, ends[1], 2)):
            inside("ip", "-n", space, "addr", "add", f"10.0.{number}.{last}/24", "dev", device)
            inside("ip", "-n", space, "addr", "add", f"2001:db8:{number}::{last}/64", "dev", device, "nodad")
            inside("ip", "-n", space, "link", "set", device, "up")
    for space, link, last in ((CLIENT, 1, 2), (NEAR, 2, 2), (FAR, 2, 1), (SERVER, 3, 1)):
        inside("ip", "-n", space, "route", "add", "default", "via", f"10.0.{link}.{last}")
        inside("ip", "-n", space, "-6", "route", "add", "default", "via", f"2001:db8:{link}::{last}")
    for space in (NEAR, FAR):
        for setting in ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.icmp_ratelimit=0"):
            inside("ip", "netns", "exec", space, "sysctl", "-qw", setting)
        inside("ip", "netns", "exec", space, "sysctl", "-qw", "net.ipv6.icmp.ratelimit=0")
    inside("ip", "netns", "exec", FAR, "nft", "-f", "-", given=RULES)


def serve_in(space: str, serve: Callable[[], None]) -> None:
    """Run `serve` in a thread that has joined a namespace."""
    ready = threading.Event()

    def work() -> None:
        join(space)
        ready.set()
        serve()

    threading.Thread(target=work, daemon=True).start()
    ready.wait()


def join(space: str) -> None:
    descriptor = os.open(f"/run/netns/{space}", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(descriptor)


def listen(port: int, greeting: bytes) -> Callable[[], None]:
    """Accept for ever on both families; answer whatever comes with `greeting`."""

    def serve() -> None:
        with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True) as server:
            while True:
                connection = server.accept()[0]
                threading.Thread(target=greet, args=(connection, greeting), daemon=True).start()

    return serve


def greet(connection: socket.socket, greeting: bytes) -> None:
    with connection:
        try:
            if connection.recv(4096):
                connection.sendall(greeting)
        except ConnectionError:
            return


def resolve() -> None:
    """Answer DNS over IPv4, each time after an ICMP error that says that the port is closed."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server,
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw,
    ):
        server.bind((ADDRESSES[4], 53))
        while True:
            query, (client, port) = server.recvfrom(4096)
            raw.sendto(port_unreachable(client, port, len(query)), (client, 0))
            time.sleep(0.1)
            server.sendto(answer(query, "203.0.113.5"), (client, port))


def port_unreachable(client: str, port: int, size: int) -> bytes:
    """Make an ICMP port unreachable for the client's own packet to port 53."""
    addresses = socket.inet_aton(client) + socket.inet_aton(ADDRESSES[4])
    packet = struct.pack("!BBHHHBBH", 0x45, 0, 28 + size, 0, 0, 60, 17, 0) + addresses
    packet += struct.pack("!HHHH", port, 53, 8 + size, 0)
    words = struct.unpack(f"!{len(packet) // 2}H", packet)
    checksum = sum(words) + 0x0303
    checksum = (checksum & 0xFFFF) + (checksum >> 16)
    checksum = ~((checksum & 0xFFFF) + (checksum >> 16)) & 0xFFFF
    return struct.pack("!BBHI", 3, 3, checksum, 0) + packet


async def look() -> dict[str, object]:
    """Ask the wire about every kind of hop, over both families."""
    seen: dict[str, object] = {}
    async with network() as net:

        async def ask(label: str, version: int, port: int, probe: str, ttl: int) -> None:
            name = NAME if probe != "syn" else None
            hop = await net.hop(ADDRESSES[version], port, probe=probe, ttl=ttl, name=name)
            seen[f"{label} v{version}"] = [hop.answer, hop.router, hop.failure, round(hop.elapsed, 3)]

        for version in (4, 6):
            async with asyncio.TaskGroup() as group:
                for probe, ttls in (("syn", (1, 2, 3)), ("hello", (1, 2, 3)), ("request", (1, 2, 3))):
                    for ttl in ttls:
                        group.create_task(ask(f"{probe} {ttl}", version, 80, probe, ttl))
                for what, port, ttl in (("reset", 81, 3), ("beyond", 81, 2), ("refused", 82, 3), ("dropped", 83, 9)):
                    group.create_task(ask(what, version, port, "syn", ttl))
                group.create_task(ask("closed", version, 85, "syn", 9))
                group.create_task(ask("proxy near", version, 84, "hello", 1))
                group.create_task(ask("proxy far", version, 84, "hello", 2))
                group.create_task(ask("not open", version, 85, "hello", 2))
        server = Resolver(f"{ADDRESSES[4]}:53", View.LOCAL)
        asked: tuple[tuple[str, Resolver, int | None], ...] = (
            ("query 1 v4", server, 1),
            ("query 1 v6", Resolver(str(Endpoint(ADDRESSES[6], 53)), View.LOCAL), 1),
            ("forged", server, None),
        )
        for label, resolver, query_ttl in asked:
            lookup = await net.lookup(NAME, "A", resolver, ip_ttl=query_ttl, linger=0.0, timeout=2.0)
            icmp = [[e.source, e.type, e.code, e.error] for e in lookup.icmp]
            seen[label] = [lookup.failure, icmp, lookup.addresses, round(lookup.elapsed, 3)]
    return seen


def main() -> None:
    if "--inside" not in sys.argv:
        own_user = ["--user", "--map-root-user"] if os.getuid() else []
        fresh = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        os.execvp("unshare", ["unshare", *own_user, *fresh, sys.executable, "-m", __spec__.name, "--inside"])
    build()
    serve_in(SERVER, listen(80, b"HTTP/1.1 200 OK\r\n\r\n"))
    serve_in(SERVER, resolve)
    serve_in(FAR, listen(8084, b"HTTP/1.1 403 Forbidden\r\n\r\n"))
    join(CLIENT)
    time.sleep(0.3)
    print(json.dumps(run(look())))
    os._exit(0)


if __name__ == "__main__":
    main()
