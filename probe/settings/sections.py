"""The sections of wazi.toml: every setting with its default and what its value may be.

docs/settings.md tells each of them to people; a test holds the two and config/wazi.toml together.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Annotated, Any

import platformdirs
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator

from measurements.alerts.notice import Change
from measurements.alerts.routing import Quiet
from measurements.events.nouns import Kind
from probe.network import Limits, Witness
from probe.schedule import DAY, Window
from probe.settings import values
from probe.settings.layers import SHIPPED
from probe.settings.quantities import (
    beginning,
    duration,
    ending,
    quiet,
    show_duration,
    show_size,
    size,
    time_window,
    zone,
)

TRUSTED_RESOLVERS = ("https://1.1.1.1/dns-query", "https://8.8.8.8/dns-query", "https://9.9.9.9/dns-query")
"""Cloudflare, Google and Quad9: three operators, reached by address, so that no name need be looked up first."""

WITNESSES = tuple(
    Witness(name)
    for name in (
        "www.iana.org",  # keeps the internet's numbers
        "www.debian.org",  # a Linux distribution, on machines of its own
        "www.ubuntu.com",  # another, of a company
        "www.openbsd.org",  # an operating system, at a university
        "home.cern",  # a physics laboratory
        "www.ripe.net",  # the address registries of Europe,
        "www.lacnic.net",  # of Latin America
        "www.nic.ad.jp",  # and of Japan
    )
)
"""Eight harmless sites that many machines ask anyway, run by eight organisations on four continents.

