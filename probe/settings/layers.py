"""Where settings come from, layer upon layer, and how to name each one's place to a person.

Flags lie on the environment, the environment on the file, the file on the defaults. Tables are laid
over each other key by key, lists as a whole. Every layer knows where a setting of its own was
written, so that a complaint about it can say so and `wazi config show` can too.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PREFIX = "WAZI_"
CONFIG_VARIABLE = "WAZI_CONFIG"
SECTIONS = ("network", "control", "vantage", "store", "campaign")
ALERT = "alert"
"""Whole; what only begins so may be where somebody keeps an alert's secret."""
FILE_NAME = "wazi.toml"
SHIPPED = "shipped"
"""The word for the list that comes with Wazi, where lists are named."""
MAX_FILE = 1024 * 1024

Location = tuple[str | int, ...]
Tree = dict[str, Any]

_TABLE = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"\s*([A-Za-z0-9_\-.\"' ]+?)\s*=")


class SettingsError(ValueError):
    """Settings that cannot be used: one sentence a line, each naming the place and what to do."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings from one source, and the place of each by its location, such as ("network", "ipv6")."""

    values: Tree
    places: Mapping[Location, str] = field(default_factory=dict)
    origin: str = ""
    folder: Path = Path()

    def place(self, location: Location) -> str:
        """Name where a setting was written: its own place, or that of what holds it or lies in it."""
        for length in range(len(location), 0, -1):
            if location[:length] in self.places:
                return self.places[location[:length]]
        return next((place for at, place in self.places.items() if at[: len(location)] == location), self.origin)

    def holds(self, location: Location) -> bool:
        """Tell whether this layer sets what is at `location`."""
        found: Any = self.values
        for step in location:
            if isinstance(found, dict) and step in found:
                found = found[str(step)]
            elif isinstance(found, list) and isinstance(step, int) and step < len(found):
                found = found[step]
            else:
                return False
        return True


def from_flags(overrides: Mapping[str, Any]) -> Layer:
    """Take what a command was told by its flags: {section: {key: value}}, None where a flag was not given."""
    values = {
        section: {key: value for key, value in keys.items() if value is not None} if isinstance(keys, Mapping) else keys
        for section, keys in overrides.items()
    }
    return Layer(values, origin="the command line")


def from_environment(environ: Mapping[str, str]) -> Layer:
    """Take WAZI_SECTION__KEY variables; an empty one counts as not set.

    One without `__` is ours only when it begins with a section's name, as a misspelt one does: other
    programs, such as a test bench, may have variables of their own.
    """
    values: Tree = {}
    places: dict[Location, str] = {}
    for name, text in sorted(environ.items()):
        if not name.startswith(PREFIX) or name == CONFIG_VARIABLE or not text.strip():
            continue
        section, separator, key = name.removeprefix(PREFIX).lower().partition("__")
        if separator:
            values.setdefault(section, {})[key] = text
            places[section, key] = name
        elif section.startswith(SECTIONS) or section == ALERT:
            values[section] = _json_or_text(text)
            places[(section,)] = name
    return Layer(values, places, "the environment")


def from_file(path: Path) -> Layer:
    """Read a TOML file; a relative path in it is taken from the file's folder."""
    text = read_text(path, MAX_FILE)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, _, position = str(error).rpartition(" (at ")
        line = re.match(r"line (\d+)", position)
        place = f"{path} line {line[1]}" if line else str(path)
        raise SettingsError(f"{place}: no TOML: {what or error}; mend this line") from None
    except RecursionError:
        raise SettingsError(f"{path}: brackets are nested too deeply; is it the right file?") from None
    except ValueError as error:  # a number of thousands of digits
        raise SettingsError(f"{path}: cannot be read ({error}); is it the right file?") from None
    _anchor(values, path.parent.absolute())
    places = {location: f"{path} line {line}" for location, line in _lines(text).items()}
    return Layer(values, places, str(path), path.parent.absolute())


