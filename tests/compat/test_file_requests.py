"""Files by plain requests, where SDKs send less than the server understands, and a full disk."""

import pytest
from e2b import NotEnoughSpaceException

import plain

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=0-4", 206, b"01234"),
        ("bytes=5-", 206, b"56789"),
        ("bytes=-3", 206, b"789"),
        ("bytes=8-100", 206, b"89"),
        ("bytes=100-200", 416, None),
    ],
)
def test_ranges(sandbox, place, asked, status, expected):
    sandbox.files.write(f"{place}/digits", "0123456789")
    with plain.client(sandbox) as client:
        response = client.get(
            "/files",
            params={"path": f"{place}/digits"},
            headers={"Range": asked, "Accept-Encoding": "identity"},
        )
    assert response.status_code == status
    if expected is not None:
        assert response.content == expected
        assert response.headers["content-range"].endswith("/10")


def compose(sandbox, sources, destination):
    with plain.client(sandbox) as client:
        return client.post(
            "/files/compose", json={"source_paths": sources, "destination": destination}
        )


def test_compose_joins_files_and_takes_its_parts(sandbox, place):
    for number in range(3):
        sandbox.files.write(f"{place}/part{number}", f"<{number}>")
    response = compose(sandbox, [f"{place}/part{n}" for n in range(3)], f"{place}/whole")
    assert response.status_code == 200, response.text
    assert sandbox.files.read(f"{place}/whole") == "<0><1><2>"
    assert [entry.name for entry in sandbox.files.list(place)] == ["whole"]


def test_compose_of_much(sandbox, place):
    for number in range(4):
        sandbox.files.write(f"{place}/part{number}", bytes([number]) * (3 * MIB))
    response = compose(sandbox, [f"{place}/part{n}" for n in range(4)], f"{place}/deep/whole")
    assert response.status_code == 200, response.text
    expected = b"".join(bytes([number]) * (3 * MIB) for number in range(4))
    assert bytes(sandbox.files.read(f"{place}/deep/whole", format="bytes")) == expected


def test_compose_of_what_is_missing_is_not_found(sandbox, place):
    response = compose(sandbox, [f"{place}/none"], f"{place}/whole")
    assert response.status_code == 404
    assert response.json()["code"] == 404
    assert not sandbox.files.exists(f"{place}/whole")


def test_a_full_disk_is_said_and_the_sandbox_goes_on(fresh):
    fill = "fallocate -l 9700M ~/filler || head -c 9700M /dev/zero > ~/filler"
    fresh.commands.run(fill, timeout=600)
    with pytest.raises(NotEnoughSpaceException):
        for number in range(8):
            fresh.files.write(f"/home/user/more{number}", b"x" * (128 * MIB), request_timeout=300)
    fresh.commands.run("rm -f /home/user/filler /home/user/more*")
    fresh.files.write("/home/user/fits", "again")
    assert fresh.files.read("/home/user/fits") == "again"


def test_the_agent_writes_anywhere_and_the_file_is_the_users(sandbox):
    """As in E2B: the agent is root, and what it writes for a user is that user's."""
    sandbox.files.write("/opt/of-the-user", "x")
    assert sandbox.commands.run("stat -c %U /opt/of-the-user").stdout == "user\n"
