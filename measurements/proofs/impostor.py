"""Is a page that came under a valid certificate the site's own? Who is in the trust store can sign for any name.

A refusal may be the site's own, for a country or for robots. But where unrelated servers, too, show a certificate that
is valid for the site's name and by the same hand, they cannot be who answered: somebody on the way did. One
company's servers may hold the certificates of all its customers; so every witness must show it.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from measurements.model import HttpExchange, Proof, Purpose, TlsHandshake, Where
from measurements.pages import speaks_of_blocking
from measurements.proofs.elsewhere import ENOUGH
from measurements.proofs.steps import Shown, same_prefix
from measurements.reading import REFUSALS, Flow, Leg, Reading, same_page, same_site

SMALL = 8192  # bytes of a page that may be a notice, and nothing else


def suspicious(page: HttpExchange) -> bool:
    """Whether a page may be a notice of somebody else's: a refusal, words of blocking, or a way to another site."""
    if page.redirect is not None:
        there = urlsplit(page.redirect).hostname or ""
        return not same_site(there, urlsplit(page.url).hostname or "")
    return page.status in REFUSALS or (page.body_length <= SMALL and speaks_of_blocking(page))


def doubted(story: Reading) -> tuple[Leg, Flow, HttpExchange] | None:
    """The last leg, when its page is verified and may be somebody else's all the same; None when the control got it."""
    leg, page, control = story.legs[-1], story.final, story.control
    if story.troubled is not None or page is None or not leg.encrypted or leg.served is None or page.redirect:
        return None
    same = control is not None and control.page is not None and same_page(page, control.page)
    return None if same or not suspicious(page) else (leg, leg.served, page)


def another_signs(story: Reading, flow: Flow) -> Shown | None:
    """Show that unrelated servers have the site's certificate too: they cannot, so another answers for them all."""
    tried = [h for h in story.follow_ups(TlsHandshake, Purpose.TARGET_AT_WITNESS) if h.ended]
    shown = [h for h in tried if h.failure is None and flow.tls is not None and _same_hand(h, flow.tls)]
    if len(shown) < ENOUGH or len(shown) < len(tried) or any(same_prefix(h.address, flow.tcp.address) for h in shown):
        return None
    return Shown(Proof.IMPOSSIBLE, Where.NETWORK, tuple(h.id for h in shown))


def _same_hand(one: TlsHandshake, other: TlsHandshake) -> bool:
    return (bool(one.chain) and one.chain[:1] == other.chain[:1]) or one.issuer == other.issuer
