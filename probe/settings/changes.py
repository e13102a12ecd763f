"""Says what differs between two readings of the settings, and what of it needs a restart."""

from __future__ import annotations

from collections.abc import Iterator

from probe.schedule import Campaign
from probe.settings.loading import Settings, Shown

_STAMPED = "what is signed is stamped beside the measuring"
NEEDS_RESTART = {
    ("store", "url"): "the store is open",
    ("vantage", "probe_id"): "measurements are counted under it",
    ("evidence", "timestamp_url"): _STAMPED,
    ("evidence", "timestamp_every"): _STAMPED,
}


def changes(old: Settings, new: Settings) -> list[str]:
    """Say in a sentence each what will be done otherwise; no target is named, for logs are read by others."""
    before, after = _plain(old), _plain(new)
    told = [
        f"[{section}] {key} = {row.value}, was {before[section, key].value}"
        for (section, key), row in after.items()
        if row.value != before[section, key].value and (section, key) not in NEEDS_RESTART
    ]
    if [row.source for row in old.fingerprints.rows] != [row.source for row in new.fingerprints.rows]:
        told.append(f"fingerprints: {len(new.fingerprints.rows)}, were {len(old.fingerprints.rows)}")
    return told + list(_campaigns(old, new)) + list(_alerts(old, new))


def needs_restart(running: Settings, new: Settings) -> list[str]:
    """Say what was changed and cannot be taken while a probe runs that was started with `running`."""
    before, after = _plain(running), _plain(new)
    return [
        f"[{section}] {key} was changed, and needs a restart, because {why}; the old one is used until then"
        for (section, key), why in NEEDS_RESTART.items()
        if after[section, key].value != before[section, key].value
    ]


def _plain(settings: Settings) -> dict[tuple[str, str], Shown]:
    return {(row.section, row.key): row for row in settings.shown() if row.index is None}


def _alerts(old: Settings, new: Settings) -> Iterator[str]:
    before, after = ({one.name: one for one in settings.alerts} for settings in (old, new))
    yield from (f"alert {name} is sent no more" for name in before.keys() - after.keys())
    yield from (f"alert {name} is new" for name in after.keys() - before.keys())
    for name in before.keys() & after.keys():
        was, now = before[name], after[name]
        if (was.hook, was.rule, was.options) != (now.hook, now.rule, now.options):
            yield f"alert {name} was changed"


def _campaigns(old: Settings, new: Settings) -> Iterator[str]:
    before, after = ({one.name: one for one in settings.campaigns} for settings in (old, new))
    rows = [_rows(settings) for settings in (old, new)]
    for name in before.keys() - after.keys():
        yield f"campaign {name} is measured no more"
    for name, campaign in after.items():
        if name not in before:
            yield f"campaign {name} is new, with {len(campaign.targets)} targets"
            continue
        was, now = (reading[name] for reading in rows)
        yield from (f"campaign {name}: {key} = {now[key]}, was {was[key]}" for key in now if now[key] != was[key])
        yield from _targets(before[name], campaign)


def _targets(old: Campaign, new: Campaign) -> Iterator[str]:
    was, now = ({target.url for target in campaign.targets} for campaign in (old, new))
    if was != now:
        yield f"campaign {new.name}: {len(now)} targets, {len(now - was)} of them new; {len(was - now)} left out"
    lists = [{moment.since: moment.targets for moment in campaign.moments} for campaign in (old, new)]
    if any(lists[0][since] != lists[1][since] for since in lists[0].keys() & lists[1].keys()):
        yield f"campaign {new.name}: the targets of a moment were changed"


def _rows(settings: Settings) -> dict[str, dict[str, str]]:
    """Return how each campaign's settings are written, by its name; what holds targets says so itself."""
    found: dict[str, dict[str, str]] = {campaign.name: {} for campaign in settings.campaign}
    for row in settings.shown():
        if row.section == "campaign" and row.index is not None and row.key not in ("name", "targets"):
            found[settings.campaign[row.index].name][row.key] = row.value
    return found
