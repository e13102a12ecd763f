"""The apprise hook against a real mail server and real web receivers, and what must not get out of its child."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import os
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import trustme

from measurements.alerts.apprise import CHILD, without_proxies
from measurements.alerts.hooks import HOOKS
from measurements.alerts.notice import Hook, HookFailed
from measurements.alerts.secrets import Secret
from measurements.alerts.wording import text, title
from tests.measurements.alerts.notices import a_test, event, hostile, notice
from tests.measurements.alerts.proxies import LOGIN, http_proxy, socks_proxy
from tests.measurements.alerts.receivers import Mail, listening, mail_server, receiving, status

pytestmark = pytest.mark.anyio

CANARY = "kanari-7f3a"


def apprise(url: str, **options: Any) -> Hook:
    return HOOKS["apprise"](url=Secret(url), **options)


async def failure(url: str, **options: Any) -> str:
    with pytest.raises(HookFailed) as caught:
        await apprise(url, **options)(notice(event()))
    assert "kanari" not in str(caught.value)
    return str(caught.value)


async def test_a_web_service_gets_title_and_text() -> None:
    told = notice(event())
    async with receiving() as receiver:
        assert await apprise(f"json://{receiver.authority}/{CANARY}")(told) == "JSON took it"
    [request] = receiver.requests
    said = json.loads(request.body)
    assert (said["title"], said["message"], said["type"]) == (title(told), text(told), "warning")
    assert request.path == f"/{CANARY}"


async def test_a_letter_arrives_and_does_not_name_this_machine() -> None:
    mails: list[Mail] = []
    told = notice(hostile())
    async with mail_server(mails) as server:
        url = f"mailto://{server.authority}?from=wazi@example.org&to=me@example.org&mode=insecure"
        assert await apprise(url)(told) == "E-Mail took it"
    [mail] = mails
    letter = email.message_from_bytes(mail.letter.removesuffix(b".\r\n"), policy=email.policy.default)
    assert letter["Subject"] == title(told)
    body = letter.get_body(("plain",))
    assert body is not None
    assert "Do not publish before a person has looked." in body.get_content()
    assert mail.recipients == ["rcpt TO:<me@example.org>"]
    assert mail.hello == "localhost.localdomain"
    written = mail.letter.decode().lower()
    for name in {socket.gethostname(), socket.getfqdn()} - {"localhost", "wazi"}:
        assert name.lower() not in written
    assert letter["Date"].endswith("+0000")
    assert "apprise" not in written


async def test_a_login_that_is_refused_is_said_in_our_words() -> None:
    async with mail_server([], refuse_login=True) as server:
        url = f"mailto://{CANARY}:{CANARY}@{server.authority}?from=w@example.org&to=me@example.org&mode=insecure"
        assert await failure(url) == "E-Mail (mailto://***): it refused the login"


async def test_a_refusal_names_service_and_status_and_no_redirect_is_followed() -> None:
    async with receiving() as elsewhere:
        answer = status("302 Found", f"Location: http://{elsewhere.authority}/", body=f"bad token {CANARY}".encode())
        async with receiving(answer) as receiver:
            said = await failure(f"json://user:{CANARY}@{receiver.authority}/{CANARY}?+X-Token={CANARY}")
    assert said == "JSON (json://***): it answered 302"
    assert elsewhere.connections == 0


async def test_what_cannot_be_reached_is_said() -> None:
    async with receiving() as receiver:
        pass
    assert await failure(f"json://{receiver.authority}/{CANARY}") == "JSON (json://***): connection refused"
    assert (
        await failure(f"tgram://{CANARY}")
        == "Apprise (tgram://***): no service has such a URL, or a part of it is missing"
    )


async def test_a_service_that_hangs_is_killed_with_its_process() -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"HTTP/1.1 200 OK\r\n" if await reader.read(1) else b"")
            await asyncio.sleep(0.05)

    async with listening(hang) as receiver:
        began = time.monotonic()
        url = f"json://{receiver.authority}/{CANARY}?rto=60&cto=60"
        task = asyncio.ensure_future(apprise(url, timeout=3.0)(notice(event())))
        for _ in range(300):
            if receiver.connections or task.done():
                break
            await asyncio.sleep(0.02)
        lines = await asyncio.to_thread(command_lines)
        assert [line for line in lines if str(CHILD) in line]
        assert not [line for line in lines if CANARY in line and "pytest" not in line]
        with pytest.raises(HookFailed, match=r"json://\*\*\*: Apprise took longer than 3 s and was killed"):
            await task
    assert time.monotonic() - began < 6.0
    assert not [line for line in await asyncio.to_thread(command_lines) if str(CHILD) in line]


def command_lines() -> list[str]:
    """Return the command line and the environment of every process that this one has started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.append((folder / "cmdline").read_text() + (folder / "environ").read_text())
        except OSError:
            continue
    return found


