"""What clients are told, rule by rule, where no other test asks a real server for it."""

import datetime
import threading
import uuid

import pytest
from e2b_code_interpreter import Sandbox

from server import wait_until

MINUTE = 60


@pytest.fixture
def fresh(server, new_sandbox):
    return new_sandbox()


def path(sandbox, below=""):
    return f"/sandboxes/{sandbox.sandbox_id}{below}"


def time_left(server, sandbox_id):
    """Seconds until the timeout, by the server's answer."""
    _, _, body = server.request("GET", f"/sandboxes/{sandbox_id}")
    end = datetime.datetime.fromisoformat(body["endAt"])
    return (end - datetime.datetime.now(datetime.UTC)).total_seconds()


def test_the_first_version_of_the_api_has_the_short_timeout(server):
    status, _, body = server.request("POST", "/sandboxes", {"templateID": "base"})
    assert status == 201
    try:
        begins = datetime.datetime.fromisoformat
        _, _, shown = server.request("GET", f"/sandboxes/{body['sandboxID']}")
        assert (begins(shown["endAt"]) - begins(shown["startedAt"])).total_seconds() <= 15
    finally:
        server.request("DELETE", f"/sandboxes/{body['sandboxID']}")


def test_a_resume_by_the_first_version_has_the_short_timeout_and_a_connect_the_long(
    server, new_sandbox
):
    sandbox = new_sandbox(lifecycle={"on_timeout": "pause"})
    sandbox.pause()
    assert server.request("POST", path(sandbox, "/resume"))[0] == 201
    assert time_left(server, sandbox.sandbox_id) <= 15
    sandbox.pause()
    status, _, _ = server.request("POST", f"/v2{path(sandbox, '/connect')}", {})
    assert status == 201
    assert 4 * MINUTE < time_left(server, sandbox.sandbox_id)


def test_connect_says_whether_it_resumed(server, fresh):
    connect = f"/v2{path(fresh, '/connect')}"
    assert server.request("POST", connect, {"timeout": 600})[0] == 200
    fresh.pause()
    assert server.request("POST", connect, {"timeout": 600})[0] == 201
    assert server.request("POST", connect, {"timeout": 600})[0] == 200


def test_a_resume_begins_a_new_time(server, fresh):
    _, _, before = server.request("GET", path(fresh))
    fresh.pause()
    _, _, paused = server.request("GET", path(fresh))
    assert (paused["state"], paused["startedAt"]) == ("paused", before["startedAt"])
    fresh.connect(timeout=600)
    _, _, after = server.request("GET", path(fresh))
    assert before["startedAt"] < paused["endAt"] <= after["startedAt"] < after["endAt"]


def test_refusals_are_word_for_word_what_clients_know(server, fresh):
    fresh.pause()
    name = fresh.sandbox_id
    assert server.request("POST", path(fresh, "/pause"))[2] == {
        "code": 409,
        "message": f"Error pausing sandbox - sandbox '{name}' is already paused",
    }
    fresh.kill()
    gone = {
        "code": 404,
        "message": f"Sandbox \"{name}\" doesn't exist or you don't have access to it",
    }
    for method, below, body in [
        ("GET", "", None),
        ("DELETE", "", None),
        ("POST", "/pause", None),
        ("POST", "/resume", {"timeout": 60}),
        ("POST", "/connect", {"timeout": 60}),
        ("POST", "/timeout", {"timeout": 60}),
    ]:
        assert server.request(method, path(fresh, below), body)[::2] == (404, gone), below


def test_the_longest_timeout_is_said(server, fresh):
    day = 24 * 60 * MINUTE
    for below in ("/timeout", "/connect"):
        status, _, body = server.request("POST", path(fresh, below), {"timeout": 10 * day})
        assert (status, body["message"]) == (400, "Timeout cannot be greater than 24 hours")


def test_a_mistake_and_a_conflict_are_not_retried(server, fresh):
    """Clients repeat 429 and 502 to 504 by themselves, unless they are told not to."""
    for method, where, body in [
        ("POST", "/v2/sandboxes", {"templateID": "no-such-template"}),
        ("POST", path(fresh, "/resume"), {"timeout": 60}),
        ("POST", path(fresh, "/fork"), {}),
        ("POST", path(fresh, "/snapshots"), {}),
    ]:
        status, headers, _ = server.request(method, where, body)
        assert status >= 400
        retried = status in (429, 502, 503, 504) and headers.get("Should-Retry") != "false"
        assert not retried, (where, status)
        assert headers.get("Should-Retry") != "true", where


