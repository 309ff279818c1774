"""The rows of benchmarks.inference as tables for a reader: all contenders with the first number of threads, some with every one."""

from collections.abc import Sequence

from benchmarks.report import Row

OF_THE_BOUND = ("dense", "compact", "onnxruntime compact")


def all_of(rows: Sequence[Row]) -> list[list[Row]]:
    few_threads = [row for row in rows if row["threads"] == rows[0]["threads"]]
    largest = {row["network"]: max(other["batch"] for other in rows if other["network"] == row["network"]) for row in rows}
    return [overview(few_threads, largest), overview(few_threads, dict.fromkeys(largest, 1)), against_hardware(rows)]


def overview(rows: Sequence[Row], batches: dict[str, int]) -> list[Row]:
    """A row a contender, a column a network, at its batch: milliseconds, and the speed-up over torch's dense network."""
    cells = {(row["contender"], row["network"]): f"{row['ms']:.3g} ms, {row['speed-up']:.3g}x" for row in rows
             if row["batch"] == batches[row["network"]]}
    contenders = dict.fromkeys(contender for contender, _ in cells)
    return [{"contender": contender, **{network: cells.get((contender, network)) for network in batches}} for contender in contenders]


def against_hardware(rows: Sequence[Row]) -> list[Row]:
    """A row a network, threads and batch: what MACs and roofline promise, what removal brings in each engine, and shares of the bound."""
    table = []
    for place in dict.fromkeys((row["network"], row["threads"], row["batch"]) for row in rows):
        found = {row["contender"]: row for row in rows if (row["network"], row["threads"], row["batch"]) == place}
        in_parts = next((name for name in found if name.startswith("compact in ")), "none")
        table.append({
            **dict(zip(("network", "threads", "batch"), place, strict=True)),
            "MACs promise": found["compact"]["by MACs"], "roofline promises": found["compact"]["by roofline"],
            "torch": found["compact"]["over its dense"], "torch in parts": _of(found, in_parts, "over its dense"),
            "onnxruntime": _of(found, "onnxruntime compact", "over its dense"),
            **{f"bound %, {name}": _of(found, name, "share of bound %") for name in OF_THE_BOUND}})
    return table


def _of(found: dict[str, Row], contender: str, column: str) -> float | None:
    return found[contender][column] if contender in found else None
