"""What names the home, read off the computer: only so that it can be taken out of what is kept."""

from __future__ import annotations

import os
from pathlib import Path

from probe.surroundings import read_home

ROUTES = "Iface\tDestination\tGateway\tFlags\neth0\t00000000\t0101A8C0\t0003\neth0\t0001A8C0\t00000000\t0001\nx\n"
NEIGHBOURS = (
    "IP address       HW type     Flags       HW address            Mask     Device\n"
    "192.168.1.1      0x1         0x2         c0:ff:ee:12:34:56     *        eth0\n"
    "192.168.1.9      0x1         0x2         aa:bb:cc:11:22:33     *        eth0\nx\n"
)


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_names_cards_and_the_gateways_card_are_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        "etc/resolv.conf",
        "# search no.example\nnameserver 127.0.0.53\nsearch mueller.example. corp.example\n",
    )
    write(tmp_path, "run/systemd/resolve/resolv.conf", "domain fritz.box\nsearch\n")
    write(tmp_path, "sys/class/net/eth0/address", "1e:2d:3e:4f:5a:6b\n")
    write(tmp_path, "sys/class/net/lo/address", "00:00:00:00:00:00\n")
    (tmp_path / "sys/class/net/tun0").mkdir()
    write(tmp_path, "proc/net/route", ROUTES)
    write(tmp_path, "proc/net/arp", NEIGHBOURS)
    assert read_home(tmp_path, "anna.old.example") == {
        *("anna.old.example", "anna", "anna.mueller.example", "anna.corp.example", "anna.fritz.box"),
        *("mueller.example", "corp.example", "fritz.box"),
        *("1e:2d:3e:4f:5a:6b", "00:00:00:00:00:00", "c0:ff:ee:12:34:56"),
    }


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    assert read_home(tmp_path, "") == frozenset()
    assert os.uname().nodename in read_home(tmp_path)
