"""Asking controls: broken, hostile, silent and contradicting ones, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence

import httpx
import msgspec
import pytest

from measurements.model import Failure, HttpExchange
from probe.control.client import MAX_ANSWER, ControlClient, ControlReport, label
from probe.control.reading import PAGE_BYTES
from probe.network import Spent
from tests.probe.control.examples import ADDRESS, OTHER, URL, answer, down
from tests.probe.control.servers import (
    Behaviour,
    Seen,
    drip,
    gigabyte,
    hang_up,
    http_server,
    never,
    says,
    says_json,
    until,
)

ENDPOINTS = (f"{ADDRESS}:443", f"{OTHER}:443")
HEADERS = {"User-Agent": "Browser/1", "Accept-Language": "sw", "Cookie": "secret"}


@contextlib.asynccontextmanager
async def controls(*behaviours: Behaviour) -> AsyncIterator[list[Seen]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(http_server(behaviour)) for behaviour in behaviours]


async def ask(urls: Sequence[str], timeout: float = 5.0, spent: Spent | None = None) -> ControlReport:
    async with httpx.AsyncClient(trust_env=False, http2=True) as http:
        client = ControlClient(urls, http, headers=HEADERS)
        return await client.ask(URL, ENDPOINTS, timeout, Spent() if spent is None else spent)


def asking(*behaviours: Behaviour, timeout: float = 5.0) -> tuple[ControlReport, list[Seen]]:
    async def run() -> tuple[ControlReport, list[Seen]]:
        async with controls(*behaviours) as servers:
            return await ask([s.url for s in servers], timeout), servers

    return asyncio.run(run())


def test_the_question_is_what_a_test_helper_expects() -> None:
    report, (server,) = asking(says_json(answer()))
    assert report.failure is None
    assert msgspec.json.decode(server.bodies[0]) == {
        "http_request": URL,
        "http_request_headers": {"User-Agent": ["Browser/1"], "Accept-Language": ["sw"]},
        "tcp_connect": list(ENDPOINTS),
    }
    assert server.heads[0].startswith(b"POST / HTTP/1.1\r\n")


def test_the_page_is_wanted_only_of_whoever_is_asked_for_it() -> None:
    async def run() -> bytes:
        async with controls(says_json(answer())) as servers, httpx.AsyncClient(trust_env=False) as http:
            await ControlClient([servers[0].url], http).ask(URL, ENDPOINTS, 5.0, Spent(), page=True)
            return servers[0].bodies[0]

    assert msgspec.json.decode(asyncio.run(run()))["x_body_bytes"] == PAGE_BYTES


def test_what_a_control_costs_is_counted_whether_it_answers_or_not() -> None:
    async def cost(*behaviours: Behaviour, timeout: float = 5.0) -> tuple[Spent, int]:
        spent = Spent()
        async with controls(*behaviours) as servers:
            await ask([s.url for s in servers], timeout, spent)
            return spent, sum(len(part) for server in servers for part in (*server.heads, *server.bodies))

    told = answer()
    spent, asked = asyncio.run(cost(says_json(told)))
    assert spent.connections == 1
    assert spent.sent == pytest.approx(asked, abs=150)
    assert 0 < spent.received - len(msgspec.json.encode(told)) < 200

    spent, asked = asyncio.run(cost(gigabyte, says_json(told)))
    assert spent.connections == 2
    assert spent.sent == pytest.approx(asked, abs=300)
    assert MAX_ANSWER < spent.received < 2 * MAX_ANSWER

    spent, asked = asyncio.run(cost(never, timeout=0.3))
    assert (spent.connections, spent.received) == (1, 0)
    assert spent.sent == pytest.approx(asked, abs=150)


def test_one_control_that_answers_is_the_control() -> None:
    report, (server,) = asking(says_json(answer(x_client_address="198.51.100.7")))
    assert (report.control, report.failure, report.detail) == (server.url, None, "")
    assert report.url == URL
    assert report.client_address == "198.51.100.7"
    assert report.ip_asns == ((ADDRESS, 64500),)
    assert any(isinstance(s, HttpExchange) and s.status == 200 for s in report.steps)


def test_the_controls_word_for_why_a_name_has_no_address_becomes_ours() -> None:
    page = {"body_length": -1, "failure": "dns_lookup_error", "status_code": -1}
    dead = answer(dns={"failure": "dns_name_error", "addrs": []}, http_request=page, tcp_connect={}, tls_handshake={})
    report, _ = asking(says_json(dead))
    assert (report.failure, report.dns_failure, report.resolved) == (None, Failure.DNS_NXDOMAIN, ())


BROKEN: list[tuple[Behaviour, Failure, str]] = [
    (says(b"<html>"), Failure.HTTP_INVALID_RESPONSE, "is no control"),
    (says(b"[" * 100_000), Failure.HTTP_INVALID_RESPONSE, "is no control"),
    (says(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), Failure.HTTP_INVALID_RESPONSE, "nested too deeply"),
    (says(b'{"dns":{"addrs":"no list"}}'), Failure.HTTP_INVALID_RESPONSE, "is no control"),
    (says(b"{}"), Failure.HTTP_INVALID_RESPONSE, "says nothing about the site"),
    (says(b"", "204 No Content"), Failure.HTTP_REQUEST_FAILED, "answered 204"),
    (says(b"", "302 Found", "Location: https://elsewhere.example/"), Failure.HTTP_REQUEST_FAILED, "answered 302"),
    (
        says(b"busy \x1b[2J\nnow" + b"x" * 5000, "503 Service Unavailable", "Content-Type: text/plain"),
        Failure.HTTP_REQUEST_FAILED,
        "answered 503 busy [2Jnow",
    ),
    (says(b"\x1f\x8b", "200 OK", "Content-Encoding: gzip"), Failure.HTTP_INVALID_RESPONSE, "compressed"),
    (hang_up, Failure.EOF, "disconnected"),
    (gigabyte, Failure.HTTP_INVALID_RESPONSE, f"longer than {MAX_ANSWER} bytes"),
]


@pytest.mark.parametrize(("behaviour", "failure", "words"), BROKEN)
def test_a_broken_control_is_no_control_and_says_why(behaviour: Behaviour, failure: Failure, words: str) -> None:
    report, (server,) = asking(behaviour)
    assert (report.url, report.failure) == (URL, failure)
    assert server.url in report.detail
    assert words in report.detail
    assert len(report.detail) < 400
    assert report.detail.isprintable()
    assert report.steps == ()


@pytest.mark.parametrize("behaviour", [never, drip])
def test_a_control_that_takes_too_long_is_left(behaviour: Behaviour) -> None:
    began = time.monotonic()
    report, (server,) = asking(behaviour, timeout=0.6)
    assert report.failure is Failure.TIMEOUT
    assert time.monotonic() - began < 3.0
    assert server.open == 0


def test_a_control_where_nobody_listens_refuses() -> None:
    async def run() -> ControlReport:
        async with controls(never) as (server,):
            gone = server.url
        return await ask([gone])

    assert asyncio.run(run()).failure is Failure.CONNECTION_REFUSED


def test_without_a_control_there_is_none() -> None:
    report, _ = asking()
    assert (report.failure, report.detail) == (Failure.UNKNOWN, "no control is configured")


@pytest.mark.parametrize(("behaviour", "failure", "words"), BROKEN)
def test_the_next_is_asked_when_one_fails(behaviour: Behaviour, failure: Failure, words: str) -> None:
    report, (_, second) = asking(behaviour, says_json(answer()))
    assert (report.failure, report.control) == (None, second.url)
    assert report.detail.startswith(f"only {second.url} answered")
    assert words in report.detail
    assert report.steps


def test_the_next_is_asked_when_one_is_silent() -> None:
    report, (_, _, third) = asking(never, never, says_json(answer()), timeout=1.0)
    assert (report.failure, report.control) == (None, third.url)


def test_two_that_agree_are_asked_and_a_third_is_not() -> None:
    report, (first, second, third) = asking(says_json(answer(), 0.2), says_json(answer()), says_json(answer()))
    assert (report.failure, report.control, report.detail) == (None, first.url, f"{second.url} agrees")
    assert third.bodies == []


@pytest.mark.parametrize("pair", [(answer(), down()), (down(), answer())])
def test_two_that_disagree_are_no_control(pair: tuple[object, object]) -> None:
    report, (first, second) = asking(*map(says_json, pair))
    assert report.failure is Failure.UNKNOWN
    assert report.detail == f"controls disagree: {first.url} and {second.url} on whether the site answers"
    assert report.steps == ()
    assert report.resolved == ()


def test_a_third_that_answers_does_not_decide_between_two() -> None:
    report, (*_, third) = asking(says_json(answer()), says_json(down()), says_json(answer()))
    assert report.detail.startswith("controls disagree")
    assert third.bodies == []


def test_a_second_that_is_much_slower_is_not_waited_for_long() -> None:
    began = time.monotonic()
    report, (first, _) = asking(says_json(answer()), never, timeout=60.0)
    assert (report.failure, report.control) == (None, first.url)
    assert "did not answer in time" in report.detail
    assert 4.0 < time.monotonic() - began < 12.0


def test_leaving_leaves_nothing_open() -> None:
    async def run() -> None:
        async with controls(never, drip) as servers:
            asking = asyncio.create_task(ask([s.url for s in servers]))
            await until(lambda: all(s.bodies for s in servers))
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await until(lambda: not any(s.open for s in servers))

    asyncio.run(asyncio.wait_for(run(), 10))


def test_a_controls_password_is_in_no_report() -> None:
    assert label("https://me:secret@control.example:8443/ask?token=1") == "https://control.example:8443/ask"
