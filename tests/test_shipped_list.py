"""The shipped list: what is on it, and that it keeps the day's data at the default rate."""

from __future__ import annotations

import asyncio
from collections import Counter

from publicsuffixlist import PublicSuffixList

from measurements.targets import CATEGORIES, normalise, read_targets
from probe.purse import Purse
from probe.schedule import DAY, Campaign, wants_full_body
from probe.settings import Settings
from probe.settings.shipped import shipped

SETTINGS = Settings()
(CAMPAIGN,) = SETTINGS.campaigns
NAMED = """facebook.com x.com twitter.com instagram.com whatsapp.com youtube.com tiktok.com telegram.org signal.org
reddit.com torproject.org wikipedia.org google.com"""
UNSAFE = {"PORN", "XED", "PROV", "MILX", "HATE", "GMB", "DATE", "ALDR", "HACK", "LGBT", "REL"}
"""What a volunteer could be asked uncomfortable questions about."""

QUERIES = 3_000  # bytes: DNS by four resolvers, and the request; measured on loopback with real servers
HEADERS = 2_000  # of a large site's answer
ADDRESS = 4_400  # a connection with its handshake under a chain of 3 kB; measured likewise


SUFFIXES = PublicSuffixList()


def registrable(host: str) -> str:
    return SUFFIXES.privatesuffix(host) or host


def cost(page: int, addresses: int, *, full: bool) -> int:
    """Model a measurement without failures, in bytes."""
    limits = SETTINGS.limits()
    read = min(page, limits.body_wire if full else limits.body_routine)
    return QUERIES + HEADERS + addresses * ADDRESS + read


class Ledger:
    """The store's part, for a probe that spent nothing before."""

    async def add_spent(self, probe_id: str, spent: int) -> None: ...

    def spent_today(self, probe_id: str) -> int:
        return 0


async def live_through_days(campaign: Campaign, page: int, addresses: int) -> tuple[list[int], list[Counter[str]]]:
    """Run a campaign for two days as the agent does; return each day's bytes and measurements by URL."""
    now = 0.0
    purse = Purse(Ledger(), "probe", SETTINGS.network.data_per_day, lambda: now)
    last_full: dict[str, float] = {}
    spent, counts = [0, 0], [Counter[str](), Counter[str]()]
    for run in range(int(2 * DAY / campaign.every)):
        now = run * campaign.every
        for target in purse.plan(campaign, [campaign], campaign.targets).chosen:
            if purse.left <= 0:
                break
            full = wants_full_body(target.url, last_full.get(target.url), now)
            taken = cost(page, addresses, full=full)
            await purse.spend(taken)
            purse.learn(target, now, taken, routine=not full)
            last_full[target.url] = now if full else last_full[target.url]
            counts[int(now // DAY)][target.url] += 1
        spent[int(now // DAY)] = purse.spent
    return spent, counts


def test_it_holds_60_to_100_targets_that_a_browser_would_open() -> None:
    assert isinstance(CAMPAIGN, Campaign)
    assert 60 <= len(CAMPAIGN.targets) <= 100
    assert {target.scheme for target in CAMPAIGN.targets} == {"https"}
    assert {target.port for target in CAMPAIGN.targets} == {443}


def test_it_is_written_in_the_normal_form_without_repetition() -> None:
    text = shipped("targets/global.csv").read_text("utf-8")
    targets, problems = read_targets(text, "global.csv")
    assert problems == []
    assert [target.url for target in targets] == [line.split(",")[0] for line in text.splitlines()[1:]]


def test_it_has_what_people_miss_first_and_nothing_that_endangers_them() -> None:
    sites = {registrable(target.host) for target in CAMPAIGN.targets}
    assert set(NAMED.split()) <= sites
    categories = Counter(target.category for target in CAMPAIGN.targets)
    assert set(categories) <= CATEGORIES - UNSAFE
    assert {"GRP", "COMT", "NEWS", "HUMR", "POLR", "ANON", "SRCH"} <= set(categories)


def test_the_eight_witnesses_have_nothing_to_do_with_the_targets_or_each_other() -> None:
    witnesses = [registrable(witness.name) for witness in SETTINGS.network.witnesses]
    assert len(set(witnesses)) == len(witnesses) == 8
    assert not set(witnesses) & {registrable(target.host) for target in CAMPAIGN.targets}


def test_every_target_is_measured_every_hour_within_the_data_of_a_day() -> None:
    spent, counts = asyncio.run(live_through_days(CAMPAIGN, page=100_000, addresses=2))
    assert spent[0] <= SETTINGS.network.data_per_day + cost(100_000, 2, full=True)  # the one that was running
    assert spent[1] <= SETTINGS.network.data_per_day
    assert counts[1] == Counter({target.url: 24 for target in CAMPAIGN.targets})


def test_when_everything_costs_the_most_the_data_still_suffice_and_nobody_is_forgotten() -> None:
    page, addresses = SETTINGS.limits().body_wire, SETTINGS.limits().addresses
    spent, counts = asyncio.run(live_through_days(CAMPAIGN, page, addresses))
    the_last_one = cost(page, addresses, full=True)
    assert max(spent) <= SETTINGS.network.data_per_day + the_last_one
    assert min(counts[1][target.url] for target in CAMPAIGN.targets) >= 4


def test_a_list_of_a_hundred_would_not_fit() -> None:
    targets = [normalise(f"https://site{number}.example/") for number in range(100)]
    longer = Campaign(name="longer", nettest="web", targets=tuple(targets), every=CAMPAIGN.every)
    spent, counts = asyncio.run(live_through_days(longer, page=100_000, addresses=2))
    assert max(spent) <= SETTINGS.network.data_per_day + cost(100_000, 2, full=True)
    assert counts[1].total() < 24 * 100
