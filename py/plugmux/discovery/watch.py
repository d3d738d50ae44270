"""What a runtime is to launch from directories, and how it follows them as they change."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from ..errors import PlugmuxError
from ..runtime.error import PluginCause, PluginError
from ..runtime.source import Launch
from .directory import Found, choose, default_path, expand, find_plugins, newest
from .requirement import Requirement

__all__ = ["Installed", "watch"]

logger = logging.getLogger("plugmux.runtime")

Directory: TypeAlias = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Installed:
    """The plugins in directories that are wanted.

    Args:
        directory: a directory of which every plugin is wanted, in its highest version; `None` for none.
        path: where the plugins of `requirements` are looked for (see `discovery.expand`); `None` for the default.
        requirements: plugins that are wanted by name and version.
    """

    directory: Directory | None = None
    path: Sequence[Directory] | None = None
    requirements: list[Requirement] = field(default_factory=list)

    def wanted(self) -> list[Found]:
        """What is to be launched, as the directories are now."""
        looked = [] if self.directory is None else newest(find_plugins(self.directory))
        found = self.found() if self.requirements else []
        return [*looked, *(choose(requirement, found) for requirement in self.requirements)]

    def find(self, requirement: Requirement) -> Launch:
        """What to launch for one more requirement."""
        return choose(requirement, self.found()).launch

    def found(self) -> list[Found]:
        """All plugins on the path, and in the directory."""
        here = [] if self.directory is None else [Path(os.path.abspath(self.directory))]
        folders = dict.fromkeys([*here, *expand(default_path() if self.path is None else self.path)])
        return [plugin for folder in folders if folder.is_dir() for plugin in find_plugins(folder)]


async def watch(
    installed: Installed,
    launched: Iterable[Found],
    interval: float,
    *,
    add: Callable[[Launch], Awaitable[object]],
    replace: Callable[[Launch], Awaitable[object]],
    remove: Callable[[str], Awaitable[object]],
) -> None:
    """Look again and again, and bring about what has changed; it ends only when it is cancelled.

    A change is acted on when two looks in a row have seen the same: a file that is still being copied is left alone.
    What fails is logged, and tried again with the next change of the same plugin. A plugin that is disabled is replaced
    when it has been enabled again.

    Args:
        installed: what is looked at.
        launched: what it held when the runtime started.
        interval: seconds between two looks.
        add: launches a plugin that is new.
        replace: puts a plugin in the place of the one of its name.
        remove: ends the plugin of a name that is gone.
    """
    before = {found.name: found for found in launched}
    done = {name: found.fingerprint for name, found in before.items()}
    while True:
        await asyncio.sleep(interval)
        try:
            now = {found.name: found for found in installed.wanted()}
        except OSError as error:  # A folder went away between two steps of the look.
            logger.warning("plugins could not be looked for; again in %g s: %s", interval, error)
            continue
        except Exception:  # Whatever lies in a directory must not end the looking for good.
            logger.exception("plugins could not be looked for; again in %g s", interval)
            continue
        for name in sorted({*done, *now}):
            found = now.get(name)
            if found is None and name not in before:
                await _act("removed", name, remove(name))
                del done[name]
            elif found is not None and name in before and found.fingerprint == before[name].fingerprint:
                if name not in done:
                    await _act("added", name, add(found.launch))
                elif done[name] != found.fingerprint and not await _act("replaced", name, replace(found.launch)):
                    continue
                done[name] = found.fingerprint
        before = now


async def _act(what: str, name: str, action: Awaitable[object]) -> bool:
    """Bring a change about; whether that is done with: only a plugin that is disabled is yet to change."""
    try:
        await action
    except PlugmuxError as error:
        if isinstance(error, PluginError) and error.cause is PluginCause.DISABLED:
            return False
        logger.warning("the plugin %s was %s in its directory, and that failed: %s", name, what, error)
    except Exception:
        logger.exception("the plugin %s was %s in its directory, and that failed", name, what)
    else:
        logger.info("the plugin %s was %s in its directory", name, what)
    return True
