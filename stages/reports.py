"""Figures (JSON) and tables (CSV) that stages wrote, as others read them: what is cut, merged by git or changed by hand is one line."""

import csv
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsify.artifacts import FileError
from sparsify.settings import quoted

if TYPE_CHECKING:
    from pandas import DataFrame  # which a machine that draws nothing may lack


def figures(path: Path, stage: str) -> dict[str, Any]:
    """What `stage` wrote to a file of metrics. Raises FileError."""
    content = _read(path, lambda: json.loads(path.read_text()))
    if not isinstance(content, dict) or not isinstance(content.get(stage), dict):
        raise FileError(f"{path} does not hold the figures of {stage}")
    return content[stage]


def number(path: Path, figures: dict[str, Any], key: str, above: float = -math.inf) -> float:
    """The figure under a dotted key. Raises FileError where it is no finite number, or not above `above`."""
    value: Any = figures
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if type(value) not in (int, float) or not above < value < 1e300:
        bound = f" above {above}" if above > -math.inf else ""
        raise FileError(f"{path} has {quoted(value)} as {key}; it has to be a finite number{bound}")
    return value


def table(path: Path, numbers: str, texts: str = "", blanks: str = "") -> "DataFrame":
    """Rows of a table, at least one, each with finite numbers and text under these columns, by name with spaces between; under `blanks`
    with numbers or nothing, NaN; other columns as numbers where they all are. Raises FileError."""
    import numpy as np
    import pandas as pd

    header, *lines = _read(path, lambda: list(csv.reader(path.read_text().splitlines(keepends=True), strict=True))) or [[]]
    if missing := [column for column in f"{numbers} {texts} {blanks}".split() if header.count(column) != 1]:
        raise FileError(f"{path} lacks {', '.join(missing)} among its columns, or has it twice")
    for number, line in enumerate(lines, 2):
        if len(line) != len(header):
            raise FileError(f"{path} has {len(line)} columns in line {number}, and {len(header)} in its first; it may have been cut")
    if not lines:
        raise FileError(f"{path} has no rows")
    rows = pd.DataFrame(lines, columns=header)
    for column in rows.columns.difference(texts.split()):
        values = pd.to_numeric(rows[column], errors="coerce")
        wrong = ~np.isfinite(values) & ~((rows[column] == "") & (column in blanks.split()))
        if not wrong.any():
            rows[column] = values
        elif column in f"{numbers} {blanks}".split():
            row = int(wrong.argmax())
            raise FileError(f"{path} has {quoted(rows[column].iloc[row])} as {column} in line {row + 2}; it has to be a finite number")
    return rows


def _read(path: Path, read: Any) -> Any:
    if not path.is_file():
        raise FileError(f"{path} does not exist")
    try:
        return read()
    except Exception as error:  # pandas and json raise many types
        raise FileError(f"{path} cannot be read ({type(error).__name__}: {' '.join(str(error).split())[:100]})") from None
