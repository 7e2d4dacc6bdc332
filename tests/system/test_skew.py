"""Snapshots of another engine or processor are refused by name, and are good again where they fit."""

import os
import shutil
from pathlib import Path

import preload
import pytest
from e2b_code_interpreter import Sandbox

from server import Server, environment

WRAPPER = """#!/bin/sh
case "$*" in *--version*) echo "runsc version release-20991231.0"; echo "spec: 1.2.1"; exit ;; esac
exec "{runsc}" "$@"
"""


@pytest.fixture
def skewed():
    """A server that is started anew in another environment; templates' images are its own.

    They belong to one engine and processor, and others would be left in the directory that all
    tests share.
    """
    server = Server()
    link = server.data_dir / "templates"
    shared = link.resolve()
    link.unlink()
    for file in [*shared.glob("base/*"), *shared.glob("base/*/*")]:
        if file.is_file():
            own = link / file.relative_to(shared)
            own.parent.mkdir(parents=True, exist_ok=True)
            own.symlink_to(file)
    with server, environment(server.client_environment()):
        yield server


def restart_with(server, variables):
    server.kill()
    server.environment = variables
    server.start()


def refused(server, sandbox):
    """Why a sandbox cannot be resumed; it stays as it is, with the reason."""
    path = f"/v2/sandboxes/{sandbox.sandbox_id}/connect"
    status, _, body = server.request("POST", path, {"timeout": 600})
    assert status >= 500 and body["code"] == status and body["message"]
    _, _, details = server.request("GET", f"/sandboxes/{sandbox.sandbox_id}")
    assert details["state"] == "paused"
    return details["lastTransition"]["note"]


def paused(new_sandbox):
    sandbox = new_sandbox()
    sandbox.files.write("/dev/shm/kept", "in memory", user="root")
    sandbox.pause()
    return sandbox


@pytest.fixture
def another_version(skewed, tmp_path):
    """A `runsc` of another version, and a server that keeps its own."""
    runsc = os.environ.get("OVERWINTER_TEST_RUNSC") or shutil.which("runsc")
    if runsc is None:
        pytest.skip("there is no runsc by a name, to stand in front of")
    wrapper = tmp_path / "runsc"
    wrapper.write_text(WRAPPER.format(runsc=runsc))
    wrapper.chmod(0o755)
    skewed.kill()
    (skewed.data_dir / "bin").unlink(missing_ok=True)
    skewed.start()
    return {"OVERWINTER_RUNSC": str(wrapper)}


def kept(server):
    """The versions of the engine that a server keeps, the current one among them."""
    return {path.name for path in (server.data_dir / "bin").glob("runsc-*")}


def test_what_another_version_of_the_engine_wrote_goes_on_with_that(
    skewed, new_sandbox, another_version
):
    before = kept(skewed)
    sandbox = paused(new_sandbox)
    restart_with(skewed, another_version)
    assert kept(skewed) - before == {"runsc-release-20991231.0"}
    for _ in range(2):
        same = Sandbox.connect(sandbox.sandbox_id, timeout=600)
        assert same.files.read("/dev/shm/kept") == "in memory"
        same.pause()
    new_sandbox().commands.run("true")


def test_what_a_version_of_the_engine_wrote_that_is_gone(skewed, new_sandbox, another_version):
    [only] = kept(skewed)
    sandbox = paused(new_sandbox)
    skewed.kill()
    (skewed.data_dir / "bin" / only).unlink()
    restart_with(skewed, another_version)
    note = refused(skewed, sandbox)
    assert "written by" in note and "20991231" in note, note
    new_sandbox().commands.run("true")
    restart_with(skewed, {})
    same = Sandbox.connect(sandbox.sandbox_id, timeout=600)
    assert same.files.read("/dev/shm/kept") == "in memory"


def test_a_processor_that_lacks_something(skewed, new_sandbox, tmp_path):
    if not preload.is_possible():
        pytest.skip("there is no C compiler")
    flags = Path("/proc/cpuinfo").read_text().split()
    feature = next((name for name in ("avx2", "avx", "sse4_2", "asimd") if name in flags), None)
    if feature is None:
        pytest.skip("this processor has nothing that it could lack")
    sandbox = paused(new_sandbox)
    restart_with(skewed, preload.processor_without(tmp_path, feature))
    note = refused(skewed, sandbox)
    assert f"has no {feature}" in note, note
    restart_with(skewed, {})
    same = Sandbox.connect(sandbox.sandbox_id, timeout=600)
    assert same.files.read("/dev/shm/kept") == "in memory"
