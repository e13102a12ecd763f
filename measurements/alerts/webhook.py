"""A web address that is told, by the Standard Webhooks convention (standardwebhooks.com, specification 1.0).

`webhook-id` is the notice's id and stays the same over retries; `webhook-timestamp` is when this attempt was made;
`webhook-signature` holds a signature for each secret, so that a receiver can change its secret without losing a
message: the old and the new one sign until the old one is taken out. A receiver that answers 410 is told no more.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from pathlib import Path

from measurements.alerts.notice import Hook, Notice
from measurements.alerts.payload import SMALL, encode
from measurements.alerts.posting import Poster, accept
from measurements.alerts.secrets import Secret
from measurements.bogons import Bogons

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64  # bytes of a secret, by the specification
MOST_SECRETS = 5


def webhook(
    *,
    url: Secret,
    secrets: tuple[Secret, ...],
    bogons: Bogons,
    proxy: Secret | None = None,
    ca_file: Path | None = None,
    timeout: float = 20.0,
    allow_private: bool = False,
    allow_http: bool = False,
) -> Hook:
    """Post to `url`, signed with each of `secrets` ("whsec_" and base64 of 24 to 64 bytes)."""
    keys = [_key(secret) for secret in secrets]
    if not 1 <= len(keys) <= MOST_SECRETS:
        raise ValueError(f"secrets must be 1 to {MOST_SECRETS}; make one: echo whsec_$(openssl rand -base64 32)")
    refused = None if allow_private else bogons
    poster = Poster(url, proxy=proxy, ca_file=ca_file, timeout=timeout, refused=refused, plain=allow_http)

    async def post(notice: Notice) -> str:
        body = encode(notice, SMALL)
        moment = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "webhook-id": notice.id,
            "webhook-timestamp": moment,
            "webhook-signature": " ".join(sign(key, notice.id, moment, body) for key in keys),
        }
        return accept(await poster.post(body, headers), url.shown)

    return post


def sign(key: bytes, id: str, timestamp: str, body: bytes) -> str:
    """Return "v1," and the signature of a message: HMAC-SHA256 over id, timestamp and body, joined by dots."""
    signed = b".".join((id.encode(), timestamp.encode(), body))
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def _key(secret: Secret) -> bytes:
    text = secret.reveal()
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(
            f"secrets must each be {PREFIX} and base64 of {SHORTEST} to {LONGEST} bytes; "
            f"make one: echo {PREFIX}$(openssl rand -base64 32)"
        )
    return key
