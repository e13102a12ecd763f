"""Asking for the second opinion.

Controls are asked in the order in which they are configured: the first, and when there are more the
second beside it; the next one when one fails, or is silent for so long that it will hardly answer.
With two answers, that of the control which stands first is used as far as the other does not contradict
it: an endpoint that only one of them could reach is left out, and when they differ on whether the name
has addresses or the site answers, there is no control. One answer alone is used, and the report says
so. A control that fails is no evidence about the site.

What is sent and read is counted while it happens, for a measurement that is cut has paid for it too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import msgspec

from measurements import nat64
from measurements.model import AnyObservation, Failure
from probe.control.agreement import differ, without_contradictions
from probe.control.protocol import HEADERS, Malformed, Question, read_answer
from probe.control.reading import PAGE_BYTES, Account, account
from probe.network import Spent

MAX_ANSWER = 256 * 1024
CONNECT_SECONDS = 8.0
HELLO, WELCOME = 600, 3_800
"""Bytes that a TLS handshake sends and reads under a chain of 3 kB, about; httpx does not count them."""
PATIENCE = 5.0
"""Seconds that a second control may take longer than the first took, once that has answered."""


@dataclass(frozen=True, slots=True)
class ControlReport:
    """What the controls said, or the failure for which there is no control, with words in `detail`.

    `url` is what was asked about, and `control` the control that `steps` are from. They have id 0 and no
    cause: who records them gives both. `dns_failure` is why the control's own lookup gave no address.
    `client_address` is where it saw us come from, and serves redaction only.
    """

    url: str
    failure: Failure | None
    detail: str = ""
    resolved: tuple[str, ...] = ()
    dns_failure: Failure | None = None
    ip_asns: tuple[tuple[str, int], ...] = ()
    client_address: str | None = None
    steps: tuple[AnyObservation, ...] = ()
    control: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a control gave no answer."""

    label: str
    failure: Failure
    detail: str

    def __str__(self) -> str:
        return f"{self.label}: {self.detail or self.failure}"


class ControlClient:
    """Asks the controls at `urls` over an `http_client` that the caller owns and configures.

    `headers` are those with which a control is to fetch the page (Accept, Accept-Language, User-Agent);
    by default they are what our own exchanges send.
    """

    def __init__(
        self, urls: Sequence[str], http_client: httpx.AsyncClient, *, headers: Mapping[str, str] | None = None
    ) -> None:
        self.urls = tuple(dict.fromkeys(urls))
        self.nat64: str | None = None  # the prefix by which a control given by an IPv4 address is reached
        self._http = http_client
        self._headers = _browser_headers() if headers is None else headers

    async def ask(
        self,
        url: str,
        endpoints: Sequence[str],
        timeout: float,
        spent: Spent,
        *,
        quic: bool = False,
        page: bool = False,
    ) -> ControlReport:
        """Ask about `url` and `endpoints` ("ip:port") within `timeout` seconds; raises nothing of the network's.

        With `quic` they are to be tried over QUIC too, and with `page` the beginning of the page is to be sent, by
        a control that can. What it takes is added to `spent`.
        """
        sent = {name: [value] for name, value in self._headers.items() if name.title() in HEADERS}
        question = msgspec.json.encode(Question(url, sent, list(endpoints), quic, PAGE_BYTES if page else 0))
        accounts, troubles = await self._collect(url, endpoints, question, timeout, spent)
        if not accounts:
            words = "; ".join(map(str, troubles)) or "no control is configured"
            return ControlReport(url, troubles[0].failure if troubles else Failure.UNKNOWN, words)
        first, second = accounts[0], accounts[1] if len(accounts) > 1 else None
        if second is None:
            others = "; ".join(map(str, troubles))
            return _report(url, first, f"only {first.label} answered; {others}" if len(self.urls) > 1 else "")
        if (about := differ(first, second)) is not None:
            words = f"controls disagree: {first.label} and {second.label} on {about}"
            return ControlReport(url, Failure.UNKNOWN, words)
        return _report(url, without_contradictions(first, second), f"{second.label} agrees")

    async def _collect(
        self, url: str, endpoints: Sequence[str], question: bytes, timeout: float, spent: Spent
    ) -> tuple[list[Account], list[Trouble]]:
        """Ask until two have answered, in the order of the configuration, and why the others did not."""
        now = asyncio.get_running_loop().time
        began = now()
        deadline, overdue = began + timeout, began + timeout / 2
        waiting = list(self.urls)
        running: dict[asyncio.Task[Account | Trouble], str] = {}
        ended: dict[str, Account | Trouble] = {}
        lagging = 0
        try:
            while sum(isinstance(e, Account) for e in ended.values()) < 2:
                answered = sum(isinstance(e, Account) for e in ended.values())
                while waiting and len(running) < 2 - answered + lagging:
                    control = waiting.pop(0)
                    asking = self._ask_one(control, url, endpoints, question, timeout, spent)
                    running[asyncio.create_task(asking)] = control
                left = min(deadline, overdue) - now()
                if not running or deadline <= now():
                    break
                done, _ = await asyncio.wait(running, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    ended[running.pop(task)] = task.result()
                    if isinstance(task.result(), Account):
                        deadline = min(deadline, now() + (now() - began) + PATIENCE)
                if overdue <= now():
                    lagging, overdue = len(running), deadline
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        for control in running.values():
            ended[control] = Trouble(label(control), Failure.TIMEOUT, "did not answer in time")
        results = [ended[control] for control in self.urls if control in ended]
        return [r for r in results if isinstance(r, Account)], [r for r in results if isinstance(r, Trouble)]

    async def _ask_one(
        self, control: str, url: str, endpoints: Sequence[str], question: bytes, timeout: float, spent: Spent
    ) -> Account | Trouble:
        named = label(control)
        try:
            async with asyncio.timeout(timeout):
                answer = read_answer(await self._post(control, question, timeout, spent))
            said = account(answer, url, endpoints, named)
        except Malformed as error:
            return Trouble(named, Failure.HTTP_INVALID_RESPONSE, f"is no control: {error}")
        except _Declined as error:
            return Trouble(named, Failure.HTTP_REQUEST_FAILED, str(error))
        except Exception as error:  # whatever a hostile server can provoke in an HTTP library
            return Trouble(named, *_failure_of(error))
        if not said.steps:
            return Trouble(named, Failure.HTTP_INVALID_RESPONSE, "says nothing about the site")
        return said

    async def _post(self, control: str, question: bytes, timeout: float, spent: Spent) -> bytes:
        async def count(event: str, info: object) -> None:
            if event == "connection.connect_tcp.started":
                spent.connections += 1
            elif event == "connection.start_tls.started":
                spent.sent += HELLO
            elif event == "connection.start_tls.complete":
                spent.received += WELCOME
            elif event.endswith(".send_request_headers.started"):
                spent.sent += len(question) + _HEADERS_SENT

        async with self._http.stream(
            "POST",
            reached_at(control, self.nat64),
            content=question,
            headers={
                "Host": urlsplit(control).netloc.rpartition("@")[2],
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
            },
            timeout=httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS)),
            follow_redirects=False,
            extensions={"trace": count, "sni_hostname": urlsplit(control).hostname or ""},
        ) as response:
            spent.received += sum(len(name) + len(value) + 4 for name, value in response.headers.raw)
            if response.status_code != 200:
                raise _Declined(f"answered {response.status_code} {await _few_words(response)}".strip())
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise Malformed("the answer is compressed, which was not asked for")
            data = bytearray()
            async for chunk in response.aiter_raw():
                spent.received += len(chunk)
                data += chunk
                if len(data) > MAX_ANSWER:
                    raise Malformed(f"the answer is longer than {MAX_ANSWER} bytes")
            return bytes(data)


