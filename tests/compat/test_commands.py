"""Processes: output, environment, background, signals, input, timeouts."""

import time

import pytest
import sdk
from e2b import (
    AuthenticationException,
    CommandExitException,
    CommandHandle,
    InvalidArgumentException,
    NotFoundException,
    TimeoutException,
)

from server import wait_until

MIB = 1024 * 1024


def test_output_and_exit_code(sandbox):
    result = sandbox.commands.run("echo out; echo err >&2")
    assert (result.stdout, result.stderr, result.exit_code) == ("out\n", "err\n", 0)


def test_a_failure_is_an_exception_with_all_that_was_printed(sandbox):
    with pytest.raises(CommandExitException) as raised:
        sandbox.commands.run("echo before; echo why >&2; exit 7")
    assert (raised.value.exit_code, raised.value.stdout) == (7, "before\n")
    assert raised.value.stderr == "why\n"


def test_a_program_that_is_not_there_has_code_127(sandbox):
    with pytest.raises(CommandExitException) as raised:
        sandbox.commands.run("no-such-program")
    assert raised.value.exit_code == 127
    assert "not found" in raised.value.stderr


def test_output_arrives_while_the_command_runs(sandbox):
    seen = []
    handle = sandbox.commands.run(
        "echo one; head -n 1; echo two", background=True, **sdk.WITH_INPUT
    )
    for stdout, _, _ in handle:
        seen.append(stdout)
        if stdout == "one\n":
            sandbox.commands.send_stdin(handle.pid, "middle\n")
    assert "".join(seen) == "one\nmiddle\ntwo\n"


def test_callbacks_receive_both_streams(sandbox):
    out, err = [], []
    sandbox.commands.run("echo a; echo b >&2", on_stdout=out.append, on_stderr=err.append)
    assert ("".join(out), "".join(err)) == ("a\n", "b\n")


def test_bytes_that_are_no_text_arrive_as_replacements(sandbox):
    assert sandbox.commands.run(r"printf 'a\xff\xc3\xa9'").stdout == "a\ufffd\u00e9"


@sdk.requires(hasattr(CommandHandle, "_flush_decoders"), "decoder that joins pieces of output")
def test_a_character_cut_between_two_writes_arrives_whole(sandbox):
    result = sandbox.commands.run(r"printf '\xe2\x82'; sleep 0.2; printf '\xac'")
    assert result.stdout == "\u20ac"


@pytest.mark.parametrize("mib", [1, 32])
def test_large_output_arrives_complete(sandbox, mib):
    result = sandbox.commands.run(f"head -c {mib * MIB} /dev/zero | tr '\\0' x", timeout=0)
    assert len(result.stdout) == mib * MIB
    assert result.stdout.count("x") == mib * MIB


def test_environment_of_the_command(sandbox):
    result = sandbox.commands.run(
        "echo $FOO-$HOME-$USER-$LOGNAME", envs={"FOO": "bar baz", "EMPTY": ""}
    )
    assert result.stdout == "bar baz-/home/user-user-user\n"


def test_environment_of_the_sandbox_is_under_that_of_the_command(new_sandbox):
    fresh = new_sandbox(envs={"A": "sandbox", "B": "sandbox"})
    result = fresh.commands.run("echo $A $B", envs={"B": "command"})
    assert result.stdout == "sandbox command\n"


def test_the_path_finds_what_users_expect(sandbox):
    assert "/usr/local/bin" in sandbox.commands.run("echo $PATH").stdout


def test_the_directory_is_home_unless_it_is_named(sandbox):
    assert sandbox.commands.run("pwd").stdout == "/home/user\n"
    assert sandbox.commands.run("pwd", cwd="/tmp").stdout == "/tmp\n"


def test_a_directory_that_is_not_there_is_refused(sandbox):
    with pytest.raises(InvalidArgumentException, match="does not exist"):
        sandbox.commands.run("true", cwd="/no/such/directory")


def test_users(sandbox):
    assert sandbox.commands.run("whoami", user="root").stdout == "root\n"
    assert sandbox.commands.run("echo $HOME", user="root").stdout == "/root\n"
    assert sandbox.commands.run("whoami", user="user").stdout == "user\n"
    assert sandbox.commands.run("sudo whoami").stdout == "root\n"


def test_an_unknown_user_is_refused_by_name(sandbox):
    with pytest.raises(AuthenticationException, match="nobody-at-all"):
        sandbox.commands.run("true", user="nobody-at-all")


@pytest.mark.parametrize("call", ["list", "read", "write", "make_dir", "watch_dir"])
def test_an_unknown_user_has_no_files(sandbox, call):
    content = ["x"] if call == "write" else []
    with pytest.raises(AuthenticationException, match="nobody-at-all"):
        getattr(sandbox.files, call)("/tmp", *content, user="nobody-at-all")


def test_a_timeout_kills_the_command(sandbox):
    with pytest.raises(TimeoutException):
        sandbox.commands.run("exec -a over-time sleep 300", timeout=1)
    wait_until(
        "the command is gone",
        lambda: "over-time" not in sandbox.commands.run("ps -eo args").stdout,
    )


def test_a_background_command_outlives_its_client(sandbox):
    handle = sandbox.commands.run("sleep 300", background=True)
    handle.disconnect()
    assert handle.pid in [process.pid for process in sandbox.commands.list()]
    assert sandbox.commands.kill(handle.pid)


