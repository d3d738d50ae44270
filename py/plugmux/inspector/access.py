"""Who may see the page: the browser that opens the address with the one-time token, and no other.

- The token is in the address that `plugmux ui` prints. It is good once: it is exchanged for a session.
- A session has a path of its own and a cookie, which the browser sends to that path only. (A browser sends cookies to
  all ports of a host, so that another server on this machine would get one without a path.)
- The Host field must name the loopback address or `localhost`, so that a name of a stranger's that resolves to this
  machine (DNS rebinding) reaches nothing. The Origin field, where there is one, must be the page's own.

There is no I/O here.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie

__all__ = ["COOKIE", "Access", "Refused"]

COOKIE = "plugmux"
TOKEN_BYTES = 32
PATH_BYTES = 16
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
SAME_ORIGIN = frozenset({b"same-origin", b"none"})
"""What a browser says of requests that the page itself, or the user, has made. (Fetch Metadata, "Sec-Fetch-Site".)"""


class Refused(Exception):
    """A request is not answered.

    Args:
        status: of the HTTP response.
        reason: why, for the person who sees it.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Access:
    """Lets one browser in.

    Args:
        port: where the page is served, on loopback.

    Attributes:
        path: where the page of the session is, with a slash at both ends.
    """

    def __init__(self, port: int) -> None:
        self._hosts = frozenset(f"{host}:{port}".encode() for host in LOOPBACK)
        self._token: str | None = secrets.token_urlsafe(TOKEN_BYTES)
        self._cookie = secrets.token_urlsafe(TOKEN_BYTES)
        self.path = f"/{secrets.token_urlsafe(PATH_BYTES)}/"

    @property
    def query(self) -> str:
        """The query of the address to open, good for once; empty once it has been used."""
        return "" if self._token is None else f"?token={self._token}"

    def check_origin(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Check that a request is for this server, and from its own page or from the user.

        Raises:
            Refused: it is not.
        """
        fields = list(headers)
        hosts = [value for name, value in fields if name == b"host"]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            raise Refused(421, "this page is served for the loopback address alone")
        origins = [value for name, value in fields if name == b"origin"]
        if any(origin != b"http://" + hosts[0] for origin in origins) or (method == "POST" and not origins):
            raise Refused(403, "requests of other pages are not answered")
        sites = [value for name, value in fields if name == b"sec-fetch-site"]
        modes = [value for name, value in fields if name == b"sec-fetch-mode"]
        if any(site not in SAME_ORIGIN for site in sites) and not (method == "GET" and modes == [b"navigate"]):
            raise Refused(403, "requests of other pages are not answered")

    def exchange(self, token: str) -> str:
        """The value of the `Set-Cookie` field for whoever brings the token. It is not good again.

        Raises:
            Refused: the token is not the one that is valid.
        """
        if self._token is None or not hmac.compare_digest(token.encode(), self._token.encode()):
            raise Refused(403, "this address has been used, or is not the one that was printed; run plugmux ui again")
        self._token = None
        return f"{COOKIE}={self._cookie}; Path={self.path}; HttpOnly; SameSite=Strict"

    def check_session(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Check that a request is from the browser of the session.

        Raises:
            Refused: it is not.
        """
        for name, value in headers:
            if name == b"cookie":
                try:
                    cookie = SimpleCookie(value.decode("latin-1")).get(COOKIE)
                except CookieError:
                    continue
                if cookie is not None and hmac.compare_digest(cookie.value.encode(), self._cookie.encode()):
                    return
        raise Refused(403, "open the address that plugmux ui prints; it is good once, and for one browser")
