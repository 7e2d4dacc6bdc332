"""A server for a sandbox's port that says which sandbox it is in, over connections that stay open."""

from __future__ import annotations

import httpx
from e2b_code_interpreter import Sandbox

from server import wait_until

PORT = 8302

PROGRAM = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        name = sys.argv[1].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(name)))
        self.end_headers()
        self.wfile.write(name)
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("0.0.0.0", int(sys.argv[2])), Handler).serve_forever()
"""


def serve(sandbox: Sandbox, port: int = PORT) -> None:
    """Starts the server in a sandbox, and returns once it listens."""
    sandbox.files.write("/home/user/who.py", PROGRAM)
    command = f"exec python3 /home/user/who.py {sandbox.sandbox_id} {port}"
    sandbox.commands.run(command, background=True, timeout=0)
    listens = f"exec 3<>/dev/tcp/127.0.0.1/{port}"
    wait_until(
        "it listens",
        lambda: sandbox.commands.run(f"bash -c '{listens}' 2>/dev/null && echo yes || true").stdout,
    )


def headers(sandbox_id: str, port: int = PORT) -> dict[str, str]:
    """What names a sandbox's port where the host name does not."""
    return {"E2b-Sandbox-Id": sandbox_id, "E2b-Sandbox-Port": str(port)}


def who(client: httpx.Client, sandbox_id: str, port: int = PORT) -> tuple[int, str]:
    """Asks a port who answers: the status, and what it says."""
    answer = client.get("/", headers=headers(sandbox_id, port))
    return answer.status_code, answer.text
