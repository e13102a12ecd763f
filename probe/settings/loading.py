"""The settings: from flags, the environment and wazi.toml to one frozen value, checked as a whole.

`load` reads everything that a setting names (the bogon list, the CA file, the target lists), so that
a mistake is found before the first packet. It complains about all mistakes at once, each in a
sentence with its place, its value and what to write instead; docs/settings.md tells every setting.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import tzinfo
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import platformdirs
from msgspec.structs import replace
from pydantic import BeforeValidator, Field, ValidationError

from measurements.alerts.routing import Quiet
from measurements.bogons import Bogons
from measurements.fingerprints import Fingerprints
from measurements.model import CONTROL_CATEGORY, Target, View
from measurements.targets import BadTarget, normalise, read_targets
from probe.network import Limits, Peers, Resolver, Witness
from probe.schedule import Campaign, Moment, Window
from probe.settings import moments, values
from probe.settings.alerts import Alert, BadOption, alert, contradictions
from probe.settings.complaints import complaint, hidden, sentence
from probe.settings.layers import (
    CONFIG_VARIABLE,
    FILE_NAME,
    Layer,
    Location,
    SettingsError,
    find_file,
    from_environment,
    from_file,
    from_flags,
    lay,
    read_text,
)
from probe.settings.lists import list_files, read_lists
from probe.settings.quantities import show_duration, show_moment, show_size, show_zone
from probe.settings.sections import (
    SECTIONS,
    AlertSettings,
    CampaignSettings,
    ControlSettings,
    EventsSettings,
    EvidenceSettings,
    MomentSettings,
    NetworkSettings,
    Section,
    StoreSettings,
    ThrottlingSettings,
    VantageSettings,
    WebSettings,
    names,
)
from probe.settings.shipped import shipped

RESOLV_CONF = Path("/etc/resolv.conf")


class Settings(Section):
    """All settings; made by `load`, or with nothing but defaults by `Settings()`."""

    network: NetworkSettings = NetworkSettings()
    control: ControlSettings = ControlSettings()
    vantage: VantageSettings = VantageSettings()
    store: StoreSettings = Field(default_factory=StoreSettings)
    throttling: ThrottlingSettings = ThrottlingSettings()
    events: EventsSettings = EventsSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    web: WebSettings = WebSettings()
    campaign: Annotated[tuple[CampaignSettings, ...], BeforeValidator(values.tables("campaign"))] = (
        CampaignSettings(name="global"),
    )
    alert: Annotated[tuple[AlertSettings, ...], BeforeValidator(values.tables("alert"))] = ()

    _layers: tuple[Layer, ...] = ()
    _places: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that has a say in these settings, also wazi.toml where there is none yet."""
        lists = [campaign.targets for campaign in self.campaign]
        lists += [moment.targets for campaign in self.campaign for moment in campaign.moment]
        named = (self.network.ca_file, self.network.bogons, self.vantage.asn_database, *lists, *self._alert_files)
        paths = (path for path in named if isinstance(path, Path))
        return tuple(dict.fromkeys((*self._places, *paths, *list_files(self.network.fingerprints))))

    def limits(self) -> Limits:
        """Return the bounds of every step."""
        return Limits(**{limit.name: getattr(self.network, limit.name) for limit in fields(Limits)})

    def peers(self, resolv_conf: Path = RESOLV_CONF) -> Peers:
        """Return whom a measurement may ask; reads the system's resolver anew."""
        address = self.network.resolver
        local = system_resolver(resolv_conf) if address == values.SYSTEM else address
        return Peers(
            local=Resolver(local, View.LOCAL) if local else None,
            trusted=tuple(Resolver(url, View.TRUSTED) for url in self.network.trusted_resolvers),
            witnesses=self.network.witnesses,
            controls=self.control.urls,
        )

    def placebos(self) -> tuple[Target, ...]:
        """Return the witnesses as targets that may be asked without a question."""
        pages = (normalise(f"https://{witness.name}/") for witness in self.network.witnesses)
        return tuple(replace(page, category=CONTROL_CATEGORY) for page in pages)

    def bogons(self) -> Bogons:
        """Read the list of addresses that no public host has."""
        path = self.network.bogons or shipped("bogons.csv")
        return Bogons.parse(read_text(path, values.MAX_DATA_FILE), str(path))

    @property
    def fingerprints(self) -> Fingerprints:
        """What known blockers' pages, answers and certificates look like."""
        return self._read_fingerprints[0]

    @cached_property
    def _read_fingerprints(self) -> tuple[Fingerprints, list[str]]:
        return read_lists(self.network.fingerprints, skip_bad_lines=self.network.skip_bad_lines)

    @property
    def campaigns(self) -> tuple[Campaign, ...]:
        """The campaigns with their targets."""
        return tuple(campaign for campaign, _ in self._read_campaigns)

    @cached_property
    def alerts(self) -> tuple[Alert, ...]:
        """Who is told of events, each with its hook's options read."""
        read: list[Alert] = []
        problems: list[str] = []
        for index, table in enumerate(self.alert):
            try:
                read.append(alert(table, folder=self._layer("alert", index).folder, bogons=self.bogons))
            except BadOption as bad:
                location: Location = ("alert", index, *([bad.name] if bad.name else []))
                problems.append(hidden(self._layers, location, str(bad)))
        if problems:
            raise SettingsError("\n".join(problems))
        return tuple(read)

    @property
    def _alert_files(self) -> tuple[Path, ...]:
        return tuple(file for one in self.alerts for file in one.files)

    def _layer(self, *location: str | int) -> Layer:
        return next((layer for layer in self._layers if layer.holds(location)), Layer({}))

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences about lines of lists that were left out: targets repeated, or lines bad and to be skipped."""
        about_targets = (remark for _, remarks in self._read_campaigns for remark in remarks)
        return (*about_targets, *self._read_fingerprints[1])

    @cached_property
    def _read_campaigns(self) -> tuple[tuple[Campaign, list[str]], ...]:
        read: list[tuple[Campaign, list[str]]] = []
        problems: list[str] = []
        for index, campaign in enumerate(self.campaign):
            lists: list[tuple[Target, ...]] = []
            remarks: list[str] = []
            tables: list[tuple[Location, CampaignSettings | MomentSettings]] = [((), campaign)]
            tables += [(("moment", number), moment) for number, moment in enumerate(campaign.moment)]
            for at, table in tables:
                try:
                    targets, about = _read_targets(table, campaign.name, skip_bad_lines=self.network.skip_bad_lines)
                    lists.append(tuple(targets) or lists[0])
                    remarks += about
                except SettingsError as error:
                    location: Location = ("campaign", index, *at, "targets")
                    problems.append(complaint(self._layers, location, str(error), table.targets))
                except BadTarget as error:
                    problems.append(str(error))
            if not problems:
                read.append((_campaign(campaign, lists), remarks))
        if problems:
            raise SettingsError("\n".join(problems))
        return tuple(read)

    def shown(self) -> tuple[Shown, ...]:
        """Return every setting with its value, secrets hidden, and where it was written."""
        rows: list[Shown] = []
        for section in type(self).model_fields:
            tables = getattr(self, section)
            for index, table in enumerate(tables) if isinstance(tables, tuple) else [(None, tables)]:
                at: Location = (section,) if index is None else (section, index)
                written = {key: _written(key, getattr(table, key)) for key in type(table).model_fields}
                if isinstance(table, AlertSettings) and index is not None:
                    written |= {key: self.alerts[index].shown(key, value) for key, value in table.options.items()}
                for key, value in written.items():  # a moment is one value here
                    layer = next((layer for layer in self._layers if layer.holds((*at, key))), None)
                    rows.append(Shown(section, index, key, value, layer.place((*at, key)) if layer else "default"))
        return tuple(rows)


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting as `wazi config show` tells it; `index` counts the campaigns from 0."""

    section: str
    index: int | None
    key: str
    value: str
    origin: str


