"""What an export is: rows in, bytes or files out.

The contract stands beside the registry, not in it, so that a format never imports its siblings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from measurements.model import Measurement, Verdict


class Judged(NamedTuple):
    """A measurement and what one version of the rules says about it."""

    measurement: Measurement
    verdict: Verdict

    @property
    def steps(self) -> int:
        """The number of observations."""
        return len(self.measurement.observations)

    @property
    def rules(self) -> list[str]:
        """The ids of the rules that spoke."""
        return [finding.rule for finding in self.verdict.findings]

    @property
    def evidence(self) -> list[int]:
        """The ids of the steps that they rest on, in order."""
        return sorted({step for finding in self.verdict.findings for step in finding.evidence})


class Field(NamedTuple):
    """A column, or a field of an object: its kind and what it means.

    `kind` is a type of Frictionless' Table Schema: string, integer, number, date, datetime, object or array.
    """

    kind: str
    meaning: str


Export = Callable[[Iterable[Judged], BinaryIO], int]
"""Write every row to the stream, one at a time and in bounded memory; return how many were written.

A row that the format has no place for is left out and not counted.
"""

FolderExport = Callable[[Iterable[Judged], Path], int]
"""The same for a format that is many files: write them below the folder, which is there and empty."""


class MissingExtra(Exception):
    """A format needs a package that is not installed; the text says what to install."""


@dataclass(frozen=True, slots=True)
class Format:
    """A format that is one stream: how it is written, what is in it, and its name when it stands in a folder.

    `whole` tells whether it looks into observations; otherwise they need only be counted.
    """

    write: Export
    file: str
    fields: Mapping[str, Field]
    whole: bool = True
    about: str = ""


@dataclass(frozen=True, slots=True)
class FolderFormat:
    """A format that is a folder of files; `ending` is theirs, and `in_names` are fields that only their names hold."""

    write: FolderExport
    ending: str
    fields: Mapping[str, Field]
    in_names: tuple[str, ...] = ()
    whole: bool = False
    about: str = ""


AnyFormat = Format | FolderFormat
