"""Settings: four layers, every mistake in a sentence, and documents that cannot lie."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from measurements.fingerprints import COLUMNS
from measurements.model import View
from probe.nettests import NETTESTS
from probe.network import Limits, Resolver, Witness
from probe.schedule import Window
from probe.settings import Settings, SettingsError, load, system_resolver, values
from probe.settings.layers import from_environment, from_file, lay
from probe.settings.moments import estimates, remarks
from probe.settings.quantities import duration, show_duration, show_size, size, time_window
from probe.settings.sections import SECTIONS, names
from probe.settings.shipped import shipped

ROOT = Path(__file__).parents[2]


def load_toml(folder: Path, text: str, environ: Mapping[str, str] | None = None, **sections: Any) -> Settings:
    file = folder / "wazi.toml"
    file.write_text(text, "utf-8")
    return load(file, sections, environ=environ or {})


def told(settings: Settings) -> dict[str, Any]:
    """Return what settings say, wherever it was written."""
    return {section: getattr(settings, section) for section in type(settings).model_fields}


def complaints(folder: Path, text: str, environ: Mapping[str, str] | None = None, **sections: Any) -> list[str]:
    """Load settings that are wrong; returns the sentences, with the file's folder left out."""
    with pytest.raises(SettingsError) as refused:
        load_toml(folder, text, environ, **sections)
    return str(refused.value).replace(f"{folder}/", "").splitlines()


# Layers


def test_nothing_is_needed() -> None:
    settings = load(None, environ={}, folders=())
    assert told(settings) == told(Settings())
    assert settings.limits() == Limits()
    assert [campaign.name for campaign in settings.campaigns] == ["global"]
    assert {row.origin for row in settings.shown()} == {"default"}


def test_a_flag_outdoes_a_variable_outdoes_the_file(tmp_path: Path) -> None:
    text = '[network]\nredirects = 1\naddresses = 1\nmax_hops = 1\nipv6 = false\n[vantage]\ncountry = "ke"\n'
    environ = {"WAZI_NETWORK__ADDRESSES": "2", "WAZI_NETWORK__MAX_HOPS": "2", "WAZI_VANTAGE__ASN": "AS64496"}
    settings = load_toml(tmp_path, text, environ, network={"max_hops": 3, "ipv6": None})
    network = settings.network
    assert (network.redirects, network.addresses, network.max_hops, network.ipv6) == (1, 2, 3, False)
    assert (settings.vantage.country, settings.vantage.asn) == ("KE", 64496)
    origins = {(row.section, row.key): row.origin for row in settings.shown()}
    assert origins["network", "redirects"] == f"{tmp_path}/wazi.toml line 2"
    assert origins["network", "addresses"] == "WAZI_NETWORK__ADDRESSES"
    assert origins["network", "max_hops"] == "the command line"
    assert origins["network", "tcp_timeout"] == "default"


@pytest.mark.parametrize(
    "text", ["a.example,b.example", " a.example , b.example,", '["a.example", {"name": "b.example"}]']
)
def test_a_list_in_a_variable_has_commas_or_is_json(text: str) -> None:
    settings = load(None, environ={"WAZI_NETWORK__WITNESSES": text}, folders=())
    assert settings.network.witnesses == (Witness("a.example"), Witness("b.example"))


def test_an_empty_variable_counts_as_not_set() -> None:
    settings = load(None, environ={"WAZI_NETWORK__CA_FILE": "", "WAZI_CONTROL__URLS": " "}, folders=())
    assert told(settings) == told(Settings())


def test_campaigns_in_the_environment_are_one_json_list() -> None:
    text = '[{"name": "mine", "targets": ["https://example.org"], "every": "2h"}]'
    (campaign,) = load(None, environ={"WAZI_CAMPAIGN": text}, folders=()).campaigns
    assert (campaign.name, campaign.every, [t.url for t in campaign.targets]) == (
        "mine",
        7200,
        ["https://example.org/"],
    )


def test_the_file_is_the_named_one_then_the_variables_then_the_first_folders(tmp_path: Path) -> None:
    for name in ("named", "variable", "user", "system"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "wazi.toml").write_text(f'[vantage]\nprobe_id = "{name}"\n')
    folders = [tmp_path / "nowhere", tmp_path / "user", tmp_path / "system"]
    environ = {"WAZI_CONFIG": str(tmp_path / "variable/wazi.toml")}

    def chosen(path: Path | None, environ: Mapping[str, str]) -> str | None:
        return load(path, environ=environ, folders=folders).vantage.probe_id

    assert chosen(tmp_path / "named/wazi.toml", environ) == "named"
    assert chosen(None, environ) == "variable"
    assert chosen(None, {}) == "user"
    (tmp_path / "user/wazi.toml").unlink()
    assert chosen(None, {}) == "system"


