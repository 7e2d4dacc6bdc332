"""A running server, and sandboxes that end with the test."""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator

import pytest
import sdk
from sdk import Sandbox

from server import Server, environment, has_template

BASE = "base"
INTERPRETER = "code-interpreter-v1"
FULL = "code-interpreter-full"
needs_full = pytest.mark.skipif(
    not has_template(FULL), reason=f"{FULL} is not built: overwinter template build {FULL}"
)


def pytest_report_header() -> str:
    """Says which SDK is under test."""
    return f"SDK: {sdk.describe()}"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The server under test, to which the environment points.

    The one that `tests/server.py` started, if it runs these tests; else one of their own.
    """
    if running := os.environ.get("OVERWINTER_TEST_RUNNING"):
        yield attached(json.loads(running))
        return
    with Server() as own, environment(own.client_environment()):
        yield own


def attached(running: dict[str, str]) -> Server:
    """A handle on a server that someone else started and will end."""
    handle = Server.__new__(Server)
    handle.domain = "SSL_CERT_FILE" in os.environ
    handle.key = running["key"]
    handle.api_port = int(running["api_url"].rsplit(":", 1)[1])
    handle.edge_port = int(running["sandbox_url"].rsplit(":", 1)[1])
    return handle


NewSandbox = Callable[..., Sandbox]


@pytest.fixture
def new_sandbox(server: Server) -> Iterator[NewSandbox]:
    """Creates sandboxes that are killed when the test is over."""
    made: list[Sandbox] = []

    def create(template: str = BASE, **options: object) -> Sandbox:
        sandbox = Sandbox.create(template, **{"timeout": 600, **options})
        made.append(sandbox)
        return sandbox

    yield create
    for sandbox in made:
        sandbox.kill()


@pytest.fixture
def fresh(new_sandbox: NewSandbox) -> Sandbox:
    """A sandbox that only this test uses."""
    return new_sandbox()


@pytest.fixture(scope="module")
def sandbox(server: Server) -> Iterator[Sandbox]:
    """A sandbox that the tests of a file share: they use names of their own in it."""
    with Sandbox.create(BASE, timeout=1800) as shared:
        yield shared


@pytest.fixture
def place(sandbox: Sandbox) -> str:
    """A directory in the shared sandbox that only this test uses."""
    path = f"/home/user/{uuid.uuid4().hex}"
    sandbox.files.make_dir(path)
    return path


@pytest.fixture(scope="module")
def interpreter(server: Server) -> Iterator[Sandbox]:
    """A sandbox with the code interpreter that the tests of a file share."""
    with Sandbox.create(INTERPRETER, timeout=1800) as shared:
        yield shared


def pause_amid(sandbox: Sandbox, code: str, **options: object) -> None:
    """Pauses and resumes while code runs that prints once it has begun; its stream has to break."""
    started, broken = threading.Event(), threading.Event()

    def run() -> None:
        try:
            sandbox.run_code(code, on_stdout=lambda _: started.set(), timeout=0, **options)
        except Exception:  # noqa: BLE001 - the stream breaks, as it must
            broken.set()

    runner = threading.Thread(target=run)
    runner.start()
    assert started.wait(120)
    sandbox.pause()
    runner.join(120)
    assert broken.is_set(), "the stream hangs, or ended as if the code had"
    sandbox.connect(timeout=600)
