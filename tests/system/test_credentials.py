"""Secrets stay with their sandbox: tokens, variables and files are in its own images only."""

import secrets
import stat

import httpx
import layout
import plain
import pytest

READS = ["/files?path=/etc/hostname", "/envs", "/metrics"]


def canary(name):
    """Text that is nowhere else."""
    return f"canary-{name}-{secrets.token_hex(16)}"


def images_of_templates(server):
    """The warmed images that sandboxes begin from."""
    places = (server.data_dir / "templates").resolve().glob("*/*/warm")
    found = [path for place in places for path in layout.files_below(place)]
    assert found, "there are warmed images"
    return found


@pytest.fixture
def pair(server, new_sandbox):
    """Two sandboxes of a template, of which the first holds secrets of every kind, by name."""
    held = {name: canary(name) for name in ("variable", "file", "memory", "input")}
    first = new_sandbox("code-interpreter-v1", envs={"SECRET": held["variable"]})
    first.files.write("/home/user/secret", held["file"])
    first.run_code(f"secret = '{held['memory']}'")
    process = first.commands.run("cat > /dev/null", background=True, stdin=True, timeout=0)
    first.commands.send_stdin(process.pid, held["input"] + "\n")
    assert first.commands.run("echo $SECRET").stdout.strip() == held["variable"]
    held["token"] = first._envd_access_token
    return first, new_sandbox("code-interpreter-v1"), held


def test_secrets_are_in_no_image_but_the_sandboxes_own(server, pair):
    first, second, held = pair
    for sandbox in pair[:2]:
        sandbox.pause()
    own = layout.snapshot_files(server, first.sandbox_id)
    for name in ("variable", "file", "memory", "token"):
        assert any(layout.holds(path, held[name]) for path in own), (
            f"{name}: the search finds nothing"
        )
    others = [*layout.snapshot_files(server, second.sandbox_id), *images_of_templates(server)]
    assert not set(own) & set(others)
    for name, secret in held.items():
        assert not [path for path in others if layout.holds(path, secret)], name


def test_the_key_of_the_api_is_in_no_image_and_no_log(server, new_sandbox):
    sandbox = new_sandbox()
    sandbox.commands.run("true")
    sandbox.pause()
    files = [*layout.snapshot_files(server, sandbox.sandbox_id), server.log]
    for name in ("logs", "node/runs"):
        files += layout.files_below(server.data_dir / name)
    files += [path for path in server.data_dir.glob("overwinter.db*") if path.is_file()]
    assert not [path for path in files if layout.holds(path, server.key)]


def test_the_log_tells_no_secret(server, pair):
    first, _, held = pair
    first.pause()
    first.connect(timeout=1800)
    for name, secret in held.items():
        assert not layout.holds(server.log, secret), name


@pytest.mark.parametrize("path", READS)
def test_the_token_of_one_opens_no_other(server, new_sandbox, path):
    """Not before a pause of either, and not after one."""
    mine, other = new_sandbox(), new_sandbox()
    for _ in range(2):
        with plain.client(mine, token=False) as client:
            for token in (other._envd_access_token, other.sandbox_id, server.key):
                refused = client.get(path, headers={"X-Access-Token": token})
                assert refused.status_code == 401, token
            assert client.get(path, headers={"X-Access-Token": mine._envd_access_token}).is_success
        mine.pause()
        mine.connect(timeout=1800)


def test_the_traffic_token_of_one_opens_no_other(server, new_sandbox):
    closed = {"network": {"allow_public_traffic": False}}
    mine, other = new_sandbox(**closed), new_sandbox(**closed)
    assert mine.traffic_access_token != other.traffic_access_token
    with plain.client(mine, port=8123, token=False) as client:
        for token in (other.traffic_access_token, mine._envd_access_token):
            answer = client.get("/", headers={"e2b-traffic-access-token": token})
            assert answer.status_code == 403, answer.text


def test_a_token_of_a_killed_sandbox_opens_nothing(server, new_sandbox):
    killed = new_sandbox()
    token, url = killed._envd_access_token, server.sandbox_url
    killed.kill()
    new_sandbox()
    answer = httpx.get(f"{url}/envs", headers={"X-Access-Token": token}, timeout=60)
    assert answer.status_code in (400, 401, 404, 502), answer.text


def closed_to_others(path, top):
    """Whether a path or a directory above it, up to `top`, is for its owner only."""
    way = [path, *(parent for parent in path.parents if top in (parent, *parent.parents))]
    try:
        return any(stat.S_IMODE(each.lstat().st_mode) & 0o077 == 0 for each in way)
    except FileNotFoundError:
        return True  # it was removed meanwhile


def test_what_holds_secrets_is_for_the_servers_user_only(server, new_sandbox):
    paused, running = new_sandbox(envs={"SECRET": "x"}), new_sandbox(envs={"SECRET": "x"})
    paused.pause()
    assert running.is_running()
    roots = [server.data_dir / name for name in ("node/snapshots", "engine", "logs")]
    files = [path for root in roots for path in layout.files_below(root)]
    files += server.data_dir.glob("overwinter.db*")
    assert any("snapshots" in path.parts for path in files)
    assert any("engine" in path.parts for path in files)
    open_to_others = [path for path in files if not closed_to_others(path, server.data_dir)]
    assert not open_to_others
