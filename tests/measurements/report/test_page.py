"""A page about real events says what they say, exactly as surely, safely, and in the reader's language."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from msgspec.structs import replace

from measurements.dossier import Dossier, LeftOut, gather
from measurements.events.nouns import Event, Kind, Status
from measurements.model import Gap, Where
from measurements.report import html
from measurements.report.doubts import State, doubts
from measurements.report.language import language
from measurements.report.rows import MOST_GROUPS, MOST_OTHERS, MOST_ROWS, rows_of
from measurements.report.seen import alive
from measurements.report.words import HELD
from measurements.store import Store, open_store
from tests.measurements.report import scenes
from tests.measurements.report.looks import Look
from tests.measurements.report.messages import messages

Scene = Callable[[Store], list[Event]]
ENGLISH = language("en")


@cache
def dossier(scene: Scene) -> Dossier:
    """Play a scene into a store and gather its newest event."""
    with TemporaryDirectory() as folder, open_store(f"sqlite:///{folder}/wazi.db") as store:
        return gather(store, scene(store)[0].id)


SCENES: dict[Scene, str] = {
    scenes.two_hours: "facebook.com and x.com were blocked on 2 networks in Ethiopia",
    scenes.going_on: "facebook.com is blocked on AS24757 in Ethiopia",
    scenes.unconfirmed: "Not confirmed: signs that facebook.com is blocked on AS24757 in Ethiopia",
    scenes.throttled: "facebook.com is slowed down on AS24757 in Ethiopia",
    scenes.unreachable: "facebook.com cannot be reached on AS24757 in Ethiopia, and why is not settled",
    scenes.outage: "For a time, nothing could be reached from one probe on AS24757 in Ethiopia",
}
IDS = [scene.__name__ for scene in SCENES]


@pytest.mark.parametrize("scene", SCENES, ids=IDS)
def test_the_headline_is_as_sure_as_the_event(scene: Scene) -> None:
    look = Look(html([dossier(scene)]))
    assert f"{SCENES[scene]} – Wazi" in look.text
    assert look.text.count(SCENES[scene]) >= 2  # the title and the headline
    sure = "Not confirmed: this may be a false alarm." in look.text
    assert sure == (dossier(scene).event.status is Status.UNCONFIRMED)


@pytest.mark.parametrize("scene", SCENES, ids=IDS)
@pytest.mark.parametrize("code", ["en", "fr"])
def test_a_page_is_whole_and_asks_for_nothing(scene: Scene, code: str) -> None:
    page = html([dossier(scene)], code, made=1_794_000_000.0)
    look = Look(page)
    assert (look.wrong, look.open) == ([], [])
    assert look.tags[0] == ("html", {"lang": code, "dir": "ltr"})
    assert not {tag for tag, _ in look.tags} & {"script", "img", "link", "iframe", "object", "embed", "form", "base"}
    policy = next(a["content"] for t, a in look.tags if t == "meta" and "http-equiv" in a)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    named = [a[key] or "" for _, a in look.tags for key in ("href", "src", "xlink:href") if key in a]
    assert [one for one in named if not one.startswith("#")] == []
    assert "url(" not in re.sub(r"url\(#event-\d-\w+-hatch\)", "", page)
    ids = [attributes["id"] for _, attributes in look.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    referred = {one for _, a in look.tags for one in (a.get("aria-labelledby") or "").split()}
    assert referred <= set(ids)
    assert [tag for tag, _ in look.tags].count("h1") == 1
    assert all("scope" in attributes for tag, attributes in look.tags if tag == "th")


def test_when_it_began_is_said_in_utc_and_on_the_clock_of_the_country() -> None:
    look = Look(html([dossier(scenes.two_hours)]))
    assert "between 12:00 and 13:00 on 30 October 2026 (UTC)" in look.text
    assert "between 15:00 and 16:00 on 30 October 2026, local time" in look.text
    abroad = replace(dossier(scenes.two_hours).event, countries=("ET", "KE"))
    both = Look(html([replace(dossier(scenes.two_hours), event=abroad)]))
    assert "local time" not in both.text
    assert "on 2 networks in Ethiopia and Kenya" in both.text


def test_how_long_it_lasted_is_a_range() -> None:
    assert "Lasted 1 h 49 min to 5 h 19 min" in Look(html([dossier(scenes.two_hours)])).text
    assert re.search("Lasted at least 9 hours so far", Look(html([dossier(scenes.going_on)])).text)


def test_both_proofs_are_told_with_rules_and_steps() -> None:
    look = Look(html([dossier(scenes.two_hours)]))
    for said in (
        "In 33 of 33 witnesses the control outside reached the site at that moment.",
        "from other networks reached it meanwhile.",
        "Something came back that the site cannot have sent",
        "The site’s name, said to unrelated servers connection cut off (reset) 99",
        "A harmless name, said to the same servers answered, with a certificate for another name 99",
        "How far packets with the site’s name get cut off (reset) at hop 3 33",
        "tls.blocked (33)",
        "130,000 times likelier if access changed",
        "This ratio is not the odds of censorship",
    ):
        assert said in look.text
    assert "Handshakes that name facebook.com are cut by a reset" in look.quoted  # the rules' words are a quotation
    assert "Handshakes that name" not in look.text


def test_a_network_that_is_not_known_is_not_another_one() -> None:
    whole = dossier(scenes.two_hours)
    assert alive(whole).elsewhere > 0
    unknown = tuple(
        replace(kept, measurement=replace(kept.measurement, vantage=replace(kept.measurement.vantage, asn=None)))
        for kept in whole.accesses
    )
    assert alive(replace(whole, accesses=unknown)).elsewhere == 0


def test_a_throttle_is_told_in_rates() -> None:
    look = Look(html([dossier(scenes.throttled)]))
    assert re.search(r"An object under the site’s name 12[5-8]\xa0kbit/s in the median", look.text)
    assert "The same object under a harmless name 8\xa0Mbit/s in the median" in look.text
    assert "the same object came under a harmless name, right beside it" in look.text


def test_what_cannot_be_reached_accuses_nobody() -> None:
    look = Look(html([dossier(scenes.unreachable)]))
    assert "it may be the site’s own doing" in look.text
    assert "Nothing proves that something between the reader and the site did it: nobody is accused." in look.text
    assert " blocked " not in look.text.partition("Method")[0].replace("rules’ words", "")


def states(found: Dossier) -> dict[str, State]:
    return {doubt.question: doubt.state for doubt in doubts(found, ENGLISH)}


def test_what_was_seen_excludes_other_explanations_and_what_was_not_does_not() -> None:
    sure = states(dossier(scenes.two_hours))
    assert sure["Was the site itself down, or under maintenance?"] is State.EXCLUDED
    assert sure["Was it one probe or one line only?"] is State.EXCLUDED
    assert sure["Was it a fault or maintenance in the network, without intent?"] is State.PARTLY
    assert sure["Was it chance?"] is State.PARTLY  # one false alarm a week is allowed
    unsure = states(dossier(scenes.unreachable))
    assert unsure["Does the site itself turn visitors away, by country or by request?"] is State.OPEN
    assert unsure["Was it the volunteer’s own router, or a filter at home, at school or at work?"] is State.OPEN
    assert states(dossier(scenes.unconfirmed))["Was it chance?"] is State.OPEN
    assert states(dossier(scenes.unconfirmed))["Was it one probe or one line only?"] is State.OPEN
    assert set(states(dossier(scenes.outage)).values()) == {State.EXCLUDED, State.OPEN}


def test_without_a_witness_nothing_is_excluded_by_witnesses() -> None:
    bare = replace(
        dossier(scenes.two_hours),
        witnesses=(),
        accesses=(),
        votes=(),
        placebos=(),
        outcomes=(),
        gaps=(),
        lost=("a" * 32,),
    )
    found = states(bare)
    kept = {question for question, state in found.items() if state is State.EXCLUDED}
    assert kept == {"Was it one probe or one line only?"}  # the event itself says so
    look = Look(html([bare]))
    assert "1 witness is no longer kept: " + "a" * 32 in look.text
    assert "No witness is kept that could show it." in look.text
    assert "Nothing in the witnesses kept here shows that the site was up." in look.text


def spoiled(**fields: object) -> dict[str, State]:
    """Weigh a block of which every witness was measured under other circumstances."""
    whole = dossier(scenes.two_hours)
    changed = tuple(
        replace(
            kept,
            measurement=replace(
                kept.measurement,
                preconditions=replace(kept.measurement.preconditions, **fields),
            ),
        )
        for kept in whole.witnesses
    )
    return states(replace(whole, witnesses=changed))


def test_a_filter_at_school_can_be_beyond_the_first_router() -> None:
    question = "Was it the volunteer’s own router, or a filter at home, at school or at work?"
    whole = dossier(scenes.two_hours)

    def seen_on(*asns: int) -> State:
        kept = [
            replace(
                one,
                measurement=replace(
                    one.measurement, vantage=replace(one.measurement.vantage, asn=asns[place % len(asns)])
                ),
                verdict=replace(one.verdict, where=Where.NETWORK) if one.verdict else None,
            )
            for place, one in enumerate(whole.witnesses)
        ]
        return states(replace(whole, witnesses=tuple(kept)))[question]

    assert len(whole.witnesses) > 1
    assert (seen_on(1, 2), seen_on(1), seen_on(0)) == (State.EXCLUDED, State.PARTLY, State.PARTLY)


def test_a_site_plays_no_part_where_its_pace_was_compared_on_a_server_of_ours() -> None:
    found = doubts(dossier(scenes.throttled), ENGLISH)
    about_site = next(doubt for doubt in found if doubt.question.startswith("Was the site itself down"))
    assert about_site.state is State.EXCLUDED
    assert "came from a server of Wazi’s own" in about_site.seen[0]
    assert "1. Server and line can do more" in Look(html([dossier(scenes.throttled)])).text


def test_where_nothing_can_be_seen_that_is_what_counts(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/wazi.db") as store:
        found = gather(store, scenes.blind(store)[0].id)
    assert found.event.kind is Kind.BLIND
    assert len(found.witnesses) >= len(found.event.witnesses) > 5
    row = rows_of(found, ENGLISH).rows[0]
    assert row.tally(found.event.onset[1], found.until)[0] > 5
    look = Look(html([found]))
    assert "easurements of facebook.com see nothing any more" in look.text
    assert "2. That something between did it is not shown" in look.text


def test_a_line_that_was_not_seen_to_be_sound_leaves_doubts_open() -> None:
    assert spoiled(clock_offset=None)["Was the computer’s clock wrong?"] is State.OPEN
    assert spoiled(clock_offset=4000.0)["Was the computer’s clock wrong?"] is State.OPEN
    assert spoiled(canaries=())["Was it a sign-in page, as hotels and cafés have them?"] is State.OPEN
    assert spoiled(foreign_alive=None)["Was the volunteer’s own connection broken?"] is State.PARTLY  # placebos worked
    portal = (scenes.GOOD.canaries[0], replace(scenes.GOOD.canaries[1], problem="portal"))
    assert spoiled(canaries=portal)["Was it a sign-in page, as hotels and cafés have them?"] is State.OPEN
    text = Look(html([replace(dossier(scenes.two_hours))])).text
    assert "Harmless sites that were asked in the same networks in those hours worked in 20 of 20 votes." in text


def test_french_is_french() -> None:
    """No sentence that the code has in English is on the page, and what is only text is marked as English."""
    pieces = {
        piece.strip(" .,;:")
        for message in messages()
        for text in (message.id if isinstance(message.id, tuple | list) else [message.id])
        for piece in re.split(r"%\(\w+\)s|%%", str(text))
        if len(piece.split()) >= 3
    }
    assert len(pieces) > 300
    for scene in SCENES:
        found = dossier(scene)
        page = html([found], "fr", made=1_794_000_000.0)
        text = Look(page).text
        assert [piece for piece in pieces if piece in text] == []
        assert found.event.summary not in text
        assert [note for note in found.event.notes if note in text] == []
        for kept in found.witnesses:
            assert kept.verdict is not None
            assert kept.verdict.summary not in text
        assert page.count("<q ") == page.count('<q lang="en" dir="ltr">')
    look = Look(html([dossier(scenes.two_hours)], "fr", made=1_794_000_000.0))
    assert "facebook.com et x.com ont été bloqués sur 2 réseaux (Éthiopie)" in look.text
    assert "entre 12:00 et 13:00 le 30 octobre 2026" in look.text
    assert "130\u202f000 fois plus vraisemblables" in look.text


def test_a_note_that_nobody_knows_is_quoted() -> None:
    found = dossier(scenes.going_on)
    over = replace(found.event, status=Status.CLOSED, reason="ended", notes=(HELD["ended"], HELD["one_line"]))
    text = Look(html([replace(found, event=over)], "fr")).text
    assert text.count("L’accès est comme auparavant.") == 1
    assert "Une seule ligne l’a vu" in text
    nowhere = Look(html([replace(found, event=replace(over, countries=("ZZ",)))])).text
    assert "facebook.com was blocked on AS24757 – Wazi" in nowhere
    noted = replace(found, event=replace(found.event, notes=("The moon was full.",), into="abc"))
    page = html([noted], "fr")
    assert 'Une note en anglais\xa0: <q lang="en" dir="ltr">The moon was full.</q>' in page
    assert "Cela fait désormais partie de l’événement abc." in Look(page).text
    unseen = replace(found.event, notes=("Nothing was seen for 90 minutes of it: the probe did not run.",))
    assert "Pendant 90 minutes de ce temps, rien n’a été vu" in Look(html([replace(found, event=unseen)], "fr")).text


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("code", ["en", "fr"])
def test_every_kind_in_every_state_has_a_headline(kind: Kind, status: Status, code: str) -> None:
    event = replace(dossier(scenes.going_on).event, kind=kind, status=status, confirmed=None, targets=("a.example",))
    headlines = set()
    for reason, confirmed in (("", None), ("ended", 1.0), ("cleared", None), ("merged", None), ("evidence", None)):
        changed = replace(event, reason=reason, confirmed=confirmed)
        look = Look(html([Dossier(event=changed, since=event.onset[0], until=event.updated)], code))
        headlines.add(look.text.partition(" – Wazi")[0])
    assert len(headlines) == (3 if status is Status.CLOSED else 1)
    if status is not Status.CONFIRMED and code == "en":
        unsure = ("Not confirmed: ", "Never confirmed: ", "Not borne out: ", "Withdrawn: ")
        sure = [line for line in headlines if not line.startswith(unsure)]
        assert len(sure) == (status is Status.CLOSED)


PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "</style><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "javascript:alert(1)",
    "{{ 7*7 }}{% include '/etc/passwd' %}",
    "%(number)s %s %",
    "\u202eevil\u2066\x00\x1b[31m",
    "&lt;b&gt;&#60;script&#62;",
)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_text_stays_text(payload: str) -> None:
    honest = dossier(scenes.going_on)
    found = scenes.hostile(honest, payload)
    for code in ("en", "fr"):
        page = html([found], code, address="https://wazi.example")
        look, like = Look(page), Look(html([honest], code, address="https://wazi.example"))
        assert (look.wrong, look.open) == ([], [])
        assert {tag for tag, _ in look.tags} <= {tag for tag, _ in like.tags} | {"q", "tspan"}
        assert {name for _, a in look.tags for name in a} <= {name for _, a in like.tags for name in a} | {
            "dir",
            "lang",
        }
        links = [attributes["href"] or "" for tag, attributes in look.tags if tag == "a"]
        assert all(re.fullmatch(r"#event-\d|https://wazi\.example/measurements/[0-9a-f]{32}", link) for link in links)
        assert "\x1b" not in page
        assert "\u202e" not in page
        assert "49" not in look.text or payload != PAYLOADS[6]


def test_an_address_that_is_none_makes_no_links() -> None:
    page = html([dossier(scenes.going_on)], address="javascript:alert(1)")
    assert "javascript" not in page
    linked = html([dossier(scenes.going_on)], address="https://wazi.example")
    witness = dossier(scenes.going_on).witnesses[0].measurement.id
    assert f'<a href="https://wazi.example/measurements/{witness}"' in linked


def test_several_events_begin_with_an_overview() -> None:
    some = [dossier(scenes.two_hours), dossier(scenes.outage), dossier(scenes.unreachable)]
    look = Look(html(some))
    assert "3 events in this report" in look.text
    links = [attributes["href"] for tag, attributes in look.tags if tag == "a"]
    assert links == ["#event-1", "#event-2", "#event-3"]
    assert "evidence.zip" in look.quoted
    assert all(one.event.id in look.quoted for one in some)


def test_hundreds_of_rows_are_bounded_and_said_to_be(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/wazi.db") as store:
        found = gather(store, scenes.many(store, targets=12, days=3.0)[0].id)
    laid = rows_of(found, ENGLISH)
    assert len(found.event.parts) > MOST_ROWS
    assert len(laid.rows) <= MOST_ROWS + MOST_GROUPS + MOST_OTHERS + 1
    page = html([replace(found, left_out=LeftOut(votes=5, witnesses=7, targets=3, accesses=9))])
    look = Look(page)
    assert "rows with less evidence are drawn together" in look.text
    assert "they were thinned evenly" in look.text
    assert "3 more sites are part of this event and were not looked at for this page" in look.text
    assert len(page) < 400_000


@pytest.mark.parametrize("times", [(0.0, 0.0), (-1e9, 1e9), (1e9, 1e17), (0.0, 1e300)])
def test_times_that_no_calendar_holds_are_drawn_and_left_unsaid(times: tuple[float, float]) -> None:
    """A foreign record, or a damaged clock, may name any."""
    event = replace(dossier(scenes.going_on).event, onset=times, end=times, updated=times[1], confirmed=times[1])
    votes = tuple(replace(vote, time=time) for vote, time in zip(dossier(scenes.going_on).votes, times, strict=False))
    gap = Gap(probe_id="p", since=times[0], until=times[1], why="off")
    strange = Dossier(event=event, since=times[0], until=times[1], votes=votes, gaps=(gap,))
    look = Look(html([strange], "fr", made=times[1]))
    assert (look.wrong, look.open) == ([], [])
    assert len([tag for tag, attributes in look.tags if attributes.get("class") == "tick"]) < 60


def test_the_same_dossiers_give_the_same_page() -> None:
    assert html([dossier(scenes.two_hours)]) == html([dossier(scenes.two_hours)])
