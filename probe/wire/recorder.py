"""Recording every step exactly once, whatever ends it.

A step ends by success, by a failure, by its own time limit, or because the measurement was cut; in the last
case it is recorded as `interrupted` with the facts it had gathered, and the cancellation goes on.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from measurements.model import AnyObservation, Failure, Observation, Purpose, View
from probe.wire.failures import failure_of

T = TypeVar("T", bound=Observation)
Facts = dict[str, Any]


class Recorder:
    """The observations of one measurement, in the order in which they ended."""

    def __init__(self) -> None:
        self.observations: list[AnyObservation] = []
        self._ids = itertools.count(1)
        self._zero = time.perf_counter()

    @property
    def zero(self) -> float:
        """When the measurement began, in UTC seconds since the epoch by the clock as it is now."""
        return time.time() - (time.perf_counter() - self._zero)

    async def step(
        self,
        kind: type[T],
        facts: Facts,
        work: Callable[[], Awaitable[None]],
        *,
        cause: AnyObservation | None,
        view: View,
        purpose: Purpose | None,
        limit: float | None,
    ) -> T:
        """Do `work`, which fills `facts`, within `limit` seconds, and record one observation."""
        identity = next(self._ids)
        began = time.perf_counter()
        failure: Failure | None = None
        detail = ""
        try:
            async with asyncio.timeout(limit):
                await work()
        except Exception as error:
            failure, detail = failure_of(error)
        except BaseException as error:
            failure, detail = failure_of(error)
            raise
        finally:
            noted = facts.pop("detail", "")
            step = kind(
                id=identity,
                cause=None if cause is None else cause.id,
                view=view,
                purpose=purpose,
                started=began - self._zero,
                elapsed=time.perf_counter() - began,
                failure=failure,
                detail=detail or noted,
                **facts,
            )
            self.observations.append(step)  # type: ignore[arg-type]
        return step

    def adopt(self, step: AnyObservation, cause: AnyObservation) -> None:
        """Record what somebody else saw, as a step of this measurement."""
        self.observations.append(msgspec.structs.replace(step, id=next(self._ids), cause=cause.id))
