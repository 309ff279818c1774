"""Prints the tables of docs/reliability.md:

    python -m benchmarks.faults --kills 200 --cases 5000

Works in temporary clones of the last commit; nothing of this checkout is touched. Ends with status 1 where a promise did not hold.
With --kept FILE the same command goes on where the last one was broken off."""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.faults import inputs, kills
from benchmarks.report import table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", metavar="N", type=int, default=10)
    parser.add_argument("--cases", metavar="N", type=int, default=0, help="of bad input")
    parser.add_argument("--seed", type=int, default=0, help="of the moments, and of the cases")
    parser.add_argument("--jobs", metavar="N", type=int, default=1, help="at once, each with a core")
    parser.add_argument("--kept", metavar="FILE", type=Path, help="a line of JSON for each kill that has ended; these are not run again")
    parser.add_argument("--scratch", type=Path, help="folder to work in; else a temporary one")
    chosen = parser.parse_args()
    tables, broken_off = [], False
    with tempfile.TemporaryDirectory(dir=chosen.scratch) as folder:
        if chosen.kills:
            tables.append(kills.run(chosen.kills, chosen.seed, Path(folder), jobs=chosen.jobs, kept=chosen.kept))
            broken_off = sum(row["tried"] for row in tables[0]) < chosen.kills  # an interruption ends it with the rows so far
        if chosen.cases and not broken_off:
            problems: list[str] = []
            tables.append(inputs.run(chosen.cases, chosen.seed, problems, chosen.jobs))
            print(*problems, sep="\n", file=sys.stderr)
    print(*(table(rows) for rows in tables if rows), sep="\n\n")
    sys.exit(130 if broken_off else any(row["broken"] for rows in tables for row in rows))


if __name__ == "__main__":
    main()
