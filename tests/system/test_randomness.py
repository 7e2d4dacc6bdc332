"""No two sandboxes draw the same numbers, and none draws them twice, whoever draws them.

All sandboxes of the interpreter's template begin as one warmed process, and a snapshot that is
restored a second time would begin a second time with the numbers that were drawn after the first.
`OVERWINTER_TEST_CLONES` says how many sandboxes are compared.
"""

import ast
import itertools
import json
import os
import shlex

import layout
import pytest
from e2b_code_interpreter import Sandbox

from server import has_template, wait_until

CLONES = int(os.environ.get("OVERWINTER_TEST_CLONES", "6"))

CLIENT_HELLO = """
def client_hello():
    import ssl
    sent = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), sent, server_hostname="a.test")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return sent.read()[11:43].hex()
"""
"""The 32 random bytes behind the record's and the message's heads (RFC 8446, 4.1.2)."""

PYTHON = {
    "random": "__import__('random').random()",
    "random.randbytes": "__import__('random').randbytes(16).hex()",
    "secrets": "__import__('secrets').token_hex(16)",
    "uuid4": "str(__import__('uuid').uuid4())",
    "uuid1": "str(__import__('uuid').uuid1())",
    "numpy": "float(__import__('numpy').random.random())",
    "numpy.default_rng": "float(__import__('numpy').random.default_rng().random())",
    "os.urandom": "__import__('os').urandom(1024).hex()",
    "ssl.RAND_bytes": "__import__('ssl').RAND_bytes(16).hex()",
    "TLS": "client_hello()",
    "tempfile": "__import__('tempfile').mktemp()",
}
JAVASCRIPT = {
    "Math.random": "Math.random()",
    "crypto.randomUUID": "crypto.randomUUID()",
    "node:crypto.randomUUID": "process.getBuiltinModule('node:crypto').randomUUID()",
    "crypto.getRandomValues": "Array.from(crypto.getRandomValues(new Uint8Array(16))).join()",
}
R = {
    "runif": "runif(1)",
    "sample": "sample(1e9, 1)",
    "rnorm": "rnorm(1)",
}
JAVA = {
    "Math.random": "Math.random()",
    "StrictMath.random": "StrictMath.random()",
    "Random": "new Random().nextLong()",
    "SplittableRandom": "new SplittableRandom().nextLong()",
    "RandomGenerator": "java.util.random.RandomGenerator.getDefault().nextLong()",
    "ThreadLocalRandom": "java.util.concurrent.ThreadLocalRandom.current().nextLong()",
    "UUID": "UUID.randomUUID()",
    "SecureRandom": "new java.security.SecureRandom().nextLong()",
}
SHELL = {
    "/dev/urandom": "head -c 1024 /dev/urandom | sha256sum",
    "kernel's uuid": "cat /proc/sys/kernel/random/uuid",
    "openssl": "openssl rand -hex 16",
    "hash of a str": "python3 -c 'print(hash(\"a\"))'",
    "mktemp": "mktemp -u",
    "RANDOM of bash": "bash -c 'echo $RANDOM$RANDOM$RANDOM$RANDOM'",
}
SOURCES = [*PYTHON, *JAVASCRIPT, *SHELL]


def draw_python(sandbox):
    """One value of each source, all in the sandbox's first call of Python."""
    drawn = ", ".join(f"{name!r}: {code}" for name, code in PYTHON.items())
    execution = sandbox.run_code(f"{CLIENT_HELLO}\n{{{drawn}}}")
    assert not execution.error, execution.error
    return ast.literal_eval(execution.text)


def draw_javascript(sandbox):
    drawn = ", ".join(f"{json.dumps(name)}: {code}" for name, code in JAVASCRIPT.items())
    execution = sandbox.run_code(f"JSON.stringify({{{drawn}}})", language="javascript")
    assert not execution.error, execution.error
    text = execution.text
    return json.loads(text if text.startswith("{") else ast.literal_eval(text))


def draw_shell(sandbox):
    script = "; ".join(f"({code}) | tr -d '\\n'; echo" for code in SHELL.values())
    shown = sandbox.commands.run(f"bash -c {shlex.quote(script)}").stdout.splitlines()
    return dict(zip(SHELL, shown, strict=True))


def draw(sandbox):
    return {**draw_python(sandbox), **draw_javascript(sandbox), **draw_shell(sandbox)}


def distinct(values):
    for one, other in itertools.combinations(values, 2):
        assert one != other, values


@pytest.fixture(scope="module")
def drawn_by_clones(server):
    """What sandboxes of one warmed image draw first."""
    drawn = []
    for _ in range(CLONES):
        with Sandbox.create("code-interpreter-v1", timeout=1800) as sandbox:
            drawn.append(draw(sandbox))
    return drawn


