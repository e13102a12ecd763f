"""A program of the operator's own, given the notice's JSON on standard input.

There is no shell: what is configured is a program and its arguments, and nothing of an event is ever one of these. An
exit code other than 0 is a failure, and the first line on stderr says why.
"""

from __future__ import annotations

import os
import shutil

from measurements.alerts.children import clean_environment, first_line, run
from measurements.alerts.notice import LONGEST, Hook, HookFailed, Notice
from measurements.alerts.payload import encode
from measurements.printable import clean


def command(*, command: tuple[str, ...], timeout: float = 30.0) -> Hook:
    """Run `command`, a program and its arguments, for at most `timeout` seconds."""
    if not command or not all(command) or any("\0" in word for word in command):
        raise ValueError('command must be a program and its arguments, such as ["/usr/local/bin/ring", "--loud"]')
    if shutil.which(command[0]) is None:
        raise ValueError(f"command: {clean(command[0], 200)} is no program that can be run here")
    if not 0.1 <= timeout <= LONGEST:
        raise ValueError(f"timeout must be from 0.1 to {LONGEST:g} seconds")
    name = clean(os.path.basename(command[0]), 60)

    async def tell(notice: Notice) -> str:
        try:
            ended = await run(command, encode(notice), timeout=timeout, environment=clean_environment())
        except OSError as error:
            raise HookFailed(f"{name} could not be started: {error.strerror}") from None
        if ended.trouble or ended.code:
            raise HookFailed(f"{name} {ended.how}{first_line(ended.errors)}")
        return f"{name} {ended.how}{first_line(ended.output)}"

    return tell
