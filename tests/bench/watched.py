"""Run a command inside the lab and watch it: how long it takes, and how much memory it needs at most.

    python -m tests.bench.watched OUTPUT STORE COUNT COMMAND…

The command's output goes to the file OUTPUT. With a STORE (an SQLite file), the command is asked to end as
soon as COUNT measurements are stored in it; otherwise (`-`) it ends by itself. Prints one JSON object.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

PATIENCE = 600.0
_EVERY = 0.1


def main() -> None:
    """Start the command, watch it, and report."""
    output, store, count, *argv = sys.argv[1:]
    began = time.monotonic()
    took = peak = 0.0
    with Path(output).open("wb") as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    while process.poll() is None and time.monotonic() - began < PATIENCE:
        peak = max(peak, peak_kilobytes(process.pid))
        if store != "-" and not took and _stored(Path(store)) >= int(count):
            took = time.monotonic() - began
            process.terminate()
        time.sleep(_EVERY)
    if process.poll() is None:
        process.kill()
    code = process.wait()
    took = took or time.monotonic() - began
    print(json.dumps({"code": code, "seconds": took, "peak_megabytes": peak * 1024 / 1e6}))


def peak_kilobytes(pid: int) -> int:
    """Read the largest resident memory so far (VmHWM); 0 when the process has just ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def _stored(store: Path) -> int:
    if not store.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT count(*) FROM measurement").fetchone()
    except sqlite3.OperationalError:  # its tables are being made
        return 0
    return int(found[0])


if __name__ == "__main__":
    main()
