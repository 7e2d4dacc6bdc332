"""The lifecycle by plain requests: what SDKs do not send, or only old ones."""

import threading
import uuid

from sdk import Sandbox


def test_pauses_at_once_join(server, fresh):
    answers = []

    def pause():
        answers.append(server.request("POST", f"/sandboxes/{fresh.sandbox_id}/pause")[0])

    threads = [threading.Thread(target=pause) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {204, 409} and 204 in answers
    fresh.connect()
    assert fresh.commands.run("echo ok").stdout == "ok\n"


def test_the_old_list_shows_running_ones_only(server, new_sandbox):
    tag = uuid.uuid4().hex
    running, paused = (new_sandbox(metadata={"tag": tag}) for _ in range(2))
    paused.pause()
    _, _, body = server.request("GET", f"/sandboxes?metadata=tag%3D{tag}")
    assert [entry["sandboxID"] for entry in body] == [running.sandbox_id]


def test_an_idempotency_key_makes_one_sandbox(server):
    key = uuid.uuid4().hex
    body = {"templateID": "base", "timeout": 600}
    headers = {"Idempotency-Key": key}
    status, _, first = server.request("POST", "/v2/sandboxes", body, headers)
    assert status == 201
    status, _, second = server.request("POST", "/v2/sandboxes", body, headers)
    assert (status, second["sandboxID"]) == (201, first["sandboxID"])
    status, _, error = server.request("POST", "/v2/sandboxes", {**body, "timeout": 601}, headers)
    assert (status, error["code"]) == (422, 422)
    Sandbox.kill(first["sandboxID"])


def test_old_clients_connect_by_timeout_then_resume(server, fresh):
    path = f"/sandboxes/{fresh.sandbox_id}-client"
    assert server.request("POST", f"{path}/resume", {"timeout": 600})[0] == 409
    assert server.request("POST", f"{path}/timeout", {"timeout": 600})[0] == 204
    assert server.request("POST", f"{path}/pause")[0] == 204
    assert server.request("POST", f"{path}/timeout", {"timeout": 600})[0] == 404
    status, _, body = server.request("POST", f"{path}/resume", {"timeout": 600})
    assert (status, body["sandboxID"]) == (201, fresh.sandbox_id)
    assert body["envdAccessToken"] == fresh._envd_access_token
