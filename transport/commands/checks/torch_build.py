"""Whether torch, and what has to fit to it, is what this machine needs."""

from collections.abc import Iterator, Mapping
from importlib import metadata

from transport.commands.checks.finding import Finding, fault, ok, warning

_WITHOUT_DEPENDENCIES = ("rembg", "segment-anything", "spandrel")
_INDEX = "https://download.pytorch.org/whl"


def torchvision_needs() -> str:
    """Return the version of torch that the installed torchvision was built for; "" if unknown."""
    try:
        requirements = metadata.requires("torchvision") or []
    except metadata.PackageNotFoundError:
        return ""
    for requirement in requirements:
        name, _, version = requirement.partition("==")
        if name.strip(" (") == "torch":
            return version.partition(";")[0].strip(" )")
    return ""


def check_torch(installed: Mapping[str, str], needed: str, driver: bool) -> Iterator[Finding]:
    """The packages that side jobs with pictures use.

    Args:
        installed: See ``packages.installed_packages``.
        needed: See ``torchvision_needs``.
        driver: Whether the driver of an NVIDIA GPU is loaded.
    """
    torch = installed.get("torch")
    if torch is None:
        yield ok(
            "torch",
            "not installed (optional: side jobs that make pictures; docs/models.md says how)",
        )
        return
    number, _, build = torch.partition("+")
    if driver and build == "cpu":
        yield warning(
            "torch",
            f"There is an NVIDIA GPU, but torch {torch} computes on the CPU.",
            f"pip install torch=={number}+cu126 --extra-index-url {_INDEX}/cu126 (or a newer"
            " build that the driver knows)",
        )
    else:
        yield ok("torch", torch)
    yield from _torchvision(installed, torch, needed)
    missing = [name for name in _WITHOUT_DEPENDENCIES if name not in installed]
    if missing:
        yield warning(
            "pictures",
            f"{', '.join(missing)} not installed: generators that use them do not work.",
            "pip install --no-deps -r requirements-ai-nodeps.txt",
        )


def _torchvision(installed: Mapping[str, str], torch: str, needed: str) -> Iterator[Finding]:
    """It is not needed; one that does not fit breaks diffusers and transformers."""
    torchvision = installed.get("torchvision")
    if torchvision is None:
        return
    number, _, build = torch.partition("+")
    own = torchvision.partition("+")[2]
    if (needed and needed.partition("+")[0] != number) or own != build:
        wanted = f"torch {needed}" if needed else "another torch"
        yield fault(
            "torchvision",
            f"torchvision {torchvision} is made for {wanted}{f' ({own})' if own else ''}, and torch"
            f" {torch} is installed: importing diffusers or transformers fails.",
            "pip uninstall -y torchvision (nothing here needs it)",
        )
    else:
        yield ok("torchvision", torchvision)
