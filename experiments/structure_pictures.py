"""The pictures of docs/structure.md, drawn from what the analysis says of two small networks.

    python -m experiments.structure_pictures

Every weight is a rectangle of rows (outputs) and columns (inputs); the bar beside a row or above a column has the colour and the
number of the unit that owns it."""

import argparse
from collections.abc import Iterable, Mapping

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from torch import Tensor, nn

import sparsify
from experiments.places import DOCS
from stages import style
from stages.program import program

COLOURS = (style.ORANGE, style.SKY, style.GREEN, style.VERMILION, style.PINK, style.BLUE, style.YELLOW)
DARK, FIXED, CELL, GAP = COLOURS[5], "#DDDDDD", "#F4F4F4", 3.2
ARROW = "#555555"
Owners = dict[tuple[str, int], list[str | None]]  # by tensor and dimension, for each entry the unit that owns it; None: one that stays


class Block(nn.Module):
    """A residual stream of four channels, and three inside of the block.  (N, 2, H, W) -> (N, 2)"""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv1, self.conv2 = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 3, 1), nn.Conv2d(3, 4, 1)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = x + self.conv2(self.conv1(x).relu())
        return self.head(x.mean((2, 3)))


def owners(streams: Mapping[str, sparsify.Stream], names: Iterable[str], model: nn.Module) -> Owners:
    """The letter of the stream and the number of the unit, for every row and column that one of the named streams owns."""
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    found: Owners = {}
    for letter, name in zip("abcdefg", names, strict=False):
        for slot in streams[name].slots:
            entries = found.setdefault((slot.tensor, slot.dim), [None] * shapes[slot.tensor][slot.dim])
            for unit, rows in enumerate(slot.index.tolist()):
                for row in rows:
                    entries[row] = f"{letter}{unit + 1}"
    return found


def draw(axes: Axes, tensor: str, title: str, shape: torch.Size, owned: Owners, colours: Mapping[str, str], left: float,
         gone: set[str]) -> float:
    """One weight, its middle at height 0.  -> where it ends on the right"""
    rows, columns = shape[0], shape[1]
    top = rows / 2
    of_rows, of_columns = (owned.get((tensor, dim), [None] * shape[dim]) for dim in (0, 1))
    for row in range(rows):
        for column in range(columns):
            dead = not gone.isdisjoint({of_rows[row], of_columns[column]})
            axes.add_patch(Rectangle((left + column, top - row - 1), 1, 1, facecolor="white" if dead else CELL, edgecolor="#999999",
                                     hatch="////" if dead else None, linewidth=0.6))
    for row, unit in enumerate(of_rows):
        _bar(axes, left - 0.85, top - row - 1, 0.75, 1, unit, colours, gone)
    for column, unit in enumerate(of_columns):
        _bar(axes, left + column, top + 0.1, 1, 0.75, unit, colours, gone)
    axes.text(left + columns / 2, -top - 0.35, f"{title}\n{rows} x {columns}", ha="center", va="top", fontsize=9)
    return left + columns


def _bar(axes: Axes, x: float, y: float, width: float, height: float, unit: str | None, colours: Mapping[str, str], gone: set[str]) -> None:
    axes.add_patch(Rectangle((x, y), width, height, facecolor=FIXED if unit is None else colours[unit], edgecolor="white", linewidth=0.8))
    if unit is not None:
        axes.text(x + width / 2, y + height / 2, unit, ha="center", va="center", fontsize=7,
                  fontweight="bold" if unit in gone else "normal", color="white" if colours[unit] == DARK else "black")


