"""Time comes in as an argument: logic takes a ``Clock`` or a ``now``, never the wall clock."""

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Returns seconds on a clock that never goes back."""

monotonic: Clock = time.monotonic
