import contextlib
import csv
import gzip
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.probe.world import SITE, World

TRACE = ("check", "https://open.test/", "--nettest", "trace")
COMMANDS = (
    "check", "run", "status", "list", "show", "events", "judge", "detect", "export", "import", "control", "config",
    "store", "alert", "redaction", "key", "report", "verify",
)  # fmt: skip
FIELDS = [
    "schema", "target", "outcome", "mechanism", "trigger", "where", "pattern", "confidence", "reason", "summary",
    "findings", "rules_version", "vantage", "measurement",
]  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as made:
        yield made


def wait_for(what: object, seconds: float = 30.0) -> None:
    """Wait until `what()` is true."""
    assert callable(what)
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def stored(world: World) -> list[dict[str, Any]]:
    listed = world.wazi("list", "--json")
    return lines(listed.stdout) if listed.returncode == 0 else []


def end(process: subprocess.Popen[str], *signals: int) -> tuple[int, str, str, float]:
    """Send signals, half a second apart, and wait; returns code, stdout, stderr and the seconds it took."""
    began = time.monotonic()
    for number, kind in enumerate(signals):
        time.sleep(0.5 * bool(number))
        process.send_signal(kind)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err, time.monotonic() - began


def test_help_lists_each_command(world: World) -> None:
    text = world.wazi("--help").stdout
    for command in COMMANDS:
        assert f"\n  {command} " in text


def test_an_open_site_is_shown_on_one_screen_and_nothing_is_kept(world: World) -> None:
    before = sorted(world.folder.iterdir())
    ran = world.wazi("check", world.url())
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(f"ACCESSIBLE  {world.url()}\n")
    assert "200, 71 B “Open”" in ran.stdout
    assert "\x1b" not in ran.stdout
    assert ran.stderr == ""
    assert sorted(world.folder.iterdir()) == before


def test_json_has_the_agreed_fields_and_bodies_only_when_asked_for(world: World) -> None:
    for flags, body in (((), False), (("--bodies",), True)):
        ran = world.wazi("check", "--json", *flags, world.url())
        assert ran.returncode == 0
        (record,) = lines(ran.stdout)
        assert list(record) == FIELDS
        assert record["outcome"] == "accessible"
        (page,) = [step for step in record["measurement"]["observations"] if step["type"] == "http_exchange"]
        assert bool(page["body"]) is body
        assert page["status"] == 200


def test_urls_come_from_arguments_a_list_and_stdin_each_once(world: World) -> None:
    (world.folder / "list.csv").write_text(f"url\n{world.url()}\n{world.url('other.test')}\n")
    ran = world.wazi("check", "--json", "-", world.url(), "--file", "list.csv", stdin=world.url(path="/x") + "\n")
    wanted = {world.url(), world.url("other.test"), world.url(path="/x")}
    assert {record["target"] for record in lines(ran.stdout)} == wanted
    assert len(lines(ran.stdout)) == 3


