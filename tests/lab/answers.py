"""How odd sites answer requests: each a function from a visit to what is written, with pauses, or a reset.

Nothing here interferes on the way: all of it is what real servers do, some of it to visitors from one
country only. A site's name in `sites.py` picks its answer.
"""

from __future__ import annotations

import gzip
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.lab.notices import ELSEWHERE, TITLE, WORDS, notice

Step = bytes | float | None
"""Write this, wait so many seconds, or (None) hang up with a reset."""

_DRIP = 0.2  # seconds between the bytes of a tar-pit


@dataclass(frozen=True, slots=True)
class Visit:
    """A request; `from_country` when it comes from the censored country's network."""

    host: str
    path: str
    secure: bool
    from_country: bool
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.host}"


def page(title: str, text: str = "", *, size: int = 3000) -> str:
    """Return an HTML page of about `size` bytes."""
    line = f"<p>{text or f'This is what {title} says, in its own words.'}</p>\n"
    return f"<html><head><title>{title}</title></head><body>\n{line * max(1, size // len(line))}</body></html>\n"


def response(status: str, body: str | bytes = b"", *headers: str) -> bytes:
    """Write a whole HTTP/1.1 response."""
    data = body.encode() if isinstance(body, str) else body
    lines = (f"HTTP/1.1 {status}", "Content-Type: text/html", *headers, f"Content-Length: {len(data)}")
    return "\r\n".join((*lines, "Connection: close", "", "")).encode() + data


SUSPENDED = page("Account suspended", "This site has been blocked by its hosting company: the bill was not paid.")


def welcome(visit: Visit) -> bytes:
    return response("200 OK", page(visit.host))


def moved(location: str) -> bytes:
    return response("302 Found", "", f"Location: {location}")


def slow(visit: Visit) -> Iterator[Step]:
    yield 2.0
    yield b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n"
    yield f"<html><head><title>{visit.host}</title></head>".encode()
    for number in range(6):
        yield 0.4
        yield f"<p>Piece {number} of a page that takes its time.</p>\n".encode() * 10


_last_visit: dict[str, float] = {}


def cold(visit: Visit) -> Iterator[Step]:
    """Wake up for two seconds, unless somebody has just been there."""
    now = time.monotonic()
    if now - _last_visit.get(visit.host, -60.0) > 20.0:
        yield 2.0
    _last_visit[visit.host] = now
    yield welcome(visit)


def captcha(visit: Visit) -> Iterator[Step]:
    challenge = page("Just a moment...", "Checking if the site connection is secure. Enable JavaScript.", size=900)
    yield response("503 Service Unavailable", challenge, "Server: guard") if visit.from_country else welcome(visit)


def geo_403(visit: Visit) -> Iterator[Step]:
    fence = page("Access denied", "This content is not available in your country.", size=500)
    yield response("403 Forbidden", fence) if visit.from_country else welcome(visit)


def geo_451(visit: Visit) -> Iterator[Step]:
    fence = page("Unavailable", "We cannot serve readers in your country for legal reasons.", size=500)
    yield response("451 Unavailable For Legal Reasons", fence) if visit.from_country else welcome(visit)


def geo_200(visit: Visit) -> Iterator[Step]:
    """Tell the country's visitors so as if nothing were wrong."""
    fence = page("Not available", "This service is not available in your country.", size=500)
    yield response("200 OK", fence) if visit.from_country else welcome(visit)


def suspended(visit: Visit) -> Iterator[Step]:
    yield response("200 OK", SUSPENDED)


def refuses_control(visit: Visit) -> Iterator[Step]:
    yield welcome(visit) if visit.from_country else response("403 Forbidden", page("Forbidden", size=200))


def drops_control(visit: Visit) -> Iterator[Step]:
    yield welcome(visit) if visit.from_country else None


def wall_403(visit: Visit) -> Iterator[Step]:
    yield response(
        "403 Forbidden", page("Attention required", "You have been blocked by this site's security service.")
    )


def wall_429(visit: Visit) -> Iterator[Step]:
    yield response("429 Too Many Requests", page("Too many requests", size=200), "Retry-After: 3600")


def wall_503(visit: Visit) -> Iterator[Step]:
    yield response("503 Service Unavailable", page("Just a moment...", size=900))


def error_500(visit: Visit) -> Iterator[Step]:
    yield response("500 Internal Server Error", page("Database error", size=200))


def changing(visit: Visit) -> Iterator[Step]:
    """Show another title and another body to each visitor."""
    words = " ".join(secrets.token_hex(3) for _ in range(6))
    yield response("200 OK", page(words, words, size=random.randint(2000, 9000)))


def news_title(visit: Visit) -> Iterator[Step]:
    """Show the same name and another headline, in a page of another length."""
    headline = f"{secrets.token_hex(4)} | Evening Courier, independent newspaper"
    yield response("200 OK", page(headline, secrets.token_hex(20), size=random.randint(2000, 9000)))


def headers_near(visit: Visit) -> Iterator[Step]:
    """Send 24 kB of headers."""
    yield response("200 OK", page(visit.host), *(f"X-Part-{n}: {'x' * 1000}" for n in range(24)))


def headers_beyond(visit: Visit) -> Iterator[Step]:
    """Send 90 kB of headers, more than we keep and less than a browser takes."""
    yield response("200 OK", page(visit.host), *(f"X-Part-{n}: {'x' * 1000}" for n in range(90)))


