"""The words by which the system starts what a command line names, for commands that start it themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import ConfigError, PluginError

if TYPE_CHECKING:
    from ...runtime import Launch

__all__ = ["words_of"]


async def words_of(launch: Launch) -> list[str]:
    """The whole path of a plugin's program, behind the interpreter that runs it, and its arguments.

    Raises:
        ConfigError: there is no such program, or nothing that runs it.
    """
    from ...discovery.permissions import FailedRunner
    from ...runtime.process.local import find_program, program_words

    try:
        if isinstance(launch.runner, FailedRunner):
            raise launch.runner.error
        return await program_words(launch, find_program(launch))
    except PluginError as error:
        raise ConfigError(error.detail) from None
