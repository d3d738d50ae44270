"""What happens to the plugins of a runtime."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import Enum

from ..errors import PluginError
from .health.policy import Health
from .state import State

__all__ = ["Event", "EventKind"]


class EventKind(Enum):
    """What an event tells."""

    CHANGE = "change"
    """A plugin's state, or its health, is another one."""
    REFUSED = "refused"
    """A plugin that started by itself was not let in, or not any longer; or a join token was not accepted."""
    OVERLAP = "overlap"
    """A plugin serves what another one serves as well."""


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a plugin's state, or of its health; or something that its registration has led to.

    Args:
        plugin: the plugin's name.
        before: the state that it left; where only its health has changed, the state that it is in.
        state: the state that it is in now.
        status: why, for a person.
        error: what went wrong, if something did.
        health: its health.
        time: when, in seconds since the epoch.
        kind: what it tells.
        identity: who the plugin is by its certificate, if it is on another machine.
    """

    plugin: str
    before: State
    state: State
    status: str = ""
    error: PluginError | None = None
    health: Health = Health.UNKNOWN
    time: float = field(default_factory=time.time)
    kind: EventKind = EventKind.CHANGE
    identity: str = ""
