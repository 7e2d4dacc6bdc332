"""What goes on across a pause, and what breaks as the contract says."""

import threading

import pytest
import sdk
from e2b import CommandExitException, PtySize, TimeoutException
from e2b.sandbox.filesystem.watch_handle import FilesystemEventType as Event
from sdk import Sandbox

import plain
from server import wait_until


def again(sandbox):
    """Pauses a sandbox and connects to it."""
    sandbox.pause()
    return Sandbox.connect(sandbox.sandbox_id, timeout=600)


def test_processes_memory_and_the_kernel_stay(fresh):
    boot = fresh.files.read("/proc/sys/kernel/random/boot_id")
    pid = fresh.commands.run("sleep 3600", background=True).pid
    fresh.commands.run("mkdir -p /dev/shm && echo in memory > /dev/shm/file")
    for _ in range(3):
        fresh = again(fresh)
        assert fresh.files.read("/proc/sys/kernel/random/boot_id") == boot
        assert pid in [process.pid for process in fresh.commands.list()]
        assert fresh.commands.run("cat /dev/shm/file").stdout == "in memory\n"


def test_a_running_command_goes_on_and_can_be_followed(fresh):
    handle = fresh.commands.run("read a; echo first $a; exit 3", background=True, **sdk.WITH_INPUT)
    fresh = again(fresh)
    followed = fresh.commands.connect(handle.pid)
    fresh.commands.send_stdin(handle.pid, "line\n")
    with pytest.raises(CommandExitException) as raised:
        followed.wait()
    assert (raised.value.exit_code, raised.value.stdout) == (3, "first line\n")


def test_the_stream_of_a_paused_sandbox_breaks(fresh):
    handle = fresh.commands.run("sleep 3600", background=True, timeout=0)
    raised = []

    def follow():
        try:
            handle.wait()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is looked at below
            raised.append(error)

    follower = threading.Thread(target=follow)
    follower.start()
    fresh.pause()
    follower.join(120)
    assert not follower.is_alive(), "the stream hangs"
    assert isinstance(raised[0], TimeoutException), raised


def test_the_stream_of_a_killed_sandbox_breaks(fresh):
    handle = fresh.commands.run("sleep 3600", background=True, timeout=0)
    fresh.kill()
    with pytest.raises(TimeoutException):
        handle.wait()


@sdk.needs("pty.connect")
def test_a_terminal_goes_on(fresh):
    pid = fresh.pty.create(PtySize(rows=24, cols=80), timeout=0).pid
    fresh.pty.send_stdin(pid, b"KEPT=yes\n")
    fresh = again(fresh)
    handle = fresh.pty.connect(pid, timeout=0)
    fresh.pty.send_stdin(pid, b"echo is-$KEPT\n")
    shown = b""
    for _, _, chunk in handle:
        shown += chunk
        if b"is-yes" in shown:
            break
    assert b"is-yes" in shown
    fresh.pty.kill(pid)


@sdk.polls
def test_a_polled_watcher_goes_on(fresh):
    fresh.files.make_dir("/home/user/watched")
    handle = fresh.files.watch_dir("/home/user/watched")
    fresh = again(fresh)
    fresh.files.write("/home/user/watched/file", "x")
    seen = []

    def written():
        seen.extend(event.type for event in handle.get_new_events())
        return Event.WRITE in seen

    wait_until("the write is seen", written)


def test_connections_inside_the_sandbox_stay(fresh):
    fresh.files.write(
        "/home/user/pair.py",
        """
import socket, threading
listener = socket.create_server(("127.0.0.1", 7001))
ours = socket.create_connection(("127.0.0.1", 7001))
theirs, _ = listener.accept()
print("ready", flush=True)
while line := input():
    ours.sendall(line.encode())
    print("got", theirs.recv(100).decode(), flush=True)
""",
    )
    handle = fresh.commands.run(
        "python3 /home/user/pair.py", background=True, timeout=0, **sdk.WITH_INPUT
    )
    for stdout, _, _ in handle:
        if "ready" in (stdout or ""):
            break
    fresh = again(fresh)
    handle = fresh.commands.connect(handle.pid, timeout=0)
    fresh.commands.send_stdin(handle.pid, "hello\n")
    for stdout, _, _ in handle:
        if "got hello" in (stdout or ""):
            break
    else:
        pytest.fail("the connection inside the sandbox is gone")


def test_a_server_is_reached_before_and_after_but_not_during_a_pause(fresh):
    fresh.commands.run("cd /etc && exec python3 -m http.server 8124", background=True, timeout=0)

    def fetch():
        with plain.client(fresh, port=8124, token=False) as client:
            return client.get("/hostname")

    wait_until("the server answers", lambda: fetch().status_code == 200)
    fresh.pause()
    answer = fetch()
    assert (answer.status_code, answer.json()["message"]) == (
        502,
        "The sandbox was not found",
    )
    fresh.connect()
    wait_until("the server answers again", lambda: fetch().status_code == 200)


def test_a_port_on_which_nothing_listens(fresh):
    with plain.client(fresh, port=9, token=False) as client:
        answer = client.get("/")
    assert answer.status_code == 502
    assert answer.json() == {
        "sandboxId": fresh.sandbox_id,
        "message": "The sandbox is running but port is not open",
        "port": 9,
        "code": 502,
    }


@sdk.needs("pause", "mode")
def test_a_pause_that_keeps_files_only_boots_anew(fresh):
    boot = fresh.files.read("/proc/sys/kernel/random/boot_id")
    fresh.files.write("/home/user/kept", "yes")
    fresh.commands.run("sleep 3600", background=True)
    fresh.pause(mode="filesystem")
    fresh = Sandbox.connect(fresh.sandbox_id)
    assert fresh.files.read("/home/user/kept") == "yes"
    assert fresh.files.read("/proc/sys/kernel/random/boot_id") != boot
    assert fresh.commands.list() == []


def test_many_files_stay_as_they_were(fresh):
    fresh.commands.run(
        "mkdir -p ~/tree && cd ~/tree && for i in $(seq 300); do mkdir -p d$((i%17)); "
        "head -c $((i*211)) /dev/urandom > d$((i%17))/f$i; done; ln -s d1 link"
    )
    digest = "cd ~/tree && find . -type f | sort | xargs sha256sum | sha256sum"
    before = fresh.commands.run(digest).stdout
    for _ in range(2):
        fresh = again(fresh)
        assert fresh.commands.run(digest).stdout == before
        fresh.commands.run("head -c 1M /dev/urandom > ~/tree/d1/more")
        before = fresh.commands.run(digest).stdout
