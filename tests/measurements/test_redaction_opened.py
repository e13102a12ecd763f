"""Redaction that can be proven: each mark opens with the salt and the value, and says the same of the same thing."""

from __future__ import annotations

import msgspec
import pytest

from measurements.commitments import (
    Removal,
    commitment,
    commitments_in,
    host_mark,
    mark,
    opens,
    removals,
    salt_of,
)
from measurements.model import DnsLookup, Hop, HttpExchange, Measurement, TcpConnect, TlsHandshake, Vantage, encode
from measurements.redact import MOST_LISTED, redact
from tests.measurements.encodings import of_ipv4, of_ipv6
from tests.measurements.test_redact import (
    IPV4,
    IPV6,
    OWN,
    PLACES,
    body_of,
    leaves,
    lookup,
    measurement,
    page,
    reply,
    shaken,
)

SALT, ELSEWHERE = salt_of(bytes(32), "0" * 32), salt_of(bytes(32), "1" * 32)


def committed(kind: str, value: str | bytes) -> str:
    return commitment(SALT, kind, value)


@pytest.mark.parametrize("own", [IPV4, IPV6])
def test_every_disguise_of_an_address_has_the_commitment_to_the_address(own: str) -> None:
    encodings = of_ipv4(own) if own == IPV4 else of_ipv6(own)
    for name, planted in encodings.items():
        for place in ("body", "title", "redirect", "control", "certificate"):
            after = redact(PLACES[place](planted), [own], SALT)
            found = set(commitments_in(b"\n".join(leaves(msgspec.structs.replace(after, redacted=())))))
            if place == "certificate":
                assert {r.kind for r in removals(after.redacted)} == {"certificate"}
                continue
            assert found == {committed("address", own)}, (name, place)
            assert {(r.kind, r.commitment) for r in removals(after.redacted)} == {
                ("address", committed("address", own))
            }


def test_an_unknown_address_opens_too() -> None:
    after = redact(measurement(page(title="You: 41.220.17.33 or 33-17-220-41.pool.example.net")), (), SALT)
    assert body_of(after).title == (
        f"You: {mark('address', committed('address', '41.220.17.33'))} "
        f"or {mark('address', committed('address', '33.17.220.41'))}.pool.example.net"
    )


def test_of_another_machine_at_home_only_its_network_is_committed_to() -> None:
    own = "2a02:8108:8a40:1234:aede:48ff:fe00:1122"
    after = redact(measurement(page(title=f"{own} beside 2a02:8108:8a40:1234::5")), [own], SALT)
    told = [r.commitment for r in removals(after.redacted)]
    assert sorted(map(str, told)) == sorted(
        (committed("address", own), committed("address", "2a02:8108:8a40:1234::/64"))
    )


def test_rules_can_tell_two_addresses_apart_and_one_again() -> None:
    steps = (lookup(reply(IPV4)), TcpConnect(id=3, address=IPV4, port=443), TcpConnect(id=4, address=IPV6, port=443))
    asked, first, second = redact(measurement(*steps), OWN, SALT).observations
    assert isinstance(asked, DnsLookup)
    assert isinstance(first, TcpConnect)
    assert isinstance(second, TcpConnect)
    assert asked.replies[0].answers[0].data == first.address == host_mark(committed("address", IPV4))
    assert second.address == host_mark(committed("address", IPV6)) != first.address


def test_two_measurements_do_not_show_that_they_are_of_one_volunteer() -> None:
    whole = measurement(page(title=IPV4))
    one, other = redact(whole, OWN, SALT), redact(whole, OWN, ELSEWHERE)
    assert not {r.commitment for r in removals(one.redacted)} & {r.commitment for r in removals(other.redacted)}


def test_cookies_certificates_and_routers_open() -> None:
    cookie, client, der = "id=42; Path=/; Secure", "203.0.113.9, 10.1.2.3", b"0\x82\x01" + IPV4.encode()
    steps = (
        page(headers=(("Set-Cookie", cookie), ("X-Forwarded-For", client), ("Cookie", "a=1"))),
        shaken(chain=(der, b"other")),
        Hop(id=4, address="192.0.2.1", port=443, probe="syn", ttl=1, answer="expired", router="192.168.1.1"),
    )
    after = redact(measurement(*steps, vantage=Vantage(probe_id="p", resolver="192.168.1.254:53")), OWN, SALT)
    assert set(removals(after.redacted)) == {
        Removal("1.headers", "cookie", committed("cookie", cookie)),
        Removal("1.headers", "cookie", committed("cookie", "a=1")),
        Removal("1.headers", "client", committed("client", client)),
        Removal("3.chain", "certificate", committed("certificate", der)),
        Removal("4.router", "router"),
        Removal("resolver", "router"),
        Removal("vantage", "router"),
        Removal("private-1", "router", committed("router", "192.168.1.254")),
        Removal("private-2", "router", committed("router", "192.168.1.1")),
    }
    first, second, hop = after.observations
    assert isinstance(first, HttpExchange)
    assert isinstance(second, TlsHandshake)
    assert isinstance(hop, Hop)
    assert first.headers[0][1] == f"id={mark('cookie', committed('cookie', cookie))}; Secure"
    assert second.chain[0] == mark("certificate", committed("certificate", der)).encode()
    assert (after.vantage.resolver, hop.router) == ("private-1:53", "private-2")
    assert redact(after, OWN, SALT) is redact(after, OWN) is after


def test_a_mark_that_a_server_wrote_is_no_way_to_keep_a_value() -> None:
    tracked = mark("cookie", "ab" * 16)
    whole = measurement(page(headers=(("Set-Cookie", f"id={tracked}"), ("X-Client-IP", tracked))))
    after = redact(whole, OWN, SALT)
    assert b"ab" * 16 not in encode(after)
    assert redact(after, OWN, SALT) is after


def test_what_an_older_version_left_stays_as_it_is() -> None:
    headers = (("Set-Cookie", "id=[redacted:cookie]; Secure"), ("X-Client-IP", "[redacted:client]"))
    old = measurement(
        page(headers=headers, title="You: [redacted:address]", redirect="http://redacted.invalid/"),
        shaken(chain=(b"[redacted:certificate]",)),
        redacted=("1.headers: client", "1.title: address", "3.chain: address"),
    )
    assert redact(old, OWN, SALT) is old


def test_the_list_is_bounded() -> None:
    body = " ".join(f"41.{n // 200}.{n % 200}.33" for n in range(2 * MOST_LISTED)).encode()
    after = redact(measurement(page(body=body, body_length=len(body))), (), SALT)
    assert len(after.redacted) == MOST_LISTED + 1
    assert "1.body: address" in after.redacted
    assert len(set(commitments_in(body_of(after).body))) == 2 * MOST_LISTED
    assert redact(after, (), SALT) is after


def test_what_was_cut_off_half_is_listed_without_a_commitment() -> None:
    body = b"x" * 1_000 + b"You are 203.0.113"
    after = redact(measurement(page(body=body, body_length=2_000, truncated="sample")), OWN, SALT)
    assert list(removals(after.redacted)) == [Removal("1.body", "address")]


def test_the_salt_is_not_kept() -> None:
    after: Measurement = redact(measurement(page(title=IPV4)), OWN, SALT)
    written = encode(after)
    assert SALT not in written
    assert SALT.hex().encode() not in written
    (told,) = removals(after.redacted)
    assert opens(told.commitment or "", SALT, "address", IPV4)
    assert not opens(told.commitment or "", ELSEWHERE, "address", IPV4)
