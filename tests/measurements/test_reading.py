"""A measurement read as a story: which step belongs to which leg, and which answers are alike."""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from measurements.model import (
    AnyObservation,
    ControlQuery,
    DnsAnswer,
    DnsLookup,
    DnsReply,
    Failure,
    Hop,
    HttpExchange,
    Purpose,
    TcpConnect,
    TlsHandshake,
    View,
)
from measurements.pages import speaks_of_blocking, speaks_of_hosting
from measurements.reading import Leg, Reading, failed_like, hops, identical, is_address, same_page, same_site
from measurements.targets import normalise

HOST, OTHER = "www.site.example", "cdn.other.example"
ONE, TWO = "203.0.113.10", "203.0.113.20"


def page(status: int | None = 200, text: bytes = b"hello", **facts: Any) -> HttpExchange:
    """A page by what two places can compare."""
    digest = hashlib.sha256(text).hexdigest()
    known = {"url": f"http://{HOST}/", "body_length": len(text), "body": text, "body_sha256": digest, **facts}
    return HttpExchange(id=1, status=status, **known)


class Story:
    """Steps that are added one after another, each the cause of the next unless told otherwise."""

    def __init__(self, url: str = f"https://{HOST}/") -> None:
        self.url = url
        self.steps: list[AnyObservation] = []

    def add(self, kind: type[Any], cause: int | None = None, **facts: Any) -> int:
        self.steps.append(kind(id=len(self.steps) + 1, cause=cause, **facts))
        return len(self.steps)

    def lookup(self, name: str, *addresses: str, cause: int | None = None, view: View = View.LOCAL) -> int:
        records = tuple(DnsAnswer(name=name, rtype="A", data=a, ttl=60) for a in addresses)
        reply = DnsReply(arrival=0.0, source="198.51.100.2:53", rcode="NOERROR", answers=records)
        asked = {"name": name, "rtype": "A", "resolver": "198.51.100.2:53", "protocol": "udp"}
        return self.add(DnsLookup, cause, view=view, replies=(reply,), **asked)

    def visit(self, url: str, address: str, cause: int | None, redirect: str | None = None) -> int:
        """Connect, shake hands where the URL asks for it, and fetch; returns the exchange."""
        encrypted = url.startswith("https:")
        over = self.add(TcpConnect, cause, address=address, port=443 if encrypted else 80)
        if encrypted:
            over = self.add(TlsHandshake, over, address=address, port=443, name=HOST)
        return self.add(
            HttpExchange, over, url=url, address=address, status=302 if redirect else 200, redirect=redirect
        )

    def read(self) -> Reading:
        return Reading(normalise(self.url), self.steps, lambda address: address.startswith("10."))

    def legs(self) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
        """Each leg as its URL, the addresses of its lookups, and the addresses of its own flows."""
        return [(x.url, x.local_addresses, tuple(f.tcp.address for f in x.local_flows)) for x in self.read().legs]


# Legs


def test_a_redirect_within_a_host_uses_its_lookups_again() -> None:
    story = Story(f"http://{HOST}/")
    first = story.visit(f"http://{HOST}/", ONE, story.lookup(HOST, ONE), f"https://{HOST}/")
    second = story.visit(f"https://{HOST}/", ONE, first, f"https://{HOST}/home")
    story.visit(f"https://{HOST}/home", ONE, second)
    urls = (f"http://{HOST}/", f"https://{HOST}/", f"https://{HOST}/home")
    assert story.legs() == [(url, (ONE,), (ONE,)) for url in urls]
    assert story.read().troubled is None
    assert story.read().final is story.steps[-1]


def test_a_redirect_to_another_host_has_lookups_of_its_own() -> None:
    story = Story()
    first = story.visit(f"https://{HOST}/", ONE, story.lookup(HOST, ONE), f"https://{OTHER}/")
    story.visit(f"https://{OTHER}/", TWO, story.lookup(OTHER, TWO, cause=first))
    assert story.legs() == [(f"https://{HOST}/", (ONE,), (ONE,)), (f"https://{OTHER}/", (TWO,), (TWO,))]
    assert story.read().legs[1].host == OTHER


def test_another_hosts_lookups_are_not_inherited() -> None:
    """If a redirect leads to another host and nothing was looked up there, the first host's addresses are not its."""
    story = Story()
    first = story.visit(f"https://{HOST}/", ONE, story.lookup(HOST, ONE), f"https://{OTHER}/")
    story.visit(f"https://{OTHER}/", TWO, first)
    assert story.legs()[1] == (f"https://{OTHER}/", (), (TWO,))


