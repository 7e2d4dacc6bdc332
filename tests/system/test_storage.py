"""Full and read-only storage: a failed pause harms nothing."""

import subprocess
from pathlib import Path

import pytest

from server import Server, environment

MIB = 1024 * 1024


@pytest.fixture
def small(tmp_path):
    """Mounts a small file system for a server's data, with these options."""
    mounts = []

    def mount(options):
        place = tmp_path / f"mount{len(mounts)}"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
        mounts.append(place)
        return place

    yield mount
    for place in reversed(mounts):
        subprocess.run(["umount", "--lazy", str(place)], check=False)


def details(server, sandbox):
    return server.request("GET", f"/sandboxes/{sandbox.sandbox_id}")


def pause(server, sandbox):
    status, _, body = server.request("POST", f"/sandboxes/{sandbox.sandbox_id}/pause")
    return status, body


def fill(place: Path, leave: int) -> Path:
    """Takes all space but this many bytes."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(MIB))
        except OSError:
            """It is full."""
        file.truncate(max(0, file.tell() - leave))
    return filler


def take_all_inodes(place: Path) -> list[Path]:
    """Makes files until no more can be made."""
    directory = place / "fillers"
    directory.mkdir()
    fillers = []
    try:
        while True:
            filler = directory / str(len(fillers))
            filler.touch()
            fillers.append(filler)
    except OSError:
        return fillers


def test_a_pause_without_space_fails_and_the_sandbox_goes_on(small, new_sandbox):
    place = small("size=3g")
    with Server(root=place) as server, environment(server.client_environment()):
        sandbox = new_sandbox()
        sandbox.commands.run("head -c 100M /dev/urandom > ~/much && echo kept > ~/kept")
        filler = fill(place, 20 * MIB)
        status, body = pause(server, sandbox)
        assert status >= 500 and body["code"] == status and body["message"]
        assert details(server, sandbox)[2]["state"] == "running"
        assert sandbox.commands.run("cat ~/kept").stdout == "kept\n"
        filler.unlink()
        assert pause(server, sandbox)[0] == 204
        assert sandbox.connect().commands.run("cat ~/kept").stdout == "kept\n"


def test_a_kill_is_recorded_on_a_full_disk(small, new_sandbox):
    place = small("size=2g")
    with Server(root=place) as server, environment(server.client_environment()):
        running, paused = new_sandbox(), new_sandbox()
        paused.pause()
        filler = fill(place, 0)
        assert running.kill() is True
        assert paused.kill() is True
        server.restart()
        assert details(server, running)[0] == details(server, paused)[0] == 404
        filler.unlink()
        assert new_sandbox().commands.run("echo ok").stdout == "ok\n"


def test_no_inodes_are_an_error_and_no_damage(small, new_sandbox):
    place = small("size=3g,nr_inodes=4000")
    with Server(root=place) as server, environment(server.client_environment()):
        sandbox = new_sandbox()
        fillers = take_all_inodes(place)
        status, body = pause(server, sandbox)
        assert status >= 500 and body["message"]
        assert sandbox.commands.run("echo on").stdout == "on\n"
        # Some places are ready; one more than those cannot be made.
        answers = [
            server.request("POST", "/v2/sandboxes", {"templateID": "base"}) for _ in range(8)
        ]
        status, _, body = answers[-1]
        assert status >= 500 and body["code"] == status and body["message"]
        for filler in fillers:
            filler.unlink()
        assert pause(server, sandbox)[0] == 204
        assert sandbox.connect().commands.run("echo on").stdout == "on\n"


def test_inodes_that_end_at_any_write_are_an_error_and_no_damage(small, new_sandbox):
    """A pause with none left, with one, with two, and so on until there are enough."""
    place = small("size=3g,nr_inodes=4000")
    with Server(root=place) as server, environment(server.client_environment()):
        sandbox = new_sandbox()
        fillers = take_all_inodes(place)
        refused = 0
        while (answer := pause(server, sandbox))[0] != 204:
            status, body = answer
            assert status >= 500 and body["message"], refused
            assert details(server, sandbox)[2]["state"] == "running"
            assert sandbox.commands.run("echo on").stdout == "on\n"
            refused += 1
            assert refused < 40, "a pause takes few files"
            fillers.pop().unlink()
        print(f"a pause takes {refused} inodes")
        assert refused
        assert sandbox.connect().commands.run("echo on").stdout == "on\n"


@pytest.fixture
def store_to_lock(tmp_path):
    """A mount for a server's snapshots, and how to make it read-only.

    A mount of its own, as one with files that are open for writing cannot be made read-only, and a
    running server and its sandboxes have such files in all places but this one.
    """
    mounts = []

    def mount(server):
        place = server.data_dir / "node" / "snapshots"
        place.mkdir(parents=True, mode=0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", str(place)], check=True)
        mounts.append(place)

        def remount(how):
            subprocess.run(["mount", "-o", f"remount,{how}", str(place)], check=True)

        return remount

    yield mount
    for place in mounts:
        subprocess.run(["umount", "--lazy", str(place)], check=False)


def test_a_read_only_store_is_an_error_until_it_is_mended(store_to_lock, new_sandbox):
    server = Server()
    remount = store_to_lock(server)
    with server, environment(server.client_environment()):
        sandbox, saved = new_sandbox(), new_sandbox()
        saved.files.write("/home/user/kept", "saved")
        assert pause(server, saved)[0] == 204
        remount("ro")
        status, body = pause(server, sandbox)
        assert status >= 500 and body["code"] == status and body["message"]
        assert details(server, sandbox)[2]["state"] == "running"
        assert sandbox.commands.run("echo on").stdout == "on\n"
        # What is saved can be read all the while.
        assert saved.connect(timeout=1800).files.read("/home/user/kept") == "saved"
        remount("rw")
        for each in (sandbox, saved):
            assert pause(server, each)[0] == 204
            assert each.connect(timeout=1800).commands.run("echo on").stdout == "on\n"
