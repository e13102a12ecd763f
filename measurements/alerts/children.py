"""Programs that are run for a hook: bounded in time and output, and none of their processes outlives them.

A child gets a session of its own, so that its whole process group can be killed: at a limit, when whoever waits for it
gives up, and also when it ends by itself and leaves others behind. Its environment is ours without `WAZI_*`, for those
variables hold secrets.
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from measurements.printable import clean

MOST_OUTPUT = 64 * 1024
"""Bytes that a child may write to each of stdout and stderr."""
LINGER = 1.0  # seconds to wait for the last words of a child that has ended or was killed


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: `trouble` says why it was killed, else it is empty; and what it wrote."""

    code: int
    output: bytes
    errors: bytes
    trouble: str = ""

    @property
    def how(self) -> str:
        """How it ended, in words."""
        if self.trouble:
            return f"{self.trouble} and was killed"
        if self.code < 0:
            return f"was ended by signal {-self.code}"
        return f"ended with exit code {self.code}"


def clean_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment without the settings of Wazi."""
    return {name: value for name, value in environ.items() if not name.upper().startswith("WAZI_")}


async def run(command: Sequence[str], data: bytes, *, timeout: float, environment: Mapping[str, str]) -> Ended:
    """Run a program and its arguments with `data` on stdin; raises OSError when it cannot be started."""
    transport, child = await asyncio.get_running_loop().subprocess_exec(
        _Child, *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True, env=dict(environment)
    )
    trouble = ""
    try:
        stdin = transport.get_pipe_transport(0)
        assert isinstance(stdin, asyncio.WriteTransport)
        stdin.write(data)
        stdin.write_eof()
        async with asyncio.timeout(timeout):
            await child.over.wait()
    except TimeoutError:
        trouble = f"took longer than {timeout:g} s"
    finally:
        _kill(transport.get_pid())
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                await child.gone.wait()
        transport.close()  # what another process holds open is not read any more
    if child.flooded:
        trouble = f"wrote more than {MOST_OUTPUT // 1024} KiB"
    return Ended(transport.get_returncode() or 0, bytes(child.written[1]), bytes(child.written[2]), trouble)


class _Child(asyncio.SubprocessProtocol):
    """Keeps the beginning of what a child writes; `over` is set when it has ended or must, `gone` when all is read."""

    def __init__(self) -> None:
        self.written = {1: bytearray(), 2: bytearray()}
        self.flooded = False
        self.over = asyncio.Event()
        self.gone = asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        kept = self.written[fd]
        kept += data[: MOST_OUTPUT - len(kept)]
        if len(kept) == MOST_OUTPUT:
            self.flooded = True
            self.over.set()

    def process_exited(self) -> None:
        self.over.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()


def _kill(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def first_line(words: bytes) -> str:
    """Return the first line that says something, fit to print, with a colon before it; or nothing."""
    lines = (clean(line, 200) for line in words.decode("utf-8", "replace").splitlines())
    return next((f": {line}" for line in lines if line), "")
