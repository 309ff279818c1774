"""The network as a drawing: a column a layer, as high as the layer is wide, before and after."""

from dataclasses import dataclass

from stages.page.facts import Facts, rows

HEIGHT, TALLEST = 230.0, 150.0  # of the drawing and of the widest layer, in its units
INPUT_SHOWN = 4  # times as wide as the widest hidden layer at most: those of photographs would flatten the rest


@dataclass(frozen=True)
class Column:
    layer: str
    units: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Drawing:
    title: str
    width: float
    height: float
    columns: tuple[Column, ...]
    words: str

    @property
    def numbered(self) -> bool:
        """Whether there is room for a number at every column."""
        return len(self.columns) <= 8


def drawings(facts: Facts) -> list[Drawing]:
    """Dense and compact, to one scale."""
    classes = len((facts.network["data"] or {}).get("classes", ()))
    layers = [(row["layer"], row["total"], row["kept"]) for row in rows(facts.tables["units"])]
    widest = max((total for name, total, _ in layers if name != "input"), default=1)
    layers = [layer for layer in layers if layer[0] != "input" or layer[2] < layer[1] or layer[1] <= INPUT_SHOWN * widest]
    layers += [("output", classes, classes)] if classes else []
    scale = TALLEST / max(total for _, total, _ in layers)
    return [_drawing(title, [(name, before if title == "dense" else after) for name, before, after in layers], scale)
            for title in ("dense", "compact")]


def _drawing(title: str, layers: list[tuple[str, int]], scale: float) -> Drawing:
    width = 330.0
    step = width / len(layers)
    thick = min(26.0, 0.6 * step)
    columns = tuple(Column(name, units, (number + 0.5) * step - thick / 2, HEIGHT / 2 - units * scale / 2, thick, max(0.75, units * scale))
                    for number, (name, units) in enumerate(layers))
    said = ", ".join(f"{name} {units}" for name, units in layers)
    return Drawing(title, width, HEIGHT, columns, f"The {title} network, a column a layer: {said} units.")
