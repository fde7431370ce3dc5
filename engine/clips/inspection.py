"""Says what a clip is, what is wrong with it for an avatar, and what to do."""

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.clips.findings import Finding, judge_facts
from engine.clips.info import ClipInfo, read_info
from engine.clips.judging import judge_pictures
from engine.clips.loop_quality import Loop, find_loop, judge_loop
from engine.clips.measuring import measure

_MARKS = {"error": "✗", "warning": "!", "note": "·"}
_LABEL = 12


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found out about a clip.

    Attributes:
        info: Its facts.
        findings: The worst first.
        loop: Where it loops best; None where it is too short to choose.
        command: One command that mends what preparing can mend; empty where there is nothing.
    """

    info: ClipInfo
    findings: tuple[Finding, ...]
    loop: Loop | None
    command: str


def inspect(path: Path, *, face_model: Path | None = None, threads: int = 1) -> Inspection:
    """Look at all of a clip.

    Args:
        path: The clip; one that is cut off is looked at as far as it goes.
        face_model: YuNet in ONNX form; without it nothing is said about faces.
        threads: Threads for the decoder.

    Raises:
        ClipError: It is no clip that can be decoded.
        MissingDependency: OpenCV or the face model cannot be used.
    """
    info = read_info(path, allow_truncated=True)
    measures = measure(path, info, face_model, threads)
    loop = find_loop(info, measures)
    findings = [*judge_facts(info), *judge_pictures(info, measures)]
    if loop is not None:
        findings += judge_loop(loop)
    command = _command(path, findings)
    findings.sort(key=lambda finding: list(_MARKS).index(finding.level))
    return Inspection(info, tuple(findings), loop, command)


def as_dict(inspection: Inspection) -> dict[str, object]:
    """An inspection as plain values, for JSON."""
    info = asdict(inspection.info)
    info["path"] = str(inspection.info.path)
    info["fps"] = float(inspection.info.fps)
    info["pixel_aspect"] = float(inspection.info.pixel_aspect)
    info["orientation"] = {
        "clockwise": inspection.info.orientation.clockwise,
        "mirrored": inspection.info.orientation.mirrored,
    }
    return {
        "info": info,
        "findings": [
            {"level": finding.level, "problem": finding.problem, "advice": finding.advice}
            for finding in inspection.findings
        ],
        "loop": asdict(inspection.loop) if inspection.loop else None,
        "command": inspection.command,
    }


def describe(inspection: Inspection) -> str:
    """An inspection as lines for a terminal."""
    info = inspection.info
    lines = [str(info.path), ""]
    lines += [f"  {label:<{_LABEL}}{text}" for label, text in _facts(inspection)]
    lines.append("")
    for finding in inspection.findings:
        lines.append(f"  {_MARKS[finding.level]} {finding.problem}")
        lines.append(f"    {finding.advice}")
    if not inspection.findings:
        lines.append("  Nothing is wrong with it.")
    if inspection.command:
        lines += ["", "  To mend it:", f"    {inspection.command}"]
    return "\n".join(lines)


def _facts(inspection: Inspection) -> list[tuple[str, str]]:
    info = inspection.info
    rate = f"{float(info.fps):.4g} fps{' on average' if info.variable_rate else ''}"
    kind = f"{info.codec} in {info.container}, {info.pixel_format}"
    facts = [
        ("picture", f"{info.width}x{info.height}, {rate}"),
        ("length", f"{info.duration:.2f} s, {info.frames} pictures"),
        ("file", f"{kind}, {info.size_bytes / 1e6:.2f} MB{', with sound' * info.has_audio}"),
    ]
    loop = inspection.loop
    if loop is not None:
        best = f"{loop.start:.2f} s to {loop.end:.2f} s ({loop.jump:.1f} steps apart"
        facts.append(("best loop", f"{best}; the whole clip {loop.whole_jump:.1f})"))
    return facts


def _command(path: Path, findings: list[Finding]) -> str:
    """One ``clips prepare`` for all findings; of one option given twice the last counts."""
    mending = [finding.options for finding in findings if finding.options is not None]
    if not any(finding.level != "note" and finding.options is not None for finding in findings):
        return ""
    options = {name: value for pairs in mending for name, value in pairs}
    words = ["python", "server.py", "clips", "prepare", str(path)]
    words.append(str(path.with_name(f"{path.stem}-prepared.mp4")))
    for name, value in options.items():
        words += [name, value] if value else [name]
    return shlex.join(words)
