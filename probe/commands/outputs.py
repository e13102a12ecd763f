"""One file of results, made whole in memory before anything of it is written."""

from __future__ import annotations

from pathlib import Path

from probe.commands.console import Refusal, to_reader

STDOUT = "-"


def write_whole(data: bytes, output: str | None) -> None:
    """Write to a file, which is there whole or not at all, or to stdout; raises Refusal."""
    from measurements.exports.files import fresh_file

    if output is None or output == STDOUT:
        with to_reader() as stdout:
            stdout.write(data)
        return
    if output.endswith("/") or Path(output).is_dir():
        raise Refusal(f"{output}: is a folder, and this is one file; give it a name in there")
    try:
        with fresh_file(Path(output)) as stream:
            stream.write(data)
    except OSError as error:
        raise Refusal(f"{output}: cannot be written ({error.strerror})") from None
