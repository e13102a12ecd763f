"""What a fingerprint is worth as evidence: a known blocker's artefact is proof *between*, if it is one.

It is none where a false-positive signature fits the same page (a bot wall, a default page: the veto comes first),
where the control's answer holds the same pattern, or where the list expects it in another country. What may be a
quotation, a part of a body or of a title, must have been looked for in what the control got, or else the two
answers must at least be different pages. Pages of products (`prod`), and of schools and offices (`inst`), say who
made the filter and not whose it is; they, and what is vague (`vbw`) or unknown, are hints and prove nothing.

And it is never more than half of an accusation: that the site is alive must be shown as well (law 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec import structs

from measurements.case import Case
from measurements.fingerprints import VETO, Fingerprint
from measurements.model import DnsLookup, Finding, HttpExchange, TlsHandshake, Where
from measurements.reading import Control, Leg, same_page

ACCUSING = frozenset({"nat", "isp", "prov", "injb"})
"""Scopes of those who block on the way: a nation, a provider, an injector."""
PRODUCTS = frozenset({"prod", "inst"})
"""Scopes of filters that anybody may own, the volunteer's school among them."""
BLOCKERS = ACCUSING | PRODUCTS
SURE = 8
"""The least confidence by which a fingerprint without a country counts everywhere."""
LIKELY = 5
"""The least confidence by which it counts in the country where it is expected; OONI's list gives most rows this."""
ANYWHERE = "ZZ"


@dataclass(frozen=True)
class Artefact:
    """A fingerprint that was found, and what it is worth.

    `proves` says that it is proof *between*; `compared`, that the same was looked for in the control's answer and
    is not there; `product`, that it names a filter and not its owner.
    """

    fingerprint: Fingerprint
    evidence: tuple[int, ...]
    proves: bool
    compared: bool

    @property
    def product(self) -> bool:
        return self.fingerprint.scope in PRODUCTS

    @property
    def words(self) -> str:
        """Say it in a sentence, with a space before."""
        name = self.fingerprint.mark if len(self.fingerprint.mark) < 60 else _shorter(self.fingerprint)
        if self.proves:
            return f" It is known: {name}."
        if self.product:
            return f" It looks like a filter that homes, schools and providers use: {name}."
        return f" It looks like {name}, which by itself proves nothing."

    def signed(self, finding: Finding) -> Finding:
        """Write the artefact under a finding."""
        return structs.replace(
            finding,
            summary=finding.summary + self.words,
            fingerprint=self.fingerprint.mark,
            evidence=tuple(sorted({*finding.evidence, *self.evidence})),
        )


def _shorter(row: Fingerprint) -> str:
    """The mark with twelve digits of the digest, for people; the finding keeps all of them."""
    listed, _, digest = row.source.partition(" sha256:")
    return f"{row.name} ({listed} sha256:{digest[:12]}…)"


def signed(finding: Finding, artefact: Artefact | None) -> Finding:
    """Write an artefact under a finding, if there is one."""
    return finding if artefact is None else artefact.signed(finding)


def place_of(artefact: Artefact, where: Where) -> Where:
    """Where what was not traced stands: a product may stand anywhere, the volunteer's own house included."""
    return Where.UNKNOWN if artefact.product else where


def vetoed(case: Case, page: HttpExchange) -> bool:
    """Whether a page is known to be no blocker's."""
    return any(row.scope == VETO for row in case.recognised(page))


def on_page(case: Case, leg: Leg, pages: Iterable[HttpExchange | None]) -> Artefact | None:
    """The best artefact on any of these pages, which were shown here for the leg's URL."""
    found = []
    control = _control(case, leg)
    theirs = control.page if control is not None and control.reached else None
    for page in pages:
        if page is None or page.status is None or (theirs is not None and same_page(page, theirs)):
            continue
        for row in () if vetoed(case, page) else case.recognised(page):
            if theirs is not None and row in case.recognised(theirs):
                continue
            compared = theirs is not None and (row.location != "body" or bool(theirs.body))
            quoted = row.kind in ("contains", "regexp") and row.location in ("body", "title")
            apart = theirs is not None or not quoted
            found.append(Artefact(row, (page.id,), apart and _counts(case, row), compared))
    return _best(found)


def in_answers(case: Case, leg: Leg, lookups: Iterable[DnsLookup]) -> Artefact | None:
    """The best artefact in our resolver's answers that no other resolver's answer holds too."""
    control = _control(case, leg)
    resolved = control.query.resolved if control is not None else ()
    others = {row for lookup in leg.trusted for row in case.recognised(lookup)}
    found = [
        Artefact(row, (lookup.id,), _counts(case, row), bool(resolved or leg.trusted_addresses))
        for lookup in lookups
        for row in case.recognised(lookup)
        if row not in others and row.pattern not in resolved
    ]
    return _best(found)


def in_certificate(case: Case, hands: TlsHandshake) -> Artefact | None:
    """The best artefact in the certificate of a handshake."""
    rows = case.recognised(hands)
    if any(row.scope == VETO for row in rows):
        return None
    return _best([Artefact(row, (hands.id,), _counts(case, row), True) for row in rows])


def behind_answers(case: Case, leg: Leg, lookups: Iterable[DnsLookup], page: HttpExchange | None) -> Artefact | None:
    """The best artefact of a lie about the name: in the answer itself, or on the certificate or page behind it."""
    found = [in_answers(case, leg, lookups)]
    found += [in_certificate(case, flow.tls) for flow in leg.local_flows if flow.tls is not None]
    found.append(on_page(case, leg, (page, *(flow.page for flow in leg.local_flows))))
    return _best([one for one in found if one is not None])


def _control(case: Case, leg: Leg) -> Control | None:
    """What the control saw of this leg, or of the chain that began before it."""
    return leg.control or case.reading.control


def _counts(case: Case, row: Fingerprint) -> bool:
    """Whether a fingerprint is one of somebody who blocks here."""
    country = case.measurement.vantage.country
    here = country is not None and country != ANYWHERE and country in row.countries and row.confidence >= LIKELY
    anywhere = (not row.countries or ANYWHERE in row.countries) and row.confidence >= SURE
    return row.scope in ACCUSING and (here or anywhere)


def _best(found: Sequence[Artefact]) -> Artefact | None:
    """What proves goes before what names a product, that before a hint, and what was compared first; else the first."""
    found = [one for one in found if one.fingerprint.scope != VETO]
    return min(found, key=lambda one: (not one.proves, not one.product, not one.compared), default=None)
