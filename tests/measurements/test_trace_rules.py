"""What a trace's steps prove, and what they do not, on walks that are drawn distance by distance."""

from __future__ import annotations

from typing import Any

import pytest

from measurements.case import Case
from measurements.model import (
    AnyObservation,
    DnsAnswer,
    DnsLookup,
    DnsReply,
    Failure,
    Finding,
    Hop,
    HttpExchange,
    IcmpError,
    Measurement,
    Purpose,
    TcpConnect,
    TlsHandshake,
    Vantage,
    View,
)
from measurements.rules.trace import Spot, located, passable
from measurements.targets import normalise
from tests.measurements.scenes import HOST, RESET, SITE, TIMEOUT, lookup
from tests.scripted import BOGONS

RESOLVER = "198.51.100.2:53"
MINE, OTHERS = Purpose.TRACE_TARGET, Purpose.TRACE_HARMLESS


class Steps:
    """A measurement's steps, each with the next id."""

    def __init__(self) -> None:
        self.all: list[AnyObservation] = []

    def add(self, kind: type[AnyObservation], **facts: Any) -> int:
        self.all.append(kind(id=len(self.all) + 1, **facts))
        return len(self.all)

    def questions(self, purpose: Purpose, drawn: str, times: int = 2, lie: str = "10.1.2.3", **facts: Any) -> None:
        """Ask `times` at each distance: `e` ends at a router, `d` is answered, `.` is silent, `u` is refused."""
        for ttl, letter in enumerate(drawn, 1):
            record = DnsAnswer(name=HOST, rtype="A", data=lie, ttl=60)
            reply = DnsReply(arrival=0.0, source="r", rcode="NOERROR", answers=(record,))
            kind = {"e": (11, 0, "EHOSTUNREACH"), "6": (3, 0, "EHOSTUNREACH"), "u": (3, 1, "EHOSTUNREACH")}.get(letter)
            number, code, error = kind or (0, 0, "")
            told = IcmpError(arrival=0.0, source=f"198.51.100.{ttl}", type=number, code=code, error=error)
            for _ in range(times):
                self.add(
                    DnsLookup,
                    **{"view": View.FOLLOW_UP, "purpose": purpose, "ip_ttl": ttl, "resolver": RESOLVER} | facts,
                    protocol="udp",
                    name=HOST,
                    rtype="A",
                    replies=(reply,) if letter == "d" else (),
                    icmp=(told,) if kind else (),
                    failure=None if letter == "d" else Failure.HOST_UNREACHABLE if kind else TIMEOUT,
                )

    def judged(self, url: str = f"https://{HOST}/", nettest: str = "trace", rule: Any = located) -> Finding | None:
        fact = Measurement(
            id="0" * 32,
            sequence=1,
            nettest=nettest,
            target=normalise(url),
            vantage=Vantage(probe_id="p"),
            started=0.0,
            observations=tuple(self.all),
        )
        found: Finding | None = rule(Case(fact, BOGONS))
        return found


def misled(*trusted: str) -> Steps:
    """A lookup of ours that was told a lie, and the true address, which shows its certificate."""
    steps = Steps()
    lookup(steps.all, View.LOCAL, "10.1.2.3")
    lookup(steps.all, View.TRUSTED, *(trusted or (SITE,)))
    tcp = steps.add(TcpConnect, cause=2, view=View.TRUSTED, address=SITE, port=443)
    steps.add(TlsHandshake, cause=tcp, view=View.TRUSTED, address=SITE, port=443, name=HOST)
    return steps


@pytest.mark.parametrize(
    ("mine", "others", "found"),
    [
        ("eddd", "eeed", ("dns.injected", "network", 2)),
        ("dddd", "eeed", ("dns.injected", "local", 1)),
        ("6ddd", "666d", ("dns.injected", "network", 2)),
        ("e...", "eeed", ("dns.timeout", "network", 2)),
        ("....", "eeed", ("dns.timeout", "local", 1)),
        ("e...", "e.ed", ("dns.timeout", "network", 3)),
    ],
)
def test_questions_that_end_early_are_placed(mine: str, others: str, found: tuple[str, str, int]) -> None:
    steps = misled()
    steps.questions(MINE, mine)
    steps.questions(OTHERS, others)
    finding = steps.judged()
    assert finding is not None
    assert (finding.mechanism, finding.where) == found[:2]
    assert f"at hop {found[2]} of 4" in finding.summary


