"""Run the book and report: `scripts/accuracy [options]`.

Results are kept in the out folder as they come; a second run of the same code does only what is missing there.
Ends with 0 when every target is reached, 1 when one is missed, 2 when a run broke or nothing could be run, and 130
when it was interrupted.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import msgspec

from measurements.rules import RULES
from probe.network import Limits
from tests.bench.figures import circumstances
from tests.lab.accuracy import detector, paces
from tests.lab.accuracy.plots import draw
from tests.lab.accuracy.progress import Progress
from tests.lab.accuracy.report import report
from tests.lab.accuracy.results import Result, Results, Run, code_digest, commit, deed_of
from tests.lab.accuracy.running import Crew, keep_line
from tests.lab.accuracy.tally import cases
from tests.lab.accuracy.targets import targets
from tests.lab.accuracy.throttles import NETTEST
from tests.lab.book import BOOK, CHAPTERS
from tests.lab.client import LabClient
from tests.lab.kinds import Kind, kind_of
from tests.lab.scenario import Scenario
from tests.lab.spaces import REPOSITORY, LabError

CHAPTER_OF = {scenario.name: name for name, chapter in CHAPTERS.items() for scenario in chapter}
INTERRUPTED = 130


def main() -> int:
    """Run what is missing, then report on everything that was asked for."""
    for ending in (signal.SIGINT, signal.SIGTERM):  # a shell has the first ignored in the background
        signal.signal(ending, signal.default_int_handler)
    options = parse()
    if options.detector:
        return detect(options)
    if options.pairs:
        return paces.report(options.paths, options.years)
    chosen = choose(options)
    if not chosen:
        print("no scenario is like that; `python -m tests.lab list` lists them", file=sys.stderr)
        return 2
    code = code_digest()
    plan = plan_for(chosen, options)
    kept = Results(options.out)
    if options.fresh:
        kept.forget()
    known = kept.read(code)
    missing = [run for run in plan if run not in known]
    if len(missing) < len(plan):
        print(f"{len(plan) - len(missing)} of {len(plan)} runs are in {kept.path} already", file=sys.stderr)
    status, found = (0, []) if options.report else work_off(missing, kept, code, options)
    known.update((result.run, result) for result in found)
    results = [known[run] for run in plan if run in known]
    if code_digest() != code:
        print("the code was changed while it ran: these figures are about no one version of it", file=sys.stderr)
        status = status or 2
    return publish(results, options, started=status)


def detect(options: argparse.Namespace) -> int:
    """Report on the detector alone; no lab is needed for it."""
    if options.plots:
        for path in draw(options.plots, options.runs, options.seed):
            print(path, file=sys.stderr)
    text, promised = detector.figures(options.votes, options.runs, options.labs, options.seed)
    about = {**circumstances(), "code": commit(), "seed": options.seed}
    lines = "\n".join(f"- {key}: {value}" for key, value in about.items())
    report = f"{lines}\n\n{text}"
    if options.json != "-":
        sys.stdout.write(report)
    if options.markdown:
        options.markdown.write_text(f"# Accuracy of the detector\n\n{report}")
    if options.json:
        line = json.dumps({**about, "targets": [asdict(target) for target in promised]}, indent=1) + "\n"
        sys.stdout.write(line) if options.json == "-" else Path(options.json).write_text(line)
    return int(any(target.reached is False for target in promised))


def work_off(missing: Sequence[Run], kept: Results, code: str, options: argparse.Namespace) -> tuple[int, list[Result]]:
    """Run what is missing; return 0, 2 when the labs do not work, or 130 when interrupted, and the results."""
    found: list[Result] = []
    see = keep_line(options.out / "lines")
    with tempfile.TemporaryDirectory(prefix="wazi-accuracy-") as work, Progress(len(missing), BOOK) as progress:
        crew = Crew(code, BOOK, LabClient, Path(work), limit=deadline, see=see)
        try:
            for result in crew.run(missing, options.labs):
                kept.keep(result)
                found.append(result)
                progress.show(result)
        except LabError as error:
            print(error, file=sys.stderr)
            return 2, found
        except KeyboardInterrupt:
            print("interrupted; the same command goes on from here", file=sys.stderr)
            return INTERRUPTED, found
    return 0, found


def deadline(nettest: str) -> float:
    """The deadline in seconds of one measurement, as the settings of the lab leave it."""
    return Limits().pace_timeout if nettest == NETTEST else Limits().measurement_timeout


def publish(results: Sequence[Result], options: argparse.Namespace, *, started: int) -> int:
    """Write the report wherever it was asked for, and return the exit code."""
    whole = cases(BOOK, CHAPTER_OF, results)
    broken = [result for result in results if result.broken]
    promised = targets(whole)
    about = circumstances() | {
        "code": commit(),
        "book": f"{len({case.scenario.name for case in whole})} of {len(BOOK)} scenarios, {len(whole)} verdicts, "
        f"{options.labs} labs side by side, seeds {options.seed} to {options.seed + options.repeat - 1}",
    }
    text = report(whole, promised, broken, circumstances=about, rules=RULES)
    if options.json != "-":
        sys.stdout.write(text)
    if options.markdown:
        options.markdown.write_text(f"{HEADING}\n{text}")
    if options.json:
        facts = {
            **about,
            "targets": [asdict(target) for target in promised],
            "results": msgspec.to_builtins(list(results)),
            "wrong": {f"{c.scenario.name} {c.control} {c.result.run.seed}": c.wrong for c in whole if c.wrong},
        }
        line = json.dumps(facts, indent=1, default=str) + "\n"
        sys.stdout.write(line) if options.json == "-" else Path(options.json).write_text(line)
    if started or broken:
        return started or 2
    return int(any(target.reached is False for target in promised))


HEADING = """# Accuracy

