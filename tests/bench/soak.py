"""Whether anything is lost or drifts: one sandbox paused and resumed many times.

Files and memory are changed before each pause and compared after each resume, inside and against
what was known outside. Prints how long pauses and resumes took and how much the server, its files
and its open files grew, in tenths of the run; fails if anything differs, or with `--limit` if the last
tenth's median is that much slower than the first's. Usage: `python tests/bench/soak.py [--pauses 200]`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from e2b_code_interpreter import Sandbox
from measure import Series

from server import Server, environment

PREPARE = """
import hashlib, os, random
os.makedirs("/home/user/soak", exist_ok=True)
memory = bytearray(random.randbytes({mib} << 20))
def change(number):
    at = number * 7919 % (len(memory) - 4096)
    memory[at : at + 4096] = random.randbytes(4096)
    with open(f"/home/user/soak/{{number % 50}}", "wb") as file:
        file.write(random.randbytes(1 << 16))
def digest():
    found = hashlib.sha256(memory)
    for name in sorted(os.listdir("/home/user/soak")):
        with open(f"/home/user/soak/{{name}}", "rb") as file:
            found.update(name.encode() + file.read())
    return found.hexdigest()
def used_mib():
    with open("/proc/meminfo") as file:
        kib = dict((line.split()[0], int(line.split()[1])) for line in file)
    return (kib["MemTotal:"] - kib["MemFree:"]) // 1024
"""


@dataclass
class Sizes:
    """What may grow: MiB of memory and disk, and open files."""

    server_mib: int
    files: int
    disk_mib: int
    inside_mib: int


def resident(pid: int) -> int:
    """MiB of memory that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) // 1024
    return 0


def on_disk(server: Server) -> int:
    """MiB of the data directory that are the server's own; it goes on removing what was paused."""
    blocks = 0
    for directory, _, names in os.walk(server.data_dir):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                blocks += os.lstat(f"{directory}/{name}").st_blocks
    return blocks * 512 >> 20


def measure(server: Server, sandbox: Sandbox, disk_mib: int) -> Sizes:
    assert server.process is not None
    pid = server.process.pid
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Sizes(resident(pid), files, disk_mib, int(text(sandbox, "used_mib()")))


def text(sandbox: Sandbox, code: str) -> str:
    execution = sandbox.run_code(code, timeout=600)
    assert not execution.error, execution.error
    return (execution.text or "").strip("'")


def soak(server: Server, count: int, mib: int) -> tuple[Series, Series, list[Sizes]]:
    """Pauses and resumes one sandbox, and compares what it holds each time."""
    pauses, resumes, grown = Series("pause"), Series("resume"), []
    sandbox = Sandbox.create("code-interpreter-v1", timeout=3600)
    text(sandbox, PREPARE.format(mib=mib))
    boot = sandbox.files.read("/proc/sys/kernel/random/boot_id")
    for number in range(count):
        before = text(sandbox, f"change({number}); digest()")
        pauses.measure(sandbox.pause)
        disk = on_disk(server)
        resumes.measure(lambda: sandbox.connect(timeout=3600))
        after = text(sandbox, "digest()")
        assert after == before, f"pause {number}: {after} instead of {before}"
        assert sandbox.files.read("/proc/sys/kernel/random/boot_id") == boot, f"pause {number}"
        grown.append(measure(server, sandbox, disk))
    assert sandbox.kill()
    return pauses, resumes, grown


def tell(pauses: Series, resumes: Series, grown: list[Sizes]) -> None:
    count = len(grown)
    tenth = max(1, count // 10)
    print(
        f"{'pauses':>12} {'pause ms':>9} {'resume ms':>9} {'server MiB':>10} {'fds':>5} "
        f"{'disk MiB':>8} {'inside MiB':>10}"
    )
    for first in range(0, count, tenth):
        part = slice(first, first + tenth)
        size = grown[part][-1]
        print(
            f"{first:5}-{min(first + tenth, count) - 1:6} "
            f"{statistics.median(pauses.seconds[part]) * 1000:9.1f} "
            f"{statistics.median(resumes.seconds[part]) * 1000:9.1f} {size.server_mib:10} "
            f"{size.files:5} {size.disk_mib:8} {size.inside_mib:10}"
        )


def drift(series: Series) -> float:
    """How many times as long the last tenth took as the first, by their medians."""
    tenth = max(1, len(series.seconds) // 10)
    first, last = (
        statistics.median(part) for part in (series.seconds[:tenth], series.seconds[-tenth:])
    )
    print(
        f"{series.name}: first tenth {first * 1000:.1f} ms, last tenth {last * 1000:.1f} ms: "
        f"{(last / first - 1) * 100:+.1f} %"
    )
    return last / first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pauses", type=int, default=200)
    parser.add_argument("--mib", type=int, default=32, help="memory that is compared")
    parser.add_argument("--limit", type=float, help="fail if a median grew to more than this times")
    options = parser.parse_args()
    with Server() as server, environment(server.client_environment()):
        pauses, resumes, grown = soak(server, options.pauses, options.mib)
    tell(pauses, resumes, grown)
    drifts = [drift(series) for series in (pauses, resumes)]
    print(f"{options.pauses} pauses, nothing differed")
    if options.limit and max(drifts) > options.limit:
        sys.exit(f"slower than {options.limit} times the first tenth")


if __name__ == "__main__":
    main()
