"""Follows the plugins that a source finds, as they are added, removed and replaced."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from ...errors import PluginCause, PluginError, PlugmuxError
from ..source import Found, Launch, Source

__all__ = ["watch"]

logger = logging.getLogger("plugmux.runtime")


async def watch(
    source: Source,
    launched: Iterable[Found],
    *,
    add: Callable[[Launch], Awaitable[object]],
    replace: Callable[[Launch], Awaitable[object]],
    remove: Callable[[str], Awaitable[object]],
) -> None:
    """Look again and again, and follow what has changed; it ends only when it is cancelled.

    A change is acted on when two looks in a row have seen the same: a file that is still being copied is left alone.
    What fails is logged, and tried again with the next change of the same plugin. A plugin that is disabled is replaced
    when it has been enabled again.

    Args:
        source: finds the plugins; its `watch` is the time between two looks.
        launched: what it found when the runtime started.
        add: launches a plugin that is new.
        replace: puts a plugin in the place of the one of its name.
        remove: ends the plugin of a name that is gone.
    """
    interval = source.watch
    before = {found.name: found for found in launched}
    done = {name: found.fingerprint for name, found in before.items()}
    while True:
        await asyncio.sleep(interval)
        try:
            now = {found.name: found for found in source.find()}
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
