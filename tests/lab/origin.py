"""A slow web server behind nginx: it thinks for 2 s, then writes a page in pieces. Run in `srv`."""

from __future__ import annotations

import asyncio
import contextlib

PORT = 9001
_THINKING, _PIECES, _BETWEEN = 2.0, 6, 0.4


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(_THINKING)
        writer.write(
            b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<html><head><title>slow.example</title></head>"
        )
        for number in range(_PIECES):
            await asyncio.sleep(_BETWEEN)
            writer.write(f"<p>Piece {number} of a page that takes its time.</p>\n".encode() * 10)
            await writer.drain()
    writer.close()


async def main() -> None:
    async with await asyncio.start_server(answer, "127.0.0.1", PORT) as server:
        print("ready", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
