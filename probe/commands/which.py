"""Which measurements a command is about: flags, as they were written, become the store's filter."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from measurements.model import Outcome
from probe.commands.console import Refusal

if TYPE_CHECKING:
    from measurements.store import Filter


@dataclass(frozen=True, slots=True)
class Which:
    """Which measurements are meant; everything as it was written."""

    target: str | None = None
    outcome: str | None = None
    since: str | None = None
    until: str | None = None
    countries: tuple[str, ...] = ()
    asns: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    rules_version: int | None = None

    def filter(self, now: float) -> Filter:
        """Return the store's own filter, or refuse in words."""
        from measurements.store import Filter

        return Filter(
            target=_target(self.target),
            outcome=_outcome(self.outcome),
            since=_moment(self.since, now, "--since"),
            until=_moment(self.until, now, "--until"),
            countries=tuple(map(_country, self.countries)),
            asns=tuple(map(_asn, self.asns)),
            categories=tuple(category.strip().upper() for category in self.categories),
            rules_version=self.rules_version,
        )

    def __str__(self) -> str:
        """Say in words what was asked for."""
        said = {
            "since": self.since,
            "until": self.until,
            "target": self.target,
            "country": " or ".join(self.countries),
            "asn": " or ".join(self.asns),
            "category": " or ".join(self.categories),
            "outcome": self.outcome,
            "rules version": self.rules_version,
        }
        return ", ".join(f"{name} {value}" for name, value in said.items() if value) or "everything that was stored"


def _outcome(text: str | None) -> Outcome | None:
    if text is None:
        return None
    try:
        return Outcome(text)
    except ValueError:
        raise Refusal(f"--outcome {text}: must be one of {', '.join(Outcome)}") from None


def _target(text: str | None) -> str | None:
    """Write a target as the store has it: a URL in its normal form, or a host."""
    from measurements.targets import BadTarget, normalise, normalise_host

    if text is None:
        return None
    try:
        return normalise(text).url if "://" in text else normalise_host(text)
    except BadTarget as error:
        raise Refusal(f"--target: {error}") from None


def _country(text: str) -> str:
    code = text.strip().upper()
    if len(code) != 2 or not code.isascii() or not code.isalpha():
        raise Refusal(f"--country {text}: write two letters, such as ET")
    return code


def _asn(text: str) -> int:
    digits = text.strip().upper().removeprefix("AS")
    if not digits.isascii() or not digits.isdigit() or not 0 < int(digits[:11]) < 2**32:
        raise Refusal(f"--asn {text}: write the number of a network, such as AS24757")
    return int(digits)


def _moment(text: str | None, now: float, flag: str) -> float | None:
    """Read a moment: a date, a date and time (UTC unless it says otherwise), or how long ago."""
    from probe.settings.quantities import duration

    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        pass
    try:
        return now - duration(text)
    except ValueError:
        example = "write a date such as 2026-11-23, a time such as 2026-11-23T08:00, or how long ago such as 24h"
        raise Refusal(f"{flag} {text}: {example}") from None
