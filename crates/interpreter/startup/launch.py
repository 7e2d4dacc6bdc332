"""Starts a kernel that is built on ipykernel: Python itself, and bash.

Called as `launch.py python|bash -f CONNECTION_FILE`.
"""

import os
import sys

# The directory of this file is for us alone: user code must not import from it.
sys.path.pop(0)
HERE = os.path.dirname(os.path.abspath(__file__))


def load(name):
    """Loads a file beside this one as a module that `import` does not find."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, os.path.join(HERE, name + ".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main():
    flavour = sys.argv.pop(1)
    flow = load("overwinter_flow")
    app = flow.App.instance()
    app.config.HistoryManager.enabled = False
    app.config.HistoryManager.hist_file = ":memory:"
    app.config.IPKernelApp.quiet = True
    if flavour == "bash":
        # The connection file is the last argument, in the directory of this kernel alone.
        directory = os.path.dirname(sys.argv[-1])
        app.kernel_class = load("overwinter_bash").kernel_class(directory)
    app.initialize(sys.argv[1:])
    if flavour == "python":
        load("overwinter_python").install(app, flow, load("overwinter_charts"))
    app.start()


main()
