"""One scenario put to the probe once: the line it printed, and what those who interfere recorded meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from tests.lab.scenario import Deed, Scenario
from tests.lab.sites import addresses_of


class Laboratory(Protocol):
    """What an attempt needs of a lab."""

    def apply(self, scenario: Scenario, *, control: bool, seed: int) -> None: ...
    def check(self, url: str, *, control: bool, nettest: str = "web") -> dict[str, Any]: ...
    def deeds(self) -> list[Deed]: ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """`line` is that of `wazi check --json` with its exit code and stderr; `deeds` are those about the target.

    `seconds` is what the whole command took.
    """

    line: dict[str, Any]
    deeds: tuple[Deed, ...]
    seconds: float

    def untrue(self, scenario: Scenario) -> str | None:
        """Say why the scenario was not true after all, so that a timeout cannot pass for a block."""
        if scenario.acts and not self.deeds:
            return "nobody was caught interfering, though somebody should have been"
        if self.deeds and not scenario.acts:
            return f"somebody interfered, though nobody should have: {self.deeds[0]}"
        return None


def attempt(lab: Laboratory, scenario: Scenario, *, control: bool, seed: int = 0) -> Attempt:
    """Make the scenario true, ask the probe, and ask those who interfere; raises `LabError`."""
    lab.apply(scenario, control=control, seed=seed)
    began = time.monotonic()
    line = lab.check(scenario.target, control=control, nettest=scenario.nettest)
    seconds = time.monotonic() - began
    return Attempt(line, tuple(about_target(lab.deeds(), scenario)), seconds)


def about_target(deeds: list[Deed], scenario: Scenario) -> list[Deed]:
    """Return what was done to the name or addresses of the target, or of the victim further on.

    What is done to anybody counts, unless the scenario says that it has no business with this target.
    """
    name = scenario.victim or urlsplit(scenario.target).hostname or ""
    anybody = () if scenario.idle else ("any",)
    return [deed for deed in deeds if deed.subject in (name, *anybody, *addresses_of(name))]
