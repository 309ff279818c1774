"""From the table of a frontier to that of docs/guide.md, which stands between its markers; the text around it stays.

    python -m stages.frontier ... --into docs/guide    as the page says
    python -m experiments.guide"""

import argparse
import sys

import pandas as pd

from experiments.places import DOCS, TOP
from experiments.tables import Table, filled, markdown, mean
from stages.program import program

PAGE, ROWS = DOCS / "guide.md", DOCS / "guide" / "frontier.csv"
HEAD = ["prior", "target", "hidden units", "non-zero weights", "MACs", "validation %", "magnitude there", "test %",
        "magnitude there"]


def table(rows: pd.DataFrame) -> Table:
    """One line a prior and target, over its seeds; magnitude's accuracies beside the prior's."""
    lines = [HEAD]
    for (prior, by, target), group in rows.groupby(["prior", "by", "target"], sort=False):
        magnitude = group["method"] == "magnitude"
        ours, other = group[~magnitude], group[magnitude]
        lines.append([f"`{prior}`", f"`{by}={target:g}`", mean(ours["hidden_left"]), mean(ours["nonzeros_left"]), mean(ours["macs_left"]),
                      *(mean(which[key], 2) for key in ("validation_accuracy", "accuracy") for which in (ours, other))])
    return lines


@program()
def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()  # none but --help
    if not ROWS.is_file():
        sys.exit(f"error: {ROWS.relative_to(TOP)} does not exist; run python -m stages.frontier as {PAGE.relative_to(TOP)} says")
    rows = pd.read_csv(ROWS)
    filled(PAGE, {"frontier": markdown(table(rows))})
    print(f"{PAGE.relative_to(TOP)} from {len(rows)} rows")


if __name__ == "__main__":
    main()
