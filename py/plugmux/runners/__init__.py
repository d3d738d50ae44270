"""Further runners: containers, detached processes, plugins that are started by hand, plugins that are forked."""

from .container import ContainerRunner
from .detached import DetachedRunner
from .manual import ManualRunner
from .zygote import ZygoteRunner

__all__ = ["ContainerRunner", "DetachedRunner", "ManualRunner", "ZygoteRunner"]
