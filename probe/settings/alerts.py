"""`[[alert]]`: who is told of events. What Wazi itself must know is a rule; the rest are options of the hook.

An option is a keyword parameter of the hook's factory and is read by the type that it has there. What is secret may
be written as it is, or better as `{ env = "NAME" }` or `{ file = "PATH" }`; it is shown nowhere, also not in
complaints. A hook is made once when settings load, so that a wrong option is found before the first packet.
"""

from __future__ import annotations

import inspect
import os
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from measurements.alerts.notice import Change, Hook
from measurements.alerts.routing import Rule
from measurements.alerts.secrets import HIDDEN, Secret
from measurements.bogons import Bogons
from probe.settings import values
from probe.settings.layers import SettingsError, read_text
from probe.settings.quantities import duration, show_duration
from probe.settings.sections import AlertSettings

MAX_SECRET = 64 * 1024
_SPOKEN = frozenset({Change.OPENED, Change.UPDATED, Change.CLOSED})

Factory = Callable[..., Hook]


class BadOption(ValueError):
    """An option that cannot be used; `name` is its name, or empty when none is to blame alone."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(why)
        self.name = name


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One `[[alert]]`: whom it tells, of what, and by which hook with which options."""

    name: str
    hook: str
    rule: Rule
    options: Mapping[str, object] = field(repr=False)
    files: tuple[Path, ...] = ()
    factory: Factory = field(repr=False)

    def shown(self, written: str, value: object) -> str:
        """Write an option, as it was written in the settings, so that no secret shows."""
        name = next((name for name in (written, *_sources(written)) if name in self.options), "")
        if name != written:
            value = {written.removeprefix(f"{name}_"): value}
        return shown_option(value, self.options.get(name, HIDDEN))

    def make(self) -> Hook:
        """Make the hook; raises ValueError with a sentence."""
        return self.factory(**self.options)


def alert(
    table: AlertSettings,
    *,
    folder: Path,
    bogons: Callable[[], Bogons],
    environ: Mapping[str, str] = os.environ,
    hooks: Mapping[str, Factory] | None = None,
) -> Alert:
    """Read one table; relative paths are taken from `folder`. Raises BadOption."""
    known = _hooks() if hooks is None else hooks
    factory = known.get(table.hook)
    if factory is None:
        raise BadOption("hook", f"must be one of {', '.join(sorted(known)) or 'none: this Wazi has no hooks'}")
    reader = _Reader(factory, folder, environ)
    options = reader.read(table.options)
    for name, kind in reader.kinds.items():
        if _inner(kind) is Bogons:
            options[name] = bogons()
    made = Alert(
        name=table.shown_name,
        hook=table.hook,
        rule=rule(table),
        options=options,
        files=tuple(reader.files),
        factory=factory,
    )
    try:
        made.make()
    except ValueError as error:
        first, _, rest = str(error).partition(" ")
        name = first.rstrip(":,")
        raise BadOption(*((name, rest) if name in reader.kinds else ("", str(error)))) from None
    return made


def _hooks() -> Mapping[str, Factory]:
    from measurements.alerts.hooks import HOOKS  # they load much, which is for those who have an alert

    return HOOKS


def rule(table: AlertSettings) -> Rule:
    """Return what a table says of who is told what, and when."""
    return Rule(
        name=table.shown_name,
        unconfirmed=table.min_confidence == "unconfirmed",
        countries=frozenset(table.countries),
        asns=frozenset(table.asns),
        categories=frozenset(table.categories),
        kinds=frozenset(table.kinds),
        changes=frozenset(table.changes) or _SPOKEN,
        quiet=table.quiet_hours,
        zone=table.time_zone,
        urgent=frozenset(table.urgent),
        digest=table.digest,
        cool_down=table.cool_down,
        update_every=table.update_every,
        give_up=table.give_up,
    )


