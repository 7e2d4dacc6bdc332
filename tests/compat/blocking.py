"""`AsyncSandbox` behind the calls of the blocking class, so that one set of tests drives both.

Everything runs on one event loop in a thread of its own: a call hands its coroutine to the loop and
waits. What the two classes do differently by design is bridged here, and only that: an asynchronous
command, terminal or watcher hands its output to callbacks, where the blocking one is iterated or
polled.
"""

from __future__ import annotations

import asyncio
import inspect
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Self

from e2b import AsyncCommandHandle, AsyncSandbox, AsyncWatchHandle, CommandExitException
from e2b.sandbox_async.commands.command import Commands as AsyncCommands
from e2b.sandbox_async.commands.pty import Pty as AsyncPty
from e2b.sandbox_async.filesystem.filesystem import Filesystem as AsyncFilesystem
from e2b.sandbox_async.paginator import AsyncSandboxPaginator

END = object()
"""What ends a queue or an iterator."""


class Loop:
    """An event loop in a thread, to which other threads hand work."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="sdk", daemon=True).start()

    def call(
        self, function: Callable[..., object], *arguments: object, **options: object
    ) -> object:
        """Calls a function on the loop, and waits for what it returns if that can be awaited."""

        async def run() -> object:
            answer = function(*arguments, **options)
            return await answer if inspect.isawaitable(answer) else answer

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result()

    def start(self, work: Callable[[], object]) -> None:
        """Starts a coroutine on the loop, and does not wait."""
        asyncio.run_coroutine_threadsafe(work(), self.loop)


LOOP = Loop()


def blocking(value: object) -> object:
    """What a test sees of something that the SDK returned."""
    for kind, facade_of in FACADES.items():
        if isinstance(value, kind):
            return facade_of(value)
    return iterate(value) if hasattr(value, "__aiter__") else value


def iterate(values: AsyncIterator) -> Iterator:
    """An asynchronous iterator as a common one."""
    iterator = aiter(values)
    while (value := LOOP.call(anext, iterator, END)) is not END:
        yield value


def off_the_loop(callback: Callable[[object], object]) -> Callable[[object], object]:
    """A test's callback in a thread, where it may call the SDK and wait."""

    async def call(value: object) -> None:
        await asyncio.to_thread(callback, value)

    return call


class Blocking:
    """An object of the SDK whose calls return when they are done."""

    def __init__(self, target: object) -> None:
        self._target = target

    def __getattr__(self, name: str) -> object:
        value = getattr(self._target, name)
        if not callable(value):
            return blocking(value)
        return lambda *arguments, **options: self._call(name, *arguments, **options)

    def _call(self, name: str, *arguments: object, **options: object) -> object:
        for option, value in options.items():
            if option.startswith("on_") and value:
                options[option] = off_the_loop(value)
        return blocking(LOOP.call(getattr(self._target, name), *arguments, **options))


class Handle(Blocking):
    """A command or a terminal: what it shows is iterated, and also kept."""

    def __init__(self, target: AsyncCommandHandle, shown: queue.Queue) -> None:
        super().__init__(target)
        self._shown = shown
        LOOP.start(self._end)

    async def _end(self) -> None:
        """Tells whoever iterates how the stream ended."""
        ended: object = END
        try:
            await self._target.wait()
        except CommandExitException:
            """An end like any other: `wait` tells of the code."""
        except Exception as error:  # noqa: BLE001 - raised to whoever iterates
            ended = error
        finally:
            self._shown.put(ended)

    def __iter__(self) -> Iterator[tuple[str | None, str | None, bytes | None]]:
        while (shown := self._shown.get()) is not END:
            if isinstance(shown, Exception):
                raise shown
            yield shown


class Followed(Blocking):
    """What starts something whose output is shown, and connects to it again."""

    def connect(self, pid: int, **options: object) -> Handle:
        return self._follow("connect", pid, **options)

    def stream_input(self, pid: int, data: Iterable[str | bytes], **options: object) -> None:
        stream = self._target.stream_input

        async def send() -> None:
            handle = stream(pid, **options)
            for part in data:
                await handle.send(part)
            await handle.close()

        LOOP.call(send)

    def _follow(self, name: str, *arguments: object, **options: object) -> Handle:
        shown: queue.Queue = queue.Queue()
        start = getattr(self._target, name)
        return Handle(LOOP.call(start, *arguments, **self._listeners(shown), **options), shown)

    def _listeners(self, shown: queue.Queue) -> dict[str, Callable[[object], None]]:
        """The callbacks that put what is shown into a queue, as the blocking class yields it."""
        raise NotImplementedError


class Commands(Followed):
    """Starts and follows commands."""

    def run(self, command: str, background: bool = False, **options: object) -> object:
        if not background:
            return self._call("run", command, **options)
        return self._follow("run", command, background=True, **options)

    def _listeners(self, shown: queue.Queue) -> dict[str, Callable[[object], None]]:
        return {
            "on_stdout": lambda text: shown.put((text, None, None)),
            "on_stderr": lambda text: shown.put((None, text, None)),
        }


class Terminals(Followed):
    """Creates and follows terminals."""

    def create(self, size: object, **options: object) -> Handle:
        return self._follow("create", size, **options)

    def _listeners(self, shown: queue.Queue) -> dict[str, Callable[[object], None]]:
        return {"on_data": lambda chunk: shown.put((None, None, chunk))}


class Files(Blocking):
    """Files, and watchers whose events are fetched."""

    def watch_dir(self, path: str, **options: object) -> Watcher:
        events: queue.Queue = queue.Queue()
        target = LOOP.call(
            self._target.watch_dir, path, on_event=events.put, **{"timeout": 0, **options}
        )
        return Watcher(target, events)


class Watcher(Blocking):
    """A stream of events, of which those that came are fetched at once."""

    def __init__(self, target: AsyncWatchHandle, events: queue.Queue) -> None:
        super().__init__(target)
        self._events = events

    def get_new_events(self) -> list:
        return [self._events.get() for _ in range(self._events.qsize())]


class Sandbox(Blocking):
    """A sandbox that ends with its block."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


FACADES = {
    AsyncSandbox: Sandbox,
    AsyncCommands: Commands,
    AsyncPty: Terminals,
    AsyncFilesystem: Files,
    AsyncSandboxPaginator: Blocking,
}


def facade(published: type) -> type:
    """The class that tests use in place of `published`: its class methods block too."""

    class Meta(type):
        def __getattr__(cls, name: str) -> object:
            return getattr(Blocking(published), name)

    return Meta("Sandbox", (), {})
