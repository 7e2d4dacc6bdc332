"""Who sandboxes from one warmed image are: each its own, and the same after every resume."""

import itertools

import pytest
from e2b_code_interpreter import Sandbox

CLONES = 4

HOST_KEYS = "cat /etc/ssh/ssh_host_*_key 2>/dev/null | sha256sum; ls /etc/ssh/ssh_host_*_key 2>/dev/null | wc -l"


@pytest.fixture(scope="module")
def clones(server):
    """Sandboxes from the same warmed image."""
    made = [Sandbox.create("code-interpreter-v1", timeout=1800) for _ in range(CLONES)]
    yield made
    for sandbox in made:
        sandbox.kill()


def distinct(values):
    for one, other in itertools.combinations(values, 2):
        assert one != other, values


def host_name(sandbox):
    shown = sandbox.commands.run("hostname; cat /etc/hostname; uname -n").stdout.split()
    assert len(set(shown)) == 1, shown
    return shown[0]


def test_tokens_and_ids_differ(clones):
    distinct([sandbox.sandbox_id for sandbox in clones])
    distinct([sandbox._envd_access_token for sandbox in clones])


def test_host_names_differ_and_resolve(clones):
    distinct([host_name(sandbox) for sandbox in clones])
    for sandbox in clones:
        name = host_name(sandbox)
        assert sandbox.commands.run(f"getent hosts {name}").stdout.split()[0] == "127.0.1.1"
        assert sandbox.run_code("import socket; socket.gethostname()").text == name


def test_no_secret_of_a_machine_comes_with_the_image(clones):
    """A host key or a machine's id that all sandboxes share would be no secret and no id."""
    keys, machine_ids = [], []
    for sandbox in clones:
        digest, number = sandbox.commands.run(HOST_KEYS, user="root").stdout.split("-")
        keys += [digest] if int(number) else []
        machine_id = sandbox.commands.run("cat /etc/machine-id 2>/dev/null || true").stdout.strip()
        machine_ids += [machine_id] if machine_id not in ("", "uninitialized") else []
    distinct(keys)
    distinct(machine_ids)


def test_a_sandbox_stays_who_it_is(server, new_sandbox):
    sandbox = new_sandbox(metadata={"who": "me"})
    link = "cat /sys/class/net/*/address 2>/dev/null; hostname -I"

    def identity():
        return (
            host_name(sandbox),
            sandbox._envd_access_token,
            sandbox.get_info().metadata,
            sandbox.get_host(80),
            sandbox.commands.run(link).stdout,
        )

    before = identity()
    for _ in range(2):
        sandbox.pause()
        sandbox = Sandbox.connect(sandbox.sandbox_id, timeout=1800)
        assert identity() == before
