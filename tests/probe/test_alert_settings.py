"""`[[alert]]`: options read by the types of the hook's factory, secrets from elsewhere, mistakes told by line."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from datetime import UTC, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from measurements.alerts.hooks import HOOKS
from measurements.alerts.notice import Change, Hook, Notice
from measurements.alerts.routing import Quiet
from measurements.alerts.secrets import Secret
from measurements.bogons import Bogons
from measurements.events.nouns import Kind
from probe.alerting import digest
from probe.settings import Settings, SettingsError, load
from probe.settings.alerts import Alert, BadOption, alert
from probe.settings.sections import AlertSettings

KEY = "whsec_" + "A" * 43 + "="


def pigeon(
    *,
    loft: Path,
    rings: int = 1,
    speed: float = 10.0,
    word: Secret | None = None,
    words: tuple[Secret, ...] = (),
    names: tuple[str, ...] = ("a",),
    white: bool = False,
    bogons: Bogons,
) -> Hook:
    if rings > 2:
        raise ValueError("rings must be 2 at most")
    if white and not names:
        raise ValueError("a white one needs a name")

    async def fly(notice: Notice) -> str:
        return "flew"

    return fly


def read(folder: Path, environ: Mapping[str, str] | None = None, **written: Any) -> Alert:
    table = AlertSettings.model_validate({"hook": "pigeon", **written})
    return alert(
        table, folder=folder, bogons=lambda: Bogons.parse("", ""), environ=environ or {}, hooks={"pigeon": pigeon}
    )


def loaded(folder: Path, text: str) -> Settings:
    (folder / "wazi.toml").write_text(text)
    return load(folder / "wazi.toml", environ={})


def test_options_are_read_by_their_types(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("canary\n")
    (tmp_path / "words").write_text("one\ntwo\n")
    made = read(
        tmp_path,
        {"WORD": "three"},
        loft="loft",
        rings="2",
        speed="1m",
        white="yes",
        names="b, c",
        word_file="word",
        words=[{"env": "WORD"}, {"file": "words"}, "four"],
    )
    assert made.name == made.hook == "pigeon"
    assert made.options["loft"] == tmp_path / "loft"
    assert (made.options["rings"], made.options["speed"], made.options["white"]) == (2, 60.0, True)
    assert made.options["names"] == ("b", "c")
    assert made.options["word"] == Secret("canary")
    assert made.options["words"] == (Secret("three"), Secret("one\ntwo"), Secret("four"))
    assert isinstance(made.options["bogons"], Bogons)
    assert made.files == (tmp_path / "word", tmp_path / "words")
    assert read(tmp_path, loft="x", words={"file": "words"}).options["words"] == (Secret("one"), Secret("two"))
    assert "canary" not in repr(made)


@pytest.mark.parametrize(
    ("written", "name", "why"),
    [
        ({}, "", "loft is missing"),
        ({"loft": "x", "bogons": "x"}, "bogons", "is no option of this hook; there are loft, rings"),
        ({"loft": "x", "ring": 1}, "ring", "is no option"),
        ({"loft": "x", "rings": "x"}, "rings", "write a whole number"),
        ({"loft": "x", "rings": 3}, "rings", "must be 2 at most"),
        ({"loft": "x", "white": True, "names": []}, "", "a white one needs a name"),
        ({"loft": "x", "names": 5}, "names", "must be a list"),
        ({"loft": "x", "word": 5}, "word", "write a text"),
        ({"loft": "x", "word": " "}, "word", "write a text"),
        ({"loft": "x", "word": {"env": "NONE"}}, "word", "the variable NONE is not set"),
        ({"loft": "x", "word_env": "NONE"}, "word_env", "the variable NONE is not set"),
        ({"loft": "x", "word": {"file": "none"}}, "word", "none: cannot be read (No such file"),
        ({"loft": "x", "word": {"file": "empty"}}, "word", "empty: is empty"),
        ({"loft": "x", "word": {"file": "a", "env": "b"}}, "word", "write it, or { env"),
        ({"loft": "x", "word": "a", "word_file": "b"}, "word_file", "says word twice"),
        ({"loft": "", "word": "a"}, "loft", "write the path of a file"),
        ({"hook": "owl"}, "hook", "must be one of pigeon"),
    ],
)
def test_a_wrong_option_is_told_by_name_and_never_by_value(
    tmp_path: Path, written: Mapping[str, Any], name: str, why: str
) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(BadOption) as bad:
        read(tmp_path, **written)
    assert bad.value.name == name
    assert why in str(bad.value)


def test_a_rule_says_who_is_told_what_and_when(tmp_path: Path) -> None:
    (one,) = loaded(
        tmp_path,
        """
