"""``make bench``: runs the benchmarks, prints a table for each and writes one JSON file."""

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.benchmarks.table import Row, run_benchmark, show, write_json

BENCHMARKS = (
    "player",
    "compile",
    "streaming",
    "browser",
    "camera",
    "pipeline",
    "motion",
    "faces",
    "speech",
    "speech_motion",
    "speech_browser",
    "speech_cost",
    "speech_drift",
    "jobs",
    "jobs_http",
    "memory",
    "segment",
    "generators",
)


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
        # Each in a process of its own: none measures memory or time that another has left behind.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            title, results[name] = pool.submit(run_benchmark, name, options.quick).result()
        print(show(f"{name}: {title}", results[name]), end="\n\n", flush=True)
    write_json(results, options.json)
    print(f"written to {options.json}")
    missed = [row.what for rows in results.values() for row in rows if row.reached is False]
    for what in missed:
        print(f"missed: {what}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
