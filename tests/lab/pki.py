"""Certificates: a lab authority and an ISP's that everybody trusts, two that nobody does, and what they signed."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.lab.sites import BLOCKER, SITES, WITNESSES
from tests.lab.topology import PUBLIC_RESOLVERS

DEFAULT = "default.invalid"


@dataclass(frozen=True, slots=True)
class Pki:
    """Where the files lie: `<name>.pem` holds a chain and `<name>.key` its key."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def trusted_interceptor(self) -> Path:
        return self.folder / "trusted-interceptor.pem"

    @property
    def interceptor(self) -> Path:
        return self.folder / "interceptor.pem"

    def chain(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"


class Issuer:
    """Issues certificates into a folder."""

    def __init__(self, pki: Pki) -> None:
        self._pki = pki
        self.trusted = trustme.CA(organization_name="Lab Authority")
        self.stranger = trustme.CA(organization_name="Nobody In Particular")

    def issue(
        self, file: str, *names: str, by: trustme.CA | None = None, until: datetime.datetime | None = None
    ) -> None:
        """Write a certificate for `names`; `until` is in the past for an expired one."""
        since = until - datetime.timedelta(days=365) if until else None
        made = (by or self.trusted).issue_cert(*names, not_before=since, not_after=until)
        made.private_key_pem.write_to_path(str(self._pki.key(file)))
        self._pki.chain(file).write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))


def make(folder: Path) -> Pki:
    """Make every key and certificate of the lab."""
    folder.mkdir(parents=True, exist_ok=True)
    pki = Pki(folder)
    issuer = Issuer(pki)
    issuer.trusted.cert_pem.write_to_path(str(pki.ca))
    interceptor = trustme.CA(organization_name="National Interception Authority")
    trusted = trustme.CA(organization_name="Lab Telecom Secure Services")
    for authority, path in ((interceptor, pki.interceptor), (trusted, pki.trusted_interceptor)):
        authority.cert_pem.write_to_path(str(path))
        authority.private_key_pem.write_to_path(str(path.with_suffix(".key")))
    trusted.cert_pem.write_to_path(str(pki.ca), append=True)
    month_ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=30)
    for site in SITES:
        if site.https:
            expired = site.certificate == "expired"
            issuer.issue(site.name, site.name, f"*.{site.name}", until=month_ago if expired else None)
    for host in WITNESSES:
        issuer.issue(host.name, host.name, f"www.{host.name}")
    for address in PUBLIC_RESOLVERS:
        issuer.issue(address, address)
    issuer.issue(BLOCKER.name, BLOCKER.name, by=trusted)
    issuer.issue("many.example", "*.many.example")
    issuer.issue(DEFAULT, DEFAULT, by=issuer.stranger)
    return pki
