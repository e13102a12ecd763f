"""What is followed up when something failed, and how much of it is allowed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from measurements.model import Hop, TcpConnect
from tests.measurements.blocked_worlds import BLOCKED
from tests.measurements.worlds import Disruption, play
from tests.scripted import ScriptedNetwork


def test_follow_ups_keep_their_allowance() -> None:
    """If much fails, no more than the allowed connections are opened for the follow-up."""
    for disruption in BLOCKED:
        _, net = play(disruption)
        opened = [o for o in net.observations if isinstance(o, TcpConnect | Hop) and o.purpose is not None]
        assert len(opened) <= net.limits.follow_up_connections, disruption.name
        assert "follow_up" not in net.spent.limits, f"{disruption.name}: what was found used up the allowance"


class TakingTime(ScriptedNetwork):
    """Connections that others may be asked for before they end."""

    async def connect(self, *args: Any, **kwargs: Any) -> TcpConnect:
        await asyncio.sleep(0.001)
        return await super().connect(*args, **kwargs)

    async def hop(self, *args: Any, **kwargs: Any) -> Hop:
        await asyncio.sleep(0.001)
        return await super().hop(*args, **kwargs)


@pytest.mark.parametrize("allowance", [1, 5, 8, 20])
@pytest.mark.parametrize("disruption", BLOCKED, ids=lambda d: d.name)
def test_steps_side_by_side_share_one_allowance(disruption: Disruption, allowance: int) -> None:
    """If steps are taken side by side, those under way count too."""
    net = TakingTime(disruption.world, preconditions=disruption.preconditions)
    net.limits = replace(net.limits, follow_up_connections=allowance)
    play(disruption, net)
    opened = [o for o in net.observations if isinstance(o, TcpConnect | Hop) and o.purpose is not None]
    assert len(opened) <= allowance
