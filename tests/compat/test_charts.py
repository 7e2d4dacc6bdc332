"""Charts of every kind: as typed classes, and as pictures.

With `OVERWINTER_TEST_PICTURES` set to a directory, each picture is kept there to look at.
"""

import base64
import os
from pathlib import Path

import pytest
from e2b_code_interpreter.charts import (
    BarChart,
    BoxAndWhiskerChart,
    LineChart,
    PieChart,
    ScatterChart,
    SuperChart,
)

PNG = b"\x89PNG\r\n\x1a\n"
START = "import matplotlib.pyplot as plt\n"


def drawn(interpreter, name, code):
    """The chart that the code draws, whose picture is looked at on the way."""
    execution = interpreter.run_code(f"{START}{code}\nplt.show()")
    assert execution.error is None, execution.error
    [result] = [result for result in execution.results if result.png]
    picture = base64.b64decode(result.png)
    assert picture.startswith(PNG) and len(picture) > 2_000
    if directory := os.environ.get("OVERWINTER_TEST_PICTURES"):
        Path(directory).mkdir(parents=True, exist_ok=True)
        Path(directory, f"{name}.png").write_bytes(picture)
    return result.chart


def test_line(interpreter):
    chart = drawn(
        interpreter,
        "line",
        "plt.plot([1, 2, 3], [4, 5, 6], label='one')\nplt.plot([1, 2, 3], [6, 5, 4], label='two')\n"
        "plt.xlabel('time (s)'); plt.ylabel('speed (m/s)'); plt.title('Line'); plt.legend()",
    )
    assert isinstance(chart, LineChart)
    assert (chart.title, chart.x_label, chart.x_unit) == ("Line", "time (s)", "s")
    assert (chart.y_label, chart.y_unit) == ("speed (m/s)", "m/s")
    assert [line.label for line in chart.elements] == ["one", "two"]
    assert [tuple(point) for point in chart.elements[0].points] == [
        (1, 4),
        (2, 5),
        (3, 6),
    ]


def test_scatter(interpreter):
    chart = drawn(
        interpreter,
        "scatter",
        "plt.scatter([1, 2], [3, 4], label='points'); plt.title('Scatter'); plt.legend()",
    )
    assert isinstance(chart, ScatterChart)
    assert chart.elements[0].label == "points"
    assert [tuple(point) for point in chart.elements[0].points] == [(1, 3), (2, 4)]


def test_bar(interpreter):
    chart = drawn(
        interpreter,
        "bar",
        "plt.bar(['a', 'b', 'c'], [1, 3, 2]); plt.title('Bar'); plt.ylabel('n')",
    )
    assert isinstance(chart, BarChart)
    assert [(bar.label, float(bar.value)) for bar in chart.elements] == [
        ("a", 1.0),
        ("b", 3.0),
        ("c", 2.0),
    ]


def test_pie(interpreter):
    chart = drawn(interpreter, "pie", "plt.pie([1, 3], labels=['a', 'b']); plt.title('Pie')")
    assert isinstance(chart, PieChart)
    assert [(slice.label, round(slice.angle)) for slice in chart.elements] == [
        ("a", 90),
        ("b", 270),
    ]


@pytest.mark.parametrize("options", ["", "patch_artist=True", "orientation='horizontal'"])
def test_box_and_whisker(interpreter, options):
    chart = drawn(
        interpreter,
        "box",
        f"plt.boxplot([[1, 2, 3, 4, 5], [2, 4, 6, 8, 10, 30]], {options}); plt.title('Boxes')",
    )
    assert isinstance(chart, BoxAndWhiskerChart)
    assert chart.title == "Boxes"
    assert [(box.label, box.min, box.first_quartile, box.median) for box in chart.elements] == [
        ("1", 1, 2, 3),
        ("2", 2, 4.5, 7),
    ]
    assert list(chart.elements[1].outliers) == [30]


@pytest.mark.parametrize("options", ["", "patch_artist=True"])
def test_a_box_whose_whisker_has_no_length(interpreter, options):
    # e2b-charts raises for it, and takes a single box for one that lies on its side.
    chart = drawn(
        interpreter,
        "box-without-whisker",
        f"plt.boxplot([[2, 4, 6, 8, 100]], {options}); plt.xlabel('runs'); plt.ylabel('time (s)')",
    )
    assert isinstance(chart, BoxAndWhiskerChart)
    [box] = chart.elements
    assert (box.third_quartile, box.max, list(box.outliers)) == (8, 8, [100])
    assert (chart.x_label, chart.y_label, chart.y_unit) == ("runs", "time (s)", "s")


def test_boxes_of_pandas(interpreter):
    chart = drawn(
        interpreter,
        "box-pandas",
        "import pandas as pd\npd.DataFrame({'a': [1, 2, 3, 9], 'b': [3, 3, 3, 3]}).boxplot()",
    )
    assert isinstance(chart, BoxAndWhiskerChart)
    assert [(box.label, box.median) for box in chart.elements] == [("a", 2.5), ("b", 3)]


def test_what_e2b_charts_cannot_read_is_still_a_picture(interpreter):
    execution = interpreter.run_code(
        "import matplotlib.pyplot as plt\nfrom e2b_charts import main\nread = main.chart_figure_to_dict\n"
        "def fail(figure): raise ValueError('cannot read it')\nmain.chart_figure_to_dict = fail\n"
        "plt.plot([1, 2]); plt.show(); main.chart_figure_to_dict = read"
    )
    assert execution.error is None
    assert execution.results[0].png
    assert execution.results[0].chart is None


def test_superchart(interpreter):
    chart = drawn(
        interpreter,
        "super",
        "figure, (left, right) = plt.subplots(1, 2)\nleft.plot([1, 2], [1, 2]); "
        "right.bar(['a'], [1]); figure.suptitle('Super')",
    )
    assert isinstance(chart, SuperChart)
    assert chart.title == "Super"
    assert [type(part) for part in chart.elements] == [LineChart, BarChart]


def test_a_figure_that_is_no_known_chart_is_still_a_picture(interpreter):
    drawn(interpreter, "unknown", "plt.imshow([[1, 2], [3, 4]])")


@pytest.mark.parametrize("kind", ["svg", "jpeg"])
def test_pictures_of_other_kinds(interpreter, kind):
    execution = interpreter.run_code(
        f"{START}from matplotlib_inline.backend_inline import set_matplotlib_formats\n"
        f"set_matplotlib_formats('{kind}')\nplt.plot([1, 2]); plt.show()\n"
        "set_matplotlib_formats('png')"
    )
    assert execution.error is None, execution.error
    assert any(result[kind] for result in execution.results)
