"""What all follow-up steps share: whom the doubt is about, the witnesses, and one allowance.

No more than `limits.follow_up_connections` and `limits.follow_up_bytes` are spent; what there is no
allowance for is left out and recorded as the limit `follow_up`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from measurements.model import DnsLookup, Purpose, TcpConnect, View
from measurements.reading import Leg, Reading
from probe.network import Network, Witness
from probe.steps import find_address, harmless_name

TIMEOUT = 4.0  # of a follow-up step: the harmless twin beside it shows whether that is enough here
PAIRS = 3


class Asking:
    """One leg that is in doubt, and what is left to spend on it."""

    def __init__(self, net: Network, story: Reading, leg: Leg) -> None:
        self.net = net
        self.story = story
        self.leg = leg
        self.name = leg.host
        self.harmless = harmless_name(leg.host)
        self._bytes_before = net.spent.sent + net.spent.received
        self._opened = 0
        self.target = ""  # the address that the doubt is about, where it is about one
        self.fit: list[str] = []  # servers that took the harmless name, and so are witnesses
        self._witnesses: list[str] | None = None
        self._witnesses6: list[str] | None = None
        self._finding = asyncio.Lock()

    @property
    def left(self) -> int:
        """How many connections are still within the allowance."""
        spent = self.net.spent.sent + self.net.spent.received - self._bytes_before
        limits = self.net.limits
        return limits.follow_up_connections - self._opened if spent < limits.follow_up_bytes else 0

    def allowed(self) -> bool:
        """Whether one more connection is within the allowance, against which it then counts.

        Steps run side by side: what counted only once it ended would be allowed too often.
        """
        if self.left > 0:
            self._opened += 1
            return True
        if "follow_up" not in self.net.spent.limits:
            self.net.spent.limits.append("follow_up")
        return False

    async def connect(self, address: str, port: int, purpose: Purpose, mss: int | None = None) -> TcpConnect | None:
        """Open a follow-up connection; None when it failed or the allowance is spent."""
        if not self.allowed():
            return None
        tcp = await self.net.connect(address, port, view=View.FOLLOW_UP, purpose=purpose, timeout=TIMEOUT, mss=mss)
        return tcp if tcp.failure is None else None

    async def again(self, step: Callable[[], Awaitable[object]]) -> None:
        """Take a step after a pause."""
        await self.net.pause(self.net.limits.repetition_pause)
        await step()

    def story_now(self) -> Reading:
        """Read what has been observed up to now."""
        return Reading(self.story.target, self.net.observations, self.net.is_private)

    async def witnesses(self) -> list[str]:
        """Find up to three witnesses' addresses, once: all different, and none of them the target's own."""
        async with self._finding:
            if self._witnesses is None:
                names = self.witness_names()
                found: list[str] = []
                for start in range(0, len(names), PAIRS):
                    answers = await asyncio.gather(*(find_address(self.net, n) for n in names[start : start + PAIRS]))
                    found += [a for a in answers if a is not None and a not in (*found, *self.related)]
                    if len(found) >= PAIRS or not any(answers):
                        break
                self._witnesses = found[:PAIRS]
        return self._witnesses

    def take_for_witnesses(self, addresses: list[str]) -> None:
        """Let these addresses be the witnesses, of whichever protocol the target is asked by."""
        self._witnesses = addresses[:PAIRS]

    async def witnesses_like(self, target: str) -> list[str]:
        """Find the witnesses' addresses of the same protocol as the target's own."""
        if ":" not in target:
            return await self.witnesses()
        async with self._finding:
            if self._witnesses6 is None:
                names = self.witness_names()[:PAIRS]
                answers = await asyncio.gather(*(find_address(self.net, n, "AAAA") for n in names))
                self._witnesses6 = [a for a in answers if a is not None and a != target]
        return self._witnesses6

    def name_of(self, witness: str) -> str | None:
        """The name under which a witness's address was found."""
        lookups = self.story_now().follow_ups(DnsLookup, Purpose.WITNESS)
        return next((q.name for q in lookups if witness in q.addresses), None)

    @property
    def related(self) -> set[str]:
        """The target's own addresses."""
        return {*self.leg.local_addresses, *self.leg.trusted_addresses}

    def witness_names(self) -> list[str]:
        """The names of harmless sites other than the target; foreign ones, for no border is on the way to others."""
        return [w.name for w in self.others if not w.domestic] or [w.name for w in self.others]

    @property
    def others(self) -> list[Witness]:
        """The witnesses other than the target: one that is measured itself must not bear witness for itself."""
        own = {self.name, self.story.target.host}
        return [w for w in self.net.peers.witnesses if w.name not in own]
