"""Who may import whom (docs/decisions/0009), read from the source of both packages.

A rule takes every module and yields complaints. The tree must give none; and each rule is shown trees
that break it, because a rule that cannot fail keeps nothing.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PURE = {"model", "case", "reading", "judge", "rules", "events", "redact", "ooni", "targets", "bogons"}
PURE |= {"bounds", "proofs", "fingerprints", "patterns", "artefacts", "pace", "printable", "commitments"}
PURE |= {f"evidence.{part}" for part in ("canonical", "chain", "checking", "archive", "bundle", "verify")}
PURE |= {"alerts.routing", "alerts.pace", "alerts.notice"}
HARMLESS = {"__future__", "abc", "base64", "binascii", "bisect", "collections", "collections.abc", "copy", "csv"}
HARMLESS |= {"dataclasses", "datetime", "difflib", "enum", "functools", "hashlib", "heapq", "html", "html.parser", "io"}
HARMLESS |= {"ipaddress", "itertools", "json", "math", "operator", "re", "statistics", "string", "struct", "textwrap"}
HARMLESS |= {"types", "typing", "unicodedata", "urllib.parse", "zlib", "idna", "msgspec", "hmac"}
HARMLESS |= {"ahocorasick", "cryptography", "rfc8785", "cryptography.exceptions"}
HARMLESS |= {f"cryptography.hazmat.primitives.{part}" for part in ("serialization", "asymmetric.ed25519")}
WORLDLY_CALLS = {"open", "print", "input", "__import__", "now", "utcnow", "today", "read_text", "read_bytes", "getenv"}
SHARED = {"probe.network", "probe.steps", "probe.follow_up", "probe.pacer"}  # what every nettest stands on
SEAM = {"measurements.model", "measurements.nat64", "measurements.pace", "measurements.reading"}
SEAM |= {"measurements.proofs", *SHARED}
SEAM |= {"probe.control.canary"}  # what a control says, read without a socket
ABOVE_THE_SEAM = ("probe.nettests", "probe.vantage", "probe.steps", "probe.follow_up", "probe.network", "probe.pacer")
WIRE = {"socket", "ssl", "select", "selectors", "socketserver", "http.client", "urllib.request", "httpx", "httpcore"}
WIRE |= {"dns", "OpenSSL", "aioquic", "scapy", "h2", "requests", "aiohttp", "asyncio.streams"}
CATCH_ALL = {"OSError", "IOError", "EnvironmentError", "Exception", "BaseException"}
OS_ERRORS = CATCH_ALL | {error.__name__ for error in OSError.__subclasses__()} | {"ConnectionResetError", "gaierror"}
OS_ERRORS -= {"TimeoutError"}  # also what asyncio.timeout says, which is no error of the system's
ANALYTICS = {"pyarrow", "duckdb", "ibis", "pandas", "polars", "numpy", "scipy", "scapy", "matplotlib", "weasyprint"}
LISTENERS = ("probe.wire", "probe.control.server")
APART = ("measurements.alerts.apprise_child",)  # a program of its own, which needs sockets to forbid them


@dataclass(frozen=True)
class Module:
    """A module: its dotted name and its syntax tree."""

    name: str
    tree: ast.Module
    is_package: bool = False

    @property
    def package(self) -> str:
        return self.name if self.is_package else self.name.rpartition(".")[0]

    def imports(self, *, top_level: bool = False) -> Iterator[tuple[str, str]]:
        """Yield (module, name taken from it or "") of every import, also of those inside functions."""
        nodes = self.tree.body if top_level else ast.walk(self.tree)
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from ((alias.name, "") for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self.package.split(".")
                above = ".".join(base[: len(base) - node.level + 1]) if node.level else ""
                source = ".".join(filter(None, (above, node.module)))
                yield from ((source, alias.name) for alias in node.names)


Tree = dict[str, Module]
Rule = Callable[[Tree], Iterator[str]]


def read_tree() -> Tree:
    """Return every module of the two packages."""
    modules = {}
    for path in (*ROOT.glob("probe/**/*.py"), *ROOT.glob("measurements/**/*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        modules[name] = Module(name, ast.parse(path.read_text(encoding="utf-8"), str(path)), is_package)
    return modules


def tree_of(sources: dict[str, str]) -> Tree:
    """Return modules made from text; a name that ends with a dot is a package."""
    return {
        name.rstrip("."): Module(name.rstrip("."), ast.parse(text), name[-1] == ".") for name, text in sources.items()
    }


def under(name: str, *roots: str) -> bool:
    """Whether `name` is one of the dotted `roots`, or below one."""
    return any(name == root or name.startswith(f"{root}.") for root in roots)


def targets(module: Module, tree: Tree, *, top_level: bool = False) -> Iterator[str]:
    """Yield the dotted name of each thing imported: the module, where `from … import` names one."""
    for source, name in module.imports(top_level=top_level):
        yield f"{source}.{name}" if f"{source}.{name}" in tree or name == "*" else source


def measurements_never_import_probe(tree: Tree) -> Iterator[str]:
    """What was measured and what it means works without a vantage."""
    for module in tree.values():
        if under(module.name, "measurements"):
            for source, name in module.imports():
                if under(source, "probe"):
                    yield f"{module.name} imports {source}.{name}"


def pure_modules_touch_nothing(tree: Tree) -> Iterator[str]:
    """No clock, disk, network, randomness or environment, nor in what a pure module imports."""
    todo = [name for name in tree if under(name, *(f"measurements.{pure}" for pure in PURE))]
    seen = set()
    while todo:
        module = tree[todo.pop()]
        if module.name in seen:
            continue
        seen.add(module.name)
        for target in targets(module, tree):
            if target in tree:
                todo.append(target)
            elif target not in HARMLESS:
                yield f"{module.name} is pure, or used by what is, and imports {target}"
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and called(node) in WORLDLY_CALLS:
                yield f"{module.name}:{node.lineno} is pure, or used by what is, and calls {called(node)}"


def called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def nettests_know_the_seam_only(tree: Tree) -> Iterator[str]:
    """A nettest imports the nouns, how they are read, the Network, and the steps that nettests share: no more.

    The parts of a shared package know one another; a nettest knows the package alone.
    """
    for module in tree.values():
        plug_in = under(module.name, "probe.nettests") and not module.is_package
        own = [shared for shared in SHARED if under(module.name, shared)]
        if plug_in or own:
            for target in targets(module, tree):
                standard = target.partition(".")[0] in sys.stdlib_module_names
                if not (standard or target in SEAM or under(target, *own)):
                    yield f"{module.name} imports {target}"


def plug_ins_never_meet(tree: Tree) -> Iterator[str]:
    """A plug-in imports neither a sibling nor the registry. The registry names its plug-ins as modules."""
    for package in (module for module in tree.values() if module.is_package):
        plug_ins = {f"{source}.{name}" for source, name in package.imports() if source == package.name}
        for plug_in in plug_ins & tree.keys():
            for target in targets(tree[plug_in], tree):
                if under(target, *plug_ins) or target == package.name:
                    yield f"{plug_in} imports {target}"


def nobody_imports_the_command(tree: Tree) -> Iterator[str]:
    """`probe.cli` builds things; nothing stands on it, nor on the groups of commands that it takes in."""
    for module in tree.values():
        for source, name in module.imports():
            if under(f"{source}.{name}", "probe.cli", "probe.cli_groups") and module.name != "probe.cli":
                yield f"{module.name} imports {source}.{name}"


def only_the_wire_opens_sockets(tree: Tree) -> Iterator[str]:
    """Above the seam nothing speaks to the network; elsewhere only the control's own service may listen."""
    for module in tree.values():
        for target in targets(module, tree):
            if under(module.name, *ABOVE_THE_SEAM) and under(target, *WIRE):
                yield f"{module.name} imports {target}"
            elif target == "socket" and not under(module.name, *LISTENERS, *APART):
                yield f"{module.name} imports socket"


