"""Moments of campaigns: what must be refused, what is worth a remark, and what they will cost.

Pure: the time is an argument. What a measurement costs is known to a probe that has made it; before that, and for
`wazi config check`, it is what docs/settings.md measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from probe.schedule import DAY, Campaign, Moment, day_of, stretches
from probe.settings.layers import Location
from probe.settings.quantities import show_duration, show_moment
from probe.settings.sections import CampaignSettings, MomentSettings

USUAL_COST = {"dns": 3_000, "tcp": 8_000}  # bytes of a routine measurement by its nettest, when nothing is wrong
PAGE_COST = 30_000  # the same of one that reads a page


def contradictions(campaigns: Sequence[CampaignSettings]) -> Iterator[tuple[Location, object, str]]:
    """Find settings of moments that do not go together: where, the value, and what to do."""
    for index, campaign in enumerate(campaigns):
        for number, moment in enumerate(campaign.moment):
            at: Location = ("campaign", index, "moment", number)
            if moment.since >= moment.until:
                begins = show_moment(moment.since)
                yield (
                    (*at, "until"),
                    show_moment(moment.until),
                    f"must be later than from ({begins}); write a later time",
                )
                continue
            if moment.jitter is not None and moment.jitter >= moment.every:
                jitter = show_duration(moment.jitter)
                yield (*at, "jitter"), jitter, f"must be less than every ({show_duration(moment.every)})"
            other = next((k for k, one in enumerate(campaign.moment[:number]) if _overlap(one, moment)), None)
            if other is not None:
                span = written(campaign.moment[other])
                what = f"lies in moment {other + 1} of this campaign ({span}); let one end before the other begins"
                yield (*at, "from"), show_moment(moment.since), what


def _overlap(one: MomentSettings, other: MomentSettings) -> bool:
    return one.since < other.until and other.since < one.until


def written(moment: MomentSettings) -> str:
    """Write when a moment is."""
    return f"{show_moment(moment.since)} to {show_moment(moment.until)}"


def remarks(campaigns: Iterable[Campaign], budget: int, now: float) -> Iterator[str]:
    """Say what may not be meant: a moment that is over, one that is calmer than what surrounds it, one too dear."""
    campaigns = tuple(campaigns)
    for campaign in campaigns:
        for moment in campaign.moments:
            name = f"[[campaign.moment]] of {campaign.name}, from {_utc(moment.since)}"
            if moment.until <= now:
                yield f"{name}: is over since {_utc(moment.until)}, and changes nothing; take it out or write it anew"
                continue
            if moment.every > campaign.every:
                calmer = f"measures every {show_duration(moment.every)}, which is less often than the campaign itself"
                yield f"{name}: {calmer} (every {show_duration(campaign.every)})"
            day, cost = dearest_day(moment, campaigns)
            if cost > budget:
                yield (
                    f"{name}: on {day_of(day)} all campaigns would take about {_mb(cost)} in UTC, and data_per_day is "
                    f"{_mb(budget)}: some targets will be put off; raise it, name fewer targets or write a longer every"
                )


def estimates(campaigns: Iterable[Campaign], now: float) -> Iterator[str]:
    """Say of each moment that is not over what it will cost, as far as can be told before."""
    for campaign in campaigns:
        for moment in campaign.moments:
            if moment.until > now:
                runs = math.ceil((moment.until - moment.since) / moment.every)
                cost = _mb(runs * _cost(campaign, len(moment.targets)))
                yield (
                    f"moment of {campaign.name} from {_utc(moment.since)} to {_utc(moment.until)}: {runs} runs of "
                    f"{len(moment.targets)} targets, about {cost} when nothing is wrong"
                )


def dearest_day(moment: Moment, campaigns: Sequence[Campaign]) -> tuple[float, int]:
    """Return the UTC day of a moment on which all campaigns together cost most, and how many bytes."""
    first, last = math.floor(moment.since / DAY), math.ceil(moment.until / DAY)
    days = (number * DAY for number in range(first, min(last, first + 366)))
    return max(((day, cost_between(campaigns, day, day + DAY)) for day in days), key=lambda found: found[1])


def cost_between(campaigns: Iterable[Campaign], since: float, until: float) -> int:
    """Say about how many bytes all campaigns take in a time."""
    parts = (part for campaign in campaigns for part in stretches(campaign, since, until))
    return sum(part.runs * _cost(part.campaign, len(part.campaign.targets)) for part in parts)


def _cost(campaign: Campaign, targets: int) -> int:
    return targets * USUAL_COST.get(campaign.nettest, PAGE_COST)


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _utc(seconds: float) -> str:
    return show_moment(datetime.fromtimestamp(seconds, UTC))
