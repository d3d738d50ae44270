"""The states of a plugin in a runtime, and which may follow which.

    starting ──> registering ──> running ──> stopping ──> stopped
       ^  │           │             │
       │  └────> crashed <──────────┘
       │            │  └──> gave up          (no tries left, or nothing that a retry could mend)
       └── backing off

A plugin on another machine is `unreachable` while there is no link to it: it is dialled again without end, or waited
for.

Any state may become `disabled`, which only an explicit enable leaves. A plugin that starts by itself, or lives in the
host's own process, begins at registering and is never backing off.
"""

from __future__ import annotations

from enum import Enum

from plugmux_proto.plugins.v1.plugins_pb2 import RunStatus

__all__ = ["NEXT", "ON_THE_WAY", "State"]


class State(Enum):
    """The state of a plugin."""

    STARTING = "starting"
    REGISTERING = "registering"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    CRASHED = "crashed"
    BACKING_OFF = "backing off"
    GAVE_UP = "gave up"
    DISABLED = "disabled"
    UNREACHABLE = "unreachable"

    @property
    def run_status(self) -> RunStatus:
        """The state as the wire's coarser list has it (`RunStatus` in plugins.proto)."""
        return _RUN_STATUS[self]


_ENDINGS = frozenset({State.STOPPING, State.STOPPED, State.DISABLED})
NEXT: dict[State, frozenset[State]] = {
    State.STARTING: _ENDINGS | {State.REGISTERING, State.CRASHED, State.UNREACHABLE},
    State.REGISTERING: _ENDINGS | {State.RUNNING, State.CRASHED, State.UNREACHABLE},
    State.RUNNING: _ENDINGS | {State.CRASHED, State.UNREACHABLE},
    State.UNREACHABLE: _ENDINGS | {State.STARTING, State.REGISTERING, State.CRASHED},
    State.STOPPING: frozenset({State.STOPPED, State.DISABLED}),
    State.STOPPED: frozenset({State.STARTING, State.DISABLED}),
    State.CRASHED: _ENDINGS | {State.BACKING_OFF, State.GAVE_UP},
    State.BACKING_OFF: _ENDINGS | {State.STARTING},
    State.GAVE_UP: _ENDINGS | {State.STARTING},
    State.DISABLED: frozenset({State.STARTING, State.STOPPED}),
}
"""The states that may follow each."""

ON_THE_WAY = frozenset(
    {State.STARTING, State.REGISTERING, State.RUNNING, State.CRASHED, State.BACKING_OFF, State.UNREACHABLE}
)
"""The states in which a call waits for the plugin: it runs, or is about to."""

_RUN_STATUS = {
    State.STARTING: RunStatus.RUN_STATUS_UNSPECIFIED,
    State.REGISTERING: RunStatus.RUN_STATUS_UNSPECIFIED,
    State.RUNNING: RunStatus.RUN_STATUS_RUNNING,
    State.STOPPING: RunStatus.RUN_STATUS_STOPPED,
    State.STOPPED: RunStatus.RUN_STATUS_STOPPED,
    State.CRASHED: RunStatus.RUN_STATUS_CRASHED,
    State.BACKING_OFF: RunStatus.RUN_STATUS_CRASHED,
    State.GAVE_UP: RunStatus.RUN_STATUS_RETRIES_EXCEEDED,
    State.DISABLED: RunStatus.RUN_STATUS_STOPPED,
    State.UNREACHABLE: RunStatus.RUN_STATUS_CRASHED,
}
