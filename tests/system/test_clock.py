"""The machine's clock is set while the server runs: nothing is lost, and nothing runs for ever."""

import datetime
import time

import preload
import pytest
from e2b_code_interpreter import Sandbox

from server import Server, environment, wait_until

HOUR = 3600
DAY = 24 * HOUR


@pytest.fixture
def clock(tmp_path):
    if not preload.is_possible():
        pytest.skip("there is no C compiler")
    return preload.Clock(tmp_path)


@pytest.fixture
def start(clock):
    """Starts a server that follows the test's clock, with more arguments."""
    servers = []

    def begin(*arguments):
        server = Server(arguments=list(arguments), environment=clock.environment())
        servers.append(server)
        server.start()
        return server

    yield begin
    for server in servers:
        server.clean_up()


def state(server, sandbox):
    status, _, body = server.request("GET", f"/sandboxes/{sandbox.sandbox_id}")
    return body["state"] if status == 200 else status


def is_in(server, sandbox, wanted):
    wait_until(f"it is {wanted}", lambda: state(server, sandbox) == wanted, 120)


def moment(text):
    """A time of the API, in seconds since 1970."""
    return datetime.datetime.fromisoformat(text).timestamp()


def server_time(server):
    """The server's present, by what it says of a sandbox that begins now."""
    with Sandbox.create("base", timeout=600) as sandbox:
        _, _, body = server.request("GET", f"/sandboxes/{sandbox.sandbox_id}")
    return moment(body["startedAt"])


def test_the_server_follows_the_clock(start, clock):
    server = start()
    with environment(server.client_environment()):
        for offset in (0, DAY, -DAY):
            clock.set(offset)
            assert abs(server_time(server) - time.time() - offset) < 60


def test_a_clock_set_forward_ends_timeouts_and_loses_nothing(start, clock):
    server = start("--max-runtime", "24h")
    with environment(server.client_environment()):
        short = Sandbox.create("base", timeout=HOUR, lifecycle={"on_timeout": "pause"})
        long, paused = (Sandbox.create("base", timeout=20 * HOUR) for _ in range(2))
        short.files.write("/home/user/kept", "short")
        paused.files.write("/home/user/kept", "paused")
        paused.pause()
        clock.set(2 * HOUR)
        is_in(server, short, "paused")
        assert state(server, long) == "running"
        assert state(server, paused) == "paused"
        for sandbox, text in ((short, "short"), (paused, "paused")):
            same = sandbox.connect(timeout=HOUR)
            assert same.files.read("/home/user/kept") == text
            assert state(server, sandbox) == "running", "its time begins anew"
        clock.set(25 * HOUR)
        is_in(server, long, 404)
        server.restart()
        assert state(server, short) == "paused"


LONGEST = 600
"""The longest runtime, in seconds, of servers whose clock is set back."""


def ends_in_time(server, sandbox, offset):
    """Waits until a sandbox's end is as near as it may be, by the clock as it is now."""

    def is_near():
        _, _, body = server.request("GET", f"/sandboxes/{sandbox.sandbox_id}")
        return moment(body["endAt"]) <= time.time() + offset + LONGEST + 1

    wait_until("its end is near", is_near, 120)


def test_a_clock_set_back_lets_nothing_run_for_ever(start, clock):
    """What runs ends within the longest time that a sandbox may run, by the clock as it is now."""
    server = start("--max-runtime", f"{LONGEST}s")
    with environment(server.client_environment()):
        killed = Sandbox.create("base", timeout=LONGEST)
        kept = Sandbox.create("base", timeout=LONGEST, lifecycle={"on_timeout": "pause"})
        paused = Sandbox.create("base", timeout=LONGEST)
        kept.files.write("/home/user/kept", "kept")
        paused.files.write("/home/user/kept", "paused")
        paused.pause()
        clock.set(-3 * DAY)
        for sandbox in (killed, kept):
            ends_in_time(server, sandbox, -3 * DAY)
            assert state(server, sandbox) == "running"
        clock.set(-3 * DAY + LONGEST + 2)
        is_in(server, killed, 404)
        is_in(server, kept, "paused")
        for sandbox, text in ((kept, "kept"), (paused, "paused")):
            assert sandbox.connect(timeout=300).files.read("/home/user/kept") == text


def test_a_clock_set_back_while_the_server_was_away(start, clock):
    server = start("--max-runtime", f"{LONGEST}s")
    with environment(server.client_environment()):
        running, paused = (Sandbox.create("base", timeout=LONGEST) for _ in range(2))
        paused.pause()
        server.kill()
        clock.set(-3 * DAY)
        server.start()
        assert state(server, paused) == "paused"
        ends_in_time(server, running, -3 * DAY)
        clock.set(-3 * DAY + LONGEST + 2)
        is_in(server, running, 404)
        assert paused.connect(timeout=300).commands.run("echo on").stdout == "on\n"


def test_what_is_kept_for_an_hour_is_there_before_and_not_after(start, clock):
    server = start("--retention", "1h")
    with environment(server.client_environment()):
        paused = Sandbox.create("base", timeout=600)
        paused.pause()
        clock.set(-DAY)
        time.sleep(2)  # two looks at the clock
        assert state(server, paused) == "paused"
        clock.set(HOUR - 120)
        time.sleep(2)
        assert state(server, paused) == "paused"
        clock.set(HOUR + 1)
        is_in(server, paused, 404)
        assert not paused.is_running()
