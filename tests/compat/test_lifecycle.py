"""Timeouts, pause at the timeout, waking by traffic, lists, and what bad requests get."""

import datetime
import threading
import uuid

import pytest
import sdk
from e2b import (
    NotFoundException,
    SandboxException,
    SandboxQuery,
    SandboxState,
)
from sdk import Sandbox

import plain
from server import wait_until

MINUTE = 60


def now():
    return datetime.datetime.now(datetime.UTC)


def remaining(sandbox):
    """Seconds until a sandbox's timeout."""
    return (sandbox.get_info().end_at - now()).total_seconds()


def state(sandbox_id):
    """The state of a sandbox, or `gone`."""
    try:
        return Sandbox.get_info(sandbox_id).state.value
    except sdk.GONE as error:
        assert sandbox_id in str(error), error
        return "gone"


def is_in(sandbox_id, wanted):
    wait_until(f"{sandbox_id} is {wanted}", lambda: state(sandbox_id) == wanted, 120)


def test_info(new_sandbox):
    sandbox = new_sandbox(metadata={"a": "1"}, timeout=300)
    info = sandbox.get_info()
    assert info.sandbox_id == sandbox.sandbox_id
    assert (info.state, info.metadata, info.name) == (
        SandboxState.RUNNING,
        {"a": "1"},
        "base",
    )
    assert (info.cpu_count, info.memory_mb) == (2, 1024)
    assert 0 < (info.end_at - info.started_at).total_seconds() <= 301


@sdk.needs("create", "lifecycle")
def test_info_shows_what_happens_at_the_timeout(fresh):
    assert fresh.get_info().lifecycle == {"on_timeout": "kill", "auto_resume": False}


def test_the_default_timeout_is_five_minutes(server):
    with Sandbox.create("base") as sandbox:
        assert 240 < remaining(sandbox) <= 300


def test_set_timeout_extends_and_shortens(fresh):
    fresh.set_timeout(50 * MINUTE)
    assert 49 * MINUTE < remaining(fresh) <= 50 * MINUTE
    fresh.set_timeout(2 * MINUTE)
    assert MINUTE < remaining(fresh) <= 2 * MINUTE


@sdk.needs_version("2.6.0", "sets the timeout to connect, and so shortens it")
def test_connect_extends_and_never_shortens(fresh):
    fresh.set_timeout(10 * MINUTE)
    fresh.connect(timeout=MINUTE)
    assert remaining(fresh) > 9 * MINUTE
    fresh.connect(timeout=20 * MINUTE)
    assert remaining(fresh) > 19 * MINUTE


def test_a_timeout_of_zero_ends_it_at_once(fresh):
    fresh.set_timeout(0)
    is_in(fresh.sandbox_id, "gone")
    # The first may still join the end that the timeout began.
    fresh.kill()
    assert fresh.kill() is False


def test_the_timeout_kills(new_sandbox):
    sandbox = new_sandbox(timeout=2)
    is_in(sandbox.sandbox_id, "gone")
    assert not sandbox.is_running()
    with pytest.raises(NotFoundException):
        Sandbox.connect(sandbox.sandbox_id)


@sdk.needs("create", "lifecycle")
def test_the_timeout_pauses_where_that_is_asked_for(new_sandbox):
    sandbox = new_sandbox(timeout=3, lifecycle={"on_timeout": "pause"})
    sandbox.commands.run("echo kept > /tmp/file")
    is_in(sandbox.sandbox_id, "paused")
    sandbox.connect(timeout=3)
    assert sandbox.commands.run("cat /tmp/file").stdout == "kept\n"
    is_in(sandbox.sandbox_id, "paused")
    sandbox.connect(timeout=600)
    assert sandbox.commands.run("cat /tmp/file").stdout == "kept\n"
    assert sandbox.get_info().lifecycle == {"on_timeout": "pause", "auto_resume": False}


@sdk.needs("create", "lifecycle")
def test_an_explicit_no_to_auto_pause_in_a_resume_does_not_unstick_it(server, new_sandbox):
    sandbox = new_sandbox(timeout=600, lifecycle={"on_timeout": "pause"})
    path = f"/sandboxes/{sandbox.sandbox_id}"
    assert server.request("POST", f"{path}/pause")[0] == 204
    status, _, _ = server.request("POST", f"{path}/resume", {"timeout": 3, "autoPause": False})
    assert status == 201
    is_in(sandbox.sandbox_id, "paused")


@sdk.needs("create", "lifecycle")
def test_traffic_wakes_what_may_be_woken(new_sandbox):
    sandbox = new_sandbox(timeout=600, lifecycle={"on_timeout": "pause", "auto_resume": True})
    serve = "cd /etc && exec python3 -m http.server 8125"
    # A client that follows it would ask after the sandbox when the stream breaks, and so wake it.
    sandbox.commands.run(serve, background=True, timeout=0).disconnect()

    def fetch():
        with plain.client(sandbox, port=8125, token=False) as client:
            return client.get("/hostname").status_code == 200

    wait_until("the server answers", fetch)
    sandbox.pause()
    assert state(sandbox.sandbox_id) == "paused"
    assert fetch(), "the first request wakes it and is answered"
    assert state(sandbox.sandbox_id) == "running"
    assert remaining(sandbox) > 4 * MINUTE


