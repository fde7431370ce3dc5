"""The command line's grammar: commands, flags and their help. ``server.py`` says what they do."""

import argparse
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from engine.settings_file import KeyPath

Command = Callable[[argparse.Namespace], int]
"""Runs with the parsed options and returns the process's exit code."""

FLAGS: Mapping[str, KeyPath] = {
    "host": ("server", "host"),
    "port": ("server", "port"),
    "videos": ("avatars", "folder"),
    "idle_video": ("avatars", "idle_video"),
    "gesture_video": ("avatars", "gesture_video"),
    "log_level": ("log", "level"),
    "source": ("pipeline", "capture", "source"),
    "processor": ("pipeline", "processors"),
    "face": ("processors", "face_swap", "faces"),
    "batch_size": ("pipeline", "batch_size"),
}
"""Flags that are short for a setting."""


def make_parser(commands: Mapping[str, Command], version: str) -> argparse.ArgumentParser:
    """Return the parser.

    Args:
        commands: What to run, by name; the docstrings are the help. ``serve`` is the default.
        version: Shown by ``--version``.
    """
    parser = argparse.ArgumentParser(
        prog="server.py",
        description="Real-time avatars and live video over WebRTC. Without a command it serves.",
    )
    parser.add_argument("--version", action="version", version=f"avatar-server {version}")
    parser.set_defaults(command=commands["serve"])
    _settings_flags(parser)
    _server_flags(parser)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(name: str, to: Any = subparsers, flag: str | None = None) -> argparse.ArgumentParser:
        command = commands[name]
        summary = (command.__doc__ or "").splitlines()[0]
        made: argparse.ArgumentParser = to.add_parser(
            flag or name, help=summary, description=summary
        )
        made.set_defaults(command=command)
        _settings_flags(made, again=True)
        return made

    _server_flags(add("serve"))
    _live(add("live"))
    _render(add("render"))
    clips = subparsers.add_parser(
        "clips", help="Look at clips, prepare them, see how they are joined."
    )
    actions = clips.add_subparsers(title="actions", metavar="ACTION", required=True)
    _prepare(add("clips prepare", actions, "prepare"))
    _inspect(add("clips inspect", actions, "inspect"))
    _preview(add("clips preview", actions, "preview"))
    _report(add("clips report", actions, "report"))
    _job(add("job"))
    _worker(add("worker"))
    models = subparsers.add_parser("models", help="See, get and check models.")
    actions = models.add_subparsers(title="actions", metavar="ACTION", required=True)
    _json(add("models list", actions, "list"))
    _pull(add("models pull", actions, "pull"))
    add("models verify", actions, "verify").add_argument("ids", nargs="*", metavar="ID")
    add("models where", actions, "where")
    doctor = add("doctor")
    _server_flags(doctor)
    _json(doctor)
    check = add("check-config")
    check.add_argument("--show", action="store_true", help="print all values as JSON")
    return parser


def _settings_flags(parser: argparse.ArgumentParser, again: bool = False) -> None:
    # A default in a subparser would overwrite what was given before the command's name.
    default: Any = argparse.SUPPRESS if again else None
    parser.add_argument(
        "--config", type=Path, default=default, help="settings file (default: config.yaml)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=default if again else [],
        metavar="SECTION.KEY=VALUE",
        help="override one setting; may be repeated",
    )


def _server_flags(parser: argparse.ArgumentParser) -> None:
    default = argparse.SUPPRESS
    add = parser.add_argument
    add("--host", default=default, help="address to listen on")
    add("--port", type=int, default=default, help="port to listen on")
    add("--log-level", default=default, help="debug, info, warning or error")
    add("--videos", type=Path, default=default, help="folder of the avatars")
    add("--idle-video", default=default, help="clip while silent (with --gesture-video)")
    add("--gesture-video", default=default, help="clip while speaking (with --idle-video)")


def _live(parser: argparse.ArgumentParser) -> None:
    _server_flags(parser)
    add = parser.add_argument
    add(
        "--source",
        default=argparse.SUPPRESS,
        metavar="SOURCE",
        help="camera:0, file:clip.mp4 or pattern: (default: pipeline.capture.source)",
    )
    add(
        "--processor",
        action="append",
        default=argparse.SUPPRESS,
        metavar="NAME",
        help="mirror, face_swap, anonymise, background_blur, overlay; may be repeated, in order",
    )
    _face(parser)
    add(
        "--output",
        action="append",
        metavar="OUTPUT",
        help="window, webrtc, record:x.mp4, virtual-camera; may be repeated (default: window)",
    )
    add("--batch-size", type=int, default=argparse.SUPPRESS, help="most frames at once")
    add("--overwrite", action="store_true", help="replace an existing recording")