def load(
    path: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    folders: Sequence[Path] | None = None,
) -> Settings:
    """Read and check all settings; `SettingsError` names everything that is wrong.

    `path` is the file that was asked for, `overrides` what flags said, as {section: {key: value}}.
    Without a file, WAZI_CONFIG's is taken, or the first wazi.toml in `folders` (by default the
    user's and the system's), or none.
    """
    folders = config_folders() if folders is None else folders
    file = find_file(path, environ, folders)
    layers = (from_flags(overrides or {}), from_environment(environ), *([from_file(file)] if file else []))
    try:
        settings = Settings.model_validate(lay(layers))
    except ValidationError as error:
        raise SettingsError("\n".join(sentence(layers, _known(), problem) for problem in error.errors())) from None
    settings._layers = layers
    looked_for = () if path or environ.get(CONFIG_VARIABLE) else (folder / FILE_NAME for folder in folders)
    settings._places = tuple(dict.fromkeys((*([file] if file else ()), *looked_for)))
    problems = [complaint(layers, location, what, value) for location, value, what in _contradictions(settings)]
    for read in (lambda: settings.campaigns, lambda: settings.fingerprints, lambda: settings.alerts):
        try:
            read()
        except SettingsError as error:
            problems.append(str(error))
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def config_folders() -> tuple[Path, ...]:
    """Return where wazi.toml is looked for: the user's folder, then the system's."""
    return platformdirs.user_config_path("wazi", appauthor=False), Path("/etc/wazi")


def _known() -> dict[str, tuple[str, ...]]:
    """Return the names of the settings in each section."""
    return {section: names(table) for section, table in SECTIONS.items()}


