"""Further runners: containers, detached processes, plugins that are started by hand."""

from .container import ContainerRunner
from .detached import DetachedRunner
from .manual import ManualRunner

__all__ = ["ContainerRunner", "DetachedRunner", "ManualRunner"]