@pytest.mark.parametrize(
    ("mine", "others", "why"),
    [
        ("eeed", "eeed", "both are answered by the resolver"),
        ("eddd", "eddd", "both are answered early"),
        ("eddd", "e.ed", "nobody is known to stand there"),
        ("eddd", "eued", "an error that is no router's"),
        ("eee.", "eeed", "only the resolver itself is silent"),
        ("e...", "e...", "both are swallowed"),
        ("e...", "e..d", "nobody is known to stand there"),
        ("e.ed", "eeed", "what was silent was passed"),
        ("e..", "eeed", "nothing was sent as far as the resolver"),
        ("e..d", "eeed", "it was answered after all"),
        ("e...", "eeee", "the resolver was never reached"),
        ("", "eeed", "nothing was asked"),
    ],
)
def test_questions_that_prove_nothing(mine: str, others: str, why: str) -> None:
    steps = misled()
    steps.questions(MINE, mine)
    steps.questions(OTHERS, others)
    assert steps.judged() is None, why


def test_an_early_answer_must_be_untrue_and_come_twice() -> None:
    for facts, trusted in (({"lie": SITE}, SITE), ({"times": 1}, SITE), ({"lie": "203.0.113.99"}, "203.0.113.99")):
        steps = misled(trusted)
        steps.questions(MINE, "eddd", **facts)
        steps.questions(OTHERS, "eeed")
        assert steps.judged() is None


def test_each_resolver_is_looked_at_by_itself() -> None:
    steps = misled()
    steps.questions(MINE, "eeed")
    steps.questions(OTHERS, "eeed")
    steps.questions(MINE, "eddd", resolver="192.0.2.53:53")
    steps.questions(OTHERS, "eeed", resolver="192.0.2.53:53")
    finding = steps.judged()
    assert finding is not None
    assert "the resolver 192.0.2.53:53" in finding.summary


def test_a_dead_site_accuses_nobody() -> None:
    steps = Steps()
    lookup(steps.all, View.LOCAL, "10.1.2.3")
    steps.questions(MINE, "eddd")
    steps.questions(OTHERS, "eeed")
    assert steps.judged() is None


def test_only_a_trace_is_judged_so() -> None:
    steps = misled()
    steps.questions(MINE, "eddd")
    steps.questions(OTHERS, "eeed")
    assert steps.judged(nettest="web") is None
    assert steps.judged() is not None


# -- packets


def cut(failure: Failure | None, *, page: Failure | None = None, encrypted: bool = True) -> Steps:
    """A connection that stands and a handshake or page that fails; the true address is known, and alive."""
    steps = Steps()
    lookup(steps.all, View.LOCAL, SITE)
    lookup(steps.all, View.TRUSTED, SITE)
    port = 443 if encrypted else 80
    tcp = steps.add(TcpConnect, cause=1, address=SITE, port=port)
    if encrypted:
        tcp = steps.add(TlsHandshake, cause=tcp, address=SITE, port=port, name=HOST, failure=failure)
    if page is not None or (not encrypted and failure is not None):
        steps.add(HttpExchange, cause=tcp, url=f"http://{HOST}/", address=SITE, port=port, failure=page or failure)
    beside: dict[str, Any] = {"view": View.FOLLOW_UP, "purpose": Purpose.HARMLESS_AT_TARGET, "address": SITE}
    other = steps.add(TcpConnect, **beside, port=port)
    if encrypted:
        steps.add(TlsHandshake, **beside, cause=other, port=port, name="w", failure=Failure.SSL_INVALID_HOSTNAME)
    else:
        steps.add(HttpExchange, **beside, cause=other, port=port, url="http://w/", status=404)
    return steps


WORDS = {"e": "expired", "r": "reset", ".": "silence", "d": "data", "o": "open"}


def walk(steps: Steps, purpose: Purpose, drawn: str, *, times: int = 1, name: str | None = None, **facts: Any) -> None:
    for ttl, letter in enumerate(drawn, 1):
        for _ in range(times):
            steps.add(
                Hop,
                **{"view": View.FOLLOW_UP, "purpose": purpose, "address": SITE, "port": 443} | facts,
                probe="hello" if name else "syn",
                name=name,
                ttl=ttl,
                answer=WORDS[letter],
                router=f"198.51.100.{ttl}" if letter == "e" and not name else None,
            )


def walked(steps: Steps, mine: str, others: str = "eeed", path: str = "eeeo") -> Steps:
    walk(steps, Purpose.TRACE_PATH, path)
    walk(steps, Purpose.TRACE_WITNESS, "eeeo", address="192.0.2.1")
    walk(steps, OTHERS, others, name="w")
    walk(steps, MINE, mine, times=2, name=HOST)
    walk(steps, OTHERS, others, name="w")
    return steps


def again(steps: Steps, drawn: str, purpose: Purpose = OTHERS) -> Steps:
    """Send more packets, later."""
    walk(steps, purpose, drawn, name="w")
    return steps


