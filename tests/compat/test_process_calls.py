"""Calls of the process service as the protocol has them, where SDKs send less than it allows."""

import base64

import plain
from server import wait_until

START = "/process.Process/Start"


def shell(command, **more):
    """What starts a shell command, as a plain message."""
    return {"process": {"cmd": "/bin/bash", "args": ["-c", command]}, **more}


def test_the_calls_own_timeout_ends_it(sandbox):
    """As clients send it with every call, in milliseconds."""
    with plain.client(sandbox) as client:
        messages = list(
            plain.stream(
                client,
                START,
                shell("exec -a over-time sleep 300"),
                **{"Connect-Timeout-Ms": "1500"},
            )
        )
    assert messages[0]["event"]["start"]["pid"] > 0
    assert messages[-1]["error"]["code"] == "deadline_exceeded"
    wait_until(
        "the command is gone",
        lambda: "over-time" not in sandbox.commands.run("ps -eo args").stdout,
    )


def test_a_command_is_found_by_its_tag(sandbox):
    """No SDK sends tags, but the protocol has them, and every call may name one."""
    tag = {"process": {"tag": "tagged"}}
    with plain.client(sandbox) as client, plain.client(sandbox) as other:
        started = plain.stream(client, START, shell("read a; echo got $a", tag="tagged"))
        pid = next(started)["event"]["start"]["pid"]
        [listed] = [process for process in sandbox.commands.list() if process.pid == pid]
        assert listed.tag == "tagged"
        connected = plain.stream(other, "/process.Process/Connect", tag)
        assert next(connected)["event"]["start"]["pid"] == pid
        typed = {"input": {"stdin": base64.b64encode(b"it\n").decode()}}
        assert sandbox_call(sandbox, "SendInput", {**tag, **typed}) == 200
        assert plain.shown(connected) == plain.shown(started) == b"got it\n"
    assert sandbox_call(sandbox, "SendInput", {"process": {"tag": "none"}, **typed}) == 404


def sandbox_call(sandbox, name, message):
    """The status of a call of the process service."""
    with plain.client(sandbox) as client:
        return client.post(f"/process.Process/{name}", json=message).status_code


def test_a_polite_signal_can_be_caught(sandbox):
    with plain.client(sandbox) as client:
        command = "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
        messages = plain.stream(client, START, shell(command))
        pid = next(messages)["event"]["start"]["pid"]
        assert plain.shown([next(messages)]) == b"ready\n"
        signal = {"process": {"pid": pid}, "signal": "SIGNAL_SIGTERM"}
        assert sandbox_call(sandbox, "SendSignal", signal) == 200
        rest = list(messages)
    assert plain.shown(rest) == b"caught\n"
    [end] = [m["event"]["end"] for m in rest if "end" in m.get("event", {})]
    assert end["exitCode"] == 9
