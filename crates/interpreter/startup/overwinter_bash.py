"""bash_kernel, without its waits, its reading line by line, and its silence after errors."""

import os
import re
import shlex

import pexpect
from bash_kernel import kernel

# What bash_kernel's functions print to have pictures and pages shown.
RICH = "bash_kernel: saved "


def kernel_class(directory):
    BashKernel.code_file = os.path.join(directory, "code")
    pexpect.spawn = Terminal
    kernel.IREPLWrapper._expect_prompt = read_until_prompt(kernel.IREPLWrapper._expect_prompt)
    return BashKernel


class Terminal(pexpect.spawn):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # It waits 50 ms before each line, for terminals that echo. Ours does not.
        self.delaybeforesend = None


class BashKernel(kernel.BashKernel):
    def process_output(self, output):
        # It ends each piece with a newline, and ours are no lines.
        if self.silent or RICH in output:
            super().process_output(output)
        elif output:
            self.send_response(self.iopub_socket, "stream", {"name": "stdout", "text": output})

    # ipykernel passes on what the signature names.
    def do_execute(
        self, code, silent, store_history=True, user_expressions=None, allow_stdin=False
    ):
        # Typed, code that reads its input would read what is typed after it, or wait for ever.
        # An `eval` of all of it has an input of its own, which is at its end.
        if code.strip():
            with open(self.code_file, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(code)
            code = f'eval "$(<{shlex.quote(self.code_file)})" </dev/null'
        return super().do_execute(code, silent, store_history, user_expressions, allow_stdin)

    async def execute_request(self, stream, ident, parent):
        # An exception here would leave the client without an answer.
        try:
            await super().execute_request(stream, ident, parent)
        except Exception as error:
            content = {
                "status": "error",
                "ename": type(error).__name__,
                "evalue": str(error),
                "traceback": [],
                "execution_count": self.execution_count,
            }
            self.session.send(stream, "execute_reply", content, parent, ident=ident)


def read_until_prompt(expect):
    """Reads what is there at once instead of line by line: 30 times as fast."""

    def starts_prompt(text, prompt):
        """The length of the end of the text that may be the beginning of a prompt."""
        return next(
            (n for n in range(min(len(text), len(prompt)), 0, -1) if text.endswith(prompt[:n])), 0
        )

    def read(self, timeout=-1):
        if timeout is not None:
            return expect(self, timeout)
        prompts = re.compile(f"(?:{self.ps1_re})|(?P<more>{self.ps2_re})")
        text = self.child.buffer
        self.child.buffer = ""
        while True:
            found = prompts.search(text)
            end = found.start() if found else len(text) - starts_prompt(text, self.unique_prompt)
            # A line's end may be cut in two.
            if not found and text[:end].endswith("\r"):
                end -= 1
            if end > 0:
                self.line_output_callback(text[:end].replace("\r\n", "\n"))
            if found:
                self.child.before = ""
                self.child.buffer = text[found.end() :]
                return 1 if found.group("more") else 0
            text = text[end:] + self.child.read_nonblocking(1 << 16, timeout=None)

    return read
