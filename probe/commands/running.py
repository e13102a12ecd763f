"""`wazi run` and `wazi control serve`: what goes on until somebody stops it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import structlog

from measurements.model import Gap, Measurement, Vantage, Verdict
from probe.commands import logs
from probe.commands.building import counting_rules, data_folder, judge_with, load_settings, open_bench, remarks
from probe.commands.console import FINE, FOUND, Common, Refusal, say, wants_colour, width
from probe.heartbeat import HeartbeatFile
from probe.identity import Identity, IdentityError, load_identity
from probe.present import short

if TYPE_CHECKING:
    from measurements.events.nouns import Event
    from measurements.evidence.chain import SignedCheckpoint
    from measurements.keeping import Keeping
    from measurements.standing import Standing
    from measurements.store import Store
    from probe.agent import Duties
    from probe.alerting import Alerting
    from probe.clocks import Tempo
    from probe.measuring import Bench, Stop
    from probe.settings import Settings

DAYS = 7 * 86_400.0  # seconds of gaps that an outage may lie in
FLUSHED = 5.0  # seconds in which a gap is written
GRACE = 4.0  # seconds in which running measurements may end by themselves after a first signal

log = structlog.get_logger("wazi.run")


def run(common: Common, *, skip_bad_lines: bool | None, tempo: Tempo | None = None) -> int:
    """Measure the campaigns until a signal; return the exit code. `tempo` is for rehearsals in a faster time."""
    from measurements.standing import Standing
    from measurements.store import StoreError, open_store
    from probe.alerting import Alerting
    from probe.clocks import Tempo
    from probe.commands.storing import keeping
    from probe.counting import counting
    from probe.tidying import tidying

    time = tempo or Tempo()

    def now() -> float:
        return time.read().wall

    def read() -> Settings:
        from probe.settings import load

        return load(common.config, {"network": {"skip_bad_lines": skip_bad_lines}})

    settings = load_settings(common, {"network": {"skip_bad_lines": skip_bad_lines}})
    logs.configure(common.verbose, for_people=sys.stderr.isatty())
    for remark in remarks(settings):
        say(remark)
    identity = _identity(settings)
    try:
        store = open_store(settings.store.url, now=now)
    except StoreError as error:
        raise Refusal(str(error)) from None
    heart = HeartbeatFile(data_folder(settings))
    standing = Standing(store.ledger, counting_rules(settings), now=now)
    keeper = keeping(store, settings, now=now)
    signing = _signing(settings, store, identity, time)
    with store, heart.held(), signing, tidying(keeper), Alerting(store, time) as alerting:
        for notice in store.notices:
            say(notice)
        alerting.use(settings)
        with counting(standing, _tell_event):
            return asyncio.run(_Run(settings, read, store, standing, keeper, alerting, heart, identity, time).measure())


class _Run:
    """A run from its start to its end, whatever settings it is told to go on with meanwhile."""

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Settings],
        store: Store,
        standing: Standing,
        keeper: Keeping,
        alerting: Alerting,
        heart: HeartbeatFile,
        identity: Identity,
        tempo: Tempo,
    ) -> None:
        self.settings, self.read, self.alerting = settings, read, alerting
        self.standing, self.keeper = standing, keeper
        self.store, self.heart, self.identity, self.tempo = store, heart, identity, tempo
        self.colour = wants_colour(sys.stderr)

    async def measure(self) -> int:
        from probe.agent import Agent, StoreFailed
        from probe.commands.reloading import Reloading
        from probe.measuring import Stop

        stop = Stop(GRACE)
        reloading = Reloading(
            self.settings, read=self.read, take=self._take, tell=self._tell, now=lambda: self.tempo.read().wall
        )
        self._mind_signals(stop, reloading.asked)
        self.benches = _Benches(self.identity, stop, self.tempo)
        try:
            bench = await self.benches.lay_out(self.settings)
            self.agent = Agent(
                self._duties(self.settings),
                bench=bench,
                store=self.store,
                heart=self.heart,
                judge=judge_with(self.settings),
                report=self._report,
                tempo=self.tempo,
                about_settings=lambda: reloading.state,
                keep_outages=self._keep_outages,
            )
            logs.strike(lambda: self.agent.bench.own)
            if sys.stderr.isatty():
                _greet(self.settings)
            watching = asyncio.create_task(reloading.go_on())
            try:
                await self.agent.run()
            except StoreFailed as error:
                say(f"{error} Measuring has stopped.")
                return FOUND
            finally:
                watching.cancel()
        finally:
            await self.benches.put_away()
        return FINE

    def _mind_signals(self, stop: Stop, read_again: asyncio.Event) -> None:
        """Stop when told to; when a terminal closes, whose run this is; without one, SIGHUP reads the settings again.

        Under nohup SIGHUP is ignored, and stays so.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.ask)
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            loop.add_signal_handler(signal.SIGHUP, stop.ask if _has_terminal() else read_again.set)

    def _duties(self, settings: Settings) -> Duties:
        from probe.agent import Duties

        network = settings.network
        return Duties(
            self.identity.probe_id,
            settings.campaigns,
            network.data_per_day,
            network.concurrency,
            settings.limits(),
            settings.placebos(),
            settings.throttling.sample_per_day if settings.control.urls else None,  # a test's objects are a control's
        )

    async def _take(self, settings: Settings) -> None:
        """Go on with other settings; what is being measured ends on the old bench."""
        from probe.commands.storing import terms

        judge, duties = judge_with(settings), self._duties(settings)
        bench = await self.benches.lay_out(settings)
        self.agent.go_on_with(duties, bench=bench, judge=judge)
        self.benches.leave_all_but(bench)
        await asyncio.to_thread(self.standing.use, counting_rules(settings))
        await asyncio.to_thread(self.alerting.use, settings)
        self.keeper.terms = terms(settings)
        for remark in remarks(settings):
            self._tell(remark)

    def _keep_outages(self, going_on: Sequence[Gap], vantage: Vantage) -> None:
        """Make events of the outages of the last days; one that cannot be stored now is tried at the next look."""
        from measurements.standing import keep_outages
        from measurements.store import StoreError

        try:
            self.store.flush(FLUSHED)
            gaps = self.store.gaps(since=self.tempo.read().wall - DAYS, probe_id=self.identity.probe_id)
            keep_outages(self.store.ledger, [*gaps, *going_on], country=vantage.country, asn=vantage.asn)
        except (StoreError, TimeoutError) as error:
            log.warning("an outage could not be stored as an event", why=str(error))

    def _tell(self, sentence: str) -> None:
        if sys.stderr.isatty():
            say(sentence)

    def _report(self, measurement: Measurement, verdict: Verdict) -> None:
        self.alerting.measured(verdict.outcome)
        if sys.stderr.isatty():
            url, room = measurement.target.url, width(sys.stderr)
            what = "placebo" if measurement.placebo else measurement.nettest
            line = short(measurement.started, url, verdict, nettest=what, colour=self.colour, width=room)
            sys.stderr.write(line + "\n")


