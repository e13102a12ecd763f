"""The command hook runs a real program: without a shell, within bounds, and without our secrets."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
import threading
import time
from pathlib import Path

import pytest

from measurements.alerts.hooks import HOOKS
from measurements.alerts.notice import Hook, HookFailed
from measurements.alerts.payload import encode
from tests.measurements.alerts.notices import event, hostile, many, notice

pytestmark = pytest.mark.anyio


def program(tmp_path: Path, code: str, name: str = "ring") -> str:
    (tmp_path / f"{name}.py").write_text(f"{code}\n")
    path = tmp_path / name  # by the shell: a line with #! takes no path with a space
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path}/{name}.py" "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def command(*words: str, timeout: float = 10.0) -> Hook:
    return HOOKS["command"](command=words, timeout=timeout)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until_gone(pid: int) -> None:
    for _ in range(100):
        if not is_alive(pid):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{pid} lives on")


async def test_a_program_gets_the_notice_on_its_standard_input(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    path = program(tmp_path, f"import sys; open({str(kept)!r}, 'wb').write(sys.stdin.buffer.read()); print('rang')")
    assert await command(path)(notice(event())) == "ring ended with exit code 0: rang"
    assert kept.read_bytes() == encode(notice(event()))


def test_it_runs_in_a_thread_too_as_the_outbox_has_it(tmp_path: Path) -> None:
    said: list[str] = []

    async def tell() -> None:
        said.append(await command(program(tmp_path, "print('rang')"))(notice(event())))

    thread = threading.Thread(target=lambda: asyncio.run(tell()))
    thread.start()
    thread.join(20)
    assert said == ["ring ended with exit code 0: rang"]


async def test_its_arguments_are_what_was_configured_and_no_shell_reads_them(tmp_path: Path) -> None:
    path = program(tmp_path, "import sys; print(sys.argv[1:])")
    said = await command(path, "$(id)", "; exit 3", "a b")(notice(hostile()))
    assert said == "ring ended with exit code 0: ['$(id)', '; exit 3', 'a b']"


async def test_secrets_are_not_in_its_environment(tmp_path: Path) -> None:
    """In a process of its own, whose environment holds a secret."""
    shows = program(
        tmp_path, "import os, sys; print(sorted(n for n in os.environ if 'WAZI' in n.upper() or n == 'PLAIN'))"
    )
    code = (
        "import asyncio, sys; from measurements.alerts.hooks import HOOKS; "
        "from tests.measurements.alerts.notices import *; "
        "print(asyncio.run(HOOKS['command'](command=(sys.argv[1],))(notice(event()))))"
    )
    environment = {**os.environ, "WAZI_ALERT__0__URL": "kanari-7f3a", "Wazi_x": "kanari-7f3a", "PLAIN": "1"}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, shows, env=environment, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await child.communicate()
    assert output.decode().strip() == "ring ended with exit code 0: ['PLAIN']"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys; print('no', file=sys.stderr); sys.exit(3)", "ring ended with exit code 3: no"),
        (
            "import sys; sys.stderr.write('\\n\\n \\x1b[2Jred\\nmore'); sys.exit(1)",
            "code 1: \N{REPLACEMENT CHARACTER}[2Jred",
        ),
        ("import sys; sys.exit(1)", "ring ended with exit code 1"),
        ("import os; os.kill(os.getpid(), 11)", "ring was ended by signal 11"),
        ("import os\nwhile True: os.write(1, b'x' * 9999)", "ring wrote more than 64 KiB and was killed"),
        ("import os\nwhile True: os.write(2, b'x' * 9999)", "ring wrote more than 64 KiB and was killed: xxx"),
    ],
)
async def test_any_other_end_is_a_failure_with_the_first_line_of_its_errors(
    tmp_path: Path, code: str, words: str
) -> None:
    with pytest.raises(HookFailed) as caught:
        await command(program(tmp_path, code))(notice(event()))
    assert words in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("reads", [True, False])
async def test_at_the_limit_its_whole_group_is_killed(tmp_path: Path, reads: bool) -> None:
    pids = tmp_path / "pids"
    code = f"""
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({str(pids)!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
{"sys.stdin.read()" if reads else ""}
time.sleep(60)
"""
    began = time.monotonic()
    with pytest.raises(HookFailed, match=r"ring took longer than 1 s and was killed"):
        await command(program(tmp_path, code), timeout=1.0)(notice(*many(300)))
    assert time.monotonic() - began < 4.0
    for pid in pids.read_text().split():
        await until_gone(int(pid))


async def test_what_it_leaves_behind_is_killed_and_holds_nobody_up(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(5)"], start_new_session=True)  # escapes, and holds on
open({str(pids)!r}, "w").write(str(child.pid))
print("left")
"""
    began = time.monotonic()
    assert await command(program(tmp_path, code), timeout=8.0)(notice(event())) == "ring ended with exit code 0: left"
    assert time.monotonic() - began < 4.0
    await until_gone(int(pids.read_text()))


async def test_when_nobody_waits_any_more_it_is_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    path = program(tmp_path, f"import os, time; open({str(pids)!r}, 'w').write(str(os.getpid())); time.sleep(60)")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await command(path)(notice(event()))
    await until_gone(int(pids.read_text()))


async def test_a_program_that_does_not_read_is_no_failure(tmp_path: Path) -> None:
    assert await command(program(tmp_path, "print('deaf')"))(notice(*many(300))) == "ring ended with exit code 0: deaf"


async def test_a_program_that_went_away_is_named(tmp_path: Path) -> None:
    path = program(tmp_path, "")
    hook = command(path)
    os.unlink(path)
    with pytest.raises(HookFailed, match="ring could not be started: No such file"):
        await hook(notice(event()))


def test_a_wrong_command_is_refused_when_settings_load(tmp_path: Path) -> None:
    for words, said in (((), "must be a program"), (("",), "must be a program"), (("/nowhere/ring",), "is no program")):
        with pytest.raises(ValueError, match=f"^command.*{said}"):
            HOOKS["command"](command=words)
    with pytest.raises(ValueError, match=r"^timeout"):
        HOOKS["command"](command=("true",), timeout=0.0)
