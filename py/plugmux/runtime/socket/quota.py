"""How much of something each user may have at a time, so that one who takes all there is keeps out nobody else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ...errors import PlugmuxError

__all__ = ["TooManyLinks", "UserQuota"]


class TooManyLinks(PlugmuxError):
    """A plugin may not connect now: as many links of its user as there may be have not registered."""


class UserQuota:
    """Counts what users have.

    Args:
        most: how many each may have at a time.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._taken: Counter[int | None] = Counter()

    def take(self, uid: int | None) -> Callable[[], None] | None:
        """Let a user have one more.

        Args:
            uid: the user; `None` for all those who are not known.

        Returns:
            What gives it back, harmless if called again; `None` where the user has as many as it may.
        """
        if self._taken[uid] >= self.most:
            return None
        self._taken[uid] += 1
        given_back = False

        def give_back() -> None:
            nonlocal given_back
            if not given_back:
                given_back = True
                self._taken[uid] -= 1
                if not self._taken[uid]:
                    del self._taken[uid]

        return give_back