def test_a_process_finds_the_file_in_the_users_folder(tmp_path: Path) -> None:
    (tmp_path / "wazi").mkdir()
    (tmp_path / "wazi/wazi.toml").write_text('[vantage]\ncountry = "TZ"\n')
    code = "from probe.settings import load; s = load(); print(s.vantage.country, s.network.redirects, s.store.url)"
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "XDG_DATA_HOME": "/data", "WAZI_NETWORK__REDIRECTS": "3"}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )
    assert ran.stdout == "TZ 3 sqlite:////data/wazi/wazi.db\n"


def test_relative_paths_are_taken_from_the_files_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("url\nhttps://example.org/\n")
    (tmp_path / "bogons.csv").write_text("prefix,why\n192.0.2.0/24,ours\n")
    text = '[network]\nbogons = "bogons.csv"\n[store]\nurl = "sqlite:///db/wazi.db"\n'
    text += '[[campaign]]\nname = "a"\ntargets = "mine.csv"\n'
    settings = load_toml(tmp_path, text)
    assert settings.bogons().why("192.0.2.1") == "ours"
    assert settings.bogons().why("10.0.0.1") is None
    assert settings.store.url == f"sqlite:///{tmp_path}/db/wazi.db"
    assert settings.campaigns[0].targets[0].host == "example.org"


# What settings become


def test_every_limit_is_a_setting_with_the_limits_own_default() -> None:
    changed = {limit.name: getattr(Limits(), limit.name) * 2 or 1 for limit in fields(Limits)}
    changed["measurement_timeout"] = 100.0
    settings = load(None, {"network": changed}, environ={}, folders=())
    assert settings.limits() == Limits(**changed)


def test_peers_are_whom_the_settings_name(tmp_path: Path) -> None:
    settings = load_toml(
        tmp_path,
        """
        [network]
        resolver = "192.0.2.53"
        trusted_resolvers = ["https://198.51.100.1/dns-query"]
        witnesses = ["One.example.", { name = "two.example", domestic = true }]
        [control]
        urls = ["https://control.example", "http://192.0.2.9:8080/x"]
        """,
    )
    peers = settings.peers()
    assert peers.local == Resolver("192.0.2.53:53", View.LOCAL)
    assert peers.trusted == (Resolver("https://198.51.100.1/dns-query", View.TRUSTED),)
    assert peers.witnesses == (Witness("one.example"), Witness("two.example", domestic=True))
    assert peers.controls == ("https://control.example/", "http://192.0.2.9:8080/x")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("search home\n# nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n", "192.0.2.2:53"),
        ("nameserver fe80::1%eth0\nnameserver 2001:db8::53 # v6\n", "[2001:db8::53]:53"),
        ("nameserver nonsense\nnameserver\n\nnameserver 127.0.0.11", "127.0.0.11:53"),
        ("search home\n", None),
        ("", None),
    ],
)
def test_the_systems_resolver_is_the_first_that_can_be_asked(tmp_path: Path, text: str, address: str | None) -> None:
    (tmp_path / "resolv.conf").write_text(text)
    assert system_resolver(tmp_path / "resolv.conf") == address
    expected = Resolver(address, View.LOCAL) if address else None
    assert Settings().peers(tmp_path / "resolv.conf").local == expected


def test_without_resolv_conf_there_is_no_system_resolver(tmp_path: Path) -> None:
    assert system_resolver(tmp_path / "nothing") is None
    (tmp_path / "endless").write_bytes(b"#" * 70_000)
    assert system_resolver(tmp_path / "endless") is None


