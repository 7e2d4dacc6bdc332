"""Files: sizes, ranges, compression, several at once, metadata, ownership, listing, errors."""

import datetime
import gzip
import hashlib
import io
import threading
import time
import uuid

import pytest
import sdk
from e2b import (
    FileType,
    InvalidArgumentException,
    NotFoundException,
)

import plain

MIB = 1024 * 1024


@pytest.mark.parametrize("content", ["", "hello", "\u00e4\u20ac\U0001f600\n", "line\r\nline\0end"])
def test_text_comes_back_as_it_went(sandbox, place, content):
    info = sandbox.files.write(f"{place}/file", content)
    assert (info.name, info.path) == ("file", f"{place}/file")
    # Early releases hand the word on as it came.
    assert FileType(info.type) is FileType.FILE
    assert sandbox.files.read(f"{place}/file") == content


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 5 * MIB + 3])
def test_bytes_of_any_size(sandbox, place, size):
    content = (bytes(range(256)) * (size // 256 + 1))[:size]
    sandbox.files.write(f"{place}/file", content)
    assert bytes(sandbox.files.read(f"{place}/file", format="bytes")) == content


def test_a_large_file_is_streamed_both_ways(sandbox, place, tmp_path):
    block = hashlib.sha256(b"block").digest() * (MIB // 32)
    sent, received = hashlib.sha256(), hashlib.sha256()
    with (tmp_path / "large").open("wb") as large:
        for _ in range(64):
            sent.update(block)
            large.write(block)
    with (tmp_path / "large").open("rb") as large:
        sandbox.files.write(f"{place}/large", large, request_timeout=300)
    for chunk in sandbox.files.read(f"{place}/large", format="stream", request_timeout=300):
        received.update(chunk)
    assert received.hexdigest() == sent.hexdigest()
    assert sandbox.files.get_info(f"{place}/large").size == 64 * MIB


@sdk.needs("files.write", "use_octet_stream")
@pytest.mark.parametrize("octets", [True, False])
def test_both_forms_of_upload(sandbox, place, octets):
    sandbox.files.write(f"{place}/file", io.BytesIO(b"content"), use_octet_stream=octets)
    assert sandbox.files.read(f"{place}/file") == "content"


@sdk.needs("files.write", "gzip")
def test_gzip_both_ways(sandbox, place):
    content = "compressible " * 10_000
    sandbox.files.write(f"{place}/file", content, gzip=True)
    assert sandbox.commands.run(f"head -c 12 {place}/file").stdout == "compressible"
    assert sandbox.files.read(f"{place}/file", gzip=True) == content
    with plain.client(sandbox) as client:
        request = client.build_request(
            "GET",
            "/files",
            params={"path": f"{place}/file"},
            headers={"Accept-Encoding": "gzip"},
        )
        response = client.send(request, stream=True)
        raw = b"".join(response.iter_raw())
    assert response.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw).decode() == content


@pytest.mark.parametrize("count", [1, 100])
def test_files_in_one_request_may_be_many(sandbox, place, count):
    files = [{"path": f"{place}/{number}", "data": str(number)} for number in range(count)]
    sandbox.files.write_files(files)
    names = sorted(int(entry.name) for entry in sandbox.files.list(place))
    assert names == list(range(count))


def test_several_files_in_one_request(sandbox, place):
    files = [{"path": f"{place}/d/{number}", "data": f"content {number}"} for number in range(10)]
    written = sandbox.files.write_files(files)
    assert [info.path for info in written] == [file["path"] for file in files]
    for file in files:
        assert sandbox.files.read(file["path"]) == file["data"]


def test_parents_are_made_and_owned_by_the_user(sandbox, place):
    sandbox.files.write(f"{place}/a/b/file", "x")
    shown = sandbox.commands.run(
        f"stat -c '%U:%G %a' {place}/a {place}/a/b {place}/a/b/file"
    ).stdout
    assert shown == "user:user 755\nuser:user 755\nuser:user 644\n"


def test_a_file_of_another_user_is_that_users(sandbox, place):
    sandbox.files.write("/root/secret", "x", user="root")
    assert sandbox.commands.run("stat -c %U /root/secret", user="root").stdout == "root\n"
    assert sandbox.files.read("/root/secret", user="root") == "x"


def test_overwriting_keeps_the_mode_and_drops_the_rest(sandbox, place):
    sandbox.files.write(f"{place}/file", "a long content")
    sandbox.commands.run(f"chmod 700 {place}/file")
    sandbox.files.write(f"{place}/file", "short")
    assert sandbox.files.read(f"{place}/file") == "short"
    assert sandbox.files.get_info(f"{place}/file").mode & 0o777 == 0o700


def test_relative_paths_start_at_home(sandbox):
    name = uuid.uuid4().hex
    assert sandbox.files.write(name, "x").path == f"/home/user/{name}"
    assert sandbox.files.read(f"/home/user/{name}") == "x"
    assert sandbox.files.read(f"~/{name}") == "x"


@pytest.mark.parametrize(
    "name", ["with space", "\u00fcml\u00e4ut", "quo'te\"s", "a?b=c&d#e", "%41"]
)
def test_unusual_names(sandbox, place, name):
    sandbox.files.write(f"{place}/{name}", name)
    assert sandbox.files.read(f"{place}/{name}") == name
    assert [entry.name for entry in sandbox.files.list(place)] == [name]


@sdk.needs("files.write", "metadata")
def test_metadata_is_kept_in_extended_attributes(sandbox, place):
    info = sandbox.files.write(f"{place}/file", "x", metadata={"author": "me", "tag": "a b"})
    assert info.metadata == {"author": "me", "tag": "a b"}
    assert sandbox.files.get_info(f"{place}/file").metadata == {
        "author": "me",
        "tag": "a b",
    }
    assert sandbox.files.list(place)[0].metadata == {"author": "me", "tag": "a b"}
    attribute = sandbox.commands.run(
        f"""python3 -c 'import os; print(os.getxattr("{place}/file", "user.e2b.author"))'"""
    )
    assert attribute.stdout == "b'me'\n"


@sdk.needs("files.write", "metadata")
def test_metadata_of_several_files_and_of_none(sandbox, place):
    files = [{"path": f"{place}/{number}", "data": "x"} for number in range(3)]
    written = sandbox.files.write_files(files, metadata={"kind": "test"})
    assert [info.metadata for info in written] == [{"kind": "test"}] * 3
    sandbox.files.write(f"{place}/plain", "x")
    assert not sandbox.files.get_info(f"{place}/plain").metadata


def test_info(sandbox, place):
    sandbox.files.write(f"{place}/file", "12345")
    info = sandbox.files.get_info(f"{place}/file")
    assert (info.size, info.type, info.owner, info.group) == (
        5,
        FileType.FILE,
        "user",
        "user",
    )
    assert info.permissions == "-rw-r--r--"
    # Early releases give times without a zone, in UTC.
    modified = info.modified_time.replace(tzinfo=info.modified_time.tzinfo or datetime.UTC)
    assert abs(modified.timestamp() - time.time()) < 60
    assert sandbox.files.get_info(place).type is FileType.DIR


def test_symbolic_links(sandbox, place):
    sandbox.files.write(f"{place}/file", "12345")
    sandbox.commands.run(f"ln -s file {place}/link; ln -s /nowhere {place}/broken")
    link = sandbox.files.get_info(f"{place}/link")
    assert link.symlink_target == f"{place}/file"
    assert sandbox.files.read(f"{place}/link") == "12345"
    names = {entry.name for entry in sandbox.files.list(place)}
    # Early releases leave out what is neither a file nor a directory.
    assert names == {"file", "link", *(["broken"] if hasattr(FileType, "SYMLINK") else [])}
    sandbox.files.remove(f"{place}/link")
    assert sandbox.files.exists(f"{place}/file")


def test_listing_by_depth(sandbox, place):
    for path in ("1", "d/2", "d/e/3", "d/e/f/4"):
        sandbox.files.write(f"{place}/{path}", "x")

    def listed(depth):
        entries = sandbox.files.list(place, depth=depth)
        return sorted(entry.path.removeprefix(f"{place}/") for entry in entries)

    assert listed(1) == ["1", "d"]
    assert listed(2) == ["1", "d", "d/2", "d/e"]
    assert listed(3) == ["1", "d", "d/2", "d/e", "d/e/3", "d/e/f"]
    with pytest.raises(InvalidArgumentException):
        sandbox.files.list(place, depth=0)


def test_listing_what_is_no_directory(sandbox, place):
    sandbox.files.write(f"{place}/file", "x")
    with pytest.raises(InvalidArgumentException):
        sandbox.files.list(f"{place}/file")
    with pytest.raises(NotFoundException):
        sandbox.files.list(f"{place}/none")


def test_rename(sandbox, place):
    sandbox.files.write(f"{place}/old", "x")
    info = sandbox.files.rename(f"{place}/old", f"{place}/sub/new")
    assert info.path == f"{place}/sub/new"
    assert not sandbox.files.exists(f"{place}/old")
    with pytest.raises(NotFoundException):
        sandbox.files.rename(f"{place}/none", f"{place}/other")


def test_make_dir_says_whether_it_made_one(sandbox, place):
    assert sandbox.files.make_dir(f"{place}/a/b/c") is True
    assert sandbox.files.make_dir(f"{place}/a/b/c") is False
    sandbox.files.write(f"{place}/file", "x")
    with pytest.raises(InvalidArgumentException):
        sandbox.files.make_dir(f"{place}/file/below")


def test_remove_takes_all_below_and_nothing_is_no_error(sandbox, place):
    sandbox.files.write(f"{place}/a/b/c", "x")
    sandbox.files.remove(f"{place}/a")
    assert not sandbox.files.exists(f"{place}/a")
    sandbox.files.remove(f"{place}/a")


def test_what_cannot_be_read(sandbox, place):
    with pytest.raises(NotFoundException):
        sandbox.files.read(f"{place}/none")
    with pytest.raises(InvalidArgumentException):
        sandbox.files.read(place)
    with pytest.raises(InvalidArgumentException):
        sandbox.files.write(place, "x")


def test_files_of_the_kernel_are_read_to_their_end(sandbox):
    assert sandbox.files.read("/proc/sys/kernel/random/boot_id").count("-") == 4
    assert "MemTotal" in sandbox.files.read("/proc/meminfo")


def test_writers_at_once_leave_one_whole_file(sandbox, place):
    contents = [str(number) * 100_000 for number in range(8)]
    threads = [
        threading.Thread(target=sandbox.files.write, args=(f"{place}/file", content))
        for content in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sandbox.files.read(f"{place}/file") in contents


def test_writers_of_many_files_at_once(sandbox, place):
    def write(number):
        for step in range(5):
            sandbox.files.write(f"{place}/{number}/{step}", f"{number}-{step}" * 1000)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(8):
        for step in range(5):
            expected = f"{number}-{step}" * 1000
            assert sandbox.files.read(f"{place}/{number}/{step}") == expected
