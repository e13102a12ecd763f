"""Do something when the first packet to an address is sent: `on_packet ADDRESS stop SECONDS COMMAND…`, or
`on_packet ADDRESS run COMMAND…`.

`stop` runs the command at once, and stops and continues it when the packet is seen; `run` says "ready" and
runs the command half a second after it was seen.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time

_ETH_P_ALL = 3
_A_WHILE = 0.5
_IPV4 = b"\x08\x00"


def seen(tap: socket.socket, address: str) -> None:
    """Return once an IPv4 packet to `address` has left."""
    wanted = socket.inet_aton(address)
    while True:
        frame = tap.recv(64)
        if frame[12:14] == _IPV4 and frame[30:34] == wanted:
            return


def open_tap() -> socket.socket:
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))


def main() -> int:
    address, action, *rest = sys.argv[1:]
    tap = open_tap()
    if action == "run":
        print("ready", flush=True)
        seen(tap, address)
        time.sleep(_A_WHILE)
        return subprocess.run(rest, check=False).returncode
    seconds, command = float(rest[0]), rest[1:]
    with subprocess.Popen(command) as child:

        def stop() -> None:
            seen(tap, address)
            child.send_signal(signal.SIGSTOP)
            time.sleep(seconds)
            child.send_signal(signal.SIGCONT)

        threading.Thread(target=stop, daemon=True).start()
        return child.wait()


if __name__ == "__main__":
    sys.exit(main())