def test_a_campaign_says_all_that_the_schedule_needs(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("url,category_code\nhttps://a.example,NEWS\nhttps://a.example/\nnonsense\n")
    text = """
        [network]
        skip_bad_lines = true
        [[campaign]]
        name = "news"
        targets = "list.csv"
        nettest = "dns"
        every = "15m"
        jitter = 30
        window = "22:00-06:30"
        [[campaign]]
        name = "shipped"
        """
    settings = load_toml(tmp_path, text)
    news, from_us = settings.campaigns
    assert (news.name, news.nettest, news.every, news.jitter) == ("news", "dns", 900.0, 30.0)
    assert news.window == Window(22 * 3600, 6.5 * 3600)
    assert [(t.url, t.category) for t in news.targets] == [("https://a.example/", "NEWS")]
    assert from_us.targets == Settings().campaigns[0].targets
    assert [remark.removeprefix(f"{tmp_path}/") for remark in settings.remarks] == [
        "list.csv line 4: nonsense has no scheme; write https:// before it",
        "list.csv line 3: https://a.example/ is on line 2 already",
    ]


def test_settings_do_not_change() -> None:
    settings = Settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.network.redirects = 3
    with pytest.raises(ValueError, match="frozen"):
        settings.network = settings.network


def test_a_ca_file_may_be_named(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes("# Autorité\n".encode() + trustme.CA().cert_pem.bytes())
    assert load_toml(tmp_path, '[network]\nca_file = "ca.pem"').network.ca_file == file


HEAD = ",".join(COLUMNS)


def test_lists_of_fingerprints_stand_beside_ours_or_instead(tmp_path: Path) -> None:
    """If a folder and a file are named, each row is theirs, under the file's name and the digest of its bytes."""
    (tmp_path / "lists").mkdir()
    for name in ("b.csv", "a.csv"):
        (tmp_path / "lists" / name).write_bytes(f"\ufeff{HEAD}\n{name},isp,,body,contains,blocked,,,,,\n".encode())
    (tmp_path / "lists/Readme.md").write_text("no list")
    ours = len(Settings().fingerprints.rows)
    beside = load_toml(tmp_path, '[network]\nfingerprints = ["shipped", "lists"]')
    assert len(beside.fingerprints.rows) == ours + 2
    instead = load_toml(tmp_path, '[network]\nfingerprints = "lists/b.csv, lists"').fingerprints.rows
    assert [row.name for row in instead] == ["b.csv", "a.csv", "b.csv"]
    digest = hashlib.sha256((tmp_path / "lists/a.csv").read_bytes()).hexdigest()
    assert instead[1].source == f"a.csv sha256:{digest}"
    assert load_toml(tmp_path, "[network]\nfingerprints = []").fingerprints.rows == ()
    variable = {"WAZI_NETWORK__FINGERPRINTS": f"shipped,{tmp_path}/lists/a.csv"}
    assert len(load(None, environ=variable, folders=()).fingerprints.rows) == ours + 1


def test_a_bad_fingerprint_is_told_by_line_and_column_or_left_out(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"{HEAD}\na,isp,,footer,full,abc,,,,,\nb,isp,,body,full,abc,,,,,\n")
    (tmp_path / "other.csv").write_bytes(b"\xff")
    text = '[network]\nfingerprints = ["list.csv", "other.csv"]\n'
    assert complaints(tmp_path, text) == [
        "list.csv line 2, location_found: 'footer' is no place; write body, title, header.NAME, dns or "
        "certificate.issuer|subject|san|sha256",
        "other.csv line 1: is not UTF-8; save the file as UTF-8",
    ]
    settings = load_toml(tmp_path, '[network]\nfingerprints = "list.csv"\nskip_bad_lines = true\n')
    assert [row.name for row in settings.fingerprints.rows] == ["b"]
    assert [remark.replace(f"{tmp_path}/", "")[:34] for remark in settings.remarks] == [
        "list.csv line 2, location_found: '"
    ]


def test_a_folder_without_lists_or_with_too_many_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    text = '[network]\nfingerprints = "lists"\n'
    assert complaints(tmp_path, text) == ["lists: holds 0 CSV files, not 1 to 20; name the files instead"]
    for number in range(21):
        (tmp_path / f"lists/{number}.csv").write_text(HEAD)
    assert complaints(tmp_path, text) == ["lists: holds 21 CSV files, not 1 to 20; name the files instead"]


# Moments


def test_a_moment_is_read_with_its_own_list_or_the_campaigns(tmp_path: Path) -> None:
    (tmp_path / "short.csv").write_text("url\nhttps://b.example/\n")
    text = """
        [[campaign]]
        name = "calm"
        [[campaign]]
        name = "vote"
        targets = ["https://a.example/", "https://b.example/"]
        [[campaign.moment]]
        from = 2026-12-02T18:00:00+03:00
        until = "2026-12-03T06:00+03:00"
        every = "2m"
        jitter = 10
        targets = "short.csv"
        [[campaign.moment]]
        from = "2026-12-01"
        until = "2026-12-01"
        every = "6m"
        """
    settings = load_toml(tmp_path, text)
    calm, vote = settings.campaigns
    assert calm.moments == ()
    first, second = vote.moments
    day = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    assert (first.since, first.until, first.every, first.jitter) == (day, day + 86_400, 360.0, 30.0)
    assert first.targets == vote.targets, "a date is a day in UTC, and the list is the campaign's"
    assert (second.since, second.until, second.every, second.jitter) == (day + 39 * 3600, day + 51 * 3600, 120.0, 10.0)
    assert [target.host for target in second.targets] == ["b.example"]
    (row,) = (row for row in settings.shown() if row.index == 1 and row.key == "moment")
    assert (
        row.value == "2026-12-02T15:00Z to 2026-12-03T03:00Z every 2m, 2026-12-01T00:00Z to 2026-12-02T00:00Z every 6m"
    )
    assert row.origin == f"{tmp_path}/wazi.toml line 7"


def test_moments_in_the_environment_are_in_the_json_list(tmp_path: Path) -> None:
    moment = {"from": "2026-12-01T12:00:30Z", "until": "2026-12-01", "every": "5m"}
    text = json.dumps([{"name": "a", "moment": [moment]}])
    settings = load(None, environ={"WAZI_CAMPAIGN": text}, folders=())
    assert settings.campaign[0].moment[0].since == datetime(2026, 12, 1, 12, 0, 30, tzinfo=UTC)
    assert "2026-12-01T12:00:30Z to 2026-12-02T00:00Z" in str(settings.shown())


def test_moments_that_may_not_be_meant_get_a_remark_and_what_they_cost_is_told(tmp_path: Path) -> None:
    text = f"""
        {MOMENT}
        from = 2026-12-01T00:00:00Z
        until = 2026-12-01T12:00:00Z
        every = "2h"
        targets = ["https://a.example/"]
        [[campaign.moment]]
        from = 2026-12-03T06:00:00Z
        until = 2026-12-03T18:00:00Z
        every = "5m"
        """
    campaigns = load_toml(tmp_path, text).campaigns
    before, after = (datetime(2026, 12, day, tzinfo=UTC).timestamp() for day in (1, 5))
    calm, dear = remarks(campaigns, 50_000_000, before)
    assert calm == (
        "[[campaign.moment]] of a, from 2026-12-01T00:00Z: measures every 2h, which is less often than the campaign "
        "itself (every 1h)"
    )
    assert dear.startswith("[[campaign.moment]] of a, from 2026-12-03T06:00Z: on 2026-12-03 all campaigns would take")
    assert "about 280.8 MB" in dear, "144 runs in the moment and 12 around it, of 60 targets, 30 kB each"
    assert "data_per_day is 50.0 MB" in dear
    assert list(estimates(campaigns, before))[1] == (
        "moment of a from 2026-12-03T06:00Z to 2026-12-03T18:00Z: 144 runs of 60 targets, about 259.2 MB when nothing "
        "is wrong"
    )
    assert [line.split(": ", 1)[1][:33] for line in remarks(campaigns, 10**9, after)] == [
        "is over since 2026-12-01T12:00Z, ",
        "is over since 2026-12-03T18:00Z, ",
    ]
    assert list(estimates(campaigns, after)) == []


# Mistakes

MOMENT = "[[campaign]]\nname = 'a'\n[[campaign.moment]]\n"
DAY = "from = 2026-12-01\nuntil = 2026-12-01\n"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("resolver = 'dns.example'", '[network] resolver = "dns.example": write "system", or an address'),
        ("resolver = '192.0.2.1:0'", 'resolver = "192.0.2.1:0": write "system"'),
        ("resolver = 53", "resolver = 53: write"),
        ("trusted_resolvers = ['http://192.0.2.1/']", 'trusted_resolvers, entry 1 = "http://192.0.2.1/": must begin'),
        ("trusted_resolvers = ['https://dns.example/{?dns}']", "is a template"),
        ("trusted_resolvers = 7", "trusted_resolvers = 7: must be a list"),
        ("witnesses = ['a.example', 'A.EXAMPLE']", "names a.example twice; leave one out"),
        ("witnesses = ['192.0.2.1']", "is no public host name"),
        ("witnesses = ['localhost']", "is no public host name"),
        ("witnesses = [{ host = 'a.example' }]", "write a host name, or { name ="),
        ("witnesses = [{ name = 'a.example', domestic = 'perhaps' }]", "write true or false"),
        ("witnesses = ['a b.example']", "has the host label a b; a name is letters"),
        ("ca_file = 'missing.pem'", "cannot be read (No such file or directory); correct the path"),
        ("ca_file = 'wazi.toml'", "holds no certificate in PEM form"),
        ("ca_file = ''", "write the path of a file"),
        ("bogons = 'wazi.toml'", "wazi.toml line 1: 1 columns; write prefix,why"),
        ("bogons = 'missing.csv'", "missing.csv: cannot be read (No such file or directory)"),
        ("fingerprints = ['missing']", "there is no such file or folder; correct the path"),
        ("fingerprints = [5]", 'fingerprints, entry 1 = 5: write "shipped", or the path of a CSV file'),
        ("fingerprints = ['shipped', 'shipped']", "names shipped twice; leave one out"),
        ("ipv6 = 2", "ipv6 = 2: write true or false"),
        ("concurrency = 0", "concurrency = 0: must be from 1 to 500"),
        ("concurrency = 1.5", "concurrency = 1.5: write a whole number"),
        ("data_per_day = '50 parsecs'", 'data_per_day = "50 parsecs": write a size such as "50 MB"'),
        ("data_per_day = '1 kB'", "must be from 1 MB to 1000 GB"),
        ("dns_timeout = 'soon'", 'dns_timeout = "soon": write a duration such as "30s"'),
        ("dns_timeout = -1", "dns_timeout = -1: must be from 100ms to 10m"),
        ("body_routine = '1 MB'", "body_routine = 1000000: must not be more than body_wire"),
        ("reslover = 'system'", "[network] reslover is no setting; did you mean resolver?"),
        ("zzz = 1", "[network] zzz is no setting; there are resolver, trusted_resolvers"),
    ],
)
def test_a_wrong_network_setting_is_told_by_line(tmp_path: Path, line: str, complaint: str) -> None:
    (sentence,) = complaints(tmp_path, f"[network]\n\n{line} # ours\n")
    assert sentence.startswith("wazi.toml line 3: [network] ")
    assert complaint in sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[vantage]\ncountry = 'Kenya'", 'line 2: [vantage] country = "Kenya": write the two letters of a country'),
        ("[vantage]\nasn = 'MyISP'", 'line 2: [vantage] asn = "MyISP": write the number of your network'),
        ("[vantage]\nasn = 0", "line 2: [vantage] asn = 0: write the number"),
        ("[vantage]\nprobe_id = '../x'", 'line 2: [vantage] probe_id = "../x": write 1 to 64 letters'),
        ("[control]\nurls = ['ftp://a.example/']", 'line 2: [control] urls, entry 1 = "ftp://a.example/": ftp://a.ex'),
        ("[control]\nurls = ['https://home.cern/x']", "home.cern is a witness too, and must be one or the other"),
        ("[store]\nurl = 'sqlite://'", 'line 2: [store] url = "sqlite://": write "sqlite:////folder/wazi.db" or'),
        ("[store]\nurl = 'sqlite:///:memory:'", 'write "sqlite:////folder/wazi.db" or'),
        ("[store]\nurl = 'postgresql://a'", 'or "postgresql://user@host/database"'),
        ("[store]\nurl = 'mysql://a/b'", 'write "sqlite:////folder/wazi.db" or'),
        ("[netwrok]\nipv6 = true", "line 1: [netwrok] is no setting; did you mean network?"),
        (
            "[page]\nlisten = 1",
            "line 1: [page] is no setting; there are network, control, vantage, store, throttling, events, evidence, ",
        ),
        ("network = 5", "line 1: [network] = 5: must be a table of settings"),
        ("[campaign]\nname = 'a'", "must be a table; write [[campaign]], with two brackets"),
        ("[[campaign]]\nevery = '1h'", "line 1: [[campaign]] 1 name is missing; write it"),
        ("[[campaign]]\nname = 'a'\nevery = '1s'", 'line 3: [[campaign]] 1 every = "1s": must be from 1m to 744h'),
        (
            "[[campaign]]\nname = 'a'\njitter = '1h'",
            'line 3: [[campaign]] 1 jitter = "1h": must be less than every (1h)',
        ),
        (
            "[[campaign]]\nname = 'a'\n[[campaign]]\nname = 'a'",
            'line 4: [[campaign]] 2 name = "a": is another campaign\'s',
        ),
        ("[[campaign]]\nname = 'a'\nnettest = 'ping'", f"must be one of {', '.join(sorted(NETTESTS))}"),
        ("[[campaign]]\nname = 'a'\nmoment = 7", "[[campaign.moment]] of 1 = 7: must be a table; write [[campaign.mo"),
        (
            f"{MOMENT}from = '2026-12-01T06:00'\nuntil = '2026-12-02'\nevery = '5m'",
            'line 4: [[campaign.moment]] 1 of 1 from = "2026-12-01T06:00": has no offset: write Z after it if',
        ),
        (
            f"{MOMENT}from = 2026-12-01T06:00:00\nuntil = 2026-12-02\nevery = '5m'",
            "from = 2026-12-01 06:00:00: has no off",
        ),
        (f"{MOMENT}from = 'Tuesday'\nuntil = 2026-12-02\nevery = '5m'", "write a time with its offset such as"),
        (f"{MOMENT}from = 5\nuntil = 2026-12-02\nevery = '5m'", "from = 5: write a time with its offset such as"),
        (f"{MOMENT}from = 2026-12-01\nuntil = 9999-12-31\nevery = '5m'", "until = 9999-12-31: write a time with its"),
        (f"{MOMENT}from = 2026-12-01\nevery = '5m'", "line 3: [[campaign.moment]] 1 of 1 until is missing; write it"),
        (
            f"{MOMENT}from = 2026-12-01\nuntil = 2026-12-02",
            "line 3: [[campaign.moment]] 1 of 1 every is missing; write",
        ),
        (f"{MOMENT}{DAY}every = '1s'", 'line 6: [[campaign.moment]] 1 of 1 every = "1s": must be from 1m to 744h'),
        (
            f"{MOMENT}{DAY}every = '5m'\nwindow = 3",
            "1 of 1 window is no setting; there are from, until, every, jitter, t",
        ),
        (
            f"{MOMENT}{DAY}every = '5m'\nevry = 3",
            "line 7: [[campaign.moment]] 1 of 1 evry is no setting; did you mean every",
        ),
        (f"{MOMENT}{DAY}every = '5m'\njitter = '5m'", '1 of 1 jitter = "5m": must be less than every (5m)'),
        (
            f"{MOMENT}from = '2026-12-01T06:00Z'\nuntil = '2026-12-01T09:00+03:00'\nevery = '5m'",
            'line 5: [[campaign.moment]] 1 of 1 until = "2026-12-01T06:00Z": must be later than from (2026-12-01T06:',
        ),
        (
            f"{MOMENT}{DAY}every = '5m'\n[[campaign.moment]]\n"
            "from = '2026-12-02T02:59+03:00'\nuntil = 2026-12-03\nevery = '5m'",
            'line 8: [[campaign.moment]] 2 of 1 from = "2026-12-01T23:59Z": lies in moment 1 of this campaign '
            "(2026-12-01T00:00Z to 2026-12-02T00:00Z); let one end",
        ),
        (f"{MOMENT}{DAY}every = '5m'\ntargets = []", "line 7: [[campaign.moment]] 1 of 1 targets = []: write the path"),
        (
            f"{MOMENT}{DAY}every = '5m'\ntargets = ['nonsense']",
            "[[campaign]] a, moment from 2026-12-01T00:00Z, targets: line 1: nonsense has no scheme",
        ),
        (
            f"{MOMENT}{DAY}every = '5m'\ntargets = 'gone.csv'",
            "line 7: [[campaign.moment]] 1 of 1 targets = ",
        ),
        (
            f"[[campaign]]\nname = 'b'\n{MOMENT}{DAY}every = '5m'\n[[campaign.moment]]\nevery = '5m'",
            "line 9: [[campaign.moment]] 2 of 2 from is missing; write it",
        ),
        ("[[campaign]]\nname = 'a'\nwindow = '8-22'", 'write two times of day in UTC such as "08:00-22:00"'),
        ("[[campaign]]\nname = 'a'\nwindow = '08:00-08:00'", "write two different times of day"),
        ("[[campaign]]\nname = 'a'\ntargets = []", "write the path of a list, or URLs"),
        ("[[campaign]]\nname = 'a'\ntargets = ['nonsense']", "[[campaign]] a, targets: line 1: nonsense has no scheme"),
        ("[[campaign]]\nname = 'a'\ntargets = 'gone.csv'", "gone.csv: cannot be read (No such file or directory)"),
        ("[[campaign]]\nname = 'a'\ntargets = 'wazi.toml'", "wazi.toml line 1: [[campaign]] has no scheme"),
    ],
)
def test_a_wrong_setting_elsewhere_is_told(tmp_path: Path, text: str, sentence: str) -> None:
    sentences = complaints(tmp_path, text)
    assert any(sentence in line for line in sentences), sentences


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("url\nftp://a.example/\nhttps://user@b.example/\n")
    text = '[control]\nurls = ["https://home.cern/"]\n[[campaign]]\nname = "a"\ntargets = "list.csv"\n'
    assert len(complaints(tmp_path, text)) == 3
    assert len(complaints(tmp_path, "[network]\nipv6 = 3\nredirects = -1\n[vantage]\nasn = 'x'\n")) == 3


