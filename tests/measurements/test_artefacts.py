"""What a known block page is worth: when it accuses, when it only hints, and when it is vetoed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec import structs

from measurements.artefacts import in_answers
from measurements.fingerprints import Fingerprint, Fingerprints
from measurements.judge import Case, judge
from measurements.model import (
    Confidence,
    ControlQuery,
    DnsAnswer,
    DnsLookup,
    DnsReply,
    Failure,
    HttpExchange,
    Measurement,
    Verdict,
    View,
)
from measurements.targets import normalise
from tests.measurements.worlds import (
    ALL,
    EVERY_NAME,
    HOST,
    IN_CLEAR,
    OPEN,
    SINK,
    SITE,
    W1,
    W2,
    W3,
    Disruption,
    H,
    cut_at,
    lie,
    play,
)
from tests.scripted import BOGONS, LOCAL, WITNESSES, Page, ScriptedNetwork, World

DIGEST = "ab" * 32
WORDS = "this page was closed by the Ministry of Truth"
NOTICE = Page(200, f"<title>Notice</title>{WORDS}".encode(), "Notice")
UNKNOWN = Failure.SSL_UNKNOWN_AUTHORITY


def row(**changes: object) -> Fingerprint:
    plain = {"scope": "nat", "location": "body", "kind": "contains", "pattern": WORDS, "confidence": 8}
    return Fingerprint(**{"name": "tz.notice", "source": f"l.csv sha256:{DIGEST}", **plain, **changes})  # type: ignore[arg-type]


WALL = row(name="wall", scope="fp", location="title", kind="full", pattern="Just a moment...")


def judged(
    world: World,
    *rows: Fingerprint,
    url: str = IN_CLEAR,
    country: str | None = "TZ",
    body_of_control: bytes | None = b"welcome",
    source: str = "wazi",
) -> Verdict:
    """Judge a world by these fingerprints, from a country, with a control that hands out its page's body or not."""
    _, net = play(Disruption("", replace(world, sends_bodies=body_of_control is not None), "", url=url))
    measured = net.measurement(normalise(url), "web")
    vantage = structs.replace(measured.vantage, country=country)
    measured = structs.replace(measured, vantage=vantage, source=source)
    if body_of_control is not None:
        measured = with_body(measured, body_of_control)
    return judge(Case(measured, BOGONS, fingerprints=Fingerprints(rows)))


def with_body(measured: Measurement, body: bytes) -> Measurement:
    steps = tuple(
        structs.replace(o, body=body) if isinstance(o, HttpExchange) and o.view is View.CONTROL else o
        for o in measured.observations
    )
    return structs.replace(measured, observations=steps)


def told(verdict: Verdict) -> tuple[str, str | None, str | None]:
    """The outcome, the mechanism and the fingerprint of the first finding."""
    return verdict.outcome.value, verdict.mechanism and verdict.mechanism.value, verdict.findings[0].fingerprint


MARK = f"tz.notice (l.csv sha256:{DIGEST})"
ISSUER = row(location="certificate.issuer", pattern="CN=Gov Root")
HTTPS = f"https://{HOST}/"
AT_SITE = replace(OPEN, pages={(SITE, HOST): NOTICE})


# In clear, at the true address, where no witness shows the same


def test_a_known_block_page_at_the_true_address_is_blocked_without_witnesses() -> None:
    verdict = judged(AT_SITE, row())
    assert told(verdict) == ("blocked", "http.blockpage", MARK)
    assert (verdict.trigger, verdict.where, verdict.confidence) == ("name_and_address", "network", "confirmed")
    assert "tz.notice (l.csv sha256:abababababab…)" in verdict.summary
    assert judged(AT_SITE).outcome == "inconclusive"


def test_one_that_comes_for_any_name_there_is_blocked_by_address() -> None:
    world = replace(OPEN, pages={(SITE, n): replace(NOTICE, body=f"{n} {WORDS}".encode()) for n in (HOST, H)})
    verdict = judged(replace(world, hands={(SITE, HOST): None}), row())
    assert (told(verdict), verdict.trigger) == (("blocked", "http.blockpage", MARK), "address")


def test_pages_that_differ_and_bear_one_mark_are_alike_at_witnesses() -> None:
    """If each copy of a block page has a number of its own, its mark tells that they are one."""
    pages = {(a, HOST): replace(NOTICE, body=f"{a} {WORDS}".encode(), title=None) for a in ALL}
    verdict = judged(replace(OPEN, pages=pages), row())
    assert (told(verdict), verdict.trigger) == (("blocked", "http.blockpage", MARK), "name")
    assert judged(replace(OPEN, pages=pages)).outcome != "blocked"


