"""What the house says of itself is true: the locks, the version, the documents, the wheel."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from probe.cli_groups import GROUPS

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
DECISIONS = sorted(ROOT.glob("docs/decisions/*.md"))
SCRIPTS = sorted(path for path in (*ROOT.glob("scripts/*"), ROOT / ".ci" / "run") if path.is_file())


def project() -> dict[str, Any]:
    content: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return content


def pins(lock: str) -> dict[str, str]:
    """Return what a lock pins for this platform: name -> version."""
    found = {}
    for line in (ROOT / lock).read_text().splitlines():
        if line and not line[0].isspace():
            requirement = Requirement(line.rstrip(" \\"))
            if requirement.marker is None or requirement.marker.evaluate():
                found[requirement.name] = str(requirement.specifier).removeprefix("==")
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address_and_hashes_everything(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
    assert entries
    assert [
        entry.splitlines()[0] for entry in entries if not re.match(r"\S+==\S+[^\n]*\\\n +--hash=sha256:", entry)
    ] == []


def test_what_is_tested_is_what_is_run() -> None:
    runtime, dev = (pins(lock) for lock in LOCKS)
    assert {name: dev.get(name) for name in runtime} == runtime
    assert {name: version(name) for name in dev} == dev


def test_the_locks_hold_what_the_project_asks_for() -> None:
    asked = project()
    extras = asked["project"]["optional-dependencies"]
    runtime = [*asked["build-system"]["requires"], *asked["project"]["dependencies"], *extras["postgres"]]
    dev = [*runtime, *(line for extra in extras.values() for line in extra)]
    for lock, lines in zip(LOCKS, (runtime, dev), strict=True):
        pinned = pins(lock)
        wanted = [Requirement(line) for line in lines]
        assert [str(want) for want in wanted if not want.specifier.contains(pinned.get(want.name, "0"))] == []


def test_the_build_back_end_is_pinned() -> None:
    assert all(re.fullmatch(r"[\w-]+==[\w.]+", line) for line in project()["build-system"]["requires"])


def test_the_command_knows_its_version() -> None:
    assert wazi("--version").stdout.split()[-1] == project()["project"]["version"]


def test_the_changelog_tells_of_this_version() -> None:
    headings = re.findall(r"^## \[([^]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased" or headings[0] == project()["project"]["version"]


def wazi(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.argv[0] = 'wazi'; from probe.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30
    )


def commands_in(text: str) -> set[tuple[str, ...]]:
    """Return the commands of `wazi` that the code in a document calls."""
    found = set()
    blocks = re.findall(r"^(?:```[^\n]*\n(.*?)^```|((?: {4}[^\n]*\n)+))", text, re.MULTILINE | re.DOTALL)
    for line in "\n".join(map("".join, blocks)).splitlines():
        if match := re.match(
            r"\s*(?:\$ )?(?:docker compose exec \S+ )?(?:(?:\./)?scripts/run|wazi)((?: [a-z]+)*)", line
        ):
            words = match[1].split()
            found.add(tuple(words[: 2 if words[:1] and words[0] in GROUPS else 1]))
    return found - {()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_documents_exist(document: Path) -> None:
    assert [words for words in commands_in(document.read_text()) if wazi(*words, "--help").returncode] == []


def test_commands_are_found_in_documents() -> None:
    blocks = [
        "    ./scripts/run check URL",
        "    $ wazi control serve --listen X",
        "",
        "```sh",
        "wazi list --json",
        "```",
    ]
    text = "\n".join(["Say `wazi nonsense`.", "", *blocks, ""])
    assert commands_in(text) == {("check",), ("control", "serve"), ("list",)}
    assert wazi("nonsense", "--help").returncode


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_and_links_in_documents_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    missing = [link for link in links if link and not (document.parent / link).exists()]
    missing += [
        path for path in re.findall(r"(?<![\w/])(?:\./)?(scripts/[\w-]+|\.ci/\w+)", text) if not (ROOT / path).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_can_be_started(script: Path) -> None:
    assert os.access(script, os.X_OK)
    interpreter = script.read_text().partition("\n")[0]
    if "bash" in interpreter:
        subprocess.run(["bash", "-n", script], check=True)
    else:
        assert interpreter == "#!/usr/bin/env python3"
        ast.parse(script.read_text())


def test_decisions_are_numbered_and_whole() -> None:
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    for path in DECISIONS:
        headings = re.findall(r"^## (.*)$", path.read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequence"], path.name


def test_the_wheel_ships_both_packages_and_config(tmp_path: Path) -> None:
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "-w", tmp_path, ROOT], check=True, timeout=100)
    [wheel] = tmp_path.glob("wazi-*.whl")
    shipped = set(zipfile.ZipFile(wheel).namelist())
    code = [path for package in ("probe", "measurements") for path in ROOT.glob(f"{package}/**/*.py")]
    config = [path for path in ROOT.glob("config/**/*") if path.is_file()]
    data = [path for folder in ("templates", "locale") for path in ROOT.glob(f"measurements/report/{folder}/**/*.*")]
    expected = {str(path.relative_to(ROOT)) for path in (*code, *data)}
    expected |= {f"probe/{path.relative_to(ROOT)}" for path in config}
    assert config
    assert {path.suffix for path in data} == {".html", ".css", ".po"}
    assert expected - shipped == set()
    assert {name.partition("/")[0] for name in shipped if ".dist-info" not in name} == {"probe", "measurements"}


def test_every_package_that_is_imported_is_locked() -> None:
    """If a module of somebody else's is imported, a lock names its distribution: leftovers hide it locally."""
    locked = {name.lower().replace("_", "-") for name in pins("requirements-dev.lock")}
    ours = {"probe", "measurements", "tests"}
    known = packages_distributions()
    for path in (*ROOT.glob("probe/**/*.py"), *ROOT.glob("measurements/**/*.py"), *ROOT.glob("tests/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in {n.partition(".")[0] for n in names} - ours - set(sys.stdlib_module_names):
                found = {d.lower().replace("_", "-") for d in known.get(name, ())}
                assert found & locked, f"{path.relative_to(ROOT)} imports {name}, which no lock names"
