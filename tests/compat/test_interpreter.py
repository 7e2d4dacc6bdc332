"""The code interpreter: each line of what it promises, through the SDK."""

import threading
import time

import pytest
import sdk
from conftest import pause_amid
from e2b.exceptions import NotFoundException, TimeoutException

import plain
from server import wait_until


def text(sandbox, code, **options):
    execution = sandbox.run_code(code, **options)
    assert execution.error is None, execution.error
    return execution.text


# Results and logs.


def test_the_last_expression_is_the_main_result(interpreter):
    execution = interpreter.run_code("a = 20\na + 22")
    assert execution.text == "42"
    assert [result.is_main_result for result in execution.results] == [True]


def test_text_of_a_string_has_no_quotes(interpreter):
    assert text(interpreter, "'it is text'") == "it is text"


def test_what_is_printed_comes_in_order_and_with_its_time(interpreter):
    lines = []
    execution = interpreter.run_code(
        "import sys\nprint('out')\nprint('err', file=sys.stderr)",
        on_stdout=lines.append,
    )
    assert ("".join(execution.logs.stdout), "".join(execution.logs.stderr)) == (
        "out\n",
        "err\n",
    )
    assert lines[0].line == "out\n" and lines[0].timestamp > 10**15


def test_output_comes_as_it_happens(interpreter):
    released = []

    def release(message):
        if "ready" in message.line:
            interpreter.files.write("/home/user/go", "")
            released.append(True)

    execution = interpreter.run_code(
        "import os, time\nprint('ready', flush=True)\n"
        "while not os.path.exists('/home/user/go'): time.sleep(0.01)\nos.remove('/home/user/go')\n'done'",
        on_stdout=release,
    )
    assert (released, execution.text) == ([True], "done")


def test_variables_stay(interpreter):
    interpreter.run_code("kept = [1, 2]")
    assert text(interpreter, "kept") == "[1, 2]"


def test_executions_are_counted(interpreter):
    first = interpreter.run_code("1").execution_count
    assert interpreter.run_code("1").execution_count == first + 1


def test_an_error_has_name_value_and_traceback(interpreter):
    seen = []
    execution = interpreter.run_code("def f():\n    return 1/0\nf()", on_error=seen.append)
    assert (execution.error.name, execution.error.value) == (
        "ZeroDivisionError",
        "division by zero",
    )
    assert "ZeroDivisionError" in execution.error.traceback and "f()" in execution.error.traceback
    assert len(seen) == 1


def test_a_syntax_error_is_one(interpreter):
    assert interpreter.run_code("def").error.name == "SyntaxError"


def test_display_gives_results_that_are_not_the_main_one(interpreter):
    execution = interpreter.run_code("display('a'); display({'b': 1}); 'main'")
    assert [result.is_main_result for result in execution.results] == [
        False,
        False,
        True,
    ]
    assert execution.text == "main"


@pytest.mark.parametrize(
    ("call", "field", "value"),
    [
        ("HTML('<b>x</b>')", "html", "<b>x</b>"),
        ("Markdown('# x')", "markdown", "# x"),
        ("Latex('$x$')", "latex", "$x$"),
        ("SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>')", "svg", "<svg"),
        ("Javascript('1+1')", "javascript", "1+1"),
        ("JSON({'a': 1})", "json", {"a": 1}),
    ],
)
def test_rich_results(interpreter, call, field, value):
    execution = interpreter.run_code(f"from IPython.display import *\n{call}")
    shown = execution.results[0][field]
    assert shown == value or shown.startswith(value)


def test_images(interpreter):
    execution = interpreter.run_code("from PIL import Image\nImage.new('RGB', (8, 8), 'red')")
    assert execution.results[0].png or execution.results[0].jpeg


def test_a_class_with_representations_of_its_own(interpreter):
    execution = interpreter.run_code(
        "class R:\n def _repr_html_(self): return '<i>r</i>'\n def __repr__(self): return 'r'\nR()"
    )
    assert (execution.results[0].html, execution.results[0].text) == ("<i>r</i>", "r")


def test_a_frame_has_html_and_data(interpreter):
    execution = interpreter.run_code(
        "import pandas as pd\npd.DataFrame({'a': [1, 2], 'b': ['x', 'y']})"
    )
    result = execution.results[0]
    assert "<table" in result.html
    assert result.data == {"a": [1, 2], "b": ["x", "y"]}


