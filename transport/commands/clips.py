"""``clips``: looking at clips, preparing them, seeing how they are joined."""

import argparse
import asyncio
import json
from pathlib import Path

from pydantic import ValidationError

from engine.avatar.compiling import Compiler
from engine.avatar.pack import Pack
from engine.errors import ClipError, SettingsError
from transport.commands.configuration import known_face_model, load_settings
from transport.commands.terminal import check_target, progress_bar, say


def prepare_clip(options: argparse.Namespace) -> int:
    """Turn any video into a clean clip for an avatar."""
    from engine.clips import normalise, prepare

    names = ("fps", "start", "duration", "brightness", "contrast", "saturation", "sharpen")
    values = {name: getattr(options, name) for name in (*names, "stabilize", "crop")}
    try:
        preparation = normalise.Preparation(size=_size(options.size), **values)
    except ValidationError as error:
        first = error.errors()[0]
        flag = str(first["loc"][0])
        raise SettingsError(f"--{flag}: {first['msg']}, found {first['input']!r}.") from None
    check_target(options.target_file, overwrite=True, source=options.source_file)
    info = prepare.prepare(
        options.source_file,
        options.target_file,
        preparation,
        crf=options.crf,
        face_model=_face_model(options),
        on_progress=progress_bar(),
    )
    say(f"{options.target_file}: {info.width}x{info.height}, {info.duration:.1f} s")
    return 0


def inspect_clips(options: argparse.Namespace) -> int:
    """Say what clips are, what is wrong with them for an avatar, and what to do."""
    from engine.clips import inspection

    failed = False
    reports = []
    for path in options.files:
        try:
            report = inspection.inspect(path, face_model=_face_model(options))
        except ClipError as error:
            failed = True
            reports.append({"path": str(path), "error": str(error)})
            if not options.json:
                print(f"{path}\n  error: {error}\n")
            continue
        failed = failed or any(f.level == "error" for f in report.findings)
        reports.append(inspection.as_dict(report))
        if not options.json:
            print(inspection.describe(report), end="\n\n")
    if options.json:
        print(json.dumps(reports, indent=2))
    return 1 if failed else 0


def preview_avatar(options: argparse.Namespace) -> int:
    """Write a video of what a viewer would see, with changes of state."""
    from engine.avatar.preview import write_preview

    _, graph, plain = _packs(options)
    pack = plain if options.naive else graph
    write_preview(pack, options.out, options.seconds, options.seed, progress_bar())
    say(f"{options.out}: {options.seconds:g} s")
    return 0


def report_avatar(options: argparse.Namespace) -> int:
    """Write a page on an avatar's loops and transitions, and what could be recorded anew."""
    from engine.avatar.report import write_report

    target = options.out or Path(f"{options.avatar}-report.html")
    name, graph, plain = _packs(options)
    written = write_report(
        name, graph, plain, target, options.seconds, options.seed, progress_bar()
    )
    for path in written:
        say(f"{path}")
    return 0


def _packs(options: argparse.Namespace) -> tuple[str, Pack, Pack]:
    """Return an avatar's name and its packs with and without motion graph."""
    from engine.avatar.finding import compiled_pair, find_spec

    settings = load_settings(options)
    spec = find_spec(options.avatar, settings.avatars)
    compiler = Compiler(settings.avatars.cache, settings.motion, known_face_model(settings))
    graph, plain = asyncio.run(compiled_pair(spec, compiler, progress_bar()))
    return spec.name, graph, plain


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    try:
        return int(width), int(height or width)
    except ValueError:
        raise SettingsError(f"--size {text}: expected 512 or 1280x720.") from None


def _face_model(options: argparse.Namespace) -> Path | None:
    """Return the face detector that was named, or the one in the folder of models, if any."""
    if options.face_model is not None:
        named: Path = options.face_model
        return named
    return known_face_model(load_settings(options))
