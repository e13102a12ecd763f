"""Judge the records of a bundle again, by the rules of this build, and compare.

A verdict may look back: a block that was seen in an earlier session too is confirmed, and a site that opened today is
alive. So records are judged in order of time, and each is told what the earlier ones of its probe and URL came to. What
the verdict on a witness rested on is in the bundle in the role `earlier`; `needed` picks it when a bundle is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from measurements.bogons import Bogons
from measurements.case import Case
from measurements.fingerprints import Fingerprints
from measurements.judge import judge
from measurements.model import Measurement, Outcome, Past, Verdict

REMEMBERED = 24 * 3600.0
"""Seconds for which a verdict may look back (`probe.crew`)."""

Judge = Callable[[Measurement, tuple[Past, ...]], Verdict]


def judge_by(bogons: Bogons, fingerprints: Fingerprints) -> Judge:
    """Return the rules of this build with some lists."""
    return lambda measurement, past: judge(Case(measurement, bogons, past, fingerprints))


def judge_all(measurements: Mapping[int, Measurement], judge: Judge) -> dict[int, Verdict | Exception]:
    """Judge records, given by number, in order of time; a mistake costs one of them its verdict."""
    found: dict[int, Verdict | Exception] = {}
    ordered = sorted(measurements.items(), key=lambda item: (item[1].started, item[0]))
    for place, (number, fact) in enumerate(ordered):
        past = [
            Past(started=other.started, verdict=said)
            for index, other in reversed(ordered[:place])
            if isinstance(said := found[index], Verdict) and _is_earlier(other, fact)
        ]
        try:
            found[number] = judge(fact, tuple(past))
        except Exception as error:  # rules must bear all, and a bundle may be of another's making
            found[number] = error
    return found


def agree(one: Verdict, other: Verdict) -> bool:
    """Tell whether two verdicts say the same, whatever their words."""
    return _gist(one) == _gist(other)


def gist(verdict: Verdict) -> str:
    """Say what a verdict says, in a line."""
    words = (verdict.outcome, verdict.mechanism, verdict.trigger, verdict.where, verdict.pattern, verdict.confidence)
    return " ".join(str(word) for word in (*words, verdict.reason and f"({verdict.reason})") if word)


def needed(fact: Measurement, said: Verdict, history: Sequence[Past], judge: Judge) -> tuple[Past, ...]:
    """Pick the earlier verdicts without which these rules would not say what was `said`, the first that will do.

    Nothing where they say it by themselves, or cannot be brought to.
    """
    if not history or _same(fact, said, (), judge):
        return ()
    for some in _choices(fact, said, history):
        if _same(fact, said, some, judge):
            return some
    return ()


def _choices(fact: Measurement, said: Verdict, history: Sequence[Past]) -> Iterable[tuple[Past, ...]]:
    like = tuple(
        past
        for past in history
        if past.verdict.outcome is said.outcome
        and past.verdict.mechanism is said.mechanism
        and fact.started - past.started >= 900.0
    )[:1]
    opened = tuple(past for past in history if past.verdict.outcome is Outcome.ACCESSIBLE)[:1]
    yield from (like, opened, tuple(sorted((*like, *opened), key=lambda past: -past.started)))


def _same(fact: Measurement, said: Verdict, past: tuple[Past, ...], judge: Judge) -> bool:
    try:
        return agree(judge(fact, past), said)
    except Exception:
        return False


def _is_earlier(other: Measurement, fact: Measurement) -> bool:
    mine = other.vantage.probe_id == fact.vantage.probe_id and other.target.url == fact.target.url
    return mine and 0 <= fact.started - other.started <= REMEMBERED


def _gist(verdict: Verdict) -> tuple[object, ...]:
    return (
        *(verdict.outcome, verdict.mechanism, verdict.trigger, verdict.where),
        *(verdict.pattern, verdict.confidence, verdict.reason),
    )
