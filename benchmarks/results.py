"""From metrics/results.csv to the picture and the table of docs/results.md, and the long table of docs/tables/results.md.

Tables stand between markers; the text around them stays.

    python -m benchmarks.results"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmarks.collect import RESULTS
from benchmarks.headlines import picture
from benchmarks.recipes import KEPT, TOP
from sparsify import artifacts
from sparsify.settings import InputError
from stages.params import CONTROLS

PAGE, TABLES, PUBLISHED = TOP / "docs" / "results.md", TOP / "docs" / "tables", Path(__file__).parent / "published.yaml"
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
Table = list[list[str]]


def reached(rows: pd.DataFrame, target: Mapping[str, float]) -> bool:
    """Whether the means over the seeds are all within the target."""
    means = {key: MEASURES[key](rows).mean() for key in target}
    return all(means[key] <= goal + 1e-9 if key in AT_MOST else means[key] >= goal - 1e-9 for key, goal in target.items())


def headlines(results: pd.DataFrame, published: Iterable[Mapping[str, Any]]) -> Table:
    table = [["recipe", "what is left", "accuracy %", "dense %", "seeds", "published", "asked for, on the mean of the seeds"]]
    for row in published:
        ours = of_recipe(results, row["recipe"])
        if ours.empty:
            table.append([f"`{row['recipe']}`", "not run", "", "", "0", _published(row), _goal(row["reach"])])
            continue
        left = f"{mean(ours[row['left']])} {LEFT[row['left']][0]} of {ours[LEFT[row['left']][1]].iloc[0]:,}"
        table.append([f"`{row['recipe']}`", left, mean(ours["accuracy"], 2), mean(ours["accuracy_dense"], 2), str(len(ours)),
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


def filled(page: Path, blocks: Mapping[str, str]) -> None:
    """Puts each text between its markers in the file `page`. Raises InputError where one has no place."""
    content = page.read_text()
    for name, text in blocks.items():
        pattern = re.compile(rf"(<!-- made: {name} -->\n).*?(<!-- end -->)", re.S)
        if not pattern.search(content):
            raise InputError(f"{page.name} has no '<!-- made: {name} -->' with an '<!-- end -->' after it; put both where it belongs")
        content = pattern.sub(lambda found, text=text: f"{found[1]}\n{text}\n\n{found[2]}", content)
    artifacts.write_bytes(page, content.encode())


def markdown(table: Table) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in table]
    return "\n".join([lines[0], "|" + " --- |" * len(table[0]), *lines[1:]])


def mean(values: pd.Series, digits: int = 0) -> str:
    deviation = f" ± {values.std():,.{digits}f}" if len(values) > 1 and values.std() > 0 else ""
    return f"{values.mean():,.{digits}f}{deviation}"


def _published(row: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} {left:,} at {accuracy}" for name, left, accuracy in row["points"][:2])


def _goal(target: Mapping[str, float]) -> str:
    return ", ".join(TEXT[key].format(f"{'≤' if key in AT_MOST else '≥'} {goal:,}") for key, goal in target.items())


def main() -> None:
    if not RESULTS.is_file():
        sys.exit(f"error: {RESULTS.relative_to(TOP)} does not exist; run python -m benchmarks.collect")
    results = pd.read_csv(RESULTS, keep_default_na=False)
    published = yaml.safe_load(PUBLISHED.read_text())
    try:
        artifacts.write_picture(KEPT / "headlines.png", picture({row["recipe"]: of_recipe(results, row["recipe"]) for row in published},
                                                                published))
        filled(PAGE, {"headlines": markdown(headlines(results, published))})
        filled(TABLES / "results.md", {"comparison": markdown(comparison(results))})
    except InputError as error:
        sys.exit(f"error: {error}")
    print(f"{PAGE.relative_to(TOP)} from {len(results)} rows")


if __name__ == "__main__":
    main()