_HEADERS_SENT = 300  # bytes around a question, about


class _Declined(Exception):
    """A control answered with another status than 200."""


async def _few_words(response: httpx.Response) -> str:
    """The start of a plain text, where a control says in a sentence why it declines."""
    if not response.headers.get("content-type", "").startswith("text/plain"):
        return ""
    async for chunk in response.aiter_raw(chunk_size=200):
        return "".join(c for c in chunk.decode("utf-8", "replace") if c.isprintable())
    return ""


def _browser_headers() -> Mapping[str, str]:
    from probe.wire.http import browser_headers  # here, for the wire is built with a client

    return dict(browser_headers("https", "", http2=True))


def _failure_of(error: BaseException) -> tuple[Failure, str]:
    """Translate an error at the wire's border; httpx wraps the one that tells, in two or three layers."""
    from probe.wire.failures import failure_of

    failure, detail = failure_of(error)
    inner = error.__cause__ or error.__context__
    if failure is Failure.UNKNOWN and inner is not None:
        return _failure_of(inner)
    return failure, detail or f"did not answer: {failure}"


def reached_at(control: str, prefix: str | None) -> str:
    """Write a control's URL as it is reached: one by an IPv4 address through a NAT64, where there is one."""
    parts = urlsplit(control)
    if prefix is None or parts.hostname is None:
        return control
    try:
        address = nat64.embed(parts.hostname, prefix)
    except ValueError:  # a name, or an IPv6 address
        return control
    user, at, _ = parts.netloc.rpartition("@")
    port = f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=f"{user}{at}[{address}]{port}").geturl()


def label(control: str) -> str:
    """Name a control in records: its URL without user name, password and query."""
    parts = urlsplit(control)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _report(url: str, said: Account, detail: str) -> ControlReport:
    return ControlReport(
        url=url,
        failure=None,
        detail=detail,
        resolved=said.resolved,
        dns_failure=said.dns_failure,
        ip_asns=said.ip_asns,
        client_address=said.client_address,
        steps=said.steps,
        control=said.label,
    )
