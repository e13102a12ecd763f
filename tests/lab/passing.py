"""An ISP's proxy that passes everything on, whole and unread. Run in `ispsrv` as `python -m tests.lab.passing`.

It finds the true site by the Host of a request or the server name of a ClientHello, and copies bytes both
ways: whoever is sent here by a false DNS answer still gets the true page under the true certificate.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from functools import partial

from tests.lab.middlebox import accepted, join, peek, serve
from tests.lab.payloads import client_hello, http_host
from tests.lab.sites import addresses_of
from tests.lab.topology import PASSING_PROXY


async def pass_on(connection: socket.socket, *, port: int) -> None:
    """Join a connection to the site that it names; hang up when it names none."""
    name = (await peek(connection, client_hello if port == 443 else http_host)).name
    addresses = addresses_of((name or "").removeprefix("www."))
    if not addresses:
        connection.close()
        return
    async with accepted(connection) as client:
        await join(client, await asyncio.open_connection(addresses[0], port))


def listen(port: int) -> socket.socket:
    listener = socket.create_server((PASSING_PROXY, port), backlog=256)
    listener.setblocking(False)
    return listener


async def main() -> None:
    async with asyncio.TaskGroup() as group:
        for port in (80, 443):
            group.create_task(serve(listen(port), partial(pass_on, port=port)))
        print("ready", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
