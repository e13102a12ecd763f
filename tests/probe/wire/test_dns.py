"""DNS messages, read as hostile things."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measurements.model import DnsAnswer, Failure
from probe.wire.dns import (
    MOST_ALIASES,
    MOST_ANSWERS,
    MOST_RECORDS,
    Query,
    chain,
    failure_of_reply,
    make_query,
    read_reply,
)
from probe.wire.failures import StepFailed

QUERY = make_query("www.site.example", "A")


def parsed(query: Query) -> dns.message.Message:
    return dns.message.from_wire(query.wire)


def response(*records: tuple[str, str, str], query: Query = QUERY) -> dns.message.Message:
    message = dns.message.make_response(parsed(query))
    for name, kind, data in records:
        message.answer.append(dns.rrset.from_text(name + ".", 60, "IN", kind, data))
    return message


def read(message: dns.message.Message, query: Query = QUERY) -> tuple[str | None, list[str]]:
    reply = read_reply(message.to_wire(), query, source="192.0.2.53:53", arrival=0.1)
    return reply.problem, [a.data for a in reply.answers]


@pytest.mark.parametrize("name", ["", "a..b", "x" * 64 + ".example", "münchen.example", ".".join(["a" * 60] * 5)])
def test_a_name_that_no_query_can_carry_is_refused_in_words(name: str) -> None:
    with pytest.raises(StepFailed) as failed:
        make_query(name, "A")
    assert failed.value.failure is Failure.INVALID_ARGUMENT
    assert "cannot be asked" in failed.value.detail


def test_queries_have_random_ids_and_ask_for_authentication() -> None:
    queries = [make_query("site.example", "A") for _ in range(20)]
    assert len({q.id for q in queries}) > 10
    messages = [parsed(query) for query in queries]
    assert [message.id for message in messages] == [q.id for q in queries]
    assert all(message.flags & dns.flags.AD and message.flags & dns.flags.RD for message in messages)
    assert messages[0].payload == 1232
    assert parsed(make_query("site.example", "A", checking_disabled=True)).flags & dns.flags.CD
    assert make_query("site.example", "A", message_id=0).wire[:2] == b"\0\0"


@given(st.lists(st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True), min_size=1, max_size=8), st.booleans())
def test_queries_are_the_bytes_that_dnspython_would_write(labels: list[str], checking_disabled: bool) -> None:
    name = ".".join(labels)
    for rtype in ("A", "AAAA", "HTTPS"):
        theirs = dns.message.make_query(name, rtype, use_edns=0, payload=1232, id=0x1234)
        theirs.flags |= dns.flags.AD | (dns.flags.CD if checking_disabled else 0)
        ours = make_query(name, rtype, message_id=0x1234, checking_disabled=checking_disabled)
        assert ours.wire == theirs.to_wire()


def test_aliases_are_followed_and_other_names_left_out() -> None:
    problem, data = read(
        response(
            ("www.site.example", "CNAME", "edge.cdn.example."),
            ("edge.cdn.example", "A", "192.0.2.1"),
            ("stranger.example", "A", "192.0.2.66"),
        )
    )
    assert (problem, data) == (None, ["edge.cdn.example", "192.0.2.1"])


def test_an_alias_without_an_address_is_no_answer() -> None:
    reply = read_reply(
        response(("www.site.example", "CNAME", "edge.example.")).to_wire(), QUERY, source="", arrival=0.0
    )
    assert failure_of_reply(reply, "A") is Failure.NO_DNS_ANSWER


def test_aliases_and_answers_are_bounded() -> None:
    loop = [DnsAnswer(name=f"n{i}", rtype="CNAME", data=f"n{(i + 1) % 60}", ttl=1) for i in range(60)]
    assert len(chain("n0", "A", loop)) == MOST_ALIASES
    assert chain("a", "A", [DnsAnswer(name="a", rtype="CNAME", data="a", ttl=1)])[0].data == "a"
    wide = [DnsAnswer(name="a", rtype="A", data=f"192.0.2.{i}", ttl=1) for i in range(200)]
    assert len(chain("a", "A", wide)) == MOST_ANSWERS


@pytest.mark.parametrize(
    ("rcode", "failure"),
    [
        ("NXDOMAIN", Failure.DNS_NXDOMAIN),
        ("REFUSED", Failure.DNS_REFUSED),
        ("SERVFAIL", Failure.DNS_SERVFAIL),
        ("NOTIMP", Failure.DNS_MISBEHAVING),
        ("NOERROR", Failure.NO_DNS_ANSWER),
    ],
)
def test_every_rcode_is_one_failure(rcode: str, failure: Failure) -> None:
    message = response()
    message.set_rcode(dns.rcode.from_text(rcode))
    reply = read_reply(message.to_wire(), QUERY, source="", arrival=0.0)
    assert (reply.problem, failure_of_reply(reply, "A")) == (None, failure)


def test_a_refusal_may_leave_out_the_question() -> None:
    message = response()
    message.question.clear()
    message.set_rcode(dns.rcode.REFUSED)
    assert read(message)[0] is None
    message.set_rcode(dns.rcode.NOERROR)
    assert read(message)[0] == "wrong_question"


def test_what_cannot_answer_has_a_problem() -> None:
    other = make_query("other.example", "A", message_id=QUERY.id)
    assert read(response(query=other))[0] == "wrong_question"
    assert read(response(query=make_query("www.site.example", "A", message_id=QUERY.id ^ 1)))[0] == "wrong_id"
    good = response(("www.site.example", "A", "192.0.2.1")).to_wire()
    for data in (b"", good[:11], good[:-3], QUERY.wire):
        assert read_reply(data, QUERY, source="", arrival=0.0).problem == "malformed"
    foreign = read_reply(good, QUERY, source="", arrival=0.0, foreign=True)
    assert foreign.problem == "foreign_source"
    assert foreign.answers[0].data == "192.0.2.1"


def test_a_message_that_claims_too_many_records_is_not_read() -> None:
    header = QUERY.wire[:2] + b"\x80\0" + b"\0\1" + (MOST_RECORDS + 1).to_bytes(2, "big") + b"\0\0\0\0"
    assert read_reply(header + bytes(4000), QUERY, source="", arrival=0.0).problem == "malformed"


def test_extended_errors_and_the_ad_bit_are_kept() -> None:
    message = response(("www.site.example", "A", "192.0.2.1"))
    message.flags |= dns.flags.AD
    message.use_edns(
        0, options=[dns.edns.EDEOption(dns.edns.EDECode(15), "by order"), dns.edns.EDEOption(dns.edns.EDECode(22))]
    )
    reply = read_reply(message.to_wire(), QUERY, source="", arrival=0.0)
    assert reply.authenticated
    assert reply.ede == ((15, "by order"), (22, ""))


def test_a_service_record_keeps_its_hints() -> None:
    query = make_query("site.example", "HTTPS")
    problem, data = read(response(("site.example", "HTTPS", "1 . alpn=h2 ipv4hint=192.0.2.7"), query=query), query)
    assert problem is None
    assert 'ipv4hint="192.0.2.7"' in data[0]


@given(st.binary(max_size=300))
def test_no_bytes_can_raise(data: bytes) -> None:
    read_reply(data, QUERY, source="", arrival=0.0)
    read_reply(QUERY.wire[:2] + b"\x80\0" + data, QUERY, source="", arrival=0.0)
