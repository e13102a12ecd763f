"""Tests of hooks are coroutines: they and their receivers share a loop, which anyio's own plugin for pytest runs."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
