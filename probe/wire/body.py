"""A response body, decoded and digested within bounds.

We advertise gzip and deflate, because those can be inflated a bounded piece at a time: a bomb stops at the
cap, having cost no more than the cap. What the output cap does not bound is a chain of empty gzip members,
so members are counted. A coding that we did not ask for, or that breaks, ends the decoding: what was
decoded until then is kept (an unknown coding is kept as it came) and `truncated` says "encoding".
"""

from __future__ import annotations

import hashlib
import html
import re
import zlib

KEPT = 64 * 1024
MOST_MEMBERS = 16
PIECE = 64 * 1024
LONGEST_TITLE = 512
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_RAW_DEFLATE = -zlib.MAX_WBITS
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)


class Body:
    """Collects a body. `most` is the number of decoded bytes wanted, `limit` what that bound is called."""

    def __init__(self, encoding: str, most: int, limit: str) -> None:
        self.kept = bytearray()
        self.length = 0
        self.truncated: str | None = None
        self.problem = ""
        self._digest = hashlib.sha256()
        self._most = most
        self._limit = limit
        self._members = 0
        self._done = False
        self._coding = ", ".join(c for c in map(str.strip, encoding.lower().split(",")) if c not in ("", "identity"))
        self._inflater: zlib._Decompress | None = None
        self._head: bytes | None = b"" if self._coding == "deflate" else None  # until its kind is known
        if self._coding in ("gzip", "x-gzip", "deflate"):
            self._inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
        elif self._coding:
            self.truncated = "encoding"
            self.problem = f"content-encoding {self._coding[:80]!r} was not asked for"

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def feed(self, data: bytes) -> bool:
        """Take bytes as they came; return whether more are wanted."""
        if self._inflater is None:
            self._take(data)
        elif self._head is not None:
            data = self._choose_deflate(self._head + data)
        while data and self._inflater is not None and not self._done:
            data = self._inflate(self._inflater, data)
        return not self._done

    def finish(self) -> None:
        """Take note that the peer has sent all; a compressed body must have ended too."""
        if self._inflater is None or self._done:
            return
        self._take(self._inflater.flush())  # at most what one back-reference still owed
        if not self._inflater.eof and self._members == 0 and self.length:
            self._break("the compressed body ended early")

    def _choose_deflate(self, data: bytes) -> bytes:
        """Tell by its first two bytes whether deflate has the zlib header (RFC 1950) that some servers leave out."""
        if len(data) < 2:
            self._head = data
            return b""
        self._head = None
        if data[0] & 0x0F != 8 or int.from_bytes(data[:2], "big") % 31:
            self._inflater = zlib.decompressobj(_RAW_DEFLATE)
        return data

    def _take(self, data: bytes) -> None:
        room = self._most - self.length
        if len(data) > room:
            self.truncated = self._limit
            self._done = True
            data = data[:room]
        self._digest.update(data)
        self.length += len(data)
        self.kept += data[: KEPT - len(self.kept)]

    def _inflate(self, inflater: zlib._Decompress, data: bytes) -> bytes:
        """Inflate one piece; return what is left to inflate."""
        try:
            self._take(inflater.decompress(data, PIECE))
        except zlib.error as error:
            if self._members == 0:
                self._break(str(error))
            self._inflater = zlib.decompressobj(_GZIP_OR_ZLIB)  # padding behind the body, which browsers forgive
            return b""
        if not inflater.eof:
            return inflater.unconsumed_tail
        self._members += 1
        if self._members >= MOST_MEMBERS and inflater.unused_data:
            self._break(f"more than {MOST_MEMBERS} gzip members")
        self._inflater = zlib.decompressobj(_GZIP_OR_ZLIB)  # another member may follow (RFC 1952, 2.2)
        return inflater.unused_data

    def _break(self, problem: str) -> None:
        self.truncated = "encoding"
        self.problem = problem
        self._done = True


def find_title(page: bytes, content_type: str | None) -> str | None:
    """Find the first `<title …>` of a page, tolerantly, in time linear in its length."""
    lower = page.lower()
    start = 0
    while (start := lower.find(b"<title", start)) >= 0:
        start += len(b"<title")
        if lower[start : start + 1] in (b">", b"/", b" ", b"\t", b"\n", b"\r", b"\f"):
            break
    else:
        return None
    opened = lower.find(b">", start)
    if opened < 0:
        return None
    closed = lower.find(b"</title", opened)
    raw = page[opened + 1 : closed if closed >= 0 else opened + 1 + LONGEST_TITLE][: 4 * LONGEST_TITLE]
    text = html.unescape(_decode(raw, content_type))
    return " ".join(text.split())[:LONGEST_TITLE]


def _decode(raw: bytes, content_type: str | None) -> str:
    named = _CHARSET.search((content_type or "")[:1024])
    try:
        return raw.decode(named[1] if named else "utf-8", "replace")
    except (LookupError, ValueError):
        return raw.decode("utf-8", "replace")