def test_a_bad_line_of_a_list_is_refused_by_number_unless_it_may_be_skipped(world: World) -> None:
    (world.folder / "list.csv").write_text(f"url\n{world.url()}\nhttp://user@open.test/\n")
    refused = world.wazi("check", "--file", "list.csv")
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert "list.csv line 3" in refused.stderr
    assert world.wazi("check", "--file", "list.csv", "--skip-bad-lines").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check"], "nothing to check"),
        (["check", "ftp://open.test/"], "only http and https"),
        (["check", "https://open.test/", ""], "argument 2 of check, '', is empty"),
        (
            ["check", "https://open.test/", "--nettest", "smell"],
            "one of dns, quic, tcp, throttling, trace, web",
        ),
        (["check", "https://open.test/", "--pcap", "p.pcap"], "add --nettest trace"),
        ([*TRACE, "https://other.test/", "--pcap", "p.pcap"], "of one target, and 2 were given"),
        ([*TRACE, "--pcap", "wazi.toml"], "exists already"),
        ([*TRACE, "--pcap", "no/such/p.pcap"], "there is no folder"),
        (["check", "https://open.test/", "--resolver", "here"], "resolver"),
        (["check", "https://open.test/", "--timeout", "soon"], "duration"),
        (["check", "https://open.test/", "--ca-file", "nothing.pem"], "nothing.pem"),
        (["check", "--file", "nothing.csv"], "nothing.csv"),
        (["--config", "nothing.toml", "config", "check"], "nothing.toml"),
        (["smell"], "No such command"),
        (["judge", "nothing.jsonl"], "there is no such file"),
        (["show", "abc"], "no store"),
        (["list"], "no store"),
        (["export", "--format", "smoke"], "must be one of csv, jsonl"),
        (["control", "serve", "--listen", "nowhere"], "nowhere"),
    ],
)
def test_a_wrong_command_ends_with_two_and_a_sentence(world: World, arguments: list[str], words: str) -> None:
    ran = world.wazi(*arguments)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert words in ran.stderr
    assert "Traceback" not in ran.stderr
    assert all(line.startswith("wazi: ") for line in ran.stderr.splitlines())


def test_a_site_that_cannot_be_judged_ends_with_three(world: World) -> None:
    ran = world.wazi("check", "https://gone.test/", world.url())
    assert ran.returncode == 3
    assert "INCONCLUSIVE  https://gone.test/" in ran.stdout
    assert f"ACCESSIBLE  {world.url()}" in ran.stdout


def test_without_a_resolver_the_network_is_invalid(world: World) -> None:
    ran = world.wazi("check", "--json", world.url(), "--resolver", f"{SITE}:{world.port}")
    assert ran.returncode == 3
    (record,) = lines(ran.stdout)
    assert record["outcome"] == "invalid"
    assert record["measurement"]["preconditions"]["reason"] == "offline"


def test_one_nettest_can_be_chosen(world: World) -> None:
    ran = world.wazi("check", "--json", "--nettest", "dns", world.url())
    (record,) = lines(ran.stdout)
    assert record["measurement"]["nettest"] == "dns"
    taken = {step["type"] for step in record["measurement"]["observations"]}
    assert "dns_lookup" in taken
    assert not taken & {"tls_handshake", "http_exchange"}


def test_ctrl_c_ends_a_check_at_once_and_prints_what_was_measured(world: World) -> None:
    process = world.start("check", "--json", world.url("silent.test"), world.url())
    assert process.stdout
    first = process.stdout.readline()
    time.sleep(0.5)
    code, out, err, seconds = end(process, signal.SIGINT)
    assert code == 130
    assert seconds < 3
    assert err == ""
    assert json.loads(first)["target"] == world.url()
    (cut,) = lines(out)
    assert cut["target"] == world.url("silent.test")
    assert cut["measurement"]["limits"] == ["stopped"]
    assert "interrupted" in [step["failure"] for step in cut["measurement"]["observations"]]
    assert cut["outcome"] in ("inconclusive", "invalid")


def test_a_deadline_keeps_what_was_seen(world: World) -> None:
    ran = world.wazi("check", "--json", world.url("silent.test"), "--timeout", "1s")
    assert ran.returncode == 3
    (record,) = lines(ran.stdout)
    assert record["measurement"]["limits"] == ["measurement_timeout"]
    assert [step["type"] for step in record["measurement"]["observations"]].count("tcp_connect") == 1


def test_a_reader_that_leaves_is_no_error(world: World) -> None:
    process = world.start("config", "show")
    assert process.stdout
    process.stdout.close()
    assert process.stderr
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(20) == 141


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", ">&- 2>&-", ">/dev/full 2>/dev/full"])
def test_a_result_that_cannot_be_written_is_told_in_a_sentence(world: World, redirection: str) -> None:
    for arguments in (("--help",), ("--version",), ("config", "show"), ("check", "--json", world.url())):
        command = f"{shlex.join(world.argv(*arguments))} {redirection}"
        ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, cwd=world.folder)
        assert ran.returncode == 74
        assert ran.stdout == ""
        told = "wazi: the result cannot be written to stdout: "
        assert ran.stderr == "" if "2>" in redirection else ran.stderr.startswith(told)
        assert ran.stderr.count("\n") == ("2>" not in redirection)


