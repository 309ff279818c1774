"""What all benchmarks share: where a figure comes from, one table on the screen, and the same as a file with a row a line."""

import importlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from sparsify import artifacts
from sparsify.measure.latency import quartiles
from stages import runtime

RESULTS = Path(__file__).parent / "results"
Row = Mapping[str, str | int | float | None]


def provenance(*packages: str, **more: Any) -> dict[str, Any]:
    """The machine, how busy it was at the start, and the versions of torch and of the `packages` that are installed."""
    about = runtime.provenance(seed=0)
    versions = {name: version(name) for name in packages if version(name)}
    return {"device": about["device"], "cores": os.cpu_count(), "load_average": round(os.getloadavg()[0], 1),
            "dtype": about["dtype"], "python": platform.python_version(), "torch": about["torch"], **versions, **more}


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def optional(module: str) -> ModuleType | None:
    """A peer's module, or None and one line that says what is left out and what to do."""
    try:
        return importlib.import_module(module)
    except ImportError:
        print(f"{module} is not installed, its contenders are left out; to have them: pip install -r benchmarks/requirements.txt")
        return None


def spread(times: Sequence[float], digits: int = 4) -> dict[str, float]:
    low, median, high = (float(f"{value:.{digits}g}") for value in quartiles(list(times)))
    return {"median": median, "q25": low, "q75": high}


def exponent(sizes: Sequence[float], times: Sequence[float]) -> float:
    """The slope of log time against log size by least squares: 1 is linear."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def table(rows: Sequence[Row]) -> str:
    """Markdown, a column as wide as its longest entry, under the keys of the first row."""
    cells = [list(rows[0]), *([_text(row[key]) for key in rows[0]] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def write(name: str, about: Mapping[str, Any], rows: Sequence[Row], folder: Path | None = None) -> None:
    """NAME.json in `folder`, in results/ beside this file if none is named."""
    lines = ",\n".join(f"  {json.dumps(row)}" for row in rows)
    artifacts.write_bytes((folder or RESULTS) / f"{name}.json", f'{{"provenance": {json.dumps(about)},\n"rows": [\n{lines}\n]}}\n'.encode())


def _text(value: str | int | float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 100 else f"{value:,.0f}" if isinstance(value, float) else str(value)
