"""From results.csv to a picture and tables: every run, and beside the published figures what has some.

    python -m experiments.results           results/results.md and results/headlines.png, from results/results.csv
    python -m experiments.results --docs    those of docs/results.md and docs/tables/results.md, from docs/results/results.csv"""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from experiments import places
from experiments.collect import TABLE
from experiments.headlines import picture, recipes
from experiments.tables import Table, filled, markdown, mean
from sparsify import artifacts
from stages.params import CONTROLS
from stages.program import program

PUBLISHED = Path(__file__).parent / "published.yaml"
MEASURES: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "accuracy": lambda rows: rows["accuracy"],
    "drop": lambda rows: rows["accuracy_dense"] - rows["accuracy"],
    "hidden_removed": lambda rows: 100 * (1 - rows["hidden_left"] / rows["hidden_total"]),
    "weights_left": lambda rows: rows["weights_left"],
    "macs_left": lambda rows: rows["macs_left"],
    "compression": lambda rows: rows["weights_total"] / rows["nonzeros_left"]}
AT_MOST = ("drop", "weights_left", "macs_left")  # the others are to be at least their target
TEXT = {"accuracy": "{} %", "drop": "{} points lost", "hidden_removed": "{} % of units gone",
        "weights_left": "{} weights", "macs_left": "{} MACs", "compression": "{}x fewer non-zeros"}
LEFT = {"hidden_left": ("units", "hidden_total"), "weights_left": ("weights", "weights_total"),
        "nonzeros_left": ("non-zeros", "weights_total"), "macs_left": ("MACs", "macs_total")}


def reached(rows: pd.DataFrame, target: Mapping[str, float]) -> bool:
    """Whether the means over the seeds are all within the target."""
    means = {key: MEASURES[key](rows).mean() for key in target}
    return all(means[key] <= goal + 1e-9 if key in AT_MOST else means[key] >= goal - 1e-9 for key, goal in target.items())


def headlines(results: pd.DataFrame, published: Iterable[Mapping[str, Any]]) -> Table:
    table = [["recipe", "what is left", "accuracy %", "dense %", "seeds", "published", "asked for, on the mean of the seeds"]]
    lines = [(row, recipe) for row in published for recipe in recipes(row)]
    for row, recipe in lines:
        ours = of_recipe(results, recipe)
        if ours.empty and recipe == row.get("taught"):
            continue
        if ours.empty:
            table.append([f"`{recipe}`", "not run", "", "", "0", _published(row), _goal(row["reach"])])
            continue
        left = f"{mean(ours[row['left']])} {LEFT[row['left']][0]} of {ours[LEFT[row['left']][1]].iloc[0]:,}"
        table.append([f"`{recipe}`", left, mean(ours["accuracy"], 2), mean(ours["accuracy_dense"], 2), str(len(ours)),
                      _published(row), f"{_goal(row['reach'])}: **{'yes' if reached(ours, row['reach']) else 'no'}**"])
    return table


def of_recipe(results: pd.DataFrame, recipe: str) -> pd.DataFrame:
    """The rows of the recipe itself, without overrides and controls."""
    return results[(results["recipe"] == recipe) & (results["overrides"] == "") & ~results["method"].isin(CONTROLS)]


def comparison(results: pd.DataFrame) -> Table:
    """One line a recipe, overrides and method: the priors, and the controls of their sizes."""
    table = [["recipe, overrides", "method", "seeds", "dense %", "accuracy %", "hidden units", "pixels", "weights", "non-zeros", "MACs",
              "epochs", "minutes"]]
    for (recipe, overrides), rows in results.groupby(["recipe", "overrides"], sort=False):
        methods = sorted(rows["method"].unique(), key=lambda method: (method in CONTROLS, method))
        for method in methods:
            group = rows[rows["method"] == method]
            prior = [other for other in methods if other not in CONTROLS]
            name = f"{method} at {prior[0]}'s size" if method in CONTROLS else method
            table.append([f"`{recipe}` {overrides}".strip(), name, str(len(group)),
                          mean(group["accuracy_dense"], 2), mean(group["accuracy"], 2),
                          f"{mean(group['hidden_left'])} of {group['hidden_total'].iloc[0]}", mean(group["inputs_left"]),
                          f"{mean(group['weights_left'])} of {group['weights_total'].iloc[0]:,}", mean(group["nonzeros_left"]),
                          mean(group["macs_left"]), mean(group["epochs"]), mean(group["seconds"] / 60, 1)])
    return table


def _published(row: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} {left:,} at {accuracy}" for name, left, accuracy in row["points"][:2])


def _goal(target: Mapping[str, float]) -> str:
    return ", ".join(TEXT[key].format(f"{'≤' if key in AT_MOST else '≥'} {goal:,}") for key, goal in target.items())


@program()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    places.add_folder(parser)
    into = parser.parse_args().into
    path, docs = into / TABLE, into == places.KEPT
    if not path.is_file():
        sys.exit(f"error: {places.shown(path)} does not exist; run python -m experiments.collect, with the same --into or --docs")
    results = pd.read_csv(path, keep_default_na=False)
    published = [row for row in yaml.safe_load(PUBLISHED.read_text())
                 if docs or any(len(of_recipe(results, recipe)) for recipe in recipes(row))]
    page = places.DOCS / "results.md" if docs else into / "results.md"
    if published:
        ours = {recipe: of_recipe(results, recipe) for row in published for recipe in recipes(row)}
        artifacts.write_picture(into / "headlines.png", picture(ours, published))
    if docs:
        filled(page, {"headlines": markdown(headlines(results, published))})
        filled(places.DOCS / "tables" / "results.md", {"comparison": markdown(comparison(results))})
    else:
        beside = ["![Accuracy against what is left](headlines.png)", markdown(headlines(results, published))] if published else []
        artifacts.write_bytes(page, ("\n\n".join(["# Results", *beside, markdown(comparison(results))]) + "\n").encode())
    print(f"{places.shown(page)} from {len(results)} rows")


if __name__ == "__main__":
    main()