def test_a_wrong_variable_is_told_by_its_name(tmp_path: Path) -> None:
    environ = {"WAZI_NETWORK__REDIRECTS": "many", "WAZI_NETWROK__IPV6": "1", "WAZI_NETWORK__X": "1"}
    assert sorted(complaints(tmp_path, "", environ)) == [
        'WAZI_NETWORK__REDIRECTS: [network] redirects = "many": write a whole number',
        f"WAZI_NETWORK__X: [network] x is no setting; there are {', '.join(SECTIONS['network'].model_fields)}",
        "WAZI_NETWROK__IPV6: [netwrok] is no setting; did you mean network?",
    ]
    sentences = complaints(tmp_path, "", {"WAZI_CONTROL__URLS": '["https://a.example'})
    assert sentences[0].startswith("WAZI_CONTROL__URLS: [control] urls = ")
    assert "is no JSON list" in sentences[0]


def test_a_wrong_flag_is_told(tmp_path: Path) -> None:
    sentences = complaints(tmp_path, "[network]\nresolver = 'system'", network={"resolver": "nonsense"})
    assert sentences[0].startswith('the command line: [network] resolver = "nonsense": write')


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    cases = {
        "gone.toml": (None, "gone.toml: cannot be read (No such file or directory)"),
        "bad.toml": (b"[network]\nipv6 yes\n", "bad.toml line 2: no TOML: Expected '=' after a key"),
        "deep.toml": (b"a = " + b"[" * 5000, "deep.toml: brackets are nested too deeply"),
        "digits.toml": (b"[network]\nconcurrency = " + b"9" * 5000, "digits.toml: cannot be read (Exceeds the limit"),
        "latin.toml": (b"# ok\n# \xe9\n", "latin.toml line 2: is not UTF-8"),
        "large.toml": (b"#" * 1_100_000, "large.toml: is larger than 1048576 bytes"),
    }
    for name, (data, sentence) in cases.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(SettingsError, match=re.escape(sentence)):
            load(tmp_path / name, environ={})
    with pytest.raises(SettingsError, match=r"cannot be read \(Is a directory\)"):
        load(tmp_path, environ={})
    with pytest.raises(SettingsError, match="WAZI_CONFIG = /nowhere: there is no such file"):
        load(None, environ={"WAZI_CONFIG": "/nowhere"}, folders=())


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://wazi:canary@db/wazi",
        "postgresql+psycopg://wazi:can@ary/canary@db/wazi",
        "postgresql+psycopg://wazi@db/wazi?password=canary",
        "postgres://wazi:canary@db/wazi",
        "mysql://wazi:canary@db/wazi",
    ],
)
def test_a_password_is_never_shown(tmp_path: Path, url: str) -> None:
    try:
        settings = load_toml(tmp_path, f'[store]\nurl = "{url}"\n')
        said = f"{settings!r} {settings} {settings.shown()}"
    except SettingsError as refused:
        said = str(refused)
    assert "canary" not in said