@pytest.mark.parametrize(
    ("sought", "page"),
    [
        (row(location="title", kind="full", pattern="Notice"), NOTICE),
        (
            row(location="header.server", kind="prefix", pattern="Filter/"),
            replace(NOTICE, headers=(("Server", "Filter/2"),)),
        ),
        (row(kind="regexp", pattern="closed by the M.{3,20} of Truth"), NOTICE),
    ],
)
def test_every_place_and_kind_can_prove(sought: Fingerprint, page: Page) -> None:
    assert told(judged(replace(OPEN, pages={(SITE, HOST): page}), sought))[0] == "blocked"


def test_a_redirect_to_a_known_place_or_page_is_blocked() -> None:
    away = Page(302, b"", None, f"http://{SINK}/x", (("Location", f"http://{SINK}/x"),))
    world = replace(OPEN, pages={(SITE, HOST): away, (SINK, SINK): NOTICE}, ports={(SINK, 80): None})
    by_place = row(location="header.location", kind="prefix", pattern=f"http://{SINK}/")
    assert told(judged(world, by_place)) == ("blocked", "http.redirect", MARK)
    assert told(judged(world, row())) == ("blocked", "http.redirect", MARK)


@pytest.mark.parametrize(
    "sought",
    [
        row(countries=frozenset({"IR"})),
        row(confidence=7),
        row(countries=frozenset({"ZZ"}), confidence=7),
        row(countries=frozenset({"TZ"}), confidence=4),
        row(scope="vbw"),
        row(scope="inst"),
        row(scope="prod"),
        row(scope="something"),
        row(scope=""),
    ],
    ids=["elsewhere", "unsure", "unsure-anywhere", "hardly", "vague", "school", "product", "odd-scope", "no-scope"],
)
def test_what_only_hints_is_told_and_accuses_nobody(sought: Fingerprint) -> None:
    verdict = judged(AT_SITE, sought)
    assert told(verdict) == ("inconclusive", None, MARK)
    assert "tz.notice" in verdict.summary


@pytest.mark.parametrize(
    ("sought", "country", "accuses"),
    [
        (row(countries=frozenset({"TZ", "KE"}), confidence=5), "TZ", True),
        (row(countries=frozenset({"TZ"})), None, False),
        (row(countries=frozenset({"ZZ"})), None, True),
        (row(countries=frozenset({"ZZ"})), "ZZ", True),
        (row(countries=frozenset({"ZZ"}), confidence=5), "ZZ", False),
    ],
)
def test_countries_decide(sought: Fingerprint, country: str | None, accuses: bool) -> None:
    assert (judged(AT_SITE, sought, country=country).outcome == "blocked") is accuses


def test_what_the_control_is_shown_too_is_no_artefact() -> None:
    """If a site writes about censorship, the same words are on the control's page, whatever its headline is now."""
    about = Page(200, f"<title>Blocked!</title>They wrote: {WORDS}".encode(), "They wrote it again")
    verdict = judged(replace(OPEN, pages={(SITE, HOST): about}), row(), body_of_control=f"Hear: {WORDS}".encode())
    assert told(verdict) == ("inconclusive", None, None)
    same = judged(replace(AT_SITE, seen=replace(NOTICE, body=b"")), row(), body_of_control=None)
    assert same.findings[0].fingerprint is None


def test_what_could_not_be_looked_for_in_the_controls_page_is_likely() -> None:
    verdict = judged(AT_SITE, row(), body_of_control=None)
    assert (told(verdict)[0], verdict.confidence) == ("blocked", Confidence.LIKELY)


def test_without_a_control_a_quotation_accuses_nobody_and_clears_nobody() -> None:
    """If nothing can be compared, words on a page may be the site's own, or not; vague words change nothing."""
    alone = replace(AT_SITE, seen=None, hands={(SITE, HOST): None})
    assert told(judged(alone, row())) == ("inconclusive", None, MARK)
    assert told(judged(alone, row(scope="vbw"))) == ("accessible", None, None)
    assert told(judged(alone)) == ("accessible", None, None)
    refused = replace(alone, pages={(SITE, HOST): replace(NOTICE, status=403)})
    assert told(judged(refused, row())) == ("inconclusive", None, MARK)
    assert told(judged(refused)) == ("server_side", None, None)


