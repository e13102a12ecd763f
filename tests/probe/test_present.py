import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measurements.model import (
    AnyObservation,
    Capture,
    CapturedPacket,
    Confidence,
    ControlQuery,
    DnsAnswer,
    DnsLookup,
    DnsReply,
    Failure,
    Finding,
    Hop,
    HttpExchange,
    IcmpError,
    Measurement,
    Mechanism,
    Outcome,
    Pattern,
    Preconditions,
    Purpose,
    QuicHandshake,
    Target,
    TcpConnect,
    TlsHandshake,
    Transfer,
    Vantage,
    Verdict,
    View,
)
from measurements.printable import clean, clip, columns
from probe.present import HEIGHT, WIDTH, screen, short, timeline
from probe.wording import bit_rate, describe, size

URL = "https://site.example/"
ADDRESS = "198.51.100.7"


def lookup(number: int, address: str = ADDRESS, **changes: object) -> DnsLookup:
    answer = DnsAnswer(name="site.example", rtype="A", data=address, ttl=60)
    reply = DnsReply(arrival=0.1, source="10.0.0.53", rcode="NOERROR", answers=(answer,))
    made = DnsLookup(
        id=number, resolver="10.0.0.53:53", protocol="udp", name="site.example", rtype="A", replies=(reply,)
    )
    return msgspec.structs.replace(made, **changes)


RESET: tuple[AnyObservation, ...] = (
    lookup(1),
    lookup(2, view=View.TRUSTED, resolver="https://192.0.2.53/dns-query"),
    lookup(3, view=View.TRUSTED, resolver="https://192.0.2.54/dns-query"),
    TcpConnect(id=4, cause=1, started=0.1, address=ADDRESS, port=443),
    TlsHandshake(
        id=5, cause=4, started=0.2, address=ADDRESS, port=443, name="site.example", failure=Failure.CONNECTION_RESET
    ),
    ControlQuery(id=6, url=URL, resolved=(ADDRESS,)),
    HttpExchange(id=7, cause=6, view=View.CONTROL, url=URL, status=200, title="The Site", body_length=12_345),
    *(
        step
        for number in range(3)
        for step in (
            TcpConnect(
                id=10 + 4 * number,
                view=View.FOLLOW_UP,
                purpose=Purpose.TARGET_AT_WITNESS,
                address="203.0.113.9",
                port=443,
            ),
            TlsHandshake(
                id=11 + 4 * number,
                cause=10 + 4 * number,
                view=View.FOLLOW_UP,
                purpose=Purpose.TARGET_AT_WITNESS,
                address="203.0.113.9",
                port=443,
                name="site.example",
                failure=Failure.CONNECTION_RESET,
            ),
            TlsHandshake(
                id=12 + 4 * number,
                view=View.FOLLOW_UP,
                purpose=Purpose.HARMLESS_AT_WITNESS,
                address="203.0.113.9",
                port=443,
                name="kind.example",
            ),
        )
    ),
)

MEASUREMENT = Measurement(
    id="ab" * 16,
    sequence=1,
    nettest="web",
    target=Target(url=URL, scheme="https", host="site.example", port=443),
    vantage=Vantage(probe_id="p1", country="KE", asn=64500, resolver="10.0.0.53:53"),
    started=1_795_000_000.0,
    observations=RESET,
)
VERDICT = Verdict(
    outcome=Outcome.BLOCKED,
    mechanism=Mechanism.TLS_RESET,
    confidence=Confidence.CONFIRMED,
    summary="Every connection that names the site is reset, also at a server that has nothing to do with it.",
    findings=(
        Finding(rule="tls.name_reset", outcome=Outcome.BLOCKED, evidence=(5, 11, 12), summary="It is reset by name."),
    ),
    rules_version=2,
)


def fits(text: str) -> bool:
    lines = text.split("\n")
    return len(lines) <= HEIGHT and all(columns(line) <= WIDTH for line in lines)


