"""Compiles one avatar in a process of its own, at idle priority, so that nobody's stream notices.

The parent writes the avatar as JSON to standard input; each line of standard output is a JSON
object with ``progress``, or ``error`` (``kind``, ``description``), or ``done`` (the pack's path).
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from engine.avatar import compile as compiler
from engine.avatar import pack
from engine.avatar.pack import Pack
from engine.avatar.spec import AvatarSpec, Encoding
from engine.errors import AvatarServerError
from engine.motion.graph import MotionSettings

PROGRESS_STEP = 0.01

GRAPH_VERSION = 1
"""Raised when the same clips and settings would give another motion graph."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is to compile.

    Attributes:
        spec: The avatar.
        target: Where the pack belongs.
        motion: Makes the pack with the motion graph; None makes the plain one.
        face_model: YuNet, for the graph; optional.
    """

    spec: AvatarSpec
    target: Path
    motion: MotionSettings | None = None
    face_model: Path | None = None

    def to_json(self) -> str:
        """Describe the order for a worker."""
        spec, encoding = self.spec, asdict(self.spec.encoding)
        return json.dumps(
            {
                "target": str(self.target.absolute()),
                "id": spec.id,
                "name": spec.name,
                "states": {k: [str(p.absolute()) for p in v] for k, v in spec.states.items()},
                "actions": {k: str(p.absolute()) for k, p in spec.actions.items()},
                "encoding": encoding | {"fps": str(spec.encoding.fps)},
                "motion": self.motion and self.motion.model_dump(),
                "face_model": self.face_model and str(self.face_model),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "Order":
        """Return what ``to_json`` described."""
        values: dict[str, Any] = json.loads(text)
        encoding = values["encoding"] | {
            "size": tuple(values["encoding"]["size"]),
            "fps": Fraction(values["encoding"]["fps"]),
            "codecs": tuple(values["encoding"]["codecs"]),
        }
        spec = AvatarSpec(
            id=values["id"],
            name=values["name"],
            states={k: tuple(Path(p) for p in v) for k, v in values["states"].items()},
            actions={k: Path(p) for k, p in values["actions"].items()},
            encoding=Encoding(**encoding),
        )
        return cls(
            spec,
            Path(values["target"]),
            values["motion"] and MotionSettings.model_validate(values["motion"]),
            values["face_model"] and Path(values["face_model"]),
        )

    def compile(self, on_progress: compiler.Progress) -> Pack:
        """Do it.

        Raises:
            AvatarServerError: It cannot be done.
        """
        if self.motion is None:
            return compiler.compile_avatar(self.spec, on_progress)
        # OpenCV comes with this, and only with this.
        from engine.avatar.refine import compile_graph

        self.target.parent.mkdir(parents=True, exist_ok=True)
        return compile_graph(
            self.spec, self.motion, self.target.parent, self.face_model, on_progress
        )


def run(text: str, report: Callable[[dict[str, Any]], None]) -> int:
    """Compile what ``text`` describes; return the process's exit code."""
    order = Order.from_json(text)
    shown = -1.0

    def on_progress(done: float) -> None:
        nonlocal shown
        if done - shown >= PROGRESS_STEP:
            shown = done
            report({"progress": round(done, 3)})

    try:
        pack.write(order.compile(on_progress), order.target)
    except AvatarServerError as error:
        report({"error": {"kind": error.kind, "description": str(error)}})
        return 1
    report({"done": str(order.target)})
    return 0


def _lower_priority() -> None:
    os.nice(10)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def main() -> int:
    """Entry point of the worker process."""
    _lower_priority()

    def report(message: dict[str, Any]) -> None:
        try:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            # The server is gone, and nobody wants the pack; unwinding would only try to say so.
            os._exit(1)

    return run(sys.stdin.read(), report)


if __name__ == "__main__":
    sys.exit(main())
