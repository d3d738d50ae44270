"""Further runners: containers, detached processes, other machines, plugins started by hand, plugins that are forked."""

from .container import ContainerRunner
from .detached import DetachedRunner
from .joining import JoinPoint
from .manual import ManualRunner
from .remote import RemoteRunner
from .zygote import ZygoteRunner

__all__ = ["ContainerRunner", "DetachedRunner", "JoinPoint", "ManualRunner", "RemoteRunner", "ZygoteRunner"]
