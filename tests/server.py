"""Starts the real server for a test, and leaves nothing of it behind.

Every test below this folder goes through here. A server gets a data directory of its own, which
borrows the prepared templates of another, and free ports on loopback.

| Variable | What it says |
|---|---|
| `OVERWINTER_TEST_SERVER` | the `overwinter` binary; `target/debug/overwinter` if unset |
| `OVERWINTER_TEST_DATA_DIR` | the data directory whose templates are borrowed |
| `OVERWINTER_TEST_RUNSC` | the `runsc` binary; the one on `PATH` if unset |
| `OVERWINTER_TEST_KEEP` | if set, data directories and logs are kept, and their place printed |
| `OVERWINTER_TEST_FROZEN_FOR` | how long paused sandboxes stay in memory, as in `2m`; `0s` if unset |

As a program, it runs a command against a new server: `tests/server.py [--domain] -- pytest …`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

REPOSITORY = Path(__file__).resolve().parent.parent
BORROWED = ("templates", "images", "bin", "runsc")
"""What of a data directory all servers may share; the rest belongs to one."""
START_SECONDS = 180
"""How long a server may take to be ready. Generous: it starts on machines with other work."""
STOP_SECONDS = 90
DOMAIN = "sbx.test"
"""A domain that no public DNS knows (RFC 2606)."""


Answer = TypeVar("Answer")


class ServerFailed(Exception):
    """The server did not start, or ended on its own."""


def wait_until(what: str, check: Callable[[], Answer | None], seconds: float = 60) -> Answer:
    """Asks until the answer is true, and returns it; fails when `seconds` are over."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := check():
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.05)


_given_ports: set[int] = set()


def free_port(address: str = "127.0.0.1") -> int:
    """A port on which nothing listens just now, and that is given once.

    From below the range that the kernel takes for outgoing connections (32768 and up, if nobody set
    it): one of those may take a port while a server that is to listen on it starts, or is away.
    """
    for port in random.sample(range(10_000, 30_000), 1000):
        with socket.socket() as listener:
            try:
                listener.bind((address, port))
            except OSError:
                continue
        if port not in _given_ports:
            _given_ports.add(port)
            return port
    raise ServerFailed("no port is free")


def private_loopback() -> str:
    """A loopback address of this process's own, so that ports 53 and 443 on it are free."""
    pid = os.getpid()
    return f"127.{100 + (pid >> 16) % 100}.{(pid >> 8) & 0xFF}.{max(2, min(pid & 0xFF, 254))}"


def find_binary() -> Path:
    """The server under test."""
    path = Path(os.environ.get("OVERWINTER_TEST_SERVER", REPOSITORY / "target/debug/overwinter"))
    if not path.exists():
        raise ServerFailed(f"no server at {path}: build it, or set OVERWINTER_TEST_SERVER")
    return path


def borrow(source: Path, data_dir: Path) -> None:
    """Gives a new data directory the prepared parts of another."""
    for name in BORROWED:
        if (source / name).exists():
            (data_dir / name).symlink_to(source / name)


def has_template(name: str) -> bool:
    """Whether servers of tests have a template."""
    source = os.environ.get("OVERWINTER_TEST_DATA_DIR")
    return source is not None and (Path(source) / "templates" / name / "current").exists()


