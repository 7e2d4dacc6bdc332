"""Sandboxes come and go, all with one inner address, and no answer ever comes from another one.

Clients keep their connections and go on asking for sandboxes that are long gone, while new ones take
their places. `OVERWINTER_TEST_SHORT_LIVES` says how many sandboxes live and die meanwhile. That an
address that is the same in and out leads to no other sandbox either is asked of the edge alone, in
crates/edge/tests/bodies.rs: here addresses come round as late as possible.
"""

import collections
import json
import os
import threading

import httpx
import layout
import ports
from e2b_code_interpreter import Sandbox

LIVES = int(os.environ.get("OVERWINTER_TEST_SHORT_LIVES", "12"))
SLOTS = 4096
"""How many the node has; see crates/node/src/network/slots.rs."""
AT_ONCE = 3
CLIENTS = 3


def slot(server, sandbox_id):
    """Which of the node's network slots a sandbox has."""
    place = layout.place(server, sandbox_id)
    return json.dumps(json.loads((place / "run.json").read_text())["slot"])


class Askers:
    """Clients that ask whoever lives, and some who lived, over connections that they keep."""

    def __init__(self, url):
        self.url = url
        self.living, self.gone = [], collections.deque(maxlen=6)
        self.wrong, self.right, self.refused = [], 0, 0
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(120)

    def _ask(self):
        with httpx.Client(base_url=self.url, timeout=60) as client:
            while not self.stop.is_set():
                for sandbox_id in [*self.living, *self.gone]:
                    try:
                        self._judge(sandbox_id, *ports.who(client, sandbox_id))
                    except httpx.TransportError:
                        """Its sandbox ended just then: the connection is reset, as it should be."""
                self.stop.wait(0.01)

    def _judge(self, sandbox_id, status, text):
        if status == 502:
            self.refused += 1
        elif (status, text) == (200, sandbox_id):
            self.right += 1
        else:
            self.wrong.append((sandbox_id, status, text))


def test_no_answer_comes_from_another_sandbox(server):
    slots = []
    with Askers(server.sandbox_url) as askers:
        for _ in range(0, LIVES, AT_ONCE):
            sandboxes = [Sandbox.create("base", timeout=600) for _ in range(AT_ONCE)]
            for sandbox in sandboxes:
                ports.serve(sandbox)
                askers.living.append(sandbox.sandbox_id)
            slots += [slot(server, sandbox.sandbox_id) for sandbox in sandboxes]
            with httpx.Client(base_url=server.sandbox_url, timeout=60) as client:
                for sandbox in sandboxes:
                    assert ports.who(client, sandbox.sandbox_id) == (200, sandbox.sandbox_id)
            for sandbox in sandboxes:
                assert sandbox.kill()
                askers.living.remove(sandbox.sandbox_id)
                askers.gone.append(sandbox.sandbox_id)
    print(
        f"{askers.right} answers, {askers.refused} refusals, {len(set(slots))} slots for {len(slots)}"
    )
    assert not askers.wrong, askers.wrong[:10]
    assert askers.right and askers.refused
    if LIVES < SLOTS // 4:
        assert len(set(slots)) == len(slots), "an address is not soon another sandbox's"


def test_a_sandbox_that_moves_is_found_where_it_is(server, new_sandbox):
    """Each resume is another run, mostly at another address; another sandbox may get the old one."""
    first, second = new_sandbox(), new_sandbox()
    for sandbox in (first, second):
        ports.serve(sandbox)
    with httpx.Client(base_url=server.sandbox_url, timeout=60) as client:
        for _ in range(3):
            for sandbox in (first, second):
                sandbox.pause()
            for sandbox in (second, first):
                sandbox.connect(timeout=600)
            for sandbox in (first, second, first, second):
                assert ports.who(client, sandbox.sandbox_id) == (200, sandbox.sandbox_id)