def test_closed_streams_change_nothing_but_what_is_seen(world: World) -> None:
    command = f"{shlex.join(world.argv('check', '--json', world.url()))} 2>&- <&-"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, cwd=world.folder)
    assert ran.returncode == 0
    assert lines(ran.stdout)[0]["outcome"] == "accessible"


MISTAKEN = """
import sys
import probe.nettests
from probe.cli import main

async def mistaken(target, net):
    raise RuntimeError("boom at " + " and ".join(sorted(net.own_addresses)))

probe.nettests.NETTESTS["web"] = mistaken
main()
"""


def test_a_mistake_of_ours_is_told_without_traceback_or_address(world: World) -> None:
    """Run in a network of its own with one address, which nothing leaves."""
    setup = "ip link set lo up; ip addr add 10.1.2.3/24 dev lo"
    (world.folder / "mistaken.py").write_text(MISTAKEN)
    for flags in ("", "--verbose "):
        command = (
            f"{setup}; ip route add default dev lo src 10.1.2.3; exec {shlex.quote(sys.executable)} mistaken.py {flags}"
        )
        options = f"--config {shlex.quote(str(world.config))} check --json {world.url()}"
        ran = subprocess.run(
            ["unshare", "-rn", "bash", "-c", command + options],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=world.folder,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )
        assert ran.returncode == 3
        assert lines(ran.stdout)[0]["reason"] == "error"
        assert "the nettest web failed" in ran.stderr
        assert ("Traceback" in ran.stderr) == bool(flags)
        assert ("boom at [redacted:address]" in ran.stderr) == bool(flags)
        assert "10.1.2.3" not in ran.stdout + ran.stderr


def test_run_keeps_what_it_measures_and_every_command_finds_it(world: World) -> None:
    world.write_config(world.url(), world.url("other.test"))
    process = world.start("run")
    wait_for(lambda: len(stored(world)) == 2)
    assert world.wazi("status", "--health").returncode == 0
    second = world.wazi("run")
    assert second.returncode == 2
    assert "wazi.db" in second.stderr
    code, out, err, seconds = end(process, signal.SIGTERM)
    assert (code, out) == (0, "")
    assert seconds < 5
    assert world.wazi("status", "--health").returncode == 1

    events = lines(err)
    assert [event["event"] for event in events][-1] == "stopped"
    assert "open.test" not in err
    assert "127.0.0" not in err

    entries = stored(world)
    assert {entry["url"] for entry in entries} == {world.url(), world.url("other.test")}
    assert sorted(entry["sequence"] for entry in entries) == [1, 2]
    assert {entry["verdict"]["outcome"] for entry in entries} == {"accessible"}
    identifier = str(entries[0]["id"])
    assert world.wazi("list", "--outcome", "blocked").stdout == ""
    assert identifier[:8] in world.wazi("list", "--since", "1h", "--target", str(entries[0]["url"])).stdout

    shown = world.wazi("show", identifier[:10])
    assert "site.accessible" in shown.stdout
    assert "steps (* is cited as evidence)" in shown.stdout
    (record,) = lines(world.wazi("show", identifier, "--json", "--bodies").stdout)
    assert record["measurement"]["id"] == identifier
    assert world.wazi("show", "0000000000").returncode == 2

    told = world.wazi("status").stdout
    assert "2 accessible" in told
    assert re.search(r"chain    2 of probe \w+; signed up to 2 at .* with key [0-9a-f]{16}\n", told)
    (record,) = lines(world.wazi("status", "--json").stdout)
    assert record["alive"] is False
    assert record["store"]["measurements"] == 2

    rows = list(csv.DictReader(world.wazi("export", "--format", "csv").stdout.splitlines()))
    assert [row["outcome"] for row in rows] == ["accessible", "accessible"]
    written = world.wazi("export", "--format", "jsonl", "--output", "out.jsonl", "--target", "open.test")
    assert written.returncode == 0
    (record,) = lines((world.folder / "out.jsonl").read_text())
    assert list(record) == FIELDS
    judged = world.wazi("judge", "--json", "out.jsonl")
    assert judged.returncode == 0, judged.stderr
    assert lines(judged.stdout)[0]["outcome"] == "accessible"
    assert world.wazi("store", "upgrade").returncode == 0
    assert (world.folder / "probe-id").stat().st_mode & 0o777 == 0o600


