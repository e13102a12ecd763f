"""The QUIC verbs of one measurement: their sockets, and the connections that later steps stand on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx

from measurements.model import AnyObservation, Failure, Purpose, QuicHandshake, View
from probe.network import Limits, Spent
from probe.wire import http3
from probe.wire.failures import LimitReached, StepFailed
from probe.wire.http import Page
from probe.wire.quic import Session, Socket, ask_versions
from probe.wire.recorder import Facts, Recorder
from probe.wire.sockets import Endpoint
from probe.wire.tls import sent_name


@dataclass(slots=True)
class QuicSteps:
    """What a measurement lends: its recorder, its counts, its limits, and how a chain is judged."""

    recorder: Recorder
    spent: Spent
    limits: Limits
    own_addresses: set[str]
    judge: Callable[[tuple[bytes, ...], bool, str | None, Facts], None]
    sessions: dict[int, Session] = field(default_factory=dict)
    opened: list[Session] = field(default_factory=list)

    def close(self) -> None:
        """Close every connection, promptly."""
        for session in self.opened:
            session.close()

    async def shake_hands(
        self,
        peer: Callable[[], Endpoint],
        facts: Facts,
        alpn: tuple[str, ...],
        *,
        cause: AnyObservation | None,
        view: View,
        purpose: Purpose | None,
        limit: float,
    ) -> QuicHandshake:
        """Shake hands under the name in `facts`, and keep the connection for an exchange."""
        name, verified = facts["name"], facts["verified_name"]
        facts["name"] = sent_name(name)
        made: list[Session] = []

        async def work() -> None:
            session = Session(Socket(peer(), self.spent), facts["name"], alpn)
            self.opened.append(session)
            self.own_addresses.add(session.socket.own_address)
            try:
                await session.shake_hands()
            except LimitReached as limit:
                session.close()
                raise StepFailed(Failure.SSL_FAILED_HANDSHAKE, str(limit)) from None
            except BaseException:
                session.close()
                raise
            finally:
                facts.update(session.facts(), **_counts(session.socket))
            made.append(session)
            chain, cut = session.chain(self.limits)
            self.judge(chain, cut, verified, facts)

        step = await self.recorder.step(
            QuicHandshake, facts, work, cause=cause, view=view, purpose=purpose, limit=limit
        )
        if made:
            self.sessions[step.id] = made[0]
        return step

    async def ask_versions(
        self,
        peer: Callable[[], Endpoint],
        facts: Facts,
        *,
        cause: AnyObservation | None,
        view: View,
        purpose: Purpose | None,
        limit: float,
    ) -> QuicHandshake:
        """Ask for the versions that are spoken there."""

        async def work() -> None:
            with Socket(peer(), self.spent) as sock:
                self.own_addresses.add(sock.own_address)
                try:
                    facts["versions"] = await ask_versions(sock)
                    facts["answered"] = True
                except LimitReached as limit:
                    raise StepFailed(Failure.SSL_FAILED_HANDSHAKE, str(limit)) from None
                finally:
                    facts.update(_counts(sock))

        return await self.recorder.step(
            QuicHandshake, facts, work, cause=cause, view=view, purpose=purpose, limit=limit
        )

    async def exchange(
        self,
        over: QuicHandshake,
        url: httpx.URL,
        page: Page,
        facts: Facts,
        *,
        host: str | None,
        headers: Mapping[str, str],
        wanted: int | None,
        timeout: float,
    ) -> None:
        """GET `url` over a connection that stands; raises what it failed with."""
        session = self.sessions.get(over.id)
        if session is None or session.socket.closed:
            raise StepFailed(Failure.INVALID_ARGUMENT, f"the connection of step {over.id} does not stand")
        if session.busy:
            raise StepFailed(Failure.INVALID_ARGUMENT, f"the connection of step {over.id} is in use")
        if session.alpn != "h3":
            raise StepFailed(Failure.INVALID_ARGUMENT, f"the connection of step {over.id} does not speak HTTP/3")
        session.busy = True
        before = session.socket.received
        try:
            await http3.exchange(
                session, url, page, host=host, headers=headers, limits=self.limits, wanted=wanted, timeout=timeout
            )
        finally:
            session.busy = False
            facts["wire_bytes"] = session.socket.received - before


def _counts(sock: Socket) -> Facts:
    return {"icmp": tuple(sock.icmp), "sent": sock.sent, "received": sock.received, "datagrams": sock.datagrams}
