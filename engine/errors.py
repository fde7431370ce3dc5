"""The errors of the whole project: a small tree.

Each error says what went wrong (``description``) and, where there is one, what the user can do
about it (``hint``). The branch says whose fault it is, which is all that a transport needs to
choose a status; the class name is the ``kind`` that programs can rely on.
"""


class AvatarServerError(Exception):
    """Anything this project raises on purpose.

    Args:
        description: What went wrong, in one sentence, naming the file, key or id.
        hint: What the user can do about it; empty where that is obvious.
    """

    def __init__(self, description: str, hint: str = "") -> None:
        super().__init__(description, hint)
        self.description = description
        self.hint = hint

    @property
    def kind(self) -> str:
        """The stable name of this error, e.g. ``StreamNotFound``."""
        return type(self).__name__

    def __str__(self) -> str:
        return f"{self.description} {self.hint}".rstrip()


class InvalidInput(AvatarServerError):
    """What was handed in cannot be used, whatever the state of the server."""


class NotFound(AvatarServerError):
    """The thing that was named does not exist."""


class Forbidden(AvatarServerError):
    """The caller may not do this."""


class Conflict(AvatarServerError):
    """Right in itself, but not in the present state."""


class Unavailable(AvatarServerError):
    """Not now; the same call may succeed later.

    Args:
        retry_after: Seconds after which a retry makes sense.
    """

    def __init__(self, description: str, hint: str = "", retry_after: float = 1.0) -> None:
        super().__init__(description, hint)
        self.retry_after = retry_after


class SettingsError(InvalidInput):
    """A setting is unknown or has a wrong value; names file, line and key."""


class ClipError(InvalidInput):
    """A clip cannot be read or cannot serve as an avatar's clip."""


class ClipChanged(Conflict):
    """A clip changed on disk while it was being compiled."""


class AvatarError(InvalidInput):
    """An avatar's folder or ``avatar.yaml`` is wrong."""


class AvatarNotFound(NotFound):
    """No avatar has this id."""


class StateNotFound(NotFound):
    """The avatar has no state or action of this name."""


class PathNotAllowed(Forbidden):
    """A path leaves the folders that the settings allow."""


class PackError(AvatarServerError):
    """A compiled avatar is damaged or cannot be written."""


class AvatarCompiling(Unavailable):
    """The avatar is still being compiled."""


class MissingDependency(AvatarServerError):
    """A package or system library that this feature needs is not installed."""
