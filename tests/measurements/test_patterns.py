"""Regular expressions of strangers: what is understood, what is refused, and that nothing runs for long."""

from __future__ import annotations

import contextlib
import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from measurements.patterns import LONGEST_PATTERN, MOST_STEPS, BadPattern, translate


def found(pattern: str, text: str) -> bool:
    return any(one.found_in(text) for one in translate(pattern))


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("block page", "a block page.", "a blockpage"),
        (r"^<iframe.+10\.10\.34\.[0-9]{2}", "<iframe\nsrc=http://10.10.34.36>", " <iframe src=http://10.10.34.36>"),
        (r"^<iframe.+10\.10\.34\.3", "<iframe x10.10.34.3", "<iframe10.10.34.3"),
        (r"one.{20,40}two", "one" + "-" * 30 + "two", "one" + "-" * 41 + "two"),
        (r"one.{20,40}two", "one two one" + "-" * 20 + "two", "one" + "-" * 19 + "two"),
        (r"one.{20,40}two.{10,30}six", "one" + "-" * 20 + "two" + "." * 10 + "six", "onetwosix" + "-" * 40),
        (r"denied.+$", "denied!", "denied"),
        (r"denied$", "access denied", "denied access"),
        (r"^.*denied", "\n\ndenied", "allowed"),
        (r"denied.*", "denied", "allowed"),
        (r"https?://(?:www\.)?block(?:ed|ing)\.[a-z]{2,3}/", "http://www.blocked.to/", "http://blocker.to/"),
        (r"(?P<what>block)(?:ed)?!!!", "blocked!!!", "blocking!!!"),
        (r"blocked|filtered.*law", "filtered by law", "by law filtered"),
        (r"<title>\s*Blocked", "<title>\n\n Blocked", "<title>Not Blocked"),
        (r"id=\d+&policy", "id=12345&policy", "id=&policy"),
        (r"id=\d{2,}&policy", "id=123&policy", "id=1&policy"),
        (r"colou?r of law", "color of law", "colouur of law"),
        (r"[^a-z]DENIED[]!-]", "(DENIED]", "xDENIED]"),
        (r"a[\]\-\d\x41]zzz", "aAzzz", "aBzzz"),
        (r"a[[&&]zzz", "a&zzz", "aazzz"),
        (r"[a-c-]zzz", "-zzz", "dzzz"),
        (r"\x{41}\x42\tCD\.", "AB\tCD.", "AB CD."),
        (r"\bblocked\b", "is blocked.", "unblocked"),
        (r"\Aabc\z", "abc", "abc\n"),
        (r"a\Babc", "aabc", "a abc"),
        (r"block??page", "blocpage", "blockkpage"),
        (r"(?s)two.lines", "two\nlines", "twolines"),
        (r"a{3}bbb", "aaabbb", "aabbb"),
        (r"[ab]{1,3}cccc{2}", "abccccc", "ccccc"),
        ("заблокирован.*законом", "заблокирован законом", "законом заблокирован"),
        (r"^(?:http|https)://x\.example", "https://x.example", "ftp://x.example"),
        ("x{ yyy", "x{ yyy", "x yyy"),
    ],
)
def test_what_is_understood(pattern: str, yes: str, no: str) -> None:
    assert found(pattern, yes)
    assert not found(pattern, no)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(a+)+bbb", "ends a group with a repetition"),
        ("(?:abc)+", "repeats a group"),
        ("(?:abc){2}", "repeats a group"),
        ("$?abc", "repeats a group or a place"),
        ("(?=abc)", "is not understood here"),
        ("(?i)abc", "write both cases as [Aa]"),
        (r"abc\1", r"has \1"),
        (r"abc\pL", r"has \p"),
        (r"\x{110000}abc", "number of a character"),
        (r"\xZZabc", "number of a character"),
        ("a++bbb", "has a + after a repetition"),
        ("a**bbb", "repeats a repetition"),
        ("*abc", "repeats nothing"),
        ("abc{3,2}", "ends before it begins"),
        ("[a-z]{0,300}0abc", "128 is the most"),
        ("[^<]*abc", "write .* instead"),
        ("[a-z]+b?cde", "write .* instead"),
        (r"abc[a-z]+\d?xyz", "write .* instead"),
        ("(?:a.*b)ccc", "has .* or the like in a group"),
        ("(?:a|[bc])(?:d|e){1}", "repeats a group"),
        ("abc(", "opens a bracket"),
        ("abc)", "closes a bracket"),
        ("abc[de", "ends in the middle"),
        ("abc\\", "ends in the middle"),
        ("[z-a]abc", "runs backwards"),
        (r"[a-\d]abc", "has no end"),
        ("[[:alpha:]]abc", "has [: :]"),
        (".*", "without 3 plain characters"),
        ("abc|d+", "without 3 plain characters"),
        ("a.b.c", "without 3 plain characters"),
        ("", "without 3 plain characters"),
        ("abc" + "(?:x|y)" * 7, "too many ways"),
        ("abc" + "[0-9]{200}" * 6, "too many ways"),
        ("(" * 11 + "abc" + ")" * 11, "deeper than 10"),
        ("a" * (LONGEST_PATTERN + 1), "is longer than"),
    ],
)
def test_what_is_refused_says_why(pattern: str, why: str) -> None:
    with pytest.raises(BadPattern) as refused:
        translate(pattern)
    assert why in str(refused.value)


