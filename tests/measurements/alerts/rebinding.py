"""Run in fresh namespaces: a name server that flips between a public and a private address, and 1,000 posts.

Prints how often the private and the public receiver were connected to, how many posts were refused, and how many
questions the name server was asked. 1.2.3.4 is an address of this namespace, so no packet leaves the machine.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import tempfile
from pathlib import Path
from typing import cast

import dns.flags
import dns.message
import dns.rrset

from measurements.alerts.notice import HookFailed
from measurements.alerts.posting import Poster
from measurements.alerts.secrets import Secret
from measurements.bogons import Bogons
from tests.measurements.alerts.receivers import receiving

PUBLIC, PRIVATE = "1.2.3.4", "127.0.0.1"
POSTS = 1000


class Liar(asyncio.DatagramProtocol):
    """Answers every question for an address with one or the other, as chance has it."""

    def __init__(self) -> None:
        self.asked = 0
        self._chance = random.Random(7)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.asked += 1
        question = dns.message.from_wire(data)
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        if question.question[0].rdtype == 1:
            given = self._chance.choice((PUBLIC, PRIVATE))
            answer.answer.append(dns.rrset.from_text(question.question[0].name, 0, "IN", "A", given))
        self._transport.sendto(answer.to_wire(), address)


async def main() -> None:
    loop = asyncio.get_running_loop()
    _, liar = await loop.create_datagram_endpoint(Liar, local_addr=("127.0.0.1", 53))
    bogons = Bogons.parse((Path(__file__).parents[3] / "config/bogons.csv").read_text("utf-8"), "bogons.csv")
    refusals = 0
    async with receiving(host=PUBLIC) as public, receiving(host=PRIVATE) as private:
        for number in range(POSTS):
            port = private.port if number % 2 else public.port
            poster = Poster(Secret(f"http://flips.example:{port}/"), refused=bogons, plain=True, timeout=5.0)
            try:
                await poster.post(b"", {})
            except HookFailed as error:
                refusals += "no public address" in str(error)
                public.connections += "connection refused" in str(error)  # the private receiver's port, elsewhere
    print(private.connections, public.connections, refusals, liar.asked)


def prepare() -> None:
    """Set up the network, and a resolver configuration that this mount namespace alone sees."""
    for words in ("link set lo up", f"address add {PUBLIC}/32 dev lo"):
        subprocess.run(["ip", *words.split()], check=True)
    with tempfile.NamedTemporaryFile("w", suffix=".conf", delete=False) as conf:
        conf.write("nameserver 127.0.0.1\noptions timeout:1 attempts:2\n")
    subprocess.run(["mount", "--bind", conf.name, str(Path("/etc/resolv.conf").resolve())], check=True)
    Path(conf.name).unlink()


if __name__ == "__main__":
    prepare()
    asyncio.run(main())