def test_without_a_control_a_filters_own_header_is_half_of_a_proof() -> None:
    """If a header that no site would quote is there, and nothing shows that the site lives, nobody is accused."""
    page = replace(NOTICE, headers=(("Server", "Filter/2"),))
    sought = row(location="header.server", kind="prefix", pattern="Filter/")
    alone = replace(OPEN, seen=None, pages={(SITE, n): page for n in (HOST, H)}, hands={(SITE, HOST): None})
    assert told(judged(alone, sought)) == ("inconclusive", None, MARK)
    short = {1: ("expired", "192.168.0.1"), 2: ("open", None)}
    assert told(judged(replace(alone, paths={(SITE, None): short}), sought)) == ("blocked", "http.blockpage", MARK)


def test_the_control_sends_its_page_where_ours_came_in_clear_and_is_in_doubt() -> None:
    """If a page in clear is strange, the control is asked once more, for words to compare; else it is not."""

    def asked(world: World, url: str) -> int:
        _, net = play(Disruption("", world, "", url=url))
        return len([o for o in net.observations if isinstance(o, ControlQuery)])

    assert asked(AT_SITE, IN_CLEAR) == 2
    assert asked(OPEN, IN_CLEAR) == 1
    assert asked(replace(OPEN, hands={(SITE, HOST): UNKNOWN}), HTTPS) == 1
    about = Page(200, WORDS.encode(), "The Daily, today")
    world = replace(AT_SITE, seen=about)
    assert told(judged(world, row(), body_of_control=None))[0] == "blocked"
    _, net = play(Disruption("", world, "", url=IN_CLEAR))
    case = Case(net.measurement(normalise(IN_CLEAR), "web"), BOGONS, fingerprints=Fingerprints([row()]))
    assert judge(case).outcome == "inconclusive"


def test_what_was_compared_goes_before_what_was_not() -> None:
    world = replace(OPEN, pages={(SITE, HOST): NOTICE})
    title = row(name="by.title", location="title", kind="full", pattern="Notice")
    verdict = judged(world, row(), title, url=HTTPS, body_of_control=None)
    assert (verdict.outcome, verdict.findings[0].fingerprint) == ("server_side", f"by.title (l.csv sha256:{DIGEST})")


def test_a_false_positive_signature_vetoes_first() -> None:
    wall = Page(403, f"Checking your browser. {WORDS}".encode(), "Just a moment...")
    world = replace(OPEN, pages={(SITE, HOST): wall})
    assert told(judged(world, row(), WALL)) == ("server_side", None, None)
    assert told(judged(world, row()))[0] == "blocked"


def test_a_site_that_is_down_is_not_blocked_by_a_page() -> None:
    """If nothing shows that the site lives, a blocker's page is half of an accusation."""
    verdict = judged(replace(AT_SITE, seen=Failure.TIMEOUT, control_ports={(SITE, 80): Failure.TIMEOUT}), row())
    assert verdict.outcome != "blocked"


# Products: what, not whose


def test_a_products_page_at_the_first_hop_is_local_and_named() -> None:
    school = replace(OPEN, pages={(a, HOST): NOTICE for a in ALL}, paths={(SITE, HOST): cut_at(1, "data")})
    verdict = judged(school, row(scope="inst"))
    assert (told(verdict), verdict.where) == (("blocked", "http.blockpage", MARK), "local")


def test_a_products_page_that_was_not_placed_stands_nowhere() -> None:
    world = replace(OPEN, pages={(a, HOST): NOTICE for a in ALL})
    assert judged(world, row(scope="prod")).where == "unknown"
    assert judged(world, row()).where == "network"


def test_a_products_page_further_on_is_placed_in_the_network() -> None:
    world = replace(OPEN, pages={(a, HOST): NOTICE for a in ALL}, paths={(SITE, HOST): cut_at(3, "data")})
    assert judged(world, row(scope="prod")).where == "network"


# Answers of resolvers


def test_a_known_address_in_the_answer_is_a_block_page() -> None:
    world = replace(OPEN, answers=lie([[SINK]]))
    sought = row(location="dns", kind="full", pattern=SINK)
    for url in (IN_CLEAR, f"https://{HOST}/"):
        verdict = judged(world, sought, url=url)
        assert told(verdict) == ("blocked", "dns.blockpage", MARK)
        assert (verdict.trigger, verdict.where, verdict.confidence) == ("name", "resolver", "confirmed")
        assert judged(world, url=url).outcome != "blocked"


def test_a_known_address_that_the_control_gets_too_is_the_sites_own() -> None:
    world = replace(OPEN, names={HOST: [SINK]}, ports={(SINK, 80): Failure.TIMEOUT, (SINK, 443): Failure.TIMEOUT})
    sought = row(location="dns", kind="full", pattern=SINK)
    assert judged(world, sought, url=f"https://{HOST}/").outcome != "blocked"


