"""`throttling`: is the target's name slower than another?

A server of ours serves the same object under any name. Pair after pair is read from it, once under the target's
name and once under a harmless one that is as long; server, bytes and path are the same, so that only the name can
make the difference, and each pair has a path that nobody asked for before, so that no cache can know one name's object
and not the other's. A coin decides the order of every other pair, and the one after it has the opposite: a line that
lets the first of two transfers through (a provider's token bucket, which fills in between) can never make one name
slower twice running. How much two transfers differ by themselves is learnt first,
from pairs under two harmless names; the fewer are known of this network, the more are laid. `measurements.pace`
weighs the pairs as they come, and the session ends as soon as they have said what they can.

It costs more than any other nettest, and is bounded in pairs, bytes and seconds. It must be alone on the line.

Without such a server the target's own page, beside that of a harmless site, is read once each. It is no pair: that
one site is slower than another shows nothing, and is told as a hint.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from urllib.parse import urlsplit

from measurements.model import Purpose, Target, TcpConnect, TlsHandshake, Transfer, View
from measurements.pace import NEEDED, STEADY, Tally, chance_of_apart, leg_time, pairs_in, settled, weigh
from measurements.reading import is_address
from probe.network import Network
from probe.pacer import Pacer, find_pacer
from probe.steps import find_address, harmless_name

SLOW_PAIRS = 6  # pairs that differ in nothing, after which a line most of whose legs were too slow is left alone
SPARE = 8  # such pairs that may be laid again in one session, because some did not count
MOST_LOST = 3  # pairs in a row without two transfers, after which the session is over

Side = tuple[str, Purpose]
"""The name of a leg, and what it is for."""


async def measure(target: Target, net: Network) -> None:
    """Lay pairs until they have said whether the target's name is slowed down."""
    if net.preconditions.reason is not None or is_address(target.host):
        return
    pacer = await find_pacer(net)
    port = None if pacer is None else pacer.tls_port if target.scheme == "https" else pacer.port
    if pacer is None or port is None:
        await _hint(target, net)
        return
    try:
        async with asyncio.timeout(net.limits.pace_timeout - net.limits.pace_leg_timeout):
            await Session(net, target, pacer, port, random.SystemRandom()).go()
    except TimeoutError:
        net.spent.limits.append("pace_timeout")