def test_what_was_noted_about_the_network_is_said() -> None:
    made = MEASUREMENT
    noted = msgspec.structs.replace(made, preconditions=Preconditions(notes=("IPv6 is\x1b[31m left out.", "A proxy.")))
    for text in (screen(noted, VERDICT), timeline(noted, VERDICT)):
        assert "left out." in text
        assert "A proxy." in text
        assert "\x1b" not in text
    assert "Noted" not in screen(made, VERDICT)
    assert len(screen(noted, VERDICT).splitlines()) <= HEIGHT


def test_a_block_is_told_whole_on_one_screen() -> None:
    text = screen(MEASUREMENT, VERDICT)
    assert fits(text)
    assert text.startswith("BLOCKED by tls.reset  https://site.example/")
    for expected in (
        "AS64500 in KE, resolver 10.0.0.53:53",
        "lookup of site.example (A) at 10.0.0.53:53: 198.51.100.7",
        "connection to 198.51.100.7:443: stands",
        "connection reset",
        "trusted resolvers: 198.51.100.7 (2 of 2)",
        "the control saw: 200, 12.3 kB “The Site”",
        "its name at unrelated servers: connection reset (3 of 3)",
        "a harmless name at those: worked (3 of 3)",
        "Every connection that names the site is reset",
        "Confirmed",
        "Rule tls.name_reset, steps 5, 11, 12.",
    ):
        assert expected in text


def test_colour_is_only_there_when_asked_for() -> None:
    plain, coloured = screen(MEASUREMENT, VERDICT), screen(MEASUREMENT, VERDICT, colour=True)
    assert "\x1b" not in plain
    assert coloured.replace("\x1b[1;31m", "").replace("\x1b[0m", "") == plain
    assert coloured != plain
    assert "\x1b[1;31mblocked\x1b[0m" in short(0.0, URL, VERDICT, colour=True)
    assert short(0.0, URL, VERDICT).endswith(f" {URL}")
    assert short(0.0, URL, VERDICT, nettest="trace").endswith(f" trace {URL}")


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_says_how_sure_it_is(outcome: Outcome) -> None:
    text = screen(MEASUREMENT, Verdict(outcome=outcome, reason="no_control", pattern=Pattern.PARTIAL))
    assert fits(text)
    assert "Reason: no_control." in " ".join(text.split())
    assert "No rule had anything to say." in text


def test_a_measurement_of_nothing_can_be_shown() -> None:
    nothing = msgspec.structs.replace(MEASUREMENT, observations=(), vantage=Vantage(probe_id="p"))
    text = screen(nothing, Verdict(outcome=Outcome.INVALID))
    assert "nothing was measured" in text
    assert "an unknown network in an unknown country" in text
    assert timeline(nothing, Verdict(outcome=Outcome.INVALID)).endswith("none")


def test_failures_are_kept_on_the_screen_when_there_are_many_steps() -> None:
    many = tuple(TcpConnect(id=n, address=f"198.51.100.{n}", port=443) for n in range(1, 30))
    dead = TcpConnect(id=90, started=9.0, address="198.51.100.200", port=443, failure=Failure.TIMEOUT)
    text = screen(msgspec.structs.replace(MEASUREMENT, observations=(*many, dead)), VERDICT)
    assert fits(text)
    assert "198.51.100.200:443: no answer in time" in text
    assert "24 more steps" in text


def test_a_placebo_is_said_to_be_one() -> None:
    placebo = msgspec.structs.replace(MEASUREMENT, placebo=True)
    assert "placebo     a harmless site" in timeline(placebo, VERDICT)
    assert "placebo" not in timeline(MEASUREMENT, VERDICT)


def test_a_timeline_leaves_no_step_out_and_marks_the_evidence() -> None:
    limited = msgspec.structs.replace(
        MEASUREMENT, limits=("redirects",), preconditions=Preconditions(reason="offline", detail="No way out.")
    )
    text = timeline(limited, VERDICT)
    lines = text.split("\n")
    for step in RESET:
        (line,) = [line for line in lines if line[1:5].strip() == str(step.id)]
        assert line.startswith("*") == (step.id in (5, 11, 12))
    assert "tls.name_reset: blocked, resting on steps 5, 11, 12" in text
    assert "It is reset by name." in text
    assert "limits      reached: redirects" in text
    assert "No way out." in text
    assert "(after 4)" in text


