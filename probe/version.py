"""The name and version of this program."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def software() -> str:
    """Return the name and version, as measurements and `wazi --version` carry them."""
    try:
        return f"wazi {version('wazi')}"
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "wazi of an unknown version"