def test_a_return_to_the_first_host_asks_the_nearest_lookup_only() -> None:
    """If the chain comes back, the nearest leg with lookups was the other host's, and its own come with it."""
    story = Story()
    first = story.visit(f"https://{HOST}/", ONE, story.lookup(HOST, ONE), f"https://{OTHER}/")
    second = story.visit(f"https://{OTHER}/", TWO, story.lookup(OTHER, TWO, cause=first), f"https://{HOST}/back")
    third = story.visit(f"https://{HOST}/back", ONE, story.lookup(HOST, ONE, cause=second), f"https://{HOST}/end")
    story.visit(f"https://{HOST}/end", ONE, third)
    assert [leg[1] for leg in story.legs()] == [(ONE,), (TWO,), (ONE,), (ONE,)]


def test_an_address_that_our_own_lookup_did_not_give_is_not_ours() -> None:
    story = Story()
    lookup = story.lookup(HOST, ONE)
    other = story.lookup(HOST, TWO, view=View.TRUSTED)
    story.visit(f"https://{HOST}/", ONE, lookup)
    story.visit(f"https://{HOST}/", TWO, other)
    [leg] = story.read().legs
    assert [f.local for f in leg.flows] == [True, False]
    assert (leg.local_addresses, leg.trusted_addresses) == ((ONE,), (TWO,))


def test_a_chain_longer_than_the_stack_is_read_without_recursion() -> None:
    """If a record holds more redirects than calls can be nested, all of them are read."""
    story = Story()
    deep = sys.getrecursionlimit() + 100
    cause: int = story.lookup(HOST, ONE)
    for i in range(deep):
        cause = story.visit(f"https://{HOST}/{i}", ONE, cause, f"https://{HOST}/{i + 1}")
    story.visit(f"https://{HOST}/{deep}", ONE, cause)
    read = story.read()
    assert [leg.url for leg in read.legs[1:]] == [f"https://{HOST}/{i + 1}" for i in range(deep)]
    assert {leg.local_addresses for leg in read.legs} == {(ONE,)}
    assert read.troubled is None


def test_causes_that_go_in_a_circle_end() -> None:
    """If a record's causes lead back to themselves or nowhere, the steps belong to the first leg."""
    story = Story()
    story.add(TcpConnect, 2, address=ONE, port=443)
    story.add(TlsHandshake, 1, address=ONE, port=443, name=HOST)
    story.add(TcpConnect, 99, address=TWO, port=443)
    [leg] = story.read().legs
    assert [f.tcp.address for f in leg.flows] == [ONE, TWO]


def test_a_follow_up_step_is_in_no_leg() -> None:
    story = Story()
    story.visit(f"https://{HOST}/", ONE, story.lookup(HOST, ONE))
    story.add(TcpConnect, None, address=TWO, port=443, purpose=Purpose.REPETITION, view=View.FOLLOW_UP)
    story.add(
        TcpConnect,
        None,
        address=TWO,
        port=443,
        purpose=Purpose.REPETITION,
        view=View.FOLLOW_UP,
        failure=Failure.INTERRUPTED,
    )
    read = story.read()
    assert [f.tcp.address for f in read.legs[0].flows] == [ONE]
    assert [step.id for step in read.follow_ups(TcpConnect, Purpose.REPETITION)] == [5]


def test_a_page_in_clear_that_leads_to_the_protected_door_is_no_trouble() -> None:
    """If the redirect leads to another site's door, the page in clear stays in doubt."""
    for there, trouble in ((f"https://{HOST}/", None), (f"https://{OTHER}/", 0), (f"http://{HOST}/x", 0)):
        story = Story(f"http://{HOST}/")
        lookup = story.lookup(HOST, ONE)
        first = story.visit(f"http://{HOST}/", ONE, lookup, there)
        host = there.split("/")[2]
        story.visit(there, ONE, first if host == HOST else story.lookup(host, ONE, cause=first))
        read = story.read()
        assert read.troubled is (None if trouble is None else read.legs[trouble]), there


def test_a_page_under_a_bad_certificate_is_trouble() -> None:
    story = Story()
    story.visit(f"https://{HOST}/", ONE, story.lookup(HOST, ONE))
    assert story.read().troubled is None
    tls = next(s for s in story.steps if isinstance(s, TlsHandshake))
    story.steps[tls.id - 1] = structs.replace(tls, failure=Failure.SSL_INVALID_HOSTNAME)
    read = story.read()
    assert read.troubled is read.legs[0]
    assert read.legs[0].authentic is None


