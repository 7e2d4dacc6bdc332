"""The published Python SDK that the tests run with: which it is, and what it offers.

The same test files run with the newest SDK and with the oldest, and through its blocking and its
asynchronous class. What an SDK does not offer is found by looking at its classes; a test that needs
it is skipped, and says so.

| Variable | What it says |
|---|---|
| `OVERWINTER_TEST_SDK` | `sync`, as if unset, or `async`: through `AsyncSandbox`, see `blocking.py` |
"""

from __future__ import annotations

import inspect
import os
import re
import typing
from importlib.metadata import version
from pathlib import Path

import e2b
import e2b_code_interpreter
import e2b_code_interpreter.exceptions
import httpx
import pytest

ASYNC = os.environ.get("OVERWINTER_TEST_SDK", "sync") == "async"
VERSION = version("e2b")
INTERPRETER_VERSION = version("e2b-code-interpreter")
PUBLISHED = e2b_code_interpreter.AsyncSandbox if ASYNC else e2b_code_interpreter.Sandbox
"""The class under test, as it was published."""
NEWEST = dict(
    re.findall(
        r"^([\w-]+)==(\S+)$",
        (Path(__file__).parent / "requirements.txt").read_text(),
        re.MULTILINE,
    )
)["e2b"]
"""The version that the part `compat` runs with, where nothing may be missing."""


def describe() -> str:
    """The SDK in words, for the head of a report."""
    kind = "async" if ASYNC else "sync"
    return f"e2b {VERSION}, e2b-code-interpreter {INTERPRETER_VERSION}, {kind}"


def find(path: str) -> object | None:
    """The attribute of the sandbox's class that a path names, such as `commands.run`; else nothing."""
    owner: object = PUBLISHED
    *parts, last = path.split(".")
    for part in parts:
        found = getattr(owner, part, None)
        if found is None:
            return None
        owner = typing.get_type_hints(found.fget)["return"]
    return getattr(owner, last, None)


def offers(path: str, parameter: str | None = None) -> bool:
    """Whether the SDK has a call, and the parameter of it."""
    found = find(path)
    if found is None or parameter is None:
        return found is not None
    return parameter in inspect.signature(found).parameters


def absence(what: str) -> str:
    """Why a test is skipped: what this version lacks, and that the newest does not."""
    return f"e2b {VERSION} has no {what}; {NEWEST} has"


def needs(path: str, parameter: str | None = None) -> pytest.MarkDecorator:
    """Skips a test where the SDK has no such call, or no such parameter of it."""
    what = f"`{path}`" if parameter is None else f"`{parameter}` in `{path}`"
    return pytest.mark.skipif(not offers(path, parameter), reason=absence(what))


def requires(there: bool, what: str) -> pytest.MarkDecorator:
    """Skips a test where something is not there that a look elsewhere has found missing."""
    return pytest.mark.skipif(not there, reason=absence(what))


def needs_version(first: str, what: str) -> pytest.MarkDecorator:
    """Skips a test of something that no signature shows, and that came with a version."""

    def parts(text: str) -> list[int]:
        return [int(part) for part in text.split(".")[:3]]

    reason = f"e2b {VERSION} {what}; {first} and later do not"
    return pytest.mark.skipif(parts(VERSION) < parts(first), reason=reason)


early = not hasattr(e2b, "SandboxNotFoundException")
"""Whether the SDK is of the time when one class told of all that the API refuses."""
GONE = e2b.SandboxException if early else e2b.NotFoundException
"""What a call about a sandbox that there is not raises."""
DENIED = e2b.SandboxException if early else e2b.AuthenticationException
"""What a call with a wrong key raises."""
BROKEN = (
    e2b.TimeoutException
    if hasattr(e2b_code_interpreter.exceptions, "format_sandbox_killed_error")
    else httpx.RemoteProtocolError
)
"""What the stream of an execution raises when its sandbox ends."""

polls = pytest.mark.skipif(ASYNC, reason="AsyncSandbox streams events, and polls for none")

WITH_INPUT = {"stdin": True} if offers("commands.run", "stdin") else {}
"""What keeps a command's input open: an SDK without the parameter always does."""


class Early(PUBLISHED):
    """The class of an early release, with what tests need to clean up after themselves.

    A test that uses anything else that the release lacks is skipped where it does.
    """

    if not offers("pause"):
        pause = inspect.getattr_static(PUBLISHED, "beta_pause")

    if not offers("remove_code_context"):

        def remove_code_context(self, context: e2b_code_interpreter.Context) -> None:
            """Removes a context with a plain request."""
            url = f"https://{self.get_host(49999)}/contexts/{context.id}"
            httpx.delete(url, headers={"X-Access-Token": self._envd_access_token or ""})

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        pytest.skip(absence(f"`{name}`"))


def under_test() -> type:
    """The class that tests call `Sandbox`."""
    published = PUBLISHED if VERSION == NEWEST else Early
    if not ASYNC:
        return published
    from blocking import facade

    return facade(published)


Sandbox = under_test()
