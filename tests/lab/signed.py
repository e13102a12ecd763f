"""Signed zones, for resolvers that validate: one in order, and one whose signatures have lapsed.

The zones are served by an unbound of their own; what a resolver trusts is a DNSKEY of each, and one that
missed a change of keys trusts a key that signs no longer.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

import dns.dnssec
import dns.name
import dns.rdatatype
import dns.rrset
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec
from dns.dnssectypes import Algorithm
from dns.rdtypes.ANY.DNSKEY import DNSKEY

_TTL = 60


@dataclass(frozen=True, slots=True)
class Signed:
    """A zone's file, the anchor that fits it, and one that did before the keys changed."""

    text: str
    anchor: str
    old_anchor: str


def sign(name: str, records: Iterable[str], *, lapsed: bool) -> Signed:
    """Sign a zone with these records; `lapsed` signatures were good until yesterday."""
    origin = dns.name.from_text(name)
    text = f"$ORIGIN {name}.\n$TTL {_TTL}\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 203.0.113.85\n"
    zone = dns.zone.from_text(text + "\n".join(records) + "\n", origin=origin, relativize=False)
    private, public = _key()
    now = datetime.datetime.now(datetime.UTC)
    ends = now + datetime.timedelta(days=-1 if lapsed else 30)
    dns.dnssec.sign_zone(
        zone,
        keys=[(private, public)],
        inception=now - datetime.timedelta(days=30),
        expiration=ends,
        dnskey_ttl=_TTL,
    )
    return Signed(zone.to_text(relativize=False), _anchor(name, public), _anchor(name, _key()[1]))


def _key() -> tuple[ec.EllipticCurvePrivateKey, DNSKEY]:
    private = ec.generate_private_key(ec.SECP256R1())
    return private, dns.dnssec.make_dnskey(private.public_key(), Algorithm.ECDSAP256SHA256, flags=257)


def _anchor(name: str, key: DNSKEY) -> str:
    return f"{name}. DNSKEY {key.to_text()}"
