"""The servers: nginx for sites, witnesses and the block page; unbound for the ISP and for the world."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.lab.pki import DEFAULT, Pki
from tests.lab.scenario import BLOCK_PAGE as BLOCK_PAGE_HTML
from tests.lab.signed import Signed, sign
from tests.lab.sites import BLOCKER, BY_NAME, DOMESTIC, SITES, WITNESSES, Host, Site
from tests.lab.spaces import LabError, Process, Spaces
from tests.lab.topology import (
    BLOCK_PAGE,
    BLOCK_PAGE_TLS,
    CLIENT_NETS,
    ISP_RESOLVER,
    ISP_RESOLVER6,
    NAME_SERVER,
    PUBLIC_RESOLVERS,
)

ALERT_PORT = 8443  # where a site's own server refuses every handshake
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def page(title: str, size: int) -> str:
    """Return an HTML page of about `size` bytes, different for every title."""
    line = f"<p>This is what {title} has to say today, and it says it in its own words.</p>\n"
    return f"<html><head><title>{title}</title></head><body>\n{line * max(1, size // len(line))}</body></html>\n"


def nginx(spaces: Spaces, where: str, name: str, servers: Iterable[str]) -> Process:
    """Start nginx in a namespace with these server blocks."""
    work = spaces.work
    temporary = " ".join(f"{kind}_temp_path {work}/nginx-{name}/{kind};" for kind in _TEMPORARY)
    (work / f"nginx-{name}").mkdir()
    config = work / f"nginx-{name}.conf"
    config.write_text(
        f"""daemon off; user root; worker_processes 1; pid {work}/nginx-{name}.pid;
error_log {work}/nginx-{name}.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; default_type text/html; {temporary}
  server_names_hash_bucket_size 128; client_header_timeout 30s;
{"".join(servers)}
}}
"""
    )
    return spaces.spawn(where, ["nginx", "-e", f"{work}/nginx-{name}.log", "-c", str(config)], log=f"nginx-{name}.out")


def site_block(site: Site, pki: Pki, work: Path) -> str:
    """Return the server blocks of one site, on its own addresses."""
    if site.by_hand or not site.alive:
        return ""
    alive = [f"[{address}]" if ":" in address else address for address in site.alive]
    names = f"server_name {site.name} {'*' if site.wildcard else 'www'}.{site.name};"
    plain = " ".join(f"listen {address}:80;" for address in alive)
    blocks = f"server {{ {plain} {names} {content(site, site.http_home, work)} }}\n"
    if site.https:
        secure = " ".join(f"listen {address}:443 ssl{' http2' if site.http2 else ''};" for address in alive)
        keys = f"ssl_certificate {pki.chain(site.name)}; ssl_certificate_key {pki.key(site.name)};"
        keys += f" ssl_protocols {site.tls};"
        if site.http3 in ("announced", "claimed"):
            keys += """ add_header Alt-Svc 'h3=":443"; ma=86400';"""
        if site.members_only:
            keys += f" ssl_client_certificate {pki.ca}; ssl_verify_client on;"
        blocks += f"server {{ {secure} {names} {keys} {content(site, site.home, work)} }}\n"
        refusing = " ".join(f"listen {address}:{ALERT_PORT} ssl;" for address in alive)
        blocks += f"server {{ {refusing} ssl_reject_handshake on; server_name {site.name}; }}\n"
    return blocks


def content(site: Site, elsewhere: str | None, work: Path) -> str:
    """Return what one server block says."""
    if elsewhere:
        return f"location / {{ return 301 {elsewhere}; }}"
    if site.refuses:
        return f"location / {{ return {site.refuses} '{page(site.name, 0)}'; }}"
    folder = work / "www" / site.name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(page(site.name, site.page_bytes))
    return f"root {folder};"


def witness_blocks(hosts: Iterable[Host], pki: Pki, work: Path) -> str:
    """Return blocks for the witnesses: their own names, and a default for any other."""
    blocks = ""
    for host in hosts:
        for address in (host.address, f"[{host.address6}]"):
            listen = f"listen {address}:80; listen {address}:443 ssl http2;"
            strange = f"ssl_certificate {pki.chain(DEFAULT)}; ssl_certificate_key {pki.key(DEFAULT)};"
            blocks += f"server {{ {listen} server_name _; {strange} return 404 '<h1>Nothing here</h1>\\n'; }}\n"
            own = f"ssl_certificate {pki.chain(host.name)}; ssl_certificate_key {pki.key(host.name)};"
            names = f"server_name {host.name} www.{host.name};"
            folder = work / "www" / host.name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "index.html").write_text(page(host.name, 2000))
            blocks += f"server {{ {listen} {names} {own} root {folder}; }}\n"
    return blocks


Zone = tuple[str, list[str]]
"""How unbound answers for a name and what is below it (`static`, or `redirect` for all alike), and its records."""


def zones(resolver: int) -> dict[str, Zone]:
    """Return every name that exists, as resolver number `resolver` sees it."""
    found = {}
    for site in SITES:
        if site.signed or site.withheld:
            continue
        own = [*records(site.name, (*site.addresses_at(resolver), site.address6)), *site.records]
        own += [f"{site.name}. 60 IN HTTPS {site.https_record}"] if site.https_record else []
        if site.wildcard:
            own = [record for record in own if record.startswith(f"{site.name}.")]
        found[site.name] = ("redirect" if site.wildcard else "static", own)
    for host in (*WITNESSES, *DOMESTIC):
        found[host.name] = ("static", records(host.name, (host.address, host.address6)))
    found[BLOCKER.name] = ("static", records(BLOCKER.name, BLOCKER.addresses))
    arpa = "ipv4only.arpa"  # RFC 7050
    found[arpa] = ("static", [f"{arpa}. 60 IN A 192.0.0.{last}" for last in (170, 171)])
    return found


def records(name: str, addresses: Iterable[str | None]) -> list[str]:
    """Return the records of a name and of its www."""
    kinds = [("AAAA" if ":" in address else "A", address) for address in addresses if address]
    return [f"{owner}. 60 IN {kind} {address}" for kind, address in kinds for owner in (name, f"www.{name}")]


def signed_zones() -> dict[str, Signed]:
    """Sign the zones of the names that are."""
    return {
        site.name: sign(site.name, records(site.name, site.alive), lapsed=site.signed == "lapsed")
        for site in SITES
        if site.signed
    }


def name_server(spaces: Spaces, signed: Mapping[str, Signed]) -> Process:
    """Start the name server of the signed zones, and of those that it keeps from the country."""
    work = spaces.work
    blocks = ""
    for name, zone in signed.items():
        (work / f"{name}.zone").write_text(zone.text)
        blocks += f'auth-zone:\n  name: "{name}."\n  zonefile: {work}/{name}.zone\n  for-upstream: no\n'
    given, withheld = "", ""
    for site in SITES:
        if site.withheld:
            own = f"{site.name}. 60 IN SOA ns.{site.name}. hostmaster.{site.name}. 1 3600 600 86400 60"
            server = (own, f"{site.name}. 60 IN NS ns.{site.name}.", f"ns.{site.name}. 60 IN A {NAME_SERVER}")
            withheld += local_zone(site.name, "static", server)
            given += local_zone(site.name, "static", (*server, *records(site.name, site.alive)))
    ours = "".join(f"  access-control-view: {net} here\n" for net in (f"{ISP_RESOLVER}/32", *CLIENT_NETS))
    config = work / "unbound-signed.conf"
    config.write_text(
        f"""server:
  interface: {NAME_SERVER}@53
  chroot: ""
  username: ""
  directory: {work}
  pidfile: {work}/unbound-signed.pid
  use-syslog: no
  do-daemonize: no
  num-threads: 1
  access-control: 0.0.0.0/0 allow
{ours}{given}view:
  name: "here"
{withheld}{blocks}"""
    )
    return spaces.spawn("srv", ["unbound", "-d", "-c", str(config)], log="unbound-signed.out")


def local_zone(name: str, kind: str, records: Iterable[str]) -> str:
    """Return unbound's lines about a zone."""
    return f'  local-zone: "{name}." {kind}\n' + "".join(f'  local-data: "{record}"\n' for record in records)


