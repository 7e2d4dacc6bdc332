"""The asynchronous SDK as it is used: awaited, many calls at once, callbacks that await.

All that the blocking SDK is tested with also runs through this one, see `blocking.py`.
"""

import asyncio

import httpcore
import pytest
import sdk
from e2b import CommandExitException, NotFoundException, PtySize, TimeoutException
from e2b_code_interpreter import AsyncSandbox


@pytest.fixture
async def sandbox(server):
    made = await AsyncSandbox.create(timeout=600)
    yield made
    await made.kill()


async def test_the_main_path(sandbox):
    await sandbox.run_code("x = 42")
    await sandbox.commands.run("echo hello > /tmp/message.txt")
    await sandbox.beta_pause()
    same = await sandbox.connect()
    assert (await same.run_code("print(x)")).logs.stdout == ["42\n"]
    assert (await same.commands.run("cat /tmp/message.txt")).stdout == "hello\n"


async def test_commands(sandbox):
    with pytest.raises(CommandExitException):
        await sandbox.commands.run("exit 3")
    with pytest.raises(TimeoutException):
        await sandbox.commands.run("sleep 300", timeout=1)
    handle = await sandbox.commands.run("head -n 1", background=True, **sdk.WITH_INPUT)
    await sandbox.commands.send_stdin(handle.pid, "text\n")
    assert (await handle.wait()).stdout == "text\n"
    results = await asyncio.gather(*(sandbox.commands.run(f"echo {n}") for n in range(20)))
    assert [result.stdout for result in results] == [f"{n}\n" for n in range(20)]


async def test_files(sandbox):
    await sandbox.files.write("/home/user/a/file", "content")
    assert await sandbox.files.read("/home/user/a/file") == "content"
    assert [entry.name for entry in await sandbox.files.list("/home/user/a")] == ["file"]
    await sandbox.files.rename("/home/user/a/file", "/home/user/b")
    assert not await sandbox.files.exists("/home/user/a/file")
    with pytest.raises(NotFoundException):
        await sandbox.files.read("/home/user/a/file")
    content = b"x" * (4 * 1024 * 1024)
    await sandbox.files.write("/home/user/large", content)
    received = b""
    async for chunk in await sandbox.files.read("/home/user/large", format="stream"):
        received += chunk
    assert received == content


async def test_a_terminal(sandbox):
    shown = asyncio.Queue()
    handle = await sandbox.pty.create(PtySize(rows=24, cols=80), on_data=shown.put_nowait)
    await sandbox.pty.send_stdin(handle.pid, b"echo $((40+2))-is-it\n")
    seen = b""
    while b"42-is-it" not in seen:
        seen += await asyncio.wait_for(shown.get(), 60)
    await handle.kill()


async def test_code(sandbox):
    lines = []
    execution = await sandbox.run_code("print('a')\n1+1", on_stdout=lambda m: lines.append(m.line))
    assert (execution.text, lines) == ("2", ["a\n"])
    context = await sandbox.create_code_context(cwd="/tmp")
    assert (await sandbox.run_code("import os; os.getcwd()", context=context)).text == "/tmp"


@sdk.needs("remove_code_context")
async def test_contexts_beside_each_other(sandbox):
    contexts = [await sandbox.create_code_context() for _ in range(3)]
    runs = [sandbox.run_code(f"v = {n}; v", context=each) for n, each in enumerate(contexts)]
    assert [execution.text for execution in await asyncio.gather(*runs)] == ["0", "1", "2"]
    for each in contexts:
        await sandbox.remove_code_context(each)
    left = {context.id for context in await sandbox.list_code_contexts()}
    assert not left & {each.id for each in contexts}


async def test_callbacks_may_await(sandbox):
    async def copy(text):
        await sandbox.files.write("/home/user/copied", text)

    await sandbox.commands.run("echo said", on_stdout=copy)
    assert await sandbox.files.read("/home/user/copied") == "said\n"


async def test_a_command_is_followed_across_a_pause(sandbox):
    handle = await sandbox.commands.run("read a; echo got $a", background=True, **sdk.WITH_INPUT)
    await sandbox.beta_pause()
    # Early releases hand on what their transport said.
    with pytest.raises((TimeoutException, httpcore.NetworkError, httpcore.RemoteProtocolError)):
        await handle.wait()
    same = await sandbox.connect()
    again = await same.commands.connect(handle.pid)
    await same.commands.send_stdin(handle.pid, "it\n")
    assert (await again.wait()).stdout == "got it\n"


async def test_lists_and_details(sandbox):
    paginator = AsyncSandbox.list()
    ids = []
    while paginator.has_next:
        ids += [info.sandbox_id for info in await paginator.next_items()]
    assert sandbox.sandbox_id in ids
    await sandbox.set_timeout(1200)
    info = await sandbox.get_info()
    assert (info.end_at - info.started_at).total_seconds() > 1100


async def test_what_is_gone(sandbox):
    assert await sandbox.kill() is True
    assert await sandbox.kill() is False
    assert await sandbox.is_running() is False
    with pytest.raises(NotFoundException):
        await AsyncSandbox.connect(sandbox.sandbox_id)
