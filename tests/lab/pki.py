"""Certificates: a lab authority and an ISP's that everybody trusts, two that nobody does, and what they signed."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.lab.sites import BLOCKER, DOMESTIC, SITES, WITNESSES, Site
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
        self.stranger = trustme.CA(organization_name="Default Certificate Of Popular Software")

    def issue(
        self,
        file: str,
        *names: str,
        by: trustme.CA | None = None,
        until: datetime.datetime | None = None,
        leaf_only: bool = False,
    ) -> None:
        """Write a certificate for `names`; `until` is in the past for an expired one."""
        since = until - datetime.timedelta(days=365) if until else None
        made = (by or self.trusted).issue_cert(*names, not_before=since, not_after=until)
        made.private_key_pem.write_to_path(str(self._pki.key(file)))
        chain = [blob.bytes() for blob in made.cert_chain_pems]
        self._pki.chain(file).write_bytes(b"".join(chain[:1] if leaf_only else chain))

    def issue_for(self, site: Site) -> None:
        """Write the certificate that a site has, good or bad."""
        names = (site.name, f"*.{site.name}")
        match site.certificate:
            case "good":
                self.issue(site.name, *names)
            case "expired":
                self.issue(site.name, *names, until=_now() - datetime.timedelta(days=30))
            case "self_signed":
                self._sign_itself(site.name)
            case "stranger":
                self.issue(site.name, *names, by=trustme.CA(organization_name=f"Authority of {site.name}"))
            case "default":
                self.issue(site.name, DEFAULT, by=self.stranger)
            case "other_name":
                self.issue(site.name, f"not-{site.name}")
            case "no_intermediate":
                self.issue(site.name, *names, by=self.trusted.create_child_ca(), leaf_only=True)
            case "long_chain":
                self.issue(site.name, *names, by=self._descendant(7))
            case "many_names":
                self.issue(site.name, *names, *(f"customer-{number:03}.{site.name}" for number in range(200)))

    def _descendant(self, generations: int) -> trustme.CA:
        authority = self.trusted
        for _ in range(generations):
            authority = authority.create_child_ca()
        return authority

    def _sign_itself(self, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_now() - datetime.timedelta(days=1))
            .not_valid_after(_now() + datetime.timedelta(days=365))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(key, hashes.SHA256())
        )
        plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self._pki.key(name).write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
        self._pki.chain(name).write_bytes(made.public_bytes(serialization.Encoding.PEM))


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


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
    for site in SITES:
        if site.https:
            issuer.issue_for(site)
    for host in (*WITNESSES, *DOMESTIC):
        issuer.issue(host.name, host.name, f"www.{host.name}")
    for address in PUBLIC_RESOLVERS:
        issuer.issue(address, address)
    issuer.issue(BLOCKER.name, BLOCKER.name, by=trusted)
    issuer.issue("many.example", "*.many.example")
    issuer.issue(DEFAULT, DEFAULT, by=issuer.stranger)
    return pki
