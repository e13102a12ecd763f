"""A list of 300 sites at 100 ms, 30 % of them black-holed, in the lab: wall time, and memory of `wazi run`.

The bound is what limits and round trips alone make of the list when as many measurements as allowed run
at once and nothing else costs time. Of a site that answers, in round trips: the lookups, which our own
resolver answers within the country and which linger for a second, contradicting reply; then TCP, TLS 1.3
and the page. Of one that is black-holed: the lookups, the connection's timeout, and the longest of the
follow-up steps, which is a pause and one more connection, to its own timeout (`probe.follow_up`). The looks
at the network before and after failures are Wazi's own and are not in the bound; nor is starting Python.
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from probe.follow_up import TIMEOUT
from probe.network import Limits
from tests.bench import watched
from tests.bench.figures import Figure, say
from tests.lab.client import LabClient
from tests.lab.settings import config_name
from tests.lab.sites import BY_NAME
from tests.lab.topology import ISP_RESOLVER, PUBLIC_RESOLVERS

PART = "list"
SITES = 300
DEAD = 0.3
AT_ONCE = 20
_DEFAULTED = ("dns_timeout", "tcp_timeout", "tls_timeout")  # which the lab sets lower


def run(rounds: int) -> Iterator[Figure]:
    """Measure the list by `wazi check --file` and by `wazi run`."""
    with tempfile.TemporaryDirectory(prefix="wazi-bench-") as work:
        lab = LabClient(Path(work))
        try:
            yield from _measure(lab, rounds)
        finally:
            lab.close()


def _measure(lab: LabClient, rounds: int) -> Iterator[Figure]:
    urls = lab.many_sites(SITES, dead=DEAD)
    (lab.work / "many.txt").write_text("\n".join(urls) + "\n")
    trips = {name: _round_trip(lab, address) for name, address in _PLACES.items()}
    bound, bare_bound = bounds(trips)
    say(f"list: round trips {trips} s; the bound is {bound:.1f} s, without linger and follow-ups {bare_bound:.1f} s")
    checked: list[float] = []
    ran: list[float] = []
    peaks: dict[str, list[float]] = {"check": [], "run": []}
    for number in range(rounds):
        for command, walls in (("check", checked), ("run", ran)):
            seen = _check(lab) if command == "check" else _run(lab, number)
            walls.append(seen["seconds"])
            peaks[command].append(seen["peak_megabytes"])
            say(f"list: round {number + 1} of {rounds}, wazi {command}: {seen}")
    note = (
        f"list: {SITES} sites, {DEAD:.0%} black-holed, {AT_ONCE} at a time, default limits, no control; round trips "
        + ", ".join(f"{name} {trip * 1e3:.0f} ms" for name, trip in trips.items())
        + f". The bound is {bound:.1f} s; of timeouts and round trips alone, without linger and follow-up steps, "
        f"{bare_bound:.1f} s. Times include starting Python."
    )
    for name, walls in (("wazi check --file", checked), ("wazi run", ran)):
        against = f"Wall time of `{name}`, against"
        yield Figure(PART, f"{against} its bound", "ratio", _over(walls, bound), at_most=1.3, note=note)
        yield Figure(PART, f"{against} timeouts and round trips alone", "ratio", _over(walls, bare_bound), at_most=1.3)
        yield Figure(PART, f"Wall time of `{name}`", "s", tuple(walls))
    yield Figure(PART, "Peak memory of `wazi run` (VmHWM)", "MB", tuple(peaks["run"]), at_most=150.0)
    yield Figure(PART, "Peak memory of `wazi check` (VmHWM)", "MB", tuple(peaks["check"]))


_PLACES = {"site": BY_NAME["facebook.com"].addresses[0], "resolver": ISP_RESOLVER, "DoH": PUBLIC_RESOLVERS[0]}


def _over(walls: list[float], bound: float) -> tuple[float, ...]:
    return tuple(wall / bound for wall in walls)


def _round_trip(lab: LabClient, address: str) -> float:
    """Measure the round trip from the censored home, in seconds."""
    _, out, _ = lab.run("cli", ["ping", "-q", "-c10", "-i.2", address])
    found = re.search(r"= [\d.]+/([\d.]+)/", out)
    assert found, out
    return float(found[1]) / 1e3


def bounds(trips: dict[str, float]) -> tuple[float, float]:
    """Compute how long the list must take: with all that Wazi waits for on purpose, and without."""
    limits = Limits()
    dead = int(SITES * DEAD)
    lookups = max(trips["resolver"] + limits.dns_linger, trips["DoH"])
    follow_up = limits.repetition_pause + TIMEOUT
    bound = _span(SITES - dead, lookups + 3 * trips["site"], dead, lookups + limits.tcp_timeout + follow_up)
    bare = _span(SITES - dead, trips["DoH"] + 3 * trips["site"], dead, trips["DoH"] + limits.tcp_timeout)
    return bound, bare


def _span(alive: int, quick: float, dead: int, slow: float) -> float:
    """Say how long some quick and some slow ones take side by side, at the least."""
    return max((alive * quick + dead * slow) / AT_ONCE, slow)


def _settings(lab: LabClient, store: Path) -> Path:
    """Write the lab's settings, with the timeouts left at their defaults and the list as the only campaign."""
    text = (lab.work / config_name(control=False)).read_text()
    network, _, _ = text.partition("[vantage]")
    kept = [line for line in network.splitlines() if not line.startswith(_DEFAULTED)]
    own = f"""
[vantage]
country = "ZZ"
probe_id = "bench"

[store]
url = "sqlite:///{store}"

[[campaign]]
name = "many"
targets = "{lab.work}/many.txt"
nettest = "web"
every = "24h"
"""
    path = store.with_suffix(".toml")
    path.write_text("\n".join(kept) + own)
    return path


