"""Python and the packages that are installed."""

from collections.abc import Iterator, Mapping
from importlib import metadata

from transport.commands.checks.finding import Finding, fault, ok, warning

OLDEST = (3, 11)

_ONNXRUNTIMES = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "onnxruntime-directml",
    "onnxruntime-training",
)
_OPENCVS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
_OPTIONAL = {
    "uvloop": "a faster event loop",
    "onnx": "runs several faces at once through models made for one",
    "faster-whisper": "captions of speech without a text, better detection of speech",
    "pyvirtualcam": "shows the picture to other programs as a camera",
}


def installed_packages() -> dict[str, str]:
    """Versions of the installed packages by their names in small letters."""
    return {
        str(package.metadata["Name"]).lower().replace("_", "-"): package.version
        for package in metadata.distributions()
        if package.metadata["Name"]
    }


def check_python(version: tuple[int, ...]) -> Finding:
    """Whether Python is new enough."""
    text = ".".join(str(part) for part in version[:3])
    if version[:2] < OLDEST:
        needed = ".".join(str(part) for part in OLDEST)
        return fault("Python", f"{text} is too old.", f"Install Python {needed} or newer.")
    return ok("Python", text)


def check_packages(installed: Mapping[str, str]) -> Iterator[Finding]:
    """Packages that overwrite each other's files, and optional ones that are missing.

    Args:
        installed: See ``installed_packages``.
    """
    yield _only_one("onnxruntime", _ONNXRUNTIMES, installed, "onnxruntime-gpu", "onnxruntime")
    yield _only_one("OpenCV", _OPENCVS, installed, "opencv-python", "opencv-python")
    for name, use in _OPTIONAL.items():
        version = installed.get(name)
        yield ok(name, version or f"not installed (optional: {use}; pip install {name})")


def _only_one(
    topic: str, names: tuple[str, ...], installed: Mapping[str, str], keep: str, default: str
) -> Finding:
    found = [name for name in names if name in installed]
    if not found:
        return warning(f"{topic} package", "not installed", f"pip install {default}")
    if len(found) == 1:
        return ok(f"{topic} package", f"{found[0]} {installed[found[0]]}")
    kept = keep if keep in found else found[0]
    return fault(
        f"{topic} package",
        f"{' and '.join(found)} are both installed: they overwrite each other's files, and which "
        "one is used is chance.",
        f"pip uninstall -y {' '.join(found)}, then pip install {kept}",
    )
