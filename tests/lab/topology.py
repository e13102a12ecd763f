"""The map: network namespaces in a tree, whose root is the world's backbone.

    cli ── home ── isp ── censor ── wan ── edge ── srv    the sites, behind their own border router
                    │                ├──── wit            the witnesses, in a prefix of their own
                  ispsrv             ├──── pub            public resolvers
                                     └──── ctl            a vantage that nobody censors

A node's default route leads to its parent, and it knows a route to every prefix below its children;
the root has no default route, so that a packet to anywhere else dies there. Every link carries IPv4
and IPv6. All addresses are of 10.0.0.0/8 and of the ranges kept for documentation (RFC 5737, 3849).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from tests.lab.sites import BLOCKER, DOMESTIC, ISP_CACHE, SITES, WITNESSES
from tests.lab.spaces import Spaces, ip_batch

_SITE_ADDRESSES = tuple(dict.fromkeys(address for site in SITES for address in site.alive))
_DEAD = tuple(address for site in SITES for address in site.dead)
_WITNESS_ADDRESSES = tuple(address for host in WITNESSES for address in (host.address, host.address6))

CLIENT_NETS = ("10.10.0.0/24", "2001:db8:a0::/64")
CLIENT = "10.10.0.2"
ISP_RESOLVER = "10.10.53.53"
ISP_RESOLVER6 = "2001:db8:a53::35"
BLOCK_PAGE = "198.51.100.80"
BLOCK_PAGE_TLS = BLOCKER.addresses[0]
NAME_SERVER = "203.0.113.85"
PASSING_PROXY = "198.51.100.90"
_DOMESTIC_ADDRESSES = tuple(address for host in DOMESTIC for address in (host.address, host.address6))
ISP_SERVERS = (BLOCK_PAGE, BLOCK_PAGE_TLS, PASSING_PROXY, ISP_CACHE, *_DOMESTIC_ADDRESSES)
CONTROL = "198.51.100.200"
PUBLIC_RESOLVERS = ("198.51.100.53", "198.51.100.54")


@dataclass(frozen=True, slots=True)
class Node:
    """A namespace: its parent, its link to it (the parent has .1 and ::1), and addresses besides."""

    name: str
    parent: str | None = None
    net4: str = ""  # three octets: "10.10.0" means 10.10.0.0/24
    net6: str = ""  # "2001:db8:a0" means 2001:db8:a0::/64
    host: int = 2
    also: tuple[str, ...] = ()
    routes_public: bool = False  # the node's own packets carry its first `also` address
    swallows: tuple[str, ...] = ()  # addresses below it that answer nothing, to anybody

    @property
    def address(self) -> str:
        return f"{self.net4}.{self.host}"

    @property
    def address6(self) -> str:
        return f"{self.net6}::{self.host:x}"

    @property
    def uplink(self) -> str:
        return f"to-{self.parent}"


NODES = {
    node.name: node
    for node in (
        Node("wan"),
        Node("censor", "wan", "10.10.3", "2001:db8:a3"),
        Node("isp", "censor", "10.10.2", "2001:db8:a2"),
        Node("home", "isp", "10.10.1", "2001:db8:a1"),
        Node("cli", "home", "10.10.0", "2001:db8:a0"),
        Node(
            "ispsrv",
            "isp",
            "10.10.53",
            "2001:db8:a53",
            host=53,
            also=ISP_SERVERS,
        ),
        Node("ctl", "wan", "10.10.9", "2001:db8:a9", also=(CONTROL, "2001:db8:51::200"), routes_public=True),
        Node("pub", "wan", "10.10.5", "2001:db8:a5", also=PUBLIC_RESOLVERS),
        Node("wit", "wan", "192.0.2", "2001:db8:192", also=_WITNESS_ADDRESSES),
        Node("edge", "wan", "10.10.4", "2001:db8:a4", also=("203.0.113.254",), routes_public=True, swallows=_DEAD),
        Node("srv", "edge", "203.0.113", "2001:db8:113", also=(*_SITE_ADDRESSES, NAME_SERVER)),
    )
}
ROUTERS = frozenset(node.parent for node in NODES.values() if node.parent)


def children(name: str) -> Iterator[Node]:
    """Yield the nodes whose parent is `name`."""
    return (node for node in NODES.values() if node.parent == name)


def prefixes_below(node: Node) -> Iterator[str]:
    """Yield every prefix that is reached through `node`'s link, beyond that link's own."""
    on_link = (ip_network(f"{node.net4}.0/24"), ip_network(f"{node.net6}::/64"))
    for address in map(ip_address, node.also):
        if not any(address in net for net in on_link):
            yield f"{address}/{address.max_prefixlen}"
    for child in children(node.name):
        yield f"{child.net4}.0/24"
        yield f"{child.net6}::/64"
        yield from prefixes_below(child)


def build(spaces: Spaces) -> None:
    """Make the namespaces, the links between them, their addresses and their routes."""
    ip_batch(f"netns add {name}" for name in NODES)
    for name in NODES:
        spaces.check(name, ["sh", "-ec", kernel_settings(router=name in ROUTERS)])
    links = [node for node in NODES.values() if node.parent]
    ip_batch(
        f"link add name {node.uplink} netns {node.name} type veth peer name to-{node.name} netns {node.parent}"
        for node in links
    )
    for node in NODES.values():
        ip_batch(configuration(node), namespace=node.name)
    for node in links:
        assert node.parent
        for name, device in ((node.name, node.uplink), (node.parent, f"to-{node.name}")):
            spaces.check(name, ["ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off", "gro", "off"])


def kernel_settings(*, router: bool) -> str:
    """Return a shell script; it runs before there are links, so that they inherit the defaults."""
    settings = {
        "ipv4/conf/all/rp_filter": 0,  # forged packets come from where their source is not
        "ipv4/conf/default/rp_filter": 0,
        "ipv4/icmp_ratelimit": 0,  # every hop answers every time
        "ipv6/icmp/ratelimit": 0,
        "ipv6/conf/default/accept_dad": 0,
        "ipv6/conf/default/accept_ra": 0,
        "ipv6/conf/default/keep_addr_on_down": 1,  # a cable comes back with its address
    }
    if router:
        settings |= {"ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1}
        settings |= {"ipv4/conf/all/send_redirects": 0, "ipv4/conf/default/send_redirects": 0}
    return "\n".join(f"echo {value} > /proc/sys/net/{name}" for name, value in settings.items())


def configuration(node: Node) -> Iterator[str]:
    """Yield `ip -batch` lines, to be run inside the node's namespace: addresses first, then routes."""
    yield "link set dev lo up"
    for child in children(node.name):
        yield from link(f"to-{child.name}", (f"{child.net4}.1/24", f"{child.net6}::1/64"))
    if node.parent:
        yield from link(node.uplink, (f"{node.address}/24", f"{node.address6}/64", *node.also))
        source = f" src {node.also[0]}" if node.routes_public else ""
        yield f"route add default via {node.net4}.1{source}"
        yield f"route add default via {node.net6}::1"
    for child in children(node.name):
        for prefix in prefixes_below(child):
            yield f"route add {prefix} via {child.address6 if ':' in prefix else child.address}"
    for address in node.swallows:
        yield f"route add blackhole {address}"


def link(device: str, addresses: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines that bring a device up with its addresses."""
    yield f"link set dev {device} up"
    for address in addresses:
        yield f"addr add {address} dev {device}{' nodad' if ':' in address else ''}"
