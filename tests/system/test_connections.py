"""What becomes of connections: those to the outside end, those inside and listeners go on."""

import threading

import httpx
import layout
import plain
import ports
import pytest
from e2b import PtySize, TimeoutException
from e2b_code_interpreter import Sandbox
from outside import Outside

from server import wait_until

ENDS_WITHIN_SECONDS = 60
"""How long the inner end of a broken connection may take to notice. A second on a quiet machine; a
connection that hangs does so for minutes."""

CLIENT = """
import socket, sys, time
kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
stream = socket.create_connection((host, port))
stream.sendall(b"hello")
print("got", stream.recv(100).decode(), flush=True)
try:
    while kind == "writes":
        stream.sendall(b"x")
        stream.recv(100) or sys.exit(print("ended: EOF", flush=True))
        time.sleep(0.05)
    print("ended:", stream.recv(100) or "EOF", flush=True)
except OSError as error:
    print("ended:", type(error).__name__, flush=True)
"""

STREAM = """
import http.server, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        if self.path == "/short":
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"short")
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            self.wfile.write(b"4\\r\\ntick\\r\\n")
            time.sleep(0.1)
http.server.ThreadingHTTPServer(("0.0.0.0", 8301), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def outside(server):
    with Outside() as network:
        yield network


def connect(sandbox, outside, kind, log):
    """Starts a program that is connected to the outside, once that is so; it writes to `log`."""
    sandbox.files.write(log, "")
    command = f"exec python3 /home/user/client.py {kind} {outside.address} {outside.PORT} > {log}"
    sandbox.commands.run(command, background=True, timeout=0)
    wait_until("it is connected", lambda: "got hello" in sandbox.files.read(log))


@pytest.mark.parametrize("kind", ["reads", "writes"])
def test_a_connection_to_the_outside_ends_instead_of_hanging(server, new_sandbox, outside, kind):
    sandbox = new_sandbox()
    sandbox.files.write("/home/user/client.py", CLIENT)
    for log in ("/home/user/first", "/home/user/second"):
        connect(sandbox, outside, kind, log)
        sandbox.pause()
        sandbox.connect(timeout=1800)
        ended = wait_until(
            "it ends",
            lambda log=log: "ended" in (shown := sandbox.files.read(log)) and shown,
            ENDS_WITHIN_SECONDS,
        )
        print(ended.splitlines()[-1])


def short(sandbox):
    with plain.client(sandbox, port=8301, token=False) as client:
        return client.get("/short").text == "short"


def test_an_open_answer_breaks_and_the_same_address_answers_again(server, new_sandbox):
    sandbox = new_sandbox()
    sandbox.files.write("/home/user/stream.py", STREAM)
    sandbox.commands.run("python3 /home/user/stream.py", background=True, timeout=0)
    wait_until("it answers", lambda: short(sandbox))
    ended, ticks = [], threading.Event()

    def follow():
        try:
            with (
                plain.client(sandbox, port=8301, token=False) as client,
                client.stream("GET", "/for-ever") as answer,
            ):
                for _ in answer.iter_raw():
                    ticks.set()
            ended.append(None)
        except httpx.HTTPError as error:
            ended.append(error)

    follower = threading.Thread(target=follow)
    follower.start()
    assert ticks.wait(60)
    sandbox.pause()
    follower.join(60)
    assert not follower.is_alive(), "the answer hangs"
    assert isinstance(ended[0], httpx.TransportError), f"a cut answer is no whole one: {ended}"
    sandbox.connect(timeout=1800)
    assert short(sandbox), "the listener is there at once, at the same address"


def following(*calls):
    """Runs these until they end; returns their errors, or what they returned."""
    ended = [None] * len(calls)

    def run(number, call):
        try:
            ended[number] = call()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is looked at
            ended[number] = error

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()

    def join():
        for thread in threads:
            thread.join(120)
        assert not any(thread.is_alive() for thread in threads), "a stream hangs"
        return ended

    return join


def test_streams_end_with_a_typed_error_and_what_they_follow_goes_on(server, new_sandbox):
    sandbox = new_sandbox("code-interpreter-v1")
    command = sandbox.commands.run("sleep 3600", background=True, timeout=0)
    terminal = sandbox.pty.create(PtySize(rows=24, cols=80), timeout=0)
    code = "import time; open('/tmp/begun', 'w').close(); time.sleep(3600)"
    join = following(command.wait, terminal.wait, lambda: sandbox.run_code(code, timeout=0))
    wait_until("the code runs", lambda: sandbox.files.exists("/tmp/begun"))
    sandbox.pause()
    ended = join()
    assert all(isinstance(error, TimeoutException) for error in ended), ended
    same = Sandbox.connect(sandbox.sandbox_id, timeout=1800)
    assert command.pid in [process.pid for process in same.commands.list()]
    same.pty.send_stdin(terminal.pid, b"touch /tmp/typed\n")
    wait_until("the terminal goes on", lambda: same.files.exists("/tmp/typed"))
    assert same.commands.kill(command.pid)


def test_connections_that_are_over_do_not_stay_in_every_later_snapshot(server, new_sandbox):
    """The side that closes first remembers a connection for a minute, here the one inside; and
    the server's own ones to the guest agent are over too."""
    sandbox = new_sandbox()
    command = "exec python3 -m http.server 8303 --directory /var/empty >/dev/null 2>&1"
    sandbox.commands.run("mkdir -p /var/empty", user="root")
    sandbox.commands.run(command, background=True, timeout=0)
    address = {"base_url": server.sandbox_url, "headers": ports.headers(sandbox.sandbox_id, 8303)}
    with httpx.Client(**address, timeout=60) as client:
        wait_until("it listens", lambda: client.get("/").status_code == 200)
        sizes = []
        for _ in range(6):
            for _ in range(20):
                assert client.get("/").status_code == 200
            sandbox.pause()
            [snapshot] = layout.snapshots(server, sandbox.sandbox_id)[-1:]
            sizes.append((snapshot / "image" / "checkpoint.img").stat().st_size)
            Sandbox.connect(sandbox.sandbox_id)
    # A connection takes about 1 kB; the first two have not yet all that later ones have.
    assert sizes[-1] < sizes[1] * 1.05, sizes
