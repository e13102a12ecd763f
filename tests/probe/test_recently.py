from probe.recently import Recently


def test_the_oldest_is_forgotten_and_what_comes_again_is_not() -> None:
    seen = Recently("ab", most=3)
    seen |= {"c"}
    seen.add("a")
    seen.add("d")
    assert sorted(seen) == ["a", "c", "d"]
    assert "a" in seen
    assert "b" not in seen
    assert len(seen) == 3
    seen.discard("b")
    seen.discard("a")
    assert list(seen) == ["c", "d"]