def find_file(named: Path | None, environ: Mapping[str, str], folders: Sequence[Path]) -> Path | None:
    """Choose the settings file: the one that was named, else WAZI_CONFIG's, else the first that exists."""
    variable = environ.get(CONFIG_VARIABLE)
    if named is None and variable:
        named = Path(variable)
        if not named.exists():
            raise SettingsError(f"{CONFIG_VARIABLE} = {variable}: there is no such file; correct it or unset it")
    if named is not None:
        return named
    return next((folder / FILE_NAME for folder in folders if (folder / FILE_NAME).is_file()), None)


def read_text(path: Path, limit: int) -> str:
    """Read a UTF-8 file of at most `limit` bytes; `SettingsError` says what is wrong with it."""
    return text_of(path, read_data(path, limit))


def read_data(path: Path, limit: int) -> bytes:
    """Read a file of at most `limit` bytes; `SettingsError` says what is wrong with it."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); correct the path or its permissions") from None
    if len(data) > limit:
        raise SettingsError(f"{path}: is larger than {limit} bytes; is it the right file?")
    return data


def text_of(path: Path, data: bytes) -> str:
    """Read the bytes of a file as UTF-8; `SettingsError` names the line that is not."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{path} line {line}: is not UTF-8; save the file as UTF-8") from None


def lay(layers: Sequence[Layer]) -> Tree:
    """Lay the layers over each other; the first is on top."""
    result: Tree = {}
    for layer in reversed(layers):
        result = _over(layer.values, result)
    return result


def _over(top: Tree, bottom: Tree) -> Tree:
    merged = dict(bottom)
    for key, value in top.items():
        below = merged.get(key)
        merged[key] = _over(value, below) if isinstance(value, dict) and isinstance(below, dict) else value
    return merged


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _anchor(values: Tree, folder: Path) -> None:
    """Write relative paths out, for nothing later knows which file named them."""
    network, campaigns, store = values.get("network"), values.get("campaign"), values.get("store")
    tables = [(network, key) for key in ("ca_file", "bogons")]
    for campaign in campaigns if isinstance(campaigns, list) else []:
        moments = campaign.get("moment") if isinstance(campaign, dict) else None
        tables += [(table, "targets") for table in (campaign, *(moments if isinstance(moments, list) else ()))]
    if isinstance(network, dict) and isinstance(lists := network.get("fingerprints"), str | list):
        entries = [part.strip() for part in lists.split(",")] if isinstance(lists, str) else lists
        network["fingerprints"] = [
            str(folder / Path(entry).expanduser()) if isinstance(entry, str) and entry not in ("", SHIPPED) else entry
            for entry in entries
        ]
    tables.append((store, "export_before_drop"))
    for table, key in tables:
        if isinstance(table, dict) and isinstance(table.get(key), str) and table[key]:
            table[key] = str(folder / Path(table[key]).expanduser())
    if isinstance(store, dict) and isinstance(store.get("url"), str):
        store["url"] = re.sub(r"^sqlite:///(?=[^/:?])", lambda found: f"{found[0]}{folder}/", store["url"])


def _lines(text: str) -> dict[Location, int]:
    """Find the line of each table and key, as far as a file is written plainly."""
    lines: dict[Location, int] = {}
    table: Location = ()
    counts: dict[Location, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if found := _TABLE.fullmatch(line):
            table = ()
            names = _names(found[2])
            for depth, name in enumerate(names, 1):
                table = (*table, name)
                if found[1] == "[[" and depth == len(names):
                    counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table]) if table in counts else table
            for location in (table, table[:-1]) if found[1] == "[[" else (table,):
                lines.setdefault(location, number)
        elif found := _KEY.match(line):
            lines.setdefault((*table, *_names(found[1])), number)
    return lines


def _names(dotted: str) -> list[str]:
    return [name.strip().strip("\"'") for name in dotted.split(".")]