def test_what_the_control_saw_stands_behind_the_question_to_it() -> None:
    asked = ControlQuery(id=2, started=0.5, elapsed=1.0, url=URL)
    saw = HttpExchange(id=5, cause=2, view=View.CONTROL, url=URL, status=200)
    nobody_asked = HttpExchange(id=6, cause=77, view=View.CONTROL, url=URL, status=200)
    steps = (
        saw,
        TcpConnect(id=4, started=2.0, address=ADDRESS, port=443),
        TcpConnect(id=3, started=1.2, address=ADDRESS, port=443),
        asked,
        TcpConnect(id=1, started=0.1, address=ADDRESS, port=443),
        nobody_asked,
    )
    text = timeline(msgspec.structs.replace(MEASUREMENT, observations=steps), VERDICT).split("\n")
    shown = text[text.index("steps (* is cited as evidence)") + 1 :][: len(steps)]
    assert [int(line[1:5]) for line in shown] == [6, 1, 2, 3, 5, 4]
    assert [" s " in line[:30] for line in shown] == [False, True, True, True, False, True]


EVIL = st.text(st.characters() | st.sampled_from("\x1b\x9b\r\n\t\x00\x07\u202e\u2066\u200d\ufeff\ud800語\u0301"))


@given(EVIL, EVIL)
def test_hostile_text_never_acts_on_a_terminal(title: str, error: str) -> None:
    page = HttpExchange(id=1, url=URL, status=200, title=title, headers=(("server", title),), redirect=None)
    cut = HttpExchange(id=2, url=f"http://{title}/", status=302, redirect=title, method=title)
    odd = TcpConnect(id=3, address=title, port=1, failure=Failure.UNKNOWN, detail=error)
    tls = TlsHandshake(id=4, address=ADDRESS, port=443, name=title, issuer=error, failure=Failure.SSL_UNKNOWN_AUTHORITY)
    text = lookup(5, title, name=error, resolver=title)
    hop = Hop(id=6, address=title, port=443, probe="syn", ttl=3, router=error, answer="expired")
    path = [msgspec.structs.replace(hop, id=8 + n, ttl=1 + n, purpose=Purpose.TRACE_PATH) for n in range(2)]
    packet = CapturedPacket(at=0.0, local_port=1, protocol=title, source=error, ip_ttl=1, flags=title)
    watched = Capture(id=10, peers=(title,), means=error, packets=(packet,))
    query = ControlQuery(id=7, url=title, resolved=(error,))
    verdict = msgspec.structs.replace(
        VERDICT, summary=error, reason=title, findings=(Finding(rule=title, outcome=Outcome.DOWN, summary=error),)
    )
    target = Target(url=f"https://{error}/", scheme="https", host=error, port=443)
    measurement = msgspec.structs.replace(
        MEASUREMENT,
        target=target,
        nettest=title,
        limits=(title,),
        vantage=Vantage(probe_id=title, country=title, resolver=error),
        preconditions=Preconditions(reason=title, detail=error),
        observations=(page, cut, odd, tls, text, hop, *path, watched, query),
    )
    assert fits(screen(measurement, verdict))
    for shown in (screen(measurement, verdict), timeline(measurement, verdict), short(0.0, error, verdict)):
        assert all(unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in shown.replace("\n", ""))


def test_wide_letters_are_counted_as_two_columns() -> None:
    assert columns("語学") == 4
    assert clip("語学語学", 5) == "語学…"
    assert clip("語学", 4) == "語学"
    assert clean("a\n b\x1b[31m") == "a b\N{REPLACEMENT CHARACTER}[31m"


def test_sizes() -> None:
    assert [size(n) for n in (0, 999, 1000, 999_949, 999_950)] == ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB"]
    assert size(2 * 10**9) == "2.0 GB"


