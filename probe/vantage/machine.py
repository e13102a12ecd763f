"""What the computer says of itself: whether it is a container, which devices are tunnels, which proxies it names.

In a container the first hop is the container's bridge: neither the home's router nor a VPN of the host can be
seen from there, and that is said with the results. Proxies that the environment names are not used, for a proxy
would be measured in the network's place.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from probe.network import Route

_TUNNEL = re.compile(
    r"(tun|tap|utun|wg|ipsec|vti|xfrm|zt|tailscale|nordlynx|proton|mullvad|warp|cloudflarewarp|vpn)", re.I
)
_DIALLED = re.compile(r"(ppp|pptp|l2tp)\d")
_DOCKER_RESOLVER = "127.0.0.11:"
_BRIDGES = tuple(
    ipaddress.ip_network(net)
    for net in (
        "172.16.0.0/12",  # Docker
        "10.88.0.0/15",  # Podman
        "10.0.2.0/24",  # slirp4netns
        "169.254.0.0/16",  # Kubernetes
        "fc00::/7",
    )
)
"""Where the gateways of containers are."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What is known about this computer; `gateways` are the devices that lead to a gateway."""

    container: bool = False
    proxies: tuple[str, ...] = ()
    gateways: frozenset[str] = frozenset()
    tunnels: frozenset[str] = frozenset()

    def is_tunnel(self, route: Route | None) -> bool:
        """Whether a route leads into a VPN.

        A dialled line (ppp) is the provider's own, unless another device leads to a gateway, which then carries
        it; and a container without root (slirp4netns) has a tap device for its ordinary network.
        """
        if route is None or not route.device:
            return False
        if _DIALLED.match(route.device):
            return bool(self.gateways - {route.device})
        if self.container and route.device == "tap0":
            return False
        return route.device in self.tunnels or _TUNNEL.match(route.device) is not None

    def is_bridged(self, route: Route | None, resolver: str | None) -> bool:
        """Whether packets first cross a container's bridge: told by Docker's own resolver, or by the gateway."""
        if not self.container:
            return False
        if (resolver or "").startswith(_DOCKER_RESOLVER):
            return True
        gateway = ipaddress.ip_address(route.gateway) if route and route.gateway else None
        return gateway is not None and any(gateway in net for net in _BRIDGES if net.version == gateway.version)