def test_a_resolver_that_sends_all_names_to_a_known_page_is_a_portals() -> None:
    """If harmless names lead to the same place, it is this network's gate, whatever its page says."""
    told_all = {(LOCAL.address, name): [[SINK]] for name in (HOST, *WITNESSES)}
    page = {(SINK, name): NOTICE for name in (HOST, H)}
    world = replace(OPEN, answers=told_all, ports={(SINK, 80): None}, pages=page)
    for url in (IN_CLEAR, HTTPS):
        assert judged(world, row(), url=url).outcome != "blocked"


def answered(view: View, *data: str) -> DnsLookup:
    records = tuple(DnsAnswer(name=HOST, rtype="CNAME" if d[0].isalpha() else "A", data=d, ttl=1) for d in data)
    reply = DnsReply(arrival=0.0, source="r", rcode="NOERROR", answers=records)
    return DnsLookup(
        id=view is View.LOCAL, view=view, resolver="r", protocol="udp", name=HOST, rtype="A", replies=(reply,)
    )


@pytest.mark.parametrize(
    ("pattern", "others", "resolved", "known"),
    [
        ("edge.example", ("192.0.2.9",), (), True),
        ("edge.example", ("edge.example", "192.0.2.9"), (), False),
        (SINK, ("192.0.2.9",), (), True),
        (SINK, ("192.0.2.9",), (SINK,), False),
    ],
)
def test_what_another_resolver_or_the_control_is_told_too_is_no_artefact(
    pattern: str, others: tuple[str, ...], resolved: tuple[str, ...], known: bool
) -> None:
    """If a list names an alias or an address that the site has everywhere, it is the list that is wrong."""
    ours = answered(View.LOCAL, "edge.example", SINK)
    query = ControlQuery(id=5, view=View.CONTROL, url=HTTPS, resolved=resolved)
    steps = (ours, answered(View.TRUSTED, *others), query)
    target = normalise(HTTPS)
    measured = structs.replace(ScriptedNetwork(OPEN).measurement(target, "web"), observations=steps)
    case = Case(measured, BOGONS, fingerprints=Fingerprints([row(location="dns", kind="full", pattern=pattern)]))
    assert (in_answers(case, case.reading.legs[0], [ours]) is not None) is known


def test_a_known_private_address_confirms_the_bogon() -> None:
    world = replace(OPEN, answers=lie([["10.1.2.3"]]), ports={(SITE, 443): Failure.CONNECTION_REFUSED})
    verdict = judged(world, row(location="dns", kind="full", pattern="10.1.2.3"))
    assert (told(verdict), verdict.confidence) == (("blocked", "dns.bogon", MARK), Confidence.CONFIRMED)
    plain = judged(world)
    assert (told(plain), plain.confidence) == (("blocked", "dns.bogon", None), Confidence.LIKELY)
    product = judged(world, row(location="dns", kind="full", pattern="10.1.2.3", scope="prod"))
    assert (told(product), product.confidence) == (("blocked", "dns.bogon", MARK), Confidence.LIKELY)


def test_a_known_page_behind_the_answer_is_a_block_page() -> None:
    world = replace(OPEN, answers=lie([[SINK]]), ports={(SINK, 80): None}, pages={(SINK, HOST): NOTICE})
    assert told(judged(world, row(), url=HTTPS)) == ("blocked", "dns.blockpage", MARK)
    assert judged(world, url=HTTPS).outcome == "unreachable"


@pytest.mark.parametrize("sought", [row(), ISSUER], ids=["page", "issuer"])
def test_a_known_page_or_issuer_behind_the_answer_is_one_too(sought: Fingerprint) -> None:
    """If the true address is closed as well, what answers at the other shows its page or its certificate."""
    world = replace(
        OPEN,
        answers=lie([[SINK]]),
        ports={(SINK, 443): None, (SITE, 443): Failure.TIMEOUT},
        hands={(SINK, HOST): UNKNOWN},
        issuers={(SINK, HOST): "CN=Gov Root"},
        pages={(SINK, HOST): NOTICE},
    )
    assert told(judged(world, sought, url=HTTPS)) == ("blocked", "dns.blockpage", MARK)
    assert judged(world, url=HTTPS).outcome != "blocked"


def test_a_default_page_behind_an_old_answer_is_not_taken_for_a_block_page() -> None:
    """If a host's page for any name speaks of what is denied, and is known for a wall, the answer may be old."""
    wall = Page(200, b"Access denied by law", "Just a moment...")
    world = replace(OPEN, answers=lie([[SINK]]), ports={(SINK, 80): None}, pages={(SINK, n): wall for n in (HOST, H)})
    assert judged(world, WALL, url=HTTPS).outcome == "unreachable"
    assert judged(world, url=HTTPS).outcome == "blocked"


