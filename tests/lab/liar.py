"""A resolver that lies about some names and passes on the truth about all others, over UDP and TCP.

Run as `python -m tests.lab.liar PLAN.json LOG`; a router sends questions here instead of where they were going.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from pathlib import Path
from typing import TextIO

import msgspec

from tests.lab.payloads import RCODES, asks_for, dns_forgery, dns_question, matches
from tests.lab.scenario import Deed, ResolverLie

PORT = 5353
_PATIENCE = 3.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Who lies, where it listens, whom it asks itself ("address" of port 53), and the lies."""

    by: str
    addresses: tuple[str, ...]
    upstream: str
    lies: tuple[ResolverLie, ...]


class Liar:
    """Answers questions."""

    def __init__(self, plan: Plan, log: TextIO) -> None:
        self._plan = plan
        self._log = log

    async def answer(self, message: bytes) -> bytes | None:
        """Answer one question with a lie or with the truth; None is silence."""
        question = dns_question(message)
        if question is None:
            return None
        for lie in self._plan.lies:
            if matches(question.name, lie.names) and asks_for(question, lie.kinds):
                deed = Deed(by=self._plan.by, action=f"dns {lie.answer}", subject=question.name)
                self._log.write(msgspec.json.encode(deed).decode() + "\n")
                await asyncio.sleep(lie.wait)
                if lie.answer == "truth":
                    break
                if lie.answer == "silence":
                    return None
                if lie.answer in RCODES:
                    return dns_forgery(message, question, error=lie.answer, ede=lie.ede)
                return dns_forgery(message, question, lie.answer.split(), ede=lie.ede)
        return await asyncio.to_thread(self._truth, message)

    def _truth(self, message: bytes) -> bytes | None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, contextlib.suppress(OSError):
            udp.settimeout(_PATIENCE)
            udp.connect((self._plan.upstream, 53))
            udp.send(message)
            return udp.recv(65536)
        return None

    async def stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the questions that come over a TCP connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                size = struct.unpack(">H", await reader.readexactly(2))[0]
                reply = await self.answer(await reader.readexactly(size))
                if reply is not None:
                    writer.write(struct.pack(">H", len(reply)) + reply)
                    await writer.drain()
        writer.close()

    async def packets(self, udp: socket.socket) -> None:
        """Answer the questions that come over UDP, side by side."""
        loop = asyncio.get_running_loop()

        async def one(message: bytes, asker: tuple[str, int]) -> None:
            if reply := await self.answer(message):
                await loop.sock_sendto(udp, reply, asker)

        async with asyncio.TaskGroup() as group:
            while True:
                message, asker = await loop.sock_recvfrom(udp, 65536)
                group.create_task(one(message, asker))


async def serve(liar: Liar, addresses: tuple[str, ...]) -> None:
    servers = []  # the loop alone does not keep them alive
    async with asyncio.TaskGroup() as group:
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            udp = socket.socket(family, socket.SOCK_DGRAM)
            udp.setblocking(False)
            udp.bind((address, PORT))
            group.create_task(liar.packets(udp))
            servers.append(await asyncio.start_server(liar.stream, address, PORT))
        print("ready", flush=True)


def main() -> None:
    plan = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)
    with Path(sys.argv[2]).open("a", buffering=1) as log:
        asyncio.run(serve(Liar(plan, log), plan.addresses))


if __name__ == "__main__":
    main()
