"""Watching directories: what is reported, in which order, and until when."""

import asyncio

import pytest
import sdk
from e2b import (
    AsyncSandbox,
    InvalidArgumentException,
    NotFoundException,
    SandboxException,
)
from e2b.sandbox.filesystem.watch_handle import FilesystemEventType as Event

from server import wait_until


def collect(handle, enough):
    """Polls until `enough` is true of all events so far."""
    events = []

    def poll():
        events.extend((event.type, event.name) for event in handle.get_new_events())
        return enough(events)

    wait_until("the events come", poll)
    return events


def test_a_written_file_is_created_chmodded_and_written(sandbox, place):
    handle = sandbox.files.watch_dir(place)
    sandbox.files.write(f"{place}/file", "x")
    events = collect(handle, lambda seen: (Event.WRITE, "file") in seen)
    assert events == [
        (Event.CREATE, "file"),
        (Event.CHMOD, "file"),
        (Event.WRITE, "file"),
    ]
    handle.stop()


@sdk.polls
def test_events_are_there_at_once(sandbox, place):
    handle = sandbox.files.watch_dir(place)
    sandbox.files.write(f"{place}/file", "x")
    assert Event.CREATE in [event.type for event in handle.get_new_events()]
    assert handle.get_new_events() == []
    handle.stop()


def test_rename_and_remove(sandbox, place):
    sandbox.files.write(f"{place}/a", "x")
    handle = sandbox.files.watch_dir(place)
    sandbox.files.rename(f"{place}/a", f"{place}/b")
    sandbox.files.remove(f"{place}/b")
    events = collect(handle, lambda seen: (Event.REMOVE, "b") in seen)
    assert (Event.RENAME, "a") in events
    handle.stop()


def test_what_commands_do_is_seen(sandbox, place):
    handle = sandbox.files.watch_dir(place)
    sandbox.commands.run(f"echo x > {place}/file; chmod 600 {place}/file; rm {place}/file")
    events = collect(handle, lambda seen: (Event.REMOVE, "file") in seen)
    kinds = [kind for kind, _ in events]
    assert kinds.index(Event.CREATE) < kinds.index(Event.WRITE) < kinds.index(Event.CHMOD)
    handle.stop()


def test_recursive_watching_sees_new_directories(sandbox, place):
    handle = sandbox.files.watch_dir(place, recursive=True)
    sandbox.files.make_dir(f"{place}/new")
    collect(handle, lambda seen: (Event.CREATE, "new") in seen)
    sandbox.files.write(f"{place}/new/file", "x")
    collect(handle, lambda seen: (Event.WRITE, "new/file") in seen)
    handle.stop()


def test_a_flat_watch_does_not_look_below(sandbox, place):
    sandbox.files.make_dir(f"{place}/below")
    handle = sandbox.files.watch_dir(place)
    sandbox.files.write(f"{place}/below/file", "x")
    sandbox.files.write(f"{place}/mark", "x")
    events = collect(handle, lambda seen: (Event.WRITE, "mark") in seen)
    assert not [name for _, name in events if "file" in name]
    handle.stop()


@sdk.needs("files.watch_dir", "include_entry")
def test_entries_come_with_the_events(sandbox, place):
    handle = sandbox.files.watch_dir(place, include_entry=True)
    sandbox.files.write(f"{place}/file", "12345")
    seen = []

    def written():
        seen.extend(handle.get_new_events())
        return [event for event in seen if event.type is Event.WRITE]

    [event] = wait_until("the write is seen", written)
    assert (event.entry.path, event.entry.size) == (f"{place}/file", 5)
    handle.stop()


def test_two_watchers_of_one_directory_see_the_same(sandbox, place):
    handles = [sandbox.files.watch_dir(place) for _ in range(2)]
    sandbox.files.write(f"{place}/file", "x")
    seen = [collect(handle, lambda events: (Event.WRITE, "file") in events) for handle in handles]
    assert seen[0] == seen[1]
    for handle in handles:
        handle.stop()


def test_many_changes_at_once_are_all_seen(sandbox, place):
    handle = sandbox.files.watch_dir(place, recursive=True)
    sandbox.commands.run(f"for n in $(seq 300); do : > {place}/$n; done")
    expected = {str(number) for number in range(1, 301)}
    collect(handle, lambda seen: {name for kind, name in seen if kind is Event.CREATE} >= expected)
    handle.stop()


def test_recursive_watching_follows_a_renamed_directory(sandbox, place):
    sandbox.files.make_dir(f"{place}/old/below")
    handle = sandbox.files.watch_dir(place, recursive=True)
    sandbox.files.rename(f"{place}/old", f"{place}/new")
    collect(handle, lambda seen: (Event.CREATE, "new") in seen)
    sandbox.files.write(f"{place}/new/below/file", "x")
    collect(handle, lambda seen: any(name.endswith("below/file") for _, name in seen))
    handle.stop()


def test_what_cannot_be_watched(sandbox, place):
    sandbox.files.write(f"{place}/file", "x")
    with pytest.raises(InvalidArgumentException):
        sandbox.files.watch_dir(f"{place}/file")
    with pytest.raises(NotFoundException):
        sandbox.files.watch_dir(f"{place}/none")


@sdk.polls
def test_a_stopped_watcher_is_gone(sandbox, place):
    handle = sandbox.files.watch_dir(place)
    handle.stop()
    with pytest.raises(SandboxException):
        handle.get_new_events()


@pytest.mark.parametrize("recursive", [False, True])
async def test_streamed_events(sandbox, place, recursive):
    events: asyncio.Queue = asyncio.Queue()
    stream = await AsyncSandbox.connect(sandbox.sandbox_id, timeout=1800)
    handle = await stream.files.watch_dir(place, on_event=events.put_nowait, recursive=recursive)
    await stream.files.write(f"{place}/file", "x")
    seen = [(await asyncio.wait_for(events.get(), 60)).type for _ in range(3)]
    assert seen == [Event.CREATE, Event.CHMOD, Event.WRITE]
    await handle.stop()
