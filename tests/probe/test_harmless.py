import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measurements.model import Target
from probe.harmless import SHARE, Crowd, Errand, Placebos, harmless_of


def target(name: str, category: str = "", scheme: str = "https") -> Target:
    host = f"{name}.example"
    return Target(url=f"{scheme}://{host}/", scheme=scheme, host=host, port=443, category=category)


WITNESSES = tuple(target(f"w{number}") for number in range(8))
REAL = tuple(target(f"t{number}", "NEWS") for number in range(60))


def errands(count: int, nettest: str = "web") -> list[Errand]:
    return [Errand(nettest, one) for one in REAL[:count]]


def test_harmless_are_the_witnesses_and_the_targets_that_are_there_to_be_and_nobody_else() -> None:
    control = target("c", "CTRL")
    assert harmless_of(WITNESSES[:2], [*REAL, control, WITNESSES[0]]) == (*WITNESSES[:2], control)
    assert harmless_of((), REAL) == ()


@pytest.mark.parametrize("size", [1, 3, 60])
def test_one_measurement_in_ten_is_a_placebo_however_short_the_runs_are(size: int) -> None:
    placebos = Placebos(random.Random(1))
    runs = [placebos.among(errands(size), WITNESSES) for _ in range(900 // size)]
    made = [errand for run in runs for errand in run]
    assert len(made) == pytest.approx(1000, abs=1)
    assert sum(errand.placebo for errand in made) / len(made) == pytest.approx(SHARE, abs=0.001)
    for run in runs:
        assert {errand.target.url for errand in run if not errand.placebo} == {one.url for one in REAL[:size]}
    asked = {errand.target.host for errand in made if errand.placebo}
    assert asked == {one.host for one in WITNESSES}, "each has its turn, and nobody else"


def test_a_probe_that_is_started_often_comes_to_a_placebo_too() -> None:
    measured = 0
    for _ in range(300):
        measured += len(Placebos(random.Random(1), measured).among(errands(3), WITNESSES))
    assert measured - 900 == pytest.approx(100, abs=10)


def test_placebos_stand_anywhere_and_are_asked_as_the_others_are() -> None:
    places = set()
    for seed in range(200):
        run = Placebos(random.Random(seed), seed).among([*errands(5), *errands(5, "tcp")], WITNESSES)
        places |= {place for place, errand in enumerate(run) if errand.placebo}
        assert {errand.nettest for errand in run} <= {"web", "tcp"}
    assert places == set(range(12))


def test_where_nothing_harmless_is_known_or_a_test_compares_by_itself_there_are_none() -> None:
    for _ in range(30):
        assert Placebos(random.Random(1)).among(errands(60), ()) == errands(60)
        assert Placebos(random.Random(1)).among(errands(60, "trace"), WITNESSES) == errands(60, "trace")
        assert Placebos(random.Random(1)).among([], WITNESSES) == []


def test_more_placebos_than_there_are_harmless_sites_are_asked_twice() -> None:
    run = Placebos(random.Random(1)).among(errands(60), WITNESSES[:2])
    assert sum(errand.placebo for errand in run) in (6, 7)


@given(st.integers(1, 8), st.integers(0, 8), st.integers(0, 20), st.integers())
def test_what_is_asked_again_goes_among_at_least_as_many_harmless_ones(
    count: int, witnesses: int, others: int, seed: int
) -> None:
    asked = errands(count)
    crowd = Crowd(WITNESSES[:witnesses], REAL[:others]).without(errand.target.host for errand in asked)
    assert crowd.size == witnesses + max(0, others - count)
    asked = asked[: crowd.size]
    batch = crowd.hide(asked, random.Random(seed))
    around = [errand for errand in batch if errand not in asked]
    assert len(around) == len(asked)
    assert {errand for errand in batch if errand in asked} == set(asked)
    hosts = [errand.target.host for errand in batch]
    assert len(set(hosts)) == len(hosts), "nobody is asked twice"
    harmless = {one.host for one in WITNESSES}
    assert all(errand.placebo == (errand.target.host in harmless) for errand in around)
    if witnesses and asked:
        assert any(errand.placebo for errand in around), "repeated questions have their placebos too"


def test_the_order_on_the_wire_tells_nothing() -> None:
    asked = errands(2)
    crowd = Crowd(WITNESSES, REAL[10:])
    first = [crowd.hide(asked, random.Random(seed))[0] in asked for seed in range(400)]
    assert sum(first) == pytest.approx(200, abs=40)


def test_a_test_of_throttling_hides_among_pages() -> None:
    asked = errands(2, "throttling")
    batch = Crowd(WITNESSES).hide(asked, random.Random(1))
    assert {errand.nettest for errand in batch if errand not in asked} == {"web"}


def test_a_witness_that_is_a_target_too_is_a_placebo_only_as_such() -> None:
    crowd = Crowd(WITNESSES[:1], (target("w0", scheme="http"), *REAL[:1]))
    assert crowd.size == 2
    batch = crowd.hide([Errand("web", REAL[5]), Errand("web", REAL[6])], random.Random(1))
    assert [errand.target for errand in batch if errand.placebo] == [WITNESSES[0]]
