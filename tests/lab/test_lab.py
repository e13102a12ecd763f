"""The lab itself: each scenario does what it says, nothing leaks, and all of it dies with its owner.

A plain client, which shares no code with the probe, looks from the censored home and from beside the
control. So a wrong verdict is the probe's fault, and a broken scenario is found here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from fnmatch import fnmatchcase as fnmatch
from pathlib import Path

import pytest

from tests.lab.book import BOOK, CHAPTERS, OPEN
from tests.lab.book.shown import SHOWN
from tests.lab.book.verdicts import ACCESSIBLE
from tests.lab.client import LabClient
from tests.lab.scenario import (
    AddressFilter,
    Delay,
    HelloFilter,
    HostFilter,
    HttpProxy,
    Mechanism,
    QuicFilter,
    Scenario,
    Throttle,
    TlsInterception,
)
from tests.lab.spaces import REPOSITORY, environment
from tests.lab.spread import mixtures, spread
from tests.lab.world import SynLimit

pytestmark = pytest.mark.lab
NEWS6 = "2001:db8:113::13"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scenario" in metafunc.fixturenames:
        whole = metafunc.config.getoption("--whole-book")
        picked = list(BOOK.values()) if whole else mixtures(spread(CHAPTERS, SHOWN.values()))
        metafunc.parametrize("scenario", picked, ids=[scenario.name for scenario in picked])


def is_spared(mechanism: object) -> bool:
    """Whether a single look goes by unseen: it uses up no ration, and is too small to be slowed down."""
    if isinstance(mechanism, Throttle):
        return mechanism.kbit > 0
    return isinstance(mechanism, SynLimit) and not mechanism.spent


def test_scenario_does_what_it_says(lab: LabClient, scenario: Scenario) -> None:
    lab.apply(scenario)
    assert fnmatch(lab.look("cli", scenario.url, scenario.at), scenario.seen)
    deeds = lab.deeds()
    assert fnmatch(lab.look("ctl", scenario.url, scenario.at), scenario.abroad)
    if not any(map(is_spared, scenario.mechanisms)):
        met = scenario.acts and not all(isinstance(one, QuicFilter) for one in scenario.mechanisms)
        assert bool(deeds) == met, deeds  # a plain client speaks TCP only
    lab.apply(OPEN)
    assert fnmatch(lab.look("cli", scenario.url, scenario.at), scenario.undone), "the scenario was not undone"


@pytest.mark.parametrize(
    ("mechanism", "url", "seen"),
    [
        (AddressFilter(addresses=(NEWS6,), action="drop"), "https://news.example/", "tcp timeout"),
        (AddressFilter(addresses=(NEWS6,), action="reset"), "https://news.example/", "tcp reset"),
        (HelloFilter(names=("news.example",), action="reset"), "https://news.example/", "tls reset"),
        (HelloFilter(names=("news.example",), action="drop"), "https://news.example/", "tls timeout"),
        (HelloFilter(names=("news.example",), action="fin"), "https://news.example/", "tls eof"),
        (Throttle(names=("news.example",), kbit=0), "https://news.example/", "tls timeout"),
        (HostFilter(names=("news.example",), action="page"), "http://news.example/", "http 200 Access denied"),
        (HttpProxy(names=("news.example",)), "http://news.example/", "http 403 Access denied"),
        (TlsInterception(), "https://news.example/", BOOK["tls-intercepted"].seen),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value.replace(" ", "-"),
)
def test_censor_speaks_ipv6(lab: LabClient, mechanism: Mechanism, url: str, seen: str) -> None:
    lab.apply(Scenario(name="six", about="", mechanisms=(mechanism,), expect=ACCESSIBLE, seen=seen))
    assert lab.look("cli", url, NEWS6) == seen
    assert lab.deeds()
    assert lab.look("ctl", url, NEWS6) == "http 200 news.example"


@pytest.mark.parametrize("name", ["dns-injected", "tls-reset", "http-redirect", "tls-intercepted"])
def test_runs_without_root(tmp_path: Path, name: str) -> None:
    lab = LabClient(tmp_path, rootless=True)
    try:
        lab.apply(BOOK[name])
        assert lab.look("cli", BOOK[name].target) == BOOK[name].seen
        assert lab.deeds()
    finally:
        lab.close()


def test_hops_are_in_order(lab: LabClient) -> None:
    lab.apply(BOOK["no-network"])  # a cable that was out must come back whole
    lab.apply(OPEN)
    for address, hops in (
        ("203.0.113.10", ["10.10.0.1", "10.10.1.1", "10.10.2.1", "10.10.3.1", "203.0.113.254", "203.0.113.10"]),
        ("192.0.2.10", ["10.10.0.1", "10.10.1.1", "10.10.2.1", "10.10.3.1", "192.0.2.10"]),
        ("2001:db8:113::13", [*(f"2001:db8:a{n}::1" for n in range(4)), "2001:db8:a4::2", "2001:db8:113::13"]),
    ):
        code, out, err = lab.run("cli", ["traceroute", "-n", "-q1", "-w1", address])
        assert code == 0, err
        assert [line.split()[1] for line in out.splitlines()[1:]] == hops


def test_delay_is_what_was_asked_for(lab: LabClient) -> None:
    lab.apply(Scenario(name="far", about="", mechanisms=(Delay(rtt=100),), expect=ACCESSIBLE, seen=""))
    _, out, _ = lab.run("cli", ["ping", "-q", "-c5", "-i.2", "203.0.113.10"])
    average = float(out.rsplit("=", 1)[1].split("/")[1])
    assert 99 < average < 115


def test_many_sites_some_of_them_black_holed(tmp_path: Path) -> None:
    lab = LabClient(tmp_path)
    try:
        urls = lab.many_sites(300, dead=0.3)
        assert len(set(urls)) == 300
        assert [lab.look("cli", url) for url in urls[:4]] == ["http 200 one of many"] * 3 + ["tcp timeout"]
        assert {deed.action for deed in lab.deeds()} == {"drop"}
    finally:
        lab.close()


def test_there_is_no_way_out(lab: LabClient) -> None:
    lab.apply(OPEN)
    for where in ("cli", "ctl", "srv"):
        _, out, _ = lab.run(where, ["ping", "-n", "-c1", "-W1", "192.88.99.1"])
        assert "Unreachable" in out, f"{where} has a route to the world: {out}"
    assert "203.0.113" not in Path("/proc/net/fib_trie").read_text()


def test_everything_dies_with_its_owner(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from tests.lab.client import LabClient\n"
            "LabClient(Path(sys.argv[1])); print('up', flush=True); time.sleep(60)",
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
        env=environment(),
    )
    with owner:
        assert owner.stdout
        assert owner.stdout.readline() == b"up\n"
        assert using(tmp_path)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
    end = time.monotonic() + 20
    while left := using(tmp_path):
        assert time.monotonic() < end, f"still running: {left}"
        time.sleep(0.1)


def using(folder: Path) -> list[str]:
    """Return the command lines of processes that work in `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "cwd").startswith(str(folder)):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it ended
            continue
    return found