def test_sigterm_stores_what_runs_within_ten_seconds_and_a_second_one_is_faster(world: World) -> None:
    world.write_config(world.url("silent.test"), world.url())
    taken = []
    for signals in ((signal.SIGTERM,), (signal.SIGTERM, signal.SIGINT)):
        (world.folder / "heartbeat.json").unlink(missing_ok=True)
        before = len(stored(world))
        process = world.start("run")
        wait_for(lambda known=before: len(stored(world)) == known + 1)
        code, _, err, seconds = end(process, *signals)
        assert code == 0, err
        taken.append(seconds)
        assert len(stored(world)) == before + 2
    assert taken[1] < taken[0] < 10
    (cut,) = lines(world.wazi("export", "--format", "jsonl", "--target", "silent.test").stdout)[:1]
    assert cut["measurement"]["limits"] == ["stopped"]
    assert cut["outcome"] != "blocked"


def test_a_probe_that_was_killed_is_not_said_to_run(world: World) -> None:
    process = world.start("run")
    wait_for(lambda: stored(world))
    assert "running; " in world.wazi("status").stdout
    end(process, signal.SIGKILL)
    assert "not running, last seen" in world.wazi("status").stdout
    assert world.wazi("status", "--health").returncode == 1


def test_a_restart_does_not_measure_again_what_is_not_due(world: World) -> None:
    for _ in range(2):
        process = world.start("run")
        wait_for(lambda: len(stored(world)) == 1)
        time.sleep(1.0)
        assert end(process, signal.SIGTERM)[0] == 0
    assert len(stored(world)) == 1


def test_a_store_that_cannot_grow_stops_measuring_with_a_sentence(world: World) -> None:
    world.write_config(*(world.url(path=f"/{number}") for number in range(40)))
    size = 300_000  # bytes a file may have: the tables fit, the measurements do not
    process = world.wazi("run", file_size=size)
    assert process.returncode == 1, process.stderr
    assert "Measuring has stopped." in process.stderr
    assert "Traceback" not in process.stderr
    kept = stored(world)
    assert 0 < len(kept) < 40
    assert world.wazi("show", str(kept[0]["id"])).returncode == 0


def test_no_network_becomes_one_invalid_measurement_and_a_gap(world: World) -> None:
    world.write_config(world.url(), world.url("other.test"), world.url(path="/x"))
    world.dns.shutdown()
    world.dns.server_close()
    process = world.start("run")
    wait_for(lambda: len(stored(world)) == 1)
    time.sleep(1.0)
    assert end(process, signal.SIGTERM)[0] == 0
    assert [entry["verdict"]["outcome"] for entry in stored(world)] == ["invalid"]
    (record,) = lines(world.wazi("status", "--json").stdout)
    (gap,) = record["gaps"]
    assert gap["why"] in ("offline", "outage"), "as this machine has a route to the internet or none"
    assert gap["since"] <= gap["failed"] <= gap["until"]
    listed = world.wazi("list").stdout.splitlines()
    assert [line.split()[0] == "gap" for line in listed] == [True, False], "the newest first"
    assert f", {gap['why']}: Campaign main: " in listed[0]
    assert listed[0] in world.wazi("status").stdout
    assert len(world.wazi("list", "--outcome", "invalid").stdout.splitlines()) == 1