def _render(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source_file", type=Path, metavar="IN")
    add("target_file", type=Path, metavar="OUT")
    add(
        "--processor",
        action="append",
        default=argparse.SUPPRESS,
        metavar="NAME",
        help="mirror, face_swap, anonymise, background_blur; may be repeated, in order",
    )
    _face(parser)
    add("--batch-size", type=int, default=argparse.SUPPRESS, help="most frames at once")
    _crf(parser)
    add("--overwrite", action="store_true", help="replace a finished output")


def _face(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--face",
        action="append",
        # From where the user stands; relative paths in config.yaml are from where that lies.
        type=lambda text: str(Path(text).expanduser().absolute()),
        default=argparse.SUPPRESS,
        metavar="PICTURE",
        help="whose face face_swap puts in; PICTURE#2: its second from the left; may be repeated",
    )


def _job(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("name", nargs="?", default="", metavar="NAME", help="the generator; none: list them")
    # Its own parser reads the rest, so that starting the server does not have to know its flags.
    add("arguments", nargs=argparse.REMAINDER, metavar="...", help="its flags; NAME -h shows them")


def _worker(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        action="append",
        metavar="DEVICE",
        help="cuda:0, cuda:1, cpu or auto (the first GPU, else the CPU); may be repeated, for one "
        "worker process each (default: jobs.devices)",
    )
    parser.add_argument(
        "--broker",
        action="store_true",
        help="keep the workers running, with their models; jobs.broker tells them of jobs",
    )
    parser.add_argument("--log-level", default=argparse.SUPPRESS, help="debug, info, warning...")


def _prepare(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source_file", type=Path, metavar="IN")
    add("target_file", type=Path, metavar="OUT")
    add("--size", default="512", help="512 or 1280x720 (default: %(default)s)")
    add("--fps", type=Fraction, default=Fraction(25), help="pictures per second (default: 25)")
    add("--start", type=float, default=0.0, metavar="SECONDS", help="leave out the beginning")
    add("--duration", type=float, metavar="SECONDS", help="keep this much (default: all)")
    add("--brightness", type=float, default=0.0, help="-1 to 1 (default: 0)")
    add("--contrast", type=float, default=1.0, help="1 changes nothing (default)")
    add("--saturation", type=float, default=1.0, help="1 changes nothing (default)")
    add(
        "--sharpen",
        type=float,
        nargs="?",
        const=0.6,
        default=0.0,
        metavar="AMOUNT",
        help="sharpen, by 0.6 if no amount is given",
    )
    add("--stabilize", action="store_true", help="hold the background still")
    add("--crop", choices=("center", "face"), default="center", help="what to keep in the frame")
    _crf(parser)
    _face_model(parser)


def _crf(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--crf",
        type=int,
        choices=range(52),
        default=18,
        metavar="0..51",
        help="quality, smaller is better (default: 18)",
    )


def _inspect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    _json(parser)
    _face_model(parser)


def _pull(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("ids", nargs="*", metavar="ID", help="as in: models list")
    add("--all", action="store_true", help="all that may be used")
    add("--folder", type=Path, metavar="DIR", help="where to put them (default: the first folder)")


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _preview(parser: argparse.ArgumentParser) -> None:
    _avatar(parser)
    parser.add_argument("--naive", action="store_true", help="with hard cuts between the clips")
    parser.add_argument("--out", type=Path, required=True, metavar="MP4", help="file to write")


def _report(parser: argparse.ArgumentParser) -> None:
    _avatar(parser)
    parser.add_argument(
        "--out", type=Path, metavar="HTML", help="file to write (default: AVATAR-report.html)"
    )


def _avatar(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("avatar", metavar="AVATAR", help="name of a folder in videos/")
    add("--seconds", type=float, default=60.0, help="how long to play (default: 60)")
    add("--seed", type=int, default=1, help="of the random choices (default: 1)")


def _face_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--face-model",
        type=Path,
        metavar="ONNX",
        help="YuNet face detector (default: the one in the folder of models)",
    )