class Resolver:
    """An unbound with static zones, to which records can be added while it runs."""

    def __init__(
        self,
        spaces: Spaces,
        where: str,
        number: int,
        address: str,
        *also: str,
        signed: Mapping[str, Signed],
        pki: Pki | None = None,
    ) -> None:
        self._spaces, self._where, self._number = spaces, where, number
        self._config = spaces.work / f"unbound-{number}.conf"
        self._zones = zones(number)
        self._config.write_text(self._text((address, *also), signed, pki))
        self.process = spaces.spawn(where, ["unbound", "-d", "-c", str(self._config)], log=f"unbound-{number}.out")

    def _text(self, addresses: tuple[str, ...], signed: Mapping[str, Signed], pki: Pki | None) -> str:
        address, secure = addresses[0], "".join(f"  interface: {other}@53\n" for other in addresses)
        if pki:
            secure += f"""  interface: {address}@853
  interface: {address}@443
  tls-port: 853
  https-port: 443
  tls-service-pem: {pki.chain(address)}
  tls-service-key: {pki.key(address)}
"""
        known = ['  local-zone: "." static\n']
        for name, (kind, data) in self._zones.items():
            known.append(local_zone(name, kind, data))
        stubs = ""
        for name, zone in signed.items():
            missed = not pki and BY_NAME[name].signed == "rollover"
            known.append(f'  trust-anchor: "{zone.old_anchor if missed else zone.anchor}"\n')
        for name in (*signed, *(site.name for site in SITES if site.withheld)):
            known.append(f'  local-zone: "{name}." transparent\n')
            stubs += f'stub-zone:\n  name: "{name}."\n  stub-addr: {NAME_SERVER}\n'
        return f"""server:
{secure}  chroot: ""
  username: ""
  directory: {self._spaces.work}
  pidfile: {self._spaces.work}/unbound-{self._number}.pid
  use-syslog: no
  verbosity: 1
  do-daemonize: no
  num-threads: 1
  outgoing-range: 64
  num-queries-per-thread: 32
  rrset-roundrobin: no
  module-config: "validator iterator"
  ede: yes
  access-control: 0.0.0.0/0 allow
  access-control: ::/0 allow
{"".join(known)}{stubs}remote-control:
  control-enable: yes
  control-use-cert: no
  control-interface: {self._spaces.work}/unbound-{self._number}.sock
"""

    def control(self, *command: str, text: str | None = None) -> None:
        """Change the running server; raise a `LabError` when it refuses."""
        argv = ["unbound-control", "-c", str(self._config), *command]
        said = self._spaces.check(self._where, argv, text=text)
        if "ok" not in said and "added" not in said and "removed" not in said:
            raise LabError(f"{' '.join(argv)}: {said}")

    def add(self, records: Iterable[str]) -> None:
        """Add many records at once, such as "name. 60 IN A address"."""
        self.control("local_datas", text="\n".join(records) + "\n")


