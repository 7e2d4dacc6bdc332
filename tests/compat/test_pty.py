"""Terminals: size, input, programs that need one, reconnecting."""

import pytest
import sdk
from e2b import CommandExitException, PtySize


class Terminal:
    """A terminal of a sandbox, and what it has shown so far."""

    def __init__(self, sandbox, cols=80, rows=24, **options):
        self.pty = sandbox.pty
        self.handle = self.pty.create(PtySize(rows=rows, cols=cols), timeout=0, **options)
        self.shown = b""

    def send(self, line):
        self.pty.send_stdin(self.handle.pid, line if isinstance(line, bytes) else line.encode())

    def until(self, text):
        """Reads until `text` has been shown; the call's own timeout bounds it."""
        for _, _, chunk in self.handle:
            self.shown += chunk or b""
            if text.encode() in self.shown:
                return self.shown.decode(errors="replace")
        pytest.fail(f"the terminal ended without {text!r}: {self.shown!r}")


@pytest.fixture
def terminal(sandbox):
    made = []

    def create(**options):
        made.append(Terminal(sandbox, **options))
        return made[-1]

    yield create
    for each in made:
        sandbox.pty.kill(each.handle.pid)


def test_a_shell_answers(terminal):
    shell = terminal()
    shell.send("echo $((40+2))-$TERM\n")
    shown = shell.until("42-xterm")
    assert "echo" in shown, "a terminal shows what is typed"


def test_size_and_resize(sandbox, terminal):
    shell = terminal(cols=101, rows=31)
    shell.send("stty size\n")
    shell.until("31 101")
    sandbox.pty.resize(shell.handle.pid, PtySize(rows=40, cols=120))
    shell.send("stty size\n")
    shell.until("40 120")


def test_environment_directory_and_user(terminal):
    shell = terminal(envs={"FOO": "bar"}, cwd="/tmp", user="root")
    shell.send('echo "[$FOO $PWD $(whoami)]"\n')
    shell.until("[bar /tmp root]")


def test_control_c_interrupts(terminal):
    shell = terminal()
    shell.send("sleep 600; echo status=$?\n")
    shell.until("sleep 600")
    shell.send(b"\x03")
    shell.send("echo still here$((1+1))\n")
    shell.until("still here2")


def test_python_runs_in_it(terminal):
    shell = terminal()
    shell.send("python3 -q\n")
    shell.until(">>> ")
    shell.send("import sys; print(sys.stdout.isatty(), 6*7)\n")
    shell.until("True 42")


def test_top_runs_in_it(terminal):
    shell = terminal()
    shell.send("top\n")
    shell.until("%CPU")
    shell.send("q")
    shell.send("echo over$((1+1))\n")
    shell.until("over2")


def test_vim_edits_a_file_in_it(sandbox, terminal):
    shell = terminal()
    shell.send("vim /tmp/edited; echo left$((1+1))\n")
    shell.until('/tmp/edited"')
    shell.send("ihello from vim\x1b:wq\r")
    shell.until("left2")
    assert sandbox.files.read("/tmp/edited") == "hello from vim\n"


@sdk.needs("pty.stream_input")
def test_streamed_input(sandbox, terminal):
    shell = terminal()
    keys = (letter.encode() for letter in "echo typed$((1+1))\n")
    sandbox.pty.stream_input(shell.handle.pid, keys)
    shell.until("typed2")


def test_its_end_has_a_code(terminal):
    shell = terminal()
    shell.send("exit 5\n")
    with pytest.raises(CommandExitException) as raised:
        shell.handle.wait()
    assert raised.value.exit_code == 5


def test_much_output_arrives_complete(terminal):
    shell = terminal()
    shell.send("seq -f line%g 20000 | tail -n +1; echo all$((1+1))\n")
    shown = shell.until("all2")
    assert all(f"line{number}\r\n" in shown for number in (1, 7_777, 20_000))
    assert shown.count("line") >= 20_000


@sdk.needs("pty.connect")
def test_reconnect_sees_what_comes_next(sandbox, terminal):
    shell = terminal()
    shell.handle.disconnect()
    shell.handle = sandbox.pty.connect(shell.handle.pid, timeout=0)
    shell.send("echo after$((1+1))\n")
    shell.until("after2")


def test_kill_ends_it(sandbox, terminal):
    shell = terminal()
    assert sandbox.pty.kill(shell.handle.pid) is True
    for _ in shell.handle:
        """Reads to the end, which comes."""
    assert sandbox.pty.kill(999_999) is False


def test_resize_of_nothing_is_not_found(sandbox):
    with pytest.raises(Exception, match="not found"):
        sandbox.pty.resize(999_999, PtySize(rows=10, cols=10))
