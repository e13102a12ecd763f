"""Hundreds of sites at once, some of them black-holed, for measuring the probe's speed."""

from __future__ import annotations

from tests.lab.lab import Lab
from tests.lab.scenario import AddressFilter, Delay, Expect, Scenario
from tests.lab.servers import nginx, page
from tests.lab.spaces import ip_batch

_ALIVE = [f"203.0.113.{number}" for number in range(100, 180)]
_DEAD = [f"203.0.113.{number}" for number in range(180, 250)]


def many_sites(lab: Lab, count: int, dead: float, *, rtt: float = 100) -> list[str]:
    """Make `count` HTTPS sites, name them in every resolver, black-hole a share of them, and delay all.

    Dead ones are spread evenly among the others. Returns their URLs. Call it once in a lab's life.
    """
    names = [f"site-{number:03}.many.example" for number in range(count)]
    doomed = {name for number, name in enumerate(names) if int((number + 1) * dead) > int(number * dead)}
    pools = {True: iter(_DEAD * count), False: iter(_ALIVE * count)}
    address = {name: next(pools[name in doomed]) for name in names}
    _serve(lab)
    for resolver in lab.servers.resolvers:
        resolver.add(f"{name}. 60 IN A {address[name]}" for name in names)
    filters = (AddressFilter(addresses=tuple(_DEAD), action="drop"), Delay(rtt=rtt))
    expect = Expect(outcome=("accessible", "blocked", "unreachable", "inconclusive"))
    lab.apply(Scenario(name="many", about="many sites", mechanisms=filters, expect=expect, seen=""), control=False)
    return [f"https://{name}/" for name in names]


def _serve(lab: Lab) -> None:
    ip_batch((f"addr add {address}/32 dev to-edge" for address in _ALIVE + _DEAD), namespace="srv")
    folder = lab.work / "www" / "many"
    folder.mkdir()
    (folder / "index.html").write_text(page("one of many", 4000))
    listen = " ".join(f"listen {address}:80; listen {address}:443 ssl http2;" for address in _ALIVE + _DEAD)
    keys = f"ssl_certificate {lab.pki.chain('many.example')}; ssl_certificate_key {lab.pki.key('many.example')};"
    block = f"server {{ {listen} server_name *.many.example; {keys} root {folder}; }}\n"
    lab.servers.processes.append(nginx(lab.spaces, "srv", "many", [block]))