@dataclass
class Server:
    """A server and its data directory. Use it as a context, or call `start` and `clean_up`."""

    domain: bool = False
    """Whether it serves `https://{port}-{sandbox}.sbx.test` with a private CA and DNS."""
    arguments: list[str] = field(default_factory=list)
    """More arguments of `serve`."""
    environment: dict[str, str] = field(default_factory=dict)
    """More variables of its environment."""
    root: Path | None = None
    """Where its data directory is made; the system's temporary directory if none."""
    frozen_for: str | None = None
    """How long paused sandboxes stay in memory. If none, `OVERWINTER_TEST_FROZEN_FOR`, or not at all:
    what a test asks of a resume, it asks of one from disk unless it says otherwise."""

    def __post_init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="ow-test-", dir=self.root))
        self.data_dir = self.directory / "data"
        self.data_dir.mkdir()
        self.log = self.directory / "server.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.address = private_loopback() if self.domain else "127.0.0.1"
        self.api_port = free_port()
        self.edge_port = free_port()
        self.key = ""
        if source := os.environ.get("OVERWINTER_TEST_DATA_DIR"):
            borrow(Path(source), self.data_dir)

    # What clients need.

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.edge_port}"

    @property
    def ca_file(self) -> Path:
        """The certificate of the private CA."""
        return self.data_dir / "tls" / "ca.pem"

    def client_environment(self, prefix: str = "E2B") -> dict[str, str]:
        """The variables by which an SDK finds this server; `prefix` is the SDK's own."""
        if not self.domain:
            return {
                f"{prefix}_API_KEY": self.key,
                f"{prefix}_API_URL": self.api_url,
                f"{prefix}_SANDBOX_URL": self.sandbox_url,
            }
        return {
            f"{prefix}_API_KEY": self.key,
            f"{prefix}_DOMAIN": DOMAIN,
            "SSL_CERT_FILE": str(self.ca_file),
            "REQUESTS_CA_BUNDLE": str(self.ca_file),
            "NODE_EXTRA_CA_CERTS": str(self.ca_file),
        }

    def running(self) -> dict[str, str]:
        """The variables by which tests in another process use this server."""
        handle = {"api_url": self.api_url, "sandbox_url": self.sandbox_url, "key": self.key}
        return {**self.client_environment(), "OVERWINTER_TEST_RUNNING": json.dumps(handle)}

    # Its life.

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.clean_up()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.clean_up()

    def command(self, *arguments: str) -> list[str]:
        return [str(find_binary()), *arguments, "--data-dir", str(self.data_dir)]

    def environ(self) -> dict[str, str]:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("OVERWINTER_")
        }
        if runsc := os.environ.get("OVERWINTER_TEST_RUNSC"):
            environment["OVERWINTER_RUNSC"] = runsc
        frozen_for = self.frozen_for or os.environ.get("OVERWINTER_TEST_FROZEN_FOR", "0s")
        environment["OVERWINTER_FROZEN_FOR"] = frozen_for
        return {**environment, **self.environment}

    def start(self) -> None:
        """Starts it, and returns once sandboxes can be created."""
        end_in_order()
        arguments = [
            "--api-listen", f"127.0.0.1:{self.api_port}",
            "--edge-listen", f"127.0.0.1:{self.edge_port}",
            *self.arguments,
        ]  # fmt: skip
        if self.domain:
            arguments += [
                "--domain", DOMAIN,
                "--tls-private-ca",
                "--tls-listen", f"{self.address}:443",
                "--dns-listen", f"{self.address}:53",
            ]  # fmt: skip
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("serve", *arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environ(),
                start_new_session=True,
            )
        wait_until("the server is ready", self._is_ready, START_SECONDS)
        if not self.key:
            self.key = self.create_key("test")

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise ServerFailed(f"the server ended with {self.process.returncode}\n{self.tail()}")
        return self.status("GET", "/health")[0] == 200

    def create_key(self, name: str) -> str:
        """A new API key, made by the command line beside the running server."""
        made = subprocess.run(
            self.command("key", "create", "--name", name),
            env=self.environ(), capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        if made.returncode != 0:
            raise ServerFailed(f"key create: {made.stderr}")
        return made.stdout.strip()

    def kill(self) -> None:
        """Ends it at once, as a crash would. Its sandboxes go on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Asks it to end, and returns its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def restart(self) -> None:
        """Ends it as a crash would, and starts it again on the same ports and data."""
        self.kill()
        self.start()

    def clean_up(self) -> None:
        """Ends its sandboxes, itself and whatever it left, and removes its files."""
        if self.process is not None and self.process.poll() is None:
            try:
                self.kill_all_sandboxes()
                self.stop()
            except Exception as error:  # noqa: BLE001 - what follows must happen in any case
                print(f"clean-up of {self.directory}: {error}", file=sys.stderr)
                self.kill()
        for pid in self.processes():
            print(f"clean-up of {self.directory}: process {pid} was left", file=sys.stderr)
            end(pid)
        unmount_below(self.directory)
        if os.environ.get("OVERWINTER_TEST_KEEP"):
            print(f"kept: {self.directory}", file=sys.stderr)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)

    def kill_all_sandboxes(self) -> None:
        for _ in range(100):
            status, _, body = self.request("GET", "/v2/sandboxes?limit=100")
            if status != 200 or not body:
                return
            for sandbox in body:
                self.request("DELETE", f"/sandboxes/{sandbox['sandboxID']}")

    def processes(self) -> list[int]:
        """Processes of this machine that name the data directory in their command line."""
        return [pid for pid, line in command_lines() if str(self.data_dir) in line]

    def tail(self, lines: int = 40) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    # Plain requests, for what no SDK can send.

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
        timeout: float = 120,
    ) -> tuple[int, Mapping[str, str], object]:
        """One API request with the key: status, headers, and the body as JSON if it is JSON."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.api_url + path,
            data=data,
            method=method,
            headers={
                "X-API-KEY": self.key,
                **({"Content-Type": "application/json"} if data is not None else {}),
                **(headers or {}),
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return response.status, response.headers, parse(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, parse(error.read())

    def status(self, method: str, path: str) -> tuple[int, str]:
        """The status of a request, 0 if nothing answered."""
        try:
            status, _, _ = self.request(method, path, timeout=10)
        except (urllib.error.URLError, OSError) as error:
            return 0, str(error)
        return status, ""


def end_in_order() -> None:
    """Lets a polite request to end unwind the stack, so that what was started is cleaned up."""
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))


def parse(content: bytes) -> object:
    """A body as JSON, or as text where it is none."""
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")


def command_lines() -> Iterator[tuple[int, str]]:
    """The command line of every process but this one."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                content = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            yield int(entry.name), content.replace(b"\0", b" ").decode(errors="replace")


def end(pid: int) -> None:
    """Kills one process."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def unmount_below(directory: Path) -> None:
    """Unmounts what is left mounted in a directory, the deepest first."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in sorted((m for m in mounts if m.startswith(f"{directory}/")), reverse=True):
        subprocess.run(["umount", "--lazy", mount], check=False)


def in_domain(server: Server, command: list[str]) -> list[str]:
    """The command in a mount namespace whose `resolv.conf` names the server's own DNS."""
    resolv = server.directory / "resolv.conf"
    resolv.write_text(f"nameserver {server.address}\noptions timeout:5 attempts:3\n")
    target = Path("/etc/resolv.conf").resolve()
    script = 'mount --bind "$0" "$1" && shift && exec "$@"'
    return [
        "unshare", "--mount", "--propagation", "private",
        "sh", "-c", script, str(resolv), str(target), *command,
    ]  # fmt: skip


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets variables of this process for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def main() -> int:
    """Runs a command against a new server."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--domain", action="store_true", help="HTTPS with host names")
    parser.add_argument("command", nargs="+", metavar="-- command")
    options = parser.parse_args()
    with Server(domain=options.domain) as server:
        environ = {**os.environ, **server.running()}
        command = in_domain(server, options.command) if options.domain else options.command
        return subprocess.run(command, env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