def nothing_above_the_seam_catches_system_errors(tree: Tree) -> Iterator[str]:
    """While measuring, only the wire turns an OSError into a failure, and nobody else sees one."""
    for module in tree.values():
        if under(module.name, *ABOVE_THE_SEAM):
            for node in ast.walk(module.tree):
                if isinstance(node, ast.ExceptHandler) and (caught(node) & OS_ERRORS or node.type is None):
                    yield f"{module.name}:{node.lineno} catches {', '.join(caught(node)) or 'everything'}"


def caught(handler: ast.ExceptHandler) -> set[str]:
    names = (node for node in ast.walk(handler.type or ast.Pass()) if isinstance(node, ast.Name | ast.Attribute))
    return {node.id if isinstance(node, ast.Name) else node.attr for node in names}


def the_agent_needs_no_analytics(tree: Tree) -> Iterator[str]:
    """Heavy extras are imported inside the functions of an export that needs them, and nowhere else."""
    for module in tree.values():
        lazily = under(module.name, "measurements.exports", "measurements.report.paper", "probe.wire.raw_trace")
        for target in targets(module, tree, top_level=lazily):
            if under(target, *ANALYTICS):
                yield f"{module.name} imports {target}"


def the_agent_is_handed_its_world(tree: Tree) -> Iterator[str]:
    """The agent builds neither its network nor its store: the command does, and hands them over."""
    for name in tree.keys() & {"probe.agent"}:
        for target in targets(tree[name], tree):
            if under(target, "probe.wire", "measurements.store", "measurements.alerts", "probe.settings"):
                yield f"{name} imports {target}"


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        measurements_never_import_probe,
        pure_modules_touch_nothing,
        nettests_know_the_seam_only,
        plug_ins_never_meet,
        nobody_imports_the_command,
        only_the_wire_opens_sockets,
        nothing_above_the_seam_catches_system_errors,
        the_agent_needs_no_analytics,
        the_agent_is_handed_its_world,
    )
}

