"""What is taken for proof that a site lives and that its name is meant, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from measurements.model import (
    AnyObservation,
    ControlQuery,
    DnsLookup,
    Failure,
    HttpExchange,
    Proof,
    Purpose,
    TcpConnect,
    TlsHandshake,
    View,
)
from measurements.proofs import (
    Shown,
    alive,
    given_by_others,
    harmless_at_target,
    kind_of,
    name_fails_elsewhere,
    repeated,
)
from tests.measurements.scenes import BESIDE, HOST, RESET, SITE, TIMEOUT, scene, told

ALERT, REFUSED = Failure.SSL_FAILED_HANDSHAKE, Failure.CONNECTION_REFUSED


# Pairs


class Pairs:
    """Tries of the name and of a harmless one at witnesses; each is a connection and a handshake over it."""

    def __init__(self) -> None:
        self.steps: list[AnyObservation] = []

    def _add(self, kind: type[Any], **facts: Any) -> int:
        self.steps.append(kind(id=len(self.steps) + 1, view=View.FOLLOW_UP, **facts))
        return len(self.steps)

    def try_at(self, purpose: Purpose, address: str, failure: Failure | None, *, stood: bool = True) -> None:
        at = {"address": address, "port": 443, "purpose": purpose}
        tcp = self._add(TcpConnect, failure=None if stood else failure, **at)
        if stood:
            self._add(TlsHandshake, cause=tcp, name="x.example", failure=failure, **at)

    def judge(self, bad: Failure = RESET) -> Shown | None:
        return name_fails_elsewhere(told(self.steps), lambda step: step.failure is bad)


def pairs(targets: list[Failure | None], harmless: list[Failure | None]) -> Pairs:
    made = Pairs()
    for i, (mine, theirs) in enumerate(zip(targets, harmless, strict=False)):
        made.try_at(Purpose.HARMLESS_AT_WITNESS, f"192.0.2.{i}", theirs)
        made.try_at(Purpose.TARGET_AT_WITNESS, f"192.0.2.{i}", mine)
    return made


def test_three_pairs_that_part_show_that_the_name_is_meant() -> None:
    shown = pairs([RESET] * 3, [None] * 3).judge()
    assert shown is not None
    assert (shown.proof, len(shown.evidence)) == (Proof.ELSEWHERE, 6)


@pytest.mark.parametrize(
    ("targets", "harmless"),
    [
        ([RESET] * 2, [None] * 2),
        ([RESET, RESET, None], [None] * 3),
        ([RESET, RESET, TIMEOUT], [None] * 3),
        ([RESET] * 3, [None, None, RESET]),
        ([RESET] * 3, [None, None, TIMEOUT]),
        ([RESET] * 3, [RESET] * 3),
        ([None] * 3, [None] * 3),
        ([RESET] * 3, [None, None, ALERT]),
        ([RESET, RESET, Failure.INTERRUPTED], [None] * 3),
    ],
    ids=[
        "two-pairs",
        "one-worked",
        "one-failed-otherwise",
        "one-harmless-too",
        "one-harmless-lost",
        "all-alike",
        "none-failed",
        "one-server-takes-no-name",
        "one-was-cut",
    ],
)
def test_pairs_that_are_not_perfect_show_nothing(targets: list[Failure | None], harmless: list[Failure | None]) -> None:
    assert pairs(targets, harmless).judge() is None


@pytest.mark.parametrize("extra", [Purpose.TARGET_AT_WITNESS, Purpose.HARMLESS_AT_WITNESS])
def test_three_of_one_kind_beside_two_of_the_other_are_no_three_pairs(extra: Purpose) -> None:
    made = pairs([RESET] * 2, [None] * 2)
    made.try_at(extra, "192.0.2.0", RESET if extra is Purpose.TARGET_AT_WITNESS else None)
    assert made.judge() is None


def test_a_server_that_takes_no_harmless_name_is_no_witness() -> None:
    """If the name was not tried at a server because the harmless one did not work there, that server says nothing."""
    for failure, stood, counts in ((ALERT, True, True), (REFUSED, False, True), (TIMEOUT, True, False)):
        made = pairs([RESET] * 3, [None] * 3)
        made.try_at(Purpose.HARMLESS_AT_WITNESS, "192.0.2.77", failure, stood=stood)
        assert (made.judge() is not None) is counts, failure


def test_a_witness_that_fails_the_harmless_name_once_more_is_no_witness() -> None:
    """If a server at which the name was tried takes the harmless name once and not again, its word is worth nothing."""
    made = pairs([RESET] * 3, [None] * 3)
    made.try_at(Purpose.HARMLESS_AT_WITNESS, "192.0.2.0", ALERT)
    assert made.judge() is None


def test_a_bad_certificate_of_a_witness_is_still_an_answer() -> None:
    assert pairs([RESET] * 3, [Failure.SSL_INVALID_HOSTNAME] * 3).judge() is not None


# Alive


def living(steps: list[AnyObservation], url: str = f"https://{HOST}/", **options: bool) -> tuple[int, ...]:
    story = told(steps, url)
    return alive(story, story.legs[0], **options)


def control(steps: list[AnyObservation], *own: Callable[[int, int], AnyObservation], url: str) -> None:
    query = ControlQuery(id=len(steps) + 1, view=View.CONTROL, url=url)
    steps.append(query)
    for make in own:
        steps.append(make(len(steps) + 1, query.id))


def test_nothing_shows_life_where_all_fails() -> None:
    assert living(scene()) == ()


@pytest.mark.parametrize(
    ("connect", "hands", "url", "lives"),
    [
        (None, None, f"https://{HOST}/", True),
        (None, RESET, f"https://{HOST}/", False),
        (TIMEOUT, None, f"https://{HOST}/", False),
        (None, RESET, f"http://{HOST}/", True),
        (TIMEOUT, None, f"http://{HOST}/", False),
    ],
)
def test_a_control_that_reached_the_address_shows_life(
    connect: Failure | None, hands: Failure | None, url: str, lives: bool
) -> None:
    """If the control's connection stood, and its handshake where the page is protected, the site lives."""
    steps = scene(url=url)
    port = 443 if url.startswith("https:") else 80
    control(
        steps,
        lambda i, q: TcpConnect(id=i, cause=q, view=View.CONTROL, address=SITE, port=port, failure=connect),
        lambda i, q: TlsHandshake(id=i, cause=q, view=View.CONTROL, address=SITE, port=port, name=None, failure=hands),
        lambda i, q: HttpExchange(id=i, cause=q, view=View.CONTROL, url=url, failure=TIMEOUT),
        url=url,
    )
    assert bool(living(steps, url)) is lives


