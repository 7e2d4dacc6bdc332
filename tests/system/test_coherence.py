"""Memory and files are of one instant: a program that compares them all the while finds no difference.

`OVERWINTER_TEST_PAUSES` says how often it is paused.
"""

import os
from pathlib import Path

import pytest
from e2b_code_interpreter import Sandbox

from server import wait_until

PAUSES = int(os.environ.get("OVERWINTER_TEST_PAUSES", "4"))
PROGRAM = Path(__file__).parent / "programs" / "coherent.py"
WORK = "/home/user/work"


def manually(server, sandbox):
    assert sandbox.pause() is True


def by_its_timeout(server, sandbox):
    sandbox.set_timeout(0)
    wait_until("it is paused", lambda: last_transition(server, sandbox)["kind"] == "paused", 120)


def last_transition(server, sandbox):
    return server.request("GET", f"/sandboxes/{sandbox.sandbox_id}")[2]["lastTransition"]


def progress(sandbox):
    return int(sandbox.files.read(f"{WORK}/progress"))


def goes_on(sandbox):
    before = progress(sandbox)
    wait_until("it goes on", lambda: progress(sandbox) > before + 5)


@pytest.mark.parametrize("pause", [manually, by_its_timeout], ids=lambda way: way.__name__)
def test_memory_and_files_agree_across_pauses(server, new_sandbox, pause):
    sandbox = new_sandbox(lifecycle={"on_timeout": "pause"})
    sandbox.commands.run(f"mkdir {WORK}")
    sandbox.files.write("/home/user/coherent.py", PROGRAM.read_text())
    # Without an end: a hundred pauses take longer than the minute that a command has by itself.
    command = f"python3 /home/user/coherent.py {WORK}"
    program = sandbox.commands.run(command, background=True, timeout=0)
    wait_until("it works", lambda: sandbox.files.exists(f"{WORK}/progress"))
    for number in range(PAUSES):
        goes_on(sandbox)
        pause(server, sandbox)
        sandbox = Sandbox.connect(sandbox.sandbox_id, timeout=1800)
        pids = [process.pid for process in sandbox.commands.list()]
        assert program.pid in pids, (number, sandbox.commands.connect(program.pid).wait())
    goes_on(sandbox)
    sandbox.files.write(f"{WORK}/stop", "")
    ended = sandbox.commands.connect(program.pid).wait()
    assert ended.stdout.startswith("all agree on "), ended
    assert int(ended.stdout.split()[-1]) > 5 * PAUSES


@pytest.mark.parametrize("pause", [manually, by_its_timeout], ids=lambda way: way.__name__)
def test_both_ways_to_pause_keep_the_same(server, new_sandbox, pause):
    """What was written just before a pause, synced or not, deleted or open, by either way."""
    sandbox = new_sandbox("code-interpreter-v1", lifecycle={"on_timeout": "pause"})
    sandbox.run_code("import hashlib, random; data = random.randbytes(8 << 20)")
    sandbox.run_code(
        "open('/tmp/synced', 'wb').write(data)\n"
        "loose = open('/tmp/open', 'wb', buffering=1 << 20); _ = loose.write(data[:1000])\n"
        "import os, tempfile; gone = tempfile.TemporaryFile(); _ = gone.write(data)"
    )
    for _ in range(2):
        pause(server, sandbox)
        report = last_transition(server, sandbox)
        assert (report["kind"], report["durability"]) == ("paused", "durable-local")
        sandbox = Sandbox.connect(sandbox.sandbox_id, timeout=1800)
        execution = sandbox.run_code(
            "_ = gone.seek(0)\nloose.tell(), gone.read() == data, open('/tmp/synced','rb').read() == data"
        )
        assert execution.text == "(1000, True, True)", execution.error
