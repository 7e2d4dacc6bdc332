"""What the code interpreter adds to IPython: richer results, variables, random states."""

import enum
import importlib.abc
import importlib.machinery
import json
import math
import os
import sys

from IPython.core.formatters import BaseFormatter, JSONFormatter
from traitlets import ObjectName, Unicode

# Larger tables and structures come as text and HTML alone.
LARGEST_TABLE_CELLS = 1_000_000
LARGEST_JSON_CHARACTERS = 8 << 20


def install(app, flow, charts):
    formatter = app.shell.display_formatter
    ChartFormatter.charts = charts
    for kind in (TableFormatter, ChartFormatter, StructureFormatter):
        added = kind(parent=formatter)
        formatter.formatters[added.format_type] = added
    flow.bound_displays(app.shell.display_pub, app.iopub_thread)
    patches = {**PATCHES, "matplotlib.axes._axes": charts.record_boxes}
    sys.meta_path.insert(0, PatchingFinder(patches))
    app.kernel.control_handlers["overwinter_request"] = answer(app.kernel)


def loaded(module, name):
    """A class of a module that the user may have imported; a class of nothing if not."""
    return getattr(sys.modules.get(module), name, ())


class TableFormatter(BaseFormatter):
    """Tables of pandas as `{column: [value, ...]}`."""

    format_type = Unicode("e2b/data")
    print_method = ObjectName("_repr_e2b_data_")
    _return_type = (dict, str)

    def __call__(self, obj):
        if isinstance(obj, loaded("pandas", "DataFrame")):
            return table(obj) if obj.size <= LARGEST_TABLE_CELLS else None
        return super().__call__(obj)


def table(frame):
    try:
        columns = frame.to_dict(orient="list")
        return {str(name): [plain(value) for value in column] for name, column in columns.items()}
    except Exception:
        return None


def plain(value):
    """A value as JSON has it."""
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is getattr(sys.modules.get("pandas"), "NaT", None):
        return None
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)


class ChartFormatter(BaseFormatter):
    """What a figure of matplotlib shows, as data."""

    format_type = Unicode("e2b/chart")
    print_method = ObjectName("_repr_e2b_chart_")
    _return_type = (dict, str)

    def __call__(self, obj):
        if isinstance(obj, loaded("matplotlib.figure", "Figure")):
            return plain(self.charts.read(obj))
        return super().__call__(obj)


class StructureFormatter(JSONFormatter):
    """Lists and dictionaries as JSON."""

    def __call__(self, obj):
        if isinstance(obj, (list, dict)):
            try:
                text = json.dumps(obj, default=number, allow_nan=False)
            except (TypeError, ValueError, RecursionError):
                return None
            if len(text) > LARGEST_JSON_CHARACTERS:
                return None
            return json.loads(text), {"expanded": True}
        return super().__call__(obj)


def number(value):
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError


class PatchingFinder(importlib.abc.MetaPathFinder):
    """Changes modules at the moment that they are imported."""

    def __init__(self, patches):
        self.patches = patches

    def find_spec(self, name, path, target=None):
        patch = self.patches.get(name)
        if patch is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                patch(module)

            spec.loader.exec_module = exec_module
        return spec


def show_saved_images(module):
    from IPython.display import display

    save = module.Image.save
    owner = os.getpid()

    def save_and_show(self, fp, format=None, **params):
        save(self, fp, format, **params)
        caller = sys._getframe(1).f_globals.get("__name__", "")
        if isinstance(fp, (str, os.PathLike)) and os.getpid() == owner:
            # A figure that is saved by matplotlib is shown at the end of the cell anyway.
            if not caller.startswith("matplotlib"):
                display(self)

    module.Image.save = save_and_show


def show_images_inline(module):
    from IPython.display import display

    def show(image, title=None, **options):
        display(image)
        return True

    module.show = show


# Pictures are displayed when they are shown or saved.
PATCHES = {
    "PIL.Image": show_saved_images,
    "PIL.ImageShow": show_images_inline,
}


def answer(kernel):
    """Answers the interpreter on the control channel, also while user code runs."""

    def respond(stream, identities, message):
        content = message["content"]
        set_variables(content.get("env") or {})
        if content.get("seed"):
            reseed(bytes.fromhex(content["seed"]))
        kernel.session.send(
            stream, "overwinter_reply", {"status": "ok"}, message, ident=identities
        )

    return respond


def set_variables(variables):
    for name, value in variables.items():
        try:
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        except ValueError:
            # A name or value that no environment can hold.
            pass
    if "TZ" in variables:
        import time

        time.tzset()


def reseed(seed):
    """Renews the random states that were copied with the memory of the process."""
    import random

    random.seed(seed)
    words = [int.from_bytes(seed[at : at + 4], "little") for at in range(0, len(seed), 4)]
    legacy = getattr(sys.modules.get("numpy.random"), "seed", None)
    if legacy is not None:
        legacy(words)
    add = getattr(sys.modules.get("ssl"), "RAND_add", None)
    if add is not None:
        add(seed, float(len(seed)))
    manual_seed = getattr(sys.modules.get("torch"), "manual_seed", None)
    if manual_seed is not None:
        manual_seed(int.from_bytes(seed[:7], "little"))
    if "tempfile" in sys.modules:
        sys.modules["tempfile"]._name_sequence = None