def _check(lab: LabClient) -> dict[str, Any]:
    output = lab.work / "check.jsonl"
    config = _settings(lab, lab.work / "unused.db")
    list_of_all = str(lab.work / "many.txt")
    seen = _watch(lab, output, "-", ["--config", str(config), "check", "--json", "--file", list_of_all])
    outcomes = Counter(json.loads(line)["outcome"] for line in output.read_text().splitlines())
    return seen | {"outcomes": expected(outcomes)}


def _run(lab: LabClient, number: int) -> dict[str, Any]:
    store = lab.work / f"run-{number}" / "wazi.db"  # a folder of its own, or the campaign would not be due again
    store.parent.mkdir()
    seen = _watch(lab, lab.work / "run.log", str(store), ["--config", str(_settings(lab, store)), "run"])
    with closing(sqlite3.connect(store)) as connection:
        outcomes = Counter(outcome for (outcome,) in connection.execute("SELECT outcome FROM verdict"))
    return seen | {"outcomes": expected(outcomes)}


def expected(outcomes: Counter[str]) -> dict[str, int]:
    """Return the outcomes; raise when the list was not measured as it should be."""
    if sum(outcomes.values()) != SITES or outcomes["accessible"] != SITES - int(SITES * DEAD):
        raise RuntimeError(f"the list was not measured as it should be: {dict(outcomes)}")
    return dict(outcomes)


def _watch(lab: LabClient, output: Path, store: str, arguments: list[str]) -> dict[str, Any]:
    wazi = [sys.executable, "-m", "probe.cli", *arguments]
    argv = [sys.executable, "-m", "tests.bench.watched", str(output), store, str(SITES), *wazi]
    code, out, err = lab.run("cli", argv, timeout=watched.PATIENCE + 10)
    seen: dict[str, Any] = {} if code else json.loads(out)
    if seen.get("code") not in (0, 1, 3):
        raise RuntimeError(f"the list could not be measured: {err}{output.read_text()[-2000:]}")
    return seen
