"""Full disks."""

import errno


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error of the system means that a disk or a quota is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