def test_the_control_is_asked_about_one_url_and_may_not_answer() -> None:
    story = Story()
    story.visit(f"https://{HOST}/", ONE, story.lookup(HOST, ONE))
    story.add(ControlQuery, view=View.CONTROL, url=f"https://{OTHER}/")
    story.add(ControlQuery, view=View.CONTROL, url=f"https://{HOST}/", failure=Failure.TIMEOUT)
    assert story.read().control is None
    assert len(story.read().queries) == 2
    query = story.add(ControlQuery, view=View.CONTROL, url=f"https://{HOST}/")
    story.add(TcpConnect, query, view=View.CONTROL, address=ONE, port=443)
    story.add(TcpConnect, query, view=View.CONTROL, address=TWO, port=443, failure=Failure.TIMEOUT)
    story.add(HttpExchange, query, view=View.CONTROL, url=f"https://{HOST}/", failure=Failure.TIMEOUT)
    control = story.read().control
    assert control is not None
    assert control.connected(ONE, 443)
    assert not control.connected(ONE, 80)
    assert not control.connected(TWO, 443)
    assert not control.reached
    assert control.shook_hands(ONE) is None


def test_a_leg_knows_its_port_and_what_is_private() -> None:
    def leg(url: str) -> Leg:
        return Story(url).read().legs[0]

    assert (leg("https://a.example/").port, leg("http://a.example/").port) == (443, 80)
    assert leg("https://a.example:8443/").port == 8443
    assert leg("https://a.example/").public(["10.0.0.1", ONE]) == (ONE,)


def test_a_flow_prefers_the_page_that_came() -> None:
    """If one exchange of a flow failed and a later one brought a page, the flow did not fail."""
    story = Story()
    end = story.visit(f"https://{HOST}/", ONE, story.lookup(HOST, ONE))
    good = story.steps[end - 1]
    story.steps[end - 1] = structs.replace(good, status=None, failure=Failure.EOF)
    assert story.read().legs[0].flows[0].failed is not None
    story.add(HttpExchange, good.cause, url=f"https://{HOST}/", address=ONE, status=200)
    [flow] = story.read().legs[0].flows
    assert flow.failed is None
    assert flow.page is story.steps[-1]


@pytest.mark.parametrize("failure", list(Failure))
def test_failures_of_our_own_are_no_evidence(failure: Failure) -> None:
    """If a step failed for a reason of this machine's, the flow did not fail."""
    story = Story()
    story.add(TcpConnect, story.lookup(HOST, ONE), address=ONE, port=443, failure=failure)
    [flow] = story.read().legs[0].flows
    ours = failure.value in {
        "interrupted",
        "too_many_open_files",
        "permission_denied",
        "no_buffer_space",
        "invalid_argument",
    }
    assert (flow.failed is None) is ours
    assert failed_like(failure) is not ours
    assert not failed_like(None)


def test_a_page_in_clear_is_alike_only_to_one_that_the_control_got() -> None:
    story = Story(f"http://{HOST}/")
    end = story.visit(f"http://{HOST}/", ONE, story.lookup(HOST, ONE))
    query = story.add(ControlQuery, view=View.CONTROL, url=f"http://{HOST}/")
    assert story.read().troubled is not None
    story.add(HttpExchange, query, view=View.CONTROL, url=f"http://{HOST}/", status=200)
    assert story.read().troubled is None
    story.steps[end - 1] = structs.replace(story.steps[end - 1], failure=Failure.EOF, status=None)
    read = story.read()
    assert read.final is None
    assert not read.alike(page())
    assert read.troubled is read.legs[0]


# Pages


