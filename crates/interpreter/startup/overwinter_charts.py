"""Charts of matplotlib as data: by e2b-charts, and boxes by the numbers that they were drawn from.

e2b-charts reads boxes from the drawing. It takes them for lines unless they are patches, a single one
for a box that lies on its side, and it raises for a whisker that has no length.
"""

import functools
import warnings

# Where axes keep the boxes that were drawn in them.
BOXES = "_overwinter_boxes"


def record_boxes(module):
    """Makes the axes of `matplotlib.axes._axes` remember the numbers behind their boxes."""
    draw = module.Axes.bxp

    @functools.wraps(draw)
    def bxp(self, bxpstats, *args, **kwargs):
        bxpstats = list(bxpstats)
        drawn = draw(self, bxpstats, *args, **kwargs)
        artists = [artist for kind in drawn.values() for artist in kind]
        boxes = self.__dict__.setdefault(BOXES, [])
        boxes.extend(
            (numbers, median, artists)
            for numbers, median in zip(bxpstats, drawn["medians"], strict=False)
        )
        return drawn

    module.Axes.bxp = bxp


def read(figure):
    """The chart of a figure as a dictionary; none if it has none or cannot be read."""
    try:
        from e2b_charts import main

        use_recorded_boxes(main)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return main.chart_figure_to_dict(figure)
    except Exception:
        # The picture matters more than the data in it.
        return None


def use_recorded_boxes(main):
    """Makes e2b-charts ask for the recorded boxes of axes before it reads their drawing."""
    if hasattr(main, BOXES):
        return
    setattr(main, BOXES, True)
    read_drawing = main.get_chart_from_ax

    def get_chart_from_ax(ax):
        boxes = boxes_alone(ax)
        return box_chart(ax, boxes) if boxes else read_drawing(ax)

    main.get_chart_from_ax = get_chart_from_ax


def boxes_alone(ax):
    """The boxes of axes that hold nothing else; none if they do."""
    shown = [box for box in getattr(ax, BOXES, ()) if box[1] in ax.lines]
    known = {id(artist) for _, _, artists in shown for artist in artists}
    others = [*ax.lines, *ax.patches, *ax.collections, *ax.images]
    return shown if all(id(artist) in known for artist in others) else []


def box_chart(ax, boxes):
    from e2b_charts.charts.bars import BoxAndWhiskerData
    from e2b_charts.charts.base import Chart2D, ChartType

    class BoxChart(Chart2D):
        """Like the one of e2b-charts, but it does not look at the drawing."""

    chart = BoxChart(ax=ax, type=ChartType.BOX_AND_WHISKER)
    lies = is_vertical(boxes[0][1])
    if lies:
        chart._change_orientation()
    ticks = [tick.get_text() for tick in (ax.get_yticklabels() if lies else ax.get_xticklabels())]
    if len(ticks) != len(boxes):
        ticks = [str(number) for number in range(1, len(boxes) + 1)]
    chart.elements = [
        BoxAndWhiskerData(
            label=str(numbers.get("label") or tick),
            min=numbers["whislo"],
            first_quartile=numbers["q1"],
            median=numbers["med"],
            third_quartile=numbers["q3"],
            max=numbers["whishi"],
            outliers=[float(outlier) for outlier in numbers.get("fliers", ())],
        )
        for tick, (numbers, _, _) in zip(ticks, boxes, strict=True)
    ]
    return chart


def is_vertical(line):
    """Whether a median stands upright: then its box lies on its side."""
    x = line.get_xdata()
    return x[0] == x[-1]
