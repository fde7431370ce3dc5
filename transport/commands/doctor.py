"""``doctor``: looks for what usually goes wrong, and says how to put it right."""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from engine.errors import AvatarServerError, MissingDependency
from engine.settings import Settings
from processors.models.files import ModelDamaged, ModelNotFound, model_folders
from processors.models.providers import ProviderUnavailable
from processors.models.runtime import Runtime
from transport.commands.checks import (
    devices,
    gpu,
    media,
    network,
    packages,
    storage,
    torch_build,
)
from transport.commands.checks.finding import Finding, fault
from transport.commands.checks.models import check_models
from transport.commands.configuration import library_of, load_settings

Check = Callable[[], Finding | Iterable[Finding]]

_MARKS = {"ok": ("\033[32m✓\033[0m", "ok     "), "warning": ("\033[33m!\033[0m", "warning")}
_FAULT_MARK = ("\033[31m✗\033[0m", "fault  ")


def doctor(options: argparse.Namespace) -> int:
    """Look for what usually goes wrong, and say how to put it right."""
    settings = load_settings(options)
    findings = list(examine(checks_of(settings)))
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        print(describe(findings, pretty=sys.stdout.isatty()))
    return 1 if any(finding.level == "fault" for finding in findings) else 0


def checks_of(settings: Settings) -> tuple[Check, ...]:
    """All checks, with what they look at."""
    folders = model_folders(settings.models.folders, os.environ)
    server, capture = settings.server, settings.pipeline.capture
    return (
        lambda: packages.check_python(sys.version_info[:3]),
        lambda: packages.check_packages(packages.installed_packages()),
        lambda: torch_build.check_torch(
            packages.installed_packages(),
            torch_build.torchvision_needs(),
            gpu.has_nvidia_driver(),
        ),
        lambda: media.check_codecs(media.has_codec),
        lambda: media.check_opencv(media.opencv_build),
        lambda: media.check_voice(shutil.which),
        lambda: gpu.check_gpu(
            gpu.onnxruntime_build(),
            gpu.has_nvidia_driver(),
            gpu.installed_libraries(),
            settings.runtime,
        ),
        lambda: check_models(library_of(settings), settings.models.commercial),
        lambda: gpu.check_runs(run_a_model(settings, folders), settings.runtime),
        lambda: devices.check_cameras(devices.video_devices(), capture.source),
        lambda: network.check_port(server.host, server.port),
        lambda: storage.check_folder("packs", settings.avatars.cache),
        lambda: storage.check_folder("recordings", settings.output.folder),
        lambda: storage.check_folder("downloads", folders[0], needed=False),
    )


def examine(checks: Iterable[Check]) -> Iterator[Finding]:
    """Run checks; one that breaks down is itself a finding."""
    for check in checks:
        try:
            found = check()
            yield from [found] if isinstance(found, Finding) else found
        except AvatarServerError as error:
            yield fault("doctor", error.description, error.hint)
        except Exception as error:  # noqa: BLE001 - one broken check must not hide the others
            yield fault("doctor", f"A check failed: {type(error).__name__}: {error}.")


def describe(findings: Iterable[Finding], pretty: bool) -> str:
    """Findings as text.

    Args:
        findings: In the order in which they are shown.
        pretty: With colours and signs, for a terminal.
    """
    findings = list(findings)
    width = max((len(finding.topic) for finding in findings), default=0)
    lines = []
    for finding in findings:
        mark = _MARKS.get(finding.level, _FAULT_MARK)[0 if pretty else 1]
        lines.append(f"{mark} {finding.topic:<{width}}  {finding.text}")
        if finding.fix:
            lines.append(f"{' ' * (width + (4 if pretty else 10))}-> {finding.fix}")
    faults = sum(finding.level == "fault" for finding in findings)
    warnings = sum(finding.level == "warning" for finding in findings)
    lines.append(f"\n{_count(faults, 'fault')}, {_count(warnings, 'warning')}.")
    return "\n".join(lines)


def run_a_model(settings: Settings, folders: tuple[Path, ...]) -> str | AvatarServerError | None:
    """Run the face detector once.

    Returns:
        On what it ran, or why it did not, or None if that is another check's business: there is no
        detector or no onnxruntime.
    """
    try:
        library = library_of(settings)
        session = Runtime(settings.runtime).open(library.paths("yunet")[0])
        session.run({session.inputs[0].name: np.zeros((1, 3, 64, 64), np.float32)})
    except (ModelNotFound, ModelDamaged):
        return None
    except MissingDependency as error:
        return error if isinstance(error, ProviderUnavailable) else None
    except AvatarServerError as error:
        return error
    return session.provider


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
