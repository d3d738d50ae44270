"""Which exceptions are failures of the code that raised them."""

from __future__ import annotations

import asyncio

__all__ = ["is_failure"]

_ENDINGS = (GeneratorExit, KeyboardInterrupt, SystemExit)


def is_failure(error: BaseException) -> bool:
    """Whether code has failed, and not been told to end: by its caller, or with the whole process.

    A failure need not be an `Exception`: the panic of an extension module (`pyo3_runtime.PanicException`) is none. A
    `CancelledError` in a task that nobody cancels is one: it comes from something else that the code has waited for.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and not task.cancelling()
    return not isinstance(error, _ENDINGS)
