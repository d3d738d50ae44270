"""Join tokens: each lets one plugin that was started elsewhere get a certificate, once and within its time.

A token is kept as its SHA-256 alone, and what comes is compared with all of them in constant time. A token that is
spent is kept for a while, so that a second use can be told from a token that never was.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import PlugmuxError
from .tls import date

__all__ = ["JoinTokens", "TokenRefused"]

TOKEN_BYTES = 32
MAX_TOKEN = 128
"""Characters of what a peer presents that are looked at."""

MAX_KEPT = 1024
"""Tokens that are kept, spent ones and others; one more forgets the oldest."""


class TokenRefused(PlugmuxError):
    """A join token is not accepted.

    Args:
        message: why.
        holder: whom the token was made for; empty where there is no such token.
    """

    def __init__(self, message: str, holder: str = "") -> None:
        super().__init__(message)
        self.holder = holder


@dataclass(slots=True)
class _Kept:
    digest: bytes
    holder: str
    ends: float
    used: bool = False


class JoinTokens:
    """The tokens of one runtime.

    Args:
        clock: tells the time, in seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._kept: list[_Kept] = []

    def issue(self, holder: str, lifetime: float) -> str:
        """Make a token.

        Args:
            holder: whom it is for.
            lifetime: seconds for which it is valid.
        """
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._kept.append(_Kept(_digest(token), holder, self._clock() + lifetime))
        del self._kept[:-MAX_KEPT]
        return token

    def redeem(self, token: str) -> str:
        """Take a token, which is spent from then on, and tell whom it was made for.

        Raises:
            TokenRefused: it has been used, its time is over, or there is none.
        """
        kept = self._find(token)
        if kept is None:
            raise TokenRefused("no such join token")
        if kept.used:
            raise TokenRefused("this join token has been used: start the plugin anew", kept.holder)
        if self._clock() >= kept.ends:
            raise TokenRefused(f"this join token was valid until {date(kept.ends)}", kept.holder)
        kept.used = True
        return kept.holder

    def _find(self, token: str) -> _Kept | None:
        found = None
        digest = _digest(token[:MAX_TOKEN])
        for kept in self._kept:  # All of them, so that the time tells nothing.
            if hmac.compare_digest(kept.digest, digest):
                found = kept
        return found

    def __repr__(self) -> str:
        return f"<JoinTokens: {len(self._kept)}>"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
