"""The settings of a yamux session, with the defaults that peers assume."""

from __future__ import annotations

from dataclasses import dataclass

from ..bounds import check_numbers
from ..errors import ConfigError
from .frame import INITIAL_WINDOW, MAX_WINDOW

__all__ = ["Config"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """How a session treats its peer; both ends may be set differently.

    Args:
        accept_backlog: streams that may wait for being accepted; further ones are reset. The same number limits how
            many of our own streams wait for the peer's ACK, because peers have the same backlog. Default 256.
        max_streams: streams that the peer may have open at once; further ones are reset. Default 16,384.
        enable_keep_alive: whether a silent peer is pinged, and the session ended when it stays silent or reads nothing.
            By default (`None`) only over a network: the end of a process on this machine ends its unix socket and its
            pipes, and one that is merely slow, or stopped, keeps them.
        keep_alive_interval: seconds of silence after which a ping goes out. Default 30.
        connection_write_timeout: seconds that the connection may take no byte, and a ping may stay unanswered,
            before the session ends. Where `enable_keep_alive` is off by default, no silence ends it; `ping` still gives
            up after this time. Default 10.
        stream_open_timeout: seconds that the peer may take to acknowledge a stream, which is then reset; 0 means no
            limit. Default 75.
        stream_close_timeout: seconds that the peer may take to end its side of a stream closed here, which is then
            reset; 0 means no limit. Default 300.
        stream_window_size: bytes that the peer may send on a stream before our reader has taken any. A size above
            256 KiB is announced with the stream's SYN or ACK. Default 256 KiB, the size that the wire assumes.
        max_stream_window_size: bytes up to which the window of a stream grows while its reader keeps up with it.
            Default 16 MiB; equal to `stream_window_size` it turns growing off.
        max_session_window_growth: bytes by which all windows of a session together may have grown. Windows beyond 4 MiB
            leave half of it to others. Default 32 MiB.
        max_link_memory: bytes from the peer that one link may hold until someone takes them: unfinished
            requests and responses, data that a program does not read, and 4 KiB for each stream that the peer has open.
            From three quarters of it on, most streams get no more credit; at the limit, streams are reset. It should be
            at least 16 times the largest message. Default 64 MiB.
        max_unregistered_memory: the same, for a peer that has not registered yet. Default 1 MiB.
        max_unregistered_streams: streams that such a peer may have open at once. Default 32.
        max_total_memory: bytes that all links of a runtime may hold together. Half of it is divided equally among the
            links. Default 512 MiB.
        max_resets: streams a second that the peer may open to no purpose before the session ends: that it resets within
            a second, ends without a byte, or opens beyond what it may have. Ten seconds' worth may come at once; 0
            means no limit. Default 1,000.
        max_idle_frames: frames a second that may come and do nothing (pings, empty data, frames of ended streams)
            before the session ends. Ten seconds' worth may come at once; 0 means no limit. Default 2,000.
        busy_poll: seconds for which the loop polls before it sleeps when the peer is about to reply, if replies then
            come sooner; 0 to never poll. Default 0.0002.

    Raises:
        ConfigError: a setting is out of its range.
    """

    accept_backlog: int = 256
    max_streams: int = 16_384
    enable_keep_alive: bool | None = None
    keep_alive_interval: float = 30.0
    connection_write_timeout: float = 10.0
    stream_open_timeout: float = 75.0
    stream_close_timeout: float = 300.0
    stream_window_size: int = INITIAL_WINDOW
    max_stream_window_size: int = 16 * 1024 * 1024
    max_session_window_growth: int = 32 * 1024 * 1024
    max_link_memory: int = 64 * 1024 * 1024
    max_unregistered_memory: int = 1024 * 1024
    max_unregistered_streams: int = 32
    max_total_memory: int = 512 * 1024 * 1024
    max_resets: int = 1000
    max_idle_frames: int = 2000
    busy_poll: float = 0.0002

    def __post_init__(self) -> None:
        check_numbers(self, _LEAST, above_zero=("keep_alive_interval", "connection_write_timeout"))
        for name, most in (
            ("stream_window_size", self.max_stream_window_size),
            ("max_stream_window_size", MAX_WINDOW),
        ):
            if getattr(self, name) > most:
                raise ConfigError(f"Config.{name} is {getattr(self, name)}; it must be {most} at most")


_LEAST = {
    "accept_backlog": 1,
    "max_streams": 1,
    "stream_window_size": INITIAL_WINDOW,
    "max_link_memory": INITIAL_WINDOW,
    "max_unregistered_memory": INITIAL_WINDOW,
    "max_unregistered_streams": 1,
    "max_total_memory": INITIAL_WINDOW,
}
