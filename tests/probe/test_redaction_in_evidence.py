"""An event whose measurements said the volunteer's addresses everywhere: no bundle, report or alert tells them."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import pytest
from msgspec.structs import replace

from measurements.alerts.notice import Change, News, Notice
from measurements.alerts.payload import encode as payload
from measurements.alerts.wording import page, text, title
from measurements.commitments import commitment, salt_of
from measurements.events.nouns import Event
from measurements.evidence.archive import read
from measurements.evidence.rejudge import judge_all, judge_by
from measurements.fingerprints import Fingerprints
from measurements.model import AnyObservation, HttpExchange, Measurement, Vantage, Verdict, View
from measurements.redact import redact
from probe.commands.building import load_settings
from probe.commands.bundling import make_bundle
from probe.commands.console import Common
from probe.commands.redaction import check_redaction
from probe.commands.reporting import Wish, report
from tests.measurements.evidence.made import measured
from tests.probe.desk import Desk
from tests.probe.echoing import HOST, IPV4, IPV6, planted
from tests.probe.test_redaction import in_database
from tests.probe.witnessed import PROBE, START, fill
from tests.scripted import BOGONS

OWN, SECRET = (IPV4, IPV6, HOST), bytes(32)
FORMS = planted()
EACH = 6  # disguises that one measurement says


def saying(whole: Measurement, forms: list[bytes]) -> Measurement:
    """Let every page, header, cookie and error of a measurement say the addresses."""
    texts = [form.decode("latin-1") for form in forms]
    body = b"".join(b"<p>" + form + b"</p>" for form in forms)

    def said(step: AnyObservation) -> AnyObservation:
        step = replace(step, detail=f"{step.detail} for {' '.join(texts)}".strip())
        if not isinstance(step, HttpExchange) or step.status is None or step.view is View.CONTROL:
            return step
        full = step.body + body
        return replace(
            step,
            body=full,
            body_length=len(full),
            body_sha256=hashlib.sha256(full).hexdigest(),
            title=step.title and f"{step.title} {' '.join(texts)}",
            headers=(*step.headers, *(("Set-Cookie", f"c={each}") for each in texts), ("X-Said", " ".join(texts))),
        )

    return replace(whole, observations=tuple(map(said, whole.observations)))


def rows() -> Iterator[tuple[Measurement, Verdict]]:
    chance, forms = random.Random(5), cycle(FORMS.values())
    facts = []
    for hour in range(30):
        whole = replace(
            measured("sni-eof" if 10 <= hour < 18 else "open"),
            id=chance.randbytes(16).hex(),
            sequence=hour + 1,
            started=START + hour * 3600.0,
            vantage=Vantage(probe_id=PROBE, country="ET", asn=24757),
        )
        said = saying(whole, list(islice(forms, EACH)))
        facts.append(redact(said, OWN, salt_of(SECRET, whole.id)))
    found = judge_all(dict(enumerate(facts)), judge_by(BOGONS, Fingerprints()))
    for place, fact in enumerate(facts):
        verdict = found[place]
        assert isinstance(verdict, Verdict)
        yield fact, verdict


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Desk, Event]:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    desk.config.write_text(f'[store]\nurl = "sqlite:///{desk.folder}/wazi.db"\n[network]\nbogons = "bogons.csv"\n')
    with desk.store() as store:
        return desk, fill(store, list(rows()))


def assert_none(where: str, content: bytes) -> None:
    for name, form in FORMS.items():
        assert form not in content, (where, name, content[max(0, content.find(form) - 60) :][:160])


def test_none_survives_in_a_bundle_a_report_or_an_alert(told: tuple[Desk, Event], tmp_path: Path) -> None:
    desk, event = told
    common = Common(desk.config)
    data, _ = make_bundle(load_settings(common), [event.id])
    bundle = tmp_path / "event.zip"
    bundle.write_bytes(data)
    files = read(data).files
    for name, content in files.items():
        assert_none(name, content)
    listed = json.loads(files["redactions.json"])
    assert {"address", "name", "cookie"} <= {each["kind"] for one in listed for each in one["removed"]}
    assert report(common, [event.id], Wish(output=str(tmp_path / "report.html"))) == 0
    assert_none("report", (tmp_path / "report.html").read_bytes())
    notice = Notice(id="1", time=event.updated, news=(News(change=Change.OPENED, event=event, version=1),))
    for said in (title(notice), text(notice), page(notice), payload(notice).decode()):
        assert_none("alert", said.encode())
    for table, content in in_database(desk.folder / "wazi.db"):
        assert_none(table, content)

    for one in listed:
        salt = salt_of(SECRET, one["id"])
        made = {commitment(salt, "address", own) for own in (IPV4, IPV6)}
        taken = {each["commitment"] for each in one["removed"] if each["kind"] == "address"}
        assert taken
        assert taken <= made
    said = IPV4 if commitment(salt, "address", IPV4) in taken else IPV6
    assert check_redaction(salt.hex(), [said], bundle) == 0
    assert check_redaction(salt_of(SECRET, "0" * 32).hex(), [said], bundle) == 1
