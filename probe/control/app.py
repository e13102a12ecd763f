"""A control as a web service: the ASGI application (`server.py` listens and runs it).

`POST` to any path answers a question of OONI's test-helper protocol; `GET` and `HEAD` answer 200 in a
line, for whoever watches that the service is up (OONI's helper answers 400 there, and no probe asks), but for
`/canary`, where a probe learns that it talks to this control and to nobody else (`canary.py`), and
`/bytes/N`, an object of N bytes (`objects.py`); `/bytes/` alone says of which length, and not where the client is.
What it cannot read or does not do is 400, a body beyond the limit 413, and when it is busy or cannot
tell for a reason of its own it is 503 with Retry-After: each with a sentence.

It logs no address and no URL, and keeps none. A client that leaves takes its work with it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

import msgspec

from probe.control import canary, objects
from probe.control.objects import ObjectLimits
from probe.control.policy import Errand, Policy, Refused, Unable, read
from probe.control.protocol import Answer, Malformed, read_question
from probe.control.replies import Receive, Reply, Scope, Send, later, send_reply, sentence
from probe.control.survey import AsnOf, survey
from probe.network import Network

OpenNetwork = Callable[[], AbstractAsyncContextManager[Network]]

DRAINED = 1024 * 1024
"""Bytes of a body too large that are still read, so that the client hears why before the door closes."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """The bounds of the service: at most `concurrency` surveys run at once, more are told to come back."""

    concurrency: int = 32
    connections: int = 256
    request_bytes: int = 64 * 1024
    handshake_seconds: float = 5.0
    head_seconds: float = 10.0
    body_seconds: float = 5.0
    total_seconds: float = 25.0
    patience_seconds: float = 30.0  # for a client that does not read; no probe waits so long for a byte
    retry_after: int = 10
    goodbye_seconds: float = 5.0
    objects: ObjectLimits = field(default_factory=ObjectLimits)


class _TooLarge(Exception):
    """The body has more bytes than are read."""


class ControlApp:
    """The ASGI application; `open_network` gives a Network for one survey, `asn_of` a network's number or 0."""

    def __init__(
        self,
        open_network: OpenNetwork,
        *,
        policy: Policy | None = None,
        limits: ServiceLimits | None = None,
        asn_of: AsnOf = lambda address: 0,
        singer: canary.Singer | None = None,
    ) -> None:
        self._open_network = open_network
        self._singer = singer or canary.Singer()
        self._policy = policy or Policy()
        self._limits = limits or ServiceLimits()
        self._asn_of = asn_of
        self._objects = objects.Objects(self._limits.objects, self._limits.retry_after)
        self._closing = asyncio.Event()
        self._running = 0

    def close(self) -> None:
        """Drop the surveys that run; their clients are told to come back."""
        self._closing.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] == "GET" and scope["path"].startswith(objects.PREFIX) and scope["path"] != objects.PREFIX:
            with self._objects.reply(scope["path"], client_address(scope)) as given:
                await send_reply(given, send)
            return
        reply = await self._reply(scope, receive)
        if reply is not None:
            await send_reply(reply, send)

    async def _reply(self, scope: Scope, receive: Receive) -> Reply | None:
        """Answer a request; None when its client has left."""
        if scope["method"] == "GET" and scope["path"].endswith((canary.PATH, objects.PREFIX)):
            client = client_address(scope) if scope["path"].endswith(canary.PATH) else None
            song = self._singer.sing(scope["query_string"].decode("latin-1"), client)
            if song is not None:
                return Reply(200, song, ((b"content-type", b"application/json"), (b"cache-control", b"no-store")))
        if scope["method"] in ("GET", "HEAD"):
            return sentence(200, "This is a Wazi control. Probes POST the questions of OONI's ts-017 to it.")
        if scope["method"] != "POST":
            return sentence(405, "Only POST is answered here.", (b"allow", b"GET, HEAD, POST"))
        limits = self._limits
        try:
            async with asyncio.timeout(limits.body_seconds):
                body = await _read_body(receive, limits.request_bytes)
            if body is None:
                return None
            errand = read(read_question(body), self._policy)
        except TimeoutError:
            return sentence(408, f"The request took longer than {limits.body_seconds:g} seconds to arrive.")
        except _TooLarge:
            return sentence(413, f"The request is longer than {limits.request_bytes} bytes.")
        except (Malformed, Refused) as error:
            return sentence(400, f"The request cannot be answered: {error}")
        if self._running >= limits.concurrency:
            return self._later("This control is busy.")
        self._running += 1
        try:
            return await self._survey(errand, client_address(scope), receive)
        finally:
            self._running -= 1

    async def _survey(self, errand: Errand, client: str | None, receive: Receive) -> Reply | None:
        """Measure while the client waits; leave everything when it does not."""
        work = asyncio.create_task(self._answer(errand))
        left = asyncio.create_task(_wait_until_gone(receive))
        closing = asyncio.create_task(self._closing.wait())
        try:
            await asyncio.wait({work, left, closing}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                return None if left.done() else self._later("This control is shutting down.")
            answer = msgspec.structs.replace(work.result(), x_client_address=client)
            return Reply(200, msgspec.json.encode(answer), ((b"content-type", b"application/json"),))
        except Refused as error:
            return sentence(400, f"The request cannot be answered: {error}")
        except Unable as error:
            return self._later(f"No answer: {error}.")
        except TimeoutError:
            return self._later("No answer: the measurement took too long.")
        except Exception:
            logger.exception("A survey failed; this is a fault in Wazi")
            return sentence(500, "No answer: this control is at fault.")
        finally:
            for task in (work, left, closing):
                task.cancel()
            await asyncio.gather(work, left, closing, return_exceptions=True)

    async def _answer(self, errand: Errand) -> Answer:
        async with asyncio.timeout(self._limits.total_seconds), self._open_network() as net:
            return await survey(errand, net, self._policy, self._asn_of)

    def _later(self, words: str) -> Reply:
        return later(words, self._limits.retry_after)


async def _read_body(receive: Receive, limit: int) -> bytes | None:
    """Read a request's body; None when the client leaves meanwhile. Raises `_TooLarge`."""
    body, total, more = bytearray(), 0, True
    while more and total <= DRAINED:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunk: bytes = message.get("body", b"")
        total += len(chunk)
        more = message.get("more_body", False)
        if total <= limit:
            body += chunk
    if total > limit:
        raise _TooLarge
    return bytes(body)


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def client_address(scope: Scope) -> str | None:
    """The address that a request came from, as the client would write it; None when it has none."""
    try:
        address = ipaddress.ip_address(scope["client"][0].partition("%")[0])
    except (KeyError, TypeError, ValueError):
        return None
    inner = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(inner or address)
