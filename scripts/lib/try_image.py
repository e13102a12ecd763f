"""Try an unpacked image as a careful container service would run it, and say what was seen.

    try_image.py ROOT IMAGE_JSON

ROOT is the image's mounted file system, IMAGE_JSON what `buildah inspect --type image` says of it. The
image runs as its own user, without capabilities and without a way to gain any, over a read-only root with
only /data and /tmp writable, in mount, process and network namespaces of its own: it can reach nobody.
For a measurement it stands in the home of the lab (tests/lab), which has no way out either.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from measurements.store import open_store
from tests.lab.book import OPEN
from tests.lab.client import LabClient
from tests.measurements.report.scenes import outage

REPOSITORY = Path(__file__).resolve().parents[2]
STOP_WITHIN = 10.0  # seconds from SIGTERM to the end
HEALTHY_WITHIN = 60.0  # seconds from the start to the first healthy answer
LEAST_PDF = 10_000  # bytes: with a typeface in it
BUILD_ONLY = ("build", "root/.cache", "etc/pip.conf", "opt/wazi/bin/pip", "run/secrets/pip", "run/secrets/ca")

# Arguments: the root, the folder for /data, then the command that runs inside.
ENTER = """
set -eu
root=$1 data=$2
shift 2
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o size=64m,mode=1777,noexec,nosuid,nodev tmpfs "$root/tmp"
mount -t tmpfs -o size=64k,mode=755 tmpfs "$root/dev"
for device in null zero full random urandom; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mount --bind "$data" "$root/data"
exec chroot "$root" "$@"
"""


class Wrong(Exception):
    """The image is not what it promises; the text says how."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image: where its files are, and what it says of itself."""

    root: Path
    user: str
    env: tuple[str, ...]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    health: tuple[str, ...]
    folder: str
    stop_signal: str
    volumes: tuple[str, ...]

    @classmethod
    def read(cls, root: Path, description: Path) -> Image:
        """Return the image at `root` as the JSON file `description` tells of it."""
        config = json.loads(description.read_text())["Docker"]["config"]
        health = (config.get("Healthcheck") or {}).get("Test") or []
        return cls(
            root=root,
            user=config.get("User") or "0",
            env=tuple(config["Env"]),
            entrypoint=tuple(config["Entrypoint"]),
            command=tuple(config["Cmd"]),
            health=tuple(health[1:]),
            folder=config["WorkingDir"],
            stop_signal=config.get("StopSignal", ""),
            volumes=tuple(config.get("Volumes") or ()),
        )

    def become(self, argv: Sequence[str], env: Sequence[str] = ()) -> list[str]:
        """Return the command that runs `argv`, from within the root, as the image's own user with no power."""
        uid, _, gid = self.user.partition(":")
        drop = ["--clear-groups", "--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"]
        return [
            *("setpriv", f"--reuid={uid}", f"--regid={gid or uid}", *drop),
            *("env", "-i", "-C", self.folder, *self.env, *env, *argv),
        ]

    def contain(self, argv: Sequence[str], data: Path, env: Sequence[str] = (), *, network: bool = False) -> list[str]:
        """Return the command that runs `argv` in a container; with `network`, in the caller's network."""
        fresh = ["--mount", "--pid", "--fork", "--kill-child", *([] if network else ["--net"])]
        enter = ["sh", "-c", ENTER, "enter", str(self.root), str(data)]
        return ["unshare", *fresh, *enter, *self.become(argv, env)]

    def fresh_data(self, parent: Path) -> Path:
        """Return a new folder for /data, owned as a new volume is."""
        data = Path(tempfile.mkdtemp(prefix="data-", dir=parent))
        subprocess.run(["chown", "--reference", self.root / "data", data], check=True)
        return data

    def run(self, argv: Sequence[str], work: Path, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run `argv` in a container of its own, to its end."""
        command = self.contain(argv, self.fresh_data(work))
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)


def expect(right: bool, otherwise: str) -> None:
    if not right:
        raise Wrong(otherwise)


def check_description(image: Image) -> str:
    expect(re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", image.user) is not None, f"user {image.user!r} is not a plain number")
    expect(image.volumes == ("/data",), f"volumes are {image.volumes}, not /data alone")
    expect(image.stop_signal in ("SIGTERM", "15"), f"the stop signal is {image.stop_signal!r}")
    expect(bool(image.health), "there is no health check")
    left = [name for name in BUILD_ONLY if (image.root / name).exists()]
    expect(not left, f"the build left behind: {left}")
    size = int(subprocess.run(["du", "-sm", image.root], check=True, capture_output=True, text=True).stdout.split()[0])
    return f"{size} MB, nothing of the build left"


def check_powers(image: Image, work: Path) -> str:
    done = image.run(["sh", "-c", "id -u; grep -E '^(CapEff|NoNewPrivs)' /proc/self/status"], work)
    words = done.stdout.split()
    expect(words[:1] == [image.user.partition(":")[0]], f"it runs as {done.stdout}{done.stderr}")
    expect(words[1:] == ["CapEff:", "0" * 16, "NoNewPrivs:", "1"], f"it has powers: {done.stdout}")
    return f"runs as {words[0]} without capabilities"


def check_writes(image: Image, work: Path) -> str:
    places = ["/", "/etc", "/opt/wazi", "/usr/local", "/var/tmp", "/var/lib", "/home", "/run"]
    script = 'for place; do if touch "$place/x"; then echo "$place"; fi; done'
    done = image.run(["sh", "-c", script, "sh", *places, "/data", "/tmp"], work)
    expect(done.stdout.split() == ["/data", "/tmp"], f"it can write to: {done.stdout.split()}")
    return "writes to /data and /tmp only"


def check_version(image: Image, work: Path) -> str:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    done = image.run([*image.entrypoint, "--version"], work)
    expect(done.returncode == 0 and version in done.stdout, f"wazi --version said: {done.stdout}{done.stderr}")
    return f"is version {version}"


@contextmanager
def running(image: Image, work: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """Run the image as it starts by itself, with no network; yield the outer process, the init's pid and the log."""
    log = work / "run.log"
    with log.open("wb") as out:
        command = image.contain([*image.entrypoint, *image.command], image.fresh_data(work))
        outer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield outer, only_child(outer), log
    finally:
        outer.kill()
        outer.wait()


def only_child(process: subprocess.Popen[bytes]) -> int:
    """Return the pid of `process`'s child, which is the first process in the container."""
    until = time.monotonic() + 5
    while time.monotonic() < until and process.poll() is None:
        if found := Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            return int(found[0])
        time.sleep(0.02)
    raise Wrong("the container did not start")


def check_life(image: Image, work: Path) -> str:
    expect(image.run(image.health, work).returncode != 0, "the health check passes although nothing runs")
    with running(image, work) as (outer, init, log):
        healthy_after = wait_until_healthy(image, outer, init, log)
        subprocess.run(["kill", "-s", "TERM", str(init)], check=True)
        began = time.monotonic()
        try:
            code = outer.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            raise Wrong(f"{STOP_WITHIN:.0f} s after SIGTERM it still runs:\n{tail(log)}") from None
        expect(code == 0, f"it ended with {code} after SIGTERM:\n{tail(log)}")
        return f"healthy after {healthy_after:.1f} s, ended {time.monotonic() - began:.1f} s after SIGTERM"


def wait_until_healthy(image: Image, outer: subprocess.Popen[bytes], init: int, log: Path) -> float:
    """Ask the health check inside the container until it passes; return how long that took."""
    into = ["nsenter", f"--target={init}", "--mount", "--pid", "--net", "--root", "--"]
    command = [*into, *image.become(image.health)]
    began = time.monotonic()
    while True:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
        took = time.monotonic() - began
        if done.returncode == 0:
            return took
        said = f"{tail(log)}\nhealth check: {done.stdout}{done.stderr}"
        expect(outer.poll() is None, f"it ended by itself:\n{said}")
        expect(took < HEALTHY_WITHIN, f"it never became healthy:\n{said}")
        time.sleep(0.5)


def check_measurement(image: Image, work: Path) -> str:
    """Let the image measure a site of the lab that nothing is wrong with."""
    folder = work / "lab"
    folder.mkdir()
    lab = LabClient(folder)
    try:
        lab.apply(OPEN)
        command = [*image.entrypoint, "check", "--json", OPEN.target]
        inside = image.contain(command, lab_data(image, lab, work), ["WAZI_CONFIG=/data/lab.toml"], network=True)
        code, out, err = lab.run("cli", inside, timeout=90)
    finally:
        lab.close()
    said = f"wazi check ended with {code}:\n{out[-2000:]}{err[-2000:]}"
    expect(code == 0 and len(out.splitlines()) == 1, said)
    expect(json.loads(out)["outcome"] == OPEN.expect.outcome, said)
    return f"measured {OPEN.target} in the lab as {OPEN.expect.outcome}"


def check_report(image: Image, work: Path) -> str:
    """Let the image set a report about an outage on paper, which needs Pango and a typeface."""
    data = image.fresh_data(work)
    with open_store(f"sqlite:///{data}/wazi.db") as store:
        (event,) = outage(store)
    owner = data.stat()
    for path in data.iterdir():
        os.chown(path, owner.st_uid, owner.st_gid)
    command = image.contain([*image.entrypoint, "report", event.id, "--pdf", "--output", "/data/report.pdf"], data)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    expect(done.returncode == 0, f"wazi report --pdf ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    page = (data / "report.pdf").read_bytes()
    expect(page.startswith(b"%PDF") and len(page) > LEAST_PDF, f"wazi report --pdf wrote {len(page)} bytes")
    return f"set a report as PDF, {len(page) // 1000} kB"


def lab_data(image: Image, lab: LabClient, parent: Path) -> Path:
    """Return a folder for /data with the lab's settings, and the files that they name."""
    data = image.fresh_data(parent)
    settings = lab.config(control=False).read_text()
    for path in re.findall(rf'"({re.escape(str(lab.work))}/[^"]+)"', settings):
        lent = data / Path(path).name
        lent.write_bytes(Path(path).read_bytes())
        lent.chmod(0o644)
        settings = settings.replace(path, f"/data/{lent.name}")
    (data / "lab.toml").write_text(settings.replace(str(lab.work), "/data"))
    return data


def tail(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:]


def main(root: Path, description: Path) -> int:
    image = Image.read(root, description)
    with tempfile.TemporaryDirectory(prefix="wazi-image-") as folder:
        work = Path(folder)
        work.chmod(0o711)  # the image's user must reach its data
        try:
            seen = [
                check_description(image),
                check_powers(image, work),
                check_writes(image, work),
                check_version(image, work),
                check_life(image, work),
                check_measurement(image, work),
                check_report(image, work),
            ]
        except Wrong as wrong:
            print(f"the image is wrong: {wrong}", file=sys.stderr)
            return 1
    print("the image is right: " + "; ".join(seen))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
