#!/usr/bin/env python3
"""Runs the tests of the SDKs with the oldest supported ones, and through the asynchronous class.

| Leg | Python | JavaScript |
|---|---|---|
| `oldest, JavaScript` | | the oldest pair |
| `oldest, sync` | the oldest pair | |
| `oldest, async` | the oldest pair, what has no counterpart in the blocking class | |
| `newest, async` | the newest pair, all tests through `AsyncSandbox` | |

The newest pairs in the blocking class and in JavaScript are what `pytest compat` itself runs with.
The oldest find the server only by host names over TLS, so all legs share one server that has them;
two run at a time, and what they print comes when they are done. The last line says how many tests passed and failed; what was skipped is told by pytest, with why.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from clients import CACHE, Client, find, run

from server import Server, in_domain

PYTHON = find("e2b", "python", "2.0.0")
JAVASCRIPT = find("e2b", "javascript", "2.0.1")
SECONDS = 1500
"""How long one leg may take."""
NO_TESTS = 5
"""Pytest's exit code if there was nothing to run."""
AT_ONCE = 2
"""How many legs run beside each other: they mostly wait."""
SHARED = [
    "commands", "pty", "files", "watch", "security", "observe", "lifecycle", "across_pause",
    "main_path", "interpreter", "charts",
]  # fmt: skip
"""The parts whose tests run through any SDK, blocking or not."""


def with_pytest(client: Client) -> str:
    """The interpreter of a client's environment, which also has what the tests need."""
    [python] = client.install()
    done = client.directory / "pytest-installed"
    if not done.exists():
        listed = (HERE / "requirements.txt").read_text().splitlines()
        tools = [line for line in listed if line and not line.startswith(("#", "e2b"))]
        run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *tools])
        done.touch()
    return python


def with_packages(client: Client) -> str:
    """The directory of a JavaScript client, whose packages are there."""
    client.install()
    return str(client.directory)


@dataclass
class Leg:
    """One run of pytest with one SDK."""

    name: str
    python: str
    parts: list[str]
    variables: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None

    def run(self, server: Server, last_failed: bool) -> tuple[int, int]:
        """Runs it, prints how it went, and returns how many passed and how many did not."""
        print(f"{self.name} begins", flush=True)
        slug = "".join(letter if letter.isalnum() else "-" for letter in self.name)
        with tempfile.TemporaryDirectory() as directory:
            report = Path(directory) / "report.xml"
            command = [
                self.python, "-m", "pytest", "-o", f"cache_dir={CACHE / 'pytest' / slug}",
                f"--junitxml={report}", "--durations=15", *(f"compat/test_{part}.py" for part in self.parts),
                *(["--last-failed", "--last-failed-no-failures=none"] if last_failed else []),
            ]  # fmt: skip
            said, status = self._run(in_domain(server, command), server)
            passed, failed, skipped = counts(report)
        nothing_to_do = last_failed and status == NO_TESTS
        if nothing_to_do:
            failed = 0
        elif status != 0 and not failed:
            failed = 1
        told = f"{self.name}: {passed} good, {failed} bad, {skipped} skipped"
        print(f"\n#### {self.name}\n{said}#### {told}", flush=True)
        return passed, failed

    def _run(self, command: list[str], server: Server) -> tuple[str, int]:
        """Runs a command to its end: what it printed, and its exit code."""
        self.process = subprocess.Popen(
            command, cwd=HERE.parent, env={**os.environ, **server.running(), **self.variables},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            start_new_session=True,
        )  # fmt: skip
        try:
            said, _ = self.process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self.stop()
            said, _ = self.process.communicate()
            said += f"\nERROR {self.name}: not done within {SECONDS} s\n"
        return said, self.process.returncode

    def stop(self) -> None:
        """Ends it and all that it started."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)


def counts(report: Path) -> tuple[int, int, int]:
    """How many tests passed, failed and were skipped, as pytest reports."""
    if not report.exists():
        return 0, 1, 0
    [suite] = ElementTree.parse(report).iter("testsuite")
    total, failures, errors, skipped = (
        int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")
    )
    failed = failures + errors
    return total - failed - skipped, failed, skipped


def legs() -> list[Leg]:
    """All legs, with what they need installed."""
    oldest = with_pytest(PYTHON)
    asynchronous = {"OVERWINTER_TEST_SDK": "async"}
    return [
        Leg(
            "oldest, JavaScript",
            sys.executable,
            ["javascript"],
            {"OVERWINTER_TEST_JAVASCRIPT": with_packages(JAVASCRIPT)},
        ),
        Leg("oldest, sync", oldest, SHARED),
        Leg("oldest, R and Java", oldest, ["r_and_java"]),
        Leg("oldest, async", oldest, ["async"]),
        Leg("newest, async", sys.executable, SHARED, asynchronous),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--last-failed", action="store_true", help="only what failed last time")
    parser.add_argument("--leg", default="", help="legs whose name contains this")
    options = parser.parse_args()
    chosen = [leg for leg in legs() if options.leg in leg.name]
    with Server(domain=True) as server, ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            ended = list(pool.map(lambda leg: leg.run(server, options.last_failed), chosen))
        except BaseException:
            # Told to end: the pool would wait for its legs.
            pool.shutdown(wait=False, cancel_futures=True)
            for leg in chosen:
                leg.stop()
            raise
    passed, failed = (sum(numbers) for numbers in zip(*ended, strict=True))
    print(f"\n{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
