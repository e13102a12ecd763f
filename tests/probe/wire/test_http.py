"""Exchanges: real nginx, and servers that misbehave in every bounded way."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from typing import Any

import pytest

from measurements.model import Failure, HttpExchange
from probe.network import Limits
from tests.probe.wire.conftest import NAME, Keys, Nginx
from tests.probe.wire.peers import (
    Serve,
    network,
    read_request,
    reset,
    responds,
    run,
    server_context,
    tcp_peer,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"


def get(
    serve: Serve, *, path: str = "/", limits: Limits | None = None, full_body: bool = True, **options: Any
) -> HttpExchange:
    """GET from a server that speaks plain HTTP in its own way."""

    async def main() -> HttpExchange:
        async with tcp_peer(serve) as port, network(limits=limits, full_body=full_body) as net:
            tcp = await net.connect("127.0.0.1", port)
            return await net.exchange(tcp, f"http://{NAME}{path}", **options)

    return run(main())


def compressed(data: bytes, encoding: str = "gzip") -> Serve:
    head = OK + b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (encoding.encode(), len(data))
    return responds(head + data)


# -- real servers


@pytest.mark.parametrize("http2", [False, True])
def test_a_page_of_nginx(keys: Keys, nginx: Nginx, http2: bool) -> None:
    async def main() -> None:
        async with network(ca_file=keys.ca_file, full_body=True) as net:
            tls = await net.handshake(await net.connect("127.0.0.1", nginx.http2 if http2 else nginx.http1), name=NAME)
            page = await net.exchange(tls, f"https://{NAME}/text")
        assert (page.failure, page.status) == (None, 200)
        assert page.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        assert page.title == "Wide & open"
        assert page.header("content-encoding") == "gzip"
        assert page.truncated is None
        text = b"<html><title lang=en>\n Wide &amp; open\n</title>" + b"word " * 20_000
        assert page.body == text[: 64 * 1024]
        assert (page.body_length, page.body_sha256) == (len(text), hashlib.sha256(text).hexdigest())
        assert 0 < page.wire_bytes < 10_000
        assert (page.host, page.address, page.cause) == (NAME, "127.0.0.1", tls.id)
        names = [name for name, _ in page.phases]
        times = [when for _, when in page.phases]
        assert any(name.endswith("receive_response_headers.complete") for name in names)
        assert times == sorted(times)

    run(main())


def test_the_request_looks_like_a_browsers(nginx: Nginx) -> None:
    async def main() -> None:
        async with network() as net:
            tcp = await net.connect("127.0.0.1", nginx.plain)
            page = await net.exchange(tcp, f"http://{NAME}/")
            other = await net.exchange(tcp, f"http://{NAME}/", host="harmless.example")
        host, agent, encodings = page.body.decode().removeprefix("<title>front</title>").split("|")
        assert host == NAME
        assert "Firefox" in agent
        assert "httpx" not in agent
        assert encodings == "gzip, deflate"
        assert other.failure is None  # the connection is kept and serves again
        assert b"harmless.example|" in other.body
        assert other.host == "harmless.example"

    run(main())


def test_header_names_keep_a_browsers_order() -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(OK + b"Content-Length: 0\r\n\r\n")

    assert get(serve).status == 200
    names = [line.split(b":")[0] for line in seen[0].split(b"\r\n")[1:-2]]
    assert names[:5] == [b"Host", b"User-Agent", b"Accept", b"Accept-Language", b"Accept-Encoding"]


def test_a_routine_measurement_reads_a_sample(keys: Keys, nginx: Nginx) -> None:
    async def main() -> None:
        for port in (nginx.http1, nginx.http2):
            async with network(ca_file=keys.ca_file) as net:
                tls = await net.handshake(await net.connect("127.0.0.1", port), name=NAME)
                page = await net.exchange(tls, f"https://{NAME}/large")
                again = await net.exchange(tls, f"https://{NAME}/")
            assert (page.failure, page.truncated, page.title) == (None, "sample", "large")
            assert page.body_length == Limits().body_routine
            assert page.wire_bytes < 64 * 1024
            assert again.failure is Failure.INVALID_ARGUMENT  # what was cut is closed, so that no more arrives
            assert net.spent.limits == []

    run(main())


def test_the_wire_cap_is_never_overshot(keys: Keys, nginx: Nginx) -> None:
    async def main() -> None:
        for port in (nginx.http1, nginx.http2):
            async with network(ca_file=keys.ca_file, full_body=True, limits=Limits(body_wire=100_000)) as net:
                tls = await net.handshake(await net.connect("127.0.0.1", port), name=NAME)
                page = await net.exchange(tls, f"https://{NAME}/large")
                assert net.spent.limits == ["body_wire"]
            assert (page.failure, page.status, page.truncated) == (None, 200, "wire")
            assert 80_000 < page.wire_bytes <= 100_000
            assert 60_000 < page.body_length <= 100_000

    run(main())


def test_a_body_limit_may_be_asked_for(nginx: Nginx) -> None:
    async def main() -> None:
        async with network(full_body=True) as net:
            page = await net.exchange(
                await net.connect("127.0.0.1", nginx.plain), f"http://{NAME}/text", body_limit=500
            )
        assert (page.body_length, page.truncated) == (500, "sample")

    run(main())


# -- redirects


@pytest.mark.parametrize(
    ("status", "location", "redirect"),
    [
        (301, "https://other.example/a?b#c", "https://other.example/a?b"),
        (302, "/path with space", f"http://{NAME}/path%20with%20space"),
        (303, "//cdn.example/x", "http://cdn.example/x"),
        (307, "?next", f"http://{NAME}/?next"),
        (308, " https://[2001:db8::1]:8443/ ", "https://[2001:db8::1]:8443/"),
        (302, "ftp://other.example/", "ftp://other.example/"),
        (300, "https://other.example/", None),
        (200, "https://other.example/", None),
        (302, "", None),
    ],
)
def test_a_redirect_is_resolved(status: int, location: str, redirect: str | None) -> None:
    page = get(responds(f"HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()))
    assert (page.failure, page.status, page.redirect) == (None, status, redirect)


@pytest.mark.parametrize("location", ["http:///x", "http://[::1", "http://exa mple/", "http://a..b/", "x" * 9000])
def test_a_location_that_no_browser_could_follow(location: str) -> None:
    page = get(responds(f"HTTP/1.1 302 X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()))
    assert (page.failure, page.status, page.redirect) == (Failure.HTTP_INVALID_REDIRECT, 302, None)
    assert page.detail.startswith(f"Location: {location}"[:200])


# -- peers that fail


async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)


async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    reset(writer)


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(-1)


@pytest.mark.parametrize(
    ("serve", "failure"),
    [
        (leave, Failure.EOF),
        (cut, Failure.CONNECTION_RESET),
        (responds(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), Failure.HTTP_INVALID_RESPONSE),
        (responds(b"\x15\x03\x01\x00\x02\x02\x28" * 10 + b"\r\n\r\n"), Failure.HTTP_INVALID_RESPONSE),
        (responds(b"HTTP/1.1 200 OK\r\nContent-Le"), Failure.EOF),
        (responds(b"HTTP/1.1 abc\r\n\r\n"), Failure.HTTP_INVALID_RESPONSE),
        (responds(OK + b"Content-Length: x\r\n\r\n"), Failure.HTTP_INVALID_RESPONSE),
    ],
)
def test_without_a_response_there_is_one_failure(serve: Serve, failure: Failure) -> None:
    page = get(serve)
    assert (page.failure, page.status) == (failure, None)


def test_silence_is_a_timeout() -> None:
    page = get(hang, timeout=0.2)
    assert (page.failure, page.status) == (Failure.TIMEOUT, None)
    assert 0.2 <= page.elapsed < 0.6


def test_a_response_that_ends_early_keeps_what_came() -> None:
    head = OK + b"Content-Length: 1000\r\n\r\n<title>half</title>"
    page = get(responds(head))
    assert (page.failure, page.status, page.title, page.body_length) == (Failure.EOF, 200, "half", 19)

    async def half_and_reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(head)
        await asyncio.sleep(0.1)
        reset(writer)

    page = get(half_and_reset)
    assert (page.failure, page.status, page.title) == (Failure.CONNECTION_RESET, 200, "half")


def test_a_block_page_sent_before_the_reset_is_still_read() -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"Content-Length: 5\r\n\r\nblock")
        await asyncio.sleep(0.2)

    page = get(early)
    assert (page.failure, page.body) == (None, b"block")


# -- peers that would have us work without end


def test_a_bomb_stops_at_the_cap() -> None:
    bomb = gzip.compress(bytes(200 << 20), 9)
    page = get(compressed(bomb))
    assert (page.failure, page.truncated, page.body_length) == (None, "decoded", Limits().body_decoded)
    assert page.elapsed < 2


def test_empty_members_are_counted() -> None:
    page = get(compressed(gzip.compress(b"") * 20_000))
    assert (page.failure, page.truncated, page.body_length) == (None, "encoding", 0)
    assert "members" in page.detail


def test_a_coding_that_was_not_asked_for_is_kept_as_it_came() -> None:
    page = get(compressed(b"\x1b\x03compressed", "br"))
    assert (page.failure, page.truncated, page.body) == (None, "encoding", b"\x1b\x03compressed")


def test_broken_compression_keeps_what_was_decoded() -> None:
    data = gzip.compress(b"<title>t</title>" + bytes(range(256)) * 200)
    page = get(compressed(data[:400] + b"\0" * 400))
    assert (page.failure, page.truncated, page.title) == (None, "encoding", "t")


@pytest.mark.parametrize("endless", [b"X-Header: more\r\n", b"x" * 4096], ids=["headers", "one header"])
def test_endless_headers_are_bounded(endless: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        while True:
            writer.write(endless)
            await writer.drain()

    page = get(serve)
    assert (page.failure, page.status) == (Failure.HTTP_INVALID_RESPONSE, None)
    assert page.wire_bytes <= Limits().body_wire


def test_many_headers_are_cut_and_recorded() -> None:
    async def main() -> None:
        many = b"".join(b"X-%d: y\r\n" % n for n in range(500))
        async with tcp_peer(responds(OK + many + b"Content-Length: 0\r\n\r\n")) as port, network() as net:
            page = await net.exchange(await net.connect("127.0.0.1", port), f"http://{NAME}/")
            assert net.spent.limits == ["headers"]
        assert (page.failure, len(page.headers)) == (None, 128)

    run(main())


def test_endless_interim_responses_are_bounded() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        while True:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 500)
            await writer.drain()

    page = get(serve)
    assert (page.failure, page.status) == (Failure.HTTP_INVALID_RESPONSE, None)
    assert page.truncated in ("wire", "cpu")
    assert page.elapsed < 5


def test_tiny_chunks_cost_bounded_cpu() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1\r\nx\r\n" * 2000)
            await writer.drain()

    page = get(serve)
    assert page.status == 200
    assert (page.failure, page.truncated) in ((None, "cpu"), (None, "wire"))
    assert page.elapsed < 5


def test_a_slow_drip_is_cut_and_a_stall_is_a_timeout() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"Content-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK + b"Content-Length: 100000\r\n\r\n" + b"x" * 1000)
        await reader.read(-1)

    slow = get(drip, timeout=0.5)
    assert (slow.failure, slow.truncated, slow.status) == (None, "time", 200)
    assert slow.body_length > 5
    stalled = get(stall, timeout=0.5)
    assert (stalled.failure, stalled.truncated, stalled.status) == (Failure.TIMEOUT, "time", 200)
    assert stalled.body_length == 1000


# -- HTTP/2


def get2(keys: Keys, frames: bytes) -> HttpExchange:
    """GET over HTTP/2 from a server that answers with these bytes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(24)
        writer.write(frames)
        await writer.drain()
        await reader.read(-1)

    async def main() -> HttpExchange:
        context = server_context(keys.leaf, alpn=("h2",))
        async with tcp_peer(serve, context) as port, network(ca_file=keys.ca_file) as net:
            tls = await net.handshake(await net.connect("127.0.0.1", port), name=NAME)
            assert tls.alpn == "h2"
            return await net.exchange(tls, f"https://{NAME}/", timeout=1.0)

    return run(main())


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


