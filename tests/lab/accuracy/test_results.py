"""Results come back from their file, whatever cut it, and only for the code they are about."""

from __future__ import annotations

from pathlib import Path

from tests.lab.accuracy.results import Result, Results, Run, broke, code_digest, deed_of
from tests.lab.scenario import Expect, HelloFilter, Scenario

RUN = Run(scenario="open", does="d", control=True, seed=1)
RESULT = Result(code="new", run=RUN, said={"outcome": "accessible", "reason": None}, rules=("site.accessible",), sent=5)


def test_a_result_comes_back(tmp_path: Path) -> None:
    kept = Results(tmp_path / "out")
    assert kept.read("new") == {}
    kept.keep(RESULT)
    assert Results(tmp_path / "out").read("new") == {RUN: RESULT}


def test_other_code_and_broken_runs_do_not_count(tmp_path: Path) -> None:
    kept = Results(tmp_path)
    kept.keep(RESULT)
    kept.keep(broke("newer", RUN, "the lab died"))
    assert kept.read("newer") == {}
    kept.forget()
    assert kept.read("new") == {}


def test_a_line_that_was_cut_costs_itself_only(tmp_path: Path) -> None:
    kept = Results(tmp_path)
    kept.keep(RESULT)
    with kept.path.open("ab") as file:
        file.write(b'{"code": "new", "run"')
    other = Result(code="new", run=Run(scenario="other", does="d", control=False, seed=1))
    kept.keep(other)
    assert kept.read("new") == {RUN: RESULT, other.run: other}


def test_a_scenario_is_known_by_what_it_does() -> None:
    expect, drop = Expect(outcome="blocked"), (HelloFilter(action="drop"),)
    one = Scenario(name="a", about="", expect=expect, seen="")
    said = Scenario(name="a", about="more", expect=Expect(outcome="down"), seen="tls reset")
    does = Scenario(name="a", about="", expect=expect, seen="", mechanisms=drop)
    assert deed_of(one) == deed_of(said)
    assert len({deed_of(one), deed_of(does)}) == 2


def test_code_is_known_by_what_decides(tmp_path: Path) -> None:
    for name in ("probe", "measurements", "config", "tests/lab/book", "tests/lab/accuracy"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "one.py").write_text("1")
    (tmp_path / "requirements-dev.lock").write_text("")
    before = code_digest(tmp_path)
    for unimportant in ("README.md", "tests/lab/book/one.py", "tests/lab/accuracy/one.py", "tests/lab/test_lab.py"):
        (tmp_path / unimportant).write_text("2")
        assert code_digest(tmp_path) == before, unimportant
    for important in ("probe/one.py", "measurements/new.py", "config/bogons.csv", "tests/lab/censor.py"):
        (tmp_path / important).write_text("2")
        assert code_digest(tmp_path) != before, important
        before = code_digest(tmp_path)
