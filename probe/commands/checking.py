"""`wazi check`: measure now, say what was found, keep nothing."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measurements.model import Measurement, Outcome, Target, Verdict
from measurements.targets import BadTarget, normalise, read_targets
from probe.commands import logs
from probe.commands.building import judge_with, load_settings, open_bench
from probe.commands.console import (
    INTERRUPTED,
    TERMINATED,
    Common,
    Progress,
    Refusal,
    exit_code,
    say,
    wants_colour,
    write,
    write_line,
)

if TYPE_CHECKING:
    from probe.measuring import Bench
    from probe.settings import Settings


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What `check` was told by its flags; None and empty mean: as the settings say."""

    urls: Sequence[str]
    file: Path | None
    nettest: str
    as_json: bool
    bodies: bool
    network: dict[str, Any]
    control: Sequence[str]
    pcap: Path | None = None


def check(common: Common, options: CheckOptions) -> int:
    """Measure every target and return the exit code."""
    from probe.nettests import NETTESTS

    if options.nettest not in NETTESTS:
        raise Refusal(f"--nettest {options.nettest}: must be one of {', '.join(NETTESTS)}")
    control = {"urls": list(options.control) or None}
    settings = load_settings(common, {"network": options.network, "control": control})
    logs.configure(common.verbose, for_people=True)
    targets = _targets(options, skip_bad_lines=settings.network.skip_bad_lines)
    if not targets:
        raise Refusal("nothing to check: write a URL, or --file LIST, or - to read URLs from stdin")
    if options.pcap is not None:
        _allow_pcap(options.pcap, options.nettest, len(targets))
    code = asyncio.run(_Check(settings, options, targets).run())
    if options.pcap is not None and not options.pcap.exists():
        say(f"--pcap {options.pcap}: not written: nothing was traced, or no packet could be read")
    return code


def _allow_pcap(path: Path, nettest: str, targets: int) -> None:
    """Refuse in words what would bring no file."""
    from probe.wire.capture import may_capture

    if nettest != "trace":
        raise Refusal("--pcap keeps the packets of a trace: add --nettest trace")
    if targets != 1:
        raise Refusal(f"--pcap keeps the packets of one target, and {targets} were given")
    if path.exists():
        raise Refusal(f"--pcap {path}: exists already, and is not overwritten")
    if not path.absolute().parent.is_dir():
        raise Refusal(f"--pcap {path}: there is no folder {path.absolute().parent}")
    if not may_capture():
        raise Refusal("--pcap needs the right to read raw packets (root, or CAP_NET_RAW): see docs/trace.md")


class _Check:
    def __init__(self, settings: Settings, options: CheckOptions, targets: Sequence[Target]) -> None:
        self.settings = settings
        self.options = options
        self.targets = targets
        self.judge = judge_with(settings)
        self.outcomes: list[Outcome] = []
        self.lost = False
        self.colour = wants_colour(sys.stdout)

    async def run(self) -> int:
        from probe.identity import passing_identity
        from probe.measuring import Stop

        stop = Stop()
        ended_by: list[int] = []

        def end(code: int) -> None:
            ended_by.append(code)
            stop.ask()

        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, end, INTERRUPTED)
        loop.add_signal_handler(signal.SIGTERM, end, TERMINATED)
        identity = passing_identity(self.settings.vantage.probe_id)
        with Progress(len(self.targets)) as progress:
            async with open_bench(self.settings, identity, stop, self.options.pcap) as bench:
                logs.strike(lambda: bench.own)
                await self._measure_all(bench, progress)
        if ended_by:
            return ended_by[0]
        return exit_code(self.outcomes, bad=self.lost)

    async def _measure_all(self, bench: Bench, progress: Progress) -> None:
        from probe.crew import ALONE
        from probe.measuring import Order

        slots = asyncio.Semaphore(1 if self.options.nettest in ALONE else self.settings.network.concurrency)

        async def one(target: Target) -> None:
            async with slots:
                if bench.stop.asked.is_set():
                    return
                order = Order(target, self.options.nettest, full_body=True)
                try:
                    judged = await bench.measure(order, lambda fact: self.judge(fact, ()))
                except Exception:  # a mistake of ours costs this measurement, and no other
                    log.exception("the measurement of %s was lost", target.url)
                    self.lost = True
                    return
                with progress.hidden():
                    self._print(*judged)
                self.outcomes.append(judged[1].outcome)

        try:
            async with asyncio.TaskGroup() as group:
                for target in self.targets:
                    group.create_task(one(target))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    def _print(self, measurement: Measurement, verdict: Verdict) -> None:
        if self.options.as_json:
            from measurements.exports.jsonl import line

            write_line(line(measurement, verdict, bodies=self.options.bodies))
            return
        from probe.present import screen

        write(("\n" if self.outcomes else "") + screen(measurement, verdict, colour=self.colour))


def _targets(options: CheckOptions, *, skip_bad_lines: bool) -> list[Target]:
    """Read every target from the arguments, a list and stdin, each once."""
    found: dict[str, Target] = {}
    try:
        for number, url in enumerate(options.urls, 1):
            if not url.strip():
                raise Refusal(
                    f"argument {number} of check, '{url}', is empty; write a URL such as https://example.org/"
                )
            if url == "-":
                read = _read_list(_stdin(), "stdin", skip_bad_lines=skip_bad_lines)
            else:
                read = [normalise(url, default_scheme="https")]
            found |= {target.url: target for target in read}
        if options.file is not None:
            text = _read_file(options.file)
            read = _read_list(text, str(options.file), skip_bad_lines=skip_bad_lines)
            found |= {target.url: target for target in read}
    except BadTarget as error:
        raise Refusal(str(error)) from None
    return list(found.values())


def _read_list(text: str, origin: str, *, skip_bad_lines: bool) -> list[Target]:
    targets, remarks = read_targets(text, origin, skip_bad_lines=skip_bad_lines)
    for remark in remarks:
        say(remark)
    return targets


def _read_file(path: Path) -> str:
    from probe.settings.layers import SettingsError, read_text
    from probe.settings.values import MAX_DATA_FILE

    try:
        return read_text(path, MAX_DATA_FILE)
    except SettingsError as error:
        raise Refusal(str(error)) from None


def _stdin() -> str:
    from probe.settings.values import MAX_DATA_FILE

    data = sys.stdin.buffer.read(MAX_DATA_FILE + 1)
    if len(data) > MAX_DATA_FILE:
        raise Refusal(f"stdin holds more than {MAX_DATA_FILE} bytes of URLs")
    return data.decode("utf-8", "replace")
