"""Regular expressions of strangers, run over pages of strangers, in bounded time.

Python's `re` backtracks, and a page made for it could hold a judge up for hours. So a pattern is not handed
to it as it stands: it is read here, in the small language that block pages need, and put together anew.

- `.*`, `.+` and long `.{m,n}` outside of groups are gaps: the pieces between them are looked for one after the
  other, and a piece counts when it begins within its gap's reach of one before. No piece is tried twice for it.
- `[…]*` and its like take all they can, at most `LONGEST_RUN`, and give nothing back (possessive); where what
  follows could begin with what they take, the pattern is refused instead of never matching.
- Few ways through: `(a|b)`, `?` and short `{m,n}` may multiply to `MOST_WAYS`, and all of them together look
  at no more than `MOST_STEPS` characters from one place. So a page costs its length times that, at the worst.
- Every alternative holds a piece of plain text, its `needle`, without which it need not be run at all.

What it finds, RE2 finds too (the dot matches a line's end); it may find less: pieces do not overlap, and a run
is bounded. Look-around, references and repeated groups of changing length are refused, with what to write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

LONGEST_RUN = 128
MOST_WAYS = 64
MOST_STEPS = 1024  # characters that a piece may look at from one place, by all its ways
SHORT = 8  # the most that {m,n} may differ by to be tried one way after the other
SHORTEST_NEEDLE = 3
LONGEST_PATTERN = 4096

_CLASSES = frozenset("dDwWsS")
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "a": "\a", "0": "\0"}
_REPEAT = re.compile(r"\{(\d{1,4})(?:(,)(\d{0,4}))?\}")
_SAMPLE = (*range(256), 0x430, 0x627, 0x4E2D)
"""Code points by which two classes are compared: Latin, and one letter each of other scripts."""


class BadPattern(ValueError):
    """A pattern that is not run; the message says why and what to write instead."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a pattern without gaps; it must begin `least` to `most` characters after the one before."""

    found: re.Pattern[str]
    least: int = 0
    most: int | None = None

    def after(self, ends: list[int], text: str) -> Iterator[re.Match[str]]:
        """The hits that begin within reach of one of `ends`, which rise, as the hits do: both in one pass."""
        at = 0
        for hit in self.found.finditer(text, ends[0]):
            while self.most is not None and at + 1 < len(ends) and ends[at] + self.most < hit.start():
                at += 1
            gap = hit.start() - ends[at]
            if self.least <= gap and (self.most is None or gap <= self.most):
                yield hit


@dataclass(frozen=True, slots=True)
class Alternative:
    """Pieces to be found in order, and the plain text that every match holds."""

    needle: str
    pieces: tuple[Piece, ...]

    def found_in(self, text: str) -> bool:
        """Whether the pieces follow one another in `text`."""
        ends = [0]
        for place, piece in enumerate(self.pieces):
            hits = piece.after(ends, text) if place else piece.found.finditer(text)
            if place + 1 == len(self.pieces) or self.pieces[place + 1].most is None:
                hits = islice(hits, 1)  # where the next one may be anywhere behind it, the first one does
            ends = [hit.end() for hit in hits]
            if not ends:
                return False
        return True


def translate(pattern: str) -> tuple[Alternative, ...]:
    """Read a regular expression; raises `BadPattern`. It matches where one of the alternatives is found."""
    if len(pattern) > LONGEST_PATTERN:
        raise BadPattern(f"is longer than {LONGEST_PATTERN} characters")
    reader = _Reader(pattern.removeprefix("(?s)"))
    alternatives = reader.alternatives()
    for one in alternatives:
        if len(one.needle) < SHORTEST_NEEDLE:
            raise BadPattern(
                f"has an alternative without {SHORTEST_NEEDLE} plain characters in a row, by which it is looked for"
            )
    return alternatives


@dataclass(frozen=True, slots=True)
class _Atom:
    """What can stand alone: its text for `re`, what it may begin with, and what it costs."""

    text: str
    first: frozenset[int] = frozenset()
    width: int = 1
    ways: int = 1
    plain: str = ""  # the character, where it is just one
    nullable: bool = False
    dot: bool = False
    single: bool = True  # takes exactly one character
    run: bool = False  # takes as many as it can


@dataclass(frozen=True, slots=True)
class _Gap:
    least: int
    most: int | None


