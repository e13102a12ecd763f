"""`wazi alert test`: what it sends, what it says, how it ends; and no secret in anything that is printed."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
import standardwebhooks

from probe.commands.console import Common, Refusal
from probe.commands.trying import chosen, try_alerts
from probe.settings import load
from tests.measurements.alerts.proxies import http_proxy
from tests.measurements.alerts.receivers import Mail, mail_server, receiving, status

pytestmark = pytest.mark.anyio

CANARY = "kanari7f3a"
SECRET = f"whsec_{base64.b64encode(CANARY.encode() * 3).decode()}"
HIDDEN = (CANARY, SECRET[6:20], base64.b64encode(CANARY.encode()).decode()[:8])


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Ran(NamedTuple):
    code: int
    out: str
    err: str


async def wazi(folder: Path, *words: str, environment: Mapping[str, str] | None = None) -> Ran:
    """Run the command with the settings in a folder, and see that nothing it prints is secret."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WAZI_")}
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import sys; sys.argv[0] = 'wazi'; from probe.cli import main; main()",
        *("--config", str(folder / "wazi.toml"), *words),
        env={**inherited, "XDG_DATA_HOME": str(folder / "data"), **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await child.communicate()
    ran = Ran(child.returncode or 0, out.decode(), err.decode())
    assert not [secret for secret in HIDDEN if secret in ran.out + ran.err], ran
    assert not (folder / "data").exists()  # no store was needed, or made
    return ran


async def test_every_alert_is_tried_and_told_of(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    mails: list[Mail] = []
    async with receiving() as receiver, mail_server(mails) as mail:
        (tmp_path / "wazi.toml").write_text(f"""
[[alert]]
hook = "webhook"
name = "headquarters"
url = {{ env = "HQ" }}
secrets = [{{ file = "secret" }}]
allow_private = true
allow_http = true

[[alert]]
hook = "apprise"
url = "mailto://{mail.authority}?from=wazi@example.org&to=me@example.org&mode=insecure"

[[alert]]
hook = "feed"
path = "feed.xml"

[[alert]]
hook = "log"
""")
        secret = {"HQ": f"http://u:{CANARY}@{receiver.authority}/{CANARY}"}
        ran = await wazi(tmp_path, "alert", "test", "--json", environment=secret)
    assert ran.code == 0, ran
    told = {said["alert"]: said for said in map(json.loads, ran.out.splitlines())}
    assert {name: (one["hook"], one["fine"], one["said"]) for name, one in told.items()} == {
        "headquarters": ("webhook", True, "200 OK"),
        "apprise": ("apprise", True, "E-Mail took it"),
        "feed": ("feed", True, "feed.xml has 1 message"),
        "log": ("log", True, "1 written"),
    }
    assert all(0.0 <= one["seconds"] < 60.0 for one in told.values())
    [request] = receiver.requests
    said_there = standardwebhooks.Webhook(SECRET).verify(request.body, request.headers)
    assert (said_there["type"], said_there["data"]["events"]) == ("test", [])
    assert b"Subject: TEST: nothing happened" in mails[0].letter
    assert "TEST: nothing happened" in (tmp_path / "feed.xml").read_text()
    assert "TEST: nothing happened" in ran.err


async def test_what_fails_is_told_and_what_is_named_is_tried_alone(tmp_path: Path) -> None:
    answer = status("410 Gone", f"X: {CANARY}", body=CANARY.encode())
    async with receiving(answer) as receiver, http_proxy({}) as proxy:
        (tmp_path / "wazi.toml").write_text(f"""
[[alert]]
hook = "webhook"
name = "first"
url = "http://{receiver.authority}/{CANARY}"
secrets = ["{SECRET}"]
allow_private = true
allow_http = true

[[alert]]
hook = "webhook"
name = "second"
url = "https://nobody.invalid/{CANARY}"
secrets = ["{SECRET}"]
proxy = "http://user:{CANARY}@{proxy.receiver.authority}"

[[alert]]
hook = "apprise"
url = "json://:{CANARY}@127.0.0.1:1/{CANARY}"

[[alert]]
hook = "alertmanager"
url = "http://user:{CANARY}@127.0.0.1:1"

[[alert]]
hook = "command"
command = ["false"]
""")
        ran = await wazi(tmp_path, "-v", "alert", "test")
    assert ran.code == 1
    assert sorted(re.sub(r"[0-9.]+ s", "N s", line) for line in ran.out.splitlines()) == [
        "FAILED  alertmanager, N s: http://127.0.0.1:1: connection refused",
        "FAILED  apprise, N s: JSON (json://***): connection refused",
        "FAILED  command, N s: false ended with exit code 1",
        f"FAILED  first (webhook), N s: http://{receiver.authority}/*** answered 410 Gone: it wants no more alerts",
        "FAILED  second (webhook), N s: https://nobody.invalid: the proxy: it refused",
    ]


async def test_settings_show_no_secret_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "wazi.toml").write_text(f"""
[[alert]]
hook = "webhook"
url = "https://hooks.example/{CANARY}"
secrets = ["{SECRET}"]
proxy = "socks5h://{CANARY}:{CANARY}@127.0.0.1:9050"

[[alert]]
hook = "apprise"
url = "tgram://{CANARY}/{CANARY}"
""")
    shown = await wazi(tmp_path, "config", "show")
    assert "alert[0].url = https://hooks.example/***" in shown.out
    assert "alert[0].proxy = socks5h://127.0.0.1:9050/***" in shown.out
    assert "alert[1].url = tgram://***" in shown.out


NOTHING = "no [[alert]] is configured: nobody is told of events"
WRONG = f'[[alert]]\nhook = "webhook"\nurl = "https://127.0.0.1/{CANARY}"\nsecrets = ["{SECRET}"]'
UNKNOWN = WRONG.replace("127.0.0.1", "hooks.example")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", NOTHING),
        (WRONG, "url: leads to 127.0.0.1, which is no public address: loopback"),
        (WRONG.replace("https", "ftp"), "url: must begin with https://"),
        (WRONG.replace("://", "://h..example/"), "has an empty label in its host"),
        (UNKNOWN, "nobody is the name of no [[alert]]; there are webhook"),
        (f'alert = "{CANARY}"', "[[alert]]: must be"),
    ],
)
def test_a_wrong_command_or_setting_is_refused_without_its_secrets(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "wazi.toml").write_text(text)
    with pytest.raises(Refusal) as caught:
        try_alerts(Common(tmp_path / "wazi.toml"), "nobody", as_json=False)
    assert words in str(caught.value)
    assert caught.value.code == 2
    assert not [secret for secret in HIDDEN if secret in str(caught.value)]


def test_an_alert_is_chosen_by_its_name_and_else_by_its_hook(tmp_path: Path) -> None:
    names = ("log", 'log"\nname = "second', 'feed"\npath = "f"\nname = "third')
    (tmp_path / "wazi.toml").write_text("".join(f'[[alert]]\nhook = "{name}"\n' for name in names))
    settings = load(tmp_path / "wazi.toml", environ={})
    asked = {name: [one.name for one in chosen(settings, name)] for name in (None, "log", "second", "feed")}
    assert asked == {None: ["log", "second", "third"], "log": ["log"], "second": ["second"], "feed": ["third"]}
