"""``make bench``: runs the benchmarks, prints a table for each and writes one JSON file."""

import argparse
import importlib
import sys
from pathlib import Path

from tests.benchmarks.table import Row, show, write_json

BENCHMARKS = ("player", "compile", "streaming", "browser", "camera", "pipeline", "motion")


def main() -> int:
    """Run what was asked for; exit 1 when a measure misses its target."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(BENCHMARKS)} (all)"
    )
    parser.add_argument("--quick", action="store_true", help="shorter runs, for trying things out")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), metavar="FILE")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    results: dict[str, list[Row]] = {}
    for name in options.names or BENCHMARKS:
        module = importlib.import_module(f"tests.benchmarks.bench_{name}")
        results[name] = module.run(options.quick)
        print(show(f"{name}: {module.__doc__.splitlines()[0]}", results[name]), end="\n\n")
    write_json(results, options.json)
    print(f"written to {options.json}")
    missed = [row.what for rows in results.values() for row in rows if row.reached is False]
    for what in missed:
        print(f"missed: {what}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