@pytest.mark.parametrize(
    ("ours", "theirs", "alike"),
    [
        (page(title="Daily News"), page(title="Daily News"), True),
        (page(title="Daily News | Sport"), page(text=b"x" * 999, title="Daily News today"), True),
        (page(title="Blocked"), page(title="Daily News"), False),
        (page(title="A B"), page(title="A C"), True),  # no telling word in either: the lengths decide
        (page(title="A B", text=b"x"), page(title="A C", text=b"x" * 9), False),
        (page(title="Access denied"), page(title="Access your mail today"), False),
        (page(title="Your address [redacted:address]"), page(title="Welcome [redacted:address]"), False),
        (page(title="A B"), page(title="A B"), True),
        (page(text=b"x" * 71), page(text=b"x" * 100), True),
        (page(text=b"x" * 70), page(text=b"x" * 100), False),
        (page(text=b""), page(text=b""), True),
        (page(text=b""), page(text=b"x"), False),
        (page(title="Daily News", text=b"x" * 90), page(text=b"x" * 100), True),
        (page(text=b"x", truncated="sample"), page(text=b"x" * 100), True),
        (page(text=b"x"), page(text=b"x" * 100, truncated="wire"), True),
        (page(text=b"x", truncated="sample", title="Daily News"), page(text=b"x" * 100), False),
        (page(text=b"x", truncated="sample"), page(text=b"x" * 100, title="Daily News"), False),
        (page(204), page(200), True),
        (page(200), page(404), False),
        (page(301), page(200), False),
        (page(None), page(200), False),
        (page(200), page(None), False),
    ],
)
def test_two_places_see_the_same_page(ours: HttpExchange, theirs: HttpExchange, alike: bool) -> None:
    """If the class of status and the title, or the length where no title is, agree, the page is the same."""
    assert same_page(ours, theirs) is alike
    assert same_page(theirs, ours) is alike


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (page(), page(), True),
        (page(200), page(403), False),
        (page(None), page(None), False),
        (page(text=b"a"), page(text=b"b"), False),
        (page(text=b"a", title="Blocked"), page(text=b"b", title="Blocked"), True),
        (page(text=b"a", title="Blocked"), page(text=b"b", title="Sorry"), False),
        (page(body_sha256=None), page(body_sha256=None), False),
        (page(302, redirect="http://n.example/?u=a"), page(302, redirect="http://n.example/?u=b"), True),
        (page(302, redirect="http://n.example/"), page(302, redirect="http://m.example/"), False),
        (page(302, redirect="http://n.example/"), page(302), False),
        (page(302), page(302, redirect="http://n.example/"), False),
        (page(302, redirect="/no"), page(302, redirect=f"http://{HOST}/no"), True),
        (page(302, redirect="/no"), page(302, redirect="/no", url="http://else.example/"), False),
    ],
)
def test_two_exchanges_brought_one_answer(one: HttpExchange, other: HttpExchange, same: bool) -> None:
    """If status, destination without its query, and body or title agree, it is one answer."""
    assert identical(one, other) is same
    assert identical(other, one) is same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("site.example", "www.site.example", True),
        ("www.site.example", "m.site.example", True),
        ("site.example", "site.example", True),
        ("a.site.example", "b.site.example", False),
        ("site.example", "notsite.example", False),
        ("site.example", "other.example", False),
    ],
)
def test_hosts_of_one_site(one: str, other: str, same: bool) -> None:
    assert same_site(one, other) is same
    assert same_site(other, one) is same


@pytest.mark.parametrize(("word", "address"), [("192.0.2.1", True), ("2001:db8::1", True), ("1.example", False)])
def test_an_address_is_told_from_a_name(word: str, address: bool) -> None:
    assert is_address(word) is address


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["silence", "expired", "reset"]))))
def test_of_several_tries_at_a_distance_the_answered_one_counts(tries: list[tuple[int, str]]) -> None:
    sent = [
        Hop(id=i, address=ONE, port=443, probe="syn", ttl=ttl, answer=answer) for i, (ttl, answer) in enumerate(tries)
    ]
    for ttl, hop in hops(sent).items():
        met = [answer for at, answer in tries if at == ttl]
        assert hop.answer == next((answer for answer in met if answer != "silence"), "silence")
    assert set(hops(sent)) == {ttl for ttl, _ in tries}


@pytest.mark.parametrize(
    ("shown", "speaks"),
    [
        (page(451, b"no"), True),
        (page(200, b"<p>This page is blocked</p>"), True),
        (page(403, b"<p>This page is blocked</p>"), False),
        (page(403, b"<p>by order of the court</p>"), True),
        (page(200, b"<p>It works</p>"), False),
        (page(200, b"<p>It works</p>", title="Access denied"), True),
        (page(200, "<p>Доступ заблокирован</p>".encode()), True),
        (page(200, b"<style>.blocked{}</style>It works"), False),
        (page(200, b"<STYLE>.blocked{}</STYLE>It is <b>blocked</b>"), True),
        (page(200, b"<script>blocked()</script>It works"), False),
        (page(200, b"It works <a class='blocked'"), False),
        (page(200, b"It is blocked <a class='x'"), True),
        (page(200, b"It works <script>blocked()"), False),
        (page(200, b"It works <script>blocked()</script"), False),
        (page(302, b"blocked", redirect="http://n.example/"), False),
        (page(302, b"", redirect="http://n.example/denied"), True),
    ],
)
def test_a_page_speaks_of_blocking_where_a_reader_sees_it(shown: HttpExchange, speaks: bool) -> None:
    """If only a style, a script or a tag's own words say so, or a server's refusal does mildly, nobody is told."""
    assert speaks_of_blocking(shown) is speaks


@pytest.mark.parametrize(
    ("shown", "speaks"),
    [
        (page(200, b"<p>This site has been blocked by its hosting company</p>"), True),
        (page(200, b"<p>Access denied</p>", title="Account suspended"), True),
        (page(200, b"<p>This page is blocked</p>"), False),
        (page(200, b"<p>The hosting of this site is blocked by order of the court</p>"), False),
        (page(451, b"<p>hosting</p>"), False),
        (page(200, b"<p class='hosting'>blocked</p>"), False),
    ],
)
def test_a_hoster_s_hard_words_are_no_censor_s(shown: HttpExchange, speaks: bool) -> None:
    """If a page says that a bill was not paid, it may say "blocked" too; where it names a law, it is a censor's."""
    assert speaks_of_hosting(shown) is speaks