None is a target, a news or social site, or a page of a government or a company that people block or
boycott, and no two share an operator, so that no one failure or quarrel takes them all.
"""

_DEFAULT = Limits()
_Timeout = Annotated[float, PlainValidator(values.between(duration, 0.1, 600.0, show_duration))]
_LongTimeout = Annotated[float, PlainValidator(values.between(duration, 20.0, 3600.0, show_duration))]
_Term = Annotated[float, PlainValidator(values.between(duration, DAY, 36_525 * DAY, show_duration))]
_Room = Annotated[int, PlainValidator(values.between(size, 50_000_000, 10**15, show_size))]
_Object = Annotated[int, PlainValidator(values.between(size, 64_000, 10_000_000, show_size))]
_Pause = Annotated[float, PlainValidator(values.between(duration, 0.0, 60.0, show_duration))]
_Size = Annotated[int, PlainValidator(values.between(size, 1000, 10**9, show_size))]
_DataPerDay = Annotated[int, PlainValidator(values.between(size, 10**6, 10**12, show_size))]
_Count = Annotated[int, PlainValidator(values.between(values.count, 1, 100, str))]
_CountOrNone = Annotated[int, PlainValidator(values.between(values.count, 0, 100, str))]
_Concurrency = Annotated[int, PlainValidator(values.between(values.count, 1, 500, str))]
_Every = Annotated[float, PlainValidator(values.between(duration, 60.0, 31 * 86_400.0, show_duration))]
_Jitter = Annotated[float, PlainValidator(values.between(duration, 0.0, 86_400.0, show_duration))]
_PerWeek = Annotated[float, PlainValidator(values.between(values.number, 0.01, 1000.0, "{:g}".format))]
_Switch = Annotated[bool, PlainValidator(values.switch)]
_DohUrl = Annotated[str, PlainValidator(values.doh_url)]
_WebUrl = Annotated[str, PlainValidator(values.web_url)]
_Witness = Annotated[Witness, PlainValidator(values.witness)]
_Fingerprints = Annotated[Path | str, PlainValidator(values.fingerprints)]
_Country = Annotated[str, PlainValidator(values.country)]
_Asn = Annotated[int, PlainValidator(values.asn)]
_Category = Annotated[str, PlainValidator(values.category)]
_Kind = Annotated[Kind, PlainValidator(values.kind)]
_Change = Annotated[Change, PlainValidator(values.change)]
_Listed = BeforeValidator(values.listed)
_Distinct = AfterValidator(values.distinct)


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkSettings(Section):
    """`[network]`: whom a measurement may ask, and the bounds of every step."""

    resolver: Annotated[str, PlainValidator(values.resolver)] = values.SYSTEM
    trusted_resolvers: Annotated[tuple[_DohUrl, ...], _Listed, _Distinct] = TRUSTED_RESOLVERS
    witnesses: Annotated[tuple[_Witness, ...], _Listed, _Distinct] = WITNESSES
    ca_file: Annotated[Path | None, PlainValidator(values.certificates)] = None
    bogons: Annotated[Path | None, PlainValidator(values.bogon_list)] = None
    fingerprints: Annotated[tuple[_Fingerprints, ...], _Listed, _Distinct] = (SHIPPED,)
    ipv6: _Switch = True
    concurrency: _Concurrency = 20
    data_per_day: _DataPerDay = 50_000_000
    skip_bad_lines: _Switch = False

    # The rest are the fields of `probe.network.Limits`, by the same names and with the same defaults.
    dns_timeout: _Timeout = _DEFAULT.dns_timeout
    dns_linger: _Pause = _DEFAULT.dns_linger
    tcp_timeout: _Timeout = _DEFAULT.tcp_timeout
    tls_timeout: _Timeout = _DEFAULT.tls_timeout
    http_timeout: _Timeout = _DEFAULT.http_timeout
    control_timeout: _Timeout = _DEFAULT.control_timeout
    measurement_timeout: _Timeout = _DEFAULT.measurement_timeout
    body_wire: _Size = _DEFAULT.body_wire
    body_decoded: _Size = _DEFAULT.body_decoded
    body_routine: _Size = _DEFAULT.body_routine
    redirects: _CountOrNone = _DEFAULT.redirects
    addresses: _Count = _DEFAULT.addresses
    chain_certificates: _Count = _DEFAULT.chain_certificates
    chain_bytes: _Size = _DEFAULT.chain_bytes
    follow_up_connections: _CountOrNone = _DEFAULT.follow_up_connections
    follow_up_bytes: _Size = _DEFAULT.follow_up_bytes
    max_hops: _Count = _DEFAULT.max_hops
    repetition_pause: _Pause = _DEFAULT.repetition_pause
    pace_object: _Object = _DEFAULT.pace_object
    pace_alike_object: _Object = _DEFAULT.pace_alike_object
    pace_pairs: _Count = _DEFAULT.pace_pairs
    pace_bytes: _Size = _DEFAULT.pace_bytes
    pace_pause: _Pause = _DEFAULT.pace_pause
    pace_leg_timeout: _Timeout = _DEFAULT.pace_leg_timeout
    pace_timeout: _LongTimeout = _DEFAULT.pace_timeout


class ControlSettings(Section):
    """`[control]`: the second opinions, asked in this order."""

    urls: Annotated[tuple[_WebUrl, ...], _Listed, _Distinct] = ()


class VantageSettings(Section):
    """`[vantage]`: what the volunteer says about where this probe stands."""

    country: Annotated[str | None, PlainValidator(values.country)] = None
    asn: Annotated[int | None, PlainValidator(values.asn)] = None
    asn_database: Annotated[Path | None, PlainValidator(values.asn_database)] = None
    probe_id: Annotated[str | None, PlainValidator(values.label)] = None


def default_store_url() -> str:
    """Return the URL of the embedded database in the user's data folder."""
    return f"sqlite:///{platformdirs.user_data_dir('wazi', appauthor=False)}/wazi.db"


class StoreSettings(Section):
    """`[store]`: where measurements are kept, and for how long."""

    url: Annotated[str, PlainValidator(values.store_url)] = Field(default_factory=default_store_url, repr=False)
    keep: _Term | None = None
    keep_bodies: _Term | None = None
    keep_size: _Room | None = None
    export_before_drop: Annotated[Path | None, PlainValidator(values.file_path)] = None


class MomentSettings(Section):
    """`[[campaign.moment]]`: when a campaign measures more often, and what; without targets, the campaign's own."""

    since: Annotated[datetime, PlainValidator(beginning)] = Field(alias="from")
    until: Annotated[datetime, PlainValidator(ending)]
    every: _Every
    jitter: _Jitter | None = None  # a twelfth of `every`
    targets: Annotated[Path | tuple[str, ...] | None, PlainValidator(values.targets)] = None


