"""The Network as a whole: every step once, nothing left open, our own limits as values."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import time
from collections.abc import Sequence

import pytest

from measurements.model import (
    AnyObservation,
    Failure,
    HttpExchange,
    Purpose,
    TcpConnect,
    View,
)
from probe.control.client import ControlReport
from probe.network import Limits, Peers, Resolver, Spent
from probe.wire import SocketNetwork, Wire
from tests.probe.wire.conftest import NAME, Keys, Nginx, Unbound
from tests.probe.wire.peers import NoBogons, network, run


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def the_wire(keys: Keys | None = None, **options: object) -> Wire:
    given = {"peers": Peers(None), "limits": Limits(), "bogons": NoBogons()} | options
    return Wire(ca_file=None if keys is None else keys.ca_file, **given)  # type: ignore[arg-type]


async def measure(net: SocketNetwork, nginx: Nginx, unbound: Unbound) -> None:
    """What a web measurement does, in little."""
    local = Resolver(f"127.0.0.1:{unbound.plain}", View.LOCAL)
    trusted = Resolver(f"https://127.0.0.1:{unbound.https}/dns-query", View.TRUSTED)
    async with asyncio.TaskGroup() as group:
        lookup = group.create_task(net.lookup(NAME, "A", local, linger=0.005))
        group.create_task(net.lookup(NAME, "A", trusted))
        group.create_task(net.hop("127.0.0.1", nginx.plain, probe="hello", ttl=3, name=NAME, timeout=0.05))

    async def one(port: int) -> None:
        tcp = await net.connect("127.0.0.1", port, cause=lookup.result())
        tls = await net.handshake(tcp, name=NAME)
        await net.exchange(tls, f"https://{NAME}/text")

    async with asyncio.TaskGroup() as group:
        for port in (nginx.http1, nginx.http2):
            group.create_task(one(port))


def test_a_deadline_loses_nothing_and_leaves_nothing_open(keys: Keys, nginx: Nginx, unbound: Unbound) -> None:
    async def main() -> None:
        rng = random.Random(2)
        interrupted = 0
        async with the_wire(keys) as wire:
            async with wire.network() as net:
                await measure(net, nginx, unbound)
                assert all(step.failure is None for step in net.observations)
            before = descriptors()
            for _ in range(200):
                net = wire.network()
                async with net:
                    try:
                        async with asyncio.timeout(rng.random() * 0.06):
                            await measure(net, nginx, unbound)
                    except TimeoutError:
                        pass
                ids = sorted(step.id for step in net.observations)
                assert ids == list(range(1, len(ids) + 1))
                failures = {step.failure for step in net.observations} - {None}
                assert failures <= {Failure.INTERRUPTED}, net.observations
                interrupted += bool(failures)
            assert interrupted > 20
            assert descriptors() <= before + 1  # a DoH connection may just be opening anew
        assert descriptors() <= before

    run(main())


def test_causes_views_and_purposes_fill_themselves(keys: Keys, nginx: Nginx, unbound: Unbound) -> None:
    async def main() -> None:
        async with network(ca_file=keys.ca_file) as net:
            local = Resolver(f"127.0.0.1:{unbound.plain}", View.LOCAL)
            lookup = await net.lookup(NAME, "A", local, linger=0.0, view=View.FOLLOW_UP)
            purpose = Purpose.REPETITION
            tcp = await net.connect("127.0.0.1", nginx.http1, cause=lookup, view=View.FOLLOW_UP, purpose=purpose)
            tls = await net.handshake(tcp, name=NAME)
            page = await net.exchange(tls, f"https://{NAME}/", purpose=Purpose.OTHER_PORT)
            hop = await net.hop("127.0.0.1", nginx.plain, probe="syn", ttl=9, cause=tcp)
        steps = [lookup, tcp, tls, page, hop]
        assert list(net.observations) == steps
        assert [s.id for s in steps] == [1, 2, 3, 4, 5]
        assert [s.cause for s in steps] == [None, 1, 2, 3, 2]
        assert {s.view for s in steps} == {View.FOLLOW_UP}
        assert [s.purpose for s in steps] == [None, purpose, purpose, Purpose.OTHER_PORT, None]
        assert [s.started for s in steps] == sorted(s.started for s in steps)
        assert all(s.elapsed > 0 for s in steps)
        assert net.spent.connections == 3
        assert net.spent.received > 1500
        assert net.spent.sent > 900

    run(main())


def test_our_own_shortage_of_descriptors_is_a_value(nginx: Nginx, unbound: Unbound) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def main() -> Sequence[AnyObservation]:
        async with network() as net:
            free = os.dup(0)
            os.close(free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
            try:
                await net.connect("127.0.0.1", nginx.plain)
                await net.lookup(NAME, "A", Resolver(f"127.0.0.1:{unbound.plain}", View.LOCAL))
                await net.hop("127.0.0.1", nginx.plain, probe="syn", ttl=3)
                assert net.has_route(ipv6=False) is False
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            return net.observations

    assert [step.failure for step in run(main())] == [Failure.TOO_MANY_OPEN_FILES] * 3


def test_the_lag_of_the_event_loop_is_seen() -> None:
    async def main() -> None:
        async with the_wire() as wire:
            async with wire.network() as calm:
                await asyncio.sleep(0.2)
            async with wire.network() as late:
                await asyncio.sleep(0.1)
                time.sleep(0.3)  # noqa: ASYNC251
            assert late.loop_lag > 0.2
            assert calm.loop_lag < late.loop_lag
            kept = late.loop_lag
            time.sleep(0.4)  # noqa: ASYNC251
            assert late.loop_lag == kept

    run(main())


def test_private_addresses_are_what_the_list_says() -> None:
    async def main() -> None:
        async with network() as net:
            assert net.is_private("10.1.2.3")
            assert not net.is_private("127.0.0.1")

    run(main())


def test_a_route_is_asked_of_the_system() -> None:
    async def main() -> None:
        peers = Peers(None, trusted=(Resolver("https://127.0.0.1/dns-query", View.TRUSTED),))
        async with network(peers=peers, ipv6=False) as net:
            assert net.has_route(ipv6=False)
            assert not net.has_route(ipv6=True)
            assert "127.0.0.1" in net.own_addresses
            assert net.observations == []

    run(main())


class FakeControl:
    """A control whose answer is given; it records the questions."""

    def __init__(self, report: ControlReport) -> None:
        self.report = report
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    async def ask(
        self,
        url: str,
        endpoints: Sequence[str],
        timeout: float,
        spent: Spent,
        *,
        quic: bool = False,
        page: bool = False,
    ) -> ControlReport:
        self.asked.append((url, tuple(endpoints)))
        spent.connections += 1
        spent.sent += 400
        spent.received += 4000
        return self.report


def test_what_the_control_saw_becomes_steps_of_this_measurement() -> None:
    steps = (
        TcpConnect(id=0, view=View.CONTROL, address="192.0.2.1", port=443),
        HttpExchange(id=0, view=View.CONTROL, url="https://site.example/", status=200),
    )
    control = FakeControl(
        ControlReport(
            "https://control.example/", None, resolved=("192.0.2.1",), client_address="198.51.100.7", steps=steps
        )
    )

    async def main() -> None:
        async with the_wire(control=control) as wire, wire.network() as net:
            query = await net.ask_control("https://site.example/", ["192.0.2.1:443"])
        assert control.asked == [("https://site.example/", ("192.0.2.1:443",))]
        assert (query.failure, query.url, query.resolved) == (None, "https://control.example/", ("192.0.2.1",))
        assert [(s.id, s.cause, s.view) for s in net.observations] == [
            (1, None, View.CONTROL),
            (2, 1, View.CONTROL),
            (3, 1, View.CONTROL),
        ]
        assert "198.51.100.7" in net.own_addresses
        assert (net.spent.connections, net.spent.sent, net.spent.received) == (1, 400, 4000)

    run(main())


def test_a_control_that_fails_is_a_failed_step() -> None:
    async def main() -> None:
        failing = FakeControl(ControlReport("https://control.example/", Failure.TIMEOUT, "no control answered"))
        async with the_wire(control=failing) as wire, wire.network() as net:
            query = await net.ask_control("https://site.example/", [])
            assert (query.failure, query.detail) == (Failure.TIMEOUT, "no control answered")
        async with the_wire() as wire, wire.network() as net:
            query = await net.ask_control("https://site.example/", [])
            assert (query.failure, query.detail) == (Failure.INVALID_ARGUMENT, "no control is configured")

    run(main())


def test_pausing_waits() -> None:
    async def main() -> None:
        async with network() as net:
            began = time.perf_counter()
            await net.pause(0.05)
            assert time.perf_counter() - began >= 0.05

    run(main())


def test_an_unknown_kind_of_hop_is_the_callers_mistake() -> None:
    async def main() -> None:
        async with network() as net:
            with pytest.raises(ValueError, match="no kind of hop"):
                await net.hop("127.0.0.1", 80, probe="ping", ttl=1)

    run(main())
