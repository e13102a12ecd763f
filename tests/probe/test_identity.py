import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from probe.identity import IdentityError, load_probe_id, load_redaction_secret


def test_an_id_is_made_once_and_is_the_owners_only(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    first = load_probe_id(folder)
    assert len(first) == 32
    assert load_probe_id(folder) == first
    assert (folder / "probe-id").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert os.listdir(folder) == ["probe-id"]
    assert load_probe_id(tmp_path) != first


def test_two_that_start_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(load_probe_id, [tmp_path] * 40))
    assert len(ids) == 1


def test_a_file_without_an_id_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "probe-id").write_text("nothing")
    with pytest.raises(IdentityError, match="holds no probe id"):
        load_probe_id(tmp_path)
    assert (tmp_path / "probe-id").read_text() == "nothing"


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IdentityError, match="cannot be kept"):
        load_probe_id(tmp_path / "file")


def test_a_redaction_secret_is_kept_beside_it(tmp_path: Path) -> None:
    first = load_redaction_secret(tmp_path)
    assert len(first) == 32
    assert load_redaction_secret(tmp_path) == first
    assert (tmp_path / "redaction-secret").stat().st_mode & 0o777 == 0o600
    assert load_redaction_secret(tmp_path / "other") != first


def test_a_file_without_a_secret_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "redaction-secret").write_text("ab" * 31)
    with pytest.raises(IdentityError, match="holds no redaction secret"):
        load_redaction_secret(tmp_path)
    assert (tmp_path / "redaction-secret").read_text() == "ab" * 31
