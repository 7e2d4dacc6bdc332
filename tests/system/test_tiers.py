"""Paused sandboxes that stay in memory for a while: quick to return, and as safe as on disk."""

import os
import signal
import subprocess
import time

import layout
import pytest
from e2b_code_interpreter import Sandbox

from server import Server, environment, find_binary, wait_until

LONG, SHORT = "30m", "3s"
SAVED_WITHIN_SECONDS = 120
"""How long the way to the disk may take after the answer, on a busy machine."""


@pytest.fixture(scope="module", autouse=True)
def _tier():
    shown = subprocess.run(
        [str(find_binary()), "serve", "--help"], capture_output=True, text=True, check=True
    ).stdout
    if "--frozen-for" not in shown:
        pytest.skip("this server keeps no paused sandbox in memory: it has no --frozen-for")


@pytest.fixture
def tiered(request):
    """A server that keeps paused sandboxes in memory for longer than a test lasts."""
    with Server(frozen_for=LONG) as server, environment(server.client_environment()):
        yield server


def details(server, sandbox):
    return server.request("GET", f"/sandboxes/{sandbox.sandbox_id}")[2]


def is_in(server, sandbox, wanted):
    wait_until(f"it is {wanted}", lambda: details(server, sandbox).get("state") == wanted, 120)


def pause(server, sandbox, durability=None):
    """Pauses by a plain request; the level that the answer names."""
    headers = {"Overwinter-Durability": durability} if durability else {}
    path = f"/sandboxes/{sandbox.sandbox_id}/pause"
    status, answer, body = server.request("POST", path, headers=headers)
    assert status == 204, body
    return answer["Overwinter-Durability"]


def again(sandbox):
    return Sandbox.connect(sandbox.sandbox_id, timeout=1800)


def durability(server, sandbox):
    return details(server, sandbox)["lastTransition"].get("durability")


def is_saved(server, sandbox):
    wait_until(
        "it is on disk",
        lambda: durability(server, sandbox) in ("durable-local", "durable-remote"),
        SAVED_WITHIN_SECONDS,
    )


def end(pid):
    os.kill(pid, signal.SIGKILL)
    wait_until("it has ended", lambda: not layout.lives(pid))


def test_a_quick_return_is_the_same_run(tiered, new_sandbox):
    sandbox = new_sandbox("code-interpreter-v1")
    sandbox.run_code("x = 42")
    process = sandbox.commands.run("sleep 3600", background=True, timeout=0)
    boot = sandbox.files.read("/proc/sys/kernel/random/boot_id")
    pid = layout.engine_pid(tiered, sandbox.sandbox_id)
    for _ in range(3):
        assert pause(tiered, sandbox) == "durable-local"
        assert layout.lives(pid), "it stays in memory"
        sandbox = again(sandbox)
        assert layout.engine_pid(tiered, sandbox.sandbox_id) == pid
        assert sandbox.run_code("x").text == "42"
        assert process.pid in [each.pid for each in sandbox.commands.list()]
        assert sandbox.files.read("/proc/sys/kernel/random/boot_id") == boot


def test_what_is_frozen_does_not_run(tiered, new_sandbox):
    sandbox = new_sandbox()
    look = "while :; do date +%s.%N >> /home/user/seen; sleep 0.02; done"
    sandbox.commands.run(look, background=True, timeout=0)
    wait_until("it runs", lambda: sandbox.files.exists("/home/user/seen"))
    pause(tiered, sandbox)
    paused = time.time()
    time.sleep(3)
    asked = time.time()
    sandbox = again(sandbox)

    def seen():
        return [float(line) for line in sandbox.files.read("/home/user/seen").split()]

    wait_until("it goes on", lambda: seen()[-1] > asked)
    assert not [moment for moment in seen() if paused + 0.5 < moment < asked - 0.5]


def test_the_time_is_right_at_once_after_a_thaw(tiered, new_sandbox):
    sandbox = new_sandbox("code-interpreter-v1")
    sandbox.run_code("import time; before = time.monotonic()")
    for _ in range(2):
        pause(tiered, sandbox)
        time.sleep(3)
        asked = time.time()
        sandbox = again(sandbox)
        shown = float(sandbox.commands.run("date +%s.%N").stdout)
        assert asked - 1 <= shown <= time.time() + 1
        assert asked - 1 <= float(sandbox.run_code("time.time()").text) <= time.time() + 1
        code = "now = time.monotonic(); went_on = now >= before; before = now; went_on"
        assert sandbox.run_code(code).text == "True", "the monotonic clock goes back"


