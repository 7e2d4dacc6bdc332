"""After a resume it is now: for the first command, for programs that ran on, and for certificates."""

import hashlib
import hmac
import itertools
import json
import subprocess
import time

import pytest

from server import wait_until

AWAY_SECONDS = 4
TOLERANCE_SECONDS = 1.0
"""How far a guest's clock may be from the host's. It follows it to microseconds; the rest is room for
a busy machine between two looks at one clock."""

LOOK = """
import time
with open("/home/user/seen", "w", buffering=1) as seen:
    while True:
        print(time.time(), time.monotonic(), file=seen)
        time.sleep(0.02)
"""

SLEEP = """
import time
began = time.monotonic()
time.sleep(2)
print(time.monotonic() - began)
"""

HANDSHAKE = """
import ssl, sys
def contexts():
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain("/home/user/tls.pem")
    client = ssl.create_default_context(cafile="/home/user/tls.pem")
    return server, client
to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
server, client = contexts()
ends = [
    client.wrap_bio(to_client, to_server, server_hostname="sandbox.test"),
    server.wrap_bio(to_server, to_client, server_side=True),
]
for _ in range(8):
    for end in ends:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            pass
print(ends[0].version())
"""

EXPIRY = """
import hashlib, hmac, json, sys, time
claims, signature = sys.argv[1], sys.argv[2]
assert hmac.compare_digest(hmac.new(b"key", claims.encode(), hashlib.sha256).hexdigest(), signature)
claims, now = json.loads(claims), time.time()
print("valid" if claims["nbf"] <= now < claims["exp"] else f"not valid at {now}: {claims}")
"""


def away(sandbox, seconds=AWAY_SECONDS):
    """Pauses it, and resumes it this long after; the moment at which the resume was asked for."""
    sandbox.pause()
    time.sleep(seconds)
    asked = time.time()
    sandbox.connect(timeout=1800)
    return asked


def test_the_first_command_sees_the_present(server, new_sandbox):
    sandbox = new_sandbox()
    for _ in range(2):
        asked = away(sandbox)
        shown = float(sandbox.commands.run("date +%s.%N").stdout)
        assert asked - TOLERANCE_SECONDS <= shown <= time.time() + TOLERANCE_SECONDS


def test_the_interpreter_sees_the_present(server, new_sandbox):
    sandbox = new_sandbox("code-interpreter-v1")
    sandbox.run_code("import time")
    asked = away(sandbox)
    shown = float(sandbox.run_code("time.time()").text)
    assert asked - TOLERANCE_SECONDS <= shown <= time.time() + TOLERANCE_SECONDS
    shown = sandbox.run_code("Date.now() / 1000", language="javascript").text
    assert asked - TOLERANCE_SECONDS <= float(shown) <= time.time() + TOLERANCE_SECONDS


def seen(sandbox):
    """What the program that looks at its clocks has seen: pairs of wall and monotonic time."""
    lines = sandbox.files.read("/home/user/seen").splitlines()
    whole = [line.split() for line in lines if len(line.split()) == 2]
    return [(float(wall), float(monotonic)) for wall, monotonic in whole[:-1]]


def test_a_program_that_ran_on_never_sees_the_past(server, new_sandbox):
    """Not even at its first look after the resume, and never a monotonic clock that goes back."""
    sandbox = new_sandbox()
    sandbox.files.write("/home/user/seen", "")
    sandbox.files.write("/home/user/look.py", LOOK)
    sandbox.commands.run("python3 /home/user/look.py", background=True, timeout=0)
    moments = []
    for _ in range(2):
        before = len(wait_until("it looks", lambda: seen(sandbox)))
        wait_until("it looks on", lambda n=before: len(seen(sandbox)) > n + 5)
        paused = time.time()
        moments.append((paused, away(sandbox)))
    before = len(seen(sandbox))
    wait_until("it goes on", lambda: len(seen(sandbox)) > before + 5)
    pairs = seen(sandbox)
    for (wall, monotonic), (next_wall, next_monotonic) in itertools.pairwise(pairs):
        assert monotonic <= next_monotonic, "the monotonic clock goes back"
        assert wall <= next_wall + TOLERANCE_SECONDS, "the wall clock goes back"
    for _, resumed in moments:
        # Whatever it saw while it stood still by the host's clock, it saw before or after.
        stale = [
            wall
            for wall, _ in pairs
            if resumed - AWAY_SECONDS / 2 < wall < resumed - TOLERANCE_SECONDS
        ]
        assert not stale, (resumed, stale)
        assert any(wall > resumed - TOLERANCE_SECONDS for wall, _ in pairs)


def test_a_sleep_that_ended_meanwhile_ends_at_once(server, new_sandbox):
    sandbox = new_sandbox()
    sandbox.files.write("/home/user/sleep.py", SLEEP)
    handle = sandbox.commands.run("python3 /home/user/sleep.py", background=True, timeout=0)
    away(sandbox)
    slept = float(sandbox.commands.connect(handle.pid).wait().stdout)
    assert 2 <= slept + 0.01, "a sleep is never cut short"


@pytest.fixture
def certificate(tmp_path):
    """A function that makes a certificate with its key, valid from the host's present on."""

    def make() -> str:
        key, pem = tmp_path / "key.pem", tmp_path / "certificate.pem"
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
                "-keyout", str(key), "-out", str(pem), "-subj", "/CN=sandbox.test",
                "-addext", "subjectAltName=DNS:sandbox.test",
            ],
            check=True, capture_output=True,
        )  # fmt: skip
        return key.read_text() + pem.read_text()

    return make


def test_a_certificate_of_just_now_is_valid(server, new_sandbox, certificate):
    """To a guest whose clock had stood still since its pause, it would not be valid yet."""
    sandbox = new_sandbox()
    sandbox.files.write("/home/user/handshake.py", HANDSHAKE)
    sandbox.pause()
    time.sleep(AWAY_SECONDS)
    made = certificate()
    sandbox.connect(timeout=1800)
    sandbox.files.write("/home/user/tls.pem", made)
    shown = sandbox.commands.run("python3 /home/user/handshake.py").stdout
    assert shown.startswith("TLSv1")


def test_a_signed_claim_of_just_now_is_valid_and_one_that_expired_is_not(server, new_sandbox):
    sandbox = new_sandbox()
    sandbox.files.write("/home/user/expiry.py", EXPIRY)

    def verdict(begins, ends):
        claims = json.dumps({"nbf": begins, "exp": ends})
        signature = hmac.new(b"key", claims.encode(), hashlib.sha256).hexdigest()
        command = f"python3 /home/user/expiry.py '{claims}' {signature}"
        return sandbox.commands.run(command).stdout.strip()

    paused = time.time()
    asked = away(sandbox)
    assert verdict(asked - TOLERANCE_SECONDS, asked + 3600) == "valid"
    assert verdict(paused - 60, asked - TOLERANCE_SECONDS) != "valid"
