"""Where a server keeps what belongs to a sandbox; the only place in these tests that knows."""

from __future__ import annotations

import json
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


def snapshots(server: Server, sandbox_id: str) -> list[Path]:
    """The directories of a sandbox's snapshots, oldest first."""
    store = server.data_dir / "node" / "snapshots"
    found = {
        path.parent
        for path in store.rglob("*")
        if path.is_file() and "manifest" in path.name and sandbox_id in path.read_text()
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
