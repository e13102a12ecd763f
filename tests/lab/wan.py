"""A wide-area link: holds every packet for a while. Run as `wan.py QUEUE DELAY_MS JITTER_MS SEED`.

The delay is one way, and jitter is normal around it, packet by packet, so that packets overtake one
another. The kernel's netem is not everywhere; this is the same, by verdicts that are given late.
"""

from __future__ import annotations

import contextlib
import ctypes
import heapq
import random
import select
import sys
import time
from collections import deque

from tests.lab.nfqueue import ACCEPT, Queue

_PR_SET_TIMERSLACK = 29
_BATCH = 256


def main() -> None:
    number, delay, jitter = int(sys.argv[1]), float(sys.argv[2]) / 1e3, float(sys.argv[3]) / 1e3
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    random.seed(int(sys.argv[4]))
    queue = Queue(number, copy=False, capacity=200_000)
    queue.socket.setblocking(False)
    print("ready", flush=True)
    if jitter:
        hold_each(queue, delay, jitter)
    else:
        hold_all(queue, delay)


def arrivals(queue: Queue, limit: int) -> list[int]:
    """Return the ids of the packets that wait now, at most `limit`."""
    found: list[int] = []
    with contextlib.suppress(BlockingIOError):
        while len(found) < limit:
            found.append(queue.receive().id)
    return found


def wait(poll: select.epoll, due: float | None) -> bool:
    """Sleep until a packet comes (True) or until `due`."""
    return bool(poll.poll(None if due is None else max(0.0, due - time.monotonic())))


def watch(queue: Queue) -> select.epoll:
    poll = select.epoll()
    poll.register(queue.socket.fileno(), select.EPOLLIN)
    return poll


def hold_all(queue: Queue, delay: float) -> None:
    """Hold every packet equally long; ids only grow, so one verdict frees all that are due."""
    poll = watch(queue)
    held: deque[tuple[float, int]] = deque()
    while True:
        now, free = time.monotonic(), None
        while held and held[0][0] <= now:
            free = held.popleft()[1]
        if free is not None:
            with contextlib.suppress(FileNotFoundError):
                queue.accept_through(free)
        if wait(poll, held[0][0] if held else None) and (ids := arrivals(queue, _BATCH)):
            held.append((time.monotonic() + delay, ids[-1]))


def hold_each(queue: Queue, delay: float, jitter: float) -> None:
    """Hold each packet for a time of its own."""
    poll = watch(queue)
    held: list[tuple[float, int]] = []
    while True:
        while held and held[0][0] <= time.monotonic():
            queue.judge(heapq.heappop(held)[1], ACCEPT)
        if wait(poll, held[0][0] if held else None):
            for number in arrivals(queue, _BATCH):
                due = time.monotonic() + max(0.0, random.gauss(delay, jitter))
                heapq.heappush(held, (due, number))


if __name__ == "__main__":
    main()