[web]
public_url = "https://wazi.example.org/seen/"
[[alert]]
hook = "log"
name = "on-call"
min_confidence = "unconfirmed"
countries = ["tz"]
asns = ["AS64496"]
categories = "news, grp"
kinds = ["blocking"]
changes = ["opened"]
quiet_hours = "22:00-07:00"
time_zone = "Africa/Nairobi"
urgent = ["outage"]
digest = "6h"
cool_down = "10m"
update_every = "5m"
give_up = "2d"
""",
    ).alerts
    rule = one.rule
    assert (one.name, one.hook, rule.name, rule.unconfirmed) == ("on-call", "log", "on-call", True)
    assert (rule.countries, rule.asns, rule.categories) == (
        frozenset({"TZ"}),
        frozenset({64496}),
        frozenset({"NEWS", "GRP"}),
    )
    assert (rule.kinds, rule.changes, rule.urgent) == (
        frozenset({Kind.BLOCKING}),
        frozenset({Change.OPENED}),
        frozenset({Kind.OUTAGE}),
    )
    assert (rule.quiet, rule.zone) == (Quiet(79_200.0, 25_200.0), ZoneInfo("Africa/Nairobi"))
    assert (rule.digest, rule.cool_down, rule.update_every, rule.give_up) == (21_600.0, 600.0, 300.0, 172_800.0)
    settings = loaded(tmp_path, "[web]\npublic_url = 'https://wazi.example.org/seen/'")
    assert settings.web.public_url == "https://wazi.example.org/seen"


@pytest.mark.parametrize(("text", "hours"), [("+03:00", 3), ("-0330", -3.5), ("utc", 0), ("Z", 0)])
def test_a_time_zone_may_be_an_offset(tmp_path: Path, text: str, hours: float) -> None:
    (one,) = loaded(tmp_path, f"[[alert]]\nhook = 'log'\ntime_zone = '{text}'").alerts
    assert one.rule.zone == (timezone(timedelta(hours=hours)) if hours else UTC)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[[alert]]\nname = 'a'", "wazi.toml line 1: [[alert]] 1 hook is missing; write it"),
        ("[alert]\nhook = 'log'", "must be a table; write [[alert]], with two brackets"),
        ("[[alert]]\nhook = 'owl'", "line 2: [[alert]] 1 hook: must be one of "),
        ("[[alert]]\nhook = 'log'\n[[alert]]\nhook = 'log'", 'line 4: [[alert]] 2 hook = "log": is another alert\'s'),
        (
            "[[alert]]\nhook = 'log'\nname = 'a'\n[[alert]]\nhook = 'log'\nname = 'a'",
            'line 6: [[alert]] 2 name = "a": is another alert\'s name',
        ),
        ("[[alert]]\nhook = 'log'\nto = 'x'", "line 3: [[alert]] 1 to: is no option of this hook"),
        ("[[alert]]\nhook = 'log'\nkinds = ['rain']", 'line 3: [[alert]] 1 kinds, entry 1 = "rain": must be one of'),
        ("[[alert]]\nhook = 'log'\nchanges = ['test']", "must be one of opened, updated, closed"),
        ("[[alert]]\nhook = 'log'\nquiet_hours = '22-7'", 'line 3: [[alert]] 1 quiet_hours = "22-7": write two times'),
        ("[[alert]]\nhook = 'log'\ntime_zone = 'Mars/Olympus'", "write the name of a time zone such as"),
        ("[[alert]]\nhook = 'log'\ntime_zone = '../../etc/passwd'", "write the name of a time zone such as"),
        ("[[alert]]\nhook = 'log'\ntime_zone = '+15:00'", "write the name of a time zone such as"),
        ("[[alert]]\nhook = 'log'\ntime_zone = 3", "write the name of a time zone such as"),
        ("[[alert]]\nhook = 'log'\nmin_confidence = 'likely'", "must be one of confirmed, unconfirmed"),
        ("[[alert]]\nhook = 'log'\ncategories = ['NEWSPAPER']", "write a category of the Citizen Lab"),
        ("[[alert]]\nhook = 'log'\nurgent = ['outage']", "has no sense without quiet_hours or digest"),
        (
            "[[alert]]\nhook = 'log'\ndigest = '8d'",
            'line 3: [[alert]] 1 digest = "192h": must be shorter than give_up (168h)',
        ),
        ("[web]\npublic_url = 'https://a/?b'", "must end before ? and #"),
        (
            "[[alert]]\nhook = 'webhook'\nurl = 'https://canary.example/canary'\nsecrets = ['canary']",
            "line 4: [[alert]] 1 secrets: must each be whsec_",
        ),
    ],
)
def test_a_wrong_alert_is_told_by_line(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        loaded(tmp_path, text)
    assert sentence in str(refused.value)
    assert "canary" not in str(refused.value)


def test_what_is_secret_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    settings = loaded(
        tmp_path,
        "[[alert]]\nhook = 'webhook'\nurl = 'https://hooks.example/canary'\nsecrets_file = 'key'\n"
        "proxy = 'socks5://canary:canary@127.0.0.1:1080'",
    )
    rows = {row.key: row for row in settings.shown() if row.section == "alert"}
    assert (rows["url"].value, rows["url"].origin) == ("https://hooks.example/***", f"{tmp_path}/wazi.toml line 3")
    assert rows["secrets_file"].value == "from file key"
    assert tmp_path / "key" in settings.files
    said = f"{settings!r} {settings} {settings.shown()} {settings.alerts!r} {settings.alerts[0].make()!r}"
    assert "canary" not in said
    assert KEY not in said


def test_a_digest_of_settings_changes_with_any_option(tmp_path: Path) -> None:
    made = [read(tmp_path, loft="x", words=words, rings=rings) for words in (["a"], ["b"]) for rings in (1, 2)]
    assert len({digest(one) for one in made}) == 4
    assert digest(made[0]) == digest(read(tmp_path, loft="x", words=["a"], rings=1))


def test_no_option_of_a_hook_has_the_name_of_a_setting_of_ours() -> None:
    ours = set(AlertSettings.model_fields)
    ours |= {f"{name}_{source}" for name in ours for source in ("file", "env")}
    assert [name for factory in HOOKS.values() for name in inspect.signature(factory).parameters if name in ours] == []


def test_a_variable_may_hold_an_alerts_secret() -> None:
    environ = {"WAZI_ALERT_TOKEN": KEY, "WAZI_ALERT": '[{"hook": "webhook", "url": "https://example.org/", '}
    environ["WAZI_ALERT"] += '"secrets": [{"env": "PATH"}]}]'
    with pytest.raises(SettingsError, match=r"WAZI_ALERT: .*secrets: must each be whsec_"):
        load(None, environ=environ, folders=())
    assert load(None, environ={"WAZI_ALERT": '[{"hook": "log"}]'}, folders=()).alerts[0].name == "log"
