"""One frame of the animation that stages/carve.py writes: what is left of filters, a matrix, pixels and layers, and the histogram of log
alpha with its threshold."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure

from stages import style

SIGNED = LinearSegmentedColormap.from_list("signed", [style.VERMILION, "white", style.BLUE]).with_extremes(bad=style.PALE)
INK = LinearSegmentedColormap.from_list("ink", ["white", "black"]).with_extremes(bad="#F5D5BF")  # gone: a pale vermilion
HEIGHT = 4.7  # inches
BINS, REACH = 50, 12.0  # of the histogram, which ends at +-REACH
MANY = 8  # layers: more of them stand side by side

Frames = Mapping[str, np.ndarray]
Update = Callable[[int], None]  # makes the frame of that number of what is there


def picture(frames: Frames, threshold: float) -> tuple[Figure, Update]:
    """The first frame, and what makes another of it.  frames: as stages/snapshots.py has them"""
    figure = style.figure(HEIGHT, " ")
    kinds = {"filters": _filters, "matrix": _matrix, "pixels": _pixels}
    above = [name for name in kinds if name in frames]
    mosaic: list[Any] = [[name for name in above for _ in range(6 // len(above))]] if above else []
    many = len(left(frames, threshold)) > MANY
    below = ["alphas"] * 2 + ["layers"] * 4 if many else ["alphas"] * 3 + ["layers"] * 3
    axes = figure.subplot_mosaic([*mosaic, below], height_ratios=[1.3 if many else 1.6, 1] if above else [1])
    updates = [kinds[name](axes[name], frames, threshold) for name in above]
    updates += [_alphas(axes["alphas"], frames, threshold), _layers(axes["layers"], frames, threshold)]

    def update(number: int) -> None:
        for each in updates:
            each(number)
        figure.suptitle(f"The network after epoch {frames['epoch'][number]} of {frames['epoch'][-1]}", x=0.01, ha="left")

    update(0)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once, so that nothing jumps
    return figure, update


def left(frames: Frames, threshold: float) -> dict[str, np.ndarray]:
    """By stream or weight tensor, the share that is below the threshold, in percent.  -> (N,) each"""
    return {name.partition("/")[2]: 100 * (alphas <= threshold).mean(1)
            for name, alphas in frames.items() if name.startswith(("units/", "weights/"))}


def _filters(axes: Axes, frames: Frames, threshold: float) -> Update:
    """Each in its own scale, on a grid."""
    pictures, alphas = frames["filters"].astype(float), frames["filters_alpha"]
    n, height, width = pictures.shape[1:]
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)

    def tiled(number: int) -> np.ma.MaskedArray:
        shown = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
        for place, (values, alpha) in enumerate(zip(pictures[number], alphas[number], strict=True)):
            top, side = place // columns * (height + 1), place % columns * (width + 1)
            shown[top:top + height, side:side + width] = np.where(alpha <= threshold, values / max(np.abs(values).max(), 1e-6), np.nan)
        return np.ma.masked_invalid(shown)

    return _shown(axes, f"{n} {'units' if 'pixels' in frames else 'filters'} of the first layer", tiled, SIGNED, -1, 1)


def _matrix(axes: Axes, frames: Frames, threshold: float) -> Update:
    values, alphas = frames["matrix"].astype(float), frames["matrix_alpha"]
    largest = float(np.quantile(np.abs(values), 0.995)) or 1.0
    return _shown(axes, "a block of the largest matrix inside",
                  lambda number: np.ma.masked_where(alphas[number] > threshold, values[number]), SIGNED, -largest, largest)


def _pixels(axes: Axes, frames: Frames, threshold: float) -> Update:
    image, pixels = frames["image"].astype(float), frames["pixels"].astype(float)
    if frames["pixels_leave"].any():
        return _shown(axes, "pixels left, on the mean image", lambda number: np.ma.masked_where(pixels[number] > threshold, image), INK,
                      image.min(), image.max())
    return _shown(axes, "weight on each pixel", lambda number: np.ma.masked_invalid(pixels[number]), INK, 0, pixels.max())


def _shown(axes: Axes, title: str, of: Callable[[int], np.ma.MaskedArray], colors: Colormap, low: float,
           high: float) -> Update:
    drawn = axes.imshow(of(0), cmap=colors, vmin=low, vmax=high, interpolation="nearest")
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return lambda number: drawn.set_data(of(number))


def _alphas(axes: Axes, frames: Frames, threshold: float) -> Update:
    """All units, or all weights, together."""
    alphas = np.concatenate([values for name, values in frames.items() if name.startswith(("units/", "weights/"))], 1).astype(float)
    edges = np.linspace(-REACH, REACH, BINS + 1)
    shares = np.stack([np.histogram(np.clip(each, -REACH, REACH), edges)[0] for each in alphas]) * 100 / alphas.shape[1]
    bars = axes.bar(edges[:-1], shares[0], np.diff(edges), align="edge",
                    color=[style.BLUE if right <= threshold else style.GREY for right in edges[1:]])
    axes.axvline(threshold, color=style.BLACK, linewidth=1)
    kind = "units" if any(name.startswith("units/") for name in frames) else "weights"
    at = f"{threshold:.2f}".replace("-", "\N{MINUS SIGN}")
    axes.set(xlabel="log alpha, noise over signal", ylabel=f"% of the {kind}",
             ylim=(0, max(1.0, float(np.quantile(shares.max(1), 0.75)) * 1.1)), title=f"below {at} (blue) they stay")

    def update(number: int) -> None:
        for bar, share in zip(bars, shares[number], strict=True):
            bar.set_height(share)
    return update


def _layers(axes: Axes, frames: Frames, threshold: float) -> Update:
    """A bar a layer: lying, with its number behind it; where there are many, standing side by side."""
    shares = left(frames, threshold)
    names, start = list(shares), [share[0] for share in shares.values()]
    if len(names) > MANY:
        axes.bar(names, 100, color=style.PALE)
        bars = axes.bar(names, start, color=style.COMPACT.color)
        axes.set(ylim=(0, 100), xlim=(-0.6, len(names) - 0.4))
        axes.tick_params(axis="x", labelrotation=90)
    else:
        axes.barh(names, 100, color=style.PALE)
        bars = axes.barh(names, start, color=style.COMPACT.color)
        axes.set(xlim=(0, 100), ylim=(len(names) - 0.4, -0.6))
    axes.set_title("left of each layer (%)")
    axes.grid(visible=False, axis="x" if len(names) > MANY else "y")
    texts = [] if len(names) > MANY else [
        axes.text(1.01, row, "", va="center", fontsize=style.SMALL, transform=axes.get_yaxis_transform()) for row in range(len(names))]

    def update(number: int) -> None:
        for bar, share in zip(bars, shares.values(), strict=True):
            (bar.set_width if texts else bar.set_height)(share[number])
        for text, share in zip(texts, shares.values(), strict=False):
            text.set_text(f"{share[number]:.0f} %")
    update(0)
    return update
