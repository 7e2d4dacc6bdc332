"""Tokens, signed addresses, and paths that only the platform may reach."""

import base64
import hashlib
import time

import httpx
import pytest
import sdk
from sdk import Sandbox

import plain
from server import wait_until


def test_the_guest_asks_for_the_token(sandbox):
    with plain.client(sandbox, token=False) as client:
        for method, path in [
            ("GET", "/envs"),
            ("GET", "/metrics"),
            ("POST", "/process.Process/List"),
            ("POST", "/filesystem.Filesystem/Stat"),
            ("POST", "/files/compose"),
        ]:
            response = client.request(method, path, json={} if method == "POST" else None)
            assert response.status_code == 401, (method, path, response.text)


@pytest.mark.parametrize("token", ["", "wrong", "\u00e4".encode("latin-1")])
def test_a_wrong_token_is_refused(sandbox, token):
    with plain.client(sandbox, token=False) as client:
        response = client.post("/process.Process/List", json={}, headers={"X-Access-Token": token})
    assert response.status_code == 401


def test_a_token_opens_only_its_own_sandbox(sandbox, new_sandbox):
    other = new_sandbox()
    with plain.client(sandbox, token=False) as client:
        response = client.post(
            "/process.Process/List",
            json={},
            headers={"X-Access-Token": other._envd_access_token},
        )
    assert response.status_code == 401


def test_health_is_open_to_all(sandbox):
    with plain.client(sandbox, token=False) as client:
        assert client.get("/health").status_code == 204


@pytest.mark.parametrize("path", ["/init", "/freeze", "//init", "/./init", "/%69nit", "/init/"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_control_paths_cannot_be_reached_through_the_edge(sandbox, method, path):
    with plain.client(sandbox) as client:
        response = client.request(method, path, content=b"{}")
    assert response.status_code in (400, 401, 403, 404, 405), response.text
    assert sandbox.commands.run("whoami").stdout == "user\n"


def test_the_control_port_cannot_be_reached_through_the_edge(sandbox):
    with plain.client(sandbox, port=49982) as client:
        assert client.get("/health").status_code in (403, 404, 502)


def test_a_signed_address_downloads_and_uploads(sandbox):
    sandbox.files.write("/home/user/signed", "content")
    _, headers = plain.routing(sandbox, plain.ENVD)
    download = plain.signed(sandbox, sandbox.download_url("/home/user/signed", user="user"))
    assert httpx.get(download, headers=headers).text == "content"
    upload = plain.signed(sandbox, sandbox.upload_url("/home/user/sent", user="user"))
    response = httpx.post(upload, headers=headers, files={"file": ("sent", b"by form")})
    assert response.status_code == 200, response.text
    assert sandbox.files.read("/home/user/sent") == "by form"


def test_a_signature_ends_with_its_time(sandbox):
    sandbox.files.write("/home/user/signed", "content")
    _, headers = plain.routing(sandbox, plain.ENVD)
    url = sandbox.download_url("/home/user/signed", user="user", use_signature_expiration=600)
    assert httpx.get(plain.signed(sandbox, url), headers=headers).status_code == 200
    expired = signature(sandbox, "/home/user/signed", "read", "user", int(time.time()) - 10)
    with plain.client(sandbox, token=False) as client:
        response = client.get("/files", params=expired)
    assert (response.status_code, response.json()["message"]) == (
        401,
        "signature is already expired",
    )


def test_a_signature_that_was_good_expires(sandbox):
    sandbox.files.write("/home/user/signed", "content")
    _, headers = plain.routing(sandbox, plain.ENVD)
    url = sandbox.download_url("/home/user/signed", user="user", use_signature_expiration=1)

    def refused():
        return httpx.get(plain.signed(sandbox, url), headers=headers).status_code == 401

    wait_until("it has expired", refused)


def signature(sandbox, path, operation, user, expiration):
    token = sandbox._envd_access_token
    digest = hashlib.sha256(f"{path}:{operation}:{user}:{token}:{expiration}".encode()).digest()
    return {
        "path": path,
        "username": user,
        "signature": "v1_" + base64.b64encode(digest).decode().rstrip("="),
        "signature_expiration": str(expiration),
    }


@pytest.mark.parametrize("change", ["path", "username", "signature", "signature_expiration"])
def test_a_signature_is_for_exactly_one_thing(sandbox, change):
    query = signature(sandbox, "/home/user/signed", "read", "user", int(time.time()) + 600)
    changed = {
        "path": "/etc/passwd",
        "username": "root",
        "signature": query["signature"][:-1] + "x",
        "signature_expiration": str(int(time.time()) + 60_000),
    }
    with plain.client(sandbox, token=False) as client:
        response = client.get("/files", params={**query, change: changed[change]})
    assert response.status_code == 401, response.text
    assert response.json()["message"] == "invalid signature"


def test_a_signature_to_read_does_not_write(sandbox):
    query = signature(sandbox, "/home/user/signed", "read", "user", int(time.time()) + 600)
    with plain.client(sandbox, token=False) as client:
        response = client.post("/files", params=query, files={"file": ("x", b"y")})
    assert response.status_code == 401


def test_files_need_a_header_or_a_signature(sandbox):
    with plain.client(sandbox, token=False) as client:
        response = client.get("/files", params={"path": "/etc/passwd"})
        assert (response.status_code, response.json()["message"]) == (
            401,
            "missing signature query parameter",
        )
        response = client.get(
            "/files",
            params={"path": "/etc/passwd"},
            headers={"X-Access-Token": "wrong"},
        )
        assert response.status_code == 401


@sdk.needs("create", "network")
def test_ports_without_public_traffic_ask_for_the_traffic_token(server):
    with Sandbox.create(timeout=600, network={"allow_public_traffic": False}) as closed:
        closed.commands.run("python3 -m http.server 8123", background=True)
        assert closed.traffic_access_token
        with plain.client(closed, port=8123, token=False) as client:
            for headers in ({}, {"e2b-traffic-access-token": "wrong"}):
                response = client.get("/", headers=headers)
                assert (response.status_code, response.json()["code"]) == (403, 403)
            headers = {"e2b-traffic-access-token": closed.traffic_access_token}
            assert client.get("/", headers=headers).status_code in (200, 502)


def test_tokens_survive_a_pause(fresh):
    before = fresh._envd_access_token
    fresh.pause()
    again = Sandbox.connect(fresh.sandbox_id)
    assert again._envd_access_token == before
    assert again.commands.run("echo ok").stdout == "ok\n"