def test_steps_in_plain_words() -> None:
    forged = lookup(1)
    true = DnsReply(
        arrival=0.2, source="x", answers=(DnsAnswer(name="site.example", rtype="A", data="192.0.2.1", ttl=1),)
    )
    both = msgspec.structs.replace(forged, replies=(*forged.replies, true))
    assert describe(both)[1] == "198.51.100.7; then 1 other answer"
    assert describe(lookup(1, replies=()))[1] == "no answer that counts"
    assert describe(lookup(1, failure=Failure.DNS_NXDOMAIN))[1] == "“no such name”"
    page = HttpExchange(id=1, url=URL, status=301, redirect="https://www.site.example/")
    assert describe(page)[1] == "301, to https://www.site.example/"
    assert describe(HttpExchange(id=1, url=URL, failure=Failure.EOF))[1] == "connection closed without an answer"
    assert describe(TcpConnect(id=1, address="2001:db8::1", port=443))[0] == "connection to [2001:db8::1]:443"
    assert describe(Hop(id=1, address=ADDRESS, port=443, probe="syn", ttl=4))[1] == "silence"
    hands = QuicHandshake(id=1, address=ADDRESS, port=443, name="site.example")
    assert describe(hands) == (f"QUIC handshake as site.example with {ADDRESS}:443", "worked, valid certificate")
    silent = msgspec.structs.replace(hands, name=None, failure=Failure.TIMEOUT)
    assert describe(silent) == (f"QUIC handshake without a name with {ADDRESS}:443", "no answer in time")
    taken = msgspec.structs.replace(hands, failure=Failure.SSL_UNKNOWN_AUTHORITY, issuer="CN=X")
    assert describe(taken)[1] == "a certificate by an unknown authority, by CN=X"
    asked = QuicHandshake(id=1, address=ADDRESS, port=443, probe="versions")
    assert describe(asked) == (f"question for QUIC versions to {ADDRESS}:443", "answered")
    expired = IcmpError(arrival=0.1, source="192.0.2.9", type=11, code=0, error="EHOSTUNREACH")
    walked = lookup(1, ip_ttl=1, replies=(), icmp=(expired,), failure=Failure.HOST_UNREACHABLE)
    assert describe(walked) == ("lookup of site.example (A) at 10.0.0.53:53, 1 hop far", "ended at 192.0.2.9")
    packet = CapturedPacket(at=0.1, local_port=1, protocol="tcp", source=ADDRESS, ip_ttl=60)
    raw = Capture(id=1, peers=("192.0.2.1:443",), means="raw", packets=(packet,))
    assert describe(raw) == ("our packets to 1 place were watched", "raw packets read, 1 packet came back")


def traced(*routers: str | None, means: str = "recverr") -> str:
    """Show a trace whose path met these routers, and the site where there is none."""
    hops = tuple(
        Hop(
            id=number,
            purpose=Purpose.TRACE_PATH,
            address=ADDRESS,
            port=443,
            probe="syn",
            ttl=number,
            answer="expired" if router else "open",
            router=router,
        )
        for number, router in enumerate(routers, 1)
    )
    steps = (*hops, Capture(id=99, peers=("192.0.2.1:443",), means=means))
    return screen(msgspec.structs.replace(MEASUREMENT, nettest="trace", observations=steps), VERDICT)


def test_a_trace_shows_its_way_and_by_what_means_it_was_found() -> None:
    shown = traced("private-1", "192.0.2.9", None)
    assert "the way: private-1, 192.0.2.9, the site" in shown
    assert "routers told by the system" in " ".join(shown.split())
    assert "raw packets read" in traced("private-1", None, means="raw")
    assert "the way" not in traced("private-1"), "one router is no way"