def test_terminals_are_not_written_to(tmp_path: Path) -> None:
    (sentence,) = complaints(tmp_path, '[vantage]\ncountry = "\\u001b[31m"\n')
    assert sentence.isprintable()


# Values


@given(st.integers(0, 10**7).map(lambda n: n / 1000))
def test_a_duration_is_read_as_it_is_shown(seconds: float) -> None:
    assert duration(show_duration(seconds)) == pytest.approx(seconds)


@given(st.integers(0, 10**12))
def test_a_size_is_read_as_it_is_shown(count: int) -> None:
    assert size(show_size(count)) == count


@pytest.mark.parametrize(("text", "seconds"), [("1h30m", 5400), ("500ms", 0.5), (" 2 min ", 120), ("7", 7), (0.5, 0.5)])
def test_durations(text: object, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("value", ["", "1h 5", "5 1h", "1e3", "-1s", "1y", True, None, float("nan"), [], "1" * 50])
def test_what_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="write a duration"):
        duration(value)


@pytest.mark.parametrize(
    ("text", "count"), [("50MB", 50_000_000), ("16 kib", 16_384), ("1.5 GB", 1_500_000_000), (7, 7)]
)
def test_sizes(text: object, count: int) -> None:
    assert size(text) == count


@pytest.mark.parametrize("value", ["", "MB", "1 MBit", "-1", 1.5, True, None, "1 MB 2 MB"])
def test_what_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match="write a size"):
        size(value)


