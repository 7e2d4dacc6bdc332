"""A network beyond this machine, for sandboxes to talk to: a namespace with a server in it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Self

ECHO = """
import socket, sys, threading
def serve(stream):
    with stream:
        while content := stream.recv(65536):
            stream.sendall(content)
listener = socket.create_server(("0.0.0.0", 7))
print("ready", flush=True)
while True:
    stream, _ = listener.accept()
    threading.Thread(target=serve, args=(stream,), daemon=True).start()
"""
"""The echo protocol (RFC 862)."""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


class Outside:
    """Documentation's addresses (RFC 5737), reached through a cable of this process's own."""

    PORT = 7

    def __init__(self) -> None:
        number = os.getpid() % 64
        self.name = f"ow-outside-{os.getpid()}"
        self.cable = f"owo{os.getpid()}"
        self.near, self.far = (f"203.0.113.{4 * number + end}" for end in (1, 2))
        self.address = f"198.51.100.{number + 1}"
        self.server: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        try:
            self._connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _connect(self) -> None:
        ip("netns", "add", self.name)
        ip("link", "add", self.cable, "type", "veth", "peer", "name", "in", "netns", self.name)
        ip("addr", "add", f"{self.near}/30", "dev", self.cable)
        ip("link", "set", self.cable, "up")
        ip("-n", self.name, "link", "set", "lo", "up")
        ip("-n", self.name, "link", "set", "in", "up")
        ip("-n", self.name, "addr", "add", f"{self.far}/30", "dev", "in")
        ip("-n", self.name, "addr", "add", f"{self.address}/32", "dev", "in")
        ip("route", "add", f"{self.address}/32", "via", self.far)
        self.server = subprocess.Popen(
            ["ip", "netns", "exec", self.name, sys.executable, "-c", ECHO],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.server.stdout and self.server.stdout.readline() == "ready\n"

    def __exit__(self, *_: object) -> None:
        if self.server is not None:
            self.server.kill()
            self.server.wait()
        for arguments in (["link", "del", self.cable], ["netns", "del", self.name]):
            subprocess.run(["ip", *arguments], check=False, capture_output=True)
