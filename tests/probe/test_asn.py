"""Which network an address is in, by databases that are written here."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet  # type: ignore[import-untyped]

from probe.asn import BadDatabase, open_asns
from probe.settings.values import asn_database


def database(path: Path, row: dict[str, object]) -> Path:
    writer = MMDBWriter(ip_version=4)
    writer.insert_network(IPSet(["198.51.100.0/24"]), row)
    writer.to_db_file(str(path))
    return path


@pytest.mark.parametrize(
    ("row", "number"),
    [
        ({"autonomous_system_number": 64500, "autonomous_system_organization": "Example"}, 64500),
        ({"asn": "AS64501", "name": "Example"}, 64501),
        ({"asn": "none"}, None),
        ({"country": "KE"}, None),
    ],
    ids=["maxmind", "ipinfo", "words", "another-database"],
)
def test_rows_of_several_makers_are_read(tmp_path: Path, row: dict[str, object], number: int | None) -> None:
    asn_of = open_asns(database(tmp_path / "asn.mmdb", row))
    assert asn_of("198.51.100.7") == number
    assert asn_of("203.0.113.1") is None
    assert asn_of("2001:db8::1") is None
    assert asn_of("no address") is None


def test_without_a_database_nothing_is_known() -> None:
    assert open_asns(None)("198.51.100.7") is None


def test_what_is_no_database_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database")
    for path, words in ((tmp_path / "text", "no MMDB file"), (tmp_path / "missing", "cannot be read")):
        with pytest.raises(BadDatabase, match=words):
            open_asns(path)
        with pytest.raises(ValueError, match=words):
            asn_database(str(path))
