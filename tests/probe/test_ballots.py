"""Votes from a file: what is read, what is named as bad, and in what order they come out."""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Callable

import pytest
import zstandard

from measurements.events.rooms import order
from measurements.model import Strength, Vote
from probe.ballots import MAX_LINE, BadHeader, Sorter, VoteReader
from probe.records import BadRecord

HEADER = "time,probe,country,asn,target,layer,blocked"
LINE = "2026-01-31T12:30:00Z,p1,TZ,36924,x.com,tls,1"
VOTE = Vote(time=1769862600.0, probe="p1", country="TZ", asn=36924, target="x.com", layer="tls", blocked=True)


def read(text: str | bytes) -> list[Vote | BadRecord]:
    data = text if isinstance(text, bytes) else text.encode()
    return list(VoteReader(io.BufferedReader(io.BytesIO(data)), "votes.csv"))


def one(line: str, header: str = HEADER) -> Vote | BadRecord:
    (found,) = read(f"{header}\n{line}\n")
    return found


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gz", "zst"])
def test_a_file_is_read_plain_or_compressed(pack: Callable[[bytes], bytes]) -> None:
    assert read(pack(f"\ufeff{HEADER}\r\n{LINE}\r\n\r\n".encode())) == [VOTE]


@pytest.mark.parametrize(
    "line",
    [
        "1769862600,p1,tz,AS36924,x.com,TLS,true",
        "2026-01-31 12:30,p1,TZ,as36924,x.com,tls,Yes",
        "2026-01-31T15:30:00+03:00,p1,TZ,36924,x.com,tls,1",
        '1769862600.0," p1 ","TZ","36924","x.com","tls","1"',
    ],
)
def test_a_vote_may_be_written_in_many_ways(line: str) -> None:
    assert one(line) == VOTE


@pytest.mark.parametrize("word", ["0", "false", "No"])
def test_a_vote_for_access(word: str) -> None:
    found = one(f"0,p1,,,x.com,tls,{word}")
    assert found == Vote(time=0.0, probe="p1", target="x.com", layer="tls", blocked=False)


def test_columns_come_in_any_order_and_more_are_ignored() -> None:
    header = "blocked,placebo,software,mechanism,witness,strength,layer,target,asn,country,probe,time,colour"
    reader = VoteReader(
        io.BufferedReader(io.BytesIO(f"{header}\nyes,1,wazi 2,tls.reset,m1,proven,tls,x.com,1,TZ,p,5,red\n".encode())),
        "votes.csv",
    )
    assert reader.ignored == ["colour"]
    assert list(reader) == [
        Vote(
            time=5.0, probe="p", country="TZ", asn=1, target="x.com", layer="tls", blocked=True, placebo=True,
            strength=Strength.PROVEN, witness="m1", mechanism="tls.reset", software="wazi 2",
        )
    ]  # fmt: skip


def test_what_is_optional_may_be_empty() -> None:
    found = one("5,p,TZ,1,x.com,tls,1,,", f"{HEADER},strength,placebo")
    assert isinstance(found, Vote)
    assert (found.strength, found.placebo) == (Strength.REPORTED, False)


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        ("noon,p1,TZ,1,x.com,tls,1", "time", "is no time; write 2026-01-31T12:30:00Z"),
        ("1769862600000,p1,TZ,1,x.com,tls,1", "time", "milliseconds"),
        ("-5,p1,TZ,1,x.com,tls,1", "time", "out of range"),
        ("nan,p1,TZ,1,x.com,tls,1", "time", "out of range"),
        ("5,,TZ,1,x.com,tls,1", "probe", "is empty"),
        ("5,p1,TZ,ASx,x.com,tls,1", "asn", "write 36924 or AS36924"),
        ("5,p1,TZ,4294967296,x.com,tls,1", "asn", "no network"),
        ("5,p1,TZ,1,,tls,1", "target", "is empty"),
        ("5,p1,TZ,1,x.com,,1", "layer", "is empty"),
        (f"5,p1,TZ,1,{'x' * 2049},tls,1", "target", "longer than 2048"),
        ("5,p1,TZ,1,x.com,tls,maybe", "blocked", "neither yes nor no"),
    ],
)
def test_a_bad_field_is_named_with_what_to_do(line: str, column: str, says: str) -> None:
    found = one(line)
    assert isinstance(found, BadRecord)
    assert str(found).startswith(f"votes.csv:2: column {column}: ")
    assert says in str(found)


def test_a_bad_strength_is_named() -> None:
    assert "write proven, reported, failed or nothing" in str(one("5,p,TZ,1,x.com,tls,1,sure", f"{HEADER},strength"))


def test_the_rest_goes_on_after_a_bad_line() -> None:
    found = read(f"{HEADER}\n{LINE}\n1,2\n{'x' * (MAX_LINE + 9)}\n\xff,\n{LINE}\n".encode("latin-1"))
    assert [isinstance(one, Vote) for one in found] == [True, False, False, False, True]
    assert "votes.csv:3: the line has 2 fields, the first line names 7" in str(found[1])
    assert "votes.csv:4: the line is longer than" in str(found[2])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "found nothing"),
        ("time;probe;country\n", "probe, country, asn, target, layer, blocked missing"),
        ("1,p1,TZ,1,x.com,tls,1\n", "must name the columns time,probe"),
        (f"{HEADER},time\n", "names time more than once"),
    ],
)
def test_a_file_without_its_columns_is_refused(text: str, says: str) -> None:
    with pytest.raises(BadHeader, match=says):
        read(text)


def test_a_damaged_file_gives_what_came_before_the_damage() -> None:
    lines = "".join(f"{n},p{random.Random(n).random()},TZ,1,x.com,tls,0\n" for n in range(20_000))
    packed = gzip.compress(f"{HEADER}\n{lines}".encode())
    found = read(packed[: len(packed) // 2])
    assert len(found) > 100
    assert "the file is damaged here" in str(found[-1])
    with pytest.raises(BadHeader, match="cannot be read"):
        read(packed[:12])


@pytest.mark.parametrize("run", [7, 100, 10_000])
def test_votes_come_out_in_order_however_many(run: int) -> None:
    chance = random.Random(run)
    votes = [
        Vote(time=float(chance.randrange(3000)), probe=f"p{n}", target="x", layer="tls", blocked=False)
        for n in range(2500)
    ]
    with Sorter(run) as sorter:
        for vote in votes:
            sorter.add(vote)
        assert list(sorter.votes()) == sorted(votes, key=order)
        assert (sorter.count, sorter.first) == (2500, min(vote.time for vote in votes))


def test_words_are_kept_once_and_not_for_ever() -> None:
    lines = "".join(f"{n},p{n},TZ,1,x.com,tls,0\n" for n in range(100_005))
    assert len(read(f"{HEADER}\n{lines}")) == 100_005
