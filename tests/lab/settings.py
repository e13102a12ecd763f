"""The settings files that a lab writes for the probe and for the control."""

from __future__ import annotations

from pathlib import Path

from tests.lab.notices import FINGERPRINTS
from tests.lab.pki import Pki
from tests.lab.sites import BOGONS, DOMESTIC, POPULAR, WITNESSES
from tests.lab.topology import CONTROL, ISP_RESOLVER, PUBLIC_RESOLVERS

CONTROL_PORT = 8080
_DOH = tuple(f"https://{address}/dns-query" for address in PUBLIC_RESOLVERS)


def config_name(*, control: bool) -> str:
    return "lab.toml" if control else "lab-without-control.toml"


def write(work: Path, pki: Pki) -> None:
    """Write `lab.toml`, the same without a control, and the control's own."""
    (work / "bogons.csv").write_text(BOGONS)
    (work / "fingerprints.csv").write_text(FINGERPRINTS)
    probe = _network(work, pki, f"{ISP_RESOLVER}:53") + _probe(work)
    (work / config_name(control=False)).write_text(probe)
    control = f'[control]\nurls = ["http://{CONTROL}:{CONTROL_PORT}"]\n'
    (work / config_name(control=True)).write_text(f"{probe}\n{control}")
    (work / "control.toml").write_text(_network(work, pki, f"{PUBLIC_RESOLVERS[0]}:53"))


def _network(work: Path, pki: Pki, resolver: str) -> str:
    return f"""[network]
resolver = "{resolver}"
trusted_resolvers = {_list(_DOH)}
witnesses = {_witnesses()}
ca_file = "{pki.ca}"
bogons = "{work}/bogons.csv"
fingerprints = ["shipped", "{work}/fingerprints.csv"]
dns_timeout = "2s"
tcp_timeout = "4s"
tls_timeout = "4s"
"""


def _probe(work: Path) -> str:
    targets = tuple(f"{'https' if site.https else 'http'}://{site.name}/" for site in POPULAR)
    return f"""
[vantage]
country = "ZZ"
asn = 64500
probe_id = "lab"

[store]
url = "sqlite:///{work}/wazi.db"

[[campaign]]
name = "lab"
targets = {_list(targets)}
nettest = "web"
every = "1m"
jitter = "5s"
"""


def _witnesses() -> str:
    foreign = _list(tuple(host.name for host in WITNESSES)).removesuffix("]")
    return f"{foreign}, " + ", ".join(f'{{ name = "{host.name}", domestic = true }}' for host in DOMESTIC) + "]"


def _list(items: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{item}"' for item in items) + "]"
