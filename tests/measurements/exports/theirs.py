"""OONI's own package `oonidata`, in an environment of its own: its pins are older than ours.

The environment is made once, in the user's cache, from the hashes in `oonidata.lock`; tests that run side by side wait
for the one that makes it. Without it the tests fail: what OONI's code loads is what the export promises.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).with_name("oonidata.lock")

_READER = """
import dataclasses, json, sys
import oonidata.dataclient
for line in open(sys.argv[1], "rb"):
    loaded = oonidata.dataclient.load_measurement(msmt=json.loads(line))
    told = dataclasses.asdict(loaded)
    told["class"] = type(loaded).__name__
    told["bodies"] = [r.response.body_bytes.decode("latin-1") for r in loaded.test_keys.requests]
    told["headers"] = [r.response.get_first_http_header_str("server") for r in loaded.test_keys.requests]
    print(json.dumps(told))
"""


def loaded(file: Path) -> list[dict[str, Any]]:
    """Load every line of a file by `oonidata`, and return its objects as it has them."""
    ran = subprocess.run([_python(), "-c", _READER, str(file)], capture_output=True, text=True, timeout=100)
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def _python() -> Path:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wazi-tests"
    folder = cache / f"oonidata-{version}-{digest}"
    cache.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (folder / "whole").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            argv = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            argv += ["--require-hashes", "-r", str(LOCK)]
            installed = subprocess.run(argv, capture_output=True, text=True, timeout=250)
            assert installed.returncode == 0, f"oonidata cannot be installed: {installed.stderr}"
            (folder / "whole").touch()
    return folder / "bin" / "python"
