"""Which exceptions are failures of the code that raised them."""

from __future__ import annotations

import asyncio

__all__ = ["is_failure"]

_ENDINGS = (GeneratorExit, KeyboardInterrupt, SystemExit)


def is_failure(error: BaseException) -> bool:
    """Whether an exception is a failure of the code, rather than a request to end by its caller or the whole process.

    A failure need not be an `Exception`: the panic of an extension module (`pyo3_runtime.PanicException`) is not. A
    `CancelledError` in a task that no one cancels is a failure: it comes from something that the code has awaited.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and not task.cancelling()
    return not isinstance(error, _ENDINGS)
