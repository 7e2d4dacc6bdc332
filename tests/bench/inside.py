"""Commands, code and transfer in one sandbox.

1,000 commands one after the other, beside the same shell started by a program inside; 200 times `1+1`
in a warm kernel; a file of 1 GiB up and down
through the guest agent, beside plain HTTP to a server in the same sandbox.
Usage: `python tests/bench/inside.py [--commands 1000] [--mib 1024]`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx
from e2b_code_interpreter import Sandbox
from measure import Series

import plain
from server import Server, environment, wait_until

BLOCK = bytes(range(256)) * 4096
PORT = 8300
PLAIN_SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        size = int(self.path[1:] or 0)
        self.send_response(200); self.send_header("Content-Length", str(size)); self.end_headers()
        block = bytes(1 << 20)
        while size > 0:
            self.wfile.write(block[:size]); size -= len(block)
    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        while left > 0:
            left -= len(self.rfile.read(min(left, 1 << 20)))
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
"""

BARE_START = """
import subprocess, sys, time
for _ in range(int(sys.argv[1])):
    began = time.perf_counter()
    subprocess.run(["/bin/bash", "-l", "-c", "true"], close_fds=False)
    print(time.perf_counter() - began)
"""
"""Starts what `commands.run("true")` does, by a small process and without an agent."""


def blocks(mib: int) -> Iterator[bytes]:
    for _ in range(mib):
        yield BLOCK


def rate(name: str, mib: int, seconds: float) -> None:
    print(f"{name:44} {mib} MiB in {seconds:6.1f} s = {mib / seconds:7.1f} MiB/s")


def timed(call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def transfer(sandbox: Sandbox, mib: int) -> None:
    """The same bytes through the guest agent and through a plain server beside it."""
    path = "/home/user/large"
    rate("upload through the SDK", mib, timed(
        lambda: sandbox.files.write(path, blocks(mib), request_timeout=3600)))  # fmt: skip

    def download() -> None:
        received = sum(
            len(chunk) for chunk in sandbox.files.read(path, format="stream", request_timeout=3600)
        )
        assert received == mib << 20

    rate("download through the SDK", mib, timed(download))
    sandbox.files.write("/home/user/plain.py", PLAIN_SERVER)
    sandbox.commands.run(f"python3 ~/plain.py {PORT}", background=True, timeout=0)
    with plain.client(sandbox, port=PORT, token=False) as client:
        wait_until("it listens", lambda: client.get("/0").status_code == 200)
        headers = {"Content-Length": str(mib << 20)}
        rate("upload, plain HTTP in the same sandbox", mib, timed(
            lambda: client.put("/", content=blocks(mib), headers=headers, timeout=3600)))  # fmt: skip
        rate("download, plain HTTP in the same sandbox", mib, timed(
            lambda: drain(client, mib)))  # fmt: skip


def drain(client: httpx.Client, mib: int) -> None:
    with client.stream("GET", f"/{mib << 20}", timeout=3600) as response:
        assert sum(len(chunk) for chunk in response.iter_bytes()) == mib << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=1000)
    parser.add_argument("--executions", type=int, default=200)
    parser.add_argument("--mib", type=int, default=1024)
    options = parser.parse_args()
    with Server() as server, environment(server.client_environment()):
        inside(options)


def bare_starts(sandbox: Sandbox, count: int) -> Series:
    """The time that the shell of a command takes by itself."""
    sandbox.files.write("/home/user/bare.py", BARE_START)
    ran = sandbox.commands.run(f"python3 ~/bare.py {count}", timeout=600)
    return Series("the same shell, started inside", [float(line) for line in ran.stdout.split()])


def inside(options: argparse.Namespace) -> None:
    with Sandbox.create(timeout=3600) as sandbox:
        commands = Series('commands.run("true")')
        for _ in range(options.commands):
            commands.measure(lambda: sandbox.commands.run("true"))
        print(commands.row())
        bare = bare_starts(sandbox, min(options.commands, 200))
        print(bare.row())
        above = (commands.median - bare.median) * 1000
        print(f"{'commands.run above a bare start':44} {above:.1f} ms")
        executions = Series("run_code('1+1')")
        for _ in range(options.executions):
            executions.measure(lambda: sandbox.run_code("1+1"))
        print(executions.row())
        transfer(sandbox, options.mib)


if __name__ == "__main__":
    main()
