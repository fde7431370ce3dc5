"""Compiles one avatar in a process of its own, at idle priority, so that nobody's stream notices.

The parent writes the avatar as JSON to standard input; each line of standard output is a JSON
object with ``progress``, or ``error`` (``kind``, ``description``), or ``done`` (the pack's path).
"""

import json
import os
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from engine.avatar import compile as compiler
from engine.avatar import pack
from engine.avatar.spec import AvatarSpec, Encoding
from engine.errors import AvatarServerError

PROGRESS_STEP = 0.01


def to_json(spec: AvatarSpec, target: Path) -> str:
    """Describe a compilation for a worker."""
    encoding = spec.encoding
    return json.dumps(
        {
            "target": str(target.absolute()),
            "id": spec.id,
            "name": spec.name,
            "states": {k: [str(p.absolute()) for p in v] for k, v in spec.states.items()},
            "actions": {k: str(p.absolute()) for k, p in spec.actions.items()},
            "encoding": {
                "size": encoding.size,
                "fps": str(encoding.fps),
                "crf": encoding.crf,
                "max_bitrate": encoding.max_bitrate,
                "keyframe_seconds": encoding.keyframe_seconds,
                "codecs": encoding.codecs,
                "max_clip_seconds": encoding.max_clip_seconds,
            },
        }
    )


def from_json(text: str) -> tuple[AvatarSpec, Path]:
    """Return what ``to_json`` described: the avatar and where its pack belongs."""
    values: dict[str, Any] = json.loads(text)
    encoding = values["encoding"]
    encoding |= {
        "size": tuple(encoding["size"]),
        "fps": Fraction(encoding["fps"]),
        "codecs": tuple(encoding["codecs"]),
    }
    spec = AvatarSpec(
        id=values["id"],
        name=values["name"],
        states={k: tuple(Path(p) for p in v) for k, v in values["states"].items()},
        actions={k: Path(p) for k, p in values["actions"].items()},
        encoding=Encoding(**encoding),
    )
    return spec, Path(values["target"])


def run(text: str, report: Callable[[dict[str, Any]], None]) -> int:
    """Compile what ``text`` describes; return the process's exit code."""
    spec, target = from_json(text)
    shown = -1.0

    def on_progress(done: float) -> None:
        nonlocal shown
        if done - shown >= PROGRESS_STEP:
            shown = done
            report({"progress": round(done, 3)})

    try:
        pack.write(compiler.compile_avatar(spec, on_progress), target)
    except AvatarServerError as error:
        report({"error": {"kind": error.kind, "description": str(error)}})
        return 1
    report({"done": str(target)})
    return 0


def _lower_priority() -> None:
    os.nice(10)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def main() -> int:
    """Entry point of the worker process."""
    _lower_priority()

    def report(message: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()

    return run(sys.stdin.read(), report)


if __name__ == "__main__":
    sys.exit(main())
