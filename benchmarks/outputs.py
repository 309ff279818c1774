"""What stages wrote, without what is timed, and how far two runs are apart:

    python -m benchmarks.outputs DIR DIR

for working directories in which the pipeline has run, with other threads or another torch, say. Ends with status 1 where they differ."""

import argparse
import csv
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch

from benchmarks.report import table
from sparsify.settings import InputError
from stages import pipeline, reading
from stages.program import program

TIMED = re.compile(r"seconds|latency|speedup|recommended|memory|median|q25|q75|(png|html)$")
HALF = object()  # stands for a file that cannot be read


def of(top: Path, outs: Iterable[str]) -> dict[str, Any]:
    """The contents by name."""
    return {name: content(name, path.read_bytes()) for out in outs for name, path in _files(top, out) if not TIMED.search(name)}


def content(name: str, written: bytes) -> Any:
    """Of a report its figures that are not timed, of other files the bytes."""
    try:
        if name.endswith(".json"):
            return _untimed(json.loads(written))
        if name.endswith(".csv"):
            return [_untimed(row) for row in csv.DictReader(io.StringIO(written.decode()))]
    except ValueError:
        return HALF
    return written


def differing(found: Mapping[str, Any], reference: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in found.keys() | reference.keys() if found.get(name) != reference.get(name))


def rows(first: Path, second: Path) -> list[dict[str, Any]]:
    """One for each file that differs: how far the weights are apart, as a share of the largest, or which figures are others."""
    outs = [out for stage in pipeline.stages(reading.section(first / "params.yaml"), first / "dvc.yaml").values() for out in stage.outs]
    one, other = of(first, outs), of(second, outs)
    return [{"file": name, "apart": _apart(name, one.get(name), other.get(name))} for name in differing(one, other)]


def _apart(name: str, one: Any, other: Any) -> str:
    if one is None or other is None:
        return "is there once"
    if name.endswith(".safetensors"):
        first, second = safetensors.torch.load(one), safetensors.torch.load(other)
        if {key: value.shape for key, value in first.items()} != {key: value.shape for key, value in second.items()}:
            return "other shapes"
        gap = max((float((first[key] - second[key]).abs().max()) for key in first if first[key].numel()), default=0.0)
        largest = max((float(value.abs().max()) for value in first.values() if value.numel()), default=0.0)
        return f"{gap / (largest or 1.0):.1e}"
    if isinstance(one, bytes):
        return "other bytes"
    first, second = dict(_figures(one)), dict(_figures(other))
    odd = [f"{key} {first.get(key, 'none')}, {second.get(key, 'none')}" for key in {**first, **second} if first.get(key) != second.get(key)]
    return "; ".join(odd[:2]) + f"; {len(odd) - 2} more" * (len(odd) > 2)


def _figures(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value, 1):
            yield from _figures(item, f"{where}.{key}".lstrip("."))
    else:
        yield where, value


def _files(top: Path, out: str) -> Iterator[tuple[str, Path]]:
    path = top / out
    for file in sorted(path.rglob("*")) if path.is_dir() else [path] * path.exists():
        yield str(file.relative_to(top)), file


def _untimed(value: Any) -> Any:
    if isinstance(value, list):
        return [_untimed(item) for item in value]
    return {key: _untimed(item) for key, item in value.items() if not TIMED.search(key)} if isinstance(value, dict) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", metavar="DIR", type=Path)
    parser.add_argument("second", metavar="DIR", type=Path)
    chosen = parser.parse_args()
    with program():
        for folder in (chosen.first, chosen.second):
            if not (folder / "params.yaml").is_file():
                raise InputError(f"{folder} holds no params.yaml; name two directories in which the pipeline has run")
        if not (found := rows(chosen.first, chosen.second)):
            print("all the same, but for times")
            return
        print(table(found))
    sys.exit(1)


if __name__ == "__main__":
    main()