def leg(number: int, purpose: Purpose, name: str, seconds: float, **changes: object) -> tuple[AnyObservation, ...]:
    """A transfer of 131,072 bytes under a certificate of the control's own, and what carried it."""
    usual: dict[str, object] = {"view": View.FOLLOW_UP, "purpose": purpose, "address": ADDRESS, "port": 8443}
    made = Transfer(
        id=number + 2,
        cause=number + 1,
        started=float(number),
        elapsed=seconds,
        url=f"https://{name}/bytes/131072",
        host=name,
        name=name,
        wanted=131_072,
        status=200,
        received=131_072,
        samples=((0.1, 16_384), (seconds, 131_072)),
        ended="whole",
        **usual,  # type: ignore[arg-type]
    )
    return (
        TcpConnect(id=number, started=float(number), **usual),  # type: ignore[arg-type]
        TlsHandshake(
            id=number + 1,
            cause=number,
            started=float(number),
            name=name,
            failure=Failure.SSL_UNKNOWN_AUTHORITY,
            **usual,  # type: ignore[arg-type]
        ),
        msgspec.structs.replace(made, **changes),
    )


def test_a_transfer_in_plain_words() -> None:
    _, _, slow = leg(1, Purpose.PACE_TARGET, "site.example", 8.1)
    assert describe(slow) == (f"131.1 kB as site.example from {ADDRESS}:8443", "131.1 kB in 8.1 s, 129 kbit/s")
    cut = msgspec.structs.replace(slow, received=98_304, ended="time", elapsed=10.0)
    assert describe(cut)[1] == "98.3 kB in 10.0 s, 79 kbit/s, out of time"
    frozen = msgspec.structs.replace(slow, received=16_384, ended="stall", samples=((0.1, 16_384),), elapsed=5.1)
    assert describe(frozen)[1] == "16.4 kB in 0.1 s, then nothing"
    swift = msgspec.structs.replace(slow, samples=((0.05, 131_072),), ended="enough", elapsed=0.06)
    assert describe(swift)[1] == "131.1 kB in 0.05 s, 21.0 Mbit/s"
    broken = msgspec.structs.replace(slow, failure=Failure.CONNECTION_RESET, ended="failure", received=5000)
    assert describe(broken)[1] == "connection reset, after 5.0 kB"
    silent = msgspec.structs.replace(broken, failure=Failure.TIMEOUT, received=0, samples=())
    assert describe(silent)[1] == "no answer in time"


def test_rates_in_plain_words() -> None:
    rates = (0.0, 999.4, 999.6, 126_400.0, 999_600.0, 1e7, 2.5e9)
    assert [bit_rate(rate) for rate in rates] == [
        "0 bit/s",
        "999 bit/s",
        "1 kbit/s",
        "126 kbit/s",
        "1.0 Mbit/s",
        "10.0 Mbit/s",
        "2.5 Gbit/s",
    ]


def test_a_screen_tells_how_fast_under_which_name() -> None:
    steps: list[AnyObservation] = []
    for n in range(3):
        steps += leg(1 + 10 * n, Purpose.PACE_TARGET, "site.example", 8.0 + n / 10)
        steps += leg(5 + 10 * n, Purpose.PACE_HARMLESS, "kind.example", 0.1)
    steps += leg(41, Purpose.PACE_TARGET, "site.example", 1.0, failure=Failure.CONNECTION_RESET, ended="failure")
    steps += leg(51, Purpose.PACE_OBJECT, "site.example", 1.0)
    verdict = msgspec.structs.replace(VERDICT, outcome=Outcome.THROTTLED, mechanism=Mechanism.THROTTLE_RATE)
    slow = msgspec.structs.replace(MEASUREMENT, nettest="throttling", observations=tuple(steps))
    text = screen(slow, verdict)
    assert fits(text)
    assert "131.1 kB as site.example from 198.51.1…: 131.1 kB in 8.0 s, 131 kbit/s" in text
    words = " ".join(text.split())
    assert (
        "how fast under this name: 129 kbit/s in the median of 3 (128 kbit/s to 131 kbit/s); failed: connection reset"
        in words
    )
    assert "how fast under a harmless name: 10.5 Mbit/s in the median of 3 how" in words
    assert "how fast the site itself is: 1.0 Mbit/s" in words
    assert "unknown authority" not in text  # the control's certificate is its own
    assert "131.1 kB in 8.1 s, 129 kbit/s" in timeline(slow, verdict)
