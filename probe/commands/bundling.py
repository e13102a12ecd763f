"""`wazi export --format bundle`: the evidence on some events in one file, which an expert can check without us."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from measurements.printable import clean, plural
from probe.commands.building import data_folder, judge_with, load_settings, read_store, shipped_lists
from probe.commands.console import FINE, Common, Refusal, say
from probe.commands.outputs import write_whole
from probe.version import software

if TYPE_CHECKING:
    from measurements.bogons import Bogons
    from measurements.evidence.bundle import Signer, UsedList
    from measurements.evidence.chain import SignedCheckpoint
    from measurements.evidence.collect import Collected
    from measurements.evidence.findings import Report
    from measurements.store import Store
    from probe.keys import SigningKey
    from probe.settings import Settings

MOST_EVENTS = 20


def export_bundle(common: Common, events: Sequence[str], output: str | None, *, chosen: bool = False) -> int:
    """Write the evidence on events to a file, and say what in it cannot be checked."""
    if not events:
        raise Refusal("--format bundle: say which events, by their ids or how these begin; `wazi events` shows them")
    if chosen:
        raise Refusal("--format bundle takes events and --output, and nothing else: an event says what belongs to it")
    if len(events) > MOST_EVENTS:
        raise Refusal(f"--format bundle: at most {MOST_EVENTS} events go into one file")
    if output is None and os.isatty(1):
        raise Refusal("--format bundle writes a ZIP, which is nothing for a terminal: give it a file, --output FILE")
    if output is not None and output.endswith((".gz", ".zst")):
        raise Refusal(f"{output}: a bundle is a ZIP; give its file an ending such as .zip")
    data, report = make_bundle(load_settings(common), events)
    write_whole(data, output)
    assert report.manifest is not None
    held = f"{plural(len(report.manifest.records), 'record')} on {plural(len(report.manifest.events), 'event')}"
    by = report.manifest.signed_by
    say(f"{held} in {output or 'stdout'} ({len(data) / 1e6:.1f} MB), {f'signed by {by.key}' if by else 'not signed'}")
    for words in (*(fault.words for fault in report.faults), *report.unsettled):
        say(clean(words, 1000))
    return FINE


def make_bundle(settings: Settings, events: Sequence[str]) -> tuple[bytes, Report]:
    """Make a bundle and verify it, as whoever gets it will; refuses in words what does not stand."""
    from measurements.evidence.collect import collect
    from measurements.evidence.findings import Wrong
    from measurements.evidence.stamps import read_stamp
    from measurements.evidence.verify import Known, verify
    from measurements.store import NotFound, StoreError

    with read_store(settings) as store:
        try:
            found = collect(store, events, judge_with(settings))
            data = _build(settings, store, found)
        except NotFound as error:
            raise Refusal(str(error)) from None
        except StoreError as error:
            raise Refusal(str(error)) from None
        except ValueError as error:
            raise Refusal(f"the bundle cannot be made: {error}") from None
    bogons, fingerprints = shipped_lists()
    report = verify(data, Known(bogons=bogons, fingerprints=fingerprints, read_stamp=read_stamp))
    worst = next((fault for fault in report.faults if fault.wrong is not Wrong.VERDICT), None)
    if worst is not None:
        raise Refusal(f"the evidence does not stand, and is not handed out: {clean(worst.words, 1000)}")
    return data, report


def _build(settings: Settings, store: Store, found: Collected) -> bytes:
    from measurements.evidence.bundle import GAPS, VOTES, build
    from measurements.evidence.collect import chains_of, with_keys
    from measurements.evidence.extras import gaps_file, guide, rule_files, votes_file
    from measurements.evidence.links import files_of
    from measurements.report import html, languages
    from measurements.rules import RULES_VERSION

    now = int(time.time())
    key, signer = _signer(settings)
    also = [] if signer is None else _fresh(store, found, signer, now)
    chains = chains_of(store, found.linked, also)
    if key is not None and signer is not None:
        chains = with_keys(chains, signer.by.probe, key.history)
    lists, list_files = _lists(settings, found)
    votes = (vote for one in found.dossiers for vote in (*one.votes, *one.placebos))
    files = {
        **guide(),
        **rule_files(),
        **list_files,
        **files_of(chains),
        VOTES: votes_file(votes),
        GAPS: gaps_file(gap for one in found.dossiers for gap in one.gaps),
        **{f"report.{code}.html": html(found.dossiers, code).encode("utf-8", "replace") for code in languages()},
    }
    return build(
        found.told,
        found.items,
        files,
        made=now,
        software=software(),
        rules_version=RULES_VERSION,
        signer=signer,
        missing=found.missing,
        left_out=found.left_out,
        lists=lists,
    )


def _signer(settings: Settings) -> tuple[SigningKey | None, Signer | None]:
    """Return the key of the probe on this machine, and who signs with it; nobody where there is none."""
    from measurements.evidence.bundle import Signed, Signer
    from probe.identity import IdentityError, load_probe_id
    from probe.keys import read_signing_key

    folder = data_folder(settings)
    try:
        key = read_signing_key(folder)
        if key is None or not (settings.vantage.probe_id or (folder / "probe-id").exists()):
            return None, None
        probe = settings.vantage.probe_id or load_probe_id(folder)
    except IdentityError as error:
        raise Refusal(str(error)) from None
    for remark in key.remarks:
        say(remark)
    return key, Signer(by=Signed(probe=probe, key=key.public.key_id), sign=key.sign)


def _fresh(store: Store, found: Collected, signer: Signer, now: int) -> list[SignedCheckpoint]:
    """Sign what this probe's chain has come to, where no checkpoint covers the newest record yet."""
    from measurements.evidence.chain import sign_checkpoint

    probe = signer.by.probe
    newest = store.chains.last_checkpoint(probe)
    head = store.chains.head(probe)
    covered = newest is not None and newest.sequence >= max(found.linked.get(probe, {0}))
    if head is None or covered:
        return []
    return [sign_checkpoint(head, now, signer.by.key, signer.sign)]


def _lists(settings: Settings, found: Collected) -> tuple[list[UsedList], dict[str, bytes]]:
    """Name the lists that the rules looked into, with those rows that say something here and may be handed on."""
    from measurements.evidence.bundle import BOGONS, UsedList
    from measurements.evidence.extras import FINGERPRINTS, bogons_file, used_lists
    from probe.settings.shipped import shipped

    path = settings.network.bogons or shipped("bogons.csv")
    digest, ours = (hashlib.sha256(Path(one).read_bytes()).hexdigest() for one in (path, shipped("bogons.csv")))
    named = [UsedList(kind="bogons", name=Path(path).name, sha256=digest, shipped=digest == ours)]
    files = {BOGONS: bogons_file(_asked(settings.bogons(), settings, found))}
    marks = {
        finding.fingerprint
        for item in found.items
        for opinion in item.opinions
        for finding in opinion.verdict.findings
        if finding.fingerprint
    }
    sources = {row.source for row in shipped_lists()[1].rows}
    more, rows = used_lists(marks, settings.fingerprints.rows, sources)
    if rows:
        files[FINGERPRINTS] = rows
    return [*named, *more], files


def _asked(bogons: Bogons, settings: Settings, found: Collected) -> Bogons:
    """Return the rows about the addresses that the rules ask about when they judge these records."""
    from measurements.evidence.extras import Listening
    from measurements.evidence.rejudge import judge_all, judge_by

    listening = Listening(bogons.prefixes)
    facts = {number: item.measurement for number, item in enumerate(found.items)}
    judge_all(facts, judge_by(listening, settings.fingerprints))
    return bogons.about(listening.asked)
