"""One measurement, from the id to the verdict, the same for `wazi check` and `wazi run`.

The id is chosen before anything is sent. A deadline, a stop or a mistake of ours ends the nettest, never
the measurement: what was seen until then is kept, and the steps that were cut say so themselves. What
leaves this module is redacted; what was found to be our own is in `Bench.own`, so that a log can be rid of it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from msgspec.structs import replace

from measurements.commitments import SALT_BYTES, salt_of
from measurements.model import Measurement, Outcome, PaceSoFar, Preconditions, Target, Vantage, Verdict
from measurements.redact import redact
from probe.network import Network, Route
from probe.recently import Recently
from probe.schedule import Instant
from probe.version import software

FRESH = 60.0  # seconds for which a look at the network holds
DOUBTED = 5.0  # the same once something failed
GLANCE_EVERY = 10  # measurements, after which a little is asked of the network
STOOD_STILL = 5.0  # seconds of event-loop lag that no timeout survives
SETTLED = frozenset({Outcome.ACCESSIBLE, Outcome.SERVER_SIDE, Outcome.INVALID})

log = logging.getLogger(__name__)

Clocks = Callable[[], Instant]
Nettest = Callable[[Target, Network], Awaitable[None]]
Judge = Callable[[Measurement], Verdict]


class LentNetwork(Network, Protocol):
    """A Network for one measurement, and what the one who lent it knows about it afterwards."""

    @property
    def loop_lag(self) -> float: ...

    @property
    def own_addresses(self) -> frozenset[str]: ...


class Lender(Protocol):
    """Whoever owns the wire and lends a Network for each measurement."""

    def network(
        self, *, preconditions: Preconditions = ..., full_body: bool = ..., pace: PaceSoFar | None = ...
    ) -> AbstractAsyncContextManager[LentNetwork]: ...

    def route(self, *, ipv6: bool) -> Route | None: ...


class Sight(Protocol):
    """What a look at the network found (`probe.vantage.Sight`)."""

    @property
    def preconditions(self) -> Preconditions: ...

    @property
    def public_address(self) -> str | None: ...


Way = tuple[Route | None, Route | None]
"""The routes of IPv4 and IPv6 to the public internet."""


@dataclass(frozen=True, slots=True)
class Lookout:
    """How the network is looked at: in full (`look`), a little (`glance`), and for having `changed` meanwhile.

    `asn_of` tells the network of an address of ours that a control saw, or None.
    """

    look: Callable[[Network], Awaitable[Sight]]
    glance: Callable[[Network], Awaitable[bool]]
    changed: Callable[[Way, Way], Preconditions | None]
    asn_of: Callable[[str], int | None] = lambda address: None


class Stop:
    """A wish to end: `asked` begins nothing new, `cut` also ends what runs."""

    def __init__(self, grace: float = 0.0) -> None:
        self.asked = asyncio.Event()
        self.cut = asyncio.Event()
        self._grace = grace

    def ask(self) -> None:
        """Stop; what runs may end by itself for a while, unless this is said a second time."""
        if self.asked.is_set() or not self._grace:
            self.cut.set()
        else:
            asyncio.get_running_loop().call_later(self._grace, self.cut.set)
        self.asked.set()


@dataclass(frozen=True, slots=True)
class Order:
    """What to measure, whether to read its pages in full, and whether only to learn how often we err."""

    target: Target
    nettest: str
    full_body: bool = False
    placebo: bool = False
    pace: PaceSoFar | None = None  # what earlier sessions of pairs know


@dataclass(slots=True)
class Bench:
    """Where measurements are made: a wire, the nettests, the clocks, the deadline, and a stop to obey.

    `stand` says where we stand, and the lookout whether the network there can be judged; both are asked anew
    before a batch, because laptops travel; a little is asked every few measurements and after the last. `secret` is
    what salts are made of: by default one that nobody keeps, so that nothing taken out can ever be shown. `own` is what
    may not be told of this machine, its addresses and what `home` says at each look: names, hardware addresses.
    """

    wire: Lender
    nettests: Mapping[str, Nettest]
    stand: Callable[[], Vantage]
    lookout: Lookout
    clocks: Clocks
    deadline: float
    stop: Stop
    home: Callable[[], Collection[str]] = tuple
    deadlines: Mapping[str, float] = field(default_factory=dict)  # of nettests that have their own
    looked_at: float | None = None
    looked: Preconditions = field(default_factory=Preconditions)
    vantage: Vantage = field(default_factory=lambda: Vantage(probe_id=""))
    measured: int = 0
    glanced_at: float | None = None
    spent_looking: int = 0  # bytes; whoever counts them sets it back
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    worked: float | None = None  # wall clock of the last look that found nothing wrong
    failing_since: float | None = None  # the same of the first that did since
    users: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)
    own: Recently = field(default_factory=Recently)
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(SALT_BYTES), repr=False)

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[None]:
        self.users += 1
        try:
            yield
        finally:
            self.users -= 1
            self.left.set()

    async def at_rest(self) -> None:
        """Wait until nobody measures or looks from here, so that it can be put away."""
        while self.users:
            self.left.clear()
            await self.left.wait()

    async def preconditions(self, max_age: float = FRESH) -> Preconditions:
        """Say whether this network can be judged, looking again when the last look is too old."""
        with self._in_use():
            return await self._preconditions(max_age)

    async def _preconditions(self, max_age: float) -> Preconditions:
        async with self.looking:
            now = self.clocks().boottime
            if self.looked_at is not None and now - self.looked_at <= max_age:
                return self.looked
            self.vantage = self.stand()
            self.own |= set(self.home())
            found = Preconditions(reason="stopped", detail="Wazi was stopped before it had looked at the network.")
            async with self.wire.network(preconditions=Preconditions(), full_body=False) as net:

                async def look() -> None:
                    nonlocal found
                    try:
                        found = self._place(await self.lookout.look(net))
                    except Exception as error:
                        self.own |= net.own_addresses
                        log.exception("looking at the network failed")
                        found = _our_mistake(error)

                await _until(self.stop.cut, look())
                self.own |= net.own_addresses
                self.spent_looking += net.spent.sent + net.spent.received
            if found.reason != "stopped":
                after = self.clocks()
                self.looked, self.looked_at = found, after.boottime
                if found.reason is None:
                    self.worked, self.failing_since = after.wall, None
                elif self.failing_since is None:
                    self.failing_since = after.wall
            return found

    def _place(self, sight: Sight) -> Preconditions:
        """Say in which network we stand by where a control saw us; one that was not declared cannot be trusted."""
        if sight.public_address is None:
            return sight.preconditions
        self.own.add(sight.public_address)
        observed, declared = self.lookout.asn_of(sight.public_address), self.vantage.asn
        if observed is None:
            return sight.preconditions
        self.vantage = replace(self.vantage, asn=observed)
        if declared in (None, observed) or sight.preconditions.reason is not None:
            return sight.preconditions
        words = (
            f"Traffic comes from AS{observed}, and AS{declared} was declared: through a VPN or a proxy, or this probe"
        )
        return replace(
            sight.preconditions, reason="vpn", detail=f"{words} has moved. Turn it off, or correct `[vantage] asn`."
        )

    async def look_after(self) -> None:
        """See, when a batch has ended or is well on, that the network does what it did; else it is looked at anew."""
        with self._in_use():
            await self._look_after()

    async def _look_after(self) -> None:
        now = self.clocks().boottime
        if self.glanced_at is not None and now - self.glanced_at <= DOUBTED:
            return
        self.glanced_at = now
        async with self.wire.network(preconditions=self.looked, full_body=False) as net:
            well = False

            async def look() -> None:
                nonlocal well
                try:
                    well = await self.lookout.glance(net)
                except Exception:
                    log.exception("glancing at the network failed")

            await _until(self.stop.cut, look())
            self.spent_looking += net.spent.sent + net.spent.received
        if not well:
            self.looked_at = None

    def _way(self) -> Way:
        return self.wire.route(ipv6=False), self.wire.route(ipv6=True)

    async def measure(self, order: Order, judge: Judge) -> tuple[Measurement, Verdict]:
        """Measure and judge. When something failed, make sure that the network itself has not failed meanwhile."""
        with self._in_use():
            return await self._measure(order, judge)

    async def _measure(self, order: Order, judge: Judge) -> tuple[Measurement, Verdict]:
        found = await self.preconditions()
        before = self._way()
        measurement = await measure_once(order, self, found)
        if (elsewhere := self.lookout.changed(before, self._way())) is not None:
            self.looked_at = None
            measurement = replace(measurement, preconditions=elsewhere)
        self.measured += 1
        if self.measured % GLANCE_EVERY == 0 and not self.stop.cut.is_set():
            await self.look_after()
        verdict = judge_carefully(judge, measurement)
        if verdict.outcome not in SETTLED and not self.stop.cut.is_set():
            later = await self.preconditions(DOUBTED)
            if later.reason not in (None, "stopped"):
                measurement = replace(measurement, preconditions=later)
                verdict = judge_carefully(judge, measurement)
        return measurement, verdict


def judge_carefully(judge: Judge, measurement: Measurement) -> Verdict:
    """Judge; a mistake in the rules costs the verdict, and neither the measurement nor the others."""
    try:
        return judge(measurement)
    except Exception as error:
        log.exception("judging measurement %s failed", measurement.id)
        return Verdict(
            outcome=Outcome.INVALID,
            reason="error",
            summary=f"A mistake in Wazi's rules ended the judging ({type(error).__name__}): nothing is said.",
        )


async def measure_once(order: Order, bench: Bench, preconditions: Preconditions) -> Measurement:
    """Run one nettest under the deadline and return what it saw, even when it was cut."""
    identifier = secrets.token_hex(16)
    nettest = bench.nettests[order.nettest]
    limits: list[str] = []
    before = bench.clocks()
    lent = bench.wire.network(preconditions=preconditions, full_body=order.full_body, pace=order.pace)
    async with lent as net:
        try:
            async with asyncio.timeout(bench.deadlines.get(order.nettest, bench.deadline)) as deadline:
                if not await _until(bench.stop.cut, nettest(order.target, net)):
                    limits.append("stopped")
        except Exception as error:
            if deadline.expired():
                limits.append("measurement_timeout")
            else:
                bench.own |= net.own_addresses
                log.exception("the nettest %s failed", order.nettest)
                preconditions = _our_mistake(error)
    after = bench.clocks()
    measurement = Measurement(
        id=identifier,
        sequence=0,  # whoever keeps it gives it a number
        nettest=order.nettest,
        target=order.target,
        vantage=bench.vantage,
        started=before.wall,
        runtime=after.monotonic - before.monotonic,
        preconditions=_stood_still(before, after, net.loop_lag) or preconditions,
        loop_lag=net.loop_lag,
        connections=net.spent.connections,
        sent=net.spent.sent,
        received=net.spent.received,
        limits=tuple(dict.fromkeys((*net.spent.limits, *limits))),
        software=software(),
        pace=order.pace,
        placebo=order.placebo,
        observations=tuple(net.observations),
    )
    bench.own |= net.own_addresses
    return redact(measurement, bench.own, salt_of(bench.secret, identifier))


async def _until(cut: asyncio.Event, work: Awaitable[None]) -> bool:
    """Run `work` until it ends or `cut` is set; say whether it ended by itself."""
    task = asyncio.ensure_future(work)
    waiter = asyncio.ensure_future(cut.wait())
    try:
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        return task.done() and task.result() is None
    finally:
        waiter.cancel()
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("a nettest that was cut ended with %r", error)


def _our_mistake(error: Exception) -> Preconditions:
    return Preconditions(
        reason="error",
        detail=f"A mistake in Wazi itself ended this measurement early ({type(error).__name__}), so it says nothing.",
    )


def _stood_still(before: Instant, after: Instant, lag: float) -> Preconditions | None:
    """Say that the computer slept or stopped during a measurement, whose timeouts then mean nothing."""
    slept = (after.boottime - before.boottime) - (after.monotonic - before.monotonic)
    longest = max(slept, lag)
    if slept < 1.0 and lag < STOOD_STILL:
        return None
    return Preconditions(
        reason="asleep",
        detail=f"This computer slept or stood still for {longest:.0f} seconds during the measurement.",
    )
