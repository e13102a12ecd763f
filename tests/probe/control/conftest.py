from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.probe.control.sites import Sites, nginx


@pytest.fixture(scope="package")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    with nginx(tmp_path_factory.mktemp("nginx")) as running:
        yield running