class _Reader:
    """Reads a pattern from left to right."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._depth = 0

    def _peek(self, count: int = 1) -> str:
        return self._pattern[self._at : self._at + count]

    def _take(self, count: int = 1) -> str:
        taken = self._peek(count)
        if len(taken) < count:
            raise BadPattern("ends in the middle of something")
        self._at += count
        return taken

    # -- the whole

    def alternatives(self) -> tuple[Alternative, ...]:
        found = []
        while True:
            found.append(_assemble(self._sequence()))
            if not self._peek():
                return tuple(found)
            if self._take() == ")":
                raise BadPattern("closes a bracket that was not opened; write \\) for the character")

    def _sequence(self) -> list[_Atom | _Gap]:
        """Read until | or ) or the end."""
        items: list[_Atom | _Gap] = []
        while self._peek() not in ("", "|", ")"):
            items.append(self._repeated(self._atom()))
        return items

    def _atom(self) -> _Atom:
        char = self._take()
        match char:
            case "(":
                return self._group()
            case "[":
                return self._class()
            case ".":
                return _Atom(".", frozenset(_SAMPLE), dot=True)
            case "^":
                return _Atom(r"\A", width=0, nullable=True, single=False)
            case "$":
                return _Atom(r"\Z", width=0, nullable=True, single=False)
            case "\\":
                return self._escape()
            case "*" | "+" | "?":
                raise BadPattern(f"repeats nothing with {char}; write \\{char} for the character")
        return _literal(char)

    def _escape(self) -> _Atom:
        char = self._take()
        if char in _CLASSES:
            return _Atom(f"\\{char}", _taken_by(f"\\{char}"))
        if char in "AzbB":
            return _Atom({"z": r"\Z"}.get(char, f"\\{char}"), width=0, nullable=True, single=False)
        return _literal(self._escaped(char))

    def _escaped(self, char: str) -> str:
        """The character that an escape stands for."""
        if char == "x":
            return self._hexadecimal()
        if char in _CONTROLS:
            return _CONTROLS[char]
        if char.isalnum():
            raise BadPattern(f"has \\{char}, which is not understood here; write the characters themselves")
        return char

    def _hexadecimal(self) -> str:
        found = re.compile(r"\{([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{2})").match(self._pattern, self._at)
        if found is None or int(found[1] or found[2], 16) > 0x10FFFF:
            raise BadPattern("has \\x without the number of a character; write \\x41 or \\x{41}")
        self._at = found.end()
        return chr(int(found[1] or found[2], 16))

    def _class(self) -> _Atom:
        """Read [...] and write it anew, so that what is special to Python alone means nothing."""
        text = "[^" if self._peek() == "^" else "["
        self._at += len(text) - 1
        members = 0
        while self._peek() != "]" or not members:
            low = self._member()
            if len(low) > 1:
                text += low
            elif self._peek() == "-" and self._peek(2) not in ("-]", "-"):
                self._take()
                high = self._member()
                if len(high) > 1 or high < low:
                    raise BadPattern("has a range in [ ] that has no end or runs backwards; write \\- for a hyphen")
                text += f"{re.escape(low)}-{re.escape(high)}"
            else:
                text += re.escape(low)
            members += 1
        self._take()
        return _Atom(f"{text}]", _taken_by(f"{text}]"))

    def _member(self) -> str:
        """One character of a class, or a class within it such as \\d."""
        if self._peek(2) in ("[:", "[=", "[."):
            raise BadPattern("has [: :] within [ ], which is not understood here; write the characters themselves")
        char = self._take()
        if char != "\\":
            return char
        char = self._take()
        return f"\\{char}" if char in _CLASSES else self._escaped(char)

    def _group(self) -> _Atom:
        if self._peek() == "?":
            head = re.compile(r"\?(:|P?<[A-Za-z_]\w{0,40}>)").match(self._pattern, self._at)
            if head is None:
                raise BadPattern(
                    f"has ({self._peek(2)}…, which is not understood here; leave it out, or write both cases as [Aa]"
                )
            self._at = head.end()
        self._depth += 1
        if self._depth > 10:
            raise BadPattern("has brackets within brackets, deeper than 10")
        branches = [_joined(self._sequence())]
        while self._take_or_end() == "|":
            branches.append(_joined(self._sequence()))
        self._depth -= 1
        return _Atom(
            f"(?:{'|'.join(branch.text for branch in branches)})",
            frozenset().union(*(branch.first for branch in branches)),
            width=max(branch.width for branch in branches),
            ways=sum(branch.ways for branch in branches),
            nullable=any(branch.nullable for branch in branches),
            single=False,
        )

    def _take_or_end(self) -> str:
        if not self._peek():
            raise BadPattern("opens a bracket that is not closed; write \\( for the character")
        return self._take()

    # -- how often

    def _repeated(self, atom: _Atom) -> _Atom | _Gap:
        times = self._times()
        if times is None:
            return atom
        if self._peek() == "?":
            self._take()  # whether it takes few or many makes no difference to whether it is found
        elif self._peek() == "+":
            raise BadPattern("has a + after a repetition, which is not understood here; leave it out")
        if self._times() is not None:
            raise BadPattern("repeats a repetition; write one of the two")
        return _repeat(atom, *times)

    def _times(self) -> tuple[int, int | None] | None:
        """Read *, +, ? or {m,n}, if there is one."""
        simple: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if self._peek() in simple:
            return simple[self._take()]
        found = _REPEAT.match(self._pattern, self._at)
        if found is None:
            return None
        self._at = found.end()
        least = int(found[1])
        most = least if found[2] is None else int(found[3]) if found[3] else None
        if most is not None and most < least:
            raise BadPattern(f"has {found[0]}, which ends before it begins")
        return least, most


def _literal(char: str) -> _Atom:
    return _Atom(re.escape(char), frozenset({ord(char)}), plain=char)


@lru_cache(maxsize=1024)
def _taken_by(text: str) -> frozenset[int]:
    """Which code points of the sample a class takes."""
    found = re.compile(text, re.DOTALL)
    return frozenset(code for code in _SAMPLE if found.match(chr(code)))


def _repeat(atom: _Atom, least: int, most: int | None) -> _Atom | _Gap:
    wide = most is None or most - least > SHORT
    if not atom.single:
        if (least, most) == (0, 1) and atom.width:
            return _Atom(f"{atom.text}?", atom.first, atom.width, atom.ways + 1, nullable=True, single=False)
        raise BadPattern("repeats a group or a place; write it out as often as it may come")
    if atom.dot and wide:
        return _Gap(least, most)
    if wide:
        if most is not None and most > LONGEST_RUN:
            raise BadPattern(f"repeats something up to {most} times; {LONGEST_RUN} is the most")
        text = f"{atom.text}{{{least},{most or max(LONGEST_RUN, least)}}}+"
        width = most or max(LONGEST_RUN, least)
        return _Atom(text, atom.first, width, 1, nullable=not least, single=False, run=True)
    assert most is not None
    return _Atom(
        f"{atom.text}{{{least},{most}}}",
        atom.first,
        width=most,
        ways=most - least + 1,
        nullable=not least,
        single=False,
    )


def _joined(items: Sequence[_Atom | _Gap], *, ends: bool = False) -> _Atom:
    """Put what stands in a row together; with `ends`, whatever may follow is looked for beyond it."""
    atoms = [item for item in items if isinstance(item, _Atom)]
    if len(atoms) < len(items):
        raise BadPattern("has .* or the like in a group; write the alternatives out")
    for place, atom in enumerate(atoms):
        if atom.run:
            _refuse_greed(atom, atoms[place + 1 :], ends=ends)
    first: set[int] = set()
    for atom in atoms:
        first |= atom.first
        if not atom.nullable:
            break
    ways = 1
    for atom in atoms:
        ways *= atom.ways
    whole = _Atom(
        "".join(atom.text for atom in atoms),
        frozenset(first),
        width=sum(atom.width for atom in atoms),
        ways=ways,
        nullable=all(atom.nullable for atom in atoms),
        single=False,
    )
    if whole.ways > MOST_WAYS or whole.ways * whole.width > MOST_STEPS:
        raise BadPattern("can be matched in too many ways; write fewer alternatives and repetitions")
    return whole


def _refuse_greed(atom: _Atom, after: Sequence[_Atom], *, ends: bool) -> None:
    """Refuse a run that would take what comes after it, and so never match."""
    for following in after:
        if atom.first & following.first:
            raise BadPattern(f"has {atom.text[:-1][:40]} before something that it takes itself; write .* instead")
        if not following.nullable:
            return
    if not ends:
        raise BadPattern("ends a group with a repetition; write it behind the group")


def _assemble(items: Sequence[_Atom | _Gap]) -> Alternative:
    """Cut a sequence at its gaps into pieces."""
    pieces: list[Piece] = []
    row: list[_Atom] = []
    gap = _Gap(0, None)
    for item in (*items, None):
        if isinstance(item, _Atom):
            row.append(item)
            continue
        text = _joined(row, ends=True).text
        pieces.append(Piece(re.compile(text, re.DOTALL), gap.least, gap.most))
        row = []
        if item is not None:
            gap = item
    return Alternative(_needle(items), tuple(pieces))


def _needle(items: Sequence[_Atom | _Gap]) -> str:
    """The longest plain text in a row."""
    longest = row = ""
    for item in items:
        row = row + item.plain if isinstance(item, _Atom) and item.plain else ""
        longest = max(longest, row, key=len)
    return longest