def test_clear_output_is_no_error(interpreter):
    execution = interpreter.run_code(
        "from IPython.display import clear_output\nprint('a')\nclear_output()\nprint('b')"
    )
    assert execution.error is None and "b\n" in "".join(execution.logs.stdout)


def test_input_is_refused_clearly(interpreter):
    execution = interpreter.run_code("input()")
    assert execution.error is not None
    assert "input" in f"{execution.error.name} {execution.error.value}".lower()


def test_shell_lines_and_magics(interpreter):
    # IPython gives a shell line a terminal, whose lines end so.
    assert "".join(interpreter.run_code("!echo shell").logs.stdout) == "shell\r\n"
    assert text(interpreter, "%pwd") == "/home/user"


def test_await_at_top_level(interpreter):
    assert text(interpreter, "import asyncio\nawait asyncio.sleep(0, 'done')") == "done"


@pytest.mark.parametrize("mib", [1, 100])
def test_much_output_arrives_complete(interpreter, mib):
    execution = interpreter.run_code(
        f"for _ in range({mib} * 16): print('x' * 65535)", request_timeout=600
    )
    printed = "".join(execution.logs.stdout)
    assert (len(printed), printed.count("\n")) == (mib * 1024 * 1024, mib * 16)


FLOODS = {
    "python": "for number in range(4000): print(number, 'x' * 65535)",
    "javascript": "for (let n = 0; n < 4000; n++) console.log(n, 'x'.repeat(65535))",
    "bash": "x=$(printf '%065535d' 0); for n in {0..3999}; do echo $n $x; done",
}
"""Code that prints 4000 lines of 64 KiB: much more than may wait anywhere."""


@pytest.mark.parametrize("language", FLOODS)
def test_a_flood_waits_for_its_reader(new_sandbox, language):
    sandbox = new_sandbox("code-interpreter-v1")
    sandbox.run_code("1", language=language)
    used = []

    def read(message):
        while len(used) < 2:
            used.append(memory_used(sandbox))
            time.sleep(5)

    execution = sandbox.run_code(
        FLOODS[language], language=language, on_stdout=read, timeout=0, request_timeout=600
    )
    assert execution.error is None, execution.error
    lines = "".join(execution.logs.stdout).splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(4000))
    assert {len(line.split()[1]) for line in lines} == {65535}
    # Something waits in each of the queues on the way, but not all of it.
    assert used[1] - used[0] < 160, f"{used} MiB"


def test_a_javascript_program_that_takes_too_much_memory_dies_alone(new_sandbox):
    sandbox = new_sandbox("code-interpreter-v1")
    sandbox.run_code("kept = 1")
    execution = sandbox.run_code(
        "const held = []; for (;;) held.push(new Array(1e5).fill(held.length + 0.5))",
        language="javascript",
        timeout=0,
        request_timeout=600,
    )
    assert execution.error.name == "UnexpectedEndOfExecution"
    assert text(sandbox, "kept") == "1"
    assert sandbox.run_code("1 + 1", language="javascript").text == "2"


def memory_used(sandbox):
    """MiB that are used in a sandbox; asked of itself, where it is the newest figure."""
    free = sandbox.commands.run("free -m").stdout.splitlines()[1].split()
    return int(free[2])


# Contexts.


def test_contexts_have_variables_and_directories_of_their_own(interpreter):
    one = interpreter.create_code_context(cwd="/tmp")
    two = interpreter.create_code_context()
    interpreter.run_code("v = 1", context=one)
    assert interpreter.run_code("v", context=two).error.name == "NameError"
    assert text(interpreter, "import os; os.getcwd()", context=one) == "/tmp"
    assert text(interpreter, "import os; os.getcwd()", context=two) == "/home/user"
    ids = [context.id for context in interpreter.list_code_contexts()]
    assert ids.index(one.id) < ids.index(two.id)
    interpreter.remove_code_context(one)
    assert one.id not in [context.id for context in interpreter.list_code_contexts()]
    with pytest.raises(NotFoundException):
        interpreter.run_code("1", context=one)


def test_the_default_contexts_are_there_from_the_start(new_sandbox):
    sandbox = new_sandbox("code-interpreter-v1")
    languages = [context.language for context in sandbox.list_code_contexts()]
    assert languages[:2] == ["python", "javascript"]


def test_a_restart_forgets(interpreter):
    context = interpreter.create_code_context()
    interpreter.run_code("v = 1", context=context)
    interpreter.restart_code_context(context)
    assert interpreter.run_code("v", context=context).error.name == "NameError"
    interpreter.remove_code_context(context)