def test_what_fails_names_the_mechanism() -> None:
    for failure, mine, encrypted, mechanism in (
        (RESET, "eer", True, "tls.reset"),
        (TIMEOUT, "ee..", True, "tls.timeout"),
        (Failure.EOF, "eer", True, "tls.eof"),
        (Failure.SSL_FAILED_HANDSHAKE, "eed", True, "tls.alert"),
        (RESET, "eer", False, "http.reset"),
        (TIMEOUT, "ee..", False, "http.timeout"),
    ):
        url = f"{'https' if encrypted else 'http'}://{HOST}/"
        finding = walked(cut(failure, encrypted=encrypted), mine).judged(url)
        assert finding is not None, mechanism
        assert (finding.mechanism, finding.where) == (mechanism, "network")
        assert "between 198.51.100.2 and 198.51.100.3" in finding.summary


def test_a_silence_counts_where_others_are_answered_before_and_after() -> None:
    steps = cut(TIMEOUT)
    walk(steps, Purpose.TRACE_PATH, "eeeo")
    walk(steps, Purpose.TRACE_WITNESS, "eeeo", address="192.0.2.1")
    again(steps, "eeed")
    walk(steps, MINE, "ee..", times=2, name=HOST)
    assert steps.judged() is None, "a router may have tired of answering"
    assert again(steps, "eee").judged() is not None


def test_a_way_with_branches_of_two_lengths_places_nothing() -> None:
    assert again(walked(cut(RESET), "eer"), "eed").judged() is None
    assert again(walked(cut(RESET), "eer"), "eer").judged() is None
    assert again(walked(cut(RESET), "eer"), "ee.").judged() is not None, "what followed the name may be barred"


def test_what_cannot_be_sent_again_is_not_placed() -> None:
    assert walked(cut(None, page=RESET), "eer").judged() is None, "a request under TLS"
    assert walked(cut(Failure.SSL_UNKNOWN_AUTHORITY), "eed").judged() is None, "a forged certificate"
    assert walked(cut(None), "eer").judged() is None, "a page that was never asked for"
    assert cut(RESET).judged() is None, "nothing was walked"


def test_a_connection_that_could_not_be_opened_says_nothing_of_its_packet() -> None:
    steps = walked(cut(RESET), "eer")
    for ttl in (3, 3):
        steps.add(
            Hop,
            view=View.FOLLOW_UP,
            purpose=Purpose.TARGET_AT_WITNESS,
            address="192.0.2.1",
            port=443,
            probe="hello",
            name=HOST,
            ttl=ttl,
            answer="reset",
            failure=TIMEOUT,
        )
    walk(steps, Purpose.HARMLESS_AT_WITNESS, "eee", name="w", address="192.0.2.1")
    finding = steps.judged()
    assert finding is not None
    assert finding.trigger == "unknown"


def test_an_open_site_may_be_partly_so() -> None:
    steps = Steps()
    lookup(steps.all, View.LOCAL, SITE, "203.0.113.11")
    tcp = steps.add(TcpConnect, cause=1, address=SITE, port=443)
    tls = steps.add(TlsHandshake, cause=tcp, address=SITE, port=443, name=HOST)
    steps.add(HttpExchange, cause=tls, url=f"https://{HOST}/", address=SITE, port=443, status=200)
    steps.add(TcpConnect, cause=1, address="203.0.113.11", port=443, failure=TIMEOUT)
    finding = steps.judged(rule=passable)
    assert finding is not None
    assert (finding.outcome, finding.pattern) == ("accessible", "partial")
    assert "hops" not in finding.summary
    assert steps.judged(rule=passable, nettest="web") is None


@pytest.mark.parametrize("facts", [{"status": 403}, {"status": 302, "redirect": "ftp://nowhere.example/"}])
def test_a_site_that_refuses_is_not_called_open(facts: dict[str, Any]) -> None:
    steps = Steps()
    lookup(steps.all, View.LOCAL, SITE)
    tcp = steps.add(TcpConnect, cause=1, address=SITE, port=443)
    tls = steps.add(TlsHandshake, cause=tcp, address=SITE, port=443, name=HOST)
    steps.add(HttpExchange, cause=tls, url=f"https://{HOST}/", address=SITE, port=443, **facts)
    assert steps.judged(rule=passable) is None


@pytest.mark.parametrize(
    ("spot", "words"),
    [
        (Spot(3, "a", "b", 6), "at hop 3 of 6, between a and b"),
        (Spot(3, "a", None, None), "at hop 3, behind a"),
        (Spot(3, None, "b", 6), "at hop 3 of 6, before or at b"),
        (Spot(3, None, None, None), "at hop 3"),
        (Spot(1, None, "b", 6), "at hop 1 of 6, the first router, your own network's"),
    ],
)
def test_a_place_is_told_by_the_routers_that_are_known(spot: Spot, words: str) -> None:
    assert str(spot) == words