class ThrottlingSettings(Section):
    """`[throttling]`: how often a site's pace is tested without a reason; with one it is tested anyway."""

    sample_per_day: _CountOrNone = 3


class EventsSettings(Section):
    """`[events]`: how readily verdicts become events."""

    false_alarms_per_week: _PerWeek = 1.0


class EvidenceSettings(Section):
    """`[evidence]`: who stamps what was signed with the time; nobody, unless one is named."""

    timestamp_url: Annotated[str | None, PlainValidator(values.web_url)] = None
    timestamp_every: _Every = 3600.0


class WebSettings(Section):
    """`[web]`: where people can see what was measured."""

    public_url: Annotated[str | None, PlainValidator(values.public_url)] = None


class AlertSettings(Section):
    """`[[alert]]`: who is told of events; what stands here besides are options of the hook."""

    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True, hide_input_in_errors=True)

    hook: Annotated[str, PlainValidator(values.label)]
    name: Annotated[str | None, PlainValidator(values.label)] = None  # the hook's
    min_confidence: Annotated[str, PlainValidator(values.one_of("confirmed", "unconfirmed"))] = "confirmed"
    countries: Annotated[tuple[_Country, ...], _Listed, _Distinct] = ()
    asns: Annotated[tuple[_Asn, ...], _Listed, _Distinct] = ()
    categories: Annotated[tuple[_Category, ...], _Listed, _Distinct] = ()
    kinds: Annotated[tuple[_Kind, ...], _Listed, _Distinct] = ()
    changes: Annotated[tuple[_Change, ...], _Listed, _Distinct] = (Change.OPENED, Change.UPDATED, Change.CLOSED)
    quiet_hours: Annotated[Quiet | None, PlainValidator(quiet)] = None
    time_zone: Annotated[tzinfo, PlainValidator(zone)] = UTC
    urgent: Annotated[tuple[_Kind, ...], _Listed, _Distinct] = ()
    digest: Annotated[float, PlainValidator(values.between(duration, 0.0, 31 * 86_400.0, show_duration))] = 0.0
    cool_down: Annotated[float, PlainValidator(values.between(duration, 0.0, 7 * 86_400.0, show_duration))] = 3600.0
    update_every: Annotated[float, PlainValidator(values.between(duration, 0.0, 7 * 86_400.0, show_duration))] = 3600.0
    give_up: Annotated[float, PlainValidator(values.between(duration, 3600.0, 366 * 86_400.0, show_duration))] = (
        7 * 86_400.0
    )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        return ((name, getattr(self, name)) for name in type(self).model_fields)  # an option may be a secret

    @property
    def shown_name(self) -> str:
        """Its name, or that of its hook."""
        return self.name or self.hook

    @property
    def options(self) -> dict[str, Any]:
        """What was written for the hook itself."""
        return dict(self.model_extra or {})


class CampaignSettings(Section):
    """`[[campaign]]`: what is measured again and again; without targets, the list that ships with Wazi."""

    name: Annotated[str, PlainValidator(values.label)]
    targets: Annotated[Path | tuple[str, ...] | None, PlainValidator(values.targets)] = None
    nettest: Annotated[str, PlainValidator(values.nettest)] = "web"
    every: _Every = 3600.0
    jitter: _Jitter | None = None  # a twelfth of `every`
    window: Annotated[Window | None, PlainValidator(time_window)] = None
    moment: Annotated[tuple[MomentSettings, ...], BeforeValidator(values.moments)] = ()


SECTIONS: dict[str, type[Section]] = {
    "network": NetworkSettings,
    "control": ControlSettings,
    "vantage": VantageSettings,
    "store": StoreSettings,
    "throttling": ThrottlingSettings,
    "events": EventsSettings,
    "evidence": EvidenceSettings,
    "web": WebSettings,
    "campaign": CampaignSettings,
    "campaign.moment": MomentSettings,
    "alert": AlertSettings,
}


def names(table: type[Section]) -> tuple[str, ...]:
    """Return the names of the settings in a section, as they are written."""
    return tuple(field.alias or name for name, field in table.model_fields.items())
