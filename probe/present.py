"""Verdicts for people, on one screen: at most 24 lines of 80 columns.

A screen answers five questions: what was asked, what happened, what it was compared with, what that
means, and how sure we are. Space is given to what went wrong first; `timeline` leaves nothing out.
Only `colour` makes escape sequences, and the words alone say everything.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from statistics import median

from measurements.model import (
    AnyObservation,
    Capture,
    Confidence,
    ControlQuery,
    DnsLookup,
    Hop,
    HttpExchange,
    Measurement,
    Outcome,
    Purpose,
    TcpConnect,
    TlsHandshake,
    Transfer,
    Verdict,
    View,
)
from measurements.printable import clean, clip, columns, plural
from probe.wording import MEANS, OUTCOMES, PURPOSES, VIEWS, bit_rate, describe, problem, purpose, size, transfer_rate

WALKS = (Purpose.TRACE_TARGET, Purpose.TRACE_HARMLESS)  # told of in the meaning
WIDTH = 80
HEIGHT = 24
LABEL = 10

COLOURS = {
    Outcome.ACCESSIBLE: "32",
    Outcome.BLOCKED: "1;31",
    Outcome.THROTTLED: "1;31",
    Outcome.UNREACHABLE: "33",
    Outcome.DOWN: "33",
    Outcome.SERVER_SIDE: "33",
    Outcome.INVALID: "35",
    Outcome.INCONCLUSIVE: "35",
}


def screen(measurement: Measurement, verdict: Verdict, *, colour: bool = False) -> str:
    """Write a verdict for people: at most `HEIGHT` lines of `WIDTH` columns."""
    notes = measurement.preconditions.notes
    sections = [
        ("Asked", _asked(measurement), 2),
        *([("Noted", notes, 2)] if notes else []),
        ("Happened", _happened(measurement.observations), 6 if notes else 8),
        ("Compared", _compared(measurement.observations), 6),
        ("Meaning", [verdict.summary or "No rule had anything to say."], 4),
        ("How sure", [_how_sure(verdict)], 4),
    ]
    lines = [_heading(measurement, verdict, colour)]
    for label, items, height in sections:
        lines += _section(label, items, height)
    return "\n".join(lines[:HEIGHT])


def short(
    started: float, url: str, verdict: Verdict, *, nettest: str = "web", colour: bool = False, width: int = 1000
) -> str:
    """Write one line about a verdict: UTC time, outcome, mechanism or reason, confidence, nettest, target."""
    time = _utc(started, "%m-%d %H:%M:%S")
    what = verdict.mechanism or clean(verdict.reason or "", 16)
    line = f"{time}  {verdict.outcome:12} {what:16} {verdict.confidence or '':9} "
    painted = line.replace(verdict.outcome, _paint(verdict.outcome, verdict.outcome, colour), 1)
    asked = url if nettest == "web" else f"{nettest} {url}"
    return painted + clip(clean(asked, 8192), max(20, width - columns(line)))


def moment(seconds: float) -> str:
    """Write a time: UTC, to the minute."""
    return _utc(seconds, "%Y-%m-%d %H:%M UTC")


def timeline(measurement: Measurement, verdict: Verdict, *, colour: bool = False) -> str:
    """Write a measurement with all its evidence: every step, and each finding with the steps it rests on."""
    cited = {step for finding in verdict.findings for step in finding.evidence}
    vantage = measurement.vantage
    lines = [
        _heading(measurement, verdict, colour),
        f"  {clean(verdict.summary, 1000)}",
        "",
        f"measurement {measurement.id}",
        f"nettest     {clean(measurement.nettest)}, {moment(measurement.started)}, {measurement.runtime:.2f} s,"
        f" {plural(measurement.connections, 'connection')}, {size(measurement.sent)} sent,"
        f" {size(measurement.received)} received",
        f"vantage     probe {clean(vantage.probe_id)}, {_place(measurement)}",
    ]
    if measurement.placebo:
        lines.append("placebo     a harmless site, asked only to learn how often Wazi errs")
    if measurement.preconditions.reason:
        why = clean(measurement.preconditions.detail or measurement.preconditions.reason)
        lines.append(f"network     cannot be judged: {why}")
    lines += [f"noted       {clean(note, 1000)}" for note in measurement.preconditions.notes]
    if measurement.limits:
        lines.append(f"limits      reached: {', '.join(clean(limit) for limit in measurement.limits)}")
    lines += ["", "steps (* is cited as evidence)"]
    lines += [_step_line(step, step.id in cited) for step in _in_order(measurement.observations)]
    lines += ["", f"findings (rules version {verdict.rules_version})"]
    for finding in verdict.findings:
        mechanism = f" {finding.mechanism}" if finding.mechanism else ""
        steps = ", ".join(str(step) for step in finding.evidence) or "none"
        lines.append(f"  {clean(finding.rule)}: {finding.outcome}{mechanism}, resting on steps {steps}")
        lines += [f"      {clean(finding.summary, 1000)}"] if finding.summary else []
    return "\n".join(lines if verdict.findings else [*lines, "  none"])


def _heading(measurement: Measurement, verdict: Verdict, colour: bool) -> str:
    outcome = verdict.outcome.upper().replace("_", " ")
    how = f" by {verdict.mechanism}" if verdict.mechanism else ""
    part = " (for some addresses)" if verdict.pattern == "partial" else ""
    head = f"{outcome}{how}{part}  "
    url = clip(clean(measurement.target.url), max(20, WIDTH - columns(head)))
    return _paint(outcome, verdict.outcome, colour) + head[len(outcome) :] + url


def _section(label: str, items: Iterable[str], height: int) -> list[str]:
    """Wrap items beside a label, in at most `height` lines; the last line says what was left out."""
    wrapped: list[str] = []
    for item in items:
        wrapped += textwrap.wrap(clean(item, 1000), WIDTH - LABEL) or [""]
    if len(wrapped) > height:
        wrapped = [*wrapped[: height - 1], clip(wrapped[height - 1], WIDTH - LABEL - 2) + " …"]
    heads = [f"{label:{LABEL}}"] + [" " * LABEL] * (len(wrapped) - 1)
    return [clip(head + text, WIDTH) for head, text in zip(heads, wrapped, strict=True)]


def _asked(measurement: Measurement) -> list[str]:
    means = [MEANS.get(step.means, "") for step in measurement.observations if isinstance(step, Capture)]
    return [
        ", ".join((f"{clean(measurement.nettest)} test", moment(measurement.started), *filter(None, means[:1]))),
        f"from {_place(measurement)}",
    ]


def _place(measurement: Measurement) -> str:
    vantage = measurement.vantage
    network = f"AS{vantage.asn}" if vantage.asn else "an unknown network"
    country = clean(vantage.country) if vantage.country else "an unknown country"
    resolver = f", resolver {clean(vantage.resolver)}" if vantage.resolver else ""
    return f"{network} in {country}{resolver}"


def _happened(steps: Sequence[AnyObservation]) -> list[str]:
    """Tell our own steps in order; when there are too many, those that worked give way first."""
    own = [s for s in steps if s.view is View.LOCAL and s.purpose is None and not _says_little(s)]
    own = own or [s for s in steps if isinstance(s, Transfer) and s.purpose is Purpose.PACE_TARGET]
    own = sorted(own, key=_order)
    keep = sorted(own, key=lambda s: (not isinstance(s, HttpExchange) and s.failure is None, own.index(s)))[:6]
    lines = [_step(s) for s in own if s in keep]
    if len(own) > len(keep):
        lines.append(f"and {plural(len(own) - len(keep), 'more step')} that went alike or worked")
    return lines or ["nothing was measured"]


def _step(step: AnyObservation) -> str:
    """Write a step in one line, at the cost of what was done rather than of what came of it."""
    what, result = describe(step)
    result = clip(result, WIDTH - LABEL - 28)
    return f"{clip(what, WIDTH - LABEL - 2 - columns(result))}: {result}"


def _says_little(step: AnyObservation) -> bool:
    """Whether a step is left out: an empty AAAA or HTTPS lookup is ordinary, the control is told of elsewhere."""
    return isinstance(step, ControlQuery) or (isinstance(step, DnsLookup) and step.rtype != "A" and not step.addresses)


def _compared(steps: Sequence[AnyObservation]) -> list[str]:
    """Tell what stood beside our own steps, in the order of weight; where on the way it was is in the meaning."""
    lines = _trusted(steps) + _control(steps) + _way(steps)
    tallies: dict[Purpose, Counter[str]] = {}
    for step in sorted(steps, key=_order):
        if (
            step.purpose is not None
            and step.purpose in PURPOSES
            and not isinstance(step, Hop)
            and step.purpose not in WALKS
            and not _is_path(step, steps)
        ):
            tally = tallies.setdefault(step.purpose, Counter())
            if not isinstance(step, Transfer) or step.failure is not None:
                tally[problem(step) or "worked"] += 1
    for each in PURPOSES:
        if each in tallies:
            paces = [transfer_rate(s) for s in steps if isinstance(s, Transfer) and s.purpose is each and not s.failure]
            told = [_paces(paces)] if paces else []
            if tallies[each]:
                told.append(f"{'failed: ' if paces else ''}{_tally(tallies[each])}")
            lines.append(f"{purpose(each)}: {'; '.join(told)}")
    return lines or ["nothing: it was not needed, or nothing to compare with is configured"]


def _is_path(step: AnyObservation, steps: Sequence[AnyObservation]) -> bool:
    """Whether a connection of a follow-up only carried the handshake or request that counts.

    So did a handshake that carried a transfer, under whatever certificate.
    """
    if isinstance(step, TlsHandshake):
        return any(other.cause == step.id and isinstance(other, Transfer) for other in steps)
    if not isinstance(step, TcpConnect) or step.failure is not None:
        return False
    return any(other.cause == step.id and other.purpose == step.purpose for other in steps)


def _trusted(steps: Sequence[AnyObservation]) -> list[str]:
    lookups = [s for s in steps if isinstance(s, DnsLookup) and s.view is View.TRUSTED and s.rtype == "A"]
    if not lookups:
        return []
    results = Counter(", ".join(sorted(s.addresses)[:3]) or problem(s) or "no address" for s in lookups)
    return [f"trusted resolvers: {_tally(results)}"]


def _control(steps: Sequence[AnyObservation]) -> list[str]:
    queries = [s for s in steps if isinstance(s, ControlQuery)]
    if not queries:
        return []
    if all(query.failure is not None for query in queries):
        return [f"the control gave no answer: {problem(queries[-1])}"]
    pages = [s for s in steps if isinstance(s, HttpExchange) and s.view is View.CONTROL]
    if pages:
        return [f"the control saw: {describe(pages[-1])[1]}"]
    failed = [s for s in steps if s.view is View.CONTROL and s.failure is not None]
    return [f"the control saw: {problem(failed[0])}" if failed else "the control reached it"]


def _way(steps: Sequence[AnyObservation]) -> list[str]:
    """Tell which routers packets without a name met on the way to the target, in a measurement that walked it."""
    met: dict[int, str] = {}
    for step in steps:
        if isinstance(step, Hop) and step.purpose is Purpose.TRACE_PATH:
            there = "the site" if step.answer == "open" else clean(step.router or "?")
            met[step.ttl] = there if met.get(step.ttl, "?") == "?" else met[step.ttl]
    last = min((ttl for ttl, there in met.items() if there == "the site"), default=max(met, default=0))
    whole = range(1, last + 1)
    return [f"the way: {', '.join(met[ttl] for ttl in whole)}"] if last > 1 and met.keys() >= set(whole) else []


def _paces(rates: Sequence[float]) -> str:
    """Tell the median of some rates, and between which they lie."""
    middle, least, most = (bit_rate(rate) for rate in (median(rates), min(rates), max(rates)))
    of = f" in the median of {len(rates)}" if len(rates) > 1 else ""
    return f"{middle}{of}" + (f" ({least} to {most})" if least != most else "")


def _tally(results: Counter[str]) -> str:
    total = results.total()
    if total == 1:
        return next(iter(results))
    return "; ".join(f"{what} ({count} of {total})" for what, count in results.most_common(3))


def _how_sure(verdict: Verdict) -> str:
    if verdict.outcome in (Outcome.BLOCKED, Outcome.THROTTLED):
        text = (
            "Confirmed: the site is alive, and something in between interferes."
            if verdict.confidence is Confidence.CONFIRMED
            else "Likely, not confirmed: both proofs are there, but one rests on less."
        )
    else:
        text = OUTCOMES[verdict.outcome]
    reason = f" Reason: {clean(verdict.reason)}." if verdict.reason else ""
    return f"{text}{reason} {_rests_on(verdict)}".rstrip()


def _rests_on(verdict: Verdict) -> str:
    if not verdict.findings:
        return ""
    first = verdict.findings[0]
    steps = ", ".join(str(step) for step in first.evidence[:8]) + (", …" if len(first.evidence) > 8 else "")
    more = f" and {plural(len(verdict.findings) - 1, 'more rule')}" if len(verdict.findings) > 1 else ""
    return f"Rule {clean(first.rule)}{more}, steps {steps or 'none'}."


def _step_line(step: AnyObservation, cited: bool) -> str:
    what, result = describe(step)
    eyes = purpose(step.purpose) if step.purpose else VIEWS[step.view]
    when = " " * 21 if _is_told(step) else f"{step.started:+8.3f} s {step.elapsed:7.3f} s"
    return f"{'*' if cited else ' '}{step.id:4} {when}  {f'[{eyes}] ' if eyes else ''}{what}: {result}" + (
        f" (after {step.cause})" if step.cause is not None else ""
    )


def _in_order(steps: Sequence[AnyObservation]) -> list[AnyObservation]:
    """Sort steps by when they began; what a control saw, on a clock of its own, comes with its answer."""
    answered = {step.id: step.started + step.elapsed for step in steps if isinstance(step, ControlQuery)}

    def known(step: AnyObservation) -> tuple[float, int]:
        began = answered.get(step.cause or 0) if _is_told(step) else None
        return (step.started if began is None else began, step.id)

    return sorted(steps, key=known)


def _is_told(step: AnyObservation) -> bool:
    """Whether a control told of a step, which has no times of ours then."""
    return step.view is View.CONTROL and not isinstance(step, ControlQuery)


def _order(step: AnyObservation) -> tuple[float, int]:
    return (step.started, step.id)


def _utc(seconds: float, form: str) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime(form)
    except (ValueError, OverflowError, OSError):  # a foreign record may name a time no calendar holds
        return "at no known time"


def _paint(text: str, outcome: Outcome, colour: bool) -> str:
    return f"\x1b[{COLOURS[outcome]}m{text}\x1b[0m" if colour else text