@pytest.mark.parametrize("value", ["08:00", "08:00-24:01", "08:60-09:00", "a-b", "08:00-09:00-10:00", 8, ""])
def test_what_is_no_window(value: object) -> None:
    with pytest.raises(ValueError, match="write two times of day"):
        time_window(value)


def test_a_window_may_end_at_midnight() -> None:
    assert time_window(" 8:30 - 24:00 ") == Window(8.5 * 3600, 86_400)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("System", "system"),
        ("192.0.2.53:5353", "192.0.2.53:5353"),
        ("2001:db8::53", "[2001:db8::53]:53"),
        ("[2001:DB8::53]", "[2001:db8::53]:53"),
        ("[2001:db8::53]:54", "[2001:db8::53]:54"),
    ],
)
def test_resolvers(text: str, address: str) -> None:
    assert values.resolver(text) == address


@pytest.mark.parametrize("value", ["", "192.0.2.1:", "192.0.2.1:65536", "[::1", "fe80::1%eth0", "[192.0.2.1:53", None])
def test_what_is_no_resolver(value: object) -> None:
    with pytest.raises(ValueError, match='write "system", or an address'):
        values.resolver(value)


# Data and documents


def test_the_data_are_found_in_a_source_tree_and_told_when_missing() -> None:
    assert shipped("wazi.toml") == ROOT / "config/wazi.toml"
    with pytest.raises(FileNotFoundError, match=r"nothing\.csv is missing from this installation"):
        shipped("nothing.csv")


