"""Results of benchmarks: a table for people, JSON for machines."""

import importlib
import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One measure.

    Attributes:
        what: What was measured.
        measured: The figure, with its unit.
        must: What it must reach; empty where there is no target.
        reached: Whether it does; None where there is no target.
    """

    what: str
    measured: str
    must: str = ""
    reached: bool | None = None


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def show(title: str, rows: Sequence[Row]) -> str:
    """Lay out rows as a table."""
    marks = {True: "yes", False: "NO", None: ""}
    cells = [("what", "measured", "must reach", "reached")]
    cells += [(row.what, row.measured, row.must, marks[row.reached]) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    return "\n".join([title, "-" * len(title), *lines])


def write_json(results: dict[str, Sequence[Row]], path: Path) -> None:
    """Write all results with a line on the machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": {
            "python": platform.python_version(),
            "system": platform.platform(),
            "processor": platform.processor() or platform.machine(),
        },
        "results": {name: [asdict(row) for row in rows] for name, rows in results.items()},
    }
    path.write_text(json.dumps(content, indent=2) + "\n")


def run_benchmark(name: str, quick: bool) -> tuple[str, list[Row]]:
    """Run ``bench_NAME``; return its title and its rows. For a process of its own."""
    module = importlib.import_module(f"tests.benchmarks.bench_{name}")
    return (module.__doc__ or name).splitlines()[0], module.run(quick)
