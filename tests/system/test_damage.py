"""Damaged snapshots: a bad one is said, and the one before it is used where there is one."""

import layout
import pytest
from e2b_code_interpreter import Sandbox

from server import wait_until


def details(server, sandbox):
    return server.request("GET", f"/sandboxes/{sandbox.sandbox_id}")


def pause(server, sandbox):
    status, _, body = server.request("POST", f"/sandboxes/{sandbox.sandbox_id}/pause")
    return status, body


def flip(path):
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 0xFF]))


def truncate(path):
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def remove(path):
    path.unlink()


DAMAGES = [flip, truncate, remove]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_snapshot_is_refused_and_said(own_server, new_sandbox, damage):
    names = None
    index = 0
    while names is None or index < len(names):
        sandbox = new_sandbox()
        sandbox.files.write("/home/user/kept", "x")
        assert pause(own_server, sandbox)[0] == 204
        own_server.restart()  # no copy of it stays in memory
        files = layout.snapshot_files(own_server, sandbox.sandbox_id)
        names = names or [path.name for path in files]
        victim = next((path for path in files if path.name == names[index]), None)
        index += 1
        if victim is None:
            continue
        print(f"{damage.__name__} {victim.name}")
        damage(victim)
        status, _, body = own_server.request(
            "POST", f"/v2/sandboxes/{sandbox.sandbox_id}/connect", {"timeout": 600}
        )
        assert status >= 500 and body["code"] == status and body["message"], (victim.name, body)
        assert details(own_server, sandbox)[2]["state"] == "paused"
        assert sandbox.kill() is True
    assert new_sandbox().commands.run("echo ok").stdout == "ok\n"


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_the_generation_before_a_damaged_one_is_used(own_server, new_sandbox, damage):
    sandbox = new_sandbox()
    sandbox.files.write("/home/user/kept", "first")
    assert pause(own_server, sandbox)[0] == 204
    before = set(layout.snapshot_files(own_server, sandbox.sandbox_id))
    sandbox.connect(timeout=1800)
    sandbox.files.write("/home/user/kept", "second")
    assert pause(own_server, sandbox)[0] == 204
    own_server.restart()
    now = set(layout.snapshot_files(own_server, sandbox.sandbox_id))
    if not before & now:
        pytest.skip("the first generation is deleted once the second is proven")
    damage(max(now - before, key=lambda path: path.stat().st_size))
    same = Sandbox.connect(sandbox.sandbox_id, timeout=1800)
    assert same.files.read("/home/user/kept") == "first"
    _, _, detail = details(own_server, same)
    assert detail["lastTransition"]["kind"] == "resumed-from-previous"
    assert detail["lastTransition"]["note"]


def test_old_generations_and_killed_sandboxes_leave_no_files(own_server, new_sandbox):
    sandbox = new_sandbox()
    sizes = []
    for _ in range(4):
        assert pause(own_server, sandbox)[0] == 204
        sizes.append(
            sum(
                path.stat().st_blocks
                for path in layout.snapshot_files(own_server, sandbox.sandbox_id)
            )
        )
        sandbox.connect(timeout=1800)
    assert sizes[-1] < 3 * sizes[0], sizes
    assert sandbox.kill()
    wait_until(
        "nothing of it is left", lambda: not layout.snapshots(own_server, sandbox.sandbox_id)
    )
    assert layout.place(own_server, sandbox.sandbox_id) is None


def test_a_paused_image_is_readable_by_the_servers_user_only(own_server, new_sandbox):
    sandbox = new_sandbox()
    assert pause(own_server, sandbox)[0] == 204
    for path in layout.snapshot_files(own_server, sandbox.sandbox_id):
        closed = [p for p in (path, *path.parents) if own_server.data_dir in (p, *p.parents)]
        assert any(p.stat().st_mode & 0o077 == 0 for p in closed), path
