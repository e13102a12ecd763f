"""Use the lab by hand: `python -m tests.lab list | shell [NAME] | check NAME... | many COUNT`.

`shell` opens a shell in the censored home, where `wazi` is the working copy's command with the lab's
settings, and `wazi-without-control` the same with no control. `check` runs `wazi check` on scenarios,
each with and without a control, and says where a verdict is not the expected one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.lab.book import BOOK
from tests.lab.lab import WAZI, Lab
from tests.lab.many import many_sites
from tests.lab.scenario import Scenario
from tests.lab.settings import config_name
from tests.lab.spaces import LabError, enter, environment


def main() -> int:
    arguments = parse()
    if arguments.command == "list":
        for scenario in BOOK.values():
            print(f"{scenario.name:32} {scenario.about}")
        return 0
    enter(["-m", "tests.lab", *sys.argv[1:]])
    try:
        with tempfile.TemporaryDirectory(prefix="wazi-lab-") as work, Lab(Path(work)) as lab:
            if arguments.command == "many":
                print(f"{len(many_sites(lab, arguments.count, 0.3))} sites: https://site-000.many.example/ and on")
            if arguments.command == "check":
                return check([BOOK[name] for name in arguments.names or BOOK], lab)
            return shell(lab, BOOK.get(arguments.name) if arguments.command == "shell" else None)
    except LabError as error:
        print(error, file=sys.stderr)
        return 2


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="list the scenarios")
    opened = commands.add_parser("shell", help="open a shell in the censored home")
    opened.add_argument("name", nargs="?", choices=list(BOOK), default="open", metavar="NAME")
    checked = commands.add_parser("check", help="run wazi check on scenarios; on all, when none is named")
    checked.add_argument("names", nargs="*", choices=[[], *BOOK], metavar="NAME")
    many = commands.add_parser("many", help="open a shell beside many sites, 30 %% of them black-holed")
    many.add_argument("count", type=int, metavar="COUNT")
    return parser.parse_args()


def check(scenarios: list[Scenario], lab: Lab) -> int:
    """Print one line for each scenario with and without a control; return 1 when any disagrees."""
    wrong = 0
    for scenario in scenarios:
        for control in (True, False):
            lab.apply(scenario, control=control)
            line = lab.check(scenario.target, control=control, nettest=scenario.nettest)
            found = scenario.expected(control=control).disagreements(line)
            wrong += bool(found)
            verdict = " ".join(str(line[key]) for key in ("outcome", "mechanism", "trigger", "where", "reason"))
            print(f"{'WRONG' if found else 'ok':5} {scenario.name} {'' if control else '(no control)'}: {verdict}")
            for disagreement in found:
                print(f"      {disagreement}")
            if found:
                print(f"      {line['summary']}\n{line['stderr']}", flush=True)
    return int(bool(wrong))


def shell(lab: Lab, scenario: Scenario | None) -> int:
    """Open a shell in the censored home."""
    if scenario:
        lab.apply(scenario, control=True)
        print(f"{scenario.name}: {scenario.about}\nTry: wazi check {scenario.target}")
    else:
        lab.start_control()
    commands = lab.work / "bin"
    commands.mkdir()
    for name, control in (("wazi", True), ("wazi-without-control", False)):
        script = f'#!/bin/sh\nexec {" ".join(WAZI)} --config {lab.work}/{config_name(control=control)} "$@"\n'
        (commands / name).write_text(script)
        (commands / name).chmod(0o755)
    env = environment(PS1="censored-home$ ", HOME=str(lab.work / "home"))
    env["PATH"] = f"{commands}{os.pathsep}{env['PATH']}"
    (lab.work / "home").mkdir(exist_ok=True)
    subprocess.run(lab.spaces.inside("cli", ["sh", "-i"]), env=env, cwd=lab.work / "home", check=False)
    for deed, times in Counter(lab.deeds()).items():
        print(f"{deed.by}: {deed.action} {deed.subject}, {times} times")
    return 0


if __name__ == "__main__":
    sys.exit(main())
