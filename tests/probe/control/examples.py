"""Answers of a control as the specification's field names give them."""

from __future__ import annotations

import copy
from typing import Any

URL = "https://news.example/"
ADDRESS, OTHER, SIXTH = "192.0.2.10", "192.0.2.11", "2001:db8::10"

ANSWER: dict[str, Any] = {
    "tcp_connect": {
        f"{ADDRESS}:443": {"status": True, "failure": None},
        f"{OTHER}:443": {"status": False, "failure": "generic_timeout_error"},
        f"[{SIXTH}]:443": {"status": False, "failure": "connect_error"},
    },
    "tls_handshake": {f"{ADDRESS}:443": {"server_name": "news.example", "status": True, "failure": None}},
    "quic_handshake": {},
    "http_request": {
        "body_length": 1256,
        "discovered_h3_endpoint": "",
        "failure": None,
        "title": "The News",
        "headers": {"Content-Type": "text/html", "Server": "ngx"},
        "status_code": 200,
    },
    "http3_request": None,
    "dns": {"failure": None, "addrs": [ADDRESS, SIXTH]},
    "ip_info": {ADDRESS: {"asn": 64500, "flags": 11}, OTHER: {"asn": 0, "flags": 1}},
}


def answer(**changes: Any) -> dict[str, Any]:
    """A copy of `ANSWER` with some of its keys replaced."""
    return {**copy.deepcopy(ANSWER), **changes}


def down() -> dict[str, Any]:
    """What a control says of a site whose servers do not answer."""
    return answer(
        tcp_connect={
            f"{ADDRESS}:443": {"status": False, "failure": "generic_timeout_error"},
            f"{OTHER}:443": {"status": False, "failure": "generic_timeout_error"},
        },
        tls_handshake={},
        http_request={
            "body_length": -1,
            "discovered_h3_endpoint": "",
            "failure": "generic_timeout_error",
            "title": "",
            "headers": {},
            "status_code": -1,
        },
    )