def test_list_says_what_runs(sandbox):
    handle = sandbox.commands.run("sleep 301", background=True, envs={"A": "1"}, cwd="/tmp")
    [info] = [process for process in sandbox.commands.list() if process.pid == handle.pid]
    assert (info.cmd, info.args) == ("/bin/bash", ["-l", "-c", "sleep 301"])
    assert (info.envs, info.cwd) == ({"A": "1"}, "/tmp")
    handle.kill()


def test_connect_follows_a_running_command(sandbox):
    handle = sandbox.commands.run("read line; echo got $line", background=True, **sdk.WITH_INPUT)
    handle.disconnect()
    again = sandbox.commands.connect(handle.pid)
    sandbox.commands.send_stdin(handle.pid, "this\n")
    assert again.wait().stdout == "got this\n"


def test_an_ended_command_can_still_be_asked_for_its_result(sandbox):
    handle = sandbox.commands.run("exit 5", background=True)
    with pytest.raises(CommandExitException):
        handle.wait()
    with pytest.raises(CommandExitException) as raised:
        sandbox.commands.connect(handle.pid).wait()
    assert raised.value.exit_code == 5


def test_two_clients_follow_one_command(sandbox):
    first = sandbox.commands.run("read line; echo $line", background=True, **sdk.WITH_INPUT)
    second = sandbox.commands.connect(first.pid)
    sandbox.commands.send_stdin(first.pid, "both\n")
    assert first.wait().stdout == second.wait().stdout == "both\n"


def test_connect_to_nothing_is_not_found(sandbox):
    with pytest.raises(NotFoundException):
        sandbox.commands.connect(999_999)


def test_kill_says_whether_there_was_one(sandbox):
    handle = sandbox.commands.run("sleep 302", background=True)
    assert sandbox.commands.kill(handle.pid) is True
    with pytest.raises(CommandExitException) as raised:
        handle.wait()
    assert raised.value.exit_code != 0
    assert sandbox.commands.kill(999_999) is False


def test_input_in_order(sandbox):
    handle = sandbox.commands.run("head -n 200; echo end", background=True, **sdk.WITH_INPUT)
    for number in range(200):
        sandbox.commands.send_stdin(handle.pid, f"{number}\n")
    expected = "".join(f"{number}\n" for number in range(200)) + "end\n"
    assert handle.wait().stdout == expected


@sdk.needs("commands.close_stdin")
def test_the_end_of_input(sandbox):
    handle = sandbox.commands.run("cat; echo end", background=True, stdin=True)
    sandbox.commands.send_stdin(handle.pid, "no newline")
    sandbox.commands.close_stdin(handle.pid)
    assert handle.wait().stdout == "no newlineend\n"


@sdk.needs("commands.close_stdin")
def test_input_of_any_bytes(sandbox):
    handle = sandbox.commands.run("od -An -tx1 -v | tr -d ' \\n'", background=True, stdin=True)
    sandbox.commands.send_stdin(handle.pid, bytes(range(256)))
    sandbox.commands.close_stdin(handle.pid)
    assert bytes.fromhex(handle.wait().stdout) == bytes(range(256))


@sdk.needs("commands.stream_input")
def test_streamed_input(sandbox):
    handle = sandbox.commands.run("cat", background=True, stdin=True)
    sandbox.commands.stream_input(handle.pid, (f"{number}\n" for number in range(50)))
    sandbox.commands.close_stdin(handle.pid)
    assert handle.wait().stdout.split() == [str(number) for number in range(50)]


@sdk.needs("commands.run", "stdin")
def test_input_is_closed_where_none_is_asked_for(sandbox):
    assert sandbox.commands.run("cat; echo end", stdin=False, timeout=60).stdout == "end\n"


def held(sandbox):
    """How many processes there are, and open files of the guest agent."""
    shown = sandbox.commands.run("ps -e | wc -l; ls /proc/1/fd | wc -l", user="root").stdout
    return [int(number) for number in shown.split()]


def test_many_short_commands_leave_nothing(fresh):
    before = held(fresh)
    for _ in range(500 if sdk.VERSION == sdk.NEWEST and not sdk.ASYNC else 100):
        fresh.commands.run("true")
    wait_until(
        "what they held is free",
        lambda: all(now <= was + 3 for was, now in zip(before, held(fresh), strict=True)),
    )
    assert "defunct" not in fresh.commands.run("ps -ef").stdout


def test_orphans_are_reaped(fresh):
    fresh.commands.run("(sleep 0.1 &) ; (true &)")
    wait_until(
        "no zombie is left",
        lambda: " Z" not in fresh.commands.run("ps -eo pid,stat").stdout,
    )


def test_many_commands_at_once(sandbox):
    handles = [
        sandbox.commands.run(f"read line; echo {number} $line", background=True, **sdk.WITH_INPUT)
        for number in range(20)
    ]
    for handle in handles:
        sandbox.commands.send_stdin(handle.pid, "go\n")
    assert [handle.wait().stdout for handle in handles] == [f"{n} go\n" for n in range(20)]


def test_the_clock_is_the_hosts(sandbox):
    assert abs(int(sandbox.commands.run("date +%s").stdout) - time.time()) < 30