@pytest.mark.parametrize("source", SOURCES)
def test_clones_differ(drawn_by_clones, source):
    distinct([drawn[source] for drawn in drawn_by_clones])


def restored_again(server, sandbox):
    """Loses a sandbox that had been resumed, so that its snapshot is restored a second time."""
    layout.end_engine(server, sandbox.sandbox_id)
    details = f"/sandboxes/{sandbox.sandbox_id}"
    wait_until(
        "it is paused again", lambda: server.request("GET", details)[2].get("state") == "paused"
    )
    return Sandbox.connect(sandbox.sandbox_id, timeout=1800)


def first_of_restores(server, template, draw):
    """What one sandbox draws first after each of three restores of one snapshot."""
    with Sandbox.create(template, timeout=1800) as sandbox:
        draw(sandbox)
        sandbox.pause()
        sandbox.connect(timeout=1800)
        drawn = [draw(sandbox)]
        for _ in range(2):
            sandbox = restored_again(server, sandbox)
            drawn.append(draw(sandbox))
    return drawn


@pytest.fixture(scope="module")
def drawn_by_restores(server):
    return first_of_restores(server, "code-interpreter-v1", draw)


def draw_r_and_java(sandbox):
    """One value of each source of the template that has these languages."""
    drawn = {}
    for language, sources, line in [
        ("r", R, "cat(format({}, digits = 15), '\\n')"),
        ("java", JAVA, "System.out.println({});"),
    ]:
        code = "\n".join(line.format(source) for source in sources.values())
        execution = sandbox.run_code(code, language=language)
        assert not execution.error, execution.error
        shown = "".join(execution.logs.stdout).splitlines()
        names = (f"{language}: {name}" for name in sources)
        drawn.update(zip(names, shown, strict=True))
    return drawn


@pytest.mark.skipif(
    not has_template("code-interpreter-full"), reason="code-interpreter-full is not built"
)
def test_restores_of_one_snapshot_differ_in_r_and_java(server):
    drawn = first_of_restores(server, "code-interpreter-full", draw_r_and_java)
    for source in drawn[0]:
        distinct([values[source] for values in drawn])


@pytest.mark.parametrize("source", SOURCES)
def test_restores_of_one_snapshot_differ(drawn_by_restores, source):
    distinct([drawn[source] for drawn in drawn_by_restores])


def test_a_program_keeps_its_own_seed_across_a_pause(server, new_sandbox):
    """One sandbox goes on: what a program seeded on purpose must not change."""
    sandbox = new_sandbox("code-interpreter-v1")
    sandbox.run_code("import random; random.seed(7); first = random.random()")
    sandbox.pause()
    sandbox.connect(timeout=1800)
    code = "r = random.Random(7); r.random(); random.random() == r.random()"
    assert sandbox.run_code(code).text == "True"


def kernel_pid(sandbox):
    """The interpreter's Python."""
    return int(sandbox.run_code("import os; os.getpid()").text)


def test_a_kernel_that_cannot_be_reseeded_runs_nothing_before_it_is(server, new_sandbox):
    """It was stopped, so it took no new numbers at the restore; it takes them before any code."""
    sandbox = new_sandbox("code-interpreter-v1")
    pid = kernel_pid(sandbox)
    sandbox.run_code("import random")
    sandbox.commands.run(f"kill -STOP {pid}", user="root")
    sandbox.pause()
    drawn = []
    for number in range(2):
        sandbox = restored_again(server, sandbox) if number else sandbox.connect(timeout=1800)
        sandbox.commands.run(f"kill -CONT {pid}", user="root")
        assert kernel_pid(sandbox) == pid
        drawn.append(sandbox.run_code("random.random()").text)
    distinct(drawn)


def test_a_resume_without_fresh_numbers_fails(server, new_sandbox):
    """The kernel's device is gone, so nothing can be mixed in: the guest must not run."""
    sandbox = new_sandbox()
    sandbox.commands.run("rm /dev/urandom && mkdir /dev/urandom", user="root")
    sandbox.pause()
    sandbox.connect(timeout=1800)  # the first restore goes on with what was in memory
    layout.end_engine(server, sandbox.sandbox_id)
    details = f"/sandboxes/{sandbox.sandbox_id}"
    wait_until(
        "it is paused again", lambda: server.request("GET", details)[2].get("state") == "paused"
    )
    status, _, body = server.request(
        "POST", f"/v2/sandboxes/{sandbox.sandbox_id}/connect", {"timeout": 1800}
    )
    assert status >= 500 and body["code"] == status, body
    _, _, after = server.request("GET", details)
    assert after["state"] == "paused" and after["lastTransition"]["note"], after