REGISTRY = "from probe.nettests import dns, web\nfrom probe.nettests.contract import Nettest"

BROKEN: list[tuple[Rule, dict[str, str]]] = [
    (measurements_never_import_probe, {"measurements.model": "import probe.network"}),
    (measurements_never_import_probe, {"measurements.store.sql": "def f():\n  from probe import identity"}),
    (measurements_never_import_probe, {"measurements.model": "from ..probe import network", "probe.": ""}),
    (pure_modules_touch_nothing, {"measurements.judge": "import time"}),
    (pure_modules_touch_nothing, {"measurements.judge": "import os.path"}),
    (pure_modules_touch_nothing, {"measurements.rules.dns": "from random import choice"}),
    (pure_modules_touch_nothing, {"measurements.rules.dns": "import urllib.request"}),
    (pure_modules_touch_nothing, {"measurements.ooni": "def f():\n  import sqlite3"}),
    (pure_modules_touch_nothing, {"measurements.bogons": "def f(p):\n  return open(p)"}),
    (pure_modules_touch_nothing, {"measurements.targets": "from io import StringIO as s\nimport io\nio.open('x')"}),
    (pure_modules_touch_nothing, {"measurements.redact": "from datetime import datetime\nx = datetime.now()"}),
    (
        pure_modules_touch_nothing,
        {"measurements.judge": "import measurements.aid", "measurements.aid": "import socket"},
    ),
    (
        pure_modules_touch_nothing,
        {"measurements.judge": "from measurements import aid", "measurements.aid": "import ssl"},
    ),
    (nettests_know_the_seam_only, {"probe.nettests.web": "from probe.wire import Wire", "probe.wire.": ""}),
    (nettests_know_the_seam_only, {"probe.nettests.web": "from probe import wire", "probe.": "", "probe.wire.": ""}),
    (nettests_know_the_seam_only, {"probe.nettests.web": "from measurements.judge import judge"}),
    (nettests_know_the_seam_only, {"probe.nettests.web": "import structlog"}),
    (nettests_know_the_seam_only, {"probe.steps": "from probe.settings import Settings"}),
    (nettests_know_the_seam_only, {"probe.follow_up.traces": "from probe.settings import Settings"}),
    (
        nettests_know_the_seam_only,
        {"probe.nettests.web": "from probe.follow_up import traces", "probe.follow_up.traces": ""},
    ),
    (nettests_know_the_seam_only, {"probe.steps": "from probe.follow_up.asking import Asking"}),
    (
        plug_ins_never_meet,
        {"probe.nettests.": REGISTRY, "probe.nettests.web": "from . import dns", "probe.nettests.dns": ""},
    ),
    (plug_ins_never_meet, {"probe.nettests.": REGISTRY, "probe.nettests.web": "import probe.nettests.dns"}),
    (plug_ins_never_meet, {"probe.nettests.": REGISTRY, "probe.nettests.web": "from probe.nettests.dns import f"}),
    (plug_ins_never_meet, {"probe.nettests.": REGISTRY, "probe.nettests.web": "from probe.nettests import Nettest"}),
    (nobody_imports_the_command, {"probe.agent": "from probe import cli"}),
    (nobody_imports_the_command, {"probe.agent": "def f():\n  from probe.cli import main"}),
    (nobody_imports_the_command, {"probe.cli_groups": "from probe import cli"}),
    (nobody_imports_the_command, {"probe.commands.console": "from probe.cli_groups import GROUPS"}),
    (only_the_wire_opens_sockets, {"probe.nettests.web": "import socket"}),
    (only_the_wire_opens_sockets, {"probe.vantage": "from ssl import SSLContext"}),
    (only_the_wire_opens_sockets, {"probe.steps": "import dns.message"}),
    (only_the_wire_opens_sockets, {"probe.schedule": "import socket"}),
    (only_the_wire_opens_sockets, {"measurements.store.sql": "from socket import gethostname"}),
    (nothing_above_the_seam_catches_system_errors, {"probe.nettests.web": "try: f()\nexcept OSError: pass"}),
    (
        nothing_above_the_seam_catches_system_errors,
        {"probe.vantage": "try: f()\nexcept (ValueError, ConnectionError): pass"},
    ),
    (nothing_above_the_seam_catches_system_errors, {"probe.vantage": "try: f()\nexcept socket.gaierror: pass"}),
    (nothing_above_the_seam_catches_system_errors, {"probe.follow_up": "try: f()\nexcept: pass"}),
    (nothing_above_the_seam_catches_system_errors, {"probe.follow_up.path": "try: f()\nexcept OSError: pass"}),
    (nothing_above_the_seam_catches_system_errors, {"probe.nettests.dns": "try: f()\nexcept* Exception: pass"}),
    (the_agent_needs_no_analytics, {"probe.agent": "def f():\n  import pandas"}),
    (the_agent_needs_no_analytics, {"measurements.exports.parquet": "import pyarrow.parquet"}),
    (the_agent_needs_no_analytics, {"probe.wire.hops": "from scapy.all import IP"}),
    (the_agent_is_handed_its_world, {"probe.agent": "from probe.wire import Wire"}),
    (the_agent_is_handed_its_world, {"probe.agent": "from measurements import store", "measurements.store.": ""}),
]

