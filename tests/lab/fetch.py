"""A plain client's transfer, which shares no code with the probe. `python -m tests.lab.fetch ADDRESS PORT NAME BYTES`.

It asks for /bytes/BYTES under NAME, over TLS on port 443 and in clear elsewhere, and prints a line of JSON: the bytes
that came, the seconds it took, and the bit/s of all after the first 16 kB. It leaves after 4 s without a byte.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import time

HEAD = 16_000
PATIENCE = 4.0


def main() -> None:
    address, port, name, size = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = socket.create_connection((address, port), PATIENCE)
    if port == 443:
        connection = context.wrap_socket(connection, server_hostname=name)
    began = time.monotonic()
    connection.sendall(f"GET /bytes/{size} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
    head, total, last = b"", 0, 0.0
    since, before = 0.0, 0  # when the first 16 kB were there, and how many bytes these are
    try:
        while data := connection.recv(2048):
            last = time.monotonic() - began
            if b"\r\n\r\n" not in head:
                head += data
                data = head.partition(b"\r\n\r\n")[2]
            total += len(data)
            if total >= HEAD and not before:
                since, before = last, total
    except TimeoutError:
        pass
    rate = 8 * (total - before) / (last - since) if before and last > since else 0.0
    print(json.dumps({"bytes": total, "seconds": round(last, 3), "bps": round(rate), "status": head[9:12].decode()}))


if __name__ == "__main__":
    main()
