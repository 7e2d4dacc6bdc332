"""Plain HTTP to a sandbox's ports, for what SDKs do not send."""

from __future__ import annotations

import base64
import json
import os
import struct
from collections.abc import Iterator

import httpx
from e2b import Sandbox

ENVD = 49983
INTERPRETER = 49999


def routing(sandbox: Sandbox, port: int) -> tuple[str, dict[str, str]]:
    """Where a port is: the address, and the headers that name it where the address does not."""
    if url := os.environ.get("E2B_SANDBOX_URL"):
        return url, {
            "E2b-Sandbox-Id": sandbox.sandbox_id,
            "E2b-Sandbox-Port": str(port),
        }
    return f"https://{sandbox.get_host(port)}", {}


def client(sandbox: Sandbox, port: int = ENVD, token: bool = True, **options) -> httpx.Client:
    """A client of one port; with `token`, it may do what the SDK may."""
    url, headers = routing(sandbox, port)
    if token:
        headers["X-Access-Token"] = sandbox._envd_access_token or ""
    return httpx.Client(base_url=url, headers=headers, timeout=120, **options)


def stream(
    client: httpx.Client, path: str, message: dict[str, object], **headers: str
) -> Iterator[dict[str, object]]:
    """The messages of a streaming call of the guest agent; the last one says how it ended.

    Each has five bytes before it: flags, and the length.
    """
    body = json.dumps(message).encode()
    with client.stream(
        "POST", path, content=struct.pack(">BI", 0, len(body)) + body,
        headers={"Content-Type": "application/connect+json", **headers},
    ) as response:  # fmt: skip
        assert response.status_code == 200, response.read()
        received = b""
        for chunk in response.iter_bytes():
            received += chunk
            while len(received) >= 5:
                length = struct.unpack(">BI", received[:5])[1]
                if len(received) < 5 + length:
                    break
                yield json.loads(received[5 : 5 + length])
                received = received[5 + length :]


def shown(messages: Iterator[dict[str, object]], stream: str = "stdout") -> bytes:
    """All that a process wrote to a stream of its, out of the messages about it."""
    chunks = (message.get("event", {}).get("data", {}).get(stream, "") for message in messages)
    return b"".join(base64.b64decode(chunk) for chunk in chunks)


def signed(sandbox: Sandbox, url: str) -> httpx.URL:
    """A signed address as this kind of server serves it: without a domain, the host is the edge's."""
    edge, _ = routing(sandbox, ENVD)
    edge = httpx.URL(edge)
    return httpx.URL(url).copy_with(scheme=edge.scheme, host=edge.host, port=edge.port)
