"""Which models may be used for what."""

from engine.errors import Forbidden
from processors.models.catalog import ModelSpec


class ModelRefused(Forbidden):
    """The licence of a model does not allow what it is wanted for."""


def check_licence(model_id: str, spec: ModelSpec, commercial: bool) -> None:
    """Raise if a model may not be used.

    Args:
        model_id: Its id, for the message.
        spec: What is known of it.
        commercial: Whether it is wanted for commercial use (the setting ``models.commercial``).

    Raises:
        ModelRefused: Says why, and what else there is.
    """
    if not commercial or spec.commercial:
        return
    note = f" {spec.note}" if spec.note else ""
    instead = f"Instead: {spec.instead}. " if spec.instead else ""
    home = f" (see {spec.home})" if spec.home else ""
    raise ModelRefused(
        f"{model_id} of {spec.vendor} may not be used commercially: its licence is "
        f"{spec.licence}{home}, and models.commercial is true.{note}",
        f"{instead}Get the vendor's permission and describe your copy in models.yaml, or set "
        "models.commercial to false if your use is not commercial.",
    )
