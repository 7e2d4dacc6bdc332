"""R and Java, which the template `code-interpreter-full` has beside the other languages.

What does not depend on the language is tested in `test_interpreter.py`.
"""

import base64

import pytest
from conftest import FULL, needs_full, pause_amid
from e2b.exceptions import TimeoutException
from sdk import Sandbox

from server import wait_until

pytestmark = needs_full


def cases(names, values):
    """Parametrises a test with tuples that begin with a language, by which they are called."""
    return pytest.mark.parametrize(names, values, ids=[value[0] for value in values])


@pytest.fixture(scope="module")
def full(server):
    """A sandbox with R and Java that the tests of this file share."""
    with Sandbox.create(FULL, timeout=1800) as shared:
        yield shared


def run(sandbox, language, code, **options):
    execution = sandbox.run_code(code, language=language, **options)
    assert execution.error is None, execution.error
    return execution


def printed(execution):
    return "".join(execution.logs.stdout), "".join(execution.logs.stderr)


# Results, logs and errors.


@cases(
    ("language", "code", "text"),
    [
        ("r", "a <- 20\na + 22", "[1] 42"),
        ("r", "c('x', 'y')", '[1] "x" "y"'),
        ("java", "int a = 20;\na + 22", "42"),
        ("java", 'List.of("x", "y")', "[x, y]"),
    ],
)
def test_the_last_value_is_the_main_result(full, language, code, text):
    execution = run(full, language, code)
    assert (execution.text, execution.results[-1].is_main_result) == (text, True)


@cases(
    ("language", "code"),
    [
        ("r", "cat('höher\\n'); message('tiefer'); system('echo program')"),
        (
            "java",
            'System.out.println("höher"); System.err.println("tiefer"); System.out.println("program");',
        ),
    ],
)
def test_what_is_printed_comes_where_it_belongs(full, language, code):
    assert printed(run(full, language, code)) == ("höher\nprogram\n", "tiefer\n")


@cases(
    ("language", "code"),
    [
        ("r", "cat('ready\\n'); while (!file.exists('/tmp/go-r')) Sys.sleep(0.01); 'done'"),
        (
            "java",
            (
                'System.out.println("ready"); '
                'while (!new java.io.File("/tmp/go-java").exists()) Thread.sleep(10); "done"'
            ),
        ),
    ],
)
def test_output_comes_as_it_happens(full, language, code):
    def release(message):
        if "ready" in message.line:
            full.files.write(f"/tmp/go-{language}", "")

    assert "done" in run(full, language, code, on_stdout=release).text


def test_a_frame_of_r_has_html_and_text(full):
    result = run(full, "r", "data.frame(a = 1:2, b = c('x', 'y'))").results[0]
    assert "<table" in result.html and result.text == "  a b\n1 1 x\n2 2 y"


def test_plots_of_r_are_pictures_and_do_not_hide_the_result(full):
    execution = run(full, "r", "plot(1:10)\nhist(c(1, 2, 2, 3))\n20 + 22")
    pictures = [base64.b64decode(result.png) for result in execution.results if result.png]
    assert [picture[:8] for picture in pictures] == [b"\x89PNG\r\n\x1a\n"] * 2
    assert execution.text == "[1] 42"


@cases(
    ("language", "code", "name", "value", "traced"),
    [
        ("r", "f <- function(x) stop('bad ', x)\nf(3)", "ERROR", "bad 3", "f(3)"),
        ("r", "1 +", "ERROR", "unexpected end of input", ""),
        ("java", "int f(int x) { return 10 / x; }\nf(0)", "ArithmeticException", "by zero", ".f("),
        ("java", 'int wrong = "text";', "CompilationException", "cannot be converted", "text"),
    ],
)
def test_an_error_has_name_value_and_traceback(full, language, code, name, value, traced):
    error = full.run_code(code, language=language).error
    assert error.name == name and value in error.value and traced in error.traceback, error


@cases(
    ("language", "code", "answer"),
    [
        ("r", "readline('name? ')", "does not support input"),
        ("java", "new java.util.Scanner(System.in).nextLine()", "No line found"),
    ],
)
def test_input_is_refused(full, language, code, answer):
    assert answer in full.run_code(code, language=language).error.value


FLOODS = {
    "r": "line <- strrep('x', 65535); for (i in 1:1600) cat(line, '\\n', sep = '')",
    "java": 'var line = "x".repeat(65535); for (int i = 0; i < 1600; i++) System.out.println(line);',
}


