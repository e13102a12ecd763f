"""Where we stand, and whether this network can be judged at all.

`machine` is what the computer says of itself, `canaries` asks harmless things of the network, `judging` says what
the answers mean, and `look` does all of it before a batch; `glance` is the little that is asked during it.
"""

from __future__ import annotations

from probe.vantage.judging import changed
from probe.vantage.look import Sight, glance, look
from probe.vantage.machine import Machine

__all__ = ["Machine", "Sight", "changed", "glance", "look"]