def test_language_and_context_together_are_refused(interpreter):
    context = interpreter.create_code_context()
    with plain.client(interpreter, port=plain.INTERPRETER) as client:
        response = client.post(
            "/execute",
            json={"code": "1", "context_id": context.id, "language": "python"},
        )
    assert response.status_code == 400
    interpreter.remove_code_context(context)


def test_contexts_run_beside_each_other(interpreter):
    one = interpreter.create_code_context()
    two = interpreter.create_code_context()
    waits = "import os, time\nwhile not os.path.exists('/tmp/{}'): time.sleep(0.01)\nopen('/tmp/{}', 'w').close()\n1"
    interpreter.run_code("open('/tmp/turn-a', 'w').close()")
    texts = {}

    def run(name, code, context):
        texts[name] = interpreter.run_code(code, context=context).text

    threads = [
        threading.Thread(target=run, args=("one", waits.format("turn-b", "turn-c"), one)),
        threading.Thread(target=run, args=("two", waits.format("turn-a", "turn-b"), two)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert texts == {"one": "1", "two": "1"}
    for context in (one, two):
        interpreter.remove_code_context(context)


def test_executions_of_one_context_wait_for_each_other(interpreter):
    interpreter.run_code("order = []")
    threads = [
        threading.Thread(
            target=interpreter.run_code,
            args=(
                f"order.append(({n}, 'a'))\nimport time; time.sleep(0.05)\norder.append(({n}, 'b'))",
            ),
        )
        for n in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    order = eval(text(interpreter, "order"))
    assert len(order) == 10
    for first, second in zip(order[::2], order[1::2], strict=True):
        assert first[0] == second[0], order


# Languages.


def test_bash_code_that_reads_its_input_finds_its_end(interpreter):
    execution = interpreter.run_code("read line; echo $?; cat; echo after", language="bash")
    assert "".join(execution.logs.stdout) == "1\nafter\n"


@pytest.mark.parametrize(
    ("language", "code", "shown"),
    [
        ("python", "print(6*7)", "42\n"),
        ("javascript", "console.log(6*7)", "42\n"),
        ("js", "console.log(6*7)", "42\n"),
        ("typescript", "const x: number = 6*7; console.log(x)", "42\n"),
        ("ts", "const y: number = 6*7; console.log(y)", "42\n"),
        ("bash", "echo $((6*7))", "42\n"),
    ],
)
def test_languages(interpreter, language, code, shown):
    execution = interpreter.run_code(code, language=language)
    assert execution.error is None, execution.error
    assert "".join(execution.logs.stdout) == shown


def test_javascript_keeps_variables_awaits_and_imports(interpreter):
    interpreter.run_code("let kept = 1; const fixed = 2", language="javascript")
    execution = interpreter.run_code("kept += fixed; kept", language="javascript")
    assert execution.text == "3"
    execution = interpreter.run_code("await Promise.resolve(5)", language="javascript")
    assert execution.text == "5"
    execution = interpreter.run_code(
        "import fs from 'node:fs'; fs.existsSync('/etc/passwd')", language="javascript"
    )
    assert execution.text == "true"


def test_javascript_errors_have_a_name_and_a_value(interpreter):
    execution = interpreter.run_code("throw new TypeError('no')", language="javascript")
    assert execution.error.name == "TypeError"
    assert "no" in execution.error.value


def test_bash_keeps_its_directory_and_variables(interpreter):
    context = interpreter.create_code_context(language="bash")
    interpreter.run_code("cd /tmp; X=5", context=context)
    execution = interpreter.run_code("pwd; echo $X", context=context)
    assert "".join(execution.logs.stdout) == "/tmp\n5\n"
    interpreter.remove_code_context(context)


def test_a_language_that_there_is_not_is_refused(interpreter):
    with pytest.raises(Exception, match="(?i)cobol"):
        interpreter.run_code("x", language="cobol")


# Environment, timeouts, interrupts, deaths.


def test_variables_of_one_execution_are_gone_after_it(new_sandbox):
    sandbox = new_sandbox("code-interpreter-v1", envs={"BOTH": "global", "GLOBAL": "g"})
    read = "import os; [os.environ.get(n) for n in ('BOTH', 'GLOBAL', 'ONCE')]"
    assert text(sandbox, read, envs={"BOTH": "own", "ONCE": "o"}) == "['own', 'g', 'o']"
    assert text(sandbox, read) == "['global', 'g', None]"


def test_variables_of_one_execution_in_other_languages(interpreter):
    execution = interpreter.run_code("echo $ONCE", language="bash", envs={"ONCE": "o'q\"$x"})
    assert "".join(execution.logs.stdout) == "o'q\"$x\n"
    execution = interpreter.run_code(
        "console.log(process.env.ONCE)", language="javascript", envs={"ONCE": "o"}
    )
    assert "".join(execution.logs.stdout) == "o\n"


def test_an_execution_that_takes_too_long_is_interrupted(interpreter):
    context = interpreter.create_code_context()
    with pytest.raises(TimeoutException):
        interpreter.run_code(
            "import time\nwhile True: time.sleep(0.01)", context=context, timeout=2
        )
    assert text(interpreter, "'free again'", context=context) == "free again"
    interpreter.remove_code_context(context)


def test_a_kernel_that_dies_is_reported_and_healed(interpreter):
    context = interpreter.create_code_context()
    execution = interpreter.run_code("import os; os._exit(1)", context=context)
    assert execution.error is not None
    healed = wait_until(
        "the context runs again",
        lambda: interpreter.run_code("'alive'", context=context).text == "alive",
    )
    assert healed
    interpreter.remove_code_context(context)


def test_a_stream_of_a_killed_sandbox_is_no_success(new_sandbox):
    sandbox = new_sandbox("code-interpreter-v1")
    raised = []

    def run():
        try:
            raised.append(
                sandbox.run_code(
                    "import time; print('on', flush=True); time.sleep(600)",
                    on_stdout=lambda _: started.set(),
                    timeout=0,
                )
            )
        except Exception as error:  # noqa: BLE001 - looked at below
            raised.append(error)

    started = threading.Event()
    runner = threading.Thread(target=run)
    runner.start()
    assert started.wait(120)
    sandbox.kill()
    runner.join(120)
    assert isinstance(raised[0], sdk.BROKEN), raised


# Across a pause.


def test_state_of_every_kind_survives_a_pause(new_sandbox):
    sandbox = new_sandbox("code-interpreter-v1")
    sandbox.run_code(
        "import threading, queue, itertools, numpy as np, matplotlib.pyplot as plt\n"
        "x = 42\nfile = open('/tmp/open', 'w+'); file.write('begun ')\n"
        "steps = itertools.count()\nnext(steps)\n"
        "asked, told = queue.Queue(), queue.Queue()\n"
        "worker = threading.Thread(target=lambda: told.put(asked.get() * 2), daemon=True)\n"
        "worker.start()\narray = np.arange(1_000_000)\n"
        "figure, axes = plt.subplots(); axes.plot([1, 2, 3]); plt.close(figure)"
    )
    sandbox.run_code("let js = {a: [1]}", language="javascript")
    for _ in range(2):
        sandbox.pause()
        sandbox.connect(timeout=600)
    assert text(sandbox, "x, next(steps), int(array.sum())") == "(42, 1, 499999500000)"
    assert text(sandbox, "_ = file.write('ended'); file.seek(0); file.read()") == "begun ended"
    assert text(sandbox, "asked.put(21); told.get(timeout=60)") == "42"
    assert sandbox.run_code("js.a[0]", language="javascript").text == "1"
    execution = sandbox.run_code("axes.set_title('after'); figure")
    assert execution.results[0].png


def test_a_computation_goes_on_across_a_pause(new_sandbox):
    sandbox = new_sandbox("code-interpreter-v1")
    pause_amid(
        sandbox,
        "import os, time\nprint('on', flush=True)\n"
        "while not os.path.exists('/tmp/go'): time.sleep(0.01)\nresult = 'computed'",
    )
    sandbox.files.write("/tmp/go", "")
    assert text(sandbox, "result") == "computed"


def test_health(interpreter):
    with plain.client(interpreter, port=plain.INTERPRETER) as client:
        response = client.get("/health")
    assert response.status_code == 200 and "OK" in response.text


def test_an_unknown_context_is_not_found(interpreter):
    with plain.client(interpreter, port=plain.INTERPRETER) as client:
        assert client.post("/execute", json={"code": "1", "context_id": "none"}).status_code == 404
        assert client.post("/contexts/none/restart").status_code == 404
        assert client.delete("/contexts/none").status_code == 404