@pytest.mark.parametrize("language", FLOODS)
def test_much_output_arrives_complete(full, language):
    stdout, _ = printed(run(full, language, FLOODS[language], timeout=0, request_timeout=600))
    assert (len(stdout), stdout.count("\n")) == (100 * 1024 * 1024, 1600)


LINES = {
    "r": "for (i in 1:20000) cat(i, '\\n', sep = '')",
    "java": "for (int i = 1; i <= 20000; i++) System.out.println(i);",
}


@pytest.mark.parametrize("language", LINES)
def test_many_lines_arrive_in_order(full, language):
    stdout, _ = printed(run(full, language, LINES[language], timeout=0, request_timeout=600))
    assert stdout == "".join(f"{number}\n" for number in range(1, 20_001))


# Contexts, variables, interrupts.


@cases(
    ("language", "assign", "read", "text", "directory"),
    [
        ("r", "v <- 5", "v", "[1] 5", "getwd()"),
        ("java", "int v = 5;", "v", "5", 'new java.io.File("").getAbsolutePath()'),
    ],
)
def test_contexts_have_variables_and_directories_of_their_own(
    full, language, assign, read, text, directory
):
    context = full.create_code_context(language=language, cwd="/tmp")
    counts = [full.run_code(code, context=context) for code in (assign, read)]
    assert counts[1].text == text
    assert [execution.execution_count for execution in counts] == [1, 2]
    assert "/tmp" in full.run_code(directory, context=context).text
    assert full.run_code(read, language=language).error is not None, "it is another context's"
    full.restart_code_context(context)
    assert full.run_code(read, context=context).error is not None, "it was restarted"
    full.remove_code_context(context)


def test_variables_of_the_sandbox_and_of_one_execution(new_sandbox):
    sandbox = new_sandbox(FULL, envs={"BOTH": "global", "GLOBAL": "g"})
    for language, read, shown in [
        ("r", "cat(Sys.getenv(c('BOTH', 'GLOBAL', 'ONCE'), NA))", "NA"),
        # A Java program cannot change its variables: they are its properties.
        (
            "java",
            'for (var n : List.of("BOTH", "GLOBAL", "ONCE")) System.out.print(System.getProperty(n) + " ");',
            "null",
        ),
    ]:
        own = run(sandbox, language, read, envs={"BOTH": "own", "ONCE": "o"})
        assert printed(own)[0].split() == ["own", "g", "o"]
        assert printed(run(sandbox, language, read))[0].split() == ["global", "g", shown]


@cases(
    ("language", "keep", "endless", "read"),
    [
        ("r", "kept <- 7", "while (TRUE) {}", "kept"),
        ("java", "int kept = 7; int turns = 0;", "while (true) turns++;", "kept"),
    ],
)
def test_an_execution_that_takes_too_long_is_interrupted(full, language, keep, endless, read):
    run(full, language, keep)
    with pytest.raises(TimeoutException):
        full.run_code(endless, language=language, timeout=2)
    assert "7" in run(full, language, read, timeout=120).text


@cases(
    ("language", "end"),
    [("r", "tools::pskill(Sys.getpid(), 9)"), ("java", "Runtime.getRuntime().halt(1);")],
)
def test_a_kernel_that_dies_is_reported_and_healed(full, language, end):
    context = full.create_code_context(language=language)
    assert full.run_code(end, context=context).error.name == "UnexpectedEndOfExecution"
    assert "2" in full.run_code("1 + 1", context=context).text
    full.remove_code_context(context)


# Across a pause.


@cases(
    ("language", "keep", "work", "read", "text"),
    [
        (
            "r",
            "kept <- list(a = 1:3)",
            "cat('on\\n'); while (!file.exists('/tmp/go')) Sys.sleep(0.01); result <- 'computed'",
            "c(result, sum(kept$a))",
            '[1] "computed" "6"       ',
        ),
        (
            "java",
            'var kept = new ArrayList<>(List.of(1, 2, 3)); String result = "";',
            (
                'System.out.println("on"); '
                'while (!new java.io.File("/tmp/go").exists()) Thread.sleep(10); result = "computed";'
            ),
            "result + kept",
            "computed[1, 2, 3]",
        ),
    ],
)
def test_a_computation_goes_on_across_a_pause(new_sandbox, language, keep, work, read, text):
    sandbox = new_sandbox(FULL)
    run(sandbox, language, keep)
    pause_amid(sandbox, work, language=language)
    sandbox.files.write("/tmp/go", "")
    assert wait_until("it is computed", lambda: run(sandbox, language, read).text) == text