def test_a_return_from_memory_keeps_the_generation_that_was_proven(tiered, new_sandbox):
    """It shows nothing of the newest on disk, so the one that was restored before stays beside it."""
    sandbox = new_sandbox()
    sandbox.files.write("/home/user/kept", "first")
    pid = layout.engine_pid(tiered, sandbox.sandbox_id)
    pause(tiered, sandbox)
    end(pid)
    sandbox = again(sandbox)  # from disk: the first generation is proven
    [proven] = layout.snapshots(tiered, sandbox.sandbox_id)
    sandbox.files.write("/home/user/kept", "second")
    pause(tiered, sandbox)
    sandbox = again(sandbox)  # from memory: the second is not
    assert proven in layout.snapshots(tiered, sandbox.sandbox_id)
    assert len(layout.snapshots(tiered, sandbox.sandbox_id)) == 2
    assert sandbox.files.read("/home/user/kept") == "second"


def test_a_frozen_run_that_ends_comes_back_from_disk(tiered, new_sandbox):
    sandbox = new_sandbox("code-interpreter-v1")
    sandbox.run_code("x = 42")
    pid = layout.engine_pid(tiered, sandbox.sandbox_id)
    pause(tiered, sandbox)
    end(pid)
    assert details(tiered, sandbox)["state"] == "paused"
    sandbox = again(sandbox)
    assert sandbox.run_code("x").text == "42"
    assert layout.engine_pid(tiered, sandbox.sandbox_id) != pid


def test_a_server_that_is_killed_meanwhile_loses_nothing(tiered, new_sandbox):
    sandboxes = [new_sandbox("code-interpreter-v1") for _ in range(2)]
    pids = []
    for number, sandbox in enumerate(sandboxes):
        sandbox.run_code(f"x = {number}")
        pids.append(layout.engine_pid(tiered, sandbox.sandbox_id))
        pause(tiered, sandbox)
    tiered.kill()
    if layout.lives(pids[0]):
        end(pids[0])
    tiered.start()
    for number, sandbox in enumerate(sandboxes):
        assert details(tiered, sandbox)["state"] == "paused"
        assert again(sandbox).run_code("x").text == str(number)


def test_the_memory_is_freed_when_its_time_is_over():
    with Server(frozen_for=SHORT) as server, environment(server.client_environment()):
        sandbox = Sandbox.create("base", timeout=1800)
        sandbox.files.write("/home/user/kept", "yes")
        pid = layout.engine_pid(server, sandbox.sandbox_id)
        pause(server, sandbox)
        wait_until("its memory is free", lambda: not layout.lives(pid), 120)
        assert details(server, sandbox)["state"] == "paused"
        assert again(sandbox).files.read("/home/user/kept") == "yes"


def test_a_kill_frees_it_at_once(tiered, new_sandbox):
    sandbox = new_sandbox()
    pid = layout.engine_pid(tiered, sandbox.sandbox_id)
    pause(tiered, sandbox)
    assert sandbox.kill() is True
    wait_until("it has ended", lambda: not layout.lives(pid), 120)
    assert details(tiered, sandbox)["code"] == 404


# Levels of durability.


@pytest.mark.parametrize("level", ["frozen", "captured", "durable-local"])
def test_a_pause_answers_at_the_level_that_was_asked_for(tiered, new_sandbox, level):
    sandbox = new_sandbox()
    sandbox.files.write("/home/user/kept", level)
    assert pause(tiered, sandbox, level) == level
    assert details(tiered, sandbox)["state"] == "paused"
    is_saved(tiered, sandbox)
    assert again(sandbox).files.read("/home/user/kept") == level


def test_a_connect_right_after_a_frozen_pause_returns_the_same_run(tiered, new_sandbox):
    sandbox = new_sandbox("code-interpreter-v1")
    pid = layout.engine_pid(tiered, sandbox.sandbox_id)
    for number in range(4):
        sandbox.run_code(f"x = {number}")
        pause(tiered, sandbox, "frozen")
        sandbox = again(sandbox)
        assert sandbox.run_code("x").text == str(number)
        assert layout.engine_pid(tiered, sandbox.sandbox_id) == pid
    assert pause(tiered, sandbox, "durable-local") == "durable-local"


def test_what_was_frozen_is_saved_although_the_server_is_killed(tiered, new_sandbox):
    sandbox = new_sandbox("code-interpreter-v1")
    sandbox.run_code("x = 42")
    pid = layout.engine_pid(tiered, sandbox.sandbox_id)
    pause(tiered, sandbox, "frozen")
    tiered.restart()
    is_in(tiered, sandbox, "paused")
    is_saved(tiered, sandbox)
    if layout.lives(pid):
        end(pid)
    assert again(sandbox).run_code("x").text == "42"
