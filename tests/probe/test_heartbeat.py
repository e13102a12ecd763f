from pathlib import Path

from msgspec.structs import replace

from measurements.model import Gap
from probe.heartbeat import FRESH, CampaignState, Heartbeat, HeartbeatFile

GAP = Gap(probe_id="p", since=1.0, until=2.0, why="offline")
BEAT = Heartbeat(
    alive=1000.0,
    started=10.0,
    pid=7,
    running=True,
    software="wazi",
    probe_id="p",
    campaigns=(CampaignState(name="c", targets=3, last_run=900.0),),
    open_gaps=(GAP,),
)


def test_a_heartbeat_is_read_back_and_is_the_owners_only(tmp_path: Path) -> None:
    file = HeartbeatFile(tmp_path / "folder")
    assert file.read() is None
    file.write(BEAT)
    file.write(BEAT)
    assert file.read() == BEAT
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert list(file.path.parent.iterdir()) == [file.path]


def test_no_beat_comes_after_the_last_of_a_life(tmp_path: Path) -> None:
    """If a thread is late, the probe is yet said to have stopped; its next life may say otherwise."""
    file = HeartbeatFile(tmp_path)
    last = replace(BEAT, running=False)
    for beat in (BEAT, last, BEAT):
        file.write(beat)
    assert file.read() == last
    file.write(replace(BEAT, started=11.0))
    assert file.read() == replace(BEAT, started=11.0)


def test_what_is_no_heartbeat_counts_as_none(tmp_path: Path) -> None:
    file = HeartbeatFile(tmp_path)
    for data in (b"", b"{", b'{"alive": "x"}', b"\xff"):
        file.path.write_bytes(data)
        assert file.read() is None


def test_a_heartbeat_is_fresh_for_a_while_and_only_of_one_that_runs() -> None:
    assert BEAT.is_fresh(1000.0 + FRESH)
    assert BEAT.is_fresh(1000.0 - FRESH)
    assert not BEAT.is_fresh(1000.1 + FRESH)
    stopped = Heartbeat(alive=1000.0, started=1.0, pid=1, running=False, software="w", probe_id="p")
    assert not stopped.is_fresh(1000.0)


def test_a_probe_lives_while_it_holds_its_lock(tmp_path: Path) -> None:
    file, reader = HeartbeatFile(tmp_path / "folder"), HeartbeatFile(tmp_path / "folder")
    assert not reader.is_alive(1000.0)
    with file.held():
        assert not reader.is_alive(1000.0)
        file.write(BEAT)
        assert reader.is_alive(1000.0)
        assert not reader.is_alive(1000.1 + FRESH)
    assert not reader.is_alive(1000.0)
    with file.held():
        assert reader.is_alive(1000.0)


def test_where_there_is_no_lock_the_time_decides(tmp_path: Path) -> None:
    file = HeartbeatFile(tmp_path)
    file.write(BEAT)
    assert file.is_alive(1000.0)
    (tmp_path / "heartbeat.lock").mkdir()  # neither a probe nor a reader can lock this
    with file.held():
        assert file.is_alive(1000.0)
    assert file.is_alive(1000.0)


def test_a_second_probe_does_not_wait_for_the_first(tmp_path: Path) -> None:
    file, second = HeartbeatFile(tmp_path), HeartbeatFile(tmp_path)
    file.write(BEAT)
    with file.held():
        with second.held():
            assert file.is_alive(1000.0)
        assert file.is_alive(1000.0)