def shown_option(written: object, value: object) -> str:
    """Write an option as `wazi config show` may: where it comes from, or as much of it as is safe."""
    if isinstance(written, Mapping):
        return ", ".join(f"from {source} {what}" for source, what in written.items())
    if isinstance(value, tuple):
        entries = written if isinstance(written, list) and len(written) == len(value) else [None] * len(value)
        return ", ".join(map(shown_option, entries, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Reader:
    """Reads the options of one factory by the types of its parameters."""

    def __init__(self, factory: Factory, folder: Path, environ: Mapping[str, str]) -> None:
        hints = get_type_hints(factory)
        self.parameters = {
            name: parameter
            for name, parameter in inspect.signature(factory).parameters.items()
            if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        }
        self.kinds: dict[str, Any] = {name: hints.get(name, str) for name in self.parameters}
        self.files: list[Path] = []
        self._folder, self._environ = folder, environ

    def read(self, given: Mapping[str, object]) -> dict[str, object]:
        allowed = [name for name, kind in self.kinds.items() if _inner(kind) is not Bogons]
        options: dict[str, object] = {}
        for written, value in given.items():
            name, value = self._source(written, value)
            if name not in allowed:
                raise BadOption(written, f"is no option of this hook; there are {', '.join(allowed) or 'none'}")
            if name in options:
                raise BadOption(written, f"says {name} twice; leave one out")
            try:
                options[name] = self._value(self.kinds[name], value)
            except ValueError as error:
                raise BadOption(written, str(error)) from None
        for name in allowed:
            if name not in options and self.parameters[name].default is inspect.Parameter.empty:
                raise BadOption("", f"{name} is missing; write it")
        return options

    def _source(self, written: str, value: object) -> tuple[str, object]:
        """Take `secret_file = "…"` and `secret_env = "…"` for `secret = { file = "…" }` and `{ env = "…" }`."""
        if written not in self.kinds:
            for name in _sources(written):
                if name in self.kinds:
                    return name, {written.removeprefix(f"{name}_"): value}
        return written, value

    def _value(self, kind: Any, value: object) -> object:
        kind = _inner(kind)
        if get_origin(kind) is tuple:
            inner = get_args(kind)[0]
            if isinstance(value, Mapping):
                value = [part for part in self._fetch(value).split("\n") if part.strip()]
            entries = value if isinstance(value, list | tuple) else values.listed(value)
            if not isinstance(entries, list | tuple):
                raise ValueError("must be a list")
            return tuple(self._value(inner, entry) for entry in entries)
        if isinstance(value, Mapping):
            value = self._fetch(value)
        if kind is Secret:
            return Secret(_text(value))
        if kind is Path:
            return self._folder / values.file_path(value)
        if kind is bool:
            return values.switch(value)
        if kind is int:
            return values.count(value)
        if kind is float:
            return duration(value)
        return _text(value)

    def _fetch(self, table: Mapping[str, object]) -> str:
        """Read what stands in a variable or a file, without the line's end."""
        match dict(table):
            case {"env": str(name), **rest} if not rest:
                found = self._environ.get(name, "").strip()
                if not found:
                    raise ValueError(f"the variable {name} is not set, or empty; set it")
                return found
            case {"file": str(name), **rest} if not rest:
                path = self._folder / values.file_path(name)
                self.files.append(path)
                try:
                    found = read_text(path, MAX_SECRET).strip()
                except SettingsError as error:
                    raise ValueError(str(error)) from None
                if not found:
                    raise ValueError(f"{path}: is empty; write it there")
                return found
        raise ValueError('write it, or { env = "NAME" }, or { file = "PATH" }')


def _inner(kind: Any) -> Any:
    """Return the type of an option that may be left out: what stands beside None."""
    if get_origin(kind) in (Union, types.UnionType):
        return next(part for part in get_args(kind) if part is not type(None))
    return kind


def _sources(written: str) -> Iterator[str]:
    """Return the option that `secret_file` or `secret_env` stands for."""
    return (written.removesuffix(f"_{source}") for source in ("file", "env") if written.endswith(f"_{source}"))


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("write a text")
    return value.strip()


def contradictions(tables: Sequence[AlertSettings]) -> Iterator[tuple[int, str, object, str]]:
    """Find what does not go together: which table, which setting, its value, and what to do."""
    taken: set[str] = set()
    for index, table in enumerate(tables):
        if table.shown_name in taken:
            yield (
                index,
                "name" if table.name else "hook",
                table.shown_name,
                "is another alert's name; write a name of its own",
            )
        taken.add(table.shown_name)
        if table.give_up <= table.digest:
            digest, most = show_duration(table.digest), show_duration(table.give_up)
            yield index, "digest", digest, f"must be shorter than give_up ({most}), or nothing would ever be sent"
        if table.urgent and not table.digest and table.quiet_hours is None:
            yield index, "urgent", ", ".join(table.urgent), "has no sense without quiet_hours or digest"