def test_the_shipped_file_changes_nothing_and_with_its_marks_off_still_nothing(tmp_path: Path) -> None:
    text = shipped("wazi.toml").read_text("utf-8")
    assert told(load_toml(tmp_path, text)) == told(Settings())
    bare = re.sub(r"(?m)^#(?=[a-z\[])", "", text)
    assert told(load_toml(tmp_path, bare)) == told(Settings())
    written = lay([from_file(tmp_path / "wazi.toml"), from_environment({})])
    defaults = {(section, key) for section, table in SECTIONS.items() for key in names(table)}
    named = {(s, k) for s, t in written.items() for k in (t[0] if isinstance(t, list) else t)}
    named |= {("campaign.moment", key) for key in ("from", "until", "every", "jitter", "targets")}
    named |= {
        ("network", "ca_file"),
        ("network", "bogons"),
        ("campaign", "targets"),
        ("campaign", "jitter"),
        ("campaign", "window"),
        ("campaign", "moment"),
    }
    named |= {("vantage", key) for key in ("country", "asn", "asn_database", "probe_id")}
    named |= {("web", "public_url"), ("evidence", "timestamp_url")} | {
        ("alert", key) for key in names(SECTIONS["alert"])
    }
    named |= {("store", key) for key in names(SECTIONS["store"])}
    assert named == defaults
    assert all(re.search(rf"(?m)^# ?(\[\[campaign\.)?{key}( = |\]\])", text) for _, key in defaults)


