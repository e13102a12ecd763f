"""Says in a sentence what is wrong with a setting: its place, its name, its value, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from probe.settings.layers import Layer, Location
from probe.settings.values import hide_secrets

_SAID_OTHERWISE = {
    "missing": "is missing; write it",
    "model_type": "must be a table of settings",
    "tuple_type": "must be a list",
}


def sentence(layers: Sequence[Layer], known: Mapping[str, Sequence[str]], problem: Mapping[str, Any]) -> str:
    """Turn one of pydantic's error records into a sentence; `known` holds the keys of each section."""
    location, kind = problem["loc"], problem["type"]
    if kind == "extra_forbidden":
        names = known[_section(location)] if len(location) > 1 else [name for name in known if "." not in name]
        return f"{_place(layers, location)}: {_name(location)} is no setting; {_nearest(str(location[-1]), names)}"
    what = str(problem["ctx"]["error"]) if kind == "value_error" else _SAID_OTHERWISE.get(kind, problem["msg"])
    if kind == "missing":
        return f"{_place(layers, location[:-1])}: {_name(location)} {what}"
    return complaint(layers, location, what, problem["input"])


def complaint(layers: Sequence[Layer], location: Location, what: str, value: object) -> str:
    """Say what is wrong with the value of one setting."""
    if location[0] == "alert" and len(location) < 3:  # all of an alert, and its secrets
        return hidden(layers, location, what)
    return f"{_place(layers, location)}: {_name(location)} = {_quoted(value)}: {what}"


def hidden(layers: Sequence[Layer], location: Location, what: str) -> str:
    """Say what is wrong with a setting whose value may be a secret."""
    return f"{_place(layers, location)}: {_name(location)}: {what}"


def _section(location: Location) -> str:
    """Name the section in which a setting stands."""
    return ".".join(str(step) for step in location[:-1] if isinstance(step, str))


def _place(layers: Sequence[Layer], location: Location) -> str:
    return next((layer.place(location) for layer in layers if layer.holds(location)), "the defaults")


def _name(location: Location) -> str:
    """Write a location as a settings file has it: [network] witnesses, entry 2."""
    name = f"[[{location[0]}]]" if location[0] in ("campaign", "alert") else f"[{location[0]}]"
    if location[0] == "campaign" and location[2:3] == ("moment",):
        of, number = location[1], location[3:4]
        name = f"[[campaign.moment]]{f' {int(number[0]) + 1}' if number else ''} of {int(of) + 1}"
        location = ("", *location[4:])
    for depth, step in enumerate(location[1:]):
        if isinstance(step, str):
            name += f" {step}"
        else:
            name += f", entry {step + 1}" if depth else f" {step + 1}"
    return name


def _quoted(value: object) -> str:
    text = hide_secrets(f'"{value}"' if isinstance(value, str) else str(value))
    text = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    return text if len(text) <= 80 else text[:80] + "…"


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name.lower(), names, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