# Certificates


def intercepted(failure: Failure = UNKNOWN, *names: str) -> World:
    return replace(
        OPEN,
        hands={(SITE, n): failure for n in (HOST, *names)},
        issuers={(SITE, n): "CN=Gov Root" for n in (HOST, *names)},
    )


@pytest.mark.parametrize(("names", "trigger"), [((), "name_and_address"), ((H,), "address")])
def test_a_known_issuer_is_an_interceptor(names: tuple[str, ...], trigger: str) -> None:
    verdict = judged(intercepted(UNKNOWN, *names), ISSUER, url=HTTPS)
    assert (told(verdict), verdict.trigger) == (("blocked", "tls.mitm", MARK), trigger)
    assert judged(intercepted(UNKNOWN, *names), url=HTTPS).outcome == "inconclusive"


def test_a_known_page_under_an_unknown_certificate_is_an_interceptor_too() -> None:
    world = replace(intercepted(), pages={(SITE, HOST): NOTICE})
    assert told(judged(world, row(), url=HTTPS)) == ("blocked", "tls.mitm", MARK)


def test_a_products_issuer_accuses_nobody_by_itself() -> None:
    product = structs_replace(ISSUER, scope="prod")
    assert judged(intercepted(), product, url=HTTPS).outcome == "inconclusive"
    every = replace(
        OPEN,
        hands={(a, n): UNKNOWN for a in ALL for n in EVERY_NAME},
        issuers={(a, n): "CN=Gov Root" for a in ALL for n in EVERY_NAME},
        paths={(SITE, None): cut_at(1, "open")},
    )
    verdict = judged(every, product, url=HTTPS)
    assert (verdict.outcome, verdict.reason) == ("invalid", "private_issuer")
    named = replace(
        OPEN, hands={(a, HOST): UNKNOWN for a in (SITE, W1, W2, W3)}, issuers={(a, HOST): "CN=Gov Root" for a in ALL}
    )
    verdict = judged(named, product, url=HTTPS)
    assert (told(verdict), verdict.where) == (("blocked", "tls.mitm", MARK), "unknown")


def test_a_vetoed_issuer_is_none() -> None:
    veto = structs_replace(ISSUER, scope="fp", name="lab")
    assert judged(intercepted(), ISSUER, veto, url=HTTPS).outcome == "inconclusive"


def test_a_site_whose_certificate_is_bad_for_all_is_not_intercepted() -> None:
    world = replace(intercepted(), seen=UNKNOWN)
    assert judged(world, ISSUER, url=HTTPS).outcome == "server_side"


def structs_replace(sought: Fingerprint, **changes: str) -> Fingerprint:
    return replace(sought, **changes)  # type: ignore[arg-type]


# Under the site's own certificate


def test_a_notice_under_the_sites_own_certificate_is_the_sites() -> None:
    """If the site's own server shows a blocker's page here and another to the control, nobody is in between."""
    world = replace(OPEN, pages={(SITE, HOST): NOTICE})
    verdict = judged(world, row(), url=HTTPS)
    assert (told(verdict), verdict.reason) == (("server_side", None, MARK), "notice")
    assert judged(world, row(), url=HTTPS, body_of_control=WORDS.encode()).outcome == "accessible"
    assert judged(world, row(), url=HTTPS, body_of_control=None).outcome == "accessible"
    assert judged(replace(world, seen=None), row(), url=HTTPS).outcome == "accessible"
    assert judged(world, row(scope="vbw"), url=HTTPS).outcome == "accessible"


def test_a_refusal_with_a_notice_names_it() -> None:
    world = replace(OPEN, pages={(SITE, HOST): replace(NOTICE, status=451)})
    verdict = judged(world, row(), url=HTTPS)
    assert (told(verdict), verdict.reason) == (("server_side", None, MARK), "refused")


# Records of OONI's


def test_a_record_of_oonis_rests_on_less() -> None:
    """If only the helper's title and length are known, a known page is likely, and without it nothing."""
    verdict = judged(AT_SITE, row(), body_of_control=None, source="ooni")
    assert (told(verdict), verdict.confidence) == (("blocked", "http.blockpage", MARK), Confidence.LIKELY)
    hint = judged(AT_SITE, row(scope="vbw"), body_of_control=None, source="ooni")
    assert told(hint) == ("unreachable", None, MARK)


def test_without_fingerprints_a_case_recognises_nothing() -> None:
    assert judged(AT_SITE).findings[0].fingerprint is None
