"""What a control sees of real sites, and says in OONI's words."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import resource
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import trustme

from measurements.bogons import Bogons
from probe.control.app import ControlApp
from probe.control.policy import Policy
from probe.network import Peers
from probe.wire import Wire
from tests.probe.control.servers import Behaviour, http_server, never, says
from tests.probe.control.serving import BOGONS, LIMITS, peers
from tests.probe.control.sites import DEAD, HOST, Sites, resolver
from tests.probe.wire.quic_peers import http3_server

FAST = Policy(allow_private=True, step_seconds=1.0, page_seconds=1.0, seconds=5.0)
STRICT = Policy(step_seconds=1.0, page_seconds=1.0, seconds=5.0)
NEARBY = Bogons.parse("127.0.1.0/24,the neighbours", "test")
"""A world in which loopback is the open internet, but for 127.0.1.0/24."""
OPEN = Policy(step_seconds=1.0, page_seconds=1.0, seconds=5.0, never=())


@dataclass
class Asked:
    """A control to ask, without a server around it."""

    http: httpx.AsyncClient
    lookups: list[str]

    async def __call__(self, url: str, *endpoints: str, **more: Any) -> Any:
        response = await self.post(url, *endpoints, **more)
        assert response.status_code == 200, response.text
        return response.json()

    async def post(
        self,
        url: str,
        *endpoints: str,
        headers: dict[str, list[str]] | None = None,
        quic: bool = False,
        body: object = None,
    ) -> httpx.Response:
        question: dict[str, Any] = {
            "http_request": url,
            "http_request_headers": headers or {},
            "tcp_connect": list(endpoints),
        }
        if quic:
            question["x_quic_enabled"] = True
        if body is not None:
            question["x_body_bytes"] = body
        return await self.http.post("http://control.test/", json=question)


@contextlib.asynccontextmanager
async def asking(
    sites: Sites, policy: Policy = FAST, *, bogons: Bogons = BOGONS, ipv6: bool = True, known: Peers | None = None
) -> AsyncIterator[Asked]:
    async with (
        resolver() as (address, lookups),
        Wire(peers=known or peers(address), limits=LIMITS, bogons=bogons, ca_file=sites.ca, ipv6=ipv6) as wire,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(
                ControlApp(lambda: wire.network(full_body=True), policy=policy, asn_of=lambda a: 64500)
            )
        ) as http,
    ):
        yield Asked(http, lookups)


def answer(sites: Sites, url: str, *endpoints: str, policy: Policy = FAST, **more: Any) -> Any:
    async def run() -> Any:
        async with asking(sites, policy, **more) as ask:
            return await ask(url, *endpoints)

    return asyncio.run(run())


def test_a_good_site_has_every_fact_in_its_place(sites: Sites) -> None:
    endpoint = f"{HOST}:{sites.https}"
    said = answer(sites, f"https://good.test:{sites.https}/", endpoint)
    page = said["http_request"]
    assert page.pop("headers").items() >= {"Content-Type": "text/html", "Alt-Svc": 'h3=":4433"; ma=60'}.items()
    assert page.pop("body_length") > 1200  # decoded: on the wire it was a tenth
    assert page == {
        "discovered_h3_endpoint": "good.test:4433",
        "failure": None,
        "title": "A safe site",
        "status_code": 200,
    }
    assert said["tcp_connect"] == {endpoint: {"status": True, "failure": None}}
    assert said["tls_handshake"] == {endpoint: {"server_name": "good.test", "status": True, "failure": None}}
    assert said["dns"] == {"failure": None, "addrs": [HOST]}
    assert said["ip_info"] == {HOST: {"asn": 64500, "flags": 1 + 2 + 4 + 8}}
    assert (said["quic_handshake"], said["http3_request"]) == ({}, None)


def test_quic_is_tried_for_whoever_asks(sites: Sites) -> None:
    async def run() -> list[Any]:
        stranger = trustme.CA().issue_cert("good.test")
        url = f"https://good.test:{sites.https}/"
        async with asking(sites) as ask:
            refused = await ask(url, quic=True)
            async with http3_server(stranger, port=sites.https):
                return [refused, await ask(url, quic=True), await ask(url)]

    refused, reached, unasked = asyncio.run(run())
    endpoint = f"{HOST}:{sites.https}"
    step = {"server_name": "good.test", "status": False}
    assert refused["quic_handshake"] == {endpoint: step | {"failure": "connection_refused"}}
    assert reached["quic_handshake"] == {endpoint: step | {"failure": "ssl_unknown_authority"}}
    assert reached["tls_handshake"][endpoint]["status"]
    assert unasked["quic_handshake"] == {}


@pytest.mark.parametrize(("wanted", "sent"), [(100, 100), (10**9, 1300), (0, None), (-5, None), (None, None)])
def test_the_beginning_of_the_page_is_sent_to_whoever_asks(sites: Sites, wanted: int | None, sent: int | None) -> None:
    """If a probe asks for bytes of the page, it gets so many, compressed, and never more than the policy allows."""
    policy = Policy(allow_private=True, step_seconds=1.0, page_seconds=1.0, seconds=5.0, body_bytes=1300)

    async def run() -> Any:
        async with asking(sites, policy) as ask:
            return await ask(f"https://good.test:{sites.https}/", body=wanted)

    page = asyncio.run(run())["http_request"]
    if sent is None:
        assert "x_body" not in page
        return
    body = zlib.decompress(base64.b64decode(page["x_body"]))
    assert len(body) == min(sent, page["body_length"])
    assert body.startswith(b"<")


def test_the_page_is_asked_for_with_the_probes_three_headers_and_once(sites: Sites) -> None:
    headers = {"User-Agent": ["Browser/1"], "Accept-Language": ["sw"], "Cookie": ["id=1"], "Host": ["inside.test"]}

    async def run() -> None:
        async with asking(sites) as ask:
            await ask(f"https://good.test:{sites.https}/", headers=headers)

    before = len(sites.requests())
    asyncio.run(run())
    assert sites.requests()[before:] == [["Browser/1", "sw", "-", "good.test", "/"]]


def test_plain_http_on_port_80_also_tries_the_protected_door(sites: Sites) -> None:
    said = answer(sites, "http://dead.test/")
    assert said["tcp_connect"].keys() == {f"{DEAD}:80", f"{DEAD}:443"}
    assert {step["failure"] for step in said["tcp_connect"].values()} == {"connection_refused_error"}
    assert said["tls_handshake"] == {}
    assert said["http_request"]["failure"] == "connection_refused_error"


def test_the_ports_are_the_urls_whatever_the_probe_lists(sites: Sites) -> None:
    said = answer(sites, f"http://good.test:{sites.http}/", f"{DEAD}:9999", f"{HOST}:22")
    assert said["tcp_connect"] == {
        f"{HOST}:{sites.http}": {"status": True, "failure": None},
        f"{DEAD}:{sites.http}": {"status": False, "failure": "connection_refused_error"},
    }
    assert said["ip_info"][DEAD]["flags"] == 1 + 4
    assert said["ip_info"][HOST]["flags"] == 1 + 2 + 4
    assert said["http_request"]["title"] == "A plain site"


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("nowhere.test", "dns_name_error"),
        ("empty.test", None),
        ("refused.test", "dns_server_failure"),
        ("broken.test", "dns_server_failure"),
        ("silent.test", "unknown_error"),
    ],
)
def test_a_name_without_addresses_is_told_and_the_probes_addresses_are_tried(
    sites: Sites, name: str, failure: str | None
) -> None:
    said = answer(sites, f"http://{name}:{sites.http}/", f"{HOST}:{sites.http}")
    assert said["dns"] == {"failure": failure, "addrs": []}
    assert said["http_request"] == {
        "body_length": -1,
        "discovered_h3_endpoint": "",
        "failure": "dns_lookup_error",
        "title": "",
        "headers": {},
        "status_code": -1,
    }
    assert said["tcp_connect"][f"{HOST}:{sites.http}"]["status"]


def test_another_resolver_is_asked_when_the_own_one_fails(sites: Sites) -> None:
    async def run() -> Any:
        async with resolver() as (address, _):
            dead, alive = peers("127.0.0.1:9").local, peers(address).local
            assert dead is not None
            assert alive is not None
            async with asking(sites, known=Peers(local=dead, trusted=(alive,))) as ask:
                return await ask(f"http://good.test:{sites.http}/")

    said = asyncio.run(run())
    assert said["dns"]["addrs"] == [HOST]
    assert said["http_request"]["status_code"] == 200


def test_a_certificate_for_another_name_is_a_failed_handshake_and_no_page(sites: Sites) -> None:
    said = answer(sites, f"https://bad-name.test:{sites.https}/")
    endpoint = f"{HOST}:{sites.https}"
    assert said["tcp_connect"][endpoint]["status"]
    assert said["tls_handshake"][endpoint] == {
        "server_name": "bad-name.test",
        "status": False,
        "failure": "ssl_invalid_hostname",
    }
    assert said["http_request"]["failure"] == "unknown_error"
    assert said["ip_info"][HOST]["flags"] & 8 == 0


def test_one_address_that_stands_is_enough_for_the_page(sites: Sites) -> None:
    said = answer(sites, f"http://partly.test:{sites.http}/")
    assert said["tcp_connect"][f"{DEAD}:{sites.http}"]["failure"] == "connection_refused_error"
    assert said["http_request"]["status_code"] == 200


def test_an_address_as_url_is_not_looked_up(sites: Sites) -> None:
    said = answer(sites, f"https://{HOST}:{sites.https}/")
    assert said["dns"] == {"failure": None, "addrs": []}
    assert said["ip_info"] == {}
    assert said["tls_handshake"][f"{HOST}:{sites.https}"]["status"]
    assert said["http_request"]["status_code"] == 200


def test_ipv6_is_asked_and_written_in_brackets(sites: Sites) -> None:
    said = answer(sites, f"http://six.test:{sites.http}/", f"[::1]:{sites.http}")
    assert said["dns"]["addrs"] == ["::1"]
    assert said["tcp_connect"] == {f"[::1]:{sites.http}": {"status": True, "failure": None}}
    assert said["http_request"]["title"] == "A plain site"
    assert answer(sites, f"http://[::1]:{sites.http}/")["http_request"]["status_code"] == 200


@pytest.mark.parametrize(
    ("path", "status", "title", "failure"),
    [
        ("/gone", 410, "410 Gone", None),
        ("/up", 200, "A safe site", None),
        ("/chain/" + "a" * 10, 200, "", None),
        ("/chain/" + "a" * 11, -1, "", "unknown_error"),
        ("/loop", -1, "", "unknown_error"),
        ("/to-mail", -1, "", "unknown_error"),
        ("/to-file", -1, "", "unknown_error"),
        ("/to-nowhere", -1, "", "dns_lookup_error"),
        ("/to-dead", -1, "", "connection_refused_error"),
    ],
)
def test_redirects_are_followed_as_far_as_they_may(
    sites: Sites, path: str, status: int, title: str, failure: str | None
) -> None:
    page = answer(sites, f"http://good.test:{sites.http}{path}")["http_request"]
    assert (page["status_code"], page["title"], page["failure"]) == (status, title, failure)


def test_a_loop_is_left_when_it_closes(sites: Sites) -> None:
    before = len(sites.requests())
    answer(sites, f"http://good.test:{sites.http}/loop")
    assert len(sites.requests()) == before + 1


def test_a_private_name_is_looked_up_and_not_visited(sites: Sites) -> None:
    before = len(sites.requests())
    said = answer(sites, f"http://good.test:{sites.http}/", f"{HOST}:{sites.http}", policy=STRICT)
    assert said["dns"]["addrs"] == [HOST]
    assert said["tcp_connect"] == {}
    assert said["http_request"]["failure"] == "unknown_error"
    assert said["ip_info"][HOST]["flags"] == 1 + 2 + 4
    assert len(sites.requests()) == before


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "0.0.0.0"])
def test_a_private_address_is_refused_in_words(sites: Sites, host: str) -> None:
    async def run() -> httpx.Response:
        async with asking(sites, STRICT) as ask:
            return await ask.post(f"http://{host}/")

    response = asyncio.run(run())
    assert response.status_code == 400
    assert "private address" in response.text


@pytest.mark.parametrize("location", ["http://private.test:{port}/", "http://127.0.1.1:{port}/"])
def test_a_redirect_into_private_space_is_not_followed(sites: Sites, location: str) -> None:
    async def run() -> None:
        async with (
            http_server(says(b"secret"), "127.0.1.1") as inside,
            http_server(says(b"", "302 Found", "Location: " + location.format(port=inside.port))) as outside,
            asking(sites, OPEN, bogons=NEARBY) as ask,
        ):
            said = await ask(outside.url.replace(HOST, "good.test"))
            assert said["http_request"]["failure"] == "unknown_error"
            assert len(outside.heads) == 1
            assert inside.heads == []
            assert inside.open == 0

    asyncio.run(run())


def test_of_a_name_that_is_half_private_the_public_half_is_visited(sites: Sites) -> None:
    said = answer(sites, f"http://mixed.test:{sites.http}/", f"127.0.1.7:{sites.http}", policy=OPEN, bogons=NEARBY)
    assert said["tcp_connect"].keys() == {f"{HOST}:{sites.http}"}
    assert said["http_request"]["status_code"] == 200
    assert said["ip_info"]["127.0.1.1"]["flags"] == 2 + 4
    assert said["ip_info"]["127.0.1.7"]["flags"] == 1 + 4


async def _half_a_body(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<title>Half</title>")
    await writer.drain()
    await asyncio.sleep(3600)


async def _reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


OWN_WORDS: dict[tuple[Behaviour, str], tuple[str | None, ...]] = {
    (never, "http"): ("generic_timeout_error",),
    (never, "https"): (None,),  # no page was asked for
    (_half_a_body, "http"): ("generic_timeout_error",),
    (_reset, "http"): ("connection_reset", "eof_error"),
}


@pytest.mark.parametrize(
    ("behaviour", "scheme", "failure", "status"),
    [
        (never, "http", "generic_timeout_error", -1),
        (never, "https", "generic_timeout_error", -1),
        (_half_a_body, "http", "generic_timeout_error", 200),
        (_reset, "http", "unknown_error", -1),
    ],
)
def test_a_site_that_fails_slowly_or_rudely_is_told_in_time(
    sites: Sites, behaviour: Behaviour, scheme: str, failure: str, status: int
) -> None:
    async def run() -> Any:
        async with http_server(behaviour) as site, asking(sites) as ask:
            return await asyncio.wait_for(ask(f"{scheme}://good.test:{site.port}/"), 5)

    said = asyncio.run(run())
    assert (said["http_request"]["failure"], said["http_request"]["status_code"]) == (failure, status)
    assert said["http_request"].get("x_failure") in OWN_WORDS[behaviour, scheme]
    if scheme == "https":
        (handshake,) = said["tls_handshake"].values()
        assert handshake == {"server_name": "good.test", "status": False, "failure": "generic_timeout_error"}


def test_a_chain_that_goes_on_when_the_time_is_over_has_timed_out(sites: Sites) -> None:
    policy = Policy(allow_private=True, step_seconds=9.0, page_seconds=9.0, seconds=0.5)

    async def run() -> Any:
        async with http_server(never) as site, asking(sites, policy) as ask:
            return await asyncio.wait_for(ask(f"https://good.test:{site.port}/"), 5)

    said = asyncio.run(run())
    assert said["http_request"]["failure"] == "generic_timeout_error"
    assert said["tcp_connect"] == {}  # it did not end: nothing is said of it


def test_a_body_without_end_is_read_to_the_cap(sites: Sites) -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n<title>Big</title>")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async def run() -> Any:
        async with http_server(endless) as site, asking(sites) as ask:
            return await asyncio.wait_for(ask(f"http://good.test:{site.port}/"), 5)

    page = asyncio.run(run())["http_request"]
    assert (page["status_code"], page["title"], page["failure"]) == (200, "Big", None)
    assert LIMITS.body_wire // 2 < page["body_length"] <= LIMITS.body_wire


def test_an_endpoint_of_a_family_without_a_route_is_left_out(sites: Sites) -> None:
    said = answer(sites, f"http://good.test:{sites.http}/", f"[2001:db8::1]:{sites.http}", ipv6=False)
    assert said["tcp_connect"].keys() == {f"{HOST}:{sites.http}"}
    assert said["ip_info"]["2001:db8::1"]["flags"] == 1


def test_a_site_without_a_route_to_it_is_no_failure_of_the_site(sites: Sites) -> None:
    async def run() -> httpx.Response:
        async with asking(sites, ipv6=False) as ask:
            return await ask.post("http://[2001:db8::1]/")

    response = asyncio.run(run())
    assert (response.status_code, response.headers["retry-after"]) == (503, "10")
    assert "no route" in response.text


def test_a_control_that_is_out_of_sockets_does_not_blame_the_site(sites: Sites) -> None:
    async def run() -> httpx.Response:
        async with asking(sites) as ask:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            try:
                return await ask.post(f"http://{HOST}:{sites.http}/")
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    response = asyncio.run(run())
    assert response.status_code == 503
    assert "too_many_open_files" in response.text


def test_the_endpoints_of_one_question_are_capped(sites: Sites) -> None:
    policy = Policy(allow_private=True, endpoints=4)
    listed = [f"127.0.0.{i}:{sites.http}" for i in range(20, 60)]
    said = answer(sites, f"http://good.test:{sites.http}/", *listed, policy=policy)
    assert len(said["tcp_connect"]) == 4
    assert said["tcp_connect"][f"{HOST}:{sites.http}"]["status"]
    assert said["http_request"]["status_code"] == 200
