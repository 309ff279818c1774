"""What a picture says, read from its artists, and whether it can be read."""

from itertools import combinations

from matplotlib.colors import to_hex
from matplotlib.text import Text


def legible(figure):
    """Draws it; no two texts touch, and none is cut off by the edge."""
    figure.draw_without_rendering()
    ticks = [tick.label1 for axes in figure.axes if axes.axison for axis in (axes.xaxis, axes.yaxis)
             for tick in axis._update_ticks()]  # those in sight
    texts = [text for axes in figure.axes for text in (
        *axes.texts, axes.title, axes._left_title, axes._right_title, axes.xaxis.label, axes.yaxis.label)] + figure.texts + ticks
    boxes = {text: Text.get_window_extent(text) for text in texts if text.get_visible() and text.get_text()}  # without its line
    edge = figure.bbox.padded(1)
    for text, box in boxes.items():
        assert edge.x0 <= box.x0 and box.x1 <= edge.x1 and edge.y0 <= box.y0 and box.y1 <= edge.y1, f"cut off: {text.get_text()!r}"
    for (one, first), (other, second) in combinations(boxes.items(), 2):
        assert not first.padded(-1).overlaps(second.padded(-1)), f"{one.get_text()!r} and {other.get_text()!r} overlap"
    assert figure.get_figwidth() * 110 <= 900  # pixels, as written
    return figure


def named(axes):
    """The points that labels stand for, by name: (x, y, colour of the line to it)."""
    return {text.get_text(): (*text.xy, to_hex(text.arrow_patch.get_edgecolor()))
            for text in axes.texts if getattr(text, "arrow_patch", None)}


def lines(axes, color=None, style=None):
    """[[x...], [y...]] of the lines of that colour and style."""
    return [[list(line.get_xdata()), list(line.get_ydata())] for line in axes.get_lines()
            if color in (None, to_hex(line.get_color()).upper()) and style in (None, line.get_linestyle())]