def test_a_level_that_needs_a_store_is_refused_without_one(server, fresh):
    headers = {"Overwinter-Durability": "durable-remote"}
    status, _, body = server.request("POST", path(fresh, "/pause"), headers=headers)
    assert (status, body["code"]) == (400, 400)
    assert "durable-remote" in body["message"]
    assert server.request("GET", path(fresh))[2]["state"] == "running"
    assert fresh.commands.run("echo on").stdout == "on\n"


def test_the_address_of_a_port_needs_no_request(fresh):
    fresh.kill()
    assert fresh.get_host(8080).startswith(f"8080-{fresh.sandbox_id}.")


def test_pages_stay_whole_while_sandboxes_come_and_go(server, new_sandbox):
    tag = uuid.uuid4().hex
    made = [new_sandbox(metadata={"tag": tag}) for _ in range(5)]
    ids = [sandbox.sandbox_id for sandbox in made]
    query = f"/v2/sandboxes?metadata=tag%3D{tag}&limit=2"

    def page(token):
        where = query if token is None else f"{query}&nextToken={token}"
        status, headers, body = server.request("GET", where)
        assert status == 200
        return [entry["sandboxID"] for entry in body], headers.get("X-Next-Token")

    first, token = page(None)
    assert first == [ids[4], ids[3]]
    new_sandbox(metadata={"tag": tag})  # newer than the page that was read
    made[3].kill()  # on it
    made[2].pause()  # about to be read
    second, token = page(token)
    third, token = page(token)
    assert (second, third, token) == ([ids[2], ids[1]], [ids[0]], None)


def test_a_list_begins_after_a_moment(server, new_sandbox):
    tag = uuid.uuid4().hex
    made = [new_sandbox(metadata={"tag": tag}) for _ in range(3)]
    query = f"/v2/sandboxes?metadata=tag%3D{tag}"

    def listed(more=""):
        return server.request("GET", query + more)[2]

    started = {entry["sandboxID"]: entry["startedAt"] for entry in listed()}
    middle = started[made[1].sandbox_id]
    later = [each.sandbox_id for each in made if started[each.sandbox_id] > middle]
    for order, wanted in (("asc", later), ("desc", later[::-1])):
        found = listed(f"&startedAfter={middle}&order={order}")
        assert [entry["sandboxID"] for entry in found] == wanted
    assert listed("&startedAfter=2999-01-01T00:00:00Z") == []


def test_files_only_boots_anew_at_every_timeout(server):
    """`autoPauseMemory: false`: the sandbox pauses without its memory, and begins with a new boot."""
    status, _, body = server.request(
        "POST",
        "/v2/sandboxes",
        {"templateID": "base", "timeout": 600, "autoPause": True, "autoPauseMemory": False},
    )
    assert status == 201
    sandbox = Sandbox.connect(body["sandboxID"], timeout=600)
    boot = sandbox.files.read("/proc/sys/kernel/random/boot_id")
    sandbox.files.write("/home/user/kept", "yes")
    sandbox.set_timeout(0)
    wait_until("it is paused", lambda: server.request("GET", path(sandbox))[2]["state"] == "paused")
    assert server.request("GET", path(sandbox))[2]["pauseMode"] == "filesystem"
    same = Sandbox.connect(sandbox.sandbox_id, timeout=600)
    assert same.files.read("/home/user/kept") == "yes"
    assert same.files.read("/proc/sys/kernel/random/boot_id") != boot
    assert same.kill()


def test_a_create_that_is_repeated_at_once_makes_one(server):
    """While the first is in flight, the second is told to come back; then it gets the same one."""
    key = uuid.uuid4().hex
    answers = []

    def create():
        body = {"templateID": "base", "timeout": 600, "metadata": {"tag": key}}
        headers = {"Idempotency-Key": key}
        answers.append(server.request("POST", "/v2/sandboxes", body, headers))

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    create()
    made = {body["sandboxID"] for status, _, body in answers if status == 201}
    assert len(made) == 1 and answers[-1][0] == 201
    for status, headers, _ in answers:
        assert status == 201 or (status, headers["Should-Retry"]) == (409, "true")
    _, _, listed = server.request("GET", f"/v2/sandboxes?metadata=tag%3D{key}")
    assert [entry["sandboxID"] for entry in listed] == list(made)
    assert Sandbox.kill(made.pop())
