"""Where a server keeps what belongs to a sandbox; the only place in these tests that knows."""

from __future__ import annotations

import json
import mmap
import os
import signal
from pathlib import Path

from server import Server, command_lines


def place(server: Server, sandbox_id: str) -> Path | None:
    """The directory of a sandbox's run."""
    for record in (server.data_dir / "node" / "runs").glob("*/run.json"):
        try:
            if json.loads(record.read_text())["sandbox"] == sandbox_id:
                return record.parent
        except FileNotFoundError:
            """It ended meanwhile."""
    return None


def engine_processes(server: Server, sandbox_id: str) -> list[tuple[int, str]]:
    """The engine's processes of a sandbox: number and command line."""
    directory = place(server, sandbox_id)
    if directory is None:
        return []
    return [
        (pid, line)
        for pid, line in command_lines()
        if str(server.data_dir) in line and directory.name in line
    ]


def engine_pid(server: Server, sandbox_id: str) -> int:
    """The process that a sandbox's kernel is; its end is the sandbox's."""
    [pid] = [pid for pid, line in engine_processes(server, sandbox_id) if "boot" in line.split()]
    return pid


def lives(pid: int) -> bool:
    """Whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def end_engine(server: Server, sandbox_id: str) -> None:
    """Ends a sandbox's kernel, as a lack of memory would."""
    os.kill(engine_pid(server, sandbox_id), signal.SIGKILL)


def running(server: Server) -> list[str]:
    """The sandboxes that run, by the node's own records; places that are kept ready are none."""
    records = (server.data_dir / "node" / "runs").glob("*/run.json")
    return [json.loads(record.read_text())["sandbox"] for record in records]


def files_below(directory: Path) -> list[Path]:
    """The files in a directory and below, also while others come and go."""
    found = [Path(place) / name for place, _, names in os.walk(directory) for name in names]
    return [path for path in found if path.is_file()]


def holds(path: Path, text: str) -> bool:
    """Whether a file holds the text; one that was removed meanwhile does not."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return False
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return content.find(text.encode()) >= 0
    except FileNotFoundError:
        return False


def snapshots(server: Server, sandbox_id: str) -> list[Path]:
    """The directories of a sandbox's snapshots, oldest first."""
    store = server.data_dir / "node" / "snapshots"
    found = {
        path.parent
        for path in files_below(store)
        if "manifest" in path.name and holds(path, sandbox_id)
    }
    return sorted(found, key=lambda path: path.stat().st_mtime_ns)


def snapshot_files(server: Server, sandbox_id: str) -> list[Path]:
    """The files of a sandbox's snapshots, the largest first."""
    files = [
        path
        for directory in snapshots(server, sandbox_id)
        for path in directory.rglob("*")
        if path.is_file() and path.stat().st_size > 0
    ]
    assert files, "a paused sandbox has files"
    return sorted(files, key=lambda path: -path.stat().st_size)
