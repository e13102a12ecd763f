"""The control as a service: its limits, its manners, and our own client at its door."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from measurements.model import Failure, HttpExchange, View
from probe.control.app import ServiceLimits
from probe.control.client import ControlClient
from probe.control.server import CannotListen, open_listener, serve
from probe.network import Peers, Spent
from probe.wire import Wire
from tests.probe.control.servers import http_server, never, until
from tests.probe.control.serving import BOGONS, LIMITS, peers
from tests.probe.control.sites import HOST, Sites, resolver

ROOT = Path(__file__).parents[3]


@contextlib.asynccontextmanager
async def control(
    sites: Sites,
    service: ServiceLimits | None = None,
    listen: str = "127.0.0.1:0",
    *,
    allow_private: bool = True,
    tls: str | None = None,
) -> AsyncIterator[str]:
    """A control on loopback; gives its URL."""
    async with resolver() as (address, _):
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(
            serve(
                listen,
                peers=peers(address),
                limits=LIMITS,
                bogons=BOGONS,
                ca_file=sites.ca,
                allow_private=allow_private,
                tls=tls,
                service=service,
                announce=ready.set_result,
            )
        )
        either: list[asyncio.Future[Any]] = [ready, running]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        try:
            yield await ready
        finally:
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(trust_env=False, timeout=20.0)


def question(url: str, *endpoints: str) -> dict[str, Any]:
    return {"http_request": url, "http_request_headers": {}, "tcp_connect": list(endpoints)}


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:0"])
def test_a_question_over_a_socket_is_answered_with_where_it_came_from(sites: Sites, listen: str) -> None:
    async def run() -> httpx.Response:
        async with control(sites, listen=listen) as url, client() as http:
            return await http.post(url, json=question(f"https://good.test:{sites.https}/"))

    response = asyncio.run(run())
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json()["http_request"]["status_code"] == 200
    assert response.json()["x_client_address"] == listen.rpartition(":")[0].strip("[]")


def test_a_proxy_on_this_machine_is_believed_about_the_client(sites: Sites) -> None:
    async def run() -> Any:
        async with control(sites, listen="[::]:0") as url, client() as http:
            url = url.replace("[::]", HOST)
            plain = await http.post(url, json=question(f"http://good.test:{sites.http}/"))
            forwarded = {"X-Forwarded-For": "192.0.2.99, 198.51.100.7"}
            proxied = await http.post(url, json=question(f"http://good.test:{sites.http}/"), headers=forwarded)
            return [r.json()["x_client_address"] for r in (plain, proxied)]

    assert asyncio.run(run()) == [HOST, "198.51.100.7"]


def test_whoever_watches_the_service_hears_that_it_is_up(sites: Sites) -> None:
    async def run() -> list[httpx.Response]:
        async with control(sites) as url, client() as http:
            return [await http.get(url), await http.head(url), await http.put(url), await http.get(url + "any/path")]

    get, head, put, other = asyncio.run(run())
    assert [r.status_code for r in (get, head, put, other)] == [200, 200, 405, 200]
    assert get.text.startswith("This is a Wazi control")
    assert head.text == ""
    assert put.headers["allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "Input data was truncated"),
        (b"no json", "JSON is malformed"),
        (b'{"tcp_connect": []}', "missing required field `http_request`"),
        (b'{"http_request": 7}', "Expected `str`, got `int`"),
        (b'{"http_request": "http://x/", "y": ' + b"[" * 30_000 + b"]" * 30_000 + b"}", "nested too deeply"),
        (b'{"http_request": "gopher://x/"}', "only http and https"),
        (b'{"http_request": "http://good.test:25/"}', "port 25"),
        (b'{"http_request": "http://good.test/", "tcp_connect": ["x"]}', "write ip:port"),
        (b'{"http_request": "http://good.test/", "http_request_headers": {"accept": ["a\\nb"]}}', "Accept must be"),
        (b'{"http_request": "http://\\u001b[2Jgood.test/"}', "control character"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused_in_words(sites: Sites, body: bytes, words: str) -> None:
    async def run() -> httpx.Response:
        async with control(sites) as url, client() as http:
            return await http.post(url, content=body)

    response = asyncio.run(run())
    assert response.status_code == 400
    assert words in response.text
    assert response.text.strip().isprintable()


def test_private_targets_are_refused_unless_they_are_allowed(sites: Sites) -> None:
    async def run() -> list[httpx.Response]:
        async with control(sites, allow_private=False) as url, client() as http:
            urls = [f"http://{HOST}:{sites.http}/", f"http://good.test:{sites.http}/"]
            return [await http.post(url, json=question(u)) for u in urls]

    before = len(sites.requests())
    literal, named = asyncio.run(run())
    assert literal.status_code == 400
    assert named.json()["tcp_connect"] == {}
    assert len(sites.requests()) == before


def test_a_request_that_is_too_long_is_refused(sites: Sites) -> None:
    async def run() -> list[httpx.Response]:
        async with control(sites, ServiceLimits(request_bytes=1000)) as url, client() as http:
            return [await http.post(url, content=b"x" * size) for size in (1001, 500_000)]

    responses = asyncio.run(run())
    assert [r.status_code for r in responses] == [413, 413]
    assert "longer than 1000 bytes" in responses[0].text


def test_a_request_that_does_not_arrive_is_refused(sites: Sites) -> None:
    async def run() -> bytes:
        async with control(sites, ServiceLimits(body_seconds=0.3)) as url:
            reader, writer = await asyncio.open_connection(HOST, httpx.URL(url).port)
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
            said = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            return said

    assert asyncio.run(run()).startswith(b"HTTP/1.1 408")


def test_beyond_its_concurrency_it_says_when_to_come_back_and_then_answers_again(sites: Sites) -> None:
    limits = ServiceLimits(concurrency=2, retry_after=7)

    async def run() -> tuple[httpx.Response, httpx.Response, list[httpx.Response], httpx.Response]:
        async with control(sites, limits) as url, client() as http, http_server(never) as slow:
            ask = question(f"http://good.test:{slow.port}/")
            first = [asyncio.create_task(http.post(url, json=ask)) for _ in range(2)]
            await until(lambda: len(slow.heads) == 2)
            busy, alive = await http.post(url, json=ask), await http.get(url)
            done = await asyncio.gather(*first)
            return busy, alive, done, await http.post(url, json=question(f"http://good.test:{sites.http}/"))

    busy, alive, done, after = asyncio.run(run())
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "7")
    assert alive.status_code == 200
    assert [r.json()["http_request"]["failure"] for r in done] == ["generic_timeout_error"] * 2
    assert after.json()["http_request"]["status_code"] == 200


def test_a_survey_that_takes_too_long_is_no_answer(sites: Sites) -> None:
    async def run() -> httpx.Response:
        async with control(sites, ServiceLimits(total_seconds=0.2)) as url, client() as http:
            return await http.post(url, json=question("http://silent.test/"))

    response = asyncio.run(run())
    assert response.status_code == 503
    assert "took too long" in response.text


def test_a_client_that_leaves_takes_its_work_with_it(sites: Sites) -> None:
    limits = ServiceLimits(concurrency=1)

    async def run() -> None:
        async with control(sites, limits) as url, http_server(never) as slow:
            async with client() as http:
                asked = asyncio.create_task(http.post(url, json=question(f"http://good.test:{slow.port}/")))
                await until(lambda: len(slow.heads) == 1)
                began = time.monotonic()
                asked.cancel()
                await asyncio.wait({asked})
            await until(lambda: slow.open == 0)
            assert time.monotonic() - began < LIMITS.http_timeout - 1.0  # and not when the page's own time is over
            async with client() as http:
                response = await http.post(url, json=question(f"http://good.test:{sites.http}/"))
                assert response.status_code == 200

    asyncio.run(run())


@pytest.mark.parametrize("said", [b"", b"POST / HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_a_connection_that_does_not_ask_is_hung_up_on(sites: Sites, said: bytes) -> None:
    async def run() -> None:
        async with control(sites, ServiceLimits(head_seconds=0.3)) as url:
            reader, writer = await asyncio.open_connection(HOST, httpx.URL(url).port)
            writer.write(said)
            began = time.monotonic()
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 5) == b""
            assert 0.2 < time.monotonic() - began < 3.0
            writer.close()

    asyncio.run(run())


def test_junk_is_told_apart_from_http_and_leaves_the_service_up(sites: Sites, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> httpx.Response:
        async with control(sites) as url:
            reader, writer = await asyncio.open_connection(HOST, httpx.URL(url).port)
            writer.write(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
            assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 400")
            writer.close()
            async with client() as http:
                await http.post(url, content=b"nonsense")
                return await http.post(url, json=question(f"http://good.test:{sites.http}/"))

    with caplog.at_level(logging.INFO):
        assert asyncio.run(run()).status_code == 200
    assert not [r for r in caplog.records if r.name.startswith(("uvicorn", "probe"))]  # no client, no URL, nothing


def test_our_client_at_our_own_door_records_what_the_control_saw(sites: Sites) -> None:
    endpoint = f"{HOST}:{sites.https}"
    target = f"https://good.test:{sites.https}/"

    async def run() -> tuple[Any, frozenset[str]]:
        async with control(sites) as url, client() as http:
            asking = ControlClient([url], http)
            async with Wire(
                peers=Peers(local=None), limits=LIMITS, bogons=BOGONS, ca_file=sites.ca, control=asking
            ) as wire:
                net = wire.network()
                async with net:
                    await net.ask_control(target, [endpoint])
                    return list(net.observations), net.own_addresses

    before = len(sites.requests())
    (query, *steps), own = asyncio.run(run())
    assert (query.failure, query.url, query.endpoints, query.resolved) == (None, target, (endpoint,), (HOST,))
    assert {(s.view, s.cause) for s in steps} == {(View.CONTROL, query.id)}
    assert [(type(s).__name__, s.failure) for s in steps] == [
        ("DnsLookup", None),
        ("DnsLookup", Failure.NO_DNS_ANSWER),
        ("TcpConnect", None),
        ("TlsHandshake", None),
        ("HttpExchange", None),
    ]
    page = steps[-1]
    assert isinstance(page, HttpExchange)
    assert (page.status, page.title) == (200, "A safe site")
    assert HOST in own
    ((agent, language, *_),) = sites.requests()[before:]
    assert agent.startswith("Mozilla/5.0")
    assert language == "en-US,en;q=0.5"


def test_two_of_our_own_controls_agree(sites: Sites) -> None:
    async def run() -> Any:
        async with control(sites) as one, control(sites) as other, client() as http:
            return await ControlClient([one, other], http).ask(
                f"http://both.test:{sites.http}/", [], 10.0, Spent()
            ), other

    report, other = asyncio.run(run())
    assert (report.failure, report.detail) == (None, f"{other} agrees")


@contextlib.asynccontextmanager
async def process(sites: Sites) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    async with resolver() as (address, _):
        running = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.probe.control.serving", "127.0.0.1:0", address, str(sites.ca)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert running.stdout is not None
        try:
            yield running, (await running.stdout.readline()).decode().strip()
        finally:
            if running.returncode is None:
                running.kill()
                await running.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_soon_and_tells_those_who_wait(sites: Sites, number: signal.Signals) -> None:
    async def run() -> tuple[httpx.Response, int, float, bytes]:
        async with process(sites) as (running, url), client() as http, http_server(never) as slow:
            assert (await http.post(url, json=question(f"http://good.test:{sites.http}/"))).status_code == 200
            waiting = asyncio.create_task(http.post(url, json=question(f"https://good.test:{slow.port}/")))
            await until(lambda: slow.open == 1)
            began = time.monotonic()
            running.send_signal(number)
            response = await waiting
            assert running.stderr is not None
            errors = await running.stderr.read()
            return response, await running.wait(), time.monotonic() - began, errors

    response, status, took, errors = asyncio.run(asyncio.wait_for(run(), 30))
    assert status == 0
    assert took < 10
    assert response.status_code in (200, 503)
    assert errors == b""


@pytest.mark.parametrize(
    "listen", ["", "8080", ":8080", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "127.0.0.1:" + "9" * 5000]
)
def test_an_address_to_listen_on_that_is_none_is_refused_in_words(listen: str) -> None:
    with pytest.raises(CannotListen, match="write HOST:PORT"):
        open_listener(listen, 5)


def test_an_address_that_is_taken_or_not_ours_is_refused_in_words() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=re.escape(f"cannot listen on 127.0.0.1:{port}: ")):
            open_listener(f"{HOST}:{port}", 5)
    with pytest.raises(CannotListen, match="cannot listen on"):
        open_listener("198.51.100.1:8080", 5)


def test_the_answer_is_within_what_our_client_takes(sites: Sites) -> None:
    async def run() -> bytes:
        async with control(sites) as url, client() as http:
            listed = [f"127.{i}.{i}.{i}:{sites.http}" for i in range(1, 250)]
            return (await http.post(url, json=question(f"http://good.test:{sites.http}/", *listed))).content

    said = asyncio.run(run())
    assert len(said) < 64 * 1024
    assert len(json.loads(said)["tcp_connect"]) == 32