def test_a_control_that_connected_and_shook_no_hands_shows_no_protected_site() -> None:
    steps = scene()
    control(
        steps,
        lambda i, q: TcpConnect(id=i, cause=q, view=View.CONTROL, address=SITE, port=443),
        lambda i, q: HttpExchange(id=i, cause=q, view=View.CONTROL, url=f"https://{HOST}/", failure=TIMEOUT),
        url=f"https://{HOST}/",
    )
    assert living(steps) == ()


def test_another_view_s_page_in_clear_shows_life() -> None:
    url = f"http://{HOST}/"
    steps = scene(trusted=(BESIDE,), url=url)
    steps.append(TcpConnect(id=4, cause=2, view=View.TRUSTED, address=BESIDE, port=80))
    assert living(steps, url) == ()
    steps.append(HttpExchange(id=5, cause=4, view=View.TRUSTED, url=url, address=BESIDE, status=200))
    assert living(steps, url) == (4, 5)


def test_what_is_no_other_view_s_page_in_clear_shows_no_life() -> None:
    """If the page is our own, failed, or came under a bad certificate, it says nothing of the site."""
    clear, sealed = f"http://{HOST}/", f"https://{HOST}/"
    own = scene(failure=None, url=clear)
    own.append(HttpExchange(id=4, cause=3, url=clear, address=SITE, status=200))
    assert living(own, clear) == ()
    failed = scene(trusted=(BESIDE,), url=clear)
    failed.append(TcpConnect(id=4, cause=2, view=View.TRUSTED, address=BESIDE, port=80))
    failed.append(HttpExchange(id=5, cause=4, view=View.TRUSTED, url=clear, address=BESIDE, failure=RESET))
    assert living(failed, clear) == ()
    forged = scene(trusted=(BESIDE,))
    forged.append(TcpConnect(id=4, cause=2, view=View.TRUSTED, address=BESIDE, port=443))
    bad = Failure.SSL_UNKNOWN_AUTHORITY
    forged.append(TlsHandshake(id=5, cause=4, view=View.TRUSTED, address=BESIDE, port=443, name=HOST, failure=bad))
    forged.append(HttpExchange(id=6, cause=5, view=View.TRUSTED, url=sealed, address=BESIDE, status=200))
    assert living(forged) == ()