class Servers:
    """Everything that serves, and the processes it takes."""

    def __init__(self, spaces: Spaces, pki: Pki) -> None:
        self.spaces = spaces
        work = spaces.work
        self.processes = [
            spaces.spawn(
                "srv", [sys.executable, "-m", "tests.lab.origin", str(pki.folder)], log="origin.log", ready="ready"
            ),
            nginx(spaces, "srv", "sites", [site_block(site, pki, work) for site in SITES]),
            nginx(spaces, "wit", "witnesses", [witness_blocks(WITNESSES, pki, work)]),
            nginx(spaces, "ispsrv", "blockpage", [block_page(pki, work), witness_blocks(DOMESTIC, pki, work)]),
            spaces.spawn("ispsrv", [sys.executable, "-m", "tests.lab.passing"], log="passing.log", ready="ready"),
            *(
                spaces.spawn(
                    where, [sys.executable, "-m", "tests.lab.h3", str(pki.folder), where], log=f"h3-{where}.log"
                )
                for where in ("srv", "wit")
            ),
        ]
        signed = signed_zones()
        self.processes.append(name_server(spaces, signed))
        self.isp = Resolver(spaces, "ispsrv", 0, ISP_RESOLVER, ISP_RESOLVER6, signed=signed)
        self.public = [
            Resolver(spaces, "pub", 1 + n, address, signed=signed, pki=pki)
            for n, address in enumerate(PUBLIC_RESOLVERS)
        ]
        self._wait()

    def _wait(self) -> None:
        doors = [("srv", "203.0.113.10", 443), ("wit", WITNESSES[0].address, 443), ("ispsrv", BLOCK_PAGE, 80)]
        doors += [
            ("ispsrv", ISP_RESOLVER, 53),
            ("srv", NAME_SERVER, 53),
            *(("pub", address, 443) for address in PUBLIC_RESOLVERS),
        ]
        for where, address, port in doors:
            wait_for(self.spaces, where, address, port)

    @property
    def resolvers(self) -> list[Resolver]:
        return [self.isp, *self.public]

    def stop(self) -> None:
        for process in self.processes + [resolver.process for resolver in self.resolvers]:
            process.stop()


def block_page(pki: Pki, work: Path) -> str:
    """Return the ISP's block page: in clear on one address; on another over TLS too, under a name of its own."""
    folder = work / "www" / "blockpage"
    folder.mkdir(parents=True)
    (folder / "index.html").write_text(BLOCK_PAGE_HTML)
    shown = f"root {folder}; error_page 404 =200 /index.html;"
    blocks = f"server {{ listen {BLOCK_PAGE}:80; listen {BLOCK_PAGE_TLS}:80; {shown} }}\n"
    for name, certificate in (("_", DEFAULT), (BLOCKER.name, BLOCKER.name)):
        keys = f"ssl_certificate {pki.chain(certificate)}; ssl_certificate_key {pki.key(certificate)};"
        blocks += f"server {{ listen {BLOCK_PAGE_TLS}:443 ssl; server_name {name}; {keys} {shown} }}\n"
    return blocks


def wait_for(spaces: Spaces, where: str, address: str, port: int, *, patience: float = 10) -> None:
    """Wait until something listens; raise a `LabError` when it does not."""
    script = (
        "import socket,sys,time\n"
        "end = time.monotonic() + float(sys.argv[3])\n"
        "while True:\n"
        "    try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).close(); break\n"
        "    except OSError:\n"
        "        if time.monotonic() > end: raise\n"
        "        time.sleep(.02)\n"
    )
    argv = [sys.executable, "-S", "-c", script, address, str(port), str(patience)]
    done = spaces.run(where, argv, timeout=patience + 5)
    if done.returncode:
        raise LabError(f"nothing listens on {address}:{port} in {where}: see {spaces.work}")