`scripts/accuracy` runs the book of scenarios (`tests/lab/book`) and prints this page; `scripts/accuracy --help` names
its options. Each scenario is made true in a censored country on one machine, and put to `wazi check` once with a
control and once without, under each seed. A scenario in which nobody was caught interfering, though somebody should
have been, counts as broken, and is neither right nor wrong.
"""


def choose(options: argparse.Namespace) -> list[Scenario]:
    """Return the scenarios that were asked for, in the book's order."""
    patterns = options.only or ["*"]
    return [
        scenario
        for name, scenario in BOOK.items()
        if any(fnmatch.fnmatch(name, pattern) for pattern in patterns)
        and (not options.chapter or CHAPTER_OF[name] in options.chapter)
        and (not options.kind or kind_of(scenario, CHAPTER_OF[name]) in options.kind)
    ]


def plan_for(chosen: Sequence[Scenario], options: argparse.Namespace) -> list[Run]:
    """List all runs, seed by seed, so that a cut run has each scenario once before it has any twice."""
    sides = {"with": (True,), "without": (False,), "both": (True, False)}[options.control]
    return [
        Run(scenario=scenario.name, does=deed_of(scenario), control=control, seed=seed)
        for seed in range(options.seed, options.seed + options.repeat)
        for scenario in chosen
        for control in sides
    ]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/accuracy",
        description="Put the book of scenarios to the probe, and report how often it is right.",
        epilog=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repeat", type=_count, default=1, metavar="N", help="run everything under N seeds (1)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the first seed (0)")
    cores = min(4, os.cpu_count() or 1)
    parser.add_argument("--labs", type=_count, default=cores, metavar="N", help=f"labs side by side ({cores})")
    parser.add_argument(
        "--only", action="append", metavar="PATTERN", help='only scenarios named like this, such as "tls-*"; repeatable'
    )
    parser.add_argument("--chapter", action="append", choices=list(CHAPTERS), help="only this chapter; repeatable")
    parser.add_argument("--kind", action="append", choices=list(Kind), help="only scenarios of this kind; repeatable")
    parser.add_argument("--control", choices=("with", "without", "both"), default="both", help="(both)")
    going = parser.add_mutually_exclusive_group()
    going.add_argument("--resume", action="store_true", help="do only what the out folder lacks (the default)")
    going.add_argument("--fresh", action="store_true", help="forget what is in the out folder")
    going.add_argument("--report", action="store_true", help="run nothing: report on what is in the out folder")
    parser.add_argument(
        "--detector", action="store_true", help="no lab: simulate votes, and report on the detector of events alone"
    )
    parser.add_argument("--votes", type=_count, default=detector.VOTES, metavar="N", help="… of each noise (3·10⁷)")
    parser.add_argument("--runs", type=_count, default=detector.RUNS, metavar="N", help="… blocks of each kind (3,000)")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="… and draw power.svg and delay.svg there")
    parser.add_argument("--pairs", action="store_true", help="no lab: made-up lines, and report on throttling alone")
    parser.add_argument("--paths", type=_count, default=paces.PATHS, metavar="N", help="… of each line (1,500)")
    parser.add_argument("--years", type=_count, default=paces.YEARS, metavar="N", help="… of daily sessions (100)")
    out = REPOSITORY / ".accuracy"
    parser.add_argument("--out", type=Path, default=out, metavar="FOLDER", help="keep results there (.accuracy)")
    parser.add_argument("--json", metavar="FILE", help="write everything as JSON; - writes nothing else to stdout")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the page that docs/accuracy.md is")
    return parser.parse_args()


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    sys.exit(main())