def test_what_was_killed_leaves_a_gap_that_is_shown_while_it_lasts_and_after(world: World) -> None:
    process = world.start("run")
    wait_for(lambda: stored(world))
    end(process, signal.SIGKILL)
    heartbeat = world.folder / "heartbeat.json"
    beat = json.loads(heartbeat.read_text())
    for key in ("alive", "started"):
        beat[key] -= 7200.0
    beat["campaigns"][0]["last_run"] -= 7200.0
    heartbeat.write_text(json.dumps(beat))  # it was killed two hours ago
    listed = world.wazi("list").stdout.splitlines()
    assert "off: No sign of life: it was killed, or the power failed." in listed[0]
    process = world.start("run")
    wait_for(lambda: len(stored(world)) >= 2)
    end(process, signal.SIGTERM)
    (record,) = lines(world.wazi("status", "--json").stdout)
    (gap,) = [gap for gap in record["gaps"] if gap["why"] == "off"]
    assert gap["since"] == beat["alive"]
    assert "Wazi was killed" in gap["detail"]
    assert "runs that were due meanwhile: 1" in gap["detail"]


def test_the_second_opinion_can_be_served_and_asked(world: World) -> None:
    process = world.start("control", "serve", "--listen", f"{SITE}:0", "--allow-private", "--give", "1")
    assert process.stderr
    announced = process.stderr.readline()
    control = announced.split()[-1]
    ran = world.wazi("check", "--json", "--control", control, world.url())
    (record,) = lines(ran.stdout)
    (query,) = [step for step in record["measurement"]["observations"] if step["type"] == "control_query"]
    assert query["failure"] is None
    given = [httpx.get(f"{control}bytes/{size}", trust_env=False).status_code for size in (1 << 20, 1)]
    assert given == [200, 429]  # one MiB an hour
    assert end(process, signal.SIGTERM)[0] == 0


OONI = {
    "test_name": "web_connectivity",
    "test_version": "0.4.3",
    "input": "https://site.example/",
    "measurement_start_time": "2026-11-01 10:00:00",
    "probe_asn": "AS64500",
    "probe_cc": "KE",
    "test_keys": {
        "queries": [
            {
                "engine": "system",
                "failure": None,
                "hostname": "site.example",
                "query_type": "A",
                "answers": [{"answer_type": "A", "ipv4": "10.10.34.35"}],
            }
        ],
        "tcp_connect": [],
        "requests": [],
        "control": {
            "tcp_connect": {},
            "http_request": {"body_length": 5000, "failure": None, "title": "T", "headers": {}, "status_code": 200},
            "dns": {"failure": None, "addrs": ["93.184.216.34"]},
        },
    },
}


def test_judge_names_bad_lines_judges_the_rest_and_counts_them(world: World) -> None:
    good = world.wazi("check", "--json", world.url()).stdout
    fine = world.wazi("judge", "-", "--json", stdin=good)
    assert fine.returncode == 0
    assert lines(fine.stdout)[0]["outcome"] == "accessible"

    (world.folder / "mixed.jsonl").write_text(good + "junk\n" + good)
    mixed = world.wazi("judge", "mixed.jsonl", "--json")
    assert mixed.returncode == 3
    assert len(lines(mixed.stdout)) == 2
    assert mixed.stderr.startswith("wazi: mixed.jsonl:2: no JSON")

    (world.folder / "ooni.jsonl.gz").write_bytes(gzip.compress(json.dumps(OONI).encode()))
    blocked = world.wazi("judge", "mixed.jsonl", "ooni.jsonl.gz")
    assert blocked.returncode == 1
    assert "blocked      dns.bogon" in blocked.stdout
    assert world.wazi("judge", "-").returncode == 3


