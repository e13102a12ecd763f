"""What docs/alerts.md shows is true: every example is a setting that loads, and what checks a signature checks it."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import pytest
import trustme

from measurements.alerts.hooks import HOOKS
from measurements.alerts.payload import encode
from measurements.alerts.secrets import Secret
from measurements.bogons import Bogons
from measurements.events.record import record
from probe.settings import load
from tests.measurements.alerts.notices import PUBLIC_URL, event, notice
from tests.measurements.alerts.receivers import Request, receiving

DOCUMENT = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()
EXAMPLES = [
    textwrap.dedent(block)
    for block in re.findall(r"(?:^ {4}[^\n]*\n)+", DOCUMENT, re.MULTILINE)
    if "[[alert]]" in block
]
SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"


def fenced(language: str) -> str:
    [block] = re.findall(rf"^```{language}\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    return str(block)


def test_there_is_an_example_of_every_hook() -> None:
    shown = {table["hook"] for example in EXAMPLES for table in tomllib.loads(example)["alert"]}
    assert shown == HOOKS.keys()
    for hook in HOOKS:
        assert f"\n## {hook}\n" in DOCUMENT


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda text: re.findall('hook = "(.*)"', text)[0])
@pytest.mark.parametrize("whole", [False, True], ids=["as it is", "with every option"])
def test_an_example_loads(tmp_path: Path, example: str, whole: bool) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (tmp_path / "hook-secret").write_text(SECRET)
    (tmp_path / "ntfy-url").write_text("ntfys://ntfy.sh/topic\n")
    if whole:
        example = re.sub(r"^# (\w+ = )", r"\1", example, flags=re.MULTILINE)
    example = example.replace("/usr/local/bin/ring", "true").replace("/var/lib/wazi", str(tmp_path))
    for variable, url in (("WAZI_HOOK_URL", "https://hooks.example/x"), ("WAZI_HOOK_PHONES", "tgram://1:x/2")):
        (tmp_path / variable).write_text(url)
        example = example.replace(f'{{ env = "{variable}" }}', f'{{ file = "{variable}" }}')
    (tmp_path / "wazi.toml").write_text(example)
    [alert] = load(tmp_path / "wazi.toml", environ={}).alerts
    assert callable(alert.make())


@pytest.fixture(scope="module")
def sent() -> Request:
    async def send() -> Request:
        async with receiving() as receiver:
            hook = HOOKS["webhook"](
                url=Secret(f"http://{receiver.authority}/"),
                secrets=(Secret("whsec_" + "B" * 43 + "="), Secret(SECRET)),
                bogons=Bogons(),
                allow_private=True,
                allow_http=True,
            )
            await hook(notice(event()))
        return receiver.requests[0]

    return asyncio.run(send())


def test_the_python_that_checks_a_signature_does(sent: Request) -> None:
    names: dict[str, Any] = {}
    exec(fenced("python"), names)
    is_genuine = names["is_genuine"]
    assert is_genuine(SECRET, sent.headers, sent.body)
    assert not is_genuine(SECRET, sent.headers, sent.body + b" ")
    assert not is_genuine("whsec_" + "A" * 43 + "=", sent.headers, sent.body)
    assert not is_genuine(SECRET, {**sent.headers, "webhook-timestamp": "1000000000"}, sent.body)


def test_the_shell_that_checks_a_signature_does(sent: Request, tmp_path: Path) -> None:
    def said(body: bytes) -> str:
        (tmp_path / "body").write_bytes(body)
        headers = {"ID": "webhook-id", "SENT": "webhook-timestamp", "SIGNATURE": "webhook-signature"}
        given = {name: sent.headers[header] for name, header in headers.items()}
        environment = {"PATH": "/usr/bin:/bin", "SECRET": SECRET, **given}
        ran = subprocess.run(
            ["sh", "-c", fenced("sh")], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        return ran.stdout

    assert said(sent.body) == "genuine\n"
    assert said(sent.body + b" ") == ""


def test_the_body_is_as_it_is_shown() -> None:
    shown = json.loads(fenced("json"))
    body = json.loads(encode(notice(event(), public_url=PUBLIC_URL)))
    assert shown.keys() == body.keys()
    assert shown["data"].keys() == body["data"].keys()
    [told] = body["data"]["events"]
    assert shown["data"]["events"][0].keys() - {"…"} <= told.keys()
    assert told.keys() == (record(event()).keys() | {"change", "version", "link", "left_out"}) - {"probes"}
