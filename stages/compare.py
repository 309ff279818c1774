"""All DVC experiments of this checkout on one page, and their table as CSV and LaTeX.

    python -m stages.compare [--into compare]    writes compare.html, compare.csv and compare.tex there

Every experiment counts that ran as far as its headline, and the commits that they started from."""

import argparse
import io
import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sparsify import artifacts
from sparsify.settings import InputError
from stages.page import fronts, render
from stages.program import program

HEADLINE, CURVE = "metrics/headline.json", "plots/bayesian_curve.csv"
COLUMNS = {"accuracy": "accuracy", "dense": "accuracy_dense", "units left": "units_left", "weights left": "weights_left",
           "MACs left": "macs_left", "speed-up": "speedup", "latency, ms": "latency_ms", "calibration error": "calibration_error",
           "magnitude": "accuracy_magnitude", "scratch": "accuracy_scratch"}  # of the headline


class Experiment(NamedTuple):
    name: str
    revision: str
    params: dict[str, Any]  # by dotted key
    headline: dict[str, Any]


def experiments(shown: Sequence[Mapping[str, Any]]) -> list[Experiment]:
    """Of what `dvc exp show --json` says, those with a headline, once each, in its order."""
    found: dict[str, Experiment] = {}
    for name, state in _states(shown):
        data = state.get("data") or {}
        headline = _data(data.get("metrics"), HEADLINE)
        if headline and state["rev"] != "workspace":
            params = dict(_flat(_data(data.get("params"), "params.yaml")))
            found.setdefault(state["rev"], Experiment(name or state["rev"][:7], state["rev"], params, headline))
    return list(found.values())


def started_from(references: str) -> list[str]:
    """The commits that git's references to experiments name: of all commits DVC would ask for minutes."""
    return list(dict.fromkeys("".join(parts) for parts in re.findall(r"^refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/", references, re.M)))


def table(found: Sequence[Experiment]) -> list[dict[str, Any]]:
    """A row an experiment, under the columns of the page; None is what was not measured."""
    return [{"#": number, "experiment": each.name, "recipe": each.params.get("recipe_name"), "prior": each.params.get("prior.kind"),
             "seed": each.params.get("seed"), **{column: each.headline.get(key) for column, key in COLUMNS.items()}}
            for number, each in enumerate(found, 1)]


def differing(found: Sequence[Experiment]) -> dict[str, list[str]]:
    """By parameter that is not the same in all, its value in each."""
    keys = dict.fromkeys(key for each in found for key in each.params)
    values = {key: [str(each.params.get(key, "")) for each in found] for key in keys}
    return {key: row for key, row in values.items() if len(set(row)) > 1}


def page(found: Sequence[Experiment], curves: Mapping[str, pd.DataFrame]) -> str:
    rows = table(found)
    best = max(rows, key=lambda row: row["accuracy"])
    least = min(rows, key=lambda row: (row["weights left"], -row["accuracy"]))
    sentence = f"The most accurate is {best['experiment']} with {best['accuracy']:.2f} % and {best['weights left']:,} weights; "
    sentence += "it is the smallest too." if best["weights left"] == least["weights left"] else (
        f"the smallest is {least['experiment']} with {least['weights left']:,} and {least['accuracy']:.2f} %.")
    return render.rendered("compare.html.j2", rows=rows, columns=list(rows[0]), sentence=sentence, fronts=fronts.fronts(rows),
                           differing=differing(found), curves=fronts.curves(curves), shown=_shown, script=render.text("sort.js"))


def csv_and_latex(rows: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    frame = pd.DataFrame(rows)
    sides = "".join("l" if any(isinstance(row[name], str) for row in rows) else "r" for name in rows[0])
    text = io.StringIO()
    text.write(f"\\begin{{tabular}}{{{sides}}}\n\\hline\n")
    for number, row in enumerate([list(frame.columns), *([_shown(value) for value in each.values()] for each in rows)]):
        text.write(" & ".join(map(_latex, row)) + " \\\\\n" + "\\hline\n" * (number == 0))
    text.write("\\hline\n\\end{tabular}\n")
    return frame.to_csv(index=False, lineterminator="\n"), text.getvalue()


def _states(shown: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for baseline in shown:
        yield baseline.get("name") or "", baseline
        for experiment in baseline.get("experiments") or ():
            for state in experiment.get("revs") or ():
                yield experiment.get("name") or state.get("name") or "", state


def _data(files: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    return ((files or {}).get(name) or {}).get("data") or {}


def _flat(params: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in params.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{section}{key}.")
        else:
            yield f"{section}{key}", value


def _shown(value: Any) -> str:
    if value is None or value != value:
        return "\N{EN DASH}"
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _latex(text: str) -> str:
    for letter in "&%#_":
        text = text.replace(letter, f"\\{letter}")
    return text.replace("\N{EN DASH}", "--")


def _told(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except FileNotFoundError:
        raise InputError(f"{command[0]} is not here; compare reads DVC's experiments: pip install dvc") from None
    except subprocess.CalledProcessError as error:
        raise InputError(f"{' '.join(command)} failed: {' '.join(error.stderr.split())[:200]}") from None


def _curve(revision: str) -> pd.DataFrame | None:
    try:
        return pd.read_csv(io.StringIO(_told("git", "show", f"{revision}:{CURVE}")))
    except (InputError, ValueError):
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", metavar="DIR", type=Path, default=Path("compare"), help="where the page goes")
    into = parser.parse_args().into
    with program():
        revisions = [word for commit in started_from(_told("git", "for-each-ref", "--format=%(refname)", "refs/exps"))
                     for word in ("--rev", commit)]
        found = experiments(json.loads(_told("dvc", "exp", "show", "--json", "--rev", "HEAD", *revisions)))
        if not found:
            raise InputError(f"no experiment here has {HEADLINE}; dvc exp run makes one")
        curves = {each.name: curve for each in found if (curve := _curve(each.revision)) is not None}
        comma, latex = csv_and_latex(table(found))
        for name, text in (("compare.html", page(found, curves)), ("compare.csv", comma), ("compare.tex", latex)):
            artifacts.write_bytes(into / name, text.encode())
    print(f"{len(found)} experiments: {(into / 'compare.html').resolve()}")


if __name__ == "__main__":
    main()
