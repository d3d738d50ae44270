"""What plugmux needs of the system: processes, users, local sockets, trusted paths, limits and signals.

There are two families, `posix` and `windows`, whose modules have the same names and the same public functions. This
module chooses one of them, once; no other part of the package asks which system it runs on. What differs within a
family is chosen by what the system can do: `posix.handle` learns of the end of a process by a pidfd, by kqueue or by a
waiting thread.

    handle      a process of another's: its end, and signals to it
    child       a process of ours: started, its tree signalled and ended, its exit status
    detached    programs that outlive this process
    streams     what a child inherits: the ends of its link, the pipes of its output
    facts       what the system tells of a process: its start, its program, whether it is stopped
    users       who this process runs as, and the names of users
    sockets     connections within this machine: unix sockets, named pipes; who is at their other ends; listening in
                the network
    listening   listens for them, for this user alone
    trusted_path  files and directories that no other user can change
    limits      what can be limited here
    programs    what can be executed, where it is found, command lines
    signals     the signals that end a program; the tree of this process

`interface` has the types that both families share. Names are imported when they are first used.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from ..lazy import import_name

if TYPE_CHECKING:
    from .interface import (
        BINARY_FORMATS,
        CPU_GRACE,
        BlockingPipes,
        Child,
        Credentials,
        ExitStatus,
        ListenError,
        ProcessHandle,
        Program,
        ResourceLimits,
        TrustedFile,
        UntrustedPath,
        UserId,
    )

    if sys.platform == "win32":
        from .windows.child import start_child
        from .windows.detached import check_detached, kill_detached, start_detached
        from .windows.facts import executable, is_stopped, start_time, tells_start_time
        from .windows.handle import open_process
        from .windows.limits import descriptor_limit, unsupported_limits
        from .windows.listening import LocalListener, private_name
        from .windows.programs import (
            can_be_executed,
            find_on_path,
            has_directory,
            inherits_streams,
            join_words,
            split_words,
            variable_name,
        )
        from .windows.signals import ENDING, TERMINATION, end_children, handle_signals, kill_own_tree
        from .windows.sockets import (
            LocalStream,
            ReadWatch,
            accept_some,
            attach_stream,
            blocking_pipes,
            connect_stream,
            credentials,
            own_port,
            probe_stream,
        )
        from .windows.streams import LinkEnds, adopt_pipes, claim_link, close_stream, link_ends, open_null, output_pipe
        from .windows.trusted_path import check_directory, open_trusted_file
        from .windows.users import current_user, describe_user, find_user, is_superuser
    else:
        from .posix.child import start_child
        from .posix.detached import check_detached, kill_detached, start_detached
        from .posix.facts import executable, is_stopped, start_time, tells_start_time
        from .posix.handle import open_process
        from .posix.limits import descriptor_limit, unsupported_limits
        from .posix.listening import LocalListener, private_name
        from .posix.programs import (
            can_be_executed,
            find_on_path,
            has_directory,
            inherits_streams,
            join_words,
            split_words,
            variable_name,
        )
        from .posix.signals import ENDING, TERMINATION, end_children, handle_signals, kill_own_tree
        from .posix.sockets import (
            LocalStream,
            ReadWatch,
            accept_some,
            attach_stream,
            blocking_pipes,
            connect_stream,
            credentials,
            own_port,
            probe_stream,
        )
        from .posix.streams import LinkEnds, adopt_pipes, claim_link, close_stream, link_ends, open_null, output_pipe
        from .posix.trusted_path import check_directory, open_trusted_file
        from .posix.users import current_user, describe_user, find_user, is_superuser

__all__ = [
    "ABSTRACT_SOCKETS",
    "BINARY_FORMATS",
    "CPU_GRACE",
    "ENDING",
    "FAMILY",
    "MAX_SOCKET_PATH",
    "NAMED_PIPES",
    "TERMINATION",
    "BlockingPipes",
    "Child",
    "Credentials",
    "ExitStatus",
    "LinkEnds",
    "ListenError",
    "LocalListener",
    "LocalStream",
    "ProcessHandle",
    "Program",
    "ReadWatch",
    "ResourceLimits",
    "TrustedFile",
    "UntrustedPath",
    "UserId",
    "accept_some",
    "adopt_pipes",
    "attach_stream",
    "blocking_pipes",
    "can_be_executed",
    "check_detached",
    "check_directory",
    "claim_link",
    "close_stream",
    "connect_stream",
    "credentials",
    "current_user",
    "describe_user",
    "descriptor_limit",
    "end_children",
    "executable",
    "find_on_path",
    "find_user",
    "handle_signals",
    "has_directory",
    "inherits_streams",
    "is_stopped",
    "is_superuser",
    "join_words",
    "kill_detached",
    "kill_own_tree",
    "link_ends",
    "open_null",
    "open_process",
    "open_trusted_file",
    "output_pipe",
    "own_port",
    "private_name",
    "probe_stream",
    "split_words",
    "start_child",
    "start_detached",
    "start_time",
    "tells_start_time",
    "unsupported_limits",
    "variable_name",
]

FAMILY: Final = "windows" if sys.platform == "win32" else "posix"
ABSTRACT_SOCKETS: Final = sys.platform.startswith("linux")
"""Whether local sockets can have names that are no paths."""

NAMED_PIPES: Final = sys.platform == "win32"
"""Whether local sockets are named pipes."""

MAX_SOCKET_PATH: Final = 107 if sys.platform.startswith("linux") else 103
"""The most bytes of a local socket's name, without the terminating zero."""

MODULES: Final = {
    "child": ("start_child",),
    "detached": ("check_detached", "kill_detached", "start_detached"),
    "facts": ("executable", "is_stopped", "start_time", "tells_start_time"),
    "handle": ("open_process",),
    "listening": ("LocalListener", "private_name"),
    "limits": ("descriptor_limit", "unsupported_limits"),
    "programs": (
        "can_be_executed",
        "find_on_path",
        "has_directory",
        "inherits_streams",
        "join_words",
        "split_words",
        "variable_name",
    ),
    "signals": ("ENDING", "TERMINATION", "end_children", "handle_signals", "kill_own_tree"),
    "sockets": (
        "LocalStream",
        "ReadWatch",
        "accept_some",
        "attach_stream",
        "blocking_pipes",
        "connect_stream",
        "credentials",
        "own_port",
        "probe_stream",
    ),
    "streams": ("LinkEnds", "adopt_pipes", "claim_link", "close_stream", "link_ends", "open_null", "output_pipe"),
    "trusted_path": ("check_directory", "open_trusted_file"),
    "users": ("current_user", "describe_user", "find_user", "is_superuser"),
}
"""The modules of each family, and what each has."""

_SHARED = """
    BINARY_FORMATS BlockingPipes CPU_GRACE Child Credentials ExitStatus ListenError ProcessHandle Program ResourceLimits
    TrustedFile UntrustedPath UserId
""".split()
_HOME = {name: f".{FAMILY}.{module}" for module, names in MODULES.items() for name in names}
_HOME |= dict.fromkeys(_SHARED, ".interface")


def __getattr__(name: str) -> object:
    return import_name(__name__, _HOME, name)
