"""What proofs are made of: how a step ended, which steps ended alike, and what a proof says."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

from measurements.model import (
    Failure,
    HttpExchange,
    Pattern,
    Proof,
    Purpose,
    QuicHandshake,
    TcpConnect,
    TlsHandshake,
    View,
    Where,
)
from measurements.reading import Flow, Reading, identical

Step = TcpConnect | TlsHandshake | QuicHandshake | HttpExchange


@dataclass(frozen=True)
class Shown:
    """A proof that was found: which, where, and on what observations it rests; `words` say what was counted."""

    proof: Proof
    where: Where
    evidence: tuple[int, ...]
    hop: int | None = None
    pattern: Pattern | None = None
    words: str = ""

    @property
    def place(self) -> str:
        """Say where it happens."""
        if self.where is Where.LOCAL:
            return "; the first router, your own network's, does it"
        return f"; it happens at hop {self.hop}, short of the site's network" if self.hop is not None else ""


def worked(step: Step) -> bool:
    """Whether a step was answered by somebody who speaks its protocol, under whatever certificate.

    A QUIC server that closes the connection has answered too: what is at issue there is silence.
    """
    if isinstance(step, QuicHandshake):
        return step.answered
    return step.ended if isinstance(step, TlsHandshake) else step.failure is None


def kind_of(step: Step) -> str:
    """Name how a step failed: reset, timeout, eof, alert, unreachable, or other."""
    match step.failure:
        case Failure.CONNECTION_RESET | Failure.CONNECTION_REFUSED | Failure.CONNECTION_ABORTED:
            return "reset"
        case Failure.TIMEOUT:
            return "timeout"
        case Failure.EOF:
            return "eof"
        case Failure.SSL_FAILED_HANDSHAKE:
            return "alert"
        case Failure.HOST_UNREACHABLE | Failure.NETWORK_UNREACHABLE | Failure.NETWORK_DOWN:
            return "unreachable"
        case _:
            return "other"


def fails_like(failed: Step) -> Callable[[Step], bool]:
    """Ask of a step whether it failed at the same stage and in the same way as `failed`."""
    return lambda step: type(step) is type(failed) and not worked(step) and kind_of(step) == kind_of(failed)


def answers_like(page: HttpExchange) -> Callable[[Step], bool]:
    """Ask of a step whether it brought the same answer as `page`."""
    return lambda step: isinstance(step, HttpExchange) and identical(step, page)


def like(flow: Flow) -> Callable[[Step], bool]:
    """Ask of a step whether what is wrong with `flow` is wrong with it too."""
    if flow.failed is not None and isinstance(flow.failed, Step):
        return fails_like(flow.failed)
    return answers_like(flow.page) if flow.page is not None else lambda step: False


def outcomes(story: Reading, *purposes: Purpose) -> list[Step]:
    """The last step of each try that was made for a purpose, in the order of the tries."""
    steps: list[Step] = [
        *story.follow_ups(TcpConnect, *purposes),
        *story.follow_ups(TlsHandshake, *purposes),
        *story.follow_ups(QuicHandshake, *purposes),
        *story.follow_ups(HttpExchange, *purposes),
    ]
    causes = {step.cause for step in steps}
    return sorted((step for step in steps if step.id not in causes), key=lambda step: step.id)


def stood(story: Reading, failed: TcpConnect) -> tuple[int, ...]:
    """The connections from here to the same address and port that stood before `failed` did not."""
    ours = [s for s in story.observations if isinstance(s, TcpConnect) and s.view is not View.CONTROL]
    there = [s for s in ours if (s.address, s.port) == (failed.address, failed.port) and s.id < failed.id]
    return tuple(s.id for s in there if s.failure is None)


def same_prefix(one: str, other: str) -> bool:
    """Whether two addresses lie in the smallest prefix that networks announce: one /24, or one /48."""
    try:
        here, there = ipaddress.ip_address(one), ipaddress.ip_address(other)
    except ValueError:  # a record from elsewhere may name anything
        return False
    return there in ipaddress.ip_network((here, 24 if here.version == 4 else 48), strict=False)
