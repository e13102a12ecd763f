"""Networks with a mood: what a step meets depends on chance, or on what came before it."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from typing import Any

from msgspec import structs

from measurements.model import Failure, Hop, HttpExchange, Purpose, QuicHandshake, TcpConnect, TlsHandshake, View
from probe.network import CLASSIC
from tests.measurements.worlds import HOST, RESET, SITE
from tests.scripted import ScriptedNetwork, World


class Cutting(ScriptedNetwork):
    """Handshakes, or requests in clear, that carry the site's name are cut; at witnesses as the lots say.

    `lots` are drawn in the order of the tries there, and over again; each says whether a try is cut. At the site,
    `again` says it of the repetition, and all else is cut.
    """

    def __init__(
        self, world: World, lots: Sequence[bool] = (True,), failure: Failure = RESET, *, again: bool = True
    ) -> None:
        super().__init__(world)
        self.lots = lots
        self.failure = failure
        self.again = again
        self.tries = 0

    def cuts(self, name: str | None, purpose: Purpose | None) -> bool:
        """Whether a try is cut, drawing a lot for it."""
        if name != HOST:
            return False
        if purpose is not Purpose.TARGET_AT_WITNESS:
            return self.again or purpose is not Purpose.REPETITION
        self.tries += 1
        return self.lots[(self.tries - 1) % len(self.lots)]

    async def handshake(self, over: TcpConnect, *, name: str | None, **kwargs: Any) -> TlsHandshake:
        step = await super().handshake(over, name=name, **kwargs)
        if self.cuts(name, step.purpose):
            step = self.observations[-1] = structs.replace(step, failure=self.failure, issuer=None)
        return step

    async def exchange(self, over: TcpConnect | TlsHandshake | QuicHandshake, url: str, **kwargs: Any) -> HttpExchange:
        step = await super().exchange(over, url, **kwargs)
        if isinstance(over, TcpConnect) and self.cuts(url.split("/")[2], step.purpose):
            step = self.observations[-1] = unanswered(step, self.failure)
        return step


def unanswered(step: HttpExchange, failure: Failure) -> HttpExchange:
    """The same request, without what came back."""
    return HttpExchange(
        id=step.id,
        cause=step.cause,
        view=step.view,
        purpose=step.purpose,
        url=step.url,
        host=step.host,
        address=step.address,
        port=step.port,
        failure=failure,
    )


class Residual(Cutting):
    """After the name was seen on the way to a server and port, every connection to it is dropped for a while."""

    def __init__(self, world: World, failure: Failure = RESET) -> None:
        super().__init__(world, failure=failure)
        self.shut: set[tuple[str, int]] = set()

    async def connect(self, address: str, port: int, **kwargs: Any) -> TcpConnect:
        step = await super().connect(address, port, **kwargs)
        if (address, port) in self.shut:
            step = self.observations[-1] = structs.replace(step, failure=Failure.TIMEOUT)
        return step

    async def handshake(self, over: TcpConnect, *, name: str | None, **kwargs: Any) -> TlsHandshake:
        step = await super().handshake(over, name=name, **kwargs)
        if name == HOST:
            self.shut.add((over.address, over.port))
        return step

    async def exchange(self, over: TcpConnect | TlsHandshake | QuicHandshake, url: str, **kwargs: Any) -> HttpExchange:
        step = await super().exchange(over, url, **kwargs)
        if isinstance(over, TcpConnect) and url.split("/")[2] == HOST:
            self.shut.add((over.address, over.port))
        return step

    async def hop(self, address: str, port: int, *, probe: str, ttl: int, **kwargs: Any) -> Hop:
        if (address, port) not in self.shut:
            return await super().hop(address, port, probe=probe, ttl=ttl, **kwargs)
        kwargs.pop("cause", None)
        facts: dict[str, Any] = {"failure": Failure.TIMEOUT} if probe != "syn" else {}
        if probe == "syn" and ttl < 3:
            facts = {"answer": "expired", "router": {1: "192.168.0.1", 2: "198.51.100.9"}[ttl]}
        return self._record(
            Hop, view=View.FOLLOW_UP, address=address, port=port, probe=probe, ttl=ttl, **{**kwargs, **facts}
        )


class Losing(ScriptedNetwork):
    """A line that loses connections, handshakes and requests by chance, whatever name they carry."""

    def __init__(self, world: World, rate: float, lots: random.Random) -> None:
        super().__init__(world)
        self.rate = rate
        self.lots = lots

    def _lost(self) -> bool:
        if self.lots.random() >= self.rate:
            return False
        self.observations[-1] = structs.replace(self.observations[-1], failure=Failure.TIMEOUT)
        return True

    async def connect(self, address: str, port: int, **kwargs: Any) -> TcpConnect:
        step = await super().connect(address, port, **kwargs)
        return structs.replace(step, failure=Failure.TIMEOUT) if self._lost() else step

    async def handshake(self, over: TcpConnect, **kwargs: Any) -> TlsHandshake:
        step = await super().handshake(over, **kwargs)
        return structs.replace(step, failure=Failure.TIMEOUT) if self._lost() else step

    async def exchange(self, over: TcpConnect | TlsHandshake | QuicHandshake, url: str, **kwargs: Any) -> HttpExchange:
        step = await super().exchange(over, url, **kwargs)
        if self._lost():
            step = self.observations[-1] = unanswered(step, Failure.TIMEOUT)
        return step


class Narrow(ScriptedNetwork):
    """The way to the site carries small segments only, and what does not fit is lost without a word."""

    def _fits(self, over: TcpConnect | TlsHandshake | QuicHandshake) -> bool:
        tcp = next(o for o in self.observations if o.id == (over.cause if isinstance(over, TlsHandshake) else over.id))
        return over.address != SITE or (isinstance(tcp, TcpConnect) and tcp.mss is not None)

    async def exchange(self, over: TcpConnect | TlsHandshake | QuicHandshake, url: str, **kwargs: Any) -> HttpExchange:
        step = await super().exchange(over, url, **kwargs)
        if not self._fits(over):
            step = self.observations[-1] = unanswered(step, Failure.TIMEOUT)
        return step


class NarrowForCertificates(Narrow):
    """There, the site's own certificate is too big as well, and another one is not."""

    async def handshake(self, over: TcpConnect, *, name: str | None, **kwargs: Any) -> TlsHandshake:
        step = await super().handshake(over, name=name, **kwargs)
        if name == HOST and not self._fits(over):
            step = self.observations[-1] = structs.replace(step, failure=Failure.TIMEOUT, issuer=None)
        return step


class Stumbling(ScriptedNetwork):
    """A box drops hellos of one shape, whatever name is in them: at `addresses`, or everywhere."""

    def __init__(self, world: World, drops: Collection[tuple[str, str]]) -> None:
        super().__init__(world)
        self.drops = drops

    async def handshake(self, over: TcpConnect, *, hello: str = CLASSIC, **kwargs: Any) -> TlsHandshake:
        step = await super().handshake(over, hello=hello, **kwargs)
        if (over.address, hello) in self.drops:
            step = self.observations[-1] = structs.replace(step, failure=Failure.TIMEOUT, issuer=None)
        return step


class Counting(ScriptedNetwork):
    """The site takes so many connections, and drops all that come after."""

    def __init__(self, world: World, most: int) -> None:
        super().__init__(world)
        self.left = most

    async def connect(self, address: str, port: int, **kwargs: Any) -> TcpConnect:
        step = await super().connect(address, port, **kwargs)
        if address == SITE and port == 443:
            self.left -= 1
            if self.left < 0:
                step = self.observations[-1] = structs.replace(step, failure=Failure.TIMEOUT)
        return step
