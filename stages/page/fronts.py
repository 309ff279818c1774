"""The pictures of a comparison: who is beaten by no other, and every training beside the others."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from stages.page import charts
from stages.page.charts import COLORS, INK, Picture

COSTS = {"units left": False, "weights left": True, "MACs left": True, "latency, ms": True}  # whether on a logarithmic axis


def undominated(rows: Sequence[Mapping[str, Any]], cost: str) -> list[Mapping[str, Any]]:
    """Those than which no other is at least as cheap and as accurate, and better in one; the cheapest first."""
    known = [row for row in rows if row[cost] is not None and row["accuracy"] is not None]

    def beaten(row: Mapping[str, Any], by: Mapping[str, Any]) -> bool:
        first, second = ((each[cost], -each["accuracy"]) for each in (row, by))
        return second != first and second[0] <= first[0] and second[1] <= first[1]

    return sorted((row for row in known if not any(beaten(row, other) for other in known)), key=lambda row: row[cost])


@charts.styled
def fronts(rows: Sequence[Mapping[str, Any]]) -> list[Picture]:
    found = []
    for cost, logarithmic in COSTS.items():
        known = [row for row in rows if row[cost] is not None and row["accuracy"] is not None]
        if not known:
            continue
        figure, best = charts.blank(2.7), undominated(rows, cost)
        axes = charts.axes_of(figure)
        axes.plot([row[cost] for row in best], [row["accuracy"] for row in best], "-", color=COLORS["finetuned"], drawstyle="steps-post")
        axes.plot([row[cost] for row in known], [row["accuracy"] for row in known], "o", color=COLORS["bayesian"], markersize=5)
        axes.plot([row[cost] for row in best], [row["accuracy"] for row in best], "o", color=COLORS["finetuned"], markersize=6)
        for place, names in _labels(known, cost).items():
            axes.annotate(names, place, xytext=(4, 3), textcoords="offset points", fontsize=8)
        axes.margins(0.08, 0.12)
        axes.set(xlabel=cost, ylabel="test accuracy (%)", **({"xscale": "log"} if logarithmic else {}))
        if logarithmic:
            charts.plain_numbers(axes.xaxis)
        said = ", ".join(f"{row['experiment']} ({row[cost]:.4g}, {row['accuracy']:.2f} %)" for row in best)
        found.append(charts.picture(f"Against {cost}", figure, f"Test accuracy against {cost}. Beaten by no other: {said}.", legend=False))
    return found


def _labels(known: Sequence[Mapping[str, Any]], cost: str) -> dict[tuple[float, float], str]:
    """The numbers of the experiments at each point: those that lie on one another together."""
    found: dict[tuple[float, float], list[str]] = {}
    for row in known:
        found.setdefault((row[cost], row["accuracy"]), []).append(str(row["#"]))
    return {place: ", ".join(numbers) for place, numbers in found.items()}


@charts.styled
def curves(tables: Mapping[str, pd.DataFrame]) -> list[Picture]:
    """Small multiples. tables: the Bayesian training's curve by experiment"""
    found = []
    low = min((float(table["validation_accuracy"].quantile(0.1)) for table in tables.values()), default=0)
    for name, table in tables.items():
        figure = charts.blank(1.9, width=2.9)
        axes = charts.axes_of(figure)
        for other in tables.values():
            axes.plot(other["epoch"], other["validation_accuracy"], color=INK, alpha=0.15, linewidth=1)
        axes.plot(table["epoch"], table["validation_accuracy"], color=COLORS["bayesian"])
        axes.set(xlabel="epoch", ylim=(low - 1, None))
        words = f"Validation accuracy of {name} by epoch; it ends at {table['validation_accuracy'].iloc[-1]:.1f} %."
        found.append(charts.picture(name, figure, words, legend=False))
    return found