def zipped(visit: Visit) -> Iterator[Step]:
    if "gzip" not in visit.headers.get("accept-encoding", ""):
        yield welcome(visit)
    else:
        yield response("200 OK", gzip.compress(page(visit.host).encode()), "Content-Encoding: gzip")


def bomb(visit: Visit) -> Iterator[Step]:
    """Send 50 MB of blanks in 50 kB."""
    if "gzip" not in visit.headers.get("accept-encoding", ""):
        yield welcome(visit)
    else:
        yield response("200 OK", gzip.compress(page(visit.host).encode() + b" " * 50_000_000), "Content-Encoding: gzip")


def short(visit: Visit) -> Iterator[Step]:
    """Promise twice as much as is sent."""
    body = page(visit.host).encode()
    yield f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {2 * len(body)}\r\n\r\n".encode() + body


def loop(visit: Visit) -> Iterator[Step]:
    yield moved("/again" if visit.path == "/" else "/")


def _hops(visit: Visit, most: int) -> Iterator[Step]:
    done = int(visit.path.strip("/") or 0)
    yield moved(f"/{done + 1}") if done < most else welcome(visit)


def hop_15(visit: Visit) -> Iterator[Step]:
    return _hops(visit, 15)


def hop_100(visit: Visit) -> Iterator[Step]:
    return _hops(visit, 100)


def cookie(visit: Visit) -> Iterator[Step]:
    """Send every visitor to the same page until he brings the cookie that it sets."""
    if "seen=1" in visit.headers.get("cookie", ""):
        yield welcome(visit)
    else:
        yield response("302 Found", "", f"Location: {visit.origin}/", "Set-Cookie: seen=1")


def http_10(visit: Visit) -> Iterator[Step]:
    yield f"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n{page(visit.host)}".encode()


def garbage(visit: Visit) -> Iterator[Step]:
    """Announce chunks and send none."""
    yield b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\nno chunk\r\n"


def empty(visit: Visit) -> Iterator[Step]:
    yield response("200 OK")


def no_content(visit: Visit) -> Iterator[Step]:
    yield b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


def meta(visit: Visit) -> Iterator[Step]:
    head = f'<html><head><meta http-equiv="refresh" content="0; url=/home"><title>{visit.host}</title></head></html>'
    yield response("200 OK", head)


def by_country(visit: Visit) -> Iterator[Step]:
    yield moved("https://edition-zz.example/") if visit.from_country else welcome(visit)


def broken_location(visit: Visit) -> Iterator[Step]:
    """Lead the country's visitors to `http://` or `https://`, and others to a page."""
    scheme = "https" if visit.secure else "http"
    yield moved(f"{scheme}://") if visit.from_country else moved("https://edition-zz.example/")


def firewall(visit: Visit) -> Iterator[Step]:
    """Reset whoever says that he is a browser."""
    yield None if "Mozilla" in visit.headers.get("user-agent", "") else welcome(visit)


_visits: Counter[str] = Counter()


def flapping(visit: Visit) -> Iterator[Step]:
    """Reset every other visitor: one of two servers behind one address is broken."""
    _visits[visit.host] += 1
    yield welcome(visit) if _visits[visit.host] % 2 else None


def _drops(data: bytes) -> Iterator[Step]:
    for byte in data:
        yield _DRIP
        yield bytes([byte])


def drip_head(visit: Visit) -> Iterator[Step]:
    """Send headers a byte at a time, for hours."""
    yield from _drops(b"HTTP/1.1 200 OK\r\n" + b"X-Patience: is a virtue\r\n" * 1000)


def drip_body(visit: Visit) -> Iterator[Step]:
    """Send a page a byte at a time, for hours."""
    body = page(visit.host, size=20_000).encode()
    yield f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    yield from _drops(body)


def drip_hops(visit: Visit) -> Iterator[Step]:
    """Send every visitor on to another page, each time after a while."""
    yield 0.9
    yield moved(f"/{visit.path.count('/')}{visit.path}")


def chronicle(visit: Visit) -> Iterator[Step]:
    """Write about block pages, under another headline for every visitor."""
    yield response("200 OK", page(f"{secrets.token_hex(4)} news {secrets.token_hex(4)}", f"They read: page {WORDS}."))


def suspicious(visit: Visit) -> Iterator[Step]:
    wall = page("Just a moment...", f"Your browser is checked. Your last page was {WORDS}.", size=900)
    yield response("403 Forbidden", wall, "Server: guard") if visit.from_country else welcome(visit)


def barred(visit: Visit) -> Iterator[Step]:
    yield response("200 OK", notice(ELSEWHERE)) if visit.from_country else welcome(visit)


def noticed(visit: Visit) -> Iterator[Step]:
    yield response("200 OK", notice(WORDS, TITLE)) if visit.from_country else welcome(visit)


ANSWERS: dict[str, Callable[[Visit], Iterator[Step]]] = {
    answer.__name__: answer
    for answer in (
        *(
            slow,
            cold,
            captcha,
            geo_403,
            geo_451,
            geo_200,
            suspended,
            refuses_control,
            drops_control,
            wall_403,
            wall_429,
            wall_503,
        ),
        *(error_500, changing, news_title, headers_near, headers_beyond, zipped, bomb, short, loop, hop_15, hop_100),
        *(cookie, http_10, garbage, empty, no_content, meta, by_country, broken_location, firewall, flapping),
        *(drip_head, drip_body, drip_hops),
        *(chronicle, suspicious, barred, noticed),
    )
}
