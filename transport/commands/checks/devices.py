"""Cameras."""

import grp
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from transport.commands.checks.finding import Finding, fault, ok, warning


@dataclass(frozen=True, slots=True)
class Device:
    """A video device.

    Attributes:
        path: E.g. ``/dev/video0``.
        usable: This user may read and write it.
        group: The group that may.
    """

    path: Path
    usable: bool
    group: str


def video_devices(folder: Path = Path("/dev")) -> list[Device]:
    """The cameras of this machine, and whether they may be used."""
    found = []
    for path in sorted(folder.glob("video[0-9]*")):
        number = path.stat().st_gid
        try:
            group = grp.getgrgid(number).gr_name
        except KeyError:
            group = str(number)
        found.append(Device(path, os.access(path, os.R_OK | os.W_OK), group))
    return found


def check_cameras(devices: Sequence[Device], source: str) -> Iterator[Finding]:
    """Whether there is a camera that may be used.

    Args:
        devices: See ``video_devices``.
        source: What the settings take pictures from.
    """
    topic = "camera"
    if not devices:
        yield ok(topic, "none (needed only for camera:N; browsers can send theirs)")
        return
    closed = [device for device in devices if not device.usable]
    opened = [str(device.path) for device in devices if device.usable]
    for device in closed:
        say = fault if source == f"camera:{device.path.name.removeprefix('video')}" else warning
        yield say(
            topic,
            f"{device.path} may not be opened by this user.",
            f"sudo usermod -aG {device.group} $USER and log in again; for the service: "
            f"SupplementaryGroups={device.group} in its unit.",
        )
    if opened:
        yield ok(topic, ", ".join(opened))