KEPT: list[tuple[Rule, dict[str, str]]] = [
    (
        pure_modules_touch_nothing,
        {"measurements.rules.dns": "from measurements.model import Failure", "measurements.model": ""},
    ),
    (pure_modules_touch_nothing, {"measurements.store.sql": "import sqlite3, time"}),
    (
        nettests_know_the_seam_only,
        {"probe.nettests.web": "import asyncio\nfrom probe import network", "probe.network": ""},
    ),
    (nettests_know_the_seam_only, {"probe.nettests.": "from probe.nettests import web", "probe.nettests.web": ""}),
    (nettests_know_the_seam_only, {"probe.follow_up.traces": "from probe.follow_up.asking import Asking"}),
    (
        plug_ins_never_meet,
        {"probe.nettests.": REGISTRY, "probe.nettests.web": "from probe.nettests.contract import Nettest"},
    ),
    (only_the_wire_opens_sockets, {"probe.wire.tcp": "import socket", "probe.control.server": "import socket"}),
    (nothing_above_the_seam_catches_system_errors, {"probe.wire.tcp": "try: f()\nexcept OSError: pass"}),
    (
        nothing_above_the_seam_catches_system_errors,
        {"probe.vantage": "try: f()\nexcept (KeyError, TimeoutError): pass"},
    ),
    (the_agent_needs_no_analytics, {"measurements.exports.parquet": "def write():\n  import pyarrow"}),
]


@pytest.fixture(scope="module")
def tree() -> Tree:
    return read_tree()


def test_the_tree_is_read_whole(tree: Tree) -> None:
    assert {"probe", "probe.network", "probe.nettests.web", "measurements.model", "measurements.rules"} <= tree.keys()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_tree_keeps_the_rule(rule: Rule, tree: Tree) -> None:
    assert sorted(rule(tree)) == []


@pytest.mark.parametrize(
    ("rule", "sources"), BROKEN, ids=[f"{rule.__name__}-{i}" for i, (rule, _) in enumerate(BROKEN)]
)
def test_each_rule_can_fail(rule: Rule, sources: dict[str, str]) -> None:
    assert list(rule(tree_of(sources)))


@pytest.mark.parametrize(("rule", "sources"), KEPT, ids=[f"{rule.__name__}-{i}" for i, (rule, _) in enumerate(KEPT)])
def test_no_rule_forbids_what_is_right(rule: Rule, sources: dict[str, str]) -> None:
    assert list(rule(tree_of(sources))) == []


def test_every_rule_was_shown_a_tree_that_breaks_it() -> None:
    assert {rule.__name__ for rule, _ in BROKEN} == RULES.keys()


def test_the_running_agent_loads_no_analytics() -> None:
    """The same, of what is really loaded, which third parties have a hand in."""
    code = "import sys, probe.agent, measurements.store; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "probe" in loaded.split()
    assert not ANALYTICS & set(loaded.split())
