"""One lab for each pytest process (so one for each xdist worker), started when a test first asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.client import LabClient


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabClient]:
    """A running lab. Missing packages fail the tests that need it, by name; they are never skipped."""
    running = LabClient(tmp_path_factory.mktemp("lab"))
    yield running
    running.close()