class Session:
    """The pairs of one measurement, at one server of ours."""

    def __init__(self, net: Network, target: Target, pacer: Pacer, port: int, chance: random.Random) -> None:
        self.net, self.pacer = net, pacer
        self.port, self.encrypted = port, target.scheme == "https"
        self.object = min(net.limits.pace_object, pacer.most)
        self.alike_object = min(net.limits.pace_alike_object, pacer.most)
        self.target = target.host
        self.harmless = harmless_name(target.host)
        self.chance = chance
        self.tally = Tally()
        self.number = 0
        self.lost = 0
        self.turned: bool | None = None  # whether the pair before this one began with its second side, if that binds

    async def go(self) -> None:
        """Lay pairs that differ in nothing while they are needed, one more to stay up to date, then the target's."""
        if not await self._calibrate():
            return
        before = self._spent()
        self.turned = None
        names = ((self.target, Purpose.PACE_TARGET), (self.harmless, Purpose.PACE_HARMLESS))
        while not settled(weigh(self.tally, self.net.pace)) and self.lost < MOST_LOST:
            if self.tally.laid >= self.net.limits.pace_pairs:
                self.net.spent.limits.append("pace_pairs")
                return
            if self.net.pace.spent + self._spent() - before + 2 * self.object > self.net.limits.pace_bytes:
                self.net.spent.limits.append("pace_bytes")
                return
            if self.number > 1:
                await self.net.pause(self.chance.uniform(0.0, self.net.limits.pace_pause))
            await self._pair(names, self.object)

    async def _calibrate(self) -> bool:
        """Lay pairs that differ in nothing, one at least; say whether enough are known.

        Where the first ones show a line that wavers, as many again tell better how much. It is looked at once: whoever
        stops when the look pleases is fooled by luck.
        """
        legs = 2 * NEEDED
        await self._lay_alike(legs)
        if self._known() >= legs and chance_of_apart(self._known(), self._apart()) > STEADY:
            await self._lay_alike(2 * legs)
        return self._known() >= legs

    async def _lay_alike(self, legs: int) -> None:
        names = ((self.harmless, Purpose.PACE_ALIKE), (harmless_name(self.harmless), Purpose.PACE_ALIKE))
        most = self.number + (legs - self._known()) // 2 + SPARE
        while not self.number or (self._known() < legs and self.number < most and self.lost < MOST_LOST):
            if self.number >= SLOW_PAIRS and self.tally.alike_legs < self.number:
                return
            await self._pair(names, self.alike_object)

    def _known(self) -> int:
        return self.net.pace.alike_legs + self.tally.alike_legs

    def _apart(self) -> int:
        return self.net.pace.alike_apart + self.tally.alike_apart

    def _spent(self) -> int:
        return self.net.spent.sent + self.net.spent.received

    async def _pair(self, sides: tuple[Side, Side], size: int) -> None:
        """Lay one pair, in the order that its turn has, and count it."""
        self.number += 1
        begun = len(self.net.observations)
        first, second = self._in_turn(sides)
        path = f"/bytes/{size}?pair={secrets.token_hex(4)}"
        one = await self._leg(*first, path, size, self.net.limits.pace_leg_timeout)
        if one is not None:
            await self._leg(*second, path, size, leg_time(one, self.net.limits.pace_leg_timeout))
        laid = pairs_in(self.net.observations[begun:])
        for pair in laid:
            self.tally.add(pair)
        self.lost = self.lost + 1 if not laid or laid[0].unfit == "failed" else 0

    def _in_turn(self, sides: tuple[Side, Side]) -> tuple[Side, Side]:
        """Order a pair: by a coin, or the other way round than the one before it, by turns."""
        drawn = self.turned is None
        turned = self.chance.random() < 0.5 if self.turned is None else not self.turned
        self.turned = turned if drawn else None
        return (sides[1], sides[0]) if turned else sides

    async def _leg(self, name: str, purpose: Purpose, path: str, size: int, seconds: float) -> Transfer | None:
        """Read the object under one name; None when no connection to our server stood."""
        tcp = await self.net.connect(self.pacer.address, self.port, view=View.FOLLOW_UP, purpose=purpose, wide=True)
        over: TcpConnect | TlsHandshake = tcp
        if tcp.failure is not None:
            return None
        if self.encrypted:
            over = tls = await self.net.handshake(tcp, name=name)
            if not self.pacer.is_at(tls):
                return None
        scheme = "https" if self.encrypted else "http"
        return await self.net.transfer(over, f"{scheme}://{name}{path}", wanted=size, pair=self.number, timeout=seconds)


# -- without a server of ours


async def _hint(target: Target, net: Network) -> None:
    """Read the target's own page, and that of a harmless site, once each."""
    others = [f"{target.scheme}://{witness.name}/" for witness in net.peers.witnesses if not witness.domestic]
    for url in (target.url, *others[:1]):
        await _read_page(net, url)


async def _read_page(net: Network, url: str) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    address = await find_address(net, host)
    if address is None:
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    tcp = await net.connect(address, port, view=View.FOLLOW_UP, purpose=Purpose.PACE_OBJECT, wide=True)
    over: TcpConnect | TlsHandshake = tcp
    if tcp.failure is None and parts.scheme == "https":
        over = await net.handshake(tcp, name=host)
    if over.failure is None:
        await net.transfer(over, url, wanted=net.limits.pace_object, timeout=net.limits.pace_leg_timeout)
