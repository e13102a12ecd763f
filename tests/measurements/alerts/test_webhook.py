"""The webhook against real receivers: signed so that the convention's own package agrees, and hard to mislead."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
import trustme

from measurements.alerts.hooks import HOOKS
from measurements.alerts.notice import Hook, HookFailed
from measurements.alerts.payload import SMALL
from measurements.alerts.secrets import Secret
from measurements.bogons import Bogons
from tests.measurements.alerts.notices import a_test, confirmed, event, many, notice
from tests.measurements.alerts.receivers import Receiver, listening, read_request, receiving, status

SHIPPED = Bogons.parse((Path(__file__).parents[3] / "config/bogons.csv").read_text("utf-8"), "bogons.csv")
CANARY = "kanari-7f3a"
pytestmark = pytest.mark.anyio
KEYS = [f"whsec_{base64.b64encode(bytes([number]) * 32).decode()}" for number in range(3)]


def webhook(receiver: Receiver | str, **options: Any) -> Hook:
    """Make a webhook that may go to 127.0.0.1 in clear; a receiver stands for its URL."""
    url = receiver if isinstance(receiver, str) else f"http://{receiver.authority}/hooks/{CANARY}?token={CANARY}"
    said = {"url": Secret(url), "secrets": (Secret(KEYS[0]),), "allow_private": True, "allow_http": True}
    return HOOKS["webhook"](bogons=SHIPPED, **{**said, **options})


async def failure(hook: Hook) -> HookFailed:
    """Deliver, and return how that failed; whatever it says holds no secret."""
    with pytest.raises(HookFailed) as caught:
        await hook(notice(event()))
    said = str(caught.value)
    assert CANARY not in said
    assert "whsec" not in said
    assert KEYS[0][6:20] not in said
    return caught.value


async def test_what_is_sent_verifies_with_the_conventions_own_package() -> None:
    async with receiving() as receiver:
        assert await webhook(receiver)(notice(event())) == "200 OK"
    [request] = receiver.requests
    assert (request.method, request.path) == ("POST", f"/hooks/{CANARY}?token={CANARY}")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["host"] == receiver.authority
    assert request.headers["webhook-id"] == notice(event()).id
    assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 60
    said = standardwebhooks.Webhook(KEYS[0]).verify(request.body, request.headers)
    assert said["type"] == "event.opened"
    assert said["data"]["events"][0]["target"] == "facebook.com"


@pytest.mark.parametrize("header", ["body", "webhook-id", "webhook-timestamp"])
async def test_what_was_changed_on_the_way_does_not_verify(header: str) -> None:
    async with receiving() as receiver:
        await webhook(receiver)(notice(event()))
    [request] = receiver.requests
    body, headers = request.body, dict(request.headers)
    if header == "body":
        body = body.replace(b"facebook.com", b"facebook.net")
    else:
        headers[header] = str(int(headers[header], 16) + 1)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(KEYS[0]).verify(body, headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(KEYS[1]).verify(request.body, request.headers)


async def test_every_secret_signs_so_that_keys_can_be_changed() -> None:
    async with receiving() as receiver:
        await webhook(receiver, secrets=tuple(map(Secret, KEYS[:2])))(notice(event()))
    [request] = receiver.requests
    assert len(request.headers["webhook-signature"].split(" ")) == 2
    for key in KEYS[:2]:
        assert standardwebhooks.Webhook(key).verify(request.body, request.headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(KEYS[2]).verify(request.body, request.headers)


async def test_a_retry_has_the_same_id_and_a_time_of_its_own() -> None:
    async with receiving(status("500 Oops"), status("204 No Content")) as receiver:
        hook, told = webhook(receiver), notice(event())
        with pytest.raises(HookFailed, match="500 Internal Server Error"):
            await hook(told)
        await asyncio.sleep(1.1)
        assert await hook(told) == "204 No Content"
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    assert first.body == second.body


async def test_a_message_is_small_whatever_it_tells() -> None:
    names = tuple(f"site{number}.example" for number in range(400))
    async with receiving() as receiver:
        await webhook(receiver)(notice(*many(60), confirmed(targets=names)))
        await webhook(receiver)(a_test())
    assert [len(request.body) < SMALL for request in receiver.requests] == [True, True]
    assert b'"type":"test"' in receiver.requests[1].body
    assert standardwebhooks.Webhook(KEYS[0]).verify(receiver.requests[0].body, receiver.requests[0].headers)


@pytest.mark.parametrize(
    "code", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent", "304 Not"]
)
async def test_a_redirect_is_a_failure_and_is_not_followed(code: str) -> None:
    async with receiving() as elsewhere:
        answer = status(code, f"Location: http://{elsewhere.authority}/{CANARY}")
        async with receiving(answer) as receiver:
            said = await failure(webhook(receiver))
    assert "redirects are not followed" in str(said)
    assert elsewhere.connections == 0


async def test_a_receiver_that_is_gone_says_so() -> None:
    async with receiving(status("410 Gone")) as receiver:
        said = await failure(webhook(receiver))
    assert said.gone
    assert "410 Gone: it wants no more alerts" in str(said)


@pytest.mark.parametrize(
    ("answer", "wait"),
    [
        (status("429 Slow down", "Retry-After: 120"), 120.0),
        (status("503 Busy", "retry-after:  7 "), 7.0),
        (status("503 Busy", "Retry-After: 99999999999"), 86_400.0),
        (status("503 Busy", "Retry-After: Thu, 01 Jan 1970 00:00:00 GMT"), 0.0),
        (status("503 Busy", "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"), 86_400.0),
        (status("503 Busy", "Retry-After: -5"), None),
        (status("503 Busy", "Retry-After: soon"), None),
        (status("503 Busy", "Retry-After: Fri, 31 Dec 99999 23:59:59 GMT"), None),
        (status("503 Busy"), None),
        (status("500 Oops", "Retry-After: 120"), None),
    ],
)
async def test_how_long_to_wait_is_read_and_bounded(answer: bytes, wait: float | None) -> None:
    async with receiving(answer) as receiver:
        said = await failure(webhook(receiver))
    assert said.retry_after == wait
    assert not said.gone


@pytest.mark.parametrize("code", ["400 Bad", "401 No", f"403 {CANARY}", "404 None", "500 Oops", "799 What", "600 Hm"])
async def test_any_other_status_is_a_failure_in_our_words(code: str) -> None:
    async with receiving(status(code, body=CANARY.encode())) as receiver:
        said = await failure(webhook(receiver))
    assert f"http://{receiver.authority}/*** answered {code[:3]}" in str(said)
    assert not said.gone


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await asyncio.sleep(60)


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.2)


async def endless_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: " + b"y" * 4000 + b"\r\n")
        await writer.drain()


async def endless_hints(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20)
        await writer.drain()
        await asyncio.sleep(0.01)


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(50)
    writer.transport.abort()


async def silent_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)


async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(os.urandom(4096) + b"\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("behave", "words", "seconds"),
    [
        (hang, "no answer within 1 s", 1.0),
        (drip, "no answer within 1 s", 1.0),
        (endless_hints, "no answer within 1 s", 1.0),
        (endless_headers, "no HTTP, or was cut short", 0.0),
        (reset, "the connection", 0.0),
        (silent_end, "no HTTP, or was cut short", 0.0),
        (nonsense, "no HTTP, or was cut short", 0.0),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_a_receiver_that_misbehaves_is_left_in_time(behave: Any, words: str, seconds: float) -> None:
    async with listening(behave) as receiver:
        began = time.monotonic()
        said = await failure(webhook(receiver, timeout=1.0))
    assert words in str(said) or "reset" in str(said)
    assert seconds <= time.monotonic() - began < seconds + 2.0


async def test_a_body_that_does_not_end_is_not_read_to_its_end() -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent += 65_536

    async with listening(flood) as receiver:
        began = time.monotonic()
        assert await webhook(receiver)(notice(event())) == "200 OK"
        assert time.monotonic() - began < 2.0
    assert sent < 20_000_000  # what fits into the kernel's buffers


async def test_a_body_that_comes_slowly_does_not_hold_us_up() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.5)

    async with listening(slow) as receiver:
        began = time.monotonic()
        assert await webhook(receiver, timeout=10.0)(notice(event())) == "200 OK"
        assert time.monotonic() - began < 4.0


async def test_where_nobody_listens_it_fails_at_once() -> None:
    async with receiving() as receiver:
        pass
    assert "connection refused" in str(await failure(webhook(receiver)))
    assert "its name is not found" in str(await failure(webhook("http://nobody.invalid/")))


AUTHORITY = trustme.CA()
STRANGER = trustme.CA()


def server(*names: str, by: trustme.CA = AUTHORITY, **options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    by.issue_cert(*names, **options).configure_cert(context)
    return context


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return path


async def test_over_tls_the_name_is_shown_and_the_certificate_checked(ca_file: Path) -> None:
    names: list[str | None] = []
    context = server("localhost")
    context.sni_callback = lambda socket, name, context: names.append(name)
    async with receiving(tls=context) as receiver:
        hook = webhook(f"https://localhost:{receiver.port}/{CANARY}", ca_file=ca_file)
        assert await hook(notice(event())) == "200 OK"
    assert names == ["localhost"]
    assert receiver.requests[0].headers["host"] == f"localhost:{receiver.port}"


async def test_a_certificate_for_an_address_is_checked_too(ca_file: Path) -> None:
    async with receiving(tls=server("127.0.0.1")) as receiver:
        assert await webhook(f"https://{receiver.authority}/", ca_file=ca_file)(notice(event())) == "200 OK"


@pytest.mark.parametrize(
    ("context", "words"),
    [
        (server("localhost", by=STRANGER), "its certificate is not valid: unable to get local issuer certificate"),
        (server("example.org"), "its certificate is not valid: Hostname mismatch"),
        (server("127.0.0.1"), "its certificate is not valid: Hostname mismatch"),
    ],
    ids=["by a stranger", "for another name", "for the address only"],
)
async def test_a_wrong_certificate_is_refused(ca_file: Path, context: ssl.SSLContext, words: str) -> None:
    async with receiving(tls=context) as receiver:
        said = await failure(webhook(f"https://localhost:{receiver.port}/{CANARY}", ca_file=ca_file))
    assert words in str(said)
    assert receiver.requests == []


async def test_a_receiver_without_tls_is_refused_under_https(ca_file: Path) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(status("400 Bad Request"))
        await writer.drain()

    async with listening(speak) as receiver:
        said = await failure(webhook(f"https://localhost:{receiver.port}/{CANARY}", ca_file=ca_file))
    assert "TLS failed" in str(said)


@pytest.mark.parametrize(("behave", "words"), [(silence, "no answer within 1 s"), (cut, "TLS failed|connection")])
async def test_a_handshake_that_hangs_or_is_cut_is_left_in_time(behave: Any, words: str) -> None:
    async with listening(behave) as receiver:
        said = await failure(webhook(f"https://{receiver.authority}/{CANARY}", timeout=1.0))
    assert re.search(words, str(said))
    assert receiver.connections == 1


async def test_a_login_in_the_url_is_sent_as_a_header() -> None:
    async with receiving() as receiver:
        await webhook(f"http://me%40home:{CANARY}@{receiver.authority}")(notice(event()))
    [request] = receiver.requests
    assert request.headers["authorization"] == f"Basic {base64.b64encode(f'me@home:{CANARY}'.encode()).decode()}"
    assert (request.path, request.headers["host"]) == ("/", receiver.authority)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": Secret(f"ftp://h.example/{CANARY}")}, "url must begin with https://"),
        ({"url": Secret(f"h.example/{CANARY}")}, "url must begin with https://"),
        ({"url": Secret(f"http://h.example/{CANARY}"), "allow_http": False}, "over http:// everybody on the way"),
        ({"url": Secret(f"https://h.example/{CANARY} x")}, "url holds a space"),
        ({"url": Secret(f"https://h.example/{CANARY}\u00e9")}, "url holds a space, a backslash or a character"),
        ({"url": Secret(f"https://h.example/{CANARY}\r\nX: y")}, "url holds a space, a backslash or a character"),
        ({"url": Secret("https:///x")}, "names no host"),
        ({"url": Secret("https://h.example:99999/x")}, "a port is from 1 to 65535"),
        ({"url": Secret("https://0x7f.1/x")}, "ends in a number as an IPv4 address does"),
        ({"secrets": ()}, "secrets must be 1 to 5"),
        ({"secrets": tuple(map(Secret, KEYS * 2))}, "secrets must be 1 to 5"),
        ({"secrets": (Secret(CANARY),)}, "secrets must each be whsec_"),
        ({"secrets": (Secret(KEYS[0][6:]),)}, "secrets must each be whsec_"),
        ({"secrets": (Secret("whsec_c2hvcnQ="),)}, "base64 of 24 to 64 bytes"),
        ({"secrets": (Secret("whsec_" + "A" * 400),)}, "base64 of 24 to 64 bytes"),
        ({"secrets": (Secret("whsec_é"),)}, "base64 of 24 to 64 bytes"),
        ({"timeout": 0.0}, "timeout must be from 1 to 55 seconds"),
        ({"proxy": Secret(f"ftp://{CANARY}:x@127.0.0.1:1")}, "proxy must be like socks5h://"),
        ({"proxy": Secret(f"socks5://{CANARY}@127.0.0.1")}, "with a port"),
        ({"ca_file": Path("/nowhere/ca.pem")}, "ca_file /nowhere/ca.pem holds no certificates"),
    ],
)
def test_a_wrong_option_is_named_without_its_secret(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError) as caught:
        webhook("http://127.0.0.1/", **options)
    assert words in str(caught.value)
    assert CANARY not in str(caught.value)