def redirected_from(record: dict[str, Any], hops: int) -> dict[str, Any]:
    """Make of a measured page the end of so many redirects."""
    measurement = record["measurement"]
    steps = measurement["observations"]
    connection = next(step for step in steps if step["type"] == "tcp_connect")
    page = next(step for step in steps if step["type"] == "http_exchange")
    chain: list[dict[str, Any]] = []
    for number in range(1, 2 * hops, 2):
        chain.append({**connection, "id": number, "cause": number - 1 or None})
        chain.append({**page, "id": number + 1, "cause": number, "redirect": f"https://h{number}.test/", "body": ""})
    return {**record, "measurement": {**measurement, "observations": chain}}


def test_a_record_that_no_rule_can_take_is_named_and_the_rest_goes_on(world: World) -> None:
    good = world.wazi("check", "--json", world.url()).stdout
    record = json.loads(good)
    steps = record["measurement"]["observations"]
    lookup = next(step for step in steps if step["type"] == "dns_lookup")
    hop = {"type": "hop", "id": 90, "address": "nowhere", "port": 443, "probe": "hello", "ttl": 3, "router": "nobody"}
    odd: list[dict[str, Any]] = [
        {**record["measurement"], "target": {**record["measurement"]["target"], "url": "http://[::1"}},
        {**record["measurement"], "observations": [*steps, hop]},
        {**record["measurement"], "observations": [{**lookup, "replies": []}]},
    ]
    chain = json.dumps(redirected_from(record, 1500))
    (world.folder / "odd.jsonl").write_text("\n".join([*map(json.dumps, odd), chain, good.strip()]))
    ran = world.wazi("judge", "odd.jsonl", "--json")
    assert ran.returncode == 3
    assert "Traceback" not in ran.stderr
    complaints = ran.stderr.splitlines()
    assert complaints[0] == "wazi: odd.jsonl:1: cannot be judged: Invalid IPv6 URL"
    assert len(complaints) + len(lines(ran.stdout)) == 5
    assert lines(ran.stdout)[-1]["outcome"] == "accessible"
    assert "Traceback" in world.wazi("--verbose", "judge", "odd.jsonl").stderr


def test_a_terminal_gets_colour_and_progress_unless_it_wants_none(world: World) -> None:
    plain = on_terminal(world, "check", world.url(), world.url(path="/2"), NO_COLOR="1")
    assert "ACCESSIBLE  " in plain
    assert "\x1b[32m" not in plain
    assert "measuring" in plain
    assert "\x1b[32mACCESSIBLE\x1b[0m" in on_terminal(world, "check", world.url(), NO_COLOR="")


def on_terminal(world: World, *arguments: str, **environment: str) -> str:
    """Run a command with its output on a terminal; return what that saw."""
    outside, inside = os.openpty()
    process = world.start(*arguments, terminal=inside, TERM="xterm", **environment)
    os.close(inside)
    seen = b""
    with contextlib.suppress(OSError), open(outside, "rb", buffering=0) as terminal:  # EIO: all have left
        while block := terminal.read(4096):
            seen += block
    process.wait(20)
    return seen.decode()


def test_run_tells_verdicts_on_a_terminal(world: World) -> None:
    outside, inside = os.openpty()
    process = world.start("run", terminal=inside, TERM="xterm")
    os.close(inside)
    wait_for(lambda: len(stored(world)) == 1)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    seen = os.read(outside, 65536).decode()
    os.close(outside)
    assert "site.accessible" not in seen
    assert world.url() in seen
    assert "accessible" in seen
    assert '{"' not in seen


def test_settings_can_be_checked_and_shown(world: World) -> None:
    assert "1 campaign with 1 target" in world.wazi("config", "check").stdout
    shown = world.wazi("config", "show").stdout
    assert "network.trusted_resolvers = " in shown
    assert "wazi.toml line" in shown
    assert {"section", "key", "value", "origin"} <= lines(world.wazi("config", "show", "--json").stdout)[0].keys()
    assert world.wazi("config", "check", WAZI_NETWORK__DNS_TIMEOUT="often").returncode == 2


def test_the_module_can_be_run_and_knows_its_version() -> None:
    ran = subprocess.run([sys.executable, "-m", "probe.cli", "--version"], capture_output=True, text=True)
    assert ran.stdout.startswith("wazi ")
