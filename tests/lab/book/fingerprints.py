"""Block pages that are known by name, and pages that only look like them."""

from __future__ import annotations

from tests.lab.book.verdicts import ACCESSIBLE, blocked, everywhere
from tests.lab.notices import ADDRESS, LOCATION, SCHOOL, TITLE, WORDS, notice
from tests.lab.scenario import Expect, HostFilter, ResolverLie, Scenario

RADIO = "http://freeradio.example/"
AT_RADIO = ("203.0.113.12",)


def known(mechanism: str, fingerprint: str, trigger: str = "name_and_address", where: str = "network") -> Expect:
    """Return a proven block whose artefact is known by this fingerprint."""
    plain = blocked(mechanism, trigger, where)
    return Expect(
        outcome=plain.outcome, mechanism=mechanism, trigger=trigger, where=where, fingerprint=f"lab.{fingerprint}"
    )


def at_radio(
    name: str, about: str, done: HostFilter, expect: Expect, seen: str, without_control: Expect | None = None
) -> Scenario:
    """Return a scenario in which the radio's page is another one here."""
    return Scenario(
        name=f"fingerprint-{name}",
        about=about,
        target=RADIO,
        mechanisms=(done,),
        expect=expect,
        without_control=without_control,
        seen=seen,
        abroad="http 200 freeradio.example",
    )


FINGERPRINTS = (
    at_radio(
        "words",
        "The ISP answers for the name at the site's own address, with words that are known.",
        HostFilter(names=("freeradio.example",), addresses=AT_RADIO, action="page", body=notice(WORDS)),
        known("http.blockpage", "words"),
        "http 200 Sorry",
        without_control=Expect(outcome=("blocked", "inconclusive"), fingerprint="lab.words"),
    ),
    at_radio(
        "title",
        "The same, known by its title alone: its words change.",
        HostFilter(names=("freeradio.example",), addresses=AT_RADIO, action="page", body=notice("moved", TITLE)),
        known("http.blockpage", "title"),
        f"http 200 {TITLE}",
        without_control=Expect(outcome=("blocked", "inconclusive"), fingerprint="lab.title"),
    ),
    at_radio(
        "redirect",
        "The ISP redirects the name, wherever it is asked for, to a place that is known.",
        HostFilter(names=("freeradio.example",), action="redirect", location=LOCATION),
        known("http.redirect", "redirect", trigger="name"),
        f"http 302 {LOCATION}",
    ),
    Scenario(
        name="fingerprint-address",
        about="The ISP's resolver gives an address that is known for it, and nothing answers there.",
        mechanisms=(ResolverLie(answer=ADDRESS),),
        expect=known("dns.blockpage", "address", trigger="name", where="resolver"),
        seen="tcp *",
        alike="one-of-three-dead",
    ),
    at_radio(
        "school",
        "A school's own router shows its filter's page, which many schools have.",
        HostFilter(names=("freeradio.example",), action="page", body=notice(SCHOOL), by="home"),
        known("http.blockpage", "school", trigger="name", where="local"),
        "http 200 Sorry",
    ),
    everywhere(
        "fingerprint-quoted",
        "A news site in clear quotes the block page's words, below a headline that changes with every visit.",
        "http://chronicle.example/",
        Expect(outcome=("accessible", "inconclusive"), fingerprint="none"),
        "http 200 *",
        without_control=Expect(outcome=("accessible", "inconclusive")),
    ),
    Scenario(
        name="fingerprint-wall",
        about="The site's own bot wall says to the country's visitors what the block page says.",
        target="http://suspicious.example/",
        expect=Expect(outcome=("server_side", "inconclusive"), fingerprint="none"),
        seen="http 403 Just a moment...",
        abroad="http 200 suspicious.example",
    ),
    Scenario(
        name="fingerprint-of-elsewhere",
        about="The site shows the country's visitors a block page that is known from another country.",
        target="http://barred.example/",
        expect=Expect(outcome="inconclusive", fingerprint="lab.elsewhere"),
        seen="http 200 Sorry",
        abroad="http 200 barred.example",
    ),
    Scenario(
        name="fingerprint-of-the-site",
        about="The site shows the country's visitors the block page itself, under its own certificate.",
        target="https://noticed.example/",
        expect=Expect(outcome="server_side", reason="notice", fingerprint="lab.title"),
        without_control=ACCESSIBLE,
        seen=f"http 200 {TITLE}",
        abroad="http 200 noticed.example",
    ),
)
