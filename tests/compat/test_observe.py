"""Metrics, logs and environment, as the API shows them."""

import pytest
from sdk import Sandbox

import plain
from server import wait_until


def test_metrics_tell_what_the_sandbox_has_and_uses(fresh):
    fresh.commands.run("head -c 50M /dev/zero > /home/user/file")
    sample = wait_until("a sample is there", fresh.get_metrics)[-1]
    assert sample.cpu_count == 2
    assert sample.mem_total == pytest.approx(1024**3, rel=0.2)
    assert 0 < sample.mem_used < sample.mem_total
    assert sample.disk_total >= 9 * 1024**3
    assert 0 <= sample.cpu_used_pct <= 100 * 8


def test_disk_use_grows_with_files(fresh):
    fresh.commands.run("head -c 200M /dev/zero > /home/user/file; sync")
    wait_until(
        "the sample after shows the file",
        lambda: any(s.disk_used >= 200 * 1024**2 for s in fresh.get_metrics()),
    )


def test_metrics_of_several_at_once(server, sandbox, fresh):
    ids = [sandbox.sandbox_id, fresh.sandbox_id]

    def both():
        status, _, body = server.request("GET", f"/sandboxes/metrics?sandbox_ids={','.join(ids)}")
        assert status == 200
        return body["sandboxes"] if set(body["sandboxes"]) == set(ids) else None

    metrics = wait_until("both have samples", both)
    assert all(metric["memTotal"] > 0 for metric in metrics.values())


def test_the_guests_own_metrics(sandbox):
    with plain.client(sandbox) as client:
        metrics = client.get("/metrics").json()
    assert metrics["cpu_count"] == 2
    assert metrics["mem_total"] > 0 and metrics["disk_total"] > 0


def test_logs_in_both_forms(server, fresh):
    fresh.commands.run("echo something")
    path = f"/sandboxes/{fresh.sandbox_id}/logs"
    body = wait_until(
        "a line is there",
        lambda: server.request("GET", path)[2].get("logEntries") and server.request("GET", path)[2],
    )
    assert body["logs"] and body["logEntries"][0]["timestamp"].endswith("Z")
    _, _, newer = server.request("GET", f"/v2{path}?limit=1&direction=backward")
    assert len(newer["logs"]) == 1
    assert server.request("GET", "/sandboxes/inone/logs")[0] == 404


def test_environment_of_the_sandbox(server):
    with Sandbox.create(timeout=600, envs={"FOO": "bar", "QUOTE": "a'b\"c\n"}) as sandbox:
        with plain.client(sandbox) as client:
            envs = client.get("/envs").json()
        assert envs["FOO"] == "bar" and envs["QUOTE"] == "a'b\"c\n"
        assert sandbox.commands.run("printenv FOO").stdout == "bar\n"
        assert sandbox.run_code("import os; os.environ['FOO']").text == "bar"


def test_the_environment_survives_a_pause(new_sandbox):
    sandbox = new_sandbox(envs={"FOO": "bar"})
    sandbox.pause()
    sandbox.connect()
    assert sandbox.commands.run("printenv FOO").stdout == "bar\n"
