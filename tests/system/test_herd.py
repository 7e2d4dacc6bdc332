"""Many paused sandboxes woken at once by traffic, and one by many: everyone gets the right answer.

`OVERWINTER_TEST_HERD` says how many are woken at once.
"""

import os
import statistics
import threading
import time

import httpx
import plain
import ports
import pytest

HERD = int(os.environ.get("OVERWINTER_TEST_HERD", "12"))
WAKES = {"on_timeout": "pause", "auto_resume": True}


def all_at_once(calls):
    """Runs these at one moment; the answers, and how many seconds each took."""
    answers, seconds = [None] * len(calls), [0.0] * len(calls)
    start = threading.Barrier(len(calls))

    def run(number, call):
        start.wait()
        began = time.monotonic()
        try:
            answers[number] = call()
        except Exception as error:  # noqa: BLE001 - it is looked at below
            answers[number] = error
        seconds[number] = time.monotonic() - began

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers, seconds


def asking(server, sandbox):
    """A call that asks a sandbox's port who it is, over a connection of its own."""

    def ask():
        with httpx.Client(base_url=server.sandbox_url, timeout=600) as client:
            return ports.who(client, sandbox.sandbox_id)

    return ask


def test_a_herd_is_woken_without_a_failure(server, new_sandbox):
    herd = [new_sandbox(lifecycle=WAKES) for _ in range(HERD)]
    for sandbox in herd:
        ports.serve(sandbox)
    paused, _ = all_at_once([sandbox.pause for sandbox in herd])
    assert paused == [True] * HERD
    answers, seconds = all_at_once([asking(server, sandbox) for sandbox in herd])
    assert answers == [(200, sandbox.sandbox_id) for sandbox in herd]
    print(f"{HERD} woken: median {statistics.median(seconds):.2f} s, last {max(seconds):.2f} s")


def test_many_who_wake_one_all_get_its_answer(server, new_sandbox):
    sandbox = new_sandbox(lifecycle=WAKES)
    ports.serve(sandbox)
    sandbox.pause()
    answers, _ = all_at_once([asking(server, sandbox)] * 16)
    assert answers == [(200, sandbox.sandbox_id)] * 16


@pytest.mark.parametrize("port", [8303, plain.ENVD, plain.INTERPRETER, 9])
def test_any_port_wakes(server, new_sandbox, port):
    """Also one on which nothing listens: only the sandbox itself knows that."""
    sandbox = new_sandbox("code-interpreter-v1", lifecycle=WAKES)
    if port == 8303:
        ports.serve(sandbox, port)
    sandbox.pause()
    path = "/health" if port in (plain.ENVD, plain.INTERPRETER) else "/"
    with plain.client(sandbox, port=port) as client:
        answer = client.get(path)
    assert answer.status_code == 502 if port == 9 else answer.is_success, answer.text
    status, _, details = server.request("GET", f"/sandboxes/{sandbox.sandbox_id}")
    assert (status, details["state"]) == (200, "running")