def block() -> Figure:
    """A residual block: which rows and columns are one unit, and what is left when two units leave."""
    model, example = Block(), torch.randn(2, 2, 3, 3)
    streams = sparsify.streams(model, example)
    keep = {"stem": torch.tensor([True, False, True, True]), "conv1": torch.tensor([True, True, False])}
    small, _ = sparsify.remove(model, example, keep)
    owned = owners(streams, keep, model)
    colours = dict(zip(["a1", "a2", "a3", "a4", "b1", "b2", "b3"], COLOURS, strict=True))
    gone = {"a2", "b3"}
    left = {entry: [unit for unit in units if unit not in gone] for entry, units in owned.items()}
    figure = style.figure(4.4)
    for axes, network, units, title in zip(figure.subplots(2, 1), (model, small), (owned, left), (
            "A channel of the skip (a) is a row of stem and conv2 and a column of conv1 and head.\nUnits a2 and b3 leave:",
            "What is left computes the same"), strict=True):
        place, ends = 0.0, {}
        for name in ("stem", "conv1", "conv2", "head"):
            end = draw(axes, f"{name}.weight", name, network.get_parameter(f"{name}.weight").shape, units, colours, place,
                       gone if network is model else set())
            ends[name] = (place, end)
            place = end + GAP
        for one, other in (("stem", "conv1"), ("conv1", "conv2"), ("conv2", "head")):
            _arrow(axes, (ends[one][1] + 0.2, 0), (ends[other][0] - 1.1, 0))
        around, plus = ends["stem"][1] + 0.7, ends["conv2"][1] + 1.0
        axes.plot([around, around, plus], [0, 3.2, 3.2], color=ARROW, linewidth=1)
        _arrow(axes, (plus, 3.2), (plus, 0.45))
        axes.text(plus, 0, "+", ha="center", va="center", fontsize=11,
                  bbox={"boxstyle": "circle,pad=0.1", "facecolor": "white", "edgecolor": ARROW})
        axes.text((around + plus) / 2, 3.3, "skip", ha="center", va="bottom", fontsize=9)
        _finish(axes, title, (-1.2, place - GAP + 0.3), (-3.5, 3.9))
    return figure


def flatten() -> Figure:
    """Labels through `flatten`: a channel of 2 x 2 places is four columns of the linear layer behind it."""
    model = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
    streams = sparsify.streams(model, torch.randn(2, 1, 2, 2))
    owned = owners(streams, ["0"], model)
    colours = dict(zip(["a1", "a2", "a3"], COLOURS, strict=False))
    figure = style.figure(1.4)
    axes = figure.subplots()
    place = draw(axes, "0.weight", "convolution", torch.Size([3, 1]), owned, colours, 0, set()) + 2.2
    for number, unit in enumerate(colours):
        for cell in range(4):
            _bar(axes, place + 2.3 * number + cell % 2, -(cell // 2), 1, 1, unit, colours, set())
    axes.text(place + 3.3, -1.5, "its output\n3 x 2 x 2", ha="center", va="top", fontsize=9)
    _arrow(axes, (1.2, 0), (place - 0.2, 0))
    start = place + 8.8
    for column, unit in enumerate(owned["3.weight", 1]):
        _bar(axes, start + column, -0.5, 1, 1, unit, colours, set())
    axes.text(start + 6, -1.5, "flattened\n12", ha="center", va="top", fontsize=9)
    _arrow(axes, (place + 6.8, 0), (start - 0.2, 0))
    second = start + 12 + 2.4
    _arrow(axes, (start + 12.2, 0), (second - 1.1, 0))
    end = draw(axes, "3.weight", "linear", torch.Size([2, 12]), owned, colours, second, set())
    _finish(axes, "", (-1.2, end + 0.3), (-3.3, 2.5))
    return figure


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=10, color=ARROW, linewidth=1, shrinkA=0, shrinkB=0))


def _finish(axes: Axes, title: str, across: tuple[float, float], up: tuple[float, float]) -> None:
    axes.set(xlim=across, ylim=up, aspect="equal")
    axes.set_title(title, fontsize=10)
    axes.axis("off")


@program()
def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()  # none but --help
    torch.manual_seed(0)
    for name, figure in (("structure_block", block()), ("structure_flatten", flatten())):
        style.save(DOCS / f"{name}.png", figure)
        print(DOCS.name + f"/{name}.png")


if __name__ == "__main__":
    main()
