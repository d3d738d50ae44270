"""How a plugin does while it runs: what a check can find, and when silence means that it hangs. (Without I/O.)

    serving / not serving    it answers the check, and says whether it is ready
    busy                     it has not answered in time: slow is not dead, and nothing is done about it
    hanging                  nothing at all has come from it for long, though it was asked all the while

Any frame that comes over the link is life: a plugin that sends the chunks of a long stream, or answers a ping while its
handlers are at work, does not hang, however late its answer to the check is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from ...bounds import check_numbers
from ...errors import ConfigError

__all__ = ["Health", "HealthPolicy", "Liveness"]


class Health(Enum):
    """How a plugin does."""

    UNKNOWN = "unknown"
    """It does not run."""
    SERVING = "serving"
    """It answers, and says that it is ready; or it has just registered."""
    NOT_SERVING = "not serving"
    """It answers, and says that it is not ready."""
    BUSY = "busy"
    """It has not answered in time."""
    HANGING = "hanging"
    """Nothing has come from it for long, though it was asked."""

    @property
    def takes_calls(self) -> bool:
        """Whether calls are best sent to it, where others can take them as well."""
        return self in (Health.SERVING, Health.BUSY)


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """When plugins are checked, and what is done about one that hangs.

    Args:
        interval: seconds between two checks of a plugin; 0 makes none.
        timeout: seconds for the answer, after which the plugin counts as busy.
        hung_after: seconds without any frame, while it was asked, after which it counts as hanging.
        on_hang: what is done then. `"report"` tells of it, in events and in the log (with the plugin's stacks), and
            leaves the plugin alone: it may be held by a debugger, or come back. `"restart"` ends it after that: one
            that was launched is started again as after a crash, the link of one that started by itself is closed.

    Raises:
        ConfigError: a value is out of its range.
    """

    interval: float = 60.0
    timeout: float = 5.0
    hung_after: float = 60.0
    on_hang: Literal["report", "restart"] = "report"

    def __post_init__(self) -> None:
        check_numbers(self, above_zero=("timeout", "hung_after"))
        if self.timeout > self.hung_after or self.on_hang not in ("report", "restart"):
            raise ConfigError(f'{self} is not valid: timeout is above hung_after, or on_hang not "report" or "restart"')


class Liveness:
    """What is known of one plugin's life: when it was asked, when it was last heard, and what it said.

    Args:
        policy: when silence means that it hangs.
    """

    def __init__(self, policy: HealthPolicy) -> None:
        self._policy = policy
        self._silent_since: float | None = None

    def asked(self, now: float) -> None:
        """Note that the plugin is asked for a sign of life."""
        if self._silent_since is None:
            self._silent_since = now

    def status(self, answer: Health | None, last_received: float, now: float) -> Health:
        """How the plugin does.

        Args:
            answer: what it answered; `None` when it has not answered in time.
            last_received: when anything last came from it.
            now: the time.
        """
        if self._silent_since is not None and last_received >= self._silent_since:
            self._silent_since = None
        if answer is not None:
            return answer
        silent = 0.0 if self._silent_since is None else now - self._silent_since
        return Health.HANGING if silent >= self._policy.hung_after else Health.BUSY

    def reset(self, now: float) -> None:
        """Count silence from now on: this process itself was held up, and the plugin perhaps with it."""
        if self._silent_since is not None:
            self._silent_since = now

    def silent_for(self, now: float) -> float:
        """Seconds for which the plugin has been asked and has sent nothing."""
        return 0.0 if self._silent_since is None else now - self._silent_since
