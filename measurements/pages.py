"""What a page says of itself, in words that many blockers use.

Words alone accuse nobody: they tell a blocker's page from the default page of an old host, where everything
else already shows that the page is not the site's.
"""

from __future__ import annotations

import re

from measurements.model import HttpExchange
from measurements.reading import REFUSALS

LEGAL_WORDS = re.compile(
    rb"\bby (law|order|decree)\b|\bcourt\b|\bministry\b|\bauthorit(y|ies)\b|\bgovernment\b|censor|for legal reasons"
    rb"|bloqu|interdit|acc\xc3\xa8s refus|prohibid|denegad|gesperrt|engellen|eri\xc5\x9fim|dilarang|diblokir"
    + "|заблок|ограничен|запрещ|блокир|محجوب|حجب|ممنوع|مسدود|پیوندها|封锁|禁止|屏蔽|차단".encode(),
    re.IGNORECASE,
)
"""What a page of a blocker says, and a server that knows no such site does not."""
BLOCKING_WORDS = re.compile(rb"\bblocked\b|\bdenied\b|prohibit|\brestricted\b|\bforbidden\b", re.IGNORECASE)
"""What a blocker's page says as well; a server's own refusal may use the same words."""
HOSTING_WORDS = re.compile(
    rb"\bhost(ing|ed|er)\b|\bunpaid\b|\binvoice\b|\bthe bill\b|\bsuspended\b|\bexpired\b|\bparked\b|\bfor sale\b",
    re.IGNORECASE,
)
"""What a hoster says of a customer who left or did not pay."""
BLOCKING_PLACES = re.compile(r"block|denied|forbid|prohibit|restrict|censor|filter|warning", re.IGNORECASE)


PORTAL_PLACES = re.compile(
    r"portal|captive|hotspot|\bpay|payment|\btax|\bott\b|top-?up|recharge|bundle|subscri|billing|activat", re.IGNORECASE
)
"""Where an operator sends those who are to pay, or to sign in, first."""


def asks_to_pay(page: HttpExchange) -> bool:
    """Whether a redirect leads to an operator's door, where one pays or signs in, and not to a notice of a block."""
    return page.redirect is not None and not speaks_of_blocking(page) and bool(PORTAL_PLACES.search(page.redirect))


def speaks_of_blocking(page: HttpExchange) -> bool:
    """Whether a page, or where it sends us, says that something is not allowed: an old host's default would not."""
    if page.redirect is not None:
        return BLOCKING_PLACES.search(page.redirect) is not None
    told = _visible(page.body) + b" " + (page.title or "").encode()
    mild = page.status not in REFUSALS and BLOCKING_WORDS.search(told) is not None
    return page.status == 451 or mild or LEGAL_WORDS.search(told) is not None


def speaks_of_hosting(page: HttpExchange) -> bool:
    """Whether a hoster says of a customer that he is gone or has not paid, in whichever hard words."""
    told = _visible(page.body) + b" " + (page.title or "").encode()
    return page.status != 451 and HOSTING_WORDS.search(told) is not None and LEGAL_WORDS.search(told) is None


def _visible(body: bytes) -> bytes:
    """Return a page without its tags, scripts and styles, where `display: block` is no threat."""
    shown: list[bytes] = []
    at, lower = 0, body.lower()
    while (start := body.find(b"<", at)) >= 0:
        shown.append(body[at:start])
        hidden = next((name for name in (b"script", b"style") if lower.startswith(name, start + 1)), None)
        end = start if hidden is None else lower.find(b"</" + hidden, start)
        end = body.find(b">", end) if end >= 0 else -1
        if end < 0:
            return b" ".join(shown)
        at = end + 1
    return b" ".join((*shown, body[at:]))
