"""Write what a build needs to reach the mirrors that this machine's pip and apt use.

    lend.py FOLDER

makes FOLDER/pip (a pip configuration), FOLDER/apt (an apt configuration) and FOLDER/ca (certificates). In
the build they are mounted under /run/secrets, so the first two name the third by that path.
"""

from __future__ import annotations

import ast
import configparser
import os
import subprocess
import sys
from pathlib import Path

INSIDE = "/run/secrets/ca"
SYSTEM_CA = "/etc/ssl/certs/ca-certificates.crt"
PIP_OPTIONS = {"index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout", "retries"}
APT_OPTIONS = ("Acquire::http::", "Acquire::https::", "Acquire::Retries")


def pip_settings() -> dict[str, str]:
    """Return pip's settings here; the environment outdoes the files, as it does for pip."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    ).stdout
    settings: dict[str, str] = {}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    return settings


def pip_configuration(settings: dict[str, str]) -> configparser.RawConfigParser:
    """Return the part of `settings` that says where packages come from, with the certificates lent."""
    lent = {name: value for name, value in settings.items() if name in PIP_OPTIONS}
    parser = configparser.RawConfigParser()
    parser["global"] = {**lent, "cert": INSIDE}
    return parser


def apt_configuration() -> str:
    """Return apt's settings here for reaching its mirrors, with the certificates lent."""
    dump = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout
    lent = [line for line in dump.splitlines() if line.startswith(APT_OPTIONS) and "CaInfo" not in line]
    return "\n".join([*lent, f'Acquire::https::CaInfo "{INSIDE}";', ""])


def certificates(settings: dict[str, str]) -> bytes:
    """Return the certificates that pip trusts here, or else the system's."""
    named = [settings.get("cert"), *map(os.environ.get, ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")), SYSTEM_CA]
    return next(Path(path).read_bytes() for path in named if path and Path(path).is_file())


def main(folder: Path) -> None:
    settings = pip_settings()
    with (folder / "pip").open("w") as file:
        pip_configuration(settings).write(file)
    (folder / "apt").write_text(apt_configuration())
    (folder / "ca").write_bytes(certificates(settings))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
