"""Every message is in every catalogue, translated, with the same values; and a new language is one file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from measurements.events.nouns import Kind, Status
from measurements.events.telling import CLOSED, HELD
from measurements.model import Mechanism, Outcome, Proof, Purpose, Trigger, View, Where
from measurements.report import words
from measurements.report.language import (
    CATALOGUES,
    UnknownLanguage,
    best_language,
    language,
    language_of,
    languages,
    zone_of,
)
from measurements.report.seen import PATHS
from tests.measurements.report.messages import catalogue, messages

ROOT = Path(__file__).resolve().parents[3]
OTHER_WORDS = frozenset({"expired", "portal"})  # what hops and canaries say
TRANSLATED = [code for code in languages() if code != "en"]
VALUES = re.compile(r"%\((\w+)\)s|%%")
SPACED = re.compile(r"[^\u00a0\u202f\s][:;!?](?=\s|$)|(?<! ) [:;!?»]|«(?!\u00a0)|[\"']")
THEN = 1_790_000_000.0


def texts(code: str) -> Iterator[tuple[str, str]]:
    """Yield each English message with its translation, each form of a plural by itself."""
    for message in catalogue(code):
        if isinstance(message.id, tuple | list):
            assert isinstance(message.string, tuple | list)
            yield from ((message.id[min(index, 1)], said) for index, said in enumerate(message.string))
        elif message.id:
            yield message.id, str(message.string)


def test_the_messages_are_found_in_code_and_templates() -> None:
    found = {message.id: {name for name, _ in message.locations} for message in messages() if message.id}
    assert len(found) > 400
    assert {"headlines.py", "templates/report.html"} <= {name for names in found.values() for name in names}
    assert ("%(sites)s is blocked %(place)s", "%(sites)s are blocked %(place)s") in found


def test_there_is_a_language_besides_english() -> None:
    assert "fr" in TRANSLATED


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_catalogue_holds_all_that_is_said_and_nothing_else(code: str) -> None:
    """If this fails: `python -m tests.measurements.report.messages LANGUAGE` adds what is missing, to be translated."""
    assert {message.id for message in catalogue(code)} == {message.id for message in messages()}
    assert not any(message.fuzzy for message in catalogue(code))
    assert [english for english, said in texts(code) if not said.strip()] == []


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_translation_has_the_values_of_its_message(code: str) -> None:
    wrong = [(e, s) for e, s in texts(code) if sorted(VALUES.findall(e)) != sorted(VALUES.findall(s))]
    assert [pair for pair in wrong if set(VALUES.findall(pair[0])) != set(VALUES.findall(pair[1]))] == []
    for _, said in texts(code):
        assert VALUES.sub("", said).count("%") == 0, said


def test_french_is_set_as_french_is() -> None:
    assert [said for _, said in texts("fr") if SPACED.search(said)] == []


def test_the_words_of_the_detector_are_those_of_the_report() -> None:
    """If the detector words a reason anew, the report would say it twice: once quoted."""
    assert {**HELD, **CLOSED}.items() <= dict(words.HELD).items()


def test_every_word_of_the_rules_is_said_in_plain_language() -> None:
    """If a rule gives a new reason, or a mechanism is new, the report must not print the bare word."""
    for words_of, kind in (
        (words.MECHANISMS, Mechanism),
        (words.OUTCOMES, Outcome),
        (words.TRIGGERS, Trigger),
        (words.PLACES, Where),
        (words.PROOFS, Proof),
        (words.PROOF_NAMES, Proof),
        (words.KINDS, Kind),
        (words.STATUSES, Status),
        (words.VIEWS, View),
    ):
        assert set(words_of) >= set(kind) - {View.FOLLOW_UP}
    assert set(words.PURPOSES) >= set(Purpose) - PATHS
    said = {*words.REASONS, *words.GAPS}
    sources = [ROOT / "measurements/judge.py", ROOT / "probe/measuring.py", ROOT / "probe/silence.py"]
    sources += [*ROOT.glob("measurements/rules/*.py"), *ROOT.glob("probe/vantage/*.py")]
    text = "\n".join(source.read_text(encoding="utf-8") for source in sources)
    given = set(re.findall(r'(?:return \(?|reason, words = )"([a-z_0-9]+)",', text))
    given |= set(re.findall(r'reason="([a-z_0-9]+)"', text))
    given |= {
        name for line in re.findall(r"reason=.* if .* else .*", text) for name in re.findall(r'"([a-z_]+)"', line)
    }
    assert len(given) > 30
    assert given - said - OTHER_WORDS == set()


def test_a_new_language_is_one_file(tmp_path: Path) -> None:
    place = tmp_path / "ar" / "LC_MESSAGES" / "wazi.po"
    place.parent.mkdir(parents=True)
    text = (CATALOGUES / "fr" / "LC_MESSAGES" / "wazi.po").read_text(encoding="utf-8")
    place.write_text(text.replace("Chronologie", "الخط الزمني"), encoding="utf-8")
    arabic = language("ar", tmp_path)
    assert languages(tmp_path) == ("en", "ar")
    assert (arabic.direction, arabic.say("Timeline")) == ("rtl", "الخط الزمني")
    assert language("fr").direction == "ltr"


def test_a_translation_that_asks_for_other_values_is_passed_over(tmp_path: Path) -> None:
    place = tmp_path / "de" / "LC_MESSAGES" / "wazi.po"
    place.parent.mkdir(parents=True)
    wrong = ("%(when)s (UTC)", "%(time) (UTC)", "100 % (UTC)", "%(time)d (UTC)")
    for said in wrong:
        place.write_text(f'msgid ""\nmsgstr ""\n\nmsgid "%(time)s (UTC)"\nmsgstr "{said}"\n')
        language.cache_clear()
        assert language("de", tmp_path).say("%(time)s (UTC)", time="now") == "now (UTC)"


def test_an_unknown_language_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UnknownLanguage, match="'tlh': there are en, fr"):
        language_of("tlh")
    assert [language_of(text) for text in ("fr", "fr_CA", "FR-ca", "en_US")] == ["fr", "fr", "fr", "en"]


def test_the_language_of_the_surroundings_is_taken_where_there_is_one() -> None:
    assert best_language({"LANG": "fr_FR.UTF-8"}) == "fr"
    assert best_language({"LANG": "fr_FR.UTF-8", "LC_ALL": "C.UTF-8"}) == "en"
    assert best_language({"LANG": "am_ET.UTF-8"}) == best_language({}) == "en"
    assert best_language({"LC_ALL": "", "LC_MESSAGES": "fr@euro"}) == "fr"


def test_numbers_times_and_lists_are_written_as_the_language_does() -> None:
    english, french = language("en"), language("fr")
    assert (english.number(1234567.5, 1), french.number(1234567.5, 1)) == ("1,234,567.5", "1\u202f234\u202f567,5")
    assert (english.percent_of(0.002), french.percent_of(0.002)) == ("0.2%", "0,2\u00a0%")
    assert (english.moment(THEN), french.moment(THEN)) == ("21 September 2026, 14:13", "21 septembre 2026 à 14:13")
    assert french.day(1_793_500_000.0) == "1er novembre 2026"
    assert english.day(1_793_500_000.0) == "1 November 2026"
    assert french.listed(["a", "b", "c", "d", "e", "f"], 4) == "a, b, c et 3 de plus"
    assert english.moment(1e20) == english.iso(float("inf")) == ""
    lasts = [20.0, 59.0, 60.0, 5400.0, 7200.0, 7500.0, 172_800.0, 180_000.0]
    assert [english.duration(one) for one in lasts] == [
        "0 minutes", "1 minute", "1 minute", "1 h 30 min", "2 hours", "2 h 5 min", "2 days", "2 d 2 h",
    ]  # fmt: skip
    assert english.duration(3600.0) == "60 minutes"


def test_a_bracket_is_said_as_short_as_it_can_be() -> None:
    english = language("en")
    assert english.between((THEN, THEN + 30.0)) == "at 14:13 on 21 September 2026"
    assert english.between((THEN, THEN + 3600.0)) == "between 14:13 and 15:13 on 21 September 2026"
    assert english.between((THEN, THEN + 86_400.0)) == "between 21 September 2026, 14:13 and 22 September 2026, 14:13"


def test_a_ratio_can_be_read_aloud() -> None:
    english = language("en")
    said = [english.odds(ratio) for ratio in (0.0, 7.0, 18.5, 22.0, 29.0)]
    assert said == ["1 time", "1,000 times", "100 million times", "3 thousand million times", MOST]
    assert english.odds(1e9) == MOST
    assert language("fr").odds(14.0) == "1 million de fois"


MOST = "more than a million million times"


def test_a_country_has_a_clock_only_where_it_has_one() -> None:
    ethiopia = zone_of("ET", [THEN])
    assert ethiopia is not None
    assert language("en").clock(THEN, ethiopia) == "17:13"
    assert zone_of("US", [THEN]) is zone_of("ZZ", [THEN]) is zone_of("", [THEN]) is None
    assert zone_of("DE", [THEN]) is not None  # two zones, one clock
    assert zone_of("ET", [1e30]) is None
