"""Send one message by Apprise and say what came of it; a program of its own, run by `apprise.py`.

One JSON object on standard input, one on standard output; it imports nothing of Wazi. What Apprise and the libraries
below it say is read for a few known words and goes no further, because it may quote tokens.

With a proxy, what Apprise sends over HTTP goes by the proxy's variables, and mail by PySocks (SOCKS only). Whatever
would connect to anything but the proxy, or look a name up that the proxy should, is refused by an audit hook, which no
library goes around. This machine's name and time zone stay out of mail.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import socket
import sys
from typing import Any
from urllib.parse import unquote, urlsplit

HOST = "localhost.localdomain"  # in place of this machine's name

REASONS = (
    (r"certificate verify failed|SSLCertVerificationError|CERTIFICATE_VERIFY_FAILED", "its certificate is not valid"),
    (r"Name or service not known|Temporary failure in name resolution|nodename nor|Failed to resolve|NameResolution",
     "its name is not found"),
    (r"Connection refused", "connection refused"),
    (r"timed out|Timeout", "no answer in time"),
    (r"Connection reset|RemoteDisconnected|Connection aborted|unexpectedly closed|IncompleteRead|Broken pipe",
     "the connection broke off"),
    (r"No route to host|Network is unreachable", "no way to it"),
    (r"SMTPAuthentication|\(53[045],|authentication failed|Authentication unsuccessful", "it refused the login"),
    (r"SSLError|SSL:|WRONG_VERSION_NUMBER|STARTTLS", "TLS failed"),
    (r"SOCKS|ProxyError|Unable to connect to proxy|Tunnel connection failed", "the proxy refused, or cannot reach it"),
)  # fmt: skip


class Direct(PermissionError):
    """Something would have gone around the proxy."""


def main() -> None:
    """Read an errand, carry it out, answer."""
    errand = json.load(sys.stdin)
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    json.dump(send(errand), answer)
    answer.close()


def send(errand: dict[str, Any]) -> dict[str, Any]:
    """Send a message: {"url", "title", "body", "kind", "proxy", "ca_file"} to {"service", "sent", "why"}."""
    os.environ["NETRC"] = os.devnull
    if errand["ca_file"]:
        os.environ["REQUESTS_CA_BUNDLE"] = os.environ["SSL_CERT_FILE"] = errand["ca_file"]
    socket.getfqdn = lambda name="": HOST  # else it would be in every greeting and every Message-ID
    gone_around: list[str] = []
    if errand["proxy"]:
        go_through(errand["proxy"], gone_around)

    import apprise

    heard = Heard()
    for name in ("apprise", "urllib3", "requests"):
        logging.getLogger(name).handlers[:] = [heard]
        logging.getLogger(name).setLevel(logging.DEBUG)
    asset = apprise.AppriseAsset(
        app_id="Wazi",
        app_desc="Wazi",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        async_mode=False,
        http_redirects=False,
        allow_templates=False,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        language="en",
        timezone="UTC",
        pgp_autogen=False,
        pem_autogen=False,
    )
    service = apprise.Apprise.instantiate(errand["url"], asset=asset, suppress_exceptions=True)
    if service is None:
        return {
            "service": "Apprise",
            "sent": False,
            "why": "no service has such a URL, or a part of it is missing",
        }
    sender = apprise.Apprise(asset=asset)
    sender.add(service)
    sent = sender.notify(
        body=errand["body"], title=errand["title"], notify_type=errand["kind"], body_format=apprise.NotifyFormat.TEXT
    )
    why = "" if sent else "it does not go through such a proxy" if gone_around else heard.reason()
    return {"service": str(service.service_name), "sent": bool(sent), "why": why}


class Heard(logging.Handler):
    """Keeps what was logged, a bounded part of it, to find a reason in."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._lines) < 200:
            self._lines.append(record.getMessage()[:4000])

    def reason(self) -> str:
        """Return a reason in words of ours."""
        told = "\n".join(self._lines)
        for pattern, words in REASONS:
            if re.search(pattern, told):
                return words
        if code := re.search(r"error=([1-5][0-9]{2})\b", told) or re.search(r"\(([45][0-9]{2}), b['\"]", told):
            return f"it answered {code[1]}"
        return "it did not take the message, and Apprise does not say why"


def go_through(proxy: str, gone_around: list[str]) -> None:
    """Send everything by a proxy, and refuse the rest; what was refused is added to `gone_around`."""
    import socks  # type: ignore[import-untyped]

    parts = urlsplit(proxy)
    host, port = parts.hostname or "", parts.port or 0
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        os.environ[name] = os.environ[name.upper()] = proxy
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ""
    addresses = {found[4][0] for found in socket.getaddrinfo(host, port)}
    names_are_ours = parts.scheme == "socks5"
    if parts.scheme.startswith("socks5"):
        socket.create_connection = functools.partial(
            socks.create_connection,
            proxy_type=socks.SOCKS5,
            proxy_addr=host,
            proxy_port=port,
            proxy_rdns=not names_are_ours,
            proxy_username=unquote(parts.username) if parts.username else None,
            proxy_password=unquote(parts.password) if parts.password else None,
        )

    def watch(happening: str, details: tuple[Any, ...]) -> None:
        refused = False
        if happening in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            to = details[1]
            refused = not (isinstance(to, tuple) and to[0] in (host, *addresses) and to[1] == port)
        elif happening in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
            refused = not names_are_ours and details[0] not in (host, host.encode(), None, *addresses)
        elif happening in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.fork"):
            refused = True
        if refused:
            gone_around.append(happening)
            raise Direct(1, "it would go around the proxy")

    sys.addaudithook(watch)


if __name__ == "__main__":
    main()
