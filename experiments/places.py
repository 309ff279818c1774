"""Where results lie: those of whoever works with this checkout in a folder of their own, those that the project keeps in docs/."""

import argparse
from pathlib import Path

TOP = Path(__file__).parent.parent
DOCS = TOP / "docs"
KEPT = DOCS / "results"  # results.csv, and a folder a recipe
OWN = Path("results")


def add_folder(parser: argparse.ArgumentParser) -> None:
    """--into DIR or --docs; the parsed `into` is the folder."""
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--into", metavar="DIR", type=Path, default=OWN, help=f"the folder of the results; {OWN} if not named")
    chosen.add_argument("--docs", dest="into", action="store_const", const=KEPT, help="the project's own results, in docs/")


def shown(path: Path) -> Path:
    """As seen from the top of the checkout, where it lies in there."""
    return path.relative_to(TOP) if path.is_relative_to(TOP) else path