async def test_certificates_are_checked(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    async with receiving(tls=context) as receiver:
        url = f"jsons://localhost:{receiver.port}/{CANARY}"
        assert await failure(url) == "JSON (jsons://***): its certificate is not valid"
        assert await apprise(url, ca_file=tmp_path / "ca.pem")(a_test()) == "JSON took it"


NAMES = {"service.example": "127.0.0.1"}


async def test_through_socks_the_proxy_looks_names_up() -> None:
    async with receiving() as receiver, socks_proxy(NAMES, login=True) as proxy:
        way = Secret(proxy.url("socks5h", ":".join(LOGIN) + "@"))
        assert await apprise(f"json://service.example:{receiver.port}/x", proxy=way)(notice(event())) == "JSON took it"
    assert proxy.asked == [f"service.example:{receiver.port}"]
    assert proxy.logins == [":".join(LOGIN)]


async def test_through_an_http_proxy_too() -> None:
    async with receiving() as receiver, http_proxy(NAMES, login=True) as proxy:
        way = Secret(proxy.url("http", ":".join(LOGIN) + "@"))
        assert await apprise(f"json://service.example:{receiver.port}/x", proxy=way)(notice(event())) == "JSON took it"
    assert proxy.asked == [f"POST service.example:{receiver.port}"]
    assert proxy.logins == ["right"]


async def test_mail_goes_through_socks_and_not_at_all_through_other_proxies() -> None:
    mails: list[Mail] = []
    async with mail_server(mails) as server, socks_proxy(NAMES) as socks, http_proxy(NAMES) as http:
        url = f"mailto://service.example:{server.port}?from=wazi@example.org&to=me@example.org&mode=insecure"
        assert await apprise(url, proxy=Secret(socks.url("socks5h")))(notice(event())) == "E-Mail took it"
        url = f"mailto://{server.authority}?from=wazi@example.org&to=me@example.org&mode=insecure"
        said = await failure(url, proxy=Secret(http.url("http")))
    assert said == "E-Mail (mailto://***): it does not go through such a proxy"
    assert len(mails) == server.connections == 1
    assert (socks.asked, http.asked) == ([f"service.example:{server.port}"], [])


async def test_what_would_go_around_the_proxy_is_refused() -> None:
    """Syslog speaks UDP, which no proxy of ours carries."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        url = f"rsyslog://127.0.0.1:{receiver.getsockname()[1]}"
        assert await apprise(url)(notice(event())) == "Remote Syslog took it"
        receiver.recv(10_000)
        async with socks_proxy(NAMES) as proxy:
            said = await failure(url, proxy=Secret(proxy.url("socks5h")))
        assert said == "Remote Syslog (rsyslog://***): it does not go through such a proxy"
        with pytest.raises(BlockingIOError):
            receiver.recv(10_000)


def test_a_child_gets_neither_our_settings_nor_proxies_that_nobody_configured() -> None:
    environ = {
        "HTTP_PROXY": "x",
        "https_proxy": "x",
        "All_Proxy": "x",
        "WAZI_HOOK_URL": "x",
        "wazi_x": "x",
        "HOME": "/",
    }
    assert without_proxies(environ) == {"HOME": "/"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": Secret(CANARY)}, "^url must be one that Apprise knows"),
        ({"url": Secret(f"://{CANARY}")}, "^url must be one that Apprise knows"),
        ({"url": Secret(f"json://{CANARY}\n")}, "^url holds a control character"),
        ({"proxy": Secret(f"ftp://{CANARY}")}, "^proxy must be like"),
        ({"proxy": Secret(f"http://[{CANARY}")}, "^proxy must be like"),
        ({"timeout": 0.5}, "^timeout must be"),
        ({"ca_file": Path("/nowhere")}, "^ca_file /nowhere is no file"),
    ],
)
def test_a_wrong_option_is_named_without_its_secret(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        HOOKS["apprise"](**{"url": Secret("json://x"), **options})
    assert CANARY not in str(caught.value)