SETTINGS = frame(4, 0, 0, b"")
STATUS_200 = b"\x88"


@pytest.mark.parametrize(
    "frames",
    [
        frame(4, 0, 0, b"abc"),  # settings that do not fit
        SETTINGS + frame(7, 0, 0, bytes(4) + b"\0\0\0\x0b"),  # GOAWAY, enhance your calm
        SETTINGS + frame(3, 0, 1, b"\0\0\0\x07"),  # RST_STREAM, refused
        SETTINGS + frame(1, 4, 1, b"\x08\x03abc"),  # :status abc
        SETTINGS + frame(1, 4, 1, b"\xff\xff\xff\xff\xff\xff"),  # broken compression
        SETTINGS + frame(0, 0, 1, b"data before headers"),
        SETTINGS + frame(5, 4, 1, b"\0\0\0\x02" + STATUS_200),  # a push that was not allowed
    ],
)
def test_http2_nonsense_is_an_invalid_response(keys: Keys, frames: bytes) -> None:
    page = get2(keys, frames)
    assert page.failure is Failure.HTTP_INVALID_RESPONSE
    assert page.status is None


def test_http2_header_bombs_and_floods_are_bounded(keys: Keys) -> None:
    bomb = b"\x40\x01a" + b"\x7f\x81\x1f" + b"b" * 4096 + b"\xbe" * 16000  # one entry, repeated by reference
    page = get2(keys, SETTINGS + frame(1, 4, 1, bomb[:16000]))
    assert page.failure is Failure.HTTP_INVALID_RESPONSE
    pings = get2(keys, SETTINGS + frame(6, 0, 0, bytes(8)) * 60_000)
    assert pings.failure is Failure.HTTP_INVALID_RESPONSE
    assert pings.truncated in ("wire", "cpu")
    settings = get2(keys, SETTINGS + frame(4, 0, 0, b"\0\x03\0\0\0\x05" * 10) * 10_000)
    assert settings.failure in (Failure.HTTP_INVALID_RESPONSE, Failure.TIMEOUT)


