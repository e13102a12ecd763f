"""What pytest must know before it looks into any folder: the options of ours."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--whole-book",
        action="store_true",
        help="put every scenario of tests/lab/book to the probe, with and without a control, and not a spread of them",
    )
