"""`wazi run` and `wazi control serve`: what goes on until somebody stops it."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from measurements.model import Measurement, Verdict
from probe.commands import logs
from probe.commands.building import data_folder, judge_with, load_settings, open_bench, remarks
from probe.commands.console import FINE, FOUND, Common, Refusal, say, wants_colour, width
from probe.heartbeat import HeartbeatFile
from probe.identity import IdentityError, load_probe_id
from probe.present import short

if TYPE_CHECKING:
    from measurements.store import Store
    from probe.settings import Settings

GRACE = 4.0  # seconds in which running measurements may end by themselves after a first signal


def run(common: Common, *, skip_bad_lines: bool | None) -> int:
    """Measure the campaigns until a signal; return the exit code."""
    from measurements.store import StoreError, open_store

    settings = load_settings(common, {"network": {"skip_bad_lines": skip_bad_lines}})
    logs.configure(common.verbose, for_people=sys.stderr.isatty())
    for remark in remarks(settings):
        say(remark)
    probe_id = settings.vantage.probe_id or _identity(data_folder(settings))
    try:
        store = open_store(settings.store.url)
    except StoreError as error:
        raise Refusal(str(error)) from None
    heart = HeartbeatFile(data_folder(settings))
    with store, heart.held():
        for notice in store.notices:
            say(notice)
        return asyncio.run(_measure(settings, store, heart, probe_id))


async def _measure(settings: Settings, store: Store, heart: HeartbeatFile, probe_id: str) -> int:
    from probe.agent import Agent, Duties, StoreFailed
    from probe.measuring import Stop

    stop = Stop(GRACE)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.ask)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # under nohup it is to be ignored
        loop.add_signal_handler(signal.SIGHUP, stop.ask)
    network = settings.network
    duties = Duties(
        probe_id,
        settings.campaigns,
        network.data_per_day,
        network.concurrency,
        settings.limits(),
        settings.placebos(),
        settings.throttling.sample_per_day if settings.control.urls else None,  # a test's objects are a control's
    )
    colour = wants_colour(sys.stderr)

    def report(measurement: Measurement, verdict: Verdict) -> None:
        if sys.stderr.isatty():
            url, room = measurement.target.url, width(sys.stderr)
            line = short(measurement.started, url, verdict, nettest=measurement.nettest, colour=colour, width=room)
            sys.stderr.write(line + "\n")

    async with open_bench(settings, probe_id, stop) as bench:
        logs.strike(lambda: bench.own_addresses)
        agent = Agent(
            duties,
            bench=bench,
            store=store,
            heart=heart,
            judge=judge_with(settings),
            report=report,
        )
        if sys.stderr.isatty():
            _greet(settings)
        try:
            await agent.run()
        except StoreFailed as error:
            say(f"{error} Measuring has stopped.")
            return FOUND
    return FINE


def _greet(settings: Settings) -> None:
    for campaign in settings.campaigns:
        say(f"campaign {campaign.name}: {len(campaign.targets)} targets every {campaign.every / 60:g} minutes")
    say("Ctrl-C stops; `wazi list` and `wazi status` tell what was measured")


def _identity(folder: Path) -> str:
    try:
        return load_probe_id(folder)
    except IdentityError as error:
        raise Refusal(str(error)) from None


def serve_control(common: Common, listen: str, *, tls: str | None, allow_private: bool) -> int:
    """Serve as the second opinion until a signal."""
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
                announce=lambda url: say(f"control listens at {url}"),
            )
        )
    except CannotListen as error:
        raise Refusal(str(error)) from None
    return FINE