class _Benches:
    """The benches of a run: one is measured from, and older ones until what was begun there has ended."""

    def __init__(self, identity: Identity, stop: Stop, tempo: Tempo) -> None:
        self._identity, self._stop, self._tempo = identity, stop, tempo
        self._left: dict[int, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def lay_out(self, settings: Settings) -> Bench:
        """Lay out a new one; raises what laying it out raises."""
        ready: asyncio.Future[Bench] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._keep(settings, ready))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await ready

    async def _keep(self, settings: Settings, ready: asyncio.Future[Bench]) -> None:
        try:
            async with open_bench(settings, self._identity, self._stop, tempo=self._tempo) as bench:
                left = self._left[id(bench)] = asyncio.Event()
                ready.set_result(bench)
                await left.wait()
                await bench.at_rest()
                del self._left[id(bench)]
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    def leave_all_but(self, bench: Bench | None) -> None:
        """Put away every other bench as soon as nobody measures from there."""
        for key, left in self._left.items():
            if key != id(bench):
                left.set()

    async def put_away(self) -> None:
        """Put away all of them."""
        self.leave_all_but(None)
        await asyncio.gather(*self._tasks)


def _has_terminal() -> bool:
    """Tell whether a terminal can close on us: one that controls this process."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _tell_event(event: Event) -> None:
    from probe.announcing import event_line

    if sys.stderr.isatty():
        sys.stderr.write(f"event {event_line(event, colour=wants_colour(sys.stderr))}\n")


def _greet(settings: Settings) -> None:
    from measurements.printable import plural
    from probe.settings.quantities import show_duration

    for campaign in settings.campaigns:
        what = f"{plural(len(campaign.targets), 'target')} every {show_duration(campaign.every)}"
        say(f"campaign {campaign.name}: {what}")
    say("Ctrl-C stops; `wazi list` and `wazi status` tell what was measured")


def _signing(settings: Settings, store: Store, identity: Identity, tempo: Tempo) -> AbstractContextManager[None]:
    """Have what is measured signed; a signing key that cannot be used is refused in words."""
    from probe.signing import EVERY, Notary, signing
    from probe.stamping import Stamper
    from probe.wire.certificates import Authorities

    def now() -> float:
        return tempo.read().wall

    evidence = settings.evidence
    stamp: Callable[[SignedCheckpoint], object] = lambda checkpoint: None  # noqa: E731
    if evidence.timestamp_url is not None:
        trust = Authorities.find(settings.network.ca_file).client_context
        stamp = Stamper(store.chains, evidence.timestamp_url, evidence.timestamp_every, now=now, trust=trust).stamp
    try:
        notary = Notary(store.chains, data_folder(settings), identity.probe_id, now=now)
    except IdentityError as error:
        raise Refusal(str(error)) from None
    return signing(notary, lambda: store.flush(FLUSHED), pause=tempo.wait(EVERY), stamp=stamp)


def _identity(settings: Settings) -> Identity:
    try:
        return load_identity(data_folder(settings), settings.vantage.probe_id)
    except IdentityError as error:
        raise Refusal(str(error)) from None


def serve_control(common: Common, listen: str, *, tls: str | None, allow_private: bool, give: int) -> int:
    """Serve as the second opinion until a signal; `give` is how many MiB of objects one client may have in an hour."""
    from probe.control.app import ServiceLimits
    from probe.control.objects import ObjectLimits
    from probe.control.server import CannotListen, serve

    settings = load_settings(common)
    logs.configure(common.verbose, for_people=sys.stderr.isatty())
    try:
        asyncio.run(
            serve(
                listen,
                peers=settings.peers(),
                limits=settings.limits(),
                bogons=settings.bogons(),
                ca_file=settings.network.ca_file,
                ipv6=settings.network.ipv6,
                allow_private=allow_private,
                tls=tls,
                service=ServiceLimits(objects=ObjectLimits(client_hourly=give << 20, hourly=give << 25)),
                announce=lambda url: say(f"control listens at {url}"),
            )
        )
    except CannotListen as error:
        raise Refusal(str(error)) from None
    return FINE