def test_the_moment_in_the_shipped_file_can_be_used(tmp_path: Path) -> None:
    text = shipped("wazi.toml").read_text("utf-8")
    example = text[text.index("# [[campaign.moment]]") : text.index("\n\n# Who is told of events")]
    (campaign,) = load_toml(tmp_path, '[[campaign]]\nname = "a"\n' + re.sub(r"(?m)^# ?", "", example)).campaigns
    (moment,) = campaign.moments
    assert moment.until - moment.since == 24 * 3600
    assert (moment.every, moment.jitter, len(moment.targets)) == (300.0, 20.0, 2)


def test_the_manual_tells_every_setting_with_its_default_and_variable() -> None:
    manual = (ROOT / "docs/settings.md").read_text("utf-8")
    rows = [
        [cell.strip(" `") for cell in line.split("|")[1:-1]] for line in manual.splitlines() if line.startswith("| `")
    ]
    shown = {row.key: row for row in Settings().shown()}
    counts = [len(names(SECTIONS[section])) for section in ("campaign.moment", "alert")]
    settings, moment, alert = rows[: -sum(counts)], rows[-sum(counts) : -counts[1]], rows[-counts[1] :]
    assert [row[0] for row in moment] == list(names(SECTIONS["campaign.moment"]))
    assert [row[0] for row in alert] == list(names(SECTIONS["alert"]))
    assert [row[0] for row in settings] == [row.key for row in Settings().shown()]
    for name, default, *rest in settings:
        row = shown[name]
        if row.section != "campaign":
            assert rest[0] == f"WAZI_{row.section.upper()}__{name.upper()}"
        if name not in ("url", "urls"):
            assert default == row.value


def test_a_variable_of_another_program_is_not_ours() -> None:
    """If a variable has our prefix and names no section, it is let be; a misspelt setting is not."""
    assert load(None, environ={"WAZI_TEST_BENCH": "1"}, folders=()) == load(None, environ={}, folders=())
    with pytest.raises(SettingsError, match="network_resolver"):
        load(None, environ={"WAZI_NETWORK_RESOLVER": "system"}, folders=())


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@db:5432/wazi?sslmode=require",
        "postgresql://u@/wazi?host=/run/pg",
        "postgres://u@db/wazi",
        "postgresql+psycopg://u@db/wazi",
    ],
)
def test_a_database_may_be_told_by_a_query(url: str) -> None:
    """If PostgreSQL listens on a socket in a folder, its URL names that folder in the query."""
    assert load(None, environ={"WAZI_STORE__URL": url}, folders=()).store.url == url