def test_http2_that_ends_keeps_the_status(keys: Keys) -> None:
    page = get2(keys, SETTINGS + frame(1, 4, 1, STATUS_200) + frame(0, 0, 1, b"half") + frame(3, 0, 1, bytes(4)))
    assert (page.failure, page.status, page.body) == (Failure.HTTP_INVALID_RESPONSE, 200, b"half")


# -- connections that do not stand


def test_a_step_on_what_failed_is_a_failed_step(nginx: Nginx) -> None:
    async def main() -> None:
        async with network() as net:
            refused = await net.connect("127.0.0.1", 1)
            assert refused.failure is Failure.CONNECTION_REFUSED
            tls = await net.handshake(refused, name=NAME)
            page = await net.exchange(refused, f"http://{NAME}/")
            over_tls = await net.exchange(tls, f"https://{NAME}/")
            for step in (tls, page, over_tls):
                assert (step.failure, "does not stand" in step.detail) == (Failure.INVALID_ARGUMENT, True)
            plain = await net.connect("127.0.0.1", nginx.plain)
            broken = await net.handshake(plain, name=NAME)
            assert broken.detail.startswith("junk: 'HTTP/1.1 400")
            assert (await net.exchange(plain, f"http://{NAME}/")).failure is Failure.INVALID_ARGUMENT
        assert (await net.exchange(plain, f"http://{NAME}/")).failure is Failure.INVALID_ARGUMENT

    run(main())


def test_one_connection_serves_one_step_at_a_time() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await reader.read()

    async def main() -> None:
        async with tcp_peer(serve) as port, network() as net:  # a peer on our own loop answers late enough
            tcp = await net.connect("127.0.0.1", port)
            pages = await asyncio.gather(*(net.exchange(tcp, f"http://{NAME}/") for _ in range(3)))
        assert sorted(p.failure is None for p in pages) == [False, False, True]

    run(main())


@pytest.mark.parametrize("url", ["mailto:x@site.example", "http://", "http://[::1", "gopher://site.example/"])
def test_a_url_that_cannot_be_asked(url: str, nginx: Nginx) -> None:
    async def main() -> None:
        async with network() as net:
            page = await net.exchange(await net.connect("127.0.0.1", nginx.plain), url)
        assert page.failure is Failure.INVALID_ARGUMENT

    run(main())
