"""The lab behind a pipe: a line of JSON in, a line of JSON out, and the end of input ends it all.

Run by `client.LabClient` as `python -m tests.lab.daemon WORK`, inside fresh namespaces. Commands are
`{"apply": SCENARIO, "control": bool, "seed": N}`, `{"deeds": null}`, `{"run": [WHERE, ARGV, TIMEOUT]}`,
`{"start": NAME, "inside": [WHERE, ARGV, ENV]}`, `{"end": NAME, "how": SIGNAL}`, `{"look": [WHERE, URL, ADDRESS]}`,
`{"check": URL, "control": bool, "nettest": NAME}` and `{"many": [COUNT, DEAD]}`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from tests.lab.lab import Lab
from tests.lab.many import many_sites
from tests.lab.scenario import Scenario
from tests.lab.spaces import LabError


def answer(lab: Lab, asked: dict[str, Any]) -> object:
    """Do what one line asks for."""
    match asked:
        case {"apply": scenario, "control": control, "seed": seed}:
            lab.apply(msgspec.convert(scenario, Scenario), control=control, seed=seed)
            return None
        case {"deeds": _}:
            return msgspec.to_builtins(lab.deeds())
        case {"run": [where, argv, timeout]}:
            return asdict(lab.run(where, argv, timeout=timeout))
        case {"start": name, "inside": [where, argv, env]}:
            lab.start(name, where, argv, env)
            return None
        case {"end": name, "how": how}:
            return lab.end(name, how)
        case {"look": [where, url, address]}:
            return lab.look(where, url, address)
        case {"check": url, "control": control, "nettest": nettest}:
            return lab.check(url, control=control, nettest=nettest)
        case {"many": [count, dead]}:
            return many_sites(lab, count, dead)
        case _:
            raise LabError(f"no such command: {asked}")


def main() -> None:
    say = sys.stdout
    try:
        with Lab(Path(sys.argv[1])) as lab:
            print(json.dumps({"value": lab.start_seconds}), file=say, flush=True)
            while line := sys.stdin.readline():
                try:
                    reply = {"value": answer(lab, json.loads(line))}
                except LabError as error:
                    reply = {"error": str(error)}
                print(json.dumps(reply), file=say, flush=True)
    except LabError as error:
        print(json.dumps({"error": str(error)}), file=say, flush=True)
        raise


if __name__ == "__main__":
    main()
