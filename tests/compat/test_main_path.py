"""The main path: what the first lines of every document do."""

import pytest
from sdk import Sandbox


@pytest.mark.parametrize("repetition", range(3))
def test_variables_and_files_survive_a_pause(server, repetition):
    sbx = Sandbox.create()
    try:
        sbx.run_code("x = 42")
        sbx.commands.run("echo hello > /tmp/message.txt")
        sbx.beta_pause()
        same = sbx.connect()
        assert same.run_code("print(x)").logs.stdout == ["42\n"]
        assert same.commands.run("cat /tmp/message.txt").stdout == "hello\n"
    finally:
        assert sbx.kill()


def test_a_sandbox_is_created_from_the_default_template_of_each_package(server):
    import e2b

    with e2b.Sandbox.create(timeout=60) as sandbox:
        assert sandbox.commands.run("whoami").stdout == "user\n"
        assert sandbox.get_info().name == "base"
    with Sandbox.create(timeout=60) as sandbox:
        assert sandbox.run_code("1+1").text == "2"
        assert sandbox.get_info().name == "code-interpreter-v1"


def test_a_pause_reports_its_durability(server, new_sandbox):
    sandbox = new_sandbox()
    status, headers, _ = server.request("POST", f"/sandboxes/{sandbox.sandbox_id}/pause")
    assert status == 204
    assert headers["Overwinter-Durability"] == "durable-local"
    status, _, detail = server.request("GET", f"/sandboxes/{sandbox.sandbox_id}")
    assert (status, detail["state"]) == (200, "paused")
    report = detail["lastTransition"]
    assert (report["kind"], report["durability"]) == ("paused", "durable-local")
    assert report["phases"], "where the time went"


@pytest.mark.parametrize("durability", ["eternal", ""])
def test_a_durability_that_there_is_not_is_refused(server, new_sandbox, durability):
    sandbox = new_sandbox()
    status, _, error = server.request(
        "POST",
        f"/sandboxes/{sandbox.sandbox_id}/pause",
        headers={"Overwinter-Durability": durability},
    )
    assert (status, error["code"]) == (400, 400)
    assert sandbox.is_running()