def test_a_needle_is_what_every_match_holds() -> None:
    assert [one.needle for one in translate(r"http://[0-9]+\.blocked\.example/.*x|other")] == [
        ".blocked.example/",
        "other",
    ]


PARTS = st.sampled_from(
    [
        *("a", "b", "ab", "abc", "<", ".", ".*", ".+", "[ab]", "[^<]", r"\d", r"\s*", "a?", "b{0,3}", "[ab]{1,4}"),
        *("(?:a|b)", "(?:ab|a)", "^", "$", r"\b", "|", ".{0,20}", ".{3,30}", "c*", "[^a]+", "(", ")", "{", "\\"),
    ]
)


@given(st.lists(PARTS, max_size=12).map("".join), st.text("ab<c1 \n", max_size=60))
@example("abc.{0,20}$", "abc")
@example("ab.{3,30}ab", "ababab--ab")
def test_whatever_it_finds_python_finds_too(pattern: str, text: str) -> None:
    """If a pattern is understood, it never finds more than the engine that backtracks."""
    try:
        ours = found(pattern, text)
    except BadPattern:
        return
    dialect = re.compile(r"(?<!\\)((?:\\\\)*)\$").sub(r"\1\\Z", pattern)
    assert not ours or re.search(dialect, text, re.DOTALL)


@given(st.text(max_size=40))
def test_any_text_is_understood_or_refused(pattern: str) -> None:
    with contextlib.suppress(BadPattern):
        assert translate(pattern)


@pytest.mark.parametrize(
    ("pattern", "page"),
    [
        ("bbb" + "(?:b|b)" * 6 + "x", "b" * 65_536),
        ("bbb[^<]*<y", "bbb" * 21_845),
        ("b" * (MOST_STEPS - 1) + "x", "b" * 65_536),
        ("bbb.*bbb.*bbb.*bbb.*bbb.*x", "b" * 65_536),
        ("bbb.{0,60}bbb.{0,60}bbb.{0,60}bbb.{0,60}xyz", "b" * 65_536),
        ("bbb[b ]{0,8}[b ]{0,5}x", "b" * 65_536),
    ],
)
def test_a_page_made_for_it_makes_nothing_run_for_long(pattern: str, page: str) -> None:
    """If a page fits a pattern almost everywhere, 64 KiB of it still take at most seconds on a slow machine."""
    began = time.process_time()
    assert not found(pattern, page)
    assert time.process_time() - began < 3.0
