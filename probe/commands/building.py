"""Building what commands need from the settings: only here do the rooms meet."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measurements.judge import Case, judge
from measurements.model import Measurement, Past, Vantage, Verdict
from probe.commands.console import Common, Refusal

if TYPE_CHECKING:
    from measurements.bogons import Bogons
    from measurements.events.nouns import Settings as CountingRules
    from measurements.fingerprints import Fingerprints
    from measurements.store import Store
    from probe.clocks import Tempo
    from probe.identity import Identity
    from probe.measuring import Bench, Stop
    from probe.settings import Settings


def load_settings(common: Common, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read all settings, or refuse in words."""
    from probe.settings import load
    from probe.settings.layers import SettingsError

    try:
        return load(common.config, overrides)
    except SettingsError as error:
        raise Refusal(str(error)) from None


def remarks(settings: Settings) -> tuple[str, ...]:
    """Say what is not wrong and may yet not be meant."""
    from probe.settings.moments import remarks as about_moments

    return *settings.remarks, *about_moments(settings.campaigns, settings.network.data_per_day, time.time())


def data_folder(settings: Settings) -> Path:
    """Return the folder of what belongs to this probe alone: beside a SQLite store, else the user's."""
    import platformdirs
    from sqlalchemy import make_url

    url = make_url(settings.store.url)
    if url.get_backend_name() == "sqlite" and url.database:
        return Path(url.database).expanduser().resolve().parent
    return platformdirs.user_data_path("wazi", appauthor=False)


def judge_with(settings: Settings) -> Callable[[Measurement, tuple[Past, ...]], Verdict]:
    """Return the rules, bound to the lists that the settings name."""
    bogons, fingerprints = settings.bogons(), settings.fingerprints
    return lambda measurement, past: judge(Case(measurement, bogons, past, fingerprints))


def shipped_lists() -> tuple[Bogons, Fingerprints]:
    """Return the lists that come with this build, whatever the settings say."""
    from measurements.bogons import Bogons
    from probe.settings.layers import SHIPPED
    from probe.settings.lists import read_lists
    from probe.settings.shipped import shipped

    path = shipped("bogons.csv")
    return Bogons.parse(path.read_text("utf-8"), path.name), read_lists((SHIPPED,), skip_bad_lines=False)[0]


def read_store(settings: Settings) -> Store:
    """Open the store for reading, or refuse in words."""
    from measurements.store import StoreError, open_store

    try:
        return open_store(settings.store.url, read_only=True)
    except StoreError as error:
        raise Refusal(str(error)) from None


def counting_rules(settings: Settings) -> CountingRules:
    """Return by what rules votes become events; the volume is what the campaigns give, until a week was counted."""
    from measurements.events.nouns import Settings as CountingRules

    week = 7 * 86_400.0
    volume = sum(len(campaign.targets) * week / campaign.every for campaign in settings.campaigns)
    return CountingRules(
        false_alarms_per_week=settings.events.false_alarms_per_week, volume_per_week=max(1.0, round(volume))
    )


@asynccontextmanager
async def open_bench(
    settings: Settings,
    identity: Identity,
    stop: Stop,
    pcap: Path | None = None,
    tempo: Tempo | None = None,
) -> AsyncIterator[Bench]:
    """Lay out everything that measuring needs, and put it away again once nobody measures from there any more.

    `pcap` is where a trace keeps its packets, and `tempo` the time to live in, by default the computer's.
    """
    import httpx

    from probe.asn import open_asns
    from probe.clocks import read_clocks
    from probe.control.client import ControlClient
    from probe.measuring import Bench, Lookout
    from probe.nettests import NETTESTS
    from probe.surroundings import read_home, read_machine
    from probe.vantage import changed, glance, look
    from probe.wire import Wire
    from probe.wire.certificates import Authorities

    limits = settings.limits()
    async with AsyncExitStack() as stack:
        control = None
        if settings.control.urls:
            verify = Authorities.find(settings.network.ca_file).client_context()
            client = httpx.AsyncClient(verify=verify, trust_env=False, timeout=limits.control_timeout)
            control = ControlClient(settings.control.urls, await stack.enter_async_context(client))
        wire = await stack.enter_async_context(
            Wire(
                peers=settings.peers(),
                limits=limits,
                bogons=settings.bogons(),
                ca_file=settings.network.ca_file,
                ipv6=settings.network.ipv6,
                control=control,
                pcap=pcap,
            )
        )

        def stand() -> Vantage:
            wire.peers = settings.peers()  # the system's resolver changes when a laptop travels
            return Vantage(
                probe_id=identity.probe_id,
                country=settings.vantage.country,
                asn=settings.vantage.asn,
                resolver=wire.peers.local.address if wire.peers.local else None,
            )

        bench = Bench(
            wire=wire,
            nettests=NETTESTS,
            stand=stand,
            lookout=Lookout(
                look=lambda net: look(net, read_machine()),
                glance=glance,
                changed=lambda before, after: None if before == after else changed(before, after, read_machine()),
                asn_of=open_asns(settings.vantage.asn_database),
            ),
            clocks=tempo.read if tempo else read_clocks,
            deadline=limits.measurement_timeout,
            deadlines={"throttling": limits.pace_timeout},
            stop=stop,
            home=read_home,
            secret=identity.secret,
        )
        yield bench
