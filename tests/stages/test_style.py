"""What all pictures share: names that do not touch, looks that can be told apart, the same bytes for the same data."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as some
from legible import legible
from matplotlib.colors import to_rgb

from stages import style
from stages.style import Label


@given(some.lists(some.floats(-0.5, 1.5), min_size=1, max_size=9), some.lists(some.floats(0.01, 0.2), min_size=9, max_size=9))
def test_places_are_apart_in_order_inside_and_left_alone_where_they_fit(wanted, heights):
    wanted, heights = sorted(wanted), heights[:len(wanted)]
    places = style.apart(wanted, heights)
    for (one, first), (other, second) in pairwise(zip(places, heights, strict=True)):
        assert other - one >= (first + second) / 2 - 1e-9
    if sum(heights) <= 1:
        assert all(height / 2 - 1e-9 <= place <= 1 - height / 2 + 1e-9 for place, height in zip(places, heights, strict=True))
    free = all(other - one >= (first + second) / 2 for (one, first), (other, second) in pairwise(zip(wanted, heights, strict=True)))
    if free and all(height / 2 <= place <= 1 - height / 2 for place, height in zip(wanted, heights, strict=True)):
        assert places == pytest.approx(wanted)


def test_no_two_priors_or_controls_share_a_colour_or_a_marker():
    for one, other in combinations([*style.PRIORS.values(), style.DENSE, style.MAGNITUDE, style.SCRATCH], 2):
        assert one.color != other.color and one.marker != other.marker
    for one, other in combinations([style.DENSE, style.BAYESIAN, style.COMPACT, style.MAGNITUDE, style.SCRATCH], 2):
        assert one.color != other.color and one.marker != other.marker


@pytest.mark.parametrize("look", style.METHODS.values())
def test_names_stand_out_from_the_page(look):
    shade = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in to_rgb(style.ink(look.color))]
    assert 1.05 / (0.2126 * shade[0] + 0.7152 * shade[1] + 0.0722 * shade[2] + 0.05) >= 4.5


def lines_that_end_together():
    figure = style.figure(3, "a title")
    for axes in figure.subplots(1, 2):
        for number in range(8):
            axes.plot([1, 2], [0, number / 100])
        style.label_ends(axes, [Label(f"line {number}", 2, number / 100, style.BLUE) for number in range(8)])
    return figure


def test_names_of_lines_that_end_together_do_not_touch():
    legible(lines_that_end_together())


def test_points_close_together_keep_the_names_that_have_room():
    figure = style.figure(3)
    axes = figure.subplots()
    axes.plot([0, 0.001, 0.002, 1], [0, 0, 0, 1], "o")
    made = style.label_points(axes, [Label(f"{number} %", x, y, style.BLUE) for number, (x, y) in
                                     enumerate(((0, 0), (0.001, 0), (0.002, 0), (1, 1)))])
    legible(figure)
    assert {text.get_text() for text in made} >= {"0 %", "3 %"}


def test_the_same_data_give_the_same_bytes(tmp_path):
    for name in ("one", "other"):
        style.save(tmp_path / name, lines_that_end_together())
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
