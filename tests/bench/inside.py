"""Commands, code and transfer in one sandbox, each beside what it can at best cost.

| What | Beside |
|---|---|
| `commands.run("true")`, one after the other | `bash -lc true`, started by a program in the sandbox |
| `1+1` in a warm kernel | |
| a file of 1 GiB up and down through the edge and the guest agent | plain HTTP through the edge to a server in the same sandbox |

The two sides take turns, so that they share the machine's mood. Prints a table, then JSON.
Usage: `python tests/bench/inside.py [--commands 1000] [--mib 1024] [--rounds 3]`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
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


def blocks(mib: int) -> Iterator[bytes]:
    for _ in range(mib):
        yield BLOCK


BARE = """
import json, subprocess, sys, time
seconds = []
for _ in range(int(sys.argv[1])):
    began = time.perf_counter()
    subprocess.run(["/bin/bash", "-lc", "true"], check=True)
    seconds.append(time.perf_counter() - began)
print(json.dumps(seconds))
"""
TURNS = 10
"""How often the two sides of the commands take turns."""


def commands(sandbox: Sandbox, count: int) -> list[Series]:
    """The same command through the SDK, and started where it runs."""
    ours, bare = Series('commands.run("true")'), Series("bash -lc true, started inside")
    sandbox.files.write("/home/user/bare.py", BARE)
    part = max(1, count // TURNS)
    for _ in range(TURNS):
        for _ in range(part):
            ours.measure(lambda: sandbox.commands.run("true"))
        inside = sandbox.commands.run(f"python3 ~/bare.py {part}", timeout=0)
        bare.seconds += json.loads(inside.stdout)
    return [ours, bare]


def transfer(sandbox: Sandbox, mib: int, rounds: int) -> list[Series]:
    """The same bytes through the guest agent and through a plain server beside it."""
    path = "/home/user/large"
    series = [
        Series("upload through the SDK"),
        Series("upload, plain HTTP in the same sandbox"),
        Series("download through the SDK"),
        Series("download, plain HTTP in the same sandbox"),
    ]
    sandbox.files.write("/home/user/plain.py", PLAIN_SERVER)
    sandbox.commands.run(f"python3 ~/plain.py {PORT}", background=True, timeout=0)
    with plain.client(sandbox, port=PORT, token=False) as client:
        wait_until("it listens", lambda: client.get("/0").status_code == 200)
        headers = {"Content-Length": str(mib << 20)}
        steps = [
            lambda: sandbox.files.write(path, blocks(mib), request_timeout=3600),
            lambda: client.put("/", content=blocks(mib), headers=headers, timeout=3600),
            lambda: download(sandbox, path, mib),
            lambda: drain(client, mib),
        ]
        for _ in range(rounds):
            for each, step in zip(series, steps, strict=True):
                each.measure(step)
    return series


def rate(series: Series, mib: int) -> str:
    """A row that tells how fast bytes went, by the median."""
    rates = ", ".join(f"{mib / seconds:.0f}" for seconds in series.seconds)
    median = mib / statistics.median(series.seconds)
    return f"{series.name:44} {mib} MiB, median {median:7.1f} MiB/s of {rates}"


def download(sandbox: Sandbox, path: str, mib: int) -> None:
    chunks = sandbox.files.read(path, format="stream", request_timeout=3600)
    assert sum(len(chunk) for chunk in chunks) == mib << 20


def drain(client: httpx.Client, mib: int) -> None:
    with client.stream("GET", f"/{mib << 20}", timeout=3600) as response:
        assert sum(len(chunk) for chunk in response.iter_bytes()) == mib << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=1000)
    parser.add_argument("--executions", type=int, default=200)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3, help="times that the file goes each way")
    options = parser.parse_args()
    with Server() as server, environment(server.client_environment()):
        inside(options)


def inside(options: argparse.Namespace) -> None:
    with Sandbox.create(timeout=3600) as sandbox:
        executions = Series("run_code('1+1')")
        for _ in range(options.executions):
            executions.measure(lambda: sandbox.run_code("1+1"))
        timed = [*commands(sandbox, options.commands), executions]
        moved = transfer(sandbox, options.mib, options.rounds)
    for series in timed:
        print(series.row())
    for series in moved:
        print(rate(series, options.mib))
    for series in [*timed, *moved]:
        print(series.json())


if __name__ == "__main__":
    main()