def test_a_harmless_name_s_answer_shows_life_only_at_an_address_that_others_give() -> None:
    """If only our resolver gave the address, what answers there is anybody's; and `beside` may leave it out."""
    hands = TlsHandshake(
        id=4, view=View.FOLLOW_UP, purpose=Purpose.HARMLESS_AT_TARGET, address=SITE, port=443, name="x.example"
    )
    page = HttpExchange(id=5, view=View.FOLLOW_UP, purpose=Purpose.HARMLESS_AT_TARGET, url="http://x.example/")
    for trusted, lives in (((SITE,), (4,)), ((BESIDE,), ())):
        steps = [*scene(trusted=trusted), hands, page]
        assert living(steps) == lives
        assert living([*steps[:3], structs.replace(hands, failure=RESET), page]) == ()
        assert living(steps, beside=False) == ()
        assert harmless_at_target(told(steps)) == (4,)


def test_the_control_s_page_of_the_first_url_speaks_for_a_later_one() -> None:
    """If the control was not asked about the leg itself, that it followed the whole chain says that it lives."""
    steps = scene()
    other = "https://other.example/"
    steps[2] = TcpConnect(id=3, cause=1, address=SITE, port=443)
    steps.append(TlsHandshake(id=4, cause=3, address=SITE, port=443, name=HOST))
    steps.append(HttpExchange(id=5, cause=4, url=f"https://{HOST}/", address=SITE, status=302, redirect=other))
    steps.append(TcpConnect(id=6, cause=5, address=BESIDE, port=443, failure=TIMEOUT))
    story = told(steps)
    assert alive(story, story.legs[1]) == ()
    control(
        steps,
        lambda i, q: HttpExchange(id=i, cause=q, view=View.CONTROL, url=other, status=200),
        url=f"https://{HOST}/",
    )
    story = told(steps)
    assert alive(story, story.legs[1]) == (7, 8)
    failed = [*steps[:7], HttpExchange(id=8, cause=7, view=View.CONTROL, url=other, failure=TIMEOUT)]
    story = told(failed)
    assert alive(story, story.legs[1]) == ()
    control(
        steps,
        lambda i, q: HttpExchange(id=i, cause=q, view=View.CONTROL, url=other, failure=TIMEOUT),
        url=other,
    )
    story = told(steps)  # asked about the leg itself, the control failed: that is what counts
    assert alive(story, story.legs[1]) == ()


def test_an_address_is_the_sites_when_another_view_gives_it() -> None:
    for trusted, others in (((SITE,), True), ((BESIDE,), False), ((), True)):
        leg = told(scene(trusted=trusted)).legs[0]
        assert given_by_others(leg, leg.flows[0]) is others
    literal: list[AnyObservation] = [
        TcpConnect(id=1, address=SITE, port=443),
        ControlQuery(id=2, view=View.CONTROL, url=f"https://{SITE}/", resolved=(BESIDE,)),
    ]
    leg = told(literal, f"https://{SITE}/").legs[0]
    assert given_by_others(leg, leg.flows[0])  # nobody looked it up: it is what was asked for


# Failures and repetitions


@pytest.mark.parametrize("failure", [*Failure, None])
def test_each_failure_has_its_kind(failure: Failure | None) -> None:
    kinds = {
        Failure.CONNECTION_RESET: "reset",
        Failure.CONNECTION_REFUSED: "reset",
        Failure.CONNECTION_ABORTED: "reset",
        Failure.TIMEOUT: "timeout",
        Failure.EOF: "eof",
        Failure.SSL_FAILED_HANDSHAKE: "alert",
        Failure.HOST_UNREACHABLE: "unreachable",
        Failure.NETWORK_UNREACHABLE: "unreachable",
        Failure.NETWORK_DOWN: "unreachable",
    }
    step = TcpConnect(id=1, address=SITE, port=443, failure=failure)
    assert kind_of(step) == (kinds.get(failure, "other") if failure else "other")


def test_a_repetition_is_what_its_last_step_says() -> None:
    """If the connection stood again and the handshake failed again, it failed again."""
    again: dict[str, Any] = {"view": View.FOLLOW_UP, "purpose": Purpose.REPETITION}
    tcp = TcpConnect(id=1, address=SITE, port=443, **again)
    assert repeated(told([])) is None
    assert repeated(told([tcp])) is False
    assert repeated(told([TcpConnect(id=1, address=SITE, port=443, failure=TIMEOUT, **again)])) is True
    for failure, failed in ((RESET, True), (None, False), (Failure.SSL_INVALID_HOSTNAME, False)):
        tls = TlsHandshake(id=2, cause=1, address=SITE, port=443, name=HOST, failure=failure, **again)
        assert repeated(told([tcp, tls])) is failed
    for fault, failed in ((Failure.DNS_NXDOMAIN, True), (None, False)):
        asked = DnsLookup(id=1, name=HOST, rtype="A", resolver="r", protocol="udp", failure=fault, **again)
        assert repeated(told([asked])) is failed
    cut = TcpConnect(id=1, address=SITE, port=443, failure=Failure.INTERRUPTED, **again)
    assert repeated(told([cut])) is None
