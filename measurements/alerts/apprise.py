"""Any service that Apprise knows (Signal, Telegram, Matrix, ntfy, e-mail, Slack, …), by its URL.

Apprise waits for the network and may never come back, so each message is sent by a child process that can be killed
(`apprise_child.py`). The child is told everything on its standard input: a URL with a token in it is in no list of
processes and in no environment. It answers in words of ours, for what services and libraries say may quote the token.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from measurements.alerts.children import clean_environment, run
from measurements.alerts.notice import LONGEST, Hook, HookFailed, Notice
from measurements.alerts.posting import check_proxy
from measurements.alerts.secrets import Secret
from measurements.alerts.wording import is_test, text, title
from measurements.printable import clean

CHILD = Path(__file__).with_name("apprise_child.py")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9]{1,30}")
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy")


class Answer(msgspec.Struct):
    """What the child says: which service, whether it took the message, and if not, why."""

    service: str
    sent: bool
    why: str = ""


def apprise(*, url: Secret, proxy: Secret | None = None, ca_file: Path | None = None, timeout: float = 45.0) -> Hook:
    """Send by the service at `url`, as Apprise writes it, within `timeout` seconds."""
    scheme, mark, rest = url.reveal().partition("://")
    if not mark or not _SCHEME.fullmatch(scheme) or not rest:
        raise ValueError("url must be one that Apprise knows, such as ntfys://ntfy.sh/TOPIC")
    if any(ord(character) < 0x20 for character in rest):
        raise ValueError("url holds a control character; leave it out")
    if not 1.0 <= timeout <= LONGEST:
        raise ValueError(f"timeout must be from 1 to {LONGEST:g} seconds")
    if ca_file is not None and not ca_file.is_file():
        raise ValueError(f"ca_file {ca_file} is no file")
    way = None if proxy is None else check_proxy(proxy)

    async def send(notice: Notice) -> str:
        errand = {
            "url": url.reveal(),
            "title": title(notice),
            "body": text(notice),
            "kind": _kind(notice),
            "proxy": way,
            "ca_file": None if ca_file is None else str(ca_file),
        }
        # -I: neither the folder of the child nor variables of Python decide what is imported.
        command = (sys.executable, "-I", str(CHILD))
        try:
            ended = await run(command, msgspec.json.encode(errand), timeout=timeout, environment=without_proxies())
        except OSError as error:
            raise HookFailed(f"{url.shown}: no process could be started: {error.strerror}") from None
        if ended.trouble:
            raise HookFailed(f"{url.shown}: Apprise {ended.how}")
        try:
            answer = msgspec.json.decode(ended.output, type=Answer)
        except msgspec.DecodeError:
            raise HookFailed(f"{url.shown}: Apprise {ended.how}") from None
        service = clean(answer.service, 60)
        if not answer.sent:
            raise HookFailed(f"{service} ({url.shown}): {clean(answer.why, 200)}")
        return f"{service} took it"

    return send


def without_proxies(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment that names no proxy, for only what is configured is used."""
    return {name: value for name, value in clean_environment(environ).items() if name.lower() not in _PROXY_VARIABLES}


def _kind(notice: Notice) -> str:
    """Return Apprise's word for how a message is meant, by which some services colour it."""
    if is_test(notice):
        return "info"
    return "warning" if any(news.event.is_open for news in notice.news) else "success"