@sdk.needs("pause")
def test_a_second_pause_says_no(fresh):
    assert fresh.pause() is True
    assert fresh.pause() is False


def test_a_second_kill_says_no(fresh):
    fresh.pause()
    assert fresh.kill() is True
    assert fresh.kill() is False


def test_a_paused_sandbox_shows_when_it_began_and_was_paused(fresh):
    started = fresh.get_info().started_at
    fresh.pause()
    info = fresh.get_info()
    assert (info.state, info.started_at) == (SandboxState.PAUSED, started)
    assert abs((info.end_at - now()).total_seconds()) < 60
    with pytest.raises(sdk.GONE):
        fresh.set_timeout(600)


def test_a_connect_during_a_pause_waits_for_it(fresh):
    pausing = threading.Thread(target=fresh.pause)
    pausing.start()
    again = Sandbox.connect(fresh.sandbox_id, timeout=600)
    pausing.join()
    wait_until("it runs in the end", lambda: state(fresh.sandbox_id) in ("running", "paused"))
    again = Sandbox.connect(fresh.sandbox_id, timeout=600)
    assert again.commands.run("echo ok").stdout == "ok\n"


def test_connects_at_once_all_get_the_same_sandbox(fresh):
    fresh.commands.run("echo same > /tmp/file")
    fresh.pause()
    shown = []

    def connect():
        same = Sandbox.connect(fresh.sandbox_id, timeout=600)
        shown.append(same.commands.run("cat /tmp/file").stdout)

    threads = [threading.Thread(target=connect) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shown == ["same\n"] * 6


def test_a_kill_overtakes_a_pause(fresh):
    pausing = threading.Thread(target=lambda: _ignore(fresh.pause))
    pausing.start()
    assert fresh.kill() is True
    pausing.join()
    assert state(fresh.sandbox_id) == "gone"


def _ignore(call):
    try:
        call()
    except NotFoundException:
        """The kill was first."""


def listed(query, **options):
    paginator = Sandbox.list(query, **options)
    found = []
    while paginator.has_next:
        found += paginator.next_items()
    return found


def test_list_by_metadata_state_and_page(new_sandbox):
    tag = uuid.uuid4().hex
    made = [new_sandbox(metadata={"tag": tag, "n": str(n), "odd key": "a&b=c d"}) for n in range(4)]
    made[1].pause()
    ids = [sandbox.sandbox_id for sandbox in made]

    def of(**query):
        metadata = {"tag": tag, **query.pop("metadata", {})}
        return [
            info.sandbox_id for info in listed(SandboxQuery(metadata=metadata, **query), limit=1)
        ]

    assert of() == ids[::-1], "newest first, across running and paused, page by page"
    assert of(state=[SandboxState.PAUSED]) == [ids[1]]
    assert of(state=[SandboxState.RUNNING]) == [ids[3], ids[2], ids[0]]
    assert of(metadata={"n": "2"}) == [ids[2]]
    assert of(metadata={"odd key": "a&b=c d"}) == ids[::-1]
    assert of(metadata={"n": "none"}) == []


@sdk.needs("list", "order")
def test_list_by_template_and_order(new_sandbox):
    tag = uuid.uuid4().hex
    ids = [new_sandbox(metadata={"tag": tag}).sandbox_id for _ in range(3)]

    def of(order="desc", **query):
        query = SandboxQuery(metadata={"tag": tag}, **query)
        return [info.sandbox_id for info in listed(query, limit=2, order=order)]

    assert of(template="base") == ids[::-1]
    assert of(template="unknown") == []
    assert of(order="asc") == ids


def test_refreshes_only_extend(server, new_sandbox):
    sandbox = new_sandbox(timeout=600)
    path = f"/sandboxes/{sandbox.sandbox_id}/refreshes"
    assert server.request("POST", path, {"duration": 60})[0] == 204
    assert remaining(sandbox) > 9 * MINUTE
    assert server.request("POST", path, {"duration": 1200})[0] == 204
    assert remaining(sandbox) > 19 * MINUTE
    assert server.request("POST", path)[0] == 204


def test_what_does_not_exist(server):
    for call in (Sandbox.connect, Sandbox.get_info, Sandbox.pause):
        with pytest.raises(sdk.GONE, match="i0000000000000000000"):
            call("i0000000000000000000")
    assert Sandbox.kill("i0000000000000000000") is False


def test_a_wrong_key_is_refused(server):
    with pytest.raises(sdk.DENIED, match="API key"):
        Sandbox.create("base", api_key="e2b_" + "0" * 40)


def test_an_unknown_template_is_refused(server):
    with pytest.raises(SandboxException, match="no-such-template"):
        Sandbox.create("no-such-template")


def test_a_timeout_out_of_range_is_refused(server):
    with pytest.raises(SandboxException, match="Timeout cannot be greater than"):
        Sandbox.create("base", timeout=10**7)


def test_a_sandbox_without_internet_has_none(new_sandbox):
    sandbox = new_sandbox(allow_internet_access=False)
    connect = "timeout 5 bash -c 'exec 3<>/dev/tcp/1.1.1.1/80' && echo open || echo closed"
    assert sandbox.commands.run(connect).stdout == "closed\n"
