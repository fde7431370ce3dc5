"""``job``: run a generator at once, without the queue. Its flags are made from its declaration."""

import argparse
import contextlib
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.clock import Clock, monotonic
from engine.errors import SettingsError
from engine.jobs.eta import Eta
from engine.settings import Settings
from processors.generate.declaration import BadParameters, Generator
from processors.generate.flags import add_flags, inputs_of, params_of
from processors.generate.registry import LoadedGenerators, find_generator, generators
from transport.commands.configuration import load_settings, start_logging
from transport.commands.side_jobs import services_of
from transport.commands.terminal import say


def run_job(options: argparse.Namespace) -> int:
    """Run a generator at once, without the queue; without a name: list them."""
    if not options.name:
        list_generators()
        return 0
    generator = find_generator(options.name)
    parser = job_parser(generator)
    given = parser.parse_args(options.arguments)
    for name in ("config", "set"):
        if not getattr(given, name) and getattr(options, name, None):
            setattr(given, name, getattr(options, name))
    settings = load_settings(given)
    start_logging(settings)
    inputs = inputs_of(generator, given)
    check_out(given.out, given.overwrite, inputs.values())
    try:
        written = run_directly(
            generator, params_of(generator, given), inputs, given.out, settings, given.overwrite
        )
    except BadParameters as error:
        raise SettingsError(f"{_as_flags(error)}.", f"See: job {generator.name} -h") from None
    for path in written:
        say(str(path))
    return 0


def list_generators() -> None:
    """Print what there is."""
    width = max(len(name) for name in generators())
    for name, generator in generators().items():
        print(f"{name:<{width}}  {generator.summary}")


def job_parser(generator: Generator[Any]) -> argparse.ArgumentParser:
    """Return the parser for one generator's flags."""
    parser = argparse.ArgumentParser(
        prog=f"server.py job {generator.name}", description=generator.summary, allow_abbrev=False
    )
    add_flags(parser, generator)
    add = parser.add_argument
    add(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="where the result goes; of several files, each gets its own ending; or a folder",
    )
    add("--overwrite", action="store_true", help="replace files that are there")
    add("--config", type=Path, default=None, help="settings file (default: config.yaml)")
    add("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="one setting")
    return parser


def check_out(out: Path, overwrite: bool, inputs: Any) -> None:
    """Refuse an output that cannot be meant, before hours are spent on it.

    Raises:
        SettingsError: Says what to change.
    """
    if out.is_dir():
        return
    if not out.parent.is_dir():
        raise SettingsError(f"--out {out}: there is no folder {out.parent}.", "Make it first.")
    if out.exists() and any(path.exists() and out.samefile(path) for path in inputs):
        raise SettingsError(f"--out {out}: is an input itself.", "Choose another name.")
    if out.exists() and not overwrite:
        raise SettingsError(f"--out {out} exists.", "Choose another name, or add --overwrite.")


def run_directly(
    generator: Generator[Any],
    params: dict[str, Any],
    inputs: Mapping[str, Path],
    out: Path,
    settings: Settings,
    overwrite: bool = False,
) -> list[Path]:
    """Run a generator and put its files where they are wanted.

    Args:
        generator: Which.
        params: Not validated yet.
        inputs: Its files.
        out: A file, or an existing folder.
        settings: For models and processors.
        overwrite: Files that are there may be replaced; else further ones get other names.

    Returns:
        The files, in the order of the generator's outputs.
    """
    services = services_of(settings, any_folder=True)
    folder = out if out.is_dir() else out.parent
    # Beside the target, so that moving is renaming, and a full disk is noticed where it is.
    made_in = Path(tempfile.mkdtemp(prefix=".job-", dir=folder))
    try:
        loaded = LoadedGenerators(services, {generator.name: generator}).get(generator.name)
        with _stopping() as stop:
            context = DirectContext(made_in, DirectPlace("auto", 0), stop)
            result = loaded.run(params, inputs, context)
            context.end()
        names = [name for files in result["files"].values() for name in files]
        wanted = targets(names, out)
        return [_put(made_in / name, wanted[name], overwrite) for name in names]
    finally:
        shutil.rmtree(made_in, ignore_errors=True)


def targets(names: Sequence[str], out: Path) -> dict[str, Path]:
    """Return where each file of a result goes.

    Args:
        names: Of the files.
        out: An existing folder takes all; a file's name is given to all, each with its own ending.
            Files of the same ending are numbered.
    """
    if out.is_dir():
        return {name: out / name for name in names}
    taken: dict[str, int] = {}
    found = {}
    for name in names:
        suffix = Path(name).suffix
        number = taken[suffix] = taken.get(suffix, 0) + 1
        stem = out.stem if number == 1 else f"{out.stem}-{number}"
        found[name] = out.with_name(f"{stem}{suffix}")
    return found


@dataclass(frozen=True, slots=True)
class DirectPlace:
    """Where a generator runs: ``auto`` takes a GPU if there is one; 0 threads: all."""

    device: str
    threads: int


class DirectContext:
    """What a generator sees when there is no queue; draws a bar on a terminal.

    Args:
        folder: For result files.
        place: Where it runs.
        stop: Set to end the job at its next step.
        clock: Seconds.
    """

    def __init__(
        self, folder: Path, place: DirectPlace, stop: threading.Event, clock: Clock = monotonic
    ) -> None:
        self.folder = folder
        self.place = place
        self.recipe: Mapping[str, Any] | None = None
        self._stop = stop
        self._clock = clock
        self._eta = Eta()
        self._message = ""

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Show how far it is, then ``check``."""
        fraction = min(max(fraction, 0.0), 1.0)
        self._message = self._message if message is None else " ".join(message.split())
        left = self._eta.add(self._clock(), fraction)
        if sys.stderr.isatty():
            bar = "#" * round(fraction * 30)
            rest = "" if left is None else f", {left:.0f} s left"
            text = f"[{bar:<30}] {fraction:4.0%}{rest}  {self._message}"
            width = shutil.get_terminal_size().columns - 1
            print(f"\r{text[:width]}\033[K", end="", file=sys.stderr, flush=True)
        self.check()

    def end(self) -> None:
        """Remove the bar."""
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def check(self) -> None:
        """Raise KeyboardInterrupt if the user wants to end it."""
        if self._stop.is_set():
            raise KeyboardInterrupt

    def yield_to_live(self) -> float:
        """Return 0: a command on its own does not know of live streams."""
        return 0.0

    def log(self, line: str) -> None:
        """Print a line."""
        say(line)

    def preview(self, picture: bytes | npt.NDArray[np.uint8]) -> bool:
        """Return false: a terminal shows no pictures."""
        return False

    def wants_preview(self) -> bool:
        """Return false."""
        return False

    def record(self, recipe: Mapping[str, Any], cache_key: str | None = None) -> None:
        """Keep what determines the result, for the files."""
        self.recipe = recipe


@contextlib.contextmanager
def _stopping() -> Iterator[threading.Event]:
    """Give what SIGINT and SIGTERM set; the second one ends the process as usual."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def stopped(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in numbers:
        signal.signal(number, stopped)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _put(made: Path, target: Path, overwrite: bool) -> Path:
    """Move a file; if its name is taken, to the next one that is free."""
    wanted, number = target, 2
    while target.exists() and not overwrite:
        target = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        number += 1
    made.replace(target)
    return target


def _as_flags(error: BadParameters) -> str:
    return "; ".join(
        f"--{path.replace('.', '-').replace('_', '-')}: {problem}"
        for path, problem in error.problems.items()
    )
