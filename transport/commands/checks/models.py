"""The models that are here."""

from collections.abc import Iterator

from processors.models.library import ModelLibrary
from transport.commands.checks.finding import Finding, fault, ok, warning


def check_models(library: ModelLibrary, commercial: bool) -> Iterator[Finding]:
    """Whether the files of known models are what they should be, and may be used.

    Args:
        library: Where they are.
        commercial: The setting ``models.commercial``.
    """
    topic = "models"
    good = []
    for model_id, spec in library.catalog:
        for state in library.verify(model_id):
            if state.state == "damaged":
                yield fault(
                    topic,
                    f"{state.path} is damaged or another file (wrong hash).",
                    f"Delete it, then: python server.py models pull {model_id}",
                )
            elif state.state == "unknown":
                yield warning(
                    topic,
                    f"{state.path}: no hash is known, so nobody can tell whether it is intact.",
                    "sha256sum FILE > FILE.sha256 records the present one.",
                )
            if state.path is not None and commercial and not spec.commercial:
                yield warning(
                    topic,
                    f"{model_id} is here, but is refused: its licence is {spec.licence}, and "
                    "models.commercial is true.",
                    f"Instead: {spec.instead}." if spec.instead else "",
                )
            if state.state == "ok":
                good.append(model_id)
    if good:
        yield ok(topic, f"intact: {', '.join(good)}")
    if not any(folder.is_dir() for folder in library.folders):
        folders = ", ".join(str(folder) for folder in library.folders)
        yield warning(topic, f"There is no folder {folders}.", "It is made by: models pull")
    if library.where(library.catalog["yunet"].files[0]) is None:
        yield warning(
            topic,
            "The face detector is not here: nothing with faces works.",
            "python server.py models pull yunet",
        )