def _contradictions(settings: Settings) -> Iterator[tuple[Location, object, str]]:
    """Find settings that do not go together: where, the value, and what to do."""
    network = settings.network
    if network.body_routine > network.body_wire:
        yield ("network", "body_routine"), network.body_routine, "must not be more than body_wire"
    if settings.store.keep_bodies is not None and settings.store.export_before_drop is not None:
        why = "cannot go with export_before_drop, which writes measurements with their pages: leave one of them out"
        yield ("store", "keep_bodies"), settings.store.keep_bodies, why
    witnesses = {witness.name for witness in network.witnesses}
    for index, url in enumerate(settings.control.urls):
        if (host := urlsplit(url).hostname) in witnesses:
            yield ("control", "urls", index), url, f"{host} is a witness too, and must be one or the other"
    taken: set[str] = set()
    for index, campaign in enumerate(settings.campaign):
        if campaign.name in taken:
            yield ("campaign", index, "name"), campaign.name, "is another campaign's name; write a name of its own"
        taken.add(campaign.name)
        if campaign.jitter is not None and campaign.jitter >= campaign.every:
            jitter = show_duration(campaign.jitter)
            yield ("campaign", index, "jitter"), jitter, f"must be less than every ({show_duration(campaign.every)})"
    yield from moments.contradictions(settings.campaign)
    for index, key, value, what in contradictions(settings.alert):
        yield ("alert", index, key), value, what


def _read_targets(
    table: CampaignSettings | MomentSettings, campaign: str, *, skip_bad_lines: bool
) -> tuple[list[Target], list[str]]:
    """Read the list that a table names; empty for a moment that names none."""
    if isinstance(table.targets, tuple):
        moment = f", moment from {show_moment(table.since)}" if isinstance(table, MomentSettings) else ""
        text, origin = "\n".join(table.targets), f"[[campaign]] {campaign}{moment}, targets:"
    elif table.targets is None and isinstance(table, MomentSettings):
        return [], []
    else:
        path = table.targets or shipped("targets/global.csv")
        text, origin = read_text(path, values.MAX_DATA_FILE), str(path)
    return read_targets(text, origin, skip_bad_lines=skip_bad_lines)


def _campaign(campaign: CampaignSettings, lists: Sequence[tuple[Target, ...]]) -> Campaign:
    """Put a campaign together; the first of the lists is its own, the others are its moments'."""
    made = (
        Moment(moment.since.timestamp(), moment.until.timestamp(), moment.every, _jitter(moment), targets)
        for moment, targets in zip(campaign.moment, lists[1:], strict=True)
    )
    return Campaign(
        name=campaign.name,
        targets=lists[0],
        nettest=campaign.nettest,
        every=campaign.every,
        jitter=_jitter(campaign),
        window=campaign.window,
        moments=tuple(sorted(made, key=lambda moment: moment.since)),
    )


def _jitter(table: CampaignSettings | MomentSettings) -> float:
    return table.every / 12 if table.jitter is None else table.jitter


_UNSET = {
    "ca_file": "the system's",
    "bogons": "as shipped",
    "targets": "as shipped",
    "jitter": "a twelfth of every",
    "moment": "none",
    "name": "the hook's",
    "countries": "all",
    "asns": "all",
    "categories": "all",
    "kinds": "all",
    "urgent": "none",
    "keep": "for ever",
    "keep_bodies": "for ever",
    "keep_size": "no limit",
}


def _written(key: str, value: object) -> str:
    """Write a value for people."""
    if value is None or (key in _UNSET and value == ()):
        return _UNSET.get(key, "not set")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and key.endswith("_per_week"):
        return f"{value:g}"
    if isinstance(value, float):
        return str(value) if key.endswith("_per_week") else show_duration(value)
    if isinstance(value, int) and (key.startswith(("body_", "data_")) or key.endswith(("_bytes", "_object", "_size"))):
        return show_size(value)
    if isinstance(value, Window):
        return "-".join(f"{int(time) // 3600:02d}:{int(time) % 3600 // 60:02d}" for time in (value.opens, value.closes))
    if isinstance(value, Quiet):
        return _written(key, Window(value.opens, value.closes))
    if isinstance(value, tzinfo):
        return show_zone(value)
    if isinstance(value, MomentSettings):
        return f"{moments.written(value)} every {show_duration(value.every)}"
    if isinstance(value, Witness):
        return f"{value.name} (domestic)" if value.domestic else value.name
    if isinstance(value, tuple):
        return ", ".join(_written(key, entry) for entry in value)
    return values.hide_secrets(str(value))


def system_resolver(path: Path = RESOLV_CONF) -> str | None:
    """Return the first usable nameserver of resolv.conf as "ip:port"; None when there is none."""
    try:
        lines = read_text(path, 65_536).splitlines()
    except SettingsError:
        return None
    for words in (line.split() for line in lines):
        if len(words) >= 2 and words[0] == "nameserver" and "%" not in words[1]:
            try:
                return values.resolver(str(ipaddress.ip_address(words[1])))
            except ValueError:
                continue
    return None
